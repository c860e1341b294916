//! `write_buffer:`: gathers small writes to a byte stream until a flush or until the buffer is full.

use crate::{
    buffer::Window,
    stream::{BoxStreamWrite, StreamWrite, wrote},
};
use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};
use tokio::io::AsyncWrite;

/// Largest capacity: the largest pooled buffer.
pub const MAX_CAPACITY: usize = 256 << 10;

/// Gathers up to `capacity` bytes; what is larger passes by when nothing is gathered.
///
/// Pending: while the buffer is full and the stream takes nothing; nothing of the data was taken then. Short write: only of
/// data that pass by. EOF: shutdown flushes first. Drop midway: what was not flushed is lost. Changes no bytes. Owns memory
/// only while it holds bytes.
pub struct WriteBuffer {
    inner: BoxStreamWrite,
    gathered: Window,
    capacity: usize,
}

impl WriteBuffer {
    /// `capacity` in bytes, brought into 1 to [`MAX_CAPACITY`].
    pub fn new(inner: BoxStreamWrite, capacity: usize) -> Self {
        Self { inner, gathered: Window::new(3), capacity: capacity.clamp(1, MAX_CAPACITY) }
    }

    fn poll_empty(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.gathered.is_empty() {
            let n = wrote(ready!(Pin::new(&mut *self.inner).poll_write(cx, self.gathered.filled()))?)?;
            self.gathered.skip(n);
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for WriteBuffer {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        if self.gathered.len() + data.len() > self.capacity {
            ready!(self.poll_empty(cx))?;
        }
        if data.len() >= self.capacity {
            return Pin::new(&mut *self.inner).poll_write(cx, data);
        }
        let held = self.gathered.len();
        let need = if held == 0 { self.capacity } else { held + data.len() };
        self.gathered.reserve(need);
        self.gathered.push(data);
        Poll::Ready(Ok(data.len()))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_empty(cx))?;
        self.gathered.release();
        Pin::new(&mut *self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_empty(cx))?;
        self.gathered.release();
        Pin::new(&mut *self.inner).poll_shutdown(cx)
    }
}

impl StreamWrite for WriteBuffer {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Recorder, drive};
    use tokio::io::AsyncWriteExt;

    #[test]
    fn gathers_until_full_or_flushed() {
        let recorder = Recorder::new();
        let mut w = WriteBuffer::new(recorder.stream(), 8);
        drive(async {
            for part in [&b"abc"[..], b"def", b"gh", b"i", b"0123456789"] {
                w.write_all(part).await.unwrap();
            }
            w.write_all(b"jk").await.unwrap();
            assert!(!recorder.bytes().ends_with(b"jk"));
            w.flush().await.unwrap();
        });
        let writes: Vec<_> = recorder.chunks().into_iter().map(|c| c.0).collect();
        assert_eq!(writes, [&b"abcdefgh"[..], b"i", b"0123456789", b"jk"]);
        assert_eq!(w.gathered.room(), 0);
    }
}
