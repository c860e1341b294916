//! How long our Close may wait for a peer that takes nothing of what is before it (RFC 6455 7.1.1).
//!
//! The writer asks while it cannot get its Close out. A peer that still reads, however slowly, or that says something is
//! waited for; one that does neither for as long as an answer may take is given up. Costs memory only meanwhile.

use super::{
    WsError,
    control::{Control, UNHEARD},
};
use crate::socket::Link;
use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};
use tokio::time::{Instant, Sleep, sleep};

/// After our own end was sent: peers that answer do so within a round trip and some work, those that do not, never.
pub(crate) const ANSWER: Duration = Duration::from_secs(5);

pub struct Patience {
    sleep: Pin<Box<Sleep>>,
    /// What had not left when it began to wait.
    waits: Option<(usize, usize)>,
}

impl Patience {
    /// `gathered`: what the stream has not taken yet.
    pub fn new(control: &Control, gathered: usize) -> Self {
        control.set(UNHEARD);
        Self { sleep: Box::pin(sleep(ANSWER)), waits: waits(control, gathered) }
    }

    /// Ready with an error when there is no hope any more; Pending wakes the task when that may be so.
    //= 6455-7.1.1-2
    pub fn poll(&mut self, cx: &mut Context<'_>, control: &Control, gathered: usize) -> Poll<WsError> {
        loop {
            ready!(self.sleep.as_mut().poll(cx));
            let waits = waits(control, gathered);
            if waits.is_none() {
                return Poll::Pending; // the ping time-out has to do
            }
            if self.waits == waits && control.flags() & UNHEARD != 0 {
                return Poll::Ready(WsError::Unread);
            }
            control.set(UNHEARD);
            self.waits = waits;
            self.sleep.as_mut().reset(Instant::now() + ANSWER);
        }
    }
}

/// What has not left, here and in the kernel; None if the kernel does not say. Without it nothing hides what the peer takes.
fn waits(control: &Control, gathered: usize) -> Option<(usize, usize)> {
    let kernel = control.link.as_ref().map_or(Some(0), Link::unsent);
    kernel.map(|kernel| (gathered, kernel))
}
