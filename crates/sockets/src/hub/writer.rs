//! Write half of a member: what it says to the others.

use super::{HubError, HubOptions, Message, Seat, member::Member, room::Publisher};
use crate::{
    datagram::{DatagramWrite, Flags},
    overlay::assembly::{Assembly, Fed, TooLong},
};
use std::{
    io,
    sync::Arc,
    task::{Context, Poll},
};

/// Says whole messages in the room: the parts of one wait here until the last has come.
///
/// Pending: a member has no room, by policy or because it had no time yet; repeat with the same chunk. Pings, pongs and the
/// end stay here. Drop midway: the message that is not whole is lost, those that are whole were said. Changes no bytes.
/// A message that is too long is an error, and so is the rest of it.
pub struct HubWriter {
    member: Arc<Member>,
    publisher: Publisher,
    assembly: Assembly,
    /// Of the message that is being joined.
    flags: Option<Flags>,
    /// A whole message waits, which the member has.
    waits: bool,
    prefix: Box<str>,
    /// Last: the room may vanish with it.
    seat: Arc<Seat>,
}

impl HubWriter {
    pub(super) fn new(member: Arc<Member>, seat: Arc<Seat>, options: &HubOptions, prefix: Box<str>) -> Self {
        Self {
            member,
            publisher: Publisher::new(seat.room.clone()),
            assembly: Assembly::new(options.max_message),
            flags: None,
            waits: false,
            prefix,
            seat,
        }
    }

    /// Takes a chunk; gives the message if that is whole now.
    fn feed(&mut self, chunk: &[u8], flags: Flags) -> Result<Option<Message>, HubError> {
        let last = flags.ends_message();
        let kept = Flags::from_bits(flags.bits() & (Flags::TEXT | Flags::UTF8).bits());
        // All of it was found to be UTF-8, or somebody has to look.
        let kept = self.flags.map_or(kept, |before| if kept.any(Flags::UTF8) { before } else { before - Flags::UTF8 });
        let fed = self.assembly.feed(chunk, last);
        self.flags = (!last).then_some(kept);
        let prefix = if kept.any(Flags::TEXT) { self.prefix.as_bytes() } else { &[] };
        let message = |bytes: &[u8]| self.seat.hub.message([prefix, bytes], kept).map(Some);
        match fed {
            Err(TooLong) => Err(HubError::MessageTooLong(self.assembly.limit())),
            Ok(Fed::Kept) => Ok(None),
            Ok(Fed::Whole) => message(chunk),
            Ok(Fed::Joined) => {
                let message = message(self.assembly.joined());
                self.assembly.forget();
                message
            }
        }
    }
}

impl Drop for HubWriter {
    fn drop(&mut self) {
        self.member.take_said();
    }
}

impl DatagramWrite for HubWriter {
    fn poll_write(&mut self, cx: &mut Context<'_>, chunk: &mut [u8], flags: Flags) -> Poll<io::Result<()>> {
        if flags.any(Flags::CONTROL) {
            if flags.any(Flags::EOF) {
                self.flags = None;
                self.assembly.drop_torn();
            }
            return Poll::Ready(Ok(()));
        }
        // What somebody had to say who was let go meanwhile is said no more.
        let message = if std::mem::take(&mut self.waits) { self.member.take_said() } else { self.feed(chunk, flags)? };
        if let Some(message) = message
            && self.publisher.poll_publish(cx, &message, Some(&self.member)).is_pending()
        {
            self.waits = true;
            self.member.keep_said(message);
            return Poll::Pending;
        }
        self.publisher.give_up();
        Poll::Ready(Ok(()))
    }

    fn poll_flush(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.publisher.flush();
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_flush(cx)
    }

    fn end_is_silent(&self) -> bool {
        true
    }
}
