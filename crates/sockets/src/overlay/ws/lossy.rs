//! Text that is not UTF-8 passes with U+FFFD in the place of each bad sequence (`TextInvalid::Lossy`), both ways.
//!
//! Stands directly on the halves of a WebSocket. Chunks that are whole characters pass untouched; others go through a
//! pooled buffer, piece by piece. At most 3 bytes are held back from one chunk to the next: the beginning of a character.

use super::{WsReader, WsWriter};
use crate::{
    buffer::Window,
    datagram::{DatagramRead, DatagramWrite, Flags},
};
use std::{
    io,
    task::{Context, Poll, ready},
};
use wsframe::Utf8Check;

const REPLACEMENT: &[u8] = "\u{fffd}".as_bytes();
/// Bytes repaired at a time: with each of them replaced by three, they still fit the buffer size that everybody starts with.
const PIECE: usize = 5 << 10;

/// Repairs one direction's text.
struct Repair {
    /// The first `held` bytes begin a character that can still become valid.
    held_bytes: [u8; 3],
    held: u8,
    /// Bytes of the current chunk that were taken.
    taken: usize,
    out: Window,
}

impl Repair {
    fn new() -> Self {
        Self { held_bytes: [0; 3], held: 0, taken: 0, out: Window::new(1) }
    }

    /// The chunk can pass as it is.
    fn is_clean(&self, chunk: &[u8]) -> bool {
        let mut check = Utf8Check::new();
        self.held == 0 && self.taken == 0 && check.feed(chunk).is_ok() && check.carried() == 0
    }

    /// What was repaired and not passed on yet.
    fn repaired(&mut self) -> &mut [u8] {
        self.out.filled_mut()
    }

    /// Repairs the next piece of `chunk`, which ends its message if `last`. True: the chunk has been taken whole.
    fn feed(&mut self, chunk: &[u8], last: bool) -> bool {
        let mut joined = [0; 3 + PIECE];
        let rest = chunk.get(self.taken..).unwrap_or_default();
        let piece = rest.get(..PIECE).unwrap_or(rest);
        let mut len = 0;
        let held = self.held_bytes.iter().take(usize::from(self.held));
        for (to, from) in joined.iter_mut().zip(held.chain(piece)) {
            *to = *from;
            len += 1;
        }
        self.taken += piece.len();
        self.held = 0;
        let whole = self.taken == chunk.len();
        let joined = joined.get(..len).unwrap_or_default();
        self.out.reserve(REPLACEMENT.len() * len);
        let mut seen = 0;
        for part in joined.utf8_chunks() {
            let bad = part.invalid();
            self.out.push(part.valid().as_bytes());
            seen += part.valid().len() + bad.len();
            if bad.is_empty() {
                continue;
            }
            let unfinished = seen == len && std::str::from_utf8(bad).is_err_and(|e| e.error_len().is_none());
            if unfinished && !(last && whole) {
                self.held = bad.len() as u8; // at most 3
                self.held_bytes.iter_mut().zip(bad).for_each(|(to, from)| *to = *from);
            } else {
                self.out.push(REPLACEMENT);
            }
        }
        whole
    }

    /// `n` bytes of what was repaired were passed on.
    fn pass(&mut self, n: usize) {
        self.out.skip(n);
        if self.out.is_empty() {
            self.out.release();
        }
    }
}

/// Where the announced chunk lies.
#[derive(Clone, Copy, PartialEq)]
enum Lent {
    Nothing,
    /// In the inner reader.
    Inner,
    /// The first so many repaired bytes.
    Repaired(usize),
}

/// Read half. Pending, errors, EOF and drop midway: as [`WsReader`]. A repaired chunk may be lent in several.
pub struct LossyReader {
    inner: WsReader,
    repair: Repair,
    lent: Lent,
    flags: Flags,
    /// The inner chunk was repaired to its end.
    whole: bool,
}

impl LossyReader {
    pub fn new(inner: WsReader) -> Self {
        Self { inner, repair: Repair::new(), lent: Lent::Nothing, flags: Flags::NONE, whole: false }
    }

    /// Announces from what was repaired. None: there is nothing of it to be announced.
    fn announce(&mut self, max: usize) -> Option<Flags> {
        let ready = self.repair.repaired().len();
        let ends = self.whole && self.flags.ends_message();
        if ready == 0 && !ends {
            return None;
        }
        let len = ready.min(max.max(1));
        self.lent = Lent::Repaired(len);
        let ends = ends && len == ready;
        let flags = Flags::TEXT | Flags::UTF8 | if ends { Flags::NONE } else { Flags::PARTIAL };
        let more = len < ready || !self.whole || self.flags.any(Flags::MORE);
        Some(flags | if more { Flags::MORE } else { Flags::NONE })
    }

    /// The inner chunk is done with.
    fn next_chunk(&mut self) {
        self.inner.consume();
        (self.whole, self.repair.taken, self.flags) = (false, 0, Flags::NONE);
    }
}

impl DatagramRead for LossyReader {
    fn poll_chunk(&mut self, cx: &mut Context<'_>, max: usize) -> Poll<io::Result<Flags>> {
        loop {
            match self.lent {
                Lent::Inner => return Poll::Ready(Ok(self.flags)),
                Lent::Repaired(len) => return Poll::Ready(Ok(self.announce(len).unwrap_or(self.flags))),
                Lent::Nothing => {}
            }
            if let Some(flags) = self.announce(max) {
                return Poll::Ready(Ok(flags));
            }
            if self.whole {
                self.next_chunk(); // all of it was held back
            }
            self.flags = ready!(self.inner.poll_chunk(cx, max))?;
            let chunk = self.inner.chunk_mut();
            if !self.flags.any(Flags::TEXT) || self.repair.is_clean(chunk) {
                if self.flags.any(Flags::TEXT) {
                    self.flags |= Flags::UTF8;
                }
                self.lent = Lent::Inner;
            } else {
                self.whole = self.repair.feed(chunk, !self.flags.any(Flags::PARTIAL));
            }
        }
    }

    fn chunk_mut(&mut self) -> &mut [u8] {
        match self.lent {
            Lent::Nothing => &mut [],
            Lent::Inner => self.inner.chunk_mut(),
            Lent::Repaired(len) => self.repair.repaired().get_mut(..len).unwrap_or_default(),
        }
    }

    fn consume(&mut self) {
        match std::mem::replace(&mut self.lent, Lent::Nothing) {
            Lent::Nothing => {}
            Lent::Inner => self.next_chunk(),
            Lent::Repaired(len) => {
                self.repair.pass(len);
                if self.whole && self.repair.repaired().is_empty() {
                    self.next_chunk();
                }
            }
        }
    }

    fn for_each_inner(&mut self, visit: &mut dyn FnMut(&mut dyn DatagramRead)) {
        visit(&mut self.inner);
    }

    fn parts_suffice(&mut self) {
        self.inner.parts_suffice();
    }
}

/// Write half. Pending, errors and drop midway: as [`WsWriter`]. A repaired chunk may leave in several frames.
pub struct LossyWriter {
    inner: WsWriter,
    repair: Repair,
    /// The chunk that is being written goes as it is.
    clean: bool,
    /// The chunk that is being written was repaired to its end.
    whole: bool,
}

impl LossyWriter {
    pub fn new(inner: WsWriter) -> Self {
        Self { inner, repair: Repair::new(), clean: false, whole: false }
    }

    fn poll_write_text(&mut self, cx: &mut Context<'_>, chunk: &mut [u8], flags: Flags) -> Poll<io::Result<()>> {
        self.clean = self.clean || flags.any(Flags::UTF8) || self.repair.is_clean(chunk);
        if self.clean {
            return self.inner.poll_write(cx, chunk, flags);
        }
        loop {
            let ends = self.whole && flags.ends_message();
            let repaired = self.repair.repaired();
            if !repaired.is_empty() || ends {
                let part = if ends { flags } else { flags | Flags::PARTIAL | Flags::MORE };
                let len = repaired.len();
                ready!(self.inner.poll_write(cx, repaired, part))?;
                self.repair.pass(len);
            }
            if self.whole {
                return Poll::Ready(Ok(()));
            }
            self.whole = self.repair.feed(chunk, !flags.any(Flags::PARTIAL));
        }
    }
}

impl DatagramWrite for LossyWriter {
    fn poll_write(&mut self, cx: &mut Context<'_>, chunk: &mut [u8], flags: Flags) -> Poll<io::Result<()>> {
        if flags.any(Flags::CONTROL) || !flags.any(Flags::TEXT) {
            return self.inner.poll_write(cx, chunk, flags);
        }
        let written = ready!(self.poll_write_text(cx, chunk, flags));
        (self.clean, self.whole, self.repair.taken) = (false, false, 0);
        Poll::Ready(written)
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.inner.poll_flush(cx)
    }

    fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.inner.poll_shutdown(cx)
    }

    fn transforms(&self) -> bool {
        self.inner.transforms()
    }

    fn keeps_borders(&self) -> bool {
        self.inner.keeps_borders()
    }

    fn end_is_silent(&self) -> bool {
        self.inner.end_is_silent()
    }
}
