//! `lengthprefixed:`: messages on a byte stream, each behind a header with its length (spec section 10).
//!
//! - `header`: what stands in front of a message. `reader`, `writer`: the two halves.
//!
//! A header has 1 to 8 bytes. Its top bits are flags, as far as they are agreed on (more fragments follow, control message,
//! text), the bits below are the length. Two sides understand each other only if they agree on all of it.

mod header;
mod reader;
#[cfg(test)]
mod tests;
mod writer;

pub use header::{Flag, HeaderError, HeaderFormat, MAX_HEADER_BYTES};
pub use reader::LengthPrefixedReader;
pub use writer::LengthPrefixedWriter;

use super::chunks::{StreamChunks, StreamSink};
use crate::socket::{DatagramSocket, StreamSocket};
use std::{io, sync::Arc};

/// Both directions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LengthPrefixedOptions {
    pub format: HeaderFormat,
    /// Longest message in bytes that is written; without effect with continuations, where nothing has to be held.
    pub max_written: usize,
    /// Longest message in bytes that is read, all its fragments together. None: any, since they are handed on in parts.
    pub max_read: Option<u64>,
    /// What is read has no headers: each read is a message.
    pub skip_read_direction: bool,
    /// What is written gets no headers.
    pub skip_write_direction: bool,
}

/// What cannot be read, or written, as length-prefixed messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LengthPrefixedError {
    #[error("the length prefix says {len} bytes, over the limit of {limit} (--lengthprefixed-max-message-size)")]
    Announced { len: u64, limit: u64 },
    #[error("the stream ended in the middle of a length-prefixed message")]
    Torn,
    #[error("a length-prefixed control message has no type")]
    ControlWithoutType,
    #[error("a length-prefixed control message has the unknown type {0}")]
    ControlType(u8),
    #[error("a length-prefixed control message is longer than {limit} bytes")]
    ControlTooLong { limit: usize },
    #[error("a length-prefixed control message is interrupted")]
    ControlInterrupted,
    #[error(
        "a message is longer than the {limit} bytes that may be written behind a length prefix; see --lengthprefixed-max-message-size, --lengthprefixed-nbytes and --lengthprefixed-continuations"
    )]
    TooLong { limit: usize },
}

impl LengthPrefixedError {
    /// The peer is not to blame: we refused to write a message.
    pub fn is_ours(&self) -> bool {
        matches!(self, Self::TooLong { .. })
    }
}

impl From<LengthPrefixedError> for io::Error {
    fn from(error: LengthPrefixedError) -> Self {
        let kind = if error.is_ours() { io::ErrorKind::InvalidInput } else { io::ErrorKind::InvalidData };
        Self::new(kind, error)
    }
}

/// Both halves of `socket` as length-prefixed messages; a missing half stays missing.
pub fn length_prefixed_chunks(socket: StreamSocket, options: &LengthPrefixedOptions) -> DatagramSocket {
    let mut info = socket.info;
    // The end of a direction is the end of the stream, or a message that says so: the other direction goes on.
    Arc::make_mut(&mut info).half_close = true;
    DatagramSocket {
        read: socket.read.map(|r| match options.skip_read_direction {
            true => Box::new(StreamChunks::new(r)) as _,
            false => Box::new(LengthPrefixedReader::new(r, options)) as _,
        }),
        write: socket.write.map(|w| match options.skip_write_direction {
            true => Box::new(StreamSink::new(w)) as _,
            false => Box::new(LengthPrefixedWriter::new(w, options)) as _,
        }),
        hangup: socket.hangup,
        link: socket.link,
        info,
    }
}
