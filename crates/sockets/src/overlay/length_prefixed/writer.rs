//! Write half of length-prefixed messages: each gets its header in front, and leaves with it in one write.
//!
//! Without continuations a message is one frame, so that the parts of one that comes in parts have to wait for each other;
//! one that comes whole is not copied. With continuations each part is a frame.

use super::{
    LengthPrefixedError, LengthPrefixedOptions,
    header::{HeaderFormat, LengthHeader},
    reader::{CLOSE, PING, PONG},
};
use crate::{
    datagram::{DatagramWrite, Flags},
    gather::Gather,
    overlay::assembly::{Assembly, Fed},
    stream::BoxStreamWrite,
};
use std::{
    io,
    task::{Context, Poll, ready},
};

/// Byte stream as writer of length-prefixed messages.
///
/// Pending: while the stream takes nothing, repeat with the same chunk. Short write: kept inside. EOF: where control messages
/// are agreed on, one that says so, with the body if there is one; `poll_shutdown` ends the stream in any case. What is
/// written after EOF is discarded. A message that is too long fails as a whole. Drop midway: what was not flushed is lost.
/// Changes no bytes.
pub struct LengthPrefixedWriter {
    out: Gather,
    format: HeaderFormat,
    /// Without continuations: the beginning of a message.
    assembly: Assembly,
    /// With continuations: bytes of the current chunk that went out in frames of their own.
    at: usize,
    /// A part of the current message was taken, and the message is text.
    midway: bool,
    text: bool,
    closed: bool,
}

impl LengthPrefixedWriter {
    pub fn new(inner: BoxStreamWrite, options: &LengthPrefixedOptions) -> Self {
        let longest = usize::try_from(options.format.mask).unwrap_or(usize::MAX);
        Self {
            out: Gather::new(inner),
            format: options.format,
            assembly: Assembly::new(options.max_written.min(longest)),
            at: 0,
            midway: false,
            text: false,
            closed: false,
        }
    }

    /// Header of a data frame. `len` is within the mask: both limits see to that.
    #[inline]
    fn header(&self, len: usize, text: bool, last: bool) -> LengthHeader {
        let text = if text { self.format.text } else { 0 };
        let more = if last { 0 } else { self.format.continuation };
        self.format.encode(len as u64 | text | more)
    }

    /// Everything in one frame.
    #[inline]
    fn poll_whole(&mut self, cx: &mut Context<'_>, chunk: &[u8], flags: Flags, text: bool) -> Poll<io::Result<()>> {
        let limit = self.assembly.limit();
        let too_long = |_| LengthPrefixedError::TooLong { limit };
        match self.assembly.feed(chunk, flags.ends_message()).map_err(too_long)? {
            Fed::Whole => {
                let header = self.header(chunk.len(), text, true);
                self.out.poll_put(cx, &header, chunk, flags.any(Flags::MORE))
            }
            Fed::Kept => Poll::Ready(Ok(())),
            Fed::Joined => {
                let header = self.header(self.assembly.len(), text, true);
                let more = flags.any(Flags::MORE);
                let outcome = ready!(self.out.poll_put(cx, &header, self.assembly.joined_mut(), more));
                self.assembly.forget();
                Poll::Ready(outcome)
            }
        }
    }

    /// A chunk is a frame, or several where the header cannot express its length.
    #[inline]
    fn poll_parts(&mut self, cx: &mut Context<'_>, chunk: &[u8], flags: Flags, text: bool) -> Poll<io::Result<()>> {
        loop {
            let rest = chunk.get(self.at..).unwrap_or_default();
            let len = usize::try_from(self.format.mask).unwrap_or(usize::MAX).min(rest.len());
            let last = len == rest.len();
            let header = self.header(len, text, last && flags.ends_message());
            let part = rest.get(..len).unwrap_or_default();
            ready!(self.out.poll_put(cx, &header, part, !last || flags.any(Flags::MORE)))?;
            if last {
                self.at = 0;
                return Poll::Ready(Ok(()));
            }
            self.at += len;
        }
    }

    /// Also EOF: it is the control message with a Close body.
    #[cold]
    fn poll_control(&mut self, cx: &mut Context<'_>, body: &[u8], flags: Flags) -> Poll<io::Result<()>> {
        let end = flags.any(Flags::EOF);
        if end {
            self.assembly.drop_torn();
        }
        if self.format.control == 0 || self.closed {
            return Poll::Ready(Ok(()));
        }
        // The type counts.
        let room = usize::try_from(self.format.mask - 1).unwrap_or(usize::MAX);
        let (opcode, body) = match end {
            true => (CLOSE, shortened(body, room)),
            false if body.len() > room => {
                tracing::debug!(
                    bytes = body.len(),
                    room,
                    "a ping or pong is left out: the header cannot express its length"
                );
                return Poll::Ready(Ok(()));
            }
            false => (if flags.any(Flags::PING) { PING } else { PONG }, body),
        };
        let header = self.format.encode((1 + body.len()) as u64 | self.format.control).with_type(opcode);
        ready!(self.out.poll_put(cx, &header, body, true))?;
        self.closed = end;
        Poll::Ready(Ok(()))
    }
}

/// As much of a Close body as there is room for: the status code, and the reason up to where a character ends.
fn shortened(body: &[u8], room: usize) -> &[u8] {
    if body.len() <= room {
        return body;
    }
    let Some(cut) = body.get(..room).filter(|cut| cut.len() >= 2) else { return &[] };
    let reason = cut.get(2..).and_then(|reason| reason.utf8_chunks().next()).map_or(0, |chunk| chunk.valid().len());
    body.get(..2 + reason).unwrap_or_default()
}

impl DatagramWrite for LengthPrefixedWriter {
    #[inline]
    fn poll_write(&mut self, cx: &mut Context<'_>, chunk: &mut [u8], flags: Flags) -> Poll<io::Result<()>> {
        if flags.any(Flags::CONTROL) {
            return self.poll_control(cx, chunk, flags);
        }
        if self.closed {
            return Poll::Ready(Ok(()));
        }
        // The first chunk says what a message is.
        let text = if self.midway { self.text } else { flags.any(Flags::TEXT) };
        let outcome = match self.format.continuation {
            0 => ready!(self.poll_whole(cx, chunk, flags, text)),
            _ => ready!(self.poll_parts(cx, chunk, flags, text)),
        };
        (self.midway, self.text) = (!flags.ends_message(), text);
        Poll::Ready(outcome)
    }

    fn may_hold_back(&mut self) {
        self.out.may_hold_back();
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.out.poll_flush(cx)
    }

    fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        // In the middle of a frame nothing can be said.
        if !self.closed && !self.out.is_midway() {
            ready!(self.poll_control(cx, &[], Flags::EOF))?;
        }
        self.closed = true;
        self.out.poll_shutdown(cx)
    }
}

#[cfg(test)]
impl LengthPrefixedWriter {
    /// Bytes that were taken and not written.
    pub fn held(&self) -> usize {
        usize::from(!self.out.is_empty()) + self.assembly.len()
    }
}
