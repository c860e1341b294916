//! `defragment:`: collects the chunks of a written message and hands the message on whole; reading is not touched.
//!
//! For sinks that send each chunk as a packet of its own (UDP, SEQPACKET). Messages that come whole pass without a copy.
//! EOF, pings and pongs pass at once, also between the chunks of a message.

use super::assembly::{Assembly, Fed};
use crate::{
    datagram::{BoxDatagramWrite, DatagramWrite, Flags},
    socket::DatagramSocket,
};
use std::{
    io,
    task::{Context, Poll, ready},
};

/// Limit of the scenario function when none is given.
pub const DEFAULT_LIMIT: usize = 655_360;
/// Why a message cannot be joined.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DefragmentError {
    #[error("a message is longer than the {limit} bytes that may be joined; {option} says how many")]
    TooLong { limit: usize, option: &'static str },
}

impl From<DefragmentError> for io::Error {
    fn from(error: DefragmentError) -> Self {
        Self::new(io::ErrorKind::InvalidData, error)
    }
}

/// `socket` with joined writes; a missing half stays missing.
pub fn defragment_writes(mut socket: DatagramSocket, limit: usize) -> DatagramSocket {
    socket.write = socket.write.map(|w| Box::new(Defragment::new(w, limit)) as _);
    socket
}

/// Joins the chunks of a message.
///
/// Pending: as the sink, repeat with the same chunk. Short write: none. EOF: passes; a message that is not whole by then is
/// dropped with a warning, since the sink would take it for a whole one. Drop midway: loses the message that is not
/// whole. Changes bytes if the sink does. After an error the rest of that message fails too.
pub struct Defragment {
    inner: BoxDatagramWrite,
    assembly: Assembly,
    /// What sets the limit, for the message about it.
    option: &'static str,
}

impl Defragment {
    /// `limit` in bytes for one message, also for one that comes whole.
    pub fn new(inner: BoxDatagramWrite, limit: usize) -> Self {
        Self::named(inner, limit, "--defragment-max-size")
    }

    /// The same for a sink with an option of its own for that.
    pub fn named(inner: BoxDatagramWrite, limit: usize, option: &'static str) -> Self {
        Self { inner, assembly: Assembly::new(limit), option }
    }
}

impl DatagramWrite for Defragment {
    fn poll_write(&mut self, cx: &mut Context<'_>, chunk: &mut [u8], flags: Flags) -> Poll<io::Result<()>> {
        if flags.any(Flags::EOF) {
            self.assembly.drop_torn();
        }
        if flags.any(Flags::CONTROL) {
            return self.inner.poll_write(cx, chunk, flags);
        }
        let (limit, option) = (self.assembly.limit(), self.option);
        match self.assembly.feed(chunk, flags.ends_message()).map_err(|_| DefragmentError::TooLong { limit, option })? {
            Fed::Whole => self.inner.poll_write(cx, chunk, flags),
            Fed::Kept => Poll::Ready(Ok(())),
            Fed::Joined => {
                let outcome = ready!(self.inner.poll_write(cx, self.assembly.joined_mut(), flags));
                self.assembly.forget();
                Poll::Ready(outcome)
            }
        }
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.inner.poll_flush(cx)
    }

    fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.assembly.drop_torn();
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Chunk, Recorder, drive, schedules, write_chunks};

    fn run(chunks: &[Chunk], limit: usize) -> Vec<(io::Result<()>, Vec<Chunk>)> {
        let outputs = schedules().map(|schedule| {
            let recorder = Recorder::new();
            let mut writer = Defragment::new(schedule.datagram_write_half(recorder.datagrams()), limit);
            let result = drive(write_chunks(&mut writer, chunks));
            assert!(result.is_err() || recorder.is_shut());
            (result, recorder.chunks())
        });
        outputs.collect()
    }

    fn chunk(bytes: &[u8], flags: Flags) -> Chunk {
        (bytes.to_vec(), flags)
    }

    #[test]
    fn messages_come_out_whole_around_control_chunks() {
        let part = Flags::TEXT | Flags::PARTIAL;
        let chunks = [
            chunk(b"ab", part),
            chunk(b"!", Flags::PONG),
            chunk(b"", part),
            chunk(b"cd", Flags::TEXT),
            chunk(b"whole", Flags::NONE),
            chunk(b"", Flags::NONE),
            chunk(b"torn", part),
            chunk(b"\x03\xe8", Flags::EOF),
        ];
        let expected = [
            chunk(b"!", Flags::PONG),
            chunk(b"abcd", Flags::TEXT),
            chunk(b"whole", Flags::NONE),
            chunk(b"", Flags::NONE),
            chunk(b"\x03\xe8", Flags::EOF),
        ];
        for (result, got) in run(&chunks, 5) {
            result.unwrap();
            assert_eq!(got, expected);
        }
    }

    #[test]
    fn a_message_over_the_limit_fails() {
        for chunks in
            [vec![chunk(b"123456", Flags::NONE)], vec![chunk(b"123", Flags::PARTIAL), chunk(b"456", Flags::NONE)]]
        {
            for (result, got) in run(&chunks, 5) {
                let error = result.unwrap_err();
                let source = error.get_ref().and_then(|e| e.downcast_ref::<DefragmentError>());
                let expected = DefragmentError::TooLong { limit: 5, option: "--defragment-max-size" };
                assert_eq!((error.kind(), source), (io::ErrorKind::InvalidData, Some(&expected)));
                assert_eq!(got, []);
            }
        }
    }
}
