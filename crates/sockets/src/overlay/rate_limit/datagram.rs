//! Rate limits of message halves: data chunks wait, pings, pongs and ends pass.

use super::{Pace, RateLimit};
use crate::datagram::{BoxDatagramRead, BoxDatagramWrite, DatagramRead, DatagramWrite, Flags};
use std::{
    io,
    task::{Context, Poll, ready},
};

/// Hands out data no faster than it may.
///
/// Pending: as the inner reader, or while a data chunk, which the inner one has announced, waits for the bucket. EOF: as the
/// inner reader. Drop midway: loses what was not consumed.
pub struct RateLimitedSource {
    inner: BoxDatagramRead,
    pace: Pace,
    announced: Option<Flags>,
    /// The inner reader has announced a chunk that waits for the bucket.
    held_back: bool,
}

impl RateLimitedSource {
    pub fn new(inner: BoxDatagramRead, limit: &RateLimit) -> Self {
        Self { inner, pace: Pace::new(limit), announced: None, held_back: false }
    }
}

impl DatagramRead for RateLimitedSource {
    fn poll_chunk(&mut self, cx: &mut Context<'_>, max: usize) -> Poll<io::Result<Flags>> {
        if let Some(flags) = self.announced {
            return Poll::Ready(Ok(flags));
        }
        let flags = ready!(self.inner.poll_chunk(cx, max))?;
        if !flags.any(Flags::CONTROL) {
            self.held_back = true;
            ready!(self.pace.poll_message(cx));
            self.held_back = false;
        }
        self.announced = Some(flags);
        Poll::Ready(Ok(flags))
    }

    fn chunk_mut(&mut self) -> &mut [u8] {
        // Those that wait are not announced yet.
        if self.announced.is_some() { self.inner.chunk_mut() } else { &mut [] }
    }

    fn consume(&mut self) {
        let Some(flags) = self.announced.take() else { return };
        if !flags.any(Flags::CONTROL) {
            self.pace.charge(self.inner.chunk_mut().len(), u64::from(flags.ends_message()));
        }
        self.inner.consume();
    }

    fn for_each_inner(&mut self, visit: &mut dyn FnMut(&mut dyn DatagramRead)) {
        visit(&mut *self.inner);
    }

    fn parts_suffice(&mut self) {
        self.inner.parts_suffice();
    }

    fn may_merge(&mut self) {
        if self.pace.messages.is_none() {
            self.inner.may_merge();
        }
    }

    fn awaits_answer(&mut self) -> bool {
        !self.held_back && self.inner.awaits_answer()
    }
}

/// Takes data no faster than it may.
///
/// Pending: as the inner writer, or while a data chunk waits for the bucket. EOF, flush, shutdown: as the inner writer. Drop
/// midway: as the inner writer, it keeps no bytes. Changes what the inner writer changes.
pub struct RateLimitedSink {
    inner: BoxDatagramWrite,
    pace: Pace,
}

impl RateLimitedSink {
    pub fn new(inner: BoxDatagramWrite, limit: &RateLimit) -> Self {
        Self { inner, pace: Pace::new(limit) }
    }
}

impl DatagramWrite for RateLimitedSink {
    fn poll_write(&mut self, cx: &mut Context<'_>, chunk: &mut [u8], flags: Flags) -> Poll<io::Result<()>> {
        if flags.any(Flags::CONTROL) {
            return self.inner.poll_write(cx, chunk, flags);
        }
        if self.pace.poll_message(cx).is_pending() {
            // Whoever offers a chunk does not flush meanwhile, and what was taken before shall not wait with this one.
            let _ = self.inner.poll_flush(cx)?; // Pending: its waker is ours
            return Poll::Pending;
        }
        let len = chunk.len();
        ready!(self.inner.poll_write(cx, chunk, flags))?;
        self.pace.charge(len, u64::from(flags.ends_message()));
        Poll::Ready(Ok(()))
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.inner.poll_flush(cx)
    }

    fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.inner.poll_shutdown(cx)
    }

    fn transforms(&self) -> bool {
        self.inner.transforms()
    }

    fn may_hold_back(&mut self) {
        self.inner.may_hold_back();
    }

    fn keeps_borders(&self) -> bool {
        self.inner.keeps_borders()
    }

    fn end_is_silent(&self) -> bool {
        self.inner.end_is_silent()
    }
}
