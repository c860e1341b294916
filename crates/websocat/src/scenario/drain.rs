//! Who finishes by itself when the program is asked to end: exchanges say good-bye, HTTP servers answer, copies and
//! children that a task waits for come to their end or do not in the time there is. Everything else (lookups, connection
//! attempts, handshakes, pauses) is dropped as soon as none of these is left. Listeners do not count: a session that has not
//! come so far would keep the program from ending.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering::AcqRel},
};
use tokio::sync::Notify;

/// Counts tasks that react to draining.
#[derive(Clone, Debug, Default)]
pub struct Finishers(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    count: AtomicUsize,
    none_left: Notify,
}

/// One such task, while it lives.
#[derive(Debug)]
pub struct Finisher(Arc<Shared>);

impl Finishers {
    pub fn enter(&self) -> Finisher {
        self.0.count.fetch_add(1, AcqRel);
        Finisher(self.0.clone())
    }

    /// Resolves when there is none (left).
    pub async fn none_left(&self) {
        loop {
            let changed = self.0.none_left.notified();
            if self.0.count.load(std::sync::atomic::Ordering::Acquire) == 0 {
                return;
            }
            changed.await;
        }
    }
}

impl Drop for Finisher {
    fn drop(&mut self) {
        if self.0.count.fetch_sub(1, AcqRel) == 1 {
            // A permit stays for whoever looks next.
            self.0.none_left.notify_one();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn waits_for_the_last_one() {
        let finishers = Finishers::default();
        finishers.none_left().await;
        let (a, b) = (finishers.enter(), finishers.enter());
        let mut wait = Box::pin(finishers.none_left());
        drop(a);
        assert!(std::future::poll_fn(|cx| std::task::Poll::Ready(wait.as_mut().poll(cx).is_pending())).await);
        drop(b);
        wait.await;
    }
}
