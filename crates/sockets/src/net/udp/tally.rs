//! Counts what peers can cause as often as they like, so that it is told but cannot fill the log.

use std::time::Duration;
use tokio::time::Instant;

/// Between two messages of one kind.
const PAUSE: Duration = Duration::from_secs(1);

/// Events of one kind: the first is told at once, later ones at most once a second, all of them in numbers.
#[derive(Debug, Default)]
pub struct Tally {
    untold: u64,
    /// Nothing is told before.
    next: Option<Instant>,
}

impl Tally {
    /// One more. Some: tell now how many there were since the last time.
    pub fn note(&mut self) -> Option<u64> {
        self.untold += 1;
        let now = Instant::now();
        if self.next.is_some_and(|next| now < next) {
            return None;
        }
        self.next = now.checked_add(PAUSE);
        self.rest()
    }

    /// Some: how many have not been told, now that nothing more will come.
    pub fn rest(&mut self) -> Option<u64> {
        Some(std::mem::take(&mut self.untold)).filter(|n| *n > 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn all_are_told_but_not_one_by_one() {
        let mut tally = Tally::default();
        assert_eq!([tally.note(), tally.note(), tally.note()], [Some(1), None, None]);
        tokio::time::advance(PAUSE).await;
        assert_eq!([tally.note(), tally.note()], [Some(3), None]);
        assert_eq!([tally.rest(), tally.rest()], [Some(1), None]);
    }
}
