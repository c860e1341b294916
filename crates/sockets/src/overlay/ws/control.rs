//! What the two halves of a WebSocket tell each other: frames owed to the peer, who has ended, how to wake the writer.
//!
//! The reader owes (pongs, an answer to Close), the writer pays at its next flush. On the path of messages this costs one
//! atomic load per flush; the lock is taken only for control frames. Memory is bounded: [`MAX_PONGS`] pongs.

use super::{
    keepalive::{Beat, Life, PING_BODY, Pulse},
    patience::{Patience, Way},
    text::TextInvalid,
    writer::Core,
};
use crate::{info::SocketInfo, socket::Link};
use std::{
    num::NonZeroU16,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU8, AtomicU16, Ordering},
    },
    task::{Context, Poll, Waker},
    time::Duration,
};
use tokio::time::Instant;

/// Pongs that wait together when their pings came together: peers like to see each of a burst answered. When the stream
/// stalls, or more come, only the newest counts (RFC 6455 5.5.3).
const MAX_PONGS: u8 = 16;
/// The queue of pongs keeps at most this much memory while it is empty: a usual ping or two.
const KEPT: usize = 64;

/// Pongs wait in [`Owed::pongs`].
pub const PONG: u16 = 1;
/// A Close waits in [`Owed::close`].
pub const CLOSE: u16 = 2;
/// A ping is due: [`Owed::next_ping`].
pub const PING: u16 = 256;
/// There is something for the writer to do.
pub const OWED: u16 = PONG | CLOSE | PING;
/// The peer is given up: the reader shall say so.
pub const SILENT: u16 = 512;
/// The reader has seen the end (Close, error, end of the stream): no more pings, and the stream may be finished.
pub const PEER_DONE: u16 = 4;
/// The peer's Close had no status code: ours has none either, unless the other side of the session gives one.
pub const EMPTY_CLOSE: u16 = 8;
/// The writer's flush waits for the stream.
pub const STALLED: u16 = 16;
/// Our Close has been put out, or our end has come and shall not be said: whatever ends the connection now ends it in order.
pub const CLOSED: u16 = 64;
/// The stream has ended, or nobody will read it any more: nothing is to be waited for before we end it.
pub const STREAM_OVER: u16 = 128;
/// The reader is behind, because its sink was: what comes now may have been sent long ago.
pub const BEHIND: u16 = 1024;
/// Set by a writer that does not get its Close out, cleared by the reader when the peer says something.
pub const UNHEARD: u16 = 2048;
/// The peer is given up because it takes nothing.
pub const UNREAD: u16 = 4096;
/// The writer was dropped and its core is in [`Late::parked`].
pub const PARKED: u16 = 32;

/// In a box, as hardly any connection has one.
#[derive(Clone, Debug)]
pub struct CloseReason(pub Box<str>);

/// The options that matter beyond one half.
#[derive(Clone, Debug, Default)]
pub struct Rules {
    pub no_close_frame: bool,
    pub shutdown_socket_on_eof: bool,
    pub answer_close: bool,
    pub require_close: bool,
    pub text: TextInvalid,
    pub own_control: bool,
    pub close_code: Option<u16>,
    pub close_reason: Option<Box<CloseReason>>,
    pub client: bool,
}

impl Rules {
    /// Our Close asks for an answer. One without a code may end one direction only, and then the other may be silent for hours.
    pub fn is_answered(&self) -> bool {
        self.answer_close && !self.no_close_frame && self.close_code.is_some()
    }
}

pub struct Control {
    flags: AtomicU16,
    /// A [`Life`], of which the reader keeps account.
    life: AtomicU8,
    /// Pings and pongs that the peer may send per second; 0 is any number.
    rate: u32,
    pub rules: Rules,
    pub info: Arc<SocketInfo>,
    /// The kernel's socket, if there is one.
    pub link: Option<Link>,
    owed: Mutex<Owed>,
}

#[derive(Default)]
pub struct Owed {
    /// Payloads, oldest first, each after a byte that says its length.
    pub pongs: Vec<u8>,
    count: u8,
    /// Pings that will still be answered; `u32::MAX` means all.
    allowed: u32,
    /// When what came so far would have come at that rate, or since when we are [`BEHIND`].
    paced: Option<Instant>,
    pulse: Option<Box<Pulse>>,
    /// Status code of the Close that is due.
    pub close: Option<NonZeroU16>,
    writer: Option<Waker>,
    /// Of the task that reads: it hears that the peer is given up, and drives a writer that was parked.
    reader: Option<Waker>,
    late: Option<Box<Late>>,
}

/// What hardly any connection has before its end, or at it.
#[derive(Default)]
pub struct Late {
    /// Our Close does not get out.
    pub patience: Option<Patience>,
    /// It has, and silence of the peer would count if it had left the kernel.
    way: Option<Way>,
    /// What is left of a dropped writer. It must not refer to the control block that holds it.
    parked: Option<Box<Core>>,
}

impl Owed {
    pub fn late(&mut self) -> &mut Late {
        self.late.get_or_insert_default()
    }

    /// The writer waits no more for its Close.
    pub fn end_patience(&mut self) {
        if let Some(late) = &mut self.late {
            late.patience = None;
        }
    }

    /// All pongs were written.
    pub fn clear_pongs(&mut self) {
        self.count = 0;
        self.pongs.clear();
        self.pongs.shrink_to(KEPT);
    }

    /// The oldest pong was taken.
    pub fn pop_pong(&mut self) {
        if let Some(&len) = self.pongs.first() {
            self.pongs.drain(..=usize::from(len).min(self.pongs.len() - 1));
            self.count = self.count.saturating_sub(1);
        }
    }

    /// Body of the ping that is due.
    pub fn next_ping(&mut self) -> [u8; PING_BODY] {
        self.pulse.as_mut().map(|pulse| pulse.ping()).unwrap_or_default()
    }

    fn push_pong(&mut self, body: &[u8]) {
        // Control payloads have at most 125 bytes, as the decoder sees to.
        self.pongs.push(body.len() as u8);
        self.pongs.extend_from_slice(body);
        self.count += 1;
    }
}

impl Control {
    /// `pongs`: how many pings are answered; None: all. `rate`: how many pings and pongs may come per second.
    pub fn new(
        rules: Rules,
        info: Arc<SocketInfo>,
        link: Option<Link>,
        pongs: Option<usize>,
        rate: Option<u32>,
    ) -> Self {
        let allowed = pongs.and_then(|n| u32::try_from(n).ok()).unwrap_or(u32::MAX);
        let owed = Owed { allowed, ..Owed::default() };
        let (flags, life) = (AtomicU16::new(0), AtomicU8::new(Life::New as u8));
        Self { flags, life, rate: rate.unwrap_or(0), rules, info, link, owed: Mutex::new(owed) }
    }

    /// The reader's mark of how the peer is.
    #[inline]
    pub fn set_life(&self, life: Life) {
        self.life.store(life as u8, Ordering::Relaxed);
    }

    pub fn keep_alive(&self, pulse: Pulse) {
        self.owed().pulse = Some(Box::new(pulse));
    }

    /// See [`Pulse::begin`].
    pub fn begin_pulse(&self, first: u64) {
        if let Some(pulse) = &mut self.owed().pulse {
            pulse.begin(first);
        }
    }

    /// One step of the keepalive has passed. False: it is of no use any more.
    pub fn beat(&self, step: u64) -> bool {
        let flags = self.flags();
        if flags & (PEER_DONE | SILENT) != 0 {
            return false;
        }
        let seen = self.life.load(Ordering::Relaxed);
        let life = Life::from_bits(seen);
        if matches!(life, Life::Heard | Life::Answered) {
            // What the reader puts there meanwhile is for the next step.
            let silent = Life::Silent as u8;
            let _ = self.life.compare_exchange(seen, silent, Ordering::Relaxed, Ordering::Relaxed);
        }
        let mut owed = self.owed();
        let Some(pulse) = &mut owed.pulse else { return false };
        match pulse.beat(step, life) {
            Beat::Nothing => {}
            // Behind a Close only our own program expects anything.
            Beat::Ping if flags & CLOSED != 0 && !self.info.half_close => {}
            Beat::Ping => self.notify(PING, owed),
            Beat::GiveUp => self.notify(SILENT, owed),
        }
        true
    }

    /// A pong came.
    pub fn answered(&self, body: &[u8]) {
        if let Some(pulse) = &mut self.owed().pulse {
            pulse.answered(body);
        }
    }

    /// A ping or pong came. The rate that must not be exceeded, if it was.
    pub fn exceeds_rate(&self) -> Option<u32> {
        if self.rate == 0 {
            return None;
        }
        let mut owed = self.owed();
        let now = Instant::now();
        let since = match owed.paced {
            Some(paced) if self.flags() & BEHIND != 0 => paced,
            paced => paced.map_or(now, |paced| paced.max(now)),
        };
        let paced = since + Duration::from_secs(1) / self.rate;
        owed.paced = Some(paced);
        (paced.saturating_duration_since(now) > Duration::from_secs(1)).then_some(self.rate)
    }

    /// From now on nothing is read, until [`BEHIND`] is cleared.
    #[cold]
    pub fn fall_behind(&self) {
        if self.rate > 0 {
            let mut owed = self.owed();
            let now = Instant::now();
            owed.paced = Some(owed.paced.map_or(now, |paced| paced.max(now)));
            self.set(BEHIND);
        }
    }

    /// The task to wake when the peer is given up, and for what a dropped writer would have been woken for.
    pub fn register_reader(&self, waker: &Waker) {
        let mut owed = self.owed();
        if !owed.reader.as_ref().is_some_and(|w| w.will_wake(waker)) {
            owed.reader = Some(waker.clone());
        }
    }

    /// The next ping will be answered.
    pub fn answers_pings(&self) -> bool {
        self.owed().allowed > 0
    }

    #[inline]
    pub fn flags(&self) -> u16 {
        self.flags.load(Ordering::Acquire)
    }

    pub fn set(&self, flags: u16) {
        self.flags.fetch_or(flags, Ordering::AcqRel);
    }

    pub fn clear(&self, flags: u16) {
        self.flags.fetch_and(!flags, Ordering::AcqRel);
    }

    pub fn owed(&self) -> MutexGuard<'_, Owed> {
        // Nothing in here can be left half done by a panic.
        self.owed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A pong is due. True: the queue is full now, and the next pong will replace all in it.
    pub fn owe_pong(&self, cx: &Context<'_>, body: &[u8]) -> bool {
        let mut owed = self.owed();
        //= 6455-5.5.3-2
        if self.flags() & STALLED != 0 || owed.count >= MAX_PONGS {
            owed.clear_pongs();
        }
        owed.push_pong(body);
        if owed.allowed != u32::MAX {
            owed.allowed = owed.allowed.saturating_sub(1);
        }
        if !owed.reader.as_ref().is_some_and(|w| w.will_wake(cx.waker())) {
            owed.reader = Some(cx.waker().clone());
        }
        let full = owed.count >= MAX_PONGS;
        self.notify(PONG, owed);
        full
    }

    /// A Close with this status code is due, in answer to the peer's or because of an error.
    pub fn owe_close(&self, code: u16) {
        if !self.rules.no_close_frame {
            let mut owed = self.owed();
            owed.close = NonZeroU16::new(code);
            self.notify(CLOSE, owed);
        }
    }

    /// Sets the flag and wakes the task that sees to it, even if it may be this one: nobody else promises to poll the writer.
    fn notify(&self, flag: u16, owed: MutexGuard<'_, Owed>) {
        let before = self.flags.fetch_or(flag, Ordering::AcqRel);
        let task = match flag {
            SILENT => owed.reader.as_ref(),
            _ => owed.writer.as_ref().or(owed.reader.as_ref().filter(|_| before & PARKED != 0)),
        };
        let task = task.filter(|_| before & flag == 0).cloned();
        drop(owed);
        if let Some(task) = task {
            task.wake();
        }
    }

    /// The task to wake when something becomes due. Before it looks at the flags, or it may miss the wake-up.
    pub fn register_writer(&self, waker: &Waker) {
        self.owed().writer = Some(waker.clone());
    }

    /// Our Close is out, as far as the stream takes it: a reader in another task may want to bound the wait for its answer.
    #[cold]
    pub fn has_closed(&self, cx: &Context<'_>) {
        let reader = self.owed().reader.clone().filter(|reader| !reader.will_wake(cx.waker()));
        if let Some(reader) = reader {
            reader.wake();
        }
    }

    /// The peer takes nothing any more: reading is over, too.
    #[cold]
    pub fn give_up(&self) {
        self.set(UNREAD);
        self.notify(SILENT, self.owed());
    }

    /// Our Close, or something before it, is still in the kernel, and the peer may yet take it.
    pub fn is_on_its_way(&self) -> bool {
        let unsent = self.link.as_ref().and_then(Link::unsent).unwrap_or_default();
        let mut owed = self.owed();
        // Mostly there is nothing of the kind.
        (unsent > 0 || owed.late.is_some()) && Way::go_on(&mut owed.late().way, unsent)
    }

    /// Leaves a dropped writer's core to the reader.
    pub fn park(&self, core: Box<Core>) {
        let mut owed = self.owed();
        owed.writer = None;
        owed.end_patience();
        owed.late().parked = Some(core);
        self.set(PARKED);
        let reader = owed.reader.clone().filter(|_| self.flags() & OWED != 0);
        drop(owed);
        if let Some(reader) = reader {
            reader.wake();
        }
    }

    /// Writes what is due through a parked core, as far as the stream takes it; the reader's task is woken for the rest.
    #[cold]
    pub fn drive_parked(&self, cx: &mut Context<'_>) {
        let Some(mut core) = self.owed().late.as_mut().and_then(|late| late.parked.take()) else { return };
        match core.poll_flush(cx, self) {
            // The stream is broken: reading tells how.
            Poll::Ready(Err(_)) => self.clear(PARKED),
            _ => self.owed().late().parked = Some(core),
        }
    }
}
