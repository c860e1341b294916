//! Rooms: each member is a message socket, and what it says goes to every other member of its room.
//!
//! Only whole messages enter a room, so that none is torn or mixed with another; all members get those of a room in one order,
//! and share their bytes. Pings, pongs and ends of members stay with them. A room exists while it has members. What becomes of
//! a member that does not keep up is a matter of [`SlowConsumer`]; everything that grows has a limit in [`HubOptions`].
//!
//! - `room`: who gets a message, and who has to wait before it may say one. `member`: what waits for one of them.
//! - `message`: what is said, and the memory that all of it takes. `relief`: who has to go when that is too much.
//! - `reader`, `writer`: the halves of a member's socket.

mod member;
mod message;
mod reader;
mod relief;
mod room;
#[cfg(test)]
mod tests;
mod writer;

use crate::{backlog::SlowConsumer, datagram::Flags, hangup::Hangup, socket::DatagramSocket};
use member::{Leave, Member};
use message::{Memory, Message};
use reader::HubReader;
use room::{Publisher, Room};
use std::{
    collections::HashMap,
    fmt,
    future::{Future as _, poll_fn},
    io,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Poll, ready},
    time::Duration,
};
use tokio::time::sleep;
use writer::HubWriter;

/// What a hub allows, and what its rooms are like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HubOptions {
    /// What becomes of a member that does not keep up.
    pub slow: SlowConsumer,
    /// Members hear themselves as well.
    pub echo: bool,
    /// Rooms that exist at the same time.
    pub max_rooms: usize,
    /// Members of one room.
    pub max_members: usize,
    /// Bytes of a room's name.
    pub max_name: usize,
    /// Bytes of one message.
    pub max_message: usize,
    /// Bytes that may wait for one member, and one message whatever its length.
    pub max_backlog: usize,
    /// Messages that may wait for one member.
    pub max_backlog_messages: usize,
    /// Memory in bytes that all messages which wait in the hub may take. One that waits for several counts once, and 40 bytes
    /// for each of them. When it is exceeded those who take most of it are let go, whatever the policy: a message is shared out
    /// among all that it waits for.
    pub max_total: usize,
}

impl Default for HubOptions {
    /// For members that nobody knows: whoever does not keep up must neither hold up the others nor miss messages without
    /// being told, and can come back.
    fn default() -> Self {
        Self {
            slow: SlowConsumer::Disconnect,
            echo: false,
            max_rooms: 1024,
            max_members: 1024,
            max_name: 128,
            // What fits into a pooled buffer reaches the others in one frame.
            max_message: 256 << 10,
            // As for the sockets of a tee. Four times as much as the longest message.
            max_backlog: 1 << 20,
            // 64 batches of an exchange. A member that never reads pins 160 KiB of entries beside the bytes.
            max_backlog_messages: 4096,
            // 256 rooms where somebody has stopped to read, and little for a machine that serves so many.
            max_total: 256 << 20,
        }
    }
}

/// How one member joins.
#[derive(Clone, Debug, Default)]
pub struct JoinOptions {
    /// Stands before each text message that the member says; at most [`MAX_PREFIX`] bytes.
    pub prefix: Box<str>,
    /// Who it is in the log; at most [`MAX_NAME`] bytes. Without it, it is just a member.
    pub name: Box<str>,
}

/// Bytes of a [`JoinOptions::prefix`]: a name, and something around it.
pub const MAX_PREFIX: usize = 256;

/// Bytes of a [`JoinOptions::name`]: each member keeps it.
pub const MAX_NAME: usize = 256;

/// How long [`Hub::publish`] waits. Whoever tells of those who come and go must not be held up for ever by one of the others:
/// that would keep the session, and soon many of them.
const PUBLISH_PATIENCE: Duration = Duration::from_secs(5);

/// What a hub refuses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HubError {
    #[error("the name of the room is longer than {0} bytes (max_name_bytes)")]
    NameTooLong(usize),
    #[error("there are {0} rooms already (max_rooms)")]
    TooManyRooms(usize),
    #[error("the room has {0} members already (max_members)")]
    RoomFull(usize),
    #[error("the prefix is longer than {MAX_PREFIX} bytes")]
    PrefixTooLong,
    #[error("the name of the member is longer than {MAX_NAME} bytes")]
    MemberNameTooLong,
    #[error("the hub was closed")]
    Closed,
    #[error("a message is longer than the {0} bytes that a member may say (max_message_bytes)")]
    MessageTooLong(usize),
    #[error("messages that wait take more than {0} bytes (max_total_bytes), and nobody else is to blame")]
    NoMemory(usize),
}

impl From<HubError> for io::Error {
    fn from(error: HubError) -> Self {
        Self::new(io::ErrorKind::InvalidData, error)
    }
}

/// Rooms by their names; clones share them.
#[derive(Clone)]
pub struct Hub(Arc<Shared>);

struct Shared {
    options: HubOptions,
    memory: Arc<Memory>,
    /// Held by whoever looks for members to let go.
    relief: Mutex<()>,
    rooms: Mutex<Rooms>,
}

/// Locked when somebody comes or leaves, never for a message. Before the lock of a room, and that before the lock of a member.
#[derive(Default)]
struct Rooms {
    by_name: HashMap<Box<str>, Place>,
    closed: bool,
}

struct Place {
    room: Arc<Room>,
    /// Sockets of which at least one half lives.
    seats: usize,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Hub {
    pub fn new(options: HubOptions) -> Self {
        let memory = Memory::new(options.max_total);
        Self(Arc::new(Shared { options, memory, relief: Mutex::default(), rooms: Mutex::default() }))
    }

    /// A new member of this room, which comes into being with its first one. The socket's hangup fires for a member that is
    /// let go and does not leave by itself.
    pub fn join(&self, name: &str, options: JoinOptions) -> Result<DatagramSocket, HubError> {
        let limits = &self.0.options;
        if name.len() > limits.max_name {
            return Err(HubError::NameTooLong(limits.max_name));
        }
        if options.prefix.len() > MAX_PREFIX {
            return Err(HubError::PrefixTooLong);
        }
        if options.name.len() > MAX_NAME {
            return Err(HubError::MemberNameTooLong);
        }
        let member = Arc::new(Member::new(limits, options.name));
        let seat = self.0.take_seat(name, &member)?;
        let info = seat.room.info.clone();
        let hangup = Hangup::new(member::let_go(member.clone()));
        let read = HubReader::new(member.clone(), seat.clone());
        let write = HubWriter::new(member, seat, limits, options.prefix);
        Ok(DatagramSocket {
            read: Some(Box::new(read)),
            write: Some(Box::new(write)),
            hangup: Some(hangup),
            link: None,
            info,
        })
    }

    /// Says something to all members of a room, as soon as they take it; gives how many that are. After five seconds it waits
    /// no more: by policy, members for which too much waits then miss the message or are let go, and where all wait for each
    /// other they miss it. Dropped before its end, it says nothing.
    pub async fn publish(&self, name: &str, bytes: &[u8], flags: Flags) -> Result<usize, HubError> {
        let limit = self.0.options.max_message;
        if bytes.len() > limit {
            return Err(HubError::MessageTooLong(limit));
        }
        let room = lock(&self.0.rooms).by_name.get(name).map(|place| place.room.clone());
        let Some(room) = room else { return Ok(0) };
        let message = self.0.message([b"", bytes], flags)?;
        let mut publisher = Publisher::new(room);
        let mut patience = None;
        let reached = poll_fn(|cx| {
            if let Poll::Ready(reached) = publisher.poll_publish(cx, &message, None) {
                return Poll::Ready(reached);
            }
            ready!(patience.get_or_insert_with(|| Box::pin(sleep(PUBLISH_PATIENCE))).as_mut().poll(cx));
            Poll::Ready(publisher.publish_now(&message))
        })
        .await;
        publisher.flush();
        Ok(reached)
    }

    /// Bytes of memory that messages which wait take, as [`HubOptions::max_total`] counts them.
    pub fn memory(&self) -> usize {
        self.0.memory.used()
    }

    /// How many members a room has; 0 if there is no such room.
    pub fn members(&self, name: &str) -> usize {
        lock(&self.0.rooms).by_name.get(name).map_or(0, |place| place.seats)
    }

    /// How many rooms there are.
    pub fn rooms(&self) -> usize {
        lock(&self.0.rooms).by_name.len()
    }

    /// The end: all members get what waits for them and then Close 1001, nobody can join any more.
    pub fn close(&self) {
        let rooms: Vec<_> = {
            let mut rooms = lock(&self.0.rooms);
            rooms.closed = true;
            rooms.by_name.values().map(|place| place.room.clone()).collect()
        };
        rooms.iter().for_each(|room| room.end(Leave::GoingAway));
    }
}

impl fmt::Debug for Hub {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hub").field("options", &self.0.options).finish_non_exhaustive()
    }
}

impl Shared {
    fn take_seat(self: &Arc<Self>, name: &str, member: &Arc<Member>) -> Result<Arc<Seat>, HubError> {
        let HubOptions { max_rooms, max_members, .. } = self.options;
        let mut rooms = lock(&self.rooms);
        if rooms.closed {
            return Err(HubError::Closed);
        }
        let count = rooms.by_name.len();
        let room = match rooms.by_name.get_mut(name) {
            Some(place) if place.seats >= max_members => return Err(HubError::RoomFull(max_members)),
            Some(place) => {
                place.seats += 1;
                place.room.clone()
            }
            None if count >= max_rooms => return Err(HubError::TooManyRooms(max_rooms)),
            None => {
                let room = Arc::new(Room::new(name, self.options));
                rooms.by_name.insert(name.into(), Place { room: room.clone(), seats: 1 });
                room
            }
        };
        room.add(member.clone());
        drop(rooms);
        Ok(Arc::new(Seat { hub: self.clone(), room }))
    }
}

/// A place in a room, shared by the halves of a member.
struct Seat {
    hub: Arc<Shared>,
    room: Arc<Room>,
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut rooms = lock(&self.hub.rooms);
        let Some(place) = rooms.by_name.get_mut(&*self.room.name) else { return };
        place.seats -= 1;
        if place.seats == 0 {
            rooms.by_name.remove(&*self.room.name);
            // What a crowd needed is given back when it has gone.
            let len = rooms.by_name.len();
            if rooms.by_name.capacity() > 4 * len + 16 {
                rooms.by_name.shrink_to(2 * len);
            }
        }
    }
}
