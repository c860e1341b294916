//! What may end an exchange from outside: hangups, resets, the request to drain.
//!
//! They hardly ever happen but are waited for all the time. So they get a waker of their own, which sets a flag: an
//! exchange that is woken because there is something to move pays one atomic load for them.

use super::error::{Part, Side};
use crate::{endpoint::process::Bond, hangup::Hangup, info::SocketInfo, owners::Half, socket::Link, stop::Stop};
use std::{
    future::Future,
    io,
    pin::Pin,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering::AcqRel, Ordering::Acquire, Ordering::Release},
    },
    task::{Context, Poll, Wake, Waker},
    time::Duration,
};
use tokio::time::{Instant, Sleep, sleep};
use tokio_util::sync::WaitForCancellationFutureOwned;

#[derive(Debug)]
pub(crate) enum Event {
    Hangup,
    Reset(Side, io::Error),
    Drain,
    /// A step of the idle time-out has passed.
    Idle,
}

/// Remembers that one of the watched futures wants to be polled, and wakes the task that polls the exchange.
struct Signal {
    fired: AtomicBool,
    task: Mutex<Option<Waker>>,
}

impl Wake for Signal {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.fired.store(true, Release);
        if let Some(task) = &*self.task.lock().unwrap_or_else(PoisonError::into_inner) {
            task.wake_by_ref();
        }
    }
}

type Reset = Pin<Box<dyn Future<Output = io::Error> + Send>>;

pub(crate) struct Watch {
    signal: Arc<Signal>,
    task: Option<Waker>,
    hangup: Option<Hangup>,
    resets: [Option<Reset>; 2],
    links: [Option<Link>; 2],
    drained: Option<Pin<Box<WaitForCancellationFutureOwned>>>,
    idle: Option<Box<Idle>>,
    /// Supervised children at the two sides, for exchanges that keep nothing else of them.
    pub children: [Option<Arc<Bond>>; 2],
    /// Write halves that came from other sockets: whether those have a kernel socket.
    foreign_sinks: [Option<bool>; 2],
}

/// The idle time-out, looked at four times in its time: nothing is paid for it per message.
struct Idle {
    sleep: Pin<Box<Sleep>>,
    step: Duration,
    /// Steps without data.
    quiet: u32,
}

/// Steps that make the idle time-out.
const IDLE_STEPS: u32 = 4;

impl Watch {
    /// `drain`: None if the exchange does not care.
    pub fn new(hangup: Option<Hangup>, links: [Option<Link>; 2], drain: Option<Stop>) -> Self {
        let signal = Signal { fired: AtomicBool::new(true), task: Mutex::new(None) };
        Self {
            signal: Arc::new(signal),
            task: None,
            hangup,
            resets: links.clone().map(|link| link.map(|link| -> Reset { Box::pin(link.reset()) })),
            links,
            drained: drain.map(|stop| Box::pin(stop.drained())),
            idle: None,
            children: [None, None],
            foreign_sinks: [None, None],
        }
    }

    /// Write halves may have come from other sockets.
    pub fn know_sinks(&mut self, infos: [&Arc<SocketInfo>; 2]) {
        self.foreign_sinks = infos.map(|info| info.lender(Half::Write).map(|owner| owner.linked));
    }

    /// A kernel socket is below this half of `side`.
    pub fn has_link(&self, side: Side, part: Part) -> bool {
        let foreign = if part == Part::Sink { *side.of(&self.foreign_sinks) } else { None };
        foreign.unwrap_or_else(|| self.link(side).is_some())
    }

    /// [`Event::Idle`] comes four times in each `time`, which is no time that can be waited for if it is zero or endless.
    pub fn watch_idle(&mut self, time: Duration) {
        let step = time / IDLE_STEPS;
        if !step.is_zero() && time != Duration::MAX {
            self.idle = Some(Box::new(Idle { sleep: Box::pin(sleep(step)), step, quiet: 0 }));
        }
    }

    /// One step has passed; `spoke`: with data. True: the time is over.
    pub fn is_idle(&mut self, spoke: bool) -> bool {
        self.idle.as_mut().is_some_and(|idle| {
            idle.quiet = if spoke { 0 } else { idle.quiet + 1 };
            idle.quiet >= IDLE_STEPS
        })
    }

    /// What happened since the last call, one at a time. Registers the task.
    #[inline]
    pub fn poll(&mut self, cx: &mut Context<'_>) -> Option<Event> {
        if !self.task.as_ref().is_some_and(|task| task.will_wake(cx.waker())) {
            self.register(cx);
        }
        if self.signal.fired.load(Acquire) { self.look() } else { None }
    }

    #[cold]
    fn register(&mut self, cx: &mut Context<'_>) {
        self.task = Some(cx.waker().clone());
        *self.signal.task.lock().unwrap_or_else(PoisonError::into_inner) = Some(cx.waker().clone());
    }

    #[cold]
    fn look(&mut self) -> Option<Event> {
        self.signal.fired.swap(false, AcqRel);
        let waker = Waker::from(self.signal.clone());
        let cx = &mut Context::from_waker(&waker);
        let event = self.poll_all(cx)?;
        // The rest is looked at when the exchange has dealt with this one.
        self.signal.fired.store(true, Release);
        Some(event)
    }

    fn poll_all(&mut self, cx: &mut Context<'_>) -> Option<Event> {
        if let Some(hangup) = &mut self.hangup
            && Pin::new(hangup).poll(cx).is_ready()
        {
            self.hangup = None;
            return Some(Event::Hangup);
        }
        for (reset, side) in self.resets.iter_mut().zip([Side::Left, Side::Right]) {
            if let Some(wait) = reset
                && let Poll::Ready(error) = wait.as_mut().poll(cx)
            {
                *reset = None;
                return Some(Event::Reset(side, error));
            }
        }
        if let Some(drained) = &mut self.drained
            && drained.as_mut().poll(cx).is_ready()
        {
            self.drained = None;
            return Some(Event::Drain);
        }
        if let Some(idle) = &mut self.idle {
            let Idle { sleep, step, .. } = &mut **idle;
            if sleep.as_mut().poll(cx).is_ready() {
                // A time too far away to be told never comes.
                if let Some(next) = Instant::now().checked_add(*step) {
                    sleep.as_mut().reset(next);
                }
                return Some(Event::Idle);
            }
        }
        None
    }

    pub fn link(&self, side: Side) -> Option<&Link> {
        side.of(&self.links).as_ref()
    }

    /// Nothing more is expected of `side`: lets go of its kernel socket.
    pub fn forget(&mut self, side: Side) {
        *side.of_mut(&mut self.resets) = None;
        *side.of_mut(&mut self.links) = None;
    }

    /// The session has ended, its sockets will be closed: in order, unless a reset was asked for.
    pub fn discard_unread(&self) {
        self.links.iter().flatten().for_each(Link::discard_unread);
    }

    /// Makes the coming close of `side` a reset. Without a kernel socket below it is an ordinary close.
    pub fn reset_on_close(&self, side: Side) {
        if let Some(Err(error)) = self.link(side).map(Link::reset_on_close) {
            tracing::debug!(%side, %error, "cannot hand a reset on");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::poll_fn;

    async fn next(watch: &mut Watch) -> Event {
        poll_fn(|cx| watch.poll(cx).map_or(Poll::Pending, Poll::Ready)).await
    }

    async fn nothing(watch: &mut Watch) -> bool {
        poll_fn(|cx| Poll::Ready(watch.poll(cx).is_none())).await
    }

    #[tokio::test]
    async fn each_event_comes_once_and_wakes_the_task() {
        let (hang_up, hung_up) = tokio::sync::oneshot::channel::<()>();
        let stop = Stop::new();
        let hangup = Hangup::new(async move { drop(hung_up.await) });
        let mut watch = Watch::new(Some(hangup), [None, None], Some(stop.clone()));
        assert!(nothing(&mut watch).await);
        let (event, ()) = tokio::join!(next(&mut watch), async { stop.drain() });
        assert!(matches!(event, Event::Drain));
        assert!(nothing(&mut watch).await);
        let (event, ()) = tokio::join!(next(&mut watch), async { drop(hang_up) });
        assert!(matches!(event, Event::Hangup));
        assert!(nothing(&mut watch).await);
    }

    #[tokio::test]
    async fn follows_the_exchange_to_another_task() {
        let stop = Stop::new();
        let mut watch = Watch::new(None, [None, None], Some(stop.clone()));
        assert!(nothing(&mut watch).await);
        let other = tokio::spawn(async move { next(&mut watch).await });
        tokio::task::yield_now().await;
        stop.drain();
        assert!(matches!(other.await.unwrap(), Event::Drain));
    }
}
