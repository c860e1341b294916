//! Write half of everything that sends datagrams: joins the chunks of a message, then hands it to whoever sends it.

use super::{UdpError, tally::Tally};
use crate::{
    datagram::{DatagramWrite, Flags},
    overlay::assembly::{Assembly, Fed},
};
use std::{
    io,
    task::{Context, Poll, ready},
};

/// How one whole datagram is sent.
pub(super) trait Send: std::marker::Send {
    /// Pending: repeat with the same datagram.
    fn poll_send(&mut self, cx: &mut Context<'_>, datagram: &[u8]) -> Poll<io::Result<()>>;
}

/// Pending: the system's buffer is full, repeat with the same chunk. EOF: is not told to anybody; a message that is not
/// whole by then is dropped with a warning. Control chunks are dropped. Drop midway: loses a message that is not whole.
/// Never changes the chunk. Failed sends are errors unless they are to be inhibited; then they are told and the message is
/// lost.
pub(super) struct UdpWriter<S> {
    send: S,
    assembly: Assembly,
    /// `Some`: failed sends do not end anything.
    inhibited: Option<Tally>,
}

impl<S: Send> UdpWriter<S> {
    /// `limit` in bytes for one message.
    pub fn new(send: S, limit: usize, inhibit_errors: bool) -> Self {
        Self { send, assembly: Assembly::new(limit), inhibited: inhibit_errors.then(Tally::default) }
    }

    fn outcome(&mut self, result: io::Result<()>) -> io::Result<()> {
        let (Err(error), Some(tally)) = (&result, &mut self.inhibited) else {
            return result;
        };
        if let Some(n) = tally.note() {
            tracing::warn!("{n} datagrams were not sent: {error}");
        }
        Ok(())
    }
}

impl<S: Send> DatagramWrite for UdpWriter<S> {
    fn poll_write(&mut self, cx: &mut Context<'_>, chunk: &mut [u8], flags: Flags) -> Poll<io::Result<()>> {
        if flags.any(Flags::EOF) {
            self.assembly.drop_torn();
        }
        if flags.any(Flags::CONTROL) {
            return Poll::Ready(Ok(()));
        }
        let result = match self.assembly.feed(chunk, flags.ends_message()) {
            Err(_) => Err(UdpError::TooLong { limit: self.assembly.limit() }.into()),
            Ok(Fed::Kept) => return Poll::Ready(Ok(())),
            Ok(Fed::Whole) => ready!(self.send.poll_send(cx, chunk)),
            Ok(Fed::Joined) => {
                let result = ready!(self.send.poll_send(cx, self.assembly.joined_mut()));
                self.assembly.forget();
                result
            }
        };
        Poll::Ready(self.outcome(result))
    }

    fn poll_flush(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.assembly.drop_torn();
        Poll::Ready(Ok(()))
    }

    fn end_is_silent(&self) -> bool {
        true
    }
}

impl<S> Drop for UdpWriter<S> {
    fn drop(&mut self) {
        if let Some(n) = self.inhibited.as_mut().and_then(Tally::rest) {
            tracing::warn!("{n} more datagrams were not sent");
        }
    }
}
