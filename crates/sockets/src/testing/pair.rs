//! Two connected byte streams in memory, with a stated buffer size in each direction.
//!
//! They behave like the ends of a TCP connection: half-close, data kept after the writer has gone, EOF when a whole end is
//! dropped, a broken pipe when nobody can read any more, and a reset on demand. No allocation after construction.

use crate::{
    info::SocketInfo,
    socket::StreamSocket,
    stream::{StreamRead, StreamWrite},
};
use std::{
    collections::VecDeque,
    io,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker},
};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// One direction.
struct Pipe {
    bytes: VecDeque<u8>,
    capacity: usize,
    /// The writer shut it down, or its whole end was dropped.
    ended: bool,
    /// Halves of the writing and of the reading end that still exist.
    writing_end: u8,
    reading_end: u8,
    reset: bool,
    reader: Option<Waker>,
    writer: Option<Waker>,
}

impl Pipe {
    fn new(capacity: usize) -> Self {
        let capacity = capacity.max(1);
        Self {
            bytes: VecDeque::with_capacity(capacity),
            capacity,
            ended: false,
            writing_end: 2,
            reading_end: 2,
            reset: false,
            reader: None,
            writer: None,
        }
    }

    fn wake(&mut self) {
        for waker in [self.reader.take(), self.writer.take()].into_iter().flatten() {
            waker.wake();
        }
    }

    /// Pending when there is neither data nor an end.
    fn poll_readable(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.reset {
            return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
        }
        if self.bytes.is_empty() && !self.ended {
            self.reader = Some(cx.waker().clone());
            return Poll::Pending;
        }
        Poll::Ready(Ok(()))
    }
}

struct Wire {
    /// `pipes.0` goes from the first end to the second.
    pipes: (Pipe, Pipe),
}

type Shared = Arc<Mutex<Wire>>;

fn lock(wire: &Shared) -> MutexGuard<'_, Wire> {
    wire.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Wire {
    /// The pipe that end `first` writes to or, with `!first`, reads from.
    fn pipe_of(&mut self, first: bool) -> &mut Pipe {
        if first { &mut self.pipes.0 } else { &mut self.pipes.1 }
    }

    fn leave(&mut self, first: bool) {
        let out = self.pipe_of(first);
        out.writing_end -= 1;
        if out.writing_end == 0 {
            out.ended = true;
            out.wake();
        }
        let input = self.pipe_of(!first);
        input.reading_end -= 1;
        input.wake();
    }
}

/// Breaks a pair: all four halves fail with a connection reset from then on, unread bytes are lost.
#[derive(Clone)]
pub struct Reset(Shared);

impl Reset {
    /// Resets the connection: both ends see an error from now on.
    pub fn fire(&self) {
        let mut wire = lock(&self.0);
        for first in [true, false] {
            let pipe = wire.pipe_of(first);
            pipe.reset = true;
            pipe.bytes.clear();
            pipe.wake();
        }
    }
}

/// Two ends of one connection that keeps up to `capacity` bytes (at least 1) in each direction, and a way to break it.
pub fn pair(capacity: usize) -> (StreamSocket, StreamSocket, Reset) {
    let wire = Arc::new(Mutex::new(Wire { pipes: (Pipe::new(capacity), Pipe::new(capacity)) }));
    let end = |first: bool| StreamSocket {
        read: Some(Box::new(PairRead { wire: wire.clone(), first })),
        write: Some(Box::new(PairWrite { wire: wire.clone(), first })),
        info: Arc::new(SocketInfo { specifier: Some("pair:".into()), ..SocketInfo::default() }),
        ..StreamSocket::default()
    };
    (end(true), end(false), Reset(wire))
}

/// Pending: until the other end writes, ends or resets. EOF: when the other end shut down or was dropped, after all bytes.
struct PairRead {
    wire: Shared,
    first: bool,
}

/// Pending: while the buffer is full. Short write: what fits. Drop midway: nothing is lost and nothing is shut down, until
/// the read half of the same end is dropped too. Changes no bytes.
struct PairWrite {
    wire: Shared,
    first: bool,
}

impl AsyncRead for PairRead {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let mut wire = lock(&self.wire);
        let pipe = wire.pipe_of(!self.first);
        std::task::ready!(pipe.poll_readable(cx))?;
        let n = buf.remaining().min(pipe.bytes.len());
        let (front, back) = pipe.bytes.as_slices();
        let from_front = n.min(front.len());
        buf.put_slice(front.get(..from_front).unwrap_or_default());
        buf.put_slice(back.get(..n - from_front).unwrap_or_default());
        pipe.bytes.drain(..n);
        if let Some(writer) = pipe.writer.take().filter(|_| n > 0) {
            writer.wake();
        }
        Poll::Ready(Ok(()))
    }
}

impl StreamRead for PairRead {
    fn poll_readable(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        lock(&self.wire).pipe_of(!self.first).poll_readable(cx)
    }
}

impl AsyncWrite for PairWrite {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        let mut wire = lock(&self.wire);
        let pipe = wire.pipe_of(self.first);
        if pipe.reset {
            return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
        }
        if pipe.ended || pipe.reading_end == 0 {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        let n = data.len().min(pipe.capacity - pipe.bytes.len());
        if n == 0 && !data.is_empty() {
            pipe.writer = Some(cx.waker().clone());
            return Poll::Pending;
        }
        pipe.bytes.extend(data.get(..n).unwrap_or_default());
        if let Some(reader) = pipe.reader.take() {
            reader.wake();
        }
        Poll::Ready(Ok(n))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut wire = lock(&self.wire);
        let pipe = wire.pipe_of(self.first);
        if pipe.reset {
            return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
        }
        pipe.ended = true;
        pipe.wake();
        Poll::Ready(Ok(()))
    }
}

impl StreamWrite for PairWrite {}

impl Drop for PairRead {
    fn drop(&mut self) {
        lock(&self.wire).leave(self.first);
    }
}

impl Drop for PairWrite {
    fn drop(&mut self) {
        lock(&self.wire).leave(self.first);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::drive;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    #[test]
    fn half_close_and_capacity() {
        drive(async {
            let (a, b, _) = pair(3);
            let (mut ar, mut aw) = (a.read.unwrap(), a.write.unwrap());
            let (mut br, mut bw) = (b.read.unwrap(), b.write.unwrap());
            let mut got = Vec::new();
            let send = async {
                aw.write_all(b"0123456789").await.unwrap();
                aw.shutdown().await.unwrap();
            };
            let ((), n) = tokio::join!(send, br.read_to_end(&mut got));
            assert_eq!((n.unwrap(), &*got), (10, &b"0123456789"[..]));
            assert_eq!(aw.write(b"x").await.unwrap_err().kind(), io::ErrorKind::BrokenPipe);
            bw.write_all(b"yes").await.unwrap();
            drop((br, bw));
            got.clear();
            ar.read_to_end(&mut got).await.unwrap();
            assert_eq!(got, b"yes");
        });
    }

    #[test]
    fn reset_and_drop_reach_everybody() {
        drive(async {
            let (a, b, reset) = pair(3);
            let (mut ar, mut bw) = (a.read.unwrap(), b.write.unwrap());
            bw.write_all(b"x").await.unwrap();
            let (waiting, ()) = tokio::join!(bw.write_all(b"more than fits"), async { reset.fire() });
            assert_eq!(waiting.unwrap_err().kind(), io::ErrorKind::ConnectionReset);
            assert_eq!(ar.read_u8().await.unwrap_err().kind(), io::ErrorKind::ConnectionReset);

            let (a, b, _) = pair(3);
            let mut aw = a.write.unwrap();
            aw.write_all(b"xyz").await.unwrap();
            let (waiting, ()) = tokio::join!(aw.write(b"!"), async { drop(b) });
            assert_eq!(waiting.unwrap_err().kind(), io::ErrorKind::BrokenPipe);
        });
    }
}
