//! Who has to go when what waits in a hub takes too much memory.
//!
//! Limits of members bound each of them, but many together, in many rooms, can take more than there is. Then those for whom
//! most waits are let go, whatever the policy: waiting for them would not make it less. A message that waits for several is
//! shared out among them: those of a large room do not pay for each other, and nobody hides behind many small messages or one
//! that is half read. Whoever speaks looks after that before the message enters the room; nobody holds the lock of a room
//! meanwhile, but for a look at its members.

use super::{HubError, Message, Shared, lock};
use crate::datagram::Flags;
use std::cmp::Reverse;

impl Shared {
    /// A new message, for which there is memory.
    pub(super) fn message(&self, parts: [&[u8]; 2], flags: Flags) -> Result<Message, HubError> {
        let message = Message::new(&self.memory, parts, flags);
        if self.memory.is_exceeded() {
            self.relieve()?;
        }
        Ok(message)
    }

    /// Lets members go until a quarter of the memory is free. An error if the messages are not theirs.
    #[cold]
    fn relieve(&self) -> Result<(), HubError> {
        let _one = lock(&self.relief);
        if !self.memory.is_exceeded() {
            return Ok(());
        }
        let limit = self.memory.limit();
        let rooms: Vec<_> = lock(&self.rooms).by_name.values().map(|place| place.room.clone()).collect();
        let mut waiting: Vec<_> = rooms
            .iter()
            .flat_map(|room| room.members().into_iter().map(move |member| (member.memory(), room, member)))
            .filter(|(bytes, ..)| *bytes > 0)
            .collect();
        waiting.sort_by_key(|(bytes, ..)| Reverse(*bytes));
        for (bytes, room, member) in waiting {
            if self.memory.used() <= limit / 4 * 3 {
                break;
            }
            tracing::warn!(
                "hub: {} of room {:?} is disconnected: {bytes} bytes of memory are taken by what waits for it, and all that waits takes more than {limit}",
                member.who(),
                room.name
            );
            room.let_go(&member);
        }
        if self.memory.is_exceeded() { Err((&*self.memory).into()) } else { Ok(()) }
    }
}
