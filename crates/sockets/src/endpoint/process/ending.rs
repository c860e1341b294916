//! When a child that is no longer needed gets which signal: a state machine without I/O and without a clock.
//!
//! An orderly end: its input was closed, it may finish. It gets `grace` from then on, counted anew from whatever it still
//! says, then SIGHUP, and 5 s later SIGKILL. A session that was cut (its peer vanished or was reset) leaves it 1 s, then
//! comes SIGTERM, and 2 s later SIGKILL. Nothing happens while the session lives and the input is open.

use std::time::Duration;
use tokio::time::Instant;

/// From SIGHUP to SIGKILL: for children that write something down first.
const AFTER_HANG_UP: Duration = Duration::from_secs(5);
/// From the cut to SIGTERM: most children end by themselves when their input does.
const AFTER_CUT: Duration = Duration::from_secs(1);
/// From SIGTERM to SIGKILL.
const AFTER_TERMINATE: Duration = Duration::from_secs(2);

/// What a child is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    HangUp,
    Terminate,
    Kill,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Running,
    /// It may finish until then; None: for ever.
    Finishing(Option<Instant>),
    Cut(Instant),
    /// It was told to end.
    Told(Instant),
    /// Nothing more can be done.
    Killed,
}

/// Order of calls: `handle_*` as things happen, then [`Ending::next_time`] says when to call [`Ending::handle_time`].
#[derive(Debug)]
pub struct Ending {
    grace: Option<Duration>,
    phase: Phase,
}

impl Ending {
    /// `grace`: how long the child may finish; None: for ever.
    pub fn new(grace: Option<Duration>) -> Self {
        Self { grace, phase: Phase::Running }
    }

    /// The child's input was closed in order, or its session was left in order.
    pub fn handle_end(&mut self, now: Instant) {
        if let Phase::Running | Phase::Finishing(_) = self.phase {
            // A time too far away to be told never comes.
            self.phase = Phase::Finishing(self.grace.and_then(|grace| now.checked_add(grace)));
        }
    }

    /// The child said something at `now`.
    pub fn handle_output(&mut self, now: Instant) {
        if let Phase::Finishing(_) = self.phase {
            self.handle_end(now);
        }
    }

    /// The session was cut.
    pub fn handle_cut(&mut self, now: Instant) {
        match self.phase {
            Phase::Running | Phase::Finishing(_) => self.phase = Phase::Cut(now + AFTER_CUT),
            Phase::Told(kill) => self.phase = Phase::Told(kill.min(now + AFTER_CUT + AFTER_TERMINATE)),
            Phase::Cut(_) | Phase::Killed => {}
        }
    }

    /// When something is to be done; None: not before something happens.
    pub fn next_time(&self) -> Option<Instant> {
        match self.phase {
            Phase::Running | Phase::Finishing(None) | Phase::Killed => None,
            Phase::Finishing(Some(at)) | Phase::Cut(at) | Phase::Told(at) => Some(at),
        }
    }

    /// The signal that is due.
    pub fn handle_time(&mut self, now: Instant) -> Option<Signal> {
        if self.next_time().is_none_or(|at| now < at) {
            return None;
        }
        let (phase, signal) = match self.phase {
            Phase::Finishing(_) => (Phase::Told(now + AFTER_HANG_UP), Signal::HangUp),
            Phase::Cut(_) => (Phase::Told(now + AFTER_TERMINATE), Signal::Terminate),
            _ => (Phase::Killed, Signal::Kill),
        };
        self.phase = phase;
        Some(signal)
    }

    /// It was told to end.
    pub fn is_told(&self) -> bool {
        matches!(self.phase, Phase::Told(_) | Phase::Killed)
    }

    /// It was told to end, or is going to be because its session was cut.
    pub fn is_inevitable(&self) -> bool {
        self.is_told() || matches!(self.phase, Phase::Cut(_))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GRACE: Duration = Duration::from_secs(10);

    /// Signals with the seconds at which they come, when everything happens at its time.
    fn signals(ending: &mut Ending, start: Instant) -> Vec<(f64, Signal)> {
        let mut out = vec![];
        while let Some(at) = ending.next_time() {
            assert_eq!(ending.handle_time(at - Duration::from_millis(1)), None, "too early");
            out.push(((at - start).as_secs_f64(), ending.handle_time(at).unwrap()));
        }
        out
    }

    #[test]
    fn an_orderly_end_gives_grace_then_hangs_up_then_kills() {
        let start = Instant::now();
        let mut ending = Ending::new(Some(GRACE));
        assert_eq!((ending.next_time(), ending.handle_time(start + GRACE)), (None, None));
        ending.handle_end(start);
        assert_eq!(signals(&mut ending, start), [(10.0, Signal::HangUp), (15.0, Signal::Kill)]);
    }

    #[test]
    fn output_and_the_end_of_the_session_begin_the_grace_anew() {
        let start = Instant::now();
        let mut ending = Ending::new(Some(GRACE));
        ending.handle_output(start);
        assert_eq!(ending.next_time(), None, "output of a session that lives is nothing special");
        ending.handle_end(start);
        ending.handle_output(start + GRACE / 2);
        assert_eq!(ending.next_time(), Some(start + GRACE * 3 / 2));
        ending.handle_end(start + GRACE);
        assert_eq!(signals(&mut ending, start), [(20.0, Signal::HangUp), (25.0, Signal::Kill)]);
        ending.handle_output(start + GRACE * 3);
        assert_eq!(ending.next_time(), None);
    }

    #[test]
    fn a_cut_session_terminates_then_kills() {
        for orderly in [false, true] {
            let start = Instant::now();
            let mut ending = Ending::new(Some(GRACE));
            if orderly {
                ending.handle_end(start);
            }
            ending.handle_cut(start);
            ending.handle_cut(start + Duration::from_millis(500));
            ending.handle_end(start);
            assert_eq!(signals(&mut ending, start), [(1.0, Signal::Terminate), (3.0, Signal::Kill)]);
        }
    }

    #[test]
    fn a_cut_after_the_hang_up_does_not_give_more_time() {
        let start = Instant::now();
        let mut ending = Ending::new(Some(Duration::ZERO));
        ending.handle_end(start);
        assert_eq!(ending.handle_time(start), Some(Signal::HangUp));
        ending.handle_cut(start + Duration::from_secs(1));
        assert_eq!(signals(&mut ending, start), [(4.0, Signal::Kill)]);
    }

    #[test]
    fn without_a_limit_only_a_cut_ends_it() {
        let start = Instant::now();
        for grace in [None, Some(Duration::MAX)] {
            let mut ending = Ending::new(grace);
            ending.handle_end(start);
            assert_eq!(ending.next_time(), None);
            ending.handle_cut(start);
            assert!(!ending.is_told());
            assert_eq!(signals(&mut ending, start).len(), 2);
            assert!(ending.is_told());
        }
    }
}
