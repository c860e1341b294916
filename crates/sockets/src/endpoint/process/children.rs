//! The supervised children of this process, so that none outlives it.
//!
//! A child is reaped and taken off the list under one lock, and signals are sent under it as well: a process number that the
//! system gave to somebody else meanwhile is never signalled. One that leads a process group stays on the list after its end
//! until nothing more is due to what it had started.

use super::{
    ending::Signal,
    os::{self, Target},
    supervisor::Subject,
};
use std::{
    collections::BTreeMap,
    ffi::OsString,
    future::Future as _,
    io,
    process::ExitStatus,
    sync::{Mutex, MutexGuard, PoisonError},
    task::{Context, Poll},
    thread,
    time::{Duration, Instant},
};
use tokio::sync::watch;

/// How long children may take to end when this process does.
const LAST_CHANCE: Duration = Duration::from_secs(1);
/// Between looks at them then.
const LOOK: Duration = Duration::from_millis(5);

/// A child, or what is left of its group.
struct Kept {
    target: Target,
    /// It was reaped: its number is that of its group only, as long as that has members.
    is_gone: bool,
}

impl Kept {
    fn send(&self, signal: Signal) -> io::Result<()> {
        if self.is_gone { self.target.send_to_survivors(signal) } else { self.target.send(signal) }
    }

    fn is_over(&self) -> bool {
        if self.is_gone { !self.target.has_survivors() } else { self.target.is_over() }
    }
}

static CHILDREN: Mutex<BTreeMap<u32, Kept>> = Mutex::new(BTreeMap::new());

fn children() -> MutexGuard<'static, BTreeMap<u32, Kept>> {
    CHILDREN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// How many children are looked after.
static COUNT: Mutex<Option<watch::Sender<usize>>> = Mutex::new(None);

fn count(change: impl FnOnce(&mut usize)) -> watch::Receiver<usize> {
    let mut count = COUNT.lock().unwrap_or_else(PoisonError::into_inner);
    let count = count.get_or_insert_with(|| watch::Sender::new(0));
    count.send_modify(change);
    count.subscribe()
}

/// Stays with the supervision of a child.
struct Counted;

impl Counted {
    fn new() -> Self {
        count(|n| *n += 1);
        Self
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        count(|n| *n = n.saturating_sub(1));
    }
}

/// Resolves when no child is looked after (any more).
pub async fn children_ended() {
    let mut count = count(|_| {});
    // An error means that nobody counts any more.
    let _ = count.wait_for(|n| *n == 0).await;
}

/// For a process that is about to end and waits no longer: children that still run, and what those have left that were to
/// end, get SIGTERM, and SIGKILL a second later. It blocks for as long as they take.
pub fn end_children() {
    let tell = |signal| {
        for child in children().values() {
            // Somebody else's program may have a user of its own, which only root may signal.
            if let Err(e) = child.send(signal) {
                tracing::warn!("cannot send a signal to child {}: {e}", child.target.id());
            }
        }
    };
    children().retain(|_, child| {
        // It may have been reaped when the runtime ended: its number is nobody's or somebody else's.
        child.is_gone |= child.target.is_over();
        !child.is_over()
    });
    if children().is_empty() {
        return;
    }
    tell(Signal::Terminate);
    let deadline = Instant::now() + LAST_CHANCE;
    while Instant::now() < deadline && !children().values().all(Kept::is_over) {
        thread::sleep(LOOK);
    }
    // And what they had started. Who ended just now is not reaped, so that the number is still his.
    tell(Signal::Kill);
}

/// A child of the operating system, on the list until it is left. Dropped before that, because the runtime is shutting down,
/// it stays there for [`end_children`].
pub(super) struct Listed {
    child: tokio::process::Child,
    program: OsString,
    target: Option<Target>,
    _counted: Counted,
}

impl Listed {
    /// `leads`: the child leads a process group of its own.
    pub fn new(child: tokio::process::Child, program: OsString, leads: bool) -> Self {
        let target = child.id().map(|id| Target::new(id, leads));
        if let Some(target) = target {
            children().insert(target.id(), Kept { target, is_gone: false });
        }
        Self { child, program, target, _counted: Counted::new() }
    }
}

impl Subject for Listed {
    fn poll_end(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<ExitStatus>> {
        let mut children = children();
        let ended = std::pin::pin!(self.child.wait()).poll(cx);
        if let (Poll::Ready(_), Some(target)) = (&ended, &self.target) {
            match children.get_mut(&target.id()) {
                Some(kept) if target.leads() => kept.is_gone = true,
                _ => _ = children.remove(&target.id()),
            }
        }
        ended
    }

    fn send(&mut self, signal: Signal) -> io::Result<()> {
        let _children = children();
        match &self.target {
            // After its end only its group is left.
            Some(target) if self.child.id().is_some() => os::send(&mut self.child, target, signal),
            Some(target) => target.send_to_survivors(signal),
            None => Ok(()),
        }
    }

    fn has_survivors(&mut self) -> bool {
        self.target.as_ref().is_some_and(Target::has_survivors)
    }

    fn leave(&mut self) {
        if let Some(target) = &self.target {
            children().remove(&target.id());
        }
    }

    fn name(&self) -> String {
        let program = self.program.display();
        self.target.as_ref().map_or_else(|| format!("`{program}`"), |t| format!("`{program}` (process {})", t.id()))
    }
}
