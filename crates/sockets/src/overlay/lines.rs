//! `lines:`: messages separated by a byte, or by a run of n such bytes (spec section 10).
//!
//! Reading finds separators with memchr where the bytes lie and lends each line from there. A line stays one chunk up to
//! the largest pooled buffer; longer ones come in PARTIAL chunks, so that memory is bounded. A last line without separator
//! is a message too. Writing makes sure that a message cannot contain the separator, if a substitute is given.

use super::terminal_escape::{Carry, Piece};
use crate::{
    buffer::{LARGEST, SIZES, Window, under_pressure},
    datagram::{DatagramRead, DatagramWrite, Flags},
    gather::{Gather, NoHead, poll_fill},
    socket::{DatagramSocket, StreamSocket},
    stream::{BoxStreamRead, BoxStreamWrite},
};
use std::{
    io::{self, IsTerminal as _},
    task::{Context, Poll, ready},
};

/// A line of up to this size is one chunk: what the largest pooled buffer holds.
const HOLD: usize = LARGEST;
/// Most separator bytes in a row that can mean one separator: an unfinished run is held back and must stay small beside
/// [`HOLD`].
pub const MAX_SEPARATOR_N: usize = 4096;
/// Separators are written so many at a time.
const SEPARATORS_AT_ONCE: usize = 64;

/// How binary messages are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum BinaryOutput {
    /// Like text: separators inside are replaced.
    #[default]
    AsText,
    /// Unchanged, then one separator.
    Raw,
    /// For a terminal: control characters (of text too, tabs excepted) and bytes that are not UTF-8 appear as `\xNN`.
    Escape,
}

impl BinaryOutput {
    /// [`BinaryOutput::Escape`] if standard output is a terminal, else [`BinaryOutput::Raw`].
    pub fn for_stdout() -> Self {
        if io::stdout().is_terminal() { Self::Escape } else { Self::Raw }
    }
}

/// The defaults are those of the scenario function.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LinesOptions {
    pub separator: u8,
    /// So many separator bytes in a row separate messages; 1 to [`MAX_SEPARATOR_N`], others are brought into that range.
    pub n: usize,
    /// Replaces separators inside written messages; those at the edges are dropped. `None`: written bytes stay as they are.
    pub substitute: Option<u8>,
    /// Messages read keep their separator at the end.
    pub inline: bool,
    /// A carriage return in front of the separator is dropped from what is read, unless `inline`; of several separators in a row
    /// each may have one.
    pub trim_cr: bool,
    pub binary: BinaryOutput,
}

impl Default for LinesOptions {
    fn default() -> Self {
        Self { separator: b'\n', n: 1, substitute: None, inline: false, trim_cr: false, binary: BinaryOutput::AsText }
    }
}

impl LinesOptions {
    fn bounded_n(&self) -> usize {
        self.n.clamp(1, MAX_SEPARATOR_N)
    }
}

/// Both halves of `socket` as lines; a missing half stays missing.
pub fn line_chunks(socket: StreamSocket, options: &LinesOptions) -> DatagramSocket {
    DatagramSocket {
        read: socket.read.map(|r| Box::new(LineReader::new(r, options)) as _),
        write: socket.write.map(|w| Box::new(LineWriter::new(w, options)) as _),
        hangup: socket.hangup,
        link: socket.link,
        info: socket.info,
    }
}

/// Byte stream as reader of lines; all are text.
///
/// Pending: as the stream; a buffer is held only for the beginning of a line. EOF: at the end of the stream, after the last
/// line even if it has no separator. Drop midway: what was read and not consumed is lost.
pub struct LineReader {
    inner: BoxStreamRead,
    /// Starts with what was not consumed of the current line.
    window: Window,
    separator: u8,
    n: usize,
    inline: bool,
    trim_cr: bool,
    /// Bytes of the window that were searched, `scanned <= window.len()` while no end is known.
    scanned: usize,
    /// Separators in a row before `scanned`, `run < n`, and where the first one is.
    run: usize,
    run_start: usize,
    /// A carriage return came behind them, which belongs to the next one if there is one.
    run_cr: bool,
    /// Where the current line ends, with its separators.
    line_end: Option<usize>,
    /// A part of the current line was consumed.
    midway: bool,
    parts_suffice: bool,
    ended: bool,
    announced: Option<Announced>,
}

#[derive(Clone, Copy)]
struct Announced {
    flags: Flags,
    len: usize,
    /// Bytes that leave the window with the chunk.
    skip: usize,
}

impl LineReader {
    pub fn new(inner: BoxStreamRead, options: &LinesOptions) -> Self {
        Self {
            inner,
            window: Window::new(2),
            separator: options.separator,
            n: options.bounded_n(),
            inline: options.inline,
            trim_cr: options.trim_cr && !options.inline,
            scanned: 0,
            run: 0,
            run_start: 0,
            run_cr: false,
            line_end: None,
            midway: false,
            parts_suffice: false,
            ended: false,
            announced: None,
        }
    }

    /// Looks for the end of the current line in what has not been searched yet.
    #[inline]
    fn find_end(&mut self) -> Option<usize> {
        let bytes = self.window.filled();
        let (mut at, mut run) = (self.scanned, self.run);
        while let Some(rest) = bytes.get(at..).filter(|r| !r.is_empty()) {
            if run == 0 {
                let Some(found) = memchr::memchr(self.separator, rest) else {
                    at = bytes.len();
                    break;
                };
                at += found;
                self.run_start = at;
            }
            let byte = bytes.get(at);
            if byte == Some(&self.separator) {
                (run, self.run_cr) = (run + 1, false);
            } else if self.trim_cr && byte == Some(&b'\r') && !self.run_cr {
                self.run_cr = true;
            } else {
                (run, self.run_cr) = (0, false);
            }
            at += 1;
            if run == self.n {
                return Some(at);
            }
        }
        (self.scanned, self.run) = (at, run);
        None
    }

    /// `len`, or one less where a carriage return may be all that stands between it and a separator.
    #[inline]
    fn without_cr(&self, len: usize) -> usize {
        let cr = self.trim_cr && len.checked_sub(1).and_then(|at| self.window.filled().get(at)) == Some(&b'\r');
        len - usize::from(cr)
    }

    /// The next chunk from what the window holds, if it is a whole line or may go out as a part of one.
    #[inline]
    fn next_chunk(&mut self, max: usize) -> Option<Announced> {
        if self.line_end.is_none() {
            self.line_end = self.find_end();
        }
        let held = self.window.len();
        let (content, whole) = if let Some(end) = self.line_end {
            (if self.inline { end } else { self.without_cr(self.run_start) }, Some(end))
        } else if self.ended {
            if held == 0 && !self.midway {
                return Some(Announced { flags: Flags::EOF, len: 0, skip: 0 });
            }
            (held, Some(held))
        } else {
            // Separators at the end may become the end of the line.
            let content = match self.run {
                _ if self.inline => held,
                0 => self.without_cr(held),
                _ => self.without_cr(self.run_start),
            };
            let goes_out =
                content > max || held >= HOLD || self.parts_suffice || (held >= SIZES[1] && under_pressure());
            if content == 0 || !goes_out {
                return None;
            }
            (content, None)
        };
        let len = content.min(max);
        let (flags, skip) = match whole {
            Some(end) if len == content => (Flags::TEXT, end),
            _ => (Flags::TEXT | Flags::PARTIAL, len),
        };
        let more = if skip < held { Flags::MORE } else { Flags::NONE };
        Some(Announced { flags: flags | more, len, skip })
    }
}

impl DatagramRead for LineReader {
    #[inline]
    fn poll_chunk(&mut self, cx: &mut Context<'_>, max: usize) -> Poll<io::Result<Flags>> {
        if let Some(announced) = self.announced {
            return Poll::Ready(Ok(announced.flags));
        }
        loop {
            if let Some(announced) = self.next_chunk(max.max(1)) {
                self.announced = Some(announced);
                return Poll::Ready(Ok(announced.flags));
            }
            let need = self.window.len() + 1;
            if ready!(poll_fill(&mut *self.inner, cx, &mut self.window, need))? == 0 {
                self.window.release();
                self.ended = true;
            }
        }
    }

    #[inline]
    fn chunk_mut(&mut self) -> &mut [u8] {
        let len = self.announced.map_or(0, |a| a.len);
        self.window.filled_mut().get_mut(..len).unwrap_or_default()
    }

    #[inline]
    fn consume(&mut self) {
        let Some(chunk) = self.announced.take_if(|a| !a.flags.any(Flags::EOF)) else {
            return;
        };
        self.window.skip(chunk.skip);
        self.midway = chunk.flags.any(Flags::PARTIAL);
        if self.midway {
            self.scanned = self.scanned.saturating_sub(chunk.skip);
            self.run_start = self.run_start.saturating_sub(chunk.skip);
            self.line_end = self.line_end.map(|end| end.saturating_sub(chunk.skip));
        } else {
            (self.scanned, self.run, self.run_cr, self.line_end) = (0, 0, false, None);
        }
    }

    fn for_each_inner(&mut self, _: &mut dyn FnMut(&mut dyn DatagramRead)) {}

    fn parts_suffice(&mut self) {
        self.parts_suffice = true;
    }
}

/// Byte stream as writer of lines; control payloads are left out.
///
/// Pending: while the stream takes nothing, repeat with the same chunk. Short write: kept inside. EOF: nothing is written,
/// `poll_shutdown` ends the stream. Drop midway: what was not flushed is lost. With a substitute it replaces separators in
/// the chunk it is lent, otherwise it changes no bytes.
pub struct LineWriter {
    out: Gather,
    separator: u8,
    n: usize,
    substitute: Option<u8>,
    binary: BinaryOutput,
    /// Manner of the current message, decided by its first chunk.
    manner: Option<Manner>,
    /// Only separators came so far in this message.
    at_start: bool,
    /// Separators held back: they are dropped if the message ends here. `run < n`.
    run: usize,
    /// The chunk that is on its way out, kept over Pending.
    current: Option<Current>,
    carry: Carry,
}

#[derive(Clone, Copy, PartialEq, Eq)]
struct Manner {
    substitute: Option<u8>,
    escape: bool,
    text: bool,
}

/// What is left to write of a chunk, in this order.
struct Current {
    /// Separators that were held back.
    held: usize,
    /// Bytes of the chunk.
    from: usize,
    to: usize,
    /// Separators that end the message.
    separators: usize,
}

impl LineWriter {
    pub fn new(inner: BoxStreamWrite, options: &LinesOptions) -> Self {
        Self {
            out: Gather::new(inner),
            separator: options.separator,
            n: options.bounded_n(),
            substitute: options.substitute,
            binary: options.binary,
            manner: None,
            at_start: true,
            run: 0,
            current: None,
            carry: Carry::default(),
        }
    }

    fn manner(&self, text: bool) -> Manner {
        let as_line = text || self.binary == BinaryOutput::AsText;
        Manner {
            substitute: self.substitute.filter(|_| as_line),
            escape: self.binary == BinaryOutput::Escape,
            text: as_line,
        }
    }

    /// Decides what is to be written of a new chunk; replaces separators in it.
    fn prepare(&mut self, manner: Manner, chunk: &mut [u8], last: bool) -> Current {
        let (held, from, to) = match manner.substitute {
            Some(substitute) => self.replace_separators(chunk, substitute),
            None => (0, 0, chunk.len()),
        };
        Current { held, from, to, separators: if last { self.n } else { 0 } }
    }

    /// Returns how many separators of earlier chunks must go out first and which bytes of this one.
    fn replace_separators(&mut self, chunk: &mut [u8], substitute: u8) -> (usize, usize, usize) {
        let separator = self.separator;
        let mut from = 0;
        if self.at_start {
            from = chunk.iter().position(|b| *b != separator).unwrap_or(chunk.len());
            self.at_start = from == chunk.len();
        }
        let (held, mut run, mut at) = (self.run, self.run, from);
        while let Some(rest) = chunk.get_mut(at..).filter(|r| !r.is_empty()) {
            let skip = if run > 0 { 0 } else { memchr::memchr(separator, rest).unwrap_or(rest.len()) };
            at += skip;
            let Some(byte) = rest.get_mut(skip) else { break };
            run = if *byte == separator { run + 1 } else { 0 };
            if run == self.n {
                *byte = substitute;
                run = 0;
            }
            at += 1;
        }
        self.run = run;
        let new = chunk.len() - from;
        // A run that began in an earlier chunk and is not over: all of it stays held back.
        if run == held + new { (0, from, from) } else { (held, from, chunk.len() - run) }
    }

    fn poll_separators(&mut self, cx: &mut Context<'_>, count: usize, more: bool) -> Poll<io::Result<usize>> {
        let bytes = [self.separator; SEPARATORS_AT_ONCE];
        let n = count.min(SEPARATORS_AT_ONCE);
        self.out.poll_put(cx, &NoHead, bytes.get(..n).unwrap_or_default(), more).map_ok(|()| n)
    }

    fn poll_escaped(
        &mut self,
        cx: &mut Context<'_>,
        current: &mut Current,
        chunk: &[u8],
        manner: Manner,
    ) -> Poll<io::Result<()>> {
        let allowed = Some(self.separator).filter(|_| manner.text);
        loop {
            let rest = chunk.get(current.from..current.to).unwrap_or_default();
            let n = match self.carry.next(rest, current.separators > 0, allowed) {
                Some(Piece::Plain(n)) => {
                    ready!(self.out.poll_put(cx, &NoHead, rest.get(..n).unwrap_or_default(), true))?;
                    n
                }
                Some(Piece::Instead(text, n)) => {
                    ready!(self.out.poll_put(cx, &NoHead, text.as_bytes(), true))?;
                    n
                }
                None => {
                    self.carry.keep(rest);
                    current.from = current.to;
                    return Poll::Ready(Ok(()));
                }
            };
            self.carry.wrote();
            current.from += n;
        }
    }

    fn poll_current(
        &mut self,
        cx: &mut Context<'_>,
        current: &mut Current,
        chunk: &[u8],
        manner: Manner,
        more: bool,
    ) -> Poll<io::Result<()>> {
        while current.held > 0 {
            current.held -= ready!(self.poll_separators(cx, current.held, true))?;
        }
        if manner.escape {
            ready!(self.poll_escaped(cx, current, chunk, manner))?;
        } else if let Some(body) = chunk.get(current.from..current.to).filter(|b| !b.is_empty()) {
            ready!(self.out.poll_put(cx, &NoHead, body, more || current.separators > 0))?;
            current.from = current.to;
        }
        while current.separators > 0 {
            current.separators -= ready!(self.poll_separators(cx, current.separators, true))?;
        }
        Poll::Ready(Ok(()))
    }
}

impl DatagramWrite for LineWriter {
    fn poll_write(&mut self, cx: &mut Context<'_>, chunk: &mut [u8], flags: Flags) -> Poll<io::Result<()>> {
        if flags.any(Flags::CONTROL) {
            return Poll::Ready(Ok(()));
        }
        let first = self.manner(flags.any(Flags::TEXT));
        let manner = *self.manner.get_or_insert(first);
        let last = flags.ends_message();
        let mut current = match self.current.take() {
            Some(current) => current,
            None => self.prepare(manner, chunk, last),
        };
        let outcome = self.poll_current(cx, &mut current, chunk, manner, flags.any(Flags::MORE));
        if outcome.is_pending() {
            self.current = Some(current);
        } else if last {
            (self.manner, self.at_start, self.run) = (None, true, 0);
        }
        outcome
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.out.poll_flush(cx)
    }

    fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.out.poll_shutdown(cx)
    }

    fn transforms(&self) -> bool {
        self.substitute.is_some()
    }

    fn keeps_borders(&self) -> bool {
        false
    }
}

#[cfg(test)]
mod tests;
