//! Whether a peer has spoken lately, for a copier that is to end the other direction of its socket.
//!
//! An exchange sees both directions and lingers by itself. Where a filter is in between, one task copies what the filter says
//! to the peer, and another one reads the peer's replies: they meet in the record of the peer's socket.

use crate::{
    datagram::{BoxDatagramRead, DatagramRead, Flags},
    info::SocketInfo,
};
use std::{
    future::Future as _,
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};
use tokio::time::{Instant, Sleep, sleep};

/// Looking is done in steps of an eighth of the patience, at most this.
const STEP: Duration = Duration::from_millis(250);

/// A reader that tells in its socket's record that the peer has spoken, and that nothing more is read from it.
pub struct Heard {
    inner: BoxDatagramRead,
    info: Arc<SocketInfo>,
}

impl Heard {
    pub fn new(inner: BoxDatagramRead, info: Arc<SocketInfo>) -> Self {
        Self { inner, info }
    }
}

impl DatagramRead for Heard {
    fn poll_chunk(&mut self, cx: &mut Context<'_>, max: usize) -> Poll<io::Result<Flags>> {
        let read = ready!(self.inner.poll_chunk(cx, max));
        match &read {
            Ok(flags) if !flags.any(Flags::EOF) => self.info.outcome.set_spoke(),
            _ => self.info.outcome.set_unheard(),
        }
        Poll::Ready(read)
    }

    fn chunk_mut(&mut self) -> &mut [u8] {
        self.inner.chunk_mut()
    }

    fn consume(&mut self) {
        self.inner.consume();
    }

    fn for_each_inner(&mut self, visit: &mut dyn FnMut(&mut dyn DatagramRead)) {
        visit(&mut *self.inner);
    }

    fn parts_suffice(&mut self) {
        self.inner.parts_suffice();
    }

    fn may_merge(&mut self) {
        self.inner.may_merge();
    }

    fn loop_id(&self) -> Option<usize> {
        self.inner.loop_id()
    }
}

impl Drop for Heard {
    fn drop(&mut self) {
        self.info.outcome.set_unheard();
    }
}

/// Until a peer whose reader is [`Heard`] has been silent for some time, or nobody reads it any more.
pub struct Silence {
    peer: Arc<SocketInfo>,
    patience: Duration,
    since: Instant,
    step: Option<Pin<Box<Sleep>>>,
}

impl Silence {
    pub fn new(peer: Arc<SocketInfo>, patience: Duration) -> Self {
        Self { peer, patience, since: Instant::now(), step: None }
    }

    /// Silence counts from the first call; it is noticed up to an eighth too late.
    pub fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let length = (self.patience / 8).clamp(Duration::from_millis(1), STEP);
        loop {
            if self.peer.outcome.is_unheard() {
                return Poll::Ready(());
            }
            let now = Instant::now();
            let begins = self.step.is_none();
            if self.peer.outcome.take_spoke() || begins {
                self.since = now;
            } else if now.duration_since(self.since) >= self.patience {
                return Poll::Ready(());
            }
            let step = self.step.get_or_insert_with(|| Box::pin(sleep(length)));
            if !begins {
                step.as_mut().reset(now + length);
            }
            ready!(step.as_mut().poll(cx));
        }
    }
}
