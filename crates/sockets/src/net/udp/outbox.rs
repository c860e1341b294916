//! Datagrams of one length, and at most one shorter one behind them, that leave together.
//!
//! Whoever hands over a message says whether another one follows at once (`Flags::MORE`); only then something is kept, so that
//! a message that comes alone leaves at once, uncopied. Owns a buffer only while it keeps something.

use super::gso;
use crate::buffer::Window;

/// Longest datagram that is kept: what fits into the frames of most networks, as longer ones cannot be sent this way.
const LONGEST_KEPT: usize = 1472;
/// What one call may send in all: the kernel counts headers, too.
const MOST_BYTES: usize = 60_000;

pub(super) struct Outbox {
    window: Window,
    /// Length of all but the last.
    size: usize,
    count: usize,
    /// A shorter one ends it.
    closed: bool,
    /// It is given out datagram by datagram.
    singly: bool,
    /// The system sends runs.
    works: bool,
}

impl Outbox {
    pub fn new() -> Self {
        let works = gso::MOST > 1;
        Self { window: Window::new(2), size: 0, count: 0, closed: false, singly: false, works }
    }

    pub fn is_empty(&self) -> bool {
        self.window.is_empty()
    }

    /// Keeps a datagram if it goes together with the others; `more`: another one follows at once.
    pub fn keep(&mut self, datagram: &[u8], more: bool) -> bool {
        let len = datagram.len();
        if !self.works || len == 0 || len > LONGEST_KEPT {
            return false;
        }
        if self.is_empty() {
            if !more {
                return false;
            }
            (self.size, self.count, self.closed, self.singly) = (len, 0, false, false);
        } else if self.is_full() || len > self.size || self.window.len() + len > MOST_BYTES {
            return false;
        }
        self.window.reserve(self.window.len() + len);
        self.window.push(datagram);
        self.count += 1;
        self.closed = len < self.size;
        true
    }

    /// Nothing fits in any more.
    pub fn is_full(&self) -> bool {
        self.closed || self.singly || self.count >= gso::MOST
    }

    /// What is to be sent next, and the length at which to cut it; one datagram if that is the same.
    pub fn next(&self) -> (&[u8], usize) {
        let all = self.window.filled();
        let next = if self.singly { all.get(..self.size).unwrap_or(all) } else { all };
        (next, self.size.min(next.len()))
    }

    /// So many bytes from the front were sent, or are lost.
    pub fn done(&mut self, len: usize) {
        self.window.skip(len);
        if self.is_empty() {
            self.window.release();
        }
    }

    /// The system cannot send runs like this one: what is left goes out singly, and nothing is kept any more.
    pub fn give_up(&mut self) {
        (self.singly, self.works) = (true, false);
    }
}
