//! A tiny executor for tests: one future, one thread, no clock, and an error instead of a hang.

use std::{
    future::Future,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    task::{Context, Poll, Wake, Waker},
};

struct Woken(AtomicBool);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.store(true, SeqCst);
    }
}

/// Polls until the end.
///
/// # Panics
/// When the future is Pending and nobody woke it meanwhile: with sockets in memory only, that is a lost wake-up or a
/// deadlock, which would be a hang under a real runtime.
pub fn drive<F: Future>(future: F) -> F::Output {
    let woken = Arc::new(Woken(AtomicBool::new(false)));
    let waker = Waker::from(woken.clone());
    let mut cx = Context::from_waker(&waker);
    let mut future = pin!(future);
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut cx) {
            return output;
        }
        assert!(woken.0.swap(false, SeqCst), "stalled: Pending, and nobody will wake the task");
    }
}

#[cfg(test)]
mod tests {
    use super::drive;

    #[test]
    fn self_wakes_go_on_and_stalls_are_found() {
        let mut left = 3;
        drive(std::future::poll_fn(|cx| {
            left -= 1;
            cx.waker().wake_by_ref();
            if left == 0 { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
        }));
        assert_eq!(left, 0);
        assert!(std::panic::catch_unwind(|| drive(std::future::pending::<()>())).is_err());
    }
}
