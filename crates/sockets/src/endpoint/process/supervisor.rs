//! Supervision of one child: it is waited for, told to end when its session has, and reaped.
//!
//! A task per child, over a trait for the child itself, so that all times can be tested without one. When to do what the
//! machine in `ending.rs` decides; what happens to the session it hears from the [`Bond`].

use super::{
    bond::Bond,
    ending::{Ending, Signal},
};
use std::{
    future::{Future, poll_fn},
    io,
    pin::pin,
    process::ExitStatus,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};
use tokio::time::{Instant, sleep, sleep_until};

/// How a child is looked after.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Supervision {
    /// How long it may finish after the end of its input, or without output after that; None: for ever.
    pub grace: Option<Duration>,
    /// Its exit status becomes that of the session.
    pub status_counts: bool,
}

/// A child that runs.
pub(super) trait Subject: Send {
    /// Ready when it has ended and was reaped.
    fn poll_end(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<ExitStatus>>;
    /// Tells the child, and those of its descendants that are in its group, if it leads one.
    fn send(&mut self, signal: Signal) -> io::Result<()>;
    /// Descendants in its group outlive it.
    fn has_survivors(&mut self) -> bool;
    /// Nothing more will be sent: what is left goes on.
    fn leave(&mut self);
    /// For messages.
    fn name(&self) -> String;
}

/// Between looks at descendants that were told to end.
const LOOK: Duration = Duration::from_millis(100);

/// Runs until the child has ended, and so have those whom it was told to take with it.
pub(super) async fn supervise(mut child: impl Subject, supervision: Supervision, bond: Arc<Bond>) {
    let mut ending = Ending::new(supervision.grace);
    let status = until_end(&mut child, &mut ending, &bond).await;
    let name = child.name();
    match &status {
        Ok(status) if status.success() => tracing::debug!("{name} ended: {status}"),
        // We said so when we sent it, and a child that writes to nobody gets SIGPIPE.
        Ok(status) if ending.is_told() || bond.is_alone() && is_signal(status) => {
            tracing::info!("{name} ended: {status}")
        }
        Ok(status) => tracing::warn!("{name} ended: {status}"),
        Err(e) => tracing::warn!("cannot wait for {name}: {e}"),
    }
    bond.report(status.map_err(Arc::new));
    // The child may have ended of the cut before that was heard of here.
    if bond.news().cut && !ending.is_inevitable() {
        ending.handle_cut(Instant::now());
    }
    if ending.is_inevitable() {
        while child.has_survivors() {
            match ending.next_time() {
                None => break,
                Some(at) if at <= Instant::now() => tell(&mut child, "what was started by ", &mut ending),
                Some(_) => sleep(LOOK).await,
            }
        }
    }
    child.leave();
}

async fn until_end(child: &mut impl Subject, ending: &mut Ending, bond: &Bond) -> io::Result<ExitStatus> {
    let (mut steps, mut cut, mut killed) = (0, false, false);
    loop {
        let happened = {
            let mut said = pin!(bond.said());
            let mut time = pin!(async {
                match ending.next_time() {
                    Some(at) => sleep_until(at).await,
                    None => std::future::pending().await,
                }
            });
            poll_fn(|cx| {
                if let Poll::Ready(status) = child.poll_end(cx) {
                    return Poll::Ready(Some(status));
                }
                let said = said.as_mut().poll(cx).is_ready();
                if said || time.as_mut().poll(cx).is_ready() { Poll::Ready(None) } else { Poll::Pending }
            })
            .await
        };
        if let Some(status) = happened {
            return status;
        }
        if bond.is_to_be_killed() && !killed {
            killed = true;
            if let Err(e) = child.send(Signal::Kill) {
                tracing::warn!("cannot kill {}: {e}", child.name());
            }
        }
        let now = Instant::now();
        let news = bond.news();
        if news.cut && !cut {
            cut = true;
            ending.handle_cut(now);
        }
        if news.ended && bond.steps() != steps {
            steps = bond.steps();
            ending.handle_end(now);
        }
        if news.output {
            ending.handle_output(now);
        }
        tell(child, "", ending);
    }
}

/// Sends the signal that is due, if one is. `who` comes before the child's name in messages.
fn tell(child: &mut impl Subject, who: &str, ending: &mut Ending) {
    let Some(signal) = ending.handle_time(Instant::now()) else { return };
    let name = format!("{who}{}", child.name());
    match signal {
        Signal::HangUp => tracing::info!("{name} goes on after the end of its input: SIGHUP (--exec-grace)"),
        Signal::Terminate => tracing::info!("{name} goes on although its session was cut: SIGTERM"),
        Signal::Kill => tracing::warn!("{name} did not end when it was told to: SIGKILL"),
    }
    if let Err(e) = child.send(signal) {
        tracing::warn!("cannot send a signal to {name}: {e}");
    }
}

#[cfg(unix)]
fn is_signal(status: &ExitStatus) -> bool {
    use std::os::unix::process::ExitStatusExt;
    status.signal().is_some()
}

#[cfg(not(unix))]
fn is_signal(_: &ExitStatus) -> bool {
    false
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;
    use std::{
        os::unix::process::ExitStatusExt,
        sync::{Mutex, PoisonError},
    };
    use tokio::sync::oneshot;

    /// A child that dies of the signal it is said to die of.
    struct Fake {
        start: Instant,
        dies_of: Option<Signal>,
        told: Arc<Mutex<Vec<(u64, Signal)>>>,
        end: Option<oneshot::Sender<()>>,
        ended: oneshot::Receiver<()>,
        /// Descendants that only SIGKILL ends.
        survivors: bool,
    }

    impl Subject for Fake {
        fn poll_end(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<ExitStatus>> {
            std::pin::Pin::new(&mut self.ended).poll(cx).map(|_| Ok(ExitStatus::from_raw(0)))
        }
        fn send(&mut self, signal: Signal) -> io::Result<()> {
            let seconds = self.start.elapsed().as_secs();
            self.told.lock().unwrap_or_else(PoisonError::into_inner).push((seconds, signal));
            if signal == Signal::Kill {
                self.survivors = false;
            }
            if signal == Signal::Kill || self.dies_of == Some(signal) {
                self.end = None;
            }
            Ok(())
        }
        fn has_survivors(&mut self) -> bool {
            self.survivors
        }
        fn leave(&mut self) {}
        fn name(&self) -> String {
            "fake".to_owned()
        }
    }

    /// What a child is told, with seconds, while `session` runs; and when it was over.
    async fn told<F: Future<Output = ()>>(
        grace: Option<u64>,
        dies_of: Option<Signal>,
        survivors: bool,
        session: impl FnOnce(Arc<Bond>) -> F,
    ) -> (Vec<(u64, Signal)>, u64) {
        let told = Arc::new(Mutex::new(vec![]));
        let (end, ended) = oneshot::channel();
        let start = Instant::now();
        let child = Fake { start, dies_of, told: told.clone(), end: Some(end), ended, survivors };
        let bond = Arc::new(Bond::new(false));
        let supervision = Supervision { grace: grace.map(Duration::from_secs), status_counts: false };
        let supervisor = tokio::spawn(supervise(child, supervision, bond.clone()));
        session(bond.clone()).await;
        supervisor.await.unwrap();
        assert!(bond.ended().await.is_ok());
        let told = told.lock().unwrap().clone();
        (told, start.elapsed().as_secs())
    }

    async fn seconds(n: u64) {
        sleep(Duration::from_secs(n)).await;
    }

    use Signal::{HangUp, Kill, Terminate};

    #[tokio::test(start_paused = true)]
    async fn the_end_of_input_gives_grace() {
        for (grace, dies_of, expected, over) in [
            (10, Some(HangUp), vec![(110, HangUp)], 110),
            (10, None, vec![(110, HangUp), (115, Kill)], 115),
            (0, None, vec![(100, HangUp), (105, Kill)], 105),
        ] {
            let got = told(Some(grace), dies_of, false, async |bond| {
                seconds(100).await;
                bond.input_ended();
            });
            assert_eq!(got.await, (expected, over));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_child_that_speaks_may_go_on_and_the_end_of_the_session_counts_anew() {
        let got = told(Some(10), Some(HangUp), false, async |bond| {
            bond.input_ended();
            for _ in 0..20 {
                seconds(8).await;
                bond.spoke();
            }
            // The last word was at 160; its grace begins when that is noticed, at the latest one grace later.
            seconds(1).await;
            bond.left_alone();
        });
        assert_eq!(got.await, (vec![(171, HangUp)], 171));
    }

    #[tokio::test(start_paused = true)]
    async fn a_cut_session_has_little_patience() {
        for (dies_of, expected, over) in
            [(Some(Terminate), vec![(1, Terminate)], 1), (None, vec![(1, Terminate), (3, Kill)], 3)]
        {
            let got = told(None, dies_of, false, async |bond| {
                bond.cut();
                bond.input_ended();
                bond.left_alone();
            });
            assert_eq!(got.await, (expected, over));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn an_input_that_nobody_uses_is_no_end() {
        let got = told(Some(10), Some(HangUp), false, async |bond| {
            bond.leave_input_unused();
            bond.input_ended();
            seconds(1000).await;
            bond.left_alone();
        });
        assert_eq!(got.await, (vec![(1010, HangUp)], 1010));
    }

    #[tokio::test(start_paused = true)]
    async fn descendants_do_not_outlive_a_child_that_was_told_to_end() {
        let got = told(Some(0), Some(HangUp), true, async |bond| bond.left_alone());
        assert_eq!(got.await, (vec![(0, HangUp), (5, Kill)], 5));
    }

    #[tokio::test(start_paused = true)]
    async fn descendants_do_not_outlive_a_cut_session_even_if_the_child_ends_at_once() {
        for cut in [true, false] {
            let (told, (_, ended)) = (Arc::new(Mutex::new(vec![])), oneshot::channel());
            let child =
                Fake { start: Instant::now(), dies_of: None, told: told.clone(), end: None, ended, survivors: true };
            let bond = Arc::new(Bond::new(false));
            if cut {
                bond.cut();
            }
            bond.left_alone();
            supervise(child, Supervision { grace: None, status_counts: false }, bond).await;
            let expected = if cut { vec![(1, Terminate), (3, Kill)] } else { vec![] };
            assert_eq!(*told.lock().unwrap(), expected);
        }
    }
}
