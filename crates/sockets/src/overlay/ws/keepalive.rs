//! Keepalive: a ping when a peer has said nothing for some time, an end when it goes on saying nothing (RFC 6455 5.5.2).
//!
//! It costs messages nothing and an idle connection few bytes: the reader leaves a mark when something came (one plain
//! store per read), and [`sweep`](super::sweep) asks for it some times per interval ([`Pulse::beat`]). Times are kept to
//! within one such step: a peer is never given up early, and at most two steps late.

use crate::overlay::traffic_log::LogSink;
use std::{fmt, time::Duration};
use tokio::time::Instant;

/// When to send pings and when to give up. The default does neither.
#[derive(Clone, Default)]
pub struct KeepaliveOptions {
    /// Silence after which a ping is sent, and again after each further one.
    pub ping_interval: Option<Duration>,
    /// Silence after which the connection ends.
    pub ping_timeout: Option<Duration>,
    /// Most pings that are ever sent; None: no limit.
    pub max_sent_pings: Option<u32>,
    /// Gets a line for each answer to a ping.
    pub rtts: Option<LogSink>,
}

impl fmt::Debug for KeepaliveOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeepaliveOptions")
            .field("ping_interval", &self.ping_interval)
            .field("ping_timeout", &self.ping_timeout)
            .field("max_sent_pings", &self.max_sent_pings)
            .finish_non_exhaustive()
    }
}

/// What the reader says of the time since it was asked last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Life {
    /// It waits, and nothing has come.
    Silent,
    /// It waits; something has come.
    Heard,
    /// It waits; only a pong has come.
    Answered,
    /// It does not wait for the peer: what came is still being taken in, perhaps by somebody slow.
    Busy,
    /// It has not waited yet.
    New,
}

impl Life {
    pub const fn from_bits(bits: u8) -> Self {
        match bits {
            0 => Self::Silent,
            1 => Self::Heard,
            2 => Self::Answered,
            _ => Self::Busy,
        }
    }
}

/// What a step asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Beat {
    Nothing,
    Ping,
    GiveUp,
}

/// Bytes of a ping: a number that only this connection knows, and a count.
pub const PING_BODY: usize = 8;

/// Keepalive of one connection. Every connection of a server has one: it is as small as can be.
#[derive(Debug)]
pub struct Pulse {
    /// When the last ping was sent, until it is answered.
    sent: Option<Instant>,
    // A box, as hardly anybody has one.
    rtts: Option<Box<LogSink>>,
    /// Steps without anything, and from how many on the peer is given up; 0 is never.
    silent: u32,
    give_up: u32,
    pings_left: u32,
    pings_sent: u32,
    nonce: u32,
    /// The first step that counts (its lowest bits), until it has come: earlier ones come too soon after the beginning.
    first: u32,
    begun: bool,
    /// Steps without data since the last ping, and how many there are from ping to ping; 0: there are no pings.
    quiet: u8,
    ping_every: u8,
}

/// At most so many steps make an interval.
const FINEST: u8 = 8;

/// Length of a step, and how many make the interval and the time-out. None: there is nothing to do.
fn steps(options: &KeepaliveOptions) -> Option<(Duration, u8, u32)> {
    let some = |time: Option<Duration>| time.filter(|time| !time.is_zero() && *time != Duration::MAX);
    let count = |time: Duration, step: Duration| -> u32 {
        u32::try_from(time.as_nanos().div_ceil(step.as_nanos().max(1))).unwrap_or(u32::MAX)
    };
    match (some(options.ping_interval), some(options.ping_timeout)) {
        (None, None) => None,
        (Some(interval), None) => Some((interval, 1, 0)),
        (None, Some(timeout)) => Some((timeout / 4, 0, 4)),
        (Some(interval), Some(timeout)) => {
            // The largest step that fits both, if it is not too small.
            let rest = Duration::from_nanos((timeout.as_nanos() % interval.as_nanos()) as u64);
            let parts = if rest.is_zero() { 1 } else { count(interval, rest).min(FINEST.into()) as u8 };
            let step = interval / parts.into();
            Some((step, parts, count(timeout, step)))
        }
    }
    .filter(|(step, ..)| !step.is_zero())
}

impl Pulse {
    /// Keepalive as `options` ask for, and how often it wants to be asked; None if they ask for nothing.
    pub fn new(options: KeepaliveOptions, nonce: u32) -> Option<(Self, Duration)> {
        let (step, ping_every, give_up) = steps(&options)?;
        let pulse = Self {
            sent: None,
            rtts: options.rtts.map(Box::new),
            silent: 0,
            give_up,
            pings_left: options.max_sent_pings.unwrap_or(u32::MAX),
            pings_sent: 0,
            nonce,
            first: 0,
            begun: false,
            quiet: 0,
            ping_every,
        };
        Some((pulse, step))
    }

    /// The connection began at this step less one round.
    pub fn begin(&mut self, first: u64) {
        self.first = first as u32;
    }

    /// One step has passed.
    pub fn beat(&mut self, step: u64, life: Life) -> Beat {
        self.begun |= (step as u32).wrapping_sub(self.first) < u32::MAX / 2;
        match life {
            _ if !self.begun => return Beat::Nothing,
            Life::Heard | Life::Busy | Life::New => {
                (self.quiet, self.silent) = (0, 0);
                return Beat::Nothing;
            }
            Life::Answered => self.silent = 0,
            Life::Silent => self.silent = self.silent.saturating_add(1),
        }
        if self.give_up > 0 && self.silent >= self.give_up {
            return Beat::GiveUp;
        }
        self.quiet = (self.quiet + 1) % self.ping_every.max(1);
        //= 6455-5.5.2-4
        if self.ping_every > 0 && self.quiet == 0 && self.pings_left > 0 {
            if self.pings_left != u32::MAX {
                self.pings_left -= 1;
            }
            return Beat::Ping;
        }
        Beat::Nothing
    }

    /// Body of the ping that is sent now.
    pub fn ping(&mut self) -> [u8; PING_BODY] {
        self.pings_sent = self.pings_sent.wrapping_add(1);
        self.sent = Some(Instant::now());
        self.body()
    }

    fn body(&self) -> [u8; PING_BODY] {
        let mut body = [0; PING_BODY];
        let (nonce, count) = (self.nonce.to_be_bytes(), self.pings_sent.to_be_bytes());
        body.iter_mut().zip(nonce.iter().chain(&count)).for_each(|(to, from)| *to = *from);
        body
    }

    /// A pong came. Those that answer nothing, or an older ping, tell nothing about time.
    //= 6455-5.5.3-3
    pub fn answered(&mut self, body: &[u8]) {
        if self.rtts.is_none() || body != self.body() {
            return;
        }
        if let (Some(sent), Some(log)) = (self.sent.take(), &self.rtts) {
            log.line(&format!("RTT {:.6} s", sent.elapsed().as_secs_f64()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pulse(interval: u64, timeout: u64, max_sent_pings: Option<u32>) -> Option<(Pulse, Duration)> {
        let time = |secs| (secs > 0).then_some(Duration::from_secs(secs));
        let (ping_interval, ping_timeout) = (time(interval), time(timeout));
        Pulse::new(KeepaliveOptions { ping_interval, ping_timeout, max_sent_pings, rtts: None }, 7)
    }

    #[test]
    fn steps_fit_both_times() {
        let of = |interval, timeout| {
            pulse(interval, timeout, None).map(|(pulse, step)| (step.as_millis(), pulse.ping_every, pulse.give_up))
        };
        assert_eq!(of(0, 0), None);
        assert_eq!(of(30, 0), Some((30_000, 1, 0)));
        assert_eq!(of(0, 60), Some((15_000, 0, 4)));
        assert_eq!(of(30, 60), Some((30_000, 1, 2)));
        assert_eq!(of(30, 45), Some((15_000, 2, 3)));
        assert_eq!(of(30, 100), Some((10_000, 3, 10)));
        // Not finer than an eighth.
        assert_eq!(of(30, 61), Some((3750, 8, 17)));
        let endless = KeepaliveOptions { ping_interval: Some(Duration::MAX), ..KeepaliveOptions::default() };
        assert!(Pulse::new(endless, 0).is_none());
    }

    #[test]
    fn a_pulse_is_small() {
        assert!(size_of::<Pulse>() <= 56, "{}", size_of::<Pulse>());
    }

    #[test]
    fn what_each_step_asks_for() {
        use {Beat::*, Life::*};
        let (mut pulse, _) = pulse(30, 90, None).unwrap();
        pulse.begin(2);
        let steps = [
            (Life::Silent, Nothing), // too early to count
            (Life::Silent, Ping),
            (Answered, Ping),
            (Heard, Nothing),
            (Life::Silent, Ping),
            (Life::Silent, Ping),
            (Busy, Nothing),
            (Life::Silent, Ping),
            (Life::Silent, Ping),
            (Life::Silent, GiveUp),
        ];
        for (i, (life, expected)) in steps.into_iter().enumerate() {
            assert_eq!(pulse.beat(i as u64 + 1, life), expected, "{i}");
        }
    }

    #[test]
    fn pings_can_run_out_and_the_time_does_not() {
        let (mut pulse, _) = pulse(10, 40, Some(1)).unwrap();
        let beats: Vec<_> = (0..4).map(|i| pulse.beat(i, Life::Silent)).collect();
        assert_eq!(beats, [Beat::Ping, Beat::Nothing, Beat::Nothing, Beat::GiveUp]);
    }
}
