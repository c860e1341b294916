//! How long our Close may wait for a peer that takes nothing of what is before it (RFC 6455 7.1.1).
//!
//! The writer asks while it cannot get its Close out ([`Patience`]), and whoever waits for the answer as long as the kernel
//! still has it ([`Way`]). A peer that still reads, however slowly, is waited for, as is one that says something while we
//! have to write; one that does neither for [`STUCK`] is given up. Costs memory only meanwhile.

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
/// While what is before our Close does not leave: a peer may read nothing because it has been stopped, or its user is not
/// done with a page. All that we have taken is lost when it is given up. As long as the usual time-out of pings, and as
/// servers of files wait.
pub(super) const STUCK: Duration = Duration::from_secs(60);

pub struct Patience {
    sleep: Pin<Box<Sleep>>,
    /// What had not left when it began to wait.
    waits: Option<(usize, usize)>,
}

impl Patience {
    /// `gathered`: what the stream has not taken yet.
    pub fn new(control: &Control, gathered: usize) -> Self {
        control.set(UNHEARD);
        Self { sleep: Box::pin(sleep(STUCK)), waits: waits(control, gathered) }
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
            self.sleep.as_mut().reset(Instant::now() + STUCK);
        }
    }
}

/// Our Close, and what is before it, on its way through the kernel.
pub struct Way {
    unsent: usize,
    since: Instant,
}

impl Way {
    /// False: there is nothing to wait for any more, or no hope. Otherwise it is to be asked again.
    pub fn go_on(way: &mut Option<Self>, unsent: usize) -> bool {
        let now = Instant::now();
        match way {
            // Silence counts from now on.
            _ if unsent == 0 => way.take().is_some(),
            Some(way) if way.unsent == unsent => now.saturating_duration_since(way.since) < STUCK,
            _ => {
                *way = Some(Self { unsent, since: now });
                true
            }
        }
    }
}

/// What has not left, here and in the kernel; None if the kernel does not say. Without it nothing hides what the peer takes.
fn waits(control: &Control, gathered: usize) -> Option<(usize, usize)> {
    let kernel = control.link.as_ref().map_or(Some(0), Link::unsent);
    kernel.map(|kernel| (gathered, kernel))
}
