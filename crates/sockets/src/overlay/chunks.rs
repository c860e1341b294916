//! `chunks:`: a byte stream as messages without borders (spec section 10).
//!
//! What one read brought is one binary message; written payloads go out one after another. Control payloads never reach
//! the stream. The end of the stream is EOF, written EOF shuts the stream down.

use crate::{
    buffer::Window,
    datagram::{DatagramRead, DatagramWrite, Flags},
    gather::{Gather, NoHead, poll_fill},
    socket::{DatagramSocket, StreamSocket},
    stream::{BoxStreamRead, BoxStreamWrite},
};
use std::{
    io,
    task::{Context, Poll, ready},
};

/// Both halves of `socket` as messages; a missing half stays missing.
pub fn stream_chunks(socket: StreamSocket) -> DatagramSocket {
    DatagramSocket {
        read: socket.read.map(|r| Box::new(StreamChunks::new(r)) as _),
        write: socket.write.map(|w| Box::new(StreamSink::new(w)) as _),
        hangup: socket.hangup,
        link: socket.link,
        info: socket.info,
    }
}

/// Byte stream as message reader. Never PARTIAL: what `max` cuts off is a message of its own.
///
/// Pending: as the stream; no buffer is held then. EOF: at the end of the stream, for ever. Drop midway: what was read and
/// not consumed is lost.
pub struct StreamChunks {
    inner: BoxStreamRead,
    window: Window,
    /// Length of the announced chunk.
    len: usize,
    announced: Option<Flags>,
}

impl StreamChunks {
    pub fn new(inner: BoxStreamRead) -> Self {
        Self { inner, window: Window::new(3), len: 0, announced: None }
    }
}

impl DatagramRead for StreamChunks {
    #[inline]
    fn poll_chunk(&mut self, cx: &mut Context<'_>, max: usize) -> Poll<io::Result<Flags>> {
        if let Some(flags) = self.announced {
            return Poll::Ready(Ok(flags));
        }
        let mut more = Flags::NONE;
        if self.window.is_empty() {
            // Not limited by `max`: many small messages may come of one read.
            if ready!(poll_fill(&mut *self.inner, cx, &mut self.window, 1))? == 0 {
                self.window.release();
                self.len = 0;
                self.announced = Some(Flags::EOF);
                return Poll::Ready(Ok(Flags::EOF));
            }
            if self.window.room() == 0 {
                more = Flags::MORE; // a full buffer: the stream has probably more
            }
        }
        self.len = self.window.len().min(max.max(1));
        if self.len < self.window.len() {
            more = Flags::MORE;
        }
        self.announced = Some(more);
        Poll::Ready(Ok(more))
    }

    #[inline]
    fn chunk_mut(&mut self) -> &mut [u8] {
        let len = if self.announced.is_some() { self.len } else { 0 };
        self.window.filled_mut().get_mut(..len).unwrap_or_default()
    }

    #[inline]
    fn consume(&mut self) {
        if self.announced.take_if(|f| !f.any(Flags::EOF)).is_some() {
            self.window.skip(self.len);
        }
    }

    fn for_each_inner(&mut self, _: &mut dyn FnMut(&mut dyn DatagramRead)) {}
}

/// Byte stream as message writer: payloads one after another, control payloads left out.
///
/// Pending: while the stream takes nothing, repeat with the same chunk. Short write: kept inside. EOF: nothing is written,
/// `poll_shutdown` ends the stream. Drop midway: what was not flushed is lost. Changes no bytes.
pub struct StreamSink(Gather);

impl StreamSink {
    pub fn new(inner: BoxStreamWrite) -> Self {
        Self(Gather::new(inner))
    }
}

impl DatagramWrite for StreamSink {
    #[inline]
    fn poll_write(&mut self, cx: &mut Context<'_>, chunk: &mut [u8], flags: Flags) -> Poll<io::Result<()>> {
        if flags.any(Flags::CONTROL) {
            return Poll::Ready(Ok(()));
        }
        self.0.poll_put(cx, &NoHead, chunk, flags.any(Flags::MORE))
    }

    fn may_hold_back(&mut self) {
        self.0.may_hold_back();
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.poll_flush(cx)
    }

    fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.poll_shutdown(cx)
    }

    fn keeps_borders(&self) -> bool {
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Recorder, collect_chunks, drive, schedules, scripted, write_chunks};

    #[test]
    fn one_read_is_one_message() {
        let mut r = StreamChunks::new(scripted("R abc|R de|ZR 3").unwrap().read.unwrap());
        let got = drive(collect_chunks(&mut r, 2)).unwrap();
        let expected: [&[u8]; 5] = [b"ab", b"c", b"de", b"\0\0", b"\0"];
        let expected = expected.map(|bytes| (bytes.to_vec(), Flags::NONE));
        assert_eq!(got, [&expected[..], &[(vec![], Flags::EOF)]].concat());
    }

    #[test]
    fn one_read_gives_many_messages_that_may_leave_together() {
        let mut r = StreamChunks::new(scripted("R abcdef").unwrap().read.unwrap());
        let mut cx = Context::from_waker(std::task::Waker::noop());
        for (chunk, flags) in [(b"ab", Flags::MORE), (b"cd", Flags::MORE), (b"ef", Flags::NONE)] {
            assert!(matches!(r.poll_chunk(&mut cx, 2), Poll::Ready(Ok(f)) if f == flags));
            assert_eq!(r.chunk_mut(), chunk);
            r.consume();
        }
    }

    #[test]
    fn control_payloads_never_reach_the_stream() {
        for schedule in schedules() {
            let recorder = Recorder::new();
            let mut sink = StreamSink::new(schedule.write_half(recorder.stream()));
            let chunks = [
                (b"abc".to_vec(), Flags::TEXT | Flags::PARTIAL),
                (b"ping".to_vec(), Flags::PING),
                (vec![], Flags::NONE),
                (vec![b'x'; 20_000], Flags::MORE),
                (b"\x03\xe8bye".to_vec(), Flags::EOF),
            ];
            drive(write_chunks(&mut sink, &chunks)).unwrap();
            assert_eq!(recorder.bytes(), [&b"abc"[..], &[b'x'; 20_000]].concat(), "{schedule:?}");
            assert!(recorder.is_shut());
        }
    }
}
