//! Datagrams one behind another in one window, as they were received together, and lending them as chunks.
//!
//! In front of each stands a record with its length. Both readers, of one socket and of a client of a server, fill or fetch
//! a window in their own way and lend from it in this one.

use crate::{buffer::Window, datagram::Flags};

/// Bytes before each datagram: its length.
pub const RECORD: usize = 4;

/// What stands before a datagram of this length.
pub fn record(len: usize) -> [u8; RECORD] {
    (len as u32).to_le_bytes()
}

/// The first datagram's length and what comes behind its record; None where there is none.
fn split_record(batch: &[u8]) -> Option<(usize, &[u8])> {
    let (record, rest) = batch.split_first_chunk()?;
    Some((u32::from_le_bytes(*record) as usize, rest))
}

/// How many datagrams there are.
pub fn datagrams_in(mut batch: &[u8]) -> usize {
    let mut count = 0;
    while let Some((len, rest)) = split_record(batch) {
        batch = rest.get(len..).unwrap_or_default();
        count += 1;
    }
    count
}

/// What a `DatagramRead` does with a window of datagrams. `next_datagram` goes to one, `announce` and `chunk_mut` lend it or
/// a part of it, `consume` takes that out of the window.
pub struct BatchReader {
    pub window: Window,
    /// Datagrams count as text.
    text: bool,
    announced: Option<Flags>,
    /// Length of the chunk announced.
    len: usize,
    /// Bytes of the datagram at hand, of which `midway` some were announced, but not all.
    rest: usize,
    midway: bool,
}

impl BatchReader {
    pub fn new(text: bool) -> Self {
        Self { window: Window::new(3), text, announced: None, len: 0, rest: 0, midway: false }
    }

    /// Flags of the chunk that is lent and was not consumed.
    pub fn announced(&self) -> Option<Flags> {
        self.announced
    }

    /// The rest of a datagram comes next.
    pub fn is_midway(&self) -> bool {
        self.midway
    }

    /// Goes to the next datagram of a window that is not empty.
    pub fn next_datagram(&mut self) {
        let len = split_record(self.window.filled()).map_or(0, |(len, _)| len);
        self.window.skip(RECORD.min(self.window.len()));
        self.rest = len.min(self.window.len());
    }

    /// Lends what is left of the datagram at hand, or `max` bytes of it.
    pub fn announce(&mut self, max: usize) -> Flags {
        self.len = self.rest.min(max.max(1));
        self.midway = self.len < self.rest;
        let mut flags = if self.text { Flags::TEXT } else { Flags::NONE };
        if self.midway {
            flags |= Flags::PARTIAL;
        }
        if self.len < self.window.len() {
            flags |= Flags::MORE;
        }
        self.announced = Some(flags);
        flags
    }

    /// Announces the end, which stays announced.
    pub fn announce_end(&mut self) -> Flags {
        (self.len, self.announced) = (0, Some(Flags::EOF));
        Flags::EOF
    }

    pub fn chunk_mut(&mut self) -> &mut [u8] {
        let len = if self.announced.is_some() { self.len } else { 0 };
        self.window.filled_mut().get_mut(..len).unwrap_or_default()
    }

    /// False: nothing was announced but the end.
    pub fn consume(&mut self) -> bool {
        let consumed = self.announced.take_if(|flags| !flags.any(Flags::EOF)).is_some();
        if consumed {
            self.window.skip(self.len);
            self.rest -= self.len;
        }
        consumed
    }
}
