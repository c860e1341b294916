//! Everybody who waits for one thing that itself remembers a single waker only: a shared writer, a shared socket.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Wake, Waker},
};

/// Wakes everybody who was added since the last time; it is a waker itself, for the thing that is waited for.
#[derive(Default)]
pub struct Wakers(Mutex<Vec<Waker>>);

impl Wakers {
    /// Wakes this task, too, next time.
    pub fn add(&self, waker: &Waker) {
        let mut all = self.lock();
        if !all.iter().any(|w| w.will_wake(waker)) {
            all.push(waker.clone());
        }
    }

    pub fn wake_all(&self) {
        // The vector stays, so that waiting costs no allocation; wakers only schedule tasks, they do not come back here.
        self.lock().drain(..).for_each(Waker::wake);
    }

    /// Runs `poll` with a context that wakes everybody, of whom the one behind `cx` is one.
    pub fn poll_with<T>(self: &Arc<Self>, cx: &Context<'_>, poll: impl FnOnce(&mut Context<'_>) -> T) -> T {
        self.add(cx.waker());
        let waker = Waker::from(self.clone());
        poll(&mut Context::from_waker(&waker))
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Waker>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Wake for Wakers {
    fn wake(self: Arc<Self>) {
        self.wake_all();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.wake_all();
    }
}
