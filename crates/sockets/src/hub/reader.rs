//! Read half of a member: what the others say.

use super::{
    Message, Seat,
    member::{Member, Taken},
};
use crate::{
    buffer::{LARGEST, SIZES, Window, under_pressure},
    datagram::{DatagramRead, Flags},
};
use std::{
    io,
    sync::Arc,
    task::{Context, Poll, ready},
};

/// Lends messages of the room from a pooled buffer, since sinks may change them (masking) and the others have them as well.
///
/// Pending: nothing was said. Messages longer than `max`, or than the largest buffer, come in parts. EOF: when the hub ends the
/// member, with GONE and the body of a Close. Drop: the member hears nothing more and nobody waits for it.
pub struct HubReader {
    member: Arc<Member>,
    seat: Arc<Seat>,
    /// How much was lent of a message that was lent in part only.
    rest: Option<usize>,
    /// Another one waits.
    more: bool,
    window: Window,
    announced: Option<Flags>,
    /// The room knows that the sink waits.
    told_slow: bool,
    body: Vec<u8>,
}

impl HubReader {
    pub(super) fn new(member: Arc<Member>, seat: Arc<Seat>) -> Self {
        Self {
            member,
            seat,
            rest: None,
            more: false,
            window: Window::new(2),
            announced: None,
            told_slow: false,
            body: Vec::new(),
        }
    }

    /// Copies the next part of a message into the window.
    fn lend(&mut self, message: Message, at: usize, max: usize) -> Flags {
        let largest = if under_pressure() { SIZES[1] } else { LARGEST };
        let rest = message.bytes().get(at..).unwrap_or_default();
        let part = rest.get(..max.clamp(1, largest)).unwrap_or(rest);
        if !part.is_empty() {
            self.window.reserve(part.len());
            self.window.push(part);
        }
        let mut flags = message.flags;
        if part.len() < rest.len() {
            flags |= Flags::PARTIAL | Flags::MORE;
            let at = at + part.len();
            self.member.keep_lent(message);
            self.rest = Some(at);
        } else if self.more {
            flags |= Flags::MORE;
        }
        flags
    }
}

impl DatagramRead for HubReader {
    fn poll_chunk(&mut self, cx: &mut Context<'_>, max: usize) -> Poll<io::Result<Flags>> {
        if let Some(flags) = self.announced {
            return Poll::Ready(Ok(flags));
        }
        // One that is let go in the middle of a message gets no more of it.
        let rest = self.rest.take().and_then(|at| self.member.take_lent().map(|message| (message, at)));
        let (message, at) = match rest {
            Some(rest) => rest,
            None => {
                let (taken, refused) = self.member.poll_take(cx, &self.seat.room.name);
                if refused {
                    self.seat.room.wake_first();
                }
                if taken.is_pending() {
                    self.told_slow = false;
                    self.window.release();
                }
                match ready!(taken) {
                    Taken::Message { message, more } => {
                        self.more = more;
                        (message, 0)
                    }
                    Taken::Over(why) => {
                        self.body.extend_from_slice(why.body());
                        let flags = Flags::EOF | Flags::GONE;
                        self.announced = Some(flags);
                        return Poll::Ready(Ok(flags));
                    }
                }
            }
        };
        let flags = self.lend(message, at, max);
        self.announced = Some(flags);
        Poll::Ready(Ok(flags))
    }

    fn chunk_mut(&mut self) -> &mut [u8] {
        if self.body.is_empty() { self.window.filled_mut() } else { &mut self.body }
    }

    fn consume(&mut self) {
        if self.body.is_empty() {
            self.announced = None;
            self.window.skip(self.window.len());
        }
    }

    fn for_each_inner(&mut self, _: &mut dyn FnMut(&mut dyn DatagramRead)) {}

    fn sink_waits(&mut self) {
        if !self.told_slow {
            self.told_slow = true;
            // A single small message need not pin a large buffer.
            self.window.release();
            if self.member.is_slow() {
                self.seat.room.wake_first();
            }
        }
    }
}

impl Drop for HubReader {
    fn drop(&mut self) {
        self.seat.room.remove(&self.member);
        self.member.leave(&self.seat.room.name);
    }
}
