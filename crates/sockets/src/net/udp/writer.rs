//! Write half of everything that sends datagrams: joins the chunks of a message, collects messages that come together, and
//! hands them to whoever sends them.

use super::{UdpError, gso, outbox::Outbox, tally::Tally};
use crate::{
    datagram::{DatagramWrite, Flags},
    overlay::assembly::{Assembly, Fed},
};
use std::{
    io,
    task::{Context, Poll, ready},
};

/// How whole datagrams are sent.
pub(super) trait Send: std::marker::Send {
    /// Sends `run` cut into datagrams of `size` bytes, the last one maybe shorter. Pending: repeat with the same.
    fn poll_send(&mut self, cx: &mut Context<'_>, run: &[u8], size: usize) -> Poll<io::Result<()>>;

    /// Another one than before is to get the next datagram: what is kept for the former one has to leave first.
    fn has_turned(&self) -> bool {
        false
    }

    /// Whoever is to get the next datagram gets what follows, until this is called again. Nothing is kept.
    fn turn(&mut self) {}
}

/// Pending: the system's buffer is full, repeat with the same chunk. EOF: is not told to anybody; a message that is not
/// whole by then is dropped with a warning. Control chunks are dropped. Drop midway: loses a message that is not whole, and
/// what was not flushed. Never changes the chunk. Failed sends are errors unless they are to be inhibited; then they are
/// told and the message is lost. The error of an earlier message may be met by a later one.
pub(super) struct UdpWriter<S> {
    send: S,
    assembly: Assembly,
    outbox: Outbox,
    /// `Some`: failed sends do not end anything.
    inhibited: Option<Tally>,
}

impl<S: Send> UdpWriter<S> {
    /// `limit` in bytes for one message.
    pub fn new(send: S, limit: usize, inhibit_errors: bool) -> Self {
        let inhibited = inhibit_errors.then(Tally::default);
        Self { send, assembly: Assembly::new(limit), outbox: Outbox::new(), inhibited }
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

    /// Sends what was kept.
    fn poll_empty(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.outbox.is_empty() {
            let (run, size) = self.outbox.next();
            let len = run.len();
            match ready!(self.send.poll_send(cx, run, size)) {
                Ok(()) => self.outbox.done(len),
                Err(e) if len > size && gso::is_not_possible(&e) => self.outbox.give_up(),
                Err(e) => {
                    // It was told before anything of this was sent, and costs one datagram, as it does without runs.
                    self.outbox.done(size);
                    self.outcome(Err(e))?;
                }
            }
        }
        Poll::Ready(Ok(()))
    }

    /// One whole datagram, which is in the assembly or in `chunk`.
    fn poll_datagram(&mut self, cx: &mut Context<'_>, chunk: Option<&[u8]>, more: bool) -> Poll<io::Result<()>> {
        if self.outbox.is_empty() {
            self.send.turn();
        } else if self.send.has_turned() {
            ready!(self.poll_empty(cx))?;
            self.send.turn();
        }
        if self.outbox.keep(chunk.unwrap_or_else(|| self.assembly.joined()), more) {
            return Poll::Ready(Ok(()));
        }
        ready!(self.poll_empty(cx))?;
        let datagram = chunk.unwrap_or_else(|| self.assembly.joined());
        if self.outbox.keep(datagram, more) {
            return Poll::Ready(Ok(()));
        }
        let result = ready!(self.send.poll_send(cx, datagram, datagram.len()));
        Poll::Ready(self.outcome(result))
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
        let more = flags.any(Flags::MORE);
        match self.assembly.feed(chunk, flags.ends_message()) {
            Err(_) => {
                let error = UdpError::TooLong { limit: self.assembly.limit() };
                Poll::Ready(self.outcome(Err(error.into())))
            }
            Ok(Fed::Kept) => Poll::Ready(Ok(())),
            Ok(Fed::Whole) => self.poll_datagram(cx, Some(chunk), more),
            Ok(Fed::Joined) => {
                let result = ready!(self.poll_datagram(cx, None, more));
                self.assembly.forget();
                Poll::Ready(result)
            }
        }
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_empty(cx)
    }

    fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.assembly.drop_torn();
        self.poll_empty(cx)
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
