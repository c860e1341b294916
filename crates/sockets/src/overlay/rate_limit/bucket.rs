//! A token bucket without I/O, kept as one moment: the one at which it is full again.
//!
//! Tokens are time: one is worth a second divided by the rate. What passes moves the moment forward, the clock catches up
//! with it. A message larger than the bucket passes when there is anything in it and leaves a debt.

use std::time::Duration;
use tokio::time::Instant;

/// Most that one charge can move: enough for any debt, and within what an [`Instant`] can be moved by.
const FOREVER: Duration = Duration::from_secs(100 * 365 * 86_400);

/// Nanoseconds of a second.
const NANOS: u128 = 1_000_000_000;

fn duration(nanos: u128) -> Duration {
    u64::try_from(nanos).map_or(FOREVER, Duration::from_nanos).min(FOREVER)
}

/// Tokens come in at `rate` per second until there are `burst`. It begins full.
#[derive(Debug)]
pub struct Bucket {
    rate: u64,
    burst: u64,
    /// When it is full again. None or past: it is full.
    full_at: Option<Instant>,
}

impl Bucket {
    /// Zeros count as 1.
    pub fn new(rate: u64, burst: u64) -> Self {
        Self { rate: rate.max(1), burst: burst.max(1), full_at: None }
    }

    /// So many tokens come in during this time; at most a nanosecond too long.
    fn time_of(&self, tokens: u64) -> Duration {
        duration((u128::from(tokens) * NANOS).div_ceil(u128::from(self.rate)))
    }

    /// Time until it is full.
    fn missing(&self, now: Instant) -> Duration {
        self.full_at.map_or(Duration::ZERO, |at| at.saturating_duration_since(now))
    }

    /// Whole tokens in it.
    pub fn available(&self, now: Instant) -> u64 {
        let missing = (self.missing(now).as_nanos() * u128::from(self.rate)).div_ceil(NANOS);
        u64::try_from(missing).map_or(0, |missing| self.burst.saturating_sub(missing))
    }

    /// When there will be so many tokens in it (as many as it holds, if it holds fewer); None: there are.
    pub fn ready_at(&self, tokens: u64, now: Instant) -> Option<Instant> {
        // Rounded down, so that `available` agrees.
        let may_miss = self.burst - tokens.min(self.burst);
        let allowed = duration(u128::from(may_miss) * NANOS / u128::from(self.rate));
        let wait = self.missing(now).checked_sub(allowed).filter(|wait| !wait.is_zero())?;
        now.checked_add(wait)
    }

    /// A share of the bucket that is worth waiting for, so that bytes do not come one by one.
    pub fn worthwhile(&self) -> u64 {
        /// What one packet of Ethernet carries, about.
        const PACKET: u64 = 1400;
        (self.burst / 4).clamp(1, PACKET)
    }

    /// So many tokens are gone; more than there were leave a debt.
    pub fn charge(&mut self, tokens: u64, now: Instant) {
        let from = self.full_at.filter(|at| *at > now).unwrap_or(now);
        self.full_at = Some(from.checked_add(self.time_of(tokens)).unwrap_or(from));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Dice;

    #[test]
    fn it_begins_full_and_fills_up_to_the_burst() {
        let start = Instant::now();
        let mut bucket = Bucket::new(1000, 100);
        assert_eq!((bucket.available(start), bucket.ready_at(100, start)), (100, None));
        bucket.charge(100, start);
        assert_eq!(bucket.available(start), 0);
        assert_eq!(bucket.ready_at(1, start), Some(start + Duration::from_millis(1)));
        assert_eq!(bucket.ready_at(1000, start), Some(start + Duration::from_millis(100)));
        assert_eq!(bucket.available(start + Duration::from_millis(40)), 40);
        assert_eq!(bucket.available(start + Duration::from_secs(9)), 100);
        bucket.charge(1100, start + Duration::from_secs(9));
        assert_eq!(bucket.ready_at(1, start + Duration::from_secs(9)), Some(start + Duration::from_millis(10_001)));
    }

    #[test]
    fn extreme_numbers_do_not_overflow() {
        let now = Instant::now();
        for rate in [0, 1, u64::MAX] {
            for burst in [0, 1, u64::MAX] {
                let mut bucket = Bucket::new(rate, burst);
                for tokens in [0, 1, u64::MAX, u64::MAX] {
                    bucket.charge(tokens, now);
                    bucket.ready_at(tokens, now);
                    bucket.available(now);
                }
            }
        }
    }

    /// Whoever takes what is there whenever something is there gets the rate, and never more than burst and rate allow.
    #[test]
    fn the_rate_is_kept_over_any_time() {
        for seed in 0..200 {
            let mut dice = Dice::new(seed);
            let (rate, burst) = (1 + dice.below(5000) as u64, 1 + dice.below(3000) as u64);
            let mut bucket = Bucket::new(rate, burst);
            let start = Instant::now();
            let (mut now, mut taken) = (start, 0);
            for _ in 0..300 {
                let wanted = 1 + dice.below(50) as u64;
                if let Some(at) = bucket.ready_at(wanted, now) {
                    assert!(at > now, "seed {seed}");
                    now = at;
                }
                let n = bucket.available(now);
                assert!(n >= wanted.min(burst), "seed {seed}: {n} of {wanted}");
                bucket.charge(n, now);
                taken += n;
                let allowed = burst as f64 + rate as f64 * (now - start).as_secs_f64();
                assert!(taken as f64 <= allowed + 0.001, "seed {seed}: {taken} of {allowed}");
                assert!(taken as f64 >= allowed - burst as f64 - 1.0, "seed {seed}: {taken} of {allowed}");
            }
        }
    }
}
