//! Read half of length-prefixed messages: chunks are lent where they lie behind their headers in the read buffer.
//!
//! Many messages from one read cost no further system call. A message stays one chunk up to the largest pooled buffer; longer
//! ones come in parts, so that memory is bounded whatever the prefix says.

use super::{HeaderFormat, LengthPrefixedError, LengthPrefixedOptions};
use crate::{
    buffer::{LARGEST, SIZES, Window, under_pressure},
    datagram::{DatagramRead, Flags},
    gather::poll_fill,
    stream::BoxStreamRead,
};
use std::{
    io,
    task::{Context, Poll, ready},
};

/// A frame of up to this size is one chunk: what the largest pooled buffer holds.
const HOLD: u64 = LARGEST as u64;
/// Most bytes of a control message, with what lies between its pieces. WebSockets allow 125 bytes; other users of the format
/// may say more.
const MAX_CONTROL: usize = 64 << 10;

/// Byte stream as reader of length-prefixed messages.
///
/// Pending: as the stream; a buffer is held only for the beginning of a message. EOF: at the end of the stream between two
/// messages, or where a control message says so (its body is the chunk, with GONE if that has a status code); nothing is read
/// behind that. An error ends the input too. Drop midway: what was read and not consumed is lost. Control messages come whole
/// even if `max` is smaller.
pub struct LengthPrefixedReader {
    inner: BoxStreamRead,
    /// Starts with what was not consumed of the current frame, or with a header.
    window: Window,
    format: HeaderFormat,
    /// For one message.
    limit: u64,
    /// Bytes of the current frame that were not consumed.
    left: u64,
    /// Bytes of the message so far, as the headers of its frames say.
    message: u64,
    /// Length of the announced chunk, and bytes that leave the window with it.
    len: u32,
    skip: u32,
    /// A control message comes in pieces: so many bytes of its body lie at the front of the window, and the next header is at
    /// `raw`. Both are 0 otherwise; joined <= raw.
    joined: u32,
    raw: u32,
    control: Flags,
    /// TEXT of the current message, PARTIAL if its current frame is not the last one.
    flags: Flags,
    announced: Option<Flags>,
    /// The header of the current frame was taken.
    in_frame: bool,
    /// The current frame goes out as it arrives.
    in_parts: bool,
    /// A frame of the current message is over, the message is not.
    midway: bool,
    parts_suffice: bool,
    ended: bool,
}

enum Step {
    Announced(Flags),
    /// So many bytes must be in the window.
    Need(usize),
    Again,
}

impl LengthPrefixedReader {
    pub fn new(inner: BoxStreamRead, options: &LengthPrefixedOptions) -> Self {
        Self {
            inner,
            window: Window::new(2),
            format: options.format,
            limit: options.max_read.unwrap_or(u64::MAX),
            left: 0,
            message: 0,
            len: 0,
            skip: 0,
            joined: 0,
            raw: 0,
            control: Flags::NONE,
            flags: Flags::NONE,
            announced: None,
            in_frame: false,
            in_parts: false,
            midway: false,
            parts_suffice: false,
            ended: false,
        }
    }

    #[inline]
    fn step(&mut self, max: usize) -> io::Result<Step> {
        if self.in_frame {
            return Ok(self.next_part(max));
        }
        if self.ended {
            return Ok(self.announce(Flags::EOF, 0, 0));
        }
        let raw = self.raw as usize;
        let Some(value) = self.format.decode(self.window.filled().get(raw..).unwrap_or_default()) else {
            return Ok(Step::Need(raw + self.format.width()));
        };
        if value & self.format.control != 0 {
            return self.next_control(value);
        }
        if raw > 0 {
            return Err(self.fail(LengthPrefixedError::ControlInterrupted));
        }
        let len = value & self.format.mask;
        self.message = self.message.saturating_add(len);
        if self.message > self.limit {
            let (len, limit) = (self.message, self.limit);
            return Err(self.fail(LengthPrefixedError::Announced { len, limit }));
        }
        self.window.skip(self.format.width());
        // The first frame says what a message is.
        let text = if self.midway { self.flags.any(Flags::TEXT) } else { value & self.format.text != 0 };
        self.flags = if text { Flags::TEXT } else { Flags::NONE };
        if value & self.format.continuation != 0 {
            self.flags |= Flags::PARTIAL;
        }
        (self.left, self.in_frame, self.in_parts) = (len, true, false);
        Ok(self.next_part(max))
    }

    /// What is there of the current frame, if it is all of it or may go out as a part.
    #[inline]
    fn next_part(&mut self, max: usize) -> Step {
        let held = self.window.len();
        let there = self.left.min(held as u64) as usize;
        if there as u64 == self.left && there <= max {
            return self.announce(self.flags, there, there);
        }
        let large = self.left > SIZES[1] as u64;
        self.in_parts |= self.parts_suffice || self.left > HOLD.min(max as u64) || large && under_pressure();
        if !self.in_parts {
            return Step::Need(self.left as usize); // at most HOLD
        }
        match there.min(max) {
            0 => Step::Need(1),
            len => self.announce(self.flags | Flags::PARTIAL, len, len),
        }
    }

    #[inline]
    fn announce(&mut self, mut flags: Flags, len: usize, skip: usize) -> Step {
        if self.window.len() > skip && !flags.any(Flags::EOF) {
            flags |= Flags::MORE;
        }
        // The window is never that large.
        (self.len, self.skip) = (len as u32, skip as u32);
        self.announced = Some(flags);
        Step::Announced(flags)
    }

    /// A header of a control message, or of a piece of one, is at `raw`.
    #[cold]
    fn next_control(&mut self, value: u64) -> io::Result<Step> {
        let (raw, joined, width) = (self.raw as usize, self.joined as usize, self.format.width());
        let len = match value & self.format.mask {
            0 => return Err(self.fail(LengthPrefixedError::ControlWithoutType)),
            len => usize::try_from(len).unwrap_or(usize::MAX),
        };
        let end = raw.saturating_add(width).saturating_add(len);
        if end > MAX_CONTROL {
            return Err(self.fail(LengthPrefixedError::ControlTooLong { limit: MAX_CONTROL }));
        }
        if self.window.len() < end {
            return Ok(Step::Need(end));
        }
        let body = raw + width + 1..end;
        let opcode = self.window.filled().get(raw + width).copied().unwrap_or_default();
        let kind = match opcode {
            CLOSE => Flags::EOF,
            PING => Flags::PING,
            PONG => Flags::PONG,
            other => return Err(self.fail(LengthPrefixedError::ControlType(other))),
        };
        if raw > 0 && kind != self.control {
            return Err(self.fail(LengthPrefixedError::ControlInterrupted));
        }
        let last = value & self.format.continuation == 0;
        if raw == 0 && last {
            self.window.skip(body.start);
            return Ok(self.announce_control(kind, body.len(), body.len()));
        }
        let whole = joined + body.len();
        self.window.filled_mut().copy_within(body, joined);
        (self.joined, self.raw, self.control) = (whole as u32, end as u32, kind);
        if !last {
            return Ok(Step::Again);
        }
        (self.joined, self.raw) = (0, 0);
        Ok(self.announce_control(kind, whole, end))
    }

    fn announce_control(&mut self, kind: Flags, len: usize, skip: usize) -> Step {
        // A status code says that the peer is leaving; without one only its direction is over.
        let gone = if kind == Flags::EOF && len >= 2 { Flags::GONE } else { Flags::NONE };
        self.announce(kind | gone, len, skip)
    }

    /// The stream has ended.
    #[cold]
    fn handle_end(&mut self) -> io::Result<()> {
        if !self.window.is_empty() || self.in_frame || self.midway {
            return Err(self.fail(LengthPrefixedError::Torn));
        }
        self.end();
        Ok(())
    }

    /// Nothing more will be read.
    fn end(&mut self) {
        self.window.skip(self.window.len());
        self.window.release();
        (self.ended, self.in_frame, self.announced) = (true, false, None);
    }

    #[cold]
    fn fail(&mut self, error: LengthPrefixedError) -> io::Error {
        self.end();
        error.into()
    }
}

/// Types of control messages are the opcodes of WebSocket frames.
pub(super) const CLOSE: u8 = wsframe::Opcode::Close as u8;
pub(super) const PING: u8 = wsframe::Opcode::Ping as u8;
pub(super) const PONG: u8 = wsframe::Opcode::Pong as u8;

impl DatagramRead for LengthPrefixedReader {
    #[inline]
    fn poll_chunk(&mut self, cx: &mut Context<'_>, max: usize) -> Poll<io::Result<Flags>> {
        if let Some(flags) = self.announced {
            return Poll::Ready(Ok(flags));
        }
        loop {
            match self.step(max.max(1))? {
                Step::Announced(flags) => return Poll::Ready(Ok(flags)),
                Step::Need(need) => {
                    if ready!(poll_fill(&mut *self.inner, cx, &mut self.window, need))? == 0 {
                        self.handle_end()?;
                    }
                }
                // A piece of a control message, of which there are not many in one buffer.
                Step::Again => {}
            }
        }
    }

    #[inline]
    fn chunk_mut(&mut self) -> &mut [u8] {
        let len = if self.announced.is_some() { self.len as usize } else { 0 };
        self.window.filled_mut().get_mut(..len).unwrap_or_default()
    }

    #[inline]
    fn consume(&mut self) {
        let Some(flags) = self.announced.take() else { return };
        if flags.any(Flags::EOF) {
            return self.end();
        }
        self.window.skip(self.skip as usize);
        if flags.any(Flags::CONTROL) {
            return;
        }
        self.left -= u64::from(self.len);
        if self.left == 0 {
            self.in_frame = false;
            self.midway = self.flags.any(Flags::PARTIAL);
            if !self.midway {
                self.message = 0;
            }
        }
    }

    fn for_each_inner(&mut self, _: &mut dyn FnMut(&mut dyn DatagramRead)) {}

    fn parts_suffice(&mut self) {
        self.parts_suffice = true;
    }
}

#[cfg(test)]
impl LengthPrefixedReader {
    /// Room in the buffer that it owns.
    pub fn held(&self) -> usize {
        self.window.room()
    }
}
