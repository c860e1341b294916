//! Rate limits: so many bytes, or messages, a second.
//!
//! Token buckets (`bucket.rs`) in front of halves of either kind. Nothing is lost: whoever is too fast waits, and so does
//! the peer behind it. Each half has buckets of its own. A waiting half has one timer, which is made at its first wait.

mod bucket;
mod datagram;
mod stream;

pub use datagram::{RateLimitedSink, RateLimitedSource};
pub use stream::{RateLimitedRead, RateLimitedWrite};

use bucket::Bucket;
use std::{
    future::Future as _,
    num::NonZeroU64,
    pin::Pin,
    task::{Context, Poll, ready},
};
use tokio::time::{Instant, Sleep, sleep_until};

/// How fast a half may be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RateLimit {
    /// Bytes per second.
    pub bytes: Option<NonZeroU64>,
    /// Bytes that may pass at once after a pause; a tenth of a second's worth if not given.
    pub burst_bytes: Option<NonZeroU64>,
    /// Messages per second. Not for byte streams.
    pub messages: Option<NonZeroU64>,
    /// Messages that may pass at once after a pause; a tenth of a second's worth, but at least one, if not given.
    pub burst_messages: Option<NonZeroU64>,
}

/// Buckets of one half and the timer that it waits with.
#[derive(Debug)]
struct Pace {
    bytes: Option<Bucket>,
    messages: Option<Bucket>,
    timer: Option<Pin<Box<Sleep>>>,
}

impl Pace {
    fn new(limit: &RateLimit) -> Self {
        let bucket = |rate: Option<NonZeroU64>, burst: Option<NonZeroU64>| {
            let rate = rate?.get();
            Some(Bucket::new(rate, burst.map_or(rate / 10, NonZeroU64::get).max(1)))
        };
        Self {
            bytes: bucket(limit.bytes, limit.burst_bytes),
            messages: bucket(limit.messages, limit.burst_messages),
            timer: None,
        }
    }

    /// Ready when another message, of whatever length, may pass.
    fn poll_message(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let now = Instant::now();
        let later = |bucket: &Option<Bucket>| bucket.as_ref().and_then(|bucket| bucket.ready_at(1, now));
        match later(&self.bytes).max(later(&self.messages)) {
            None => Poll::Ready(()),
            Some(at) => self.wait(cx, at),
        }
    }

    /// Ready with the number of bytes that may pass, once that is worth a system call.
    fn poll_bytes(&mut self, cx: &mut Context<'_>) -> Poll<usize> {
        loop {
            let now = Instant::now();
            let Some(bucket) = &self.bytes else { return Poll::Ready(usize::MAX) };
            match bucket.ready_at(bucket.worthwhile(), now) {
                None => return Poll::Ready(usize::try_from(bucket.available(now)).unwrap_or(usize::MAX).max(1)),
                Some(at) => ready!(self.wait(cx, at)),
            }
        }
    }

    /// These bytes passed; `messages` is 1 when they end one.
    fn charge(&mut self, bytes: usize, messages: u64) {
        if bytes == 0 && messages == 0 {
            return;
        }
        let now = Instant::now();
        if let Some(bucket) = &mut self.bytes {
            bucket.charge(bytes as u64, now);
        }
        if let Some(bucket) = &mut self.messages {
            bucket.charge(messages, now);
        }
    }

    fn wait(&mut self, cx: &mut Context<'_>, at: Instant) -> Poll<()> {
        let timer = self.timer.get_or_insert_with(|| Box::pin(sleep_until(at)));
        if timer.deadline() != at {
            timer.as_mut().reset(at);
        }
        timer.as_mut().poll(cx)
    }
}

#[cfg(test)]
mod tests;
