//! Byte mirror: a bounded pipe from its own writer to its own reader.
//!
//! One window behind a lock: it owns memory only while bytes are in it. The writer waits when the bound is reached, the
//! reader when there is nothing; readiness is told without a buffer.

use crate::{
    buffer::{LARGEST, Window},
    info::SocketInfo,
    socket::StreamSocket,
    stream::{StreamRead, StreamWrite},
};
use std::{
    io,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker},
};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Bytes in flight unless told otherwise: as much as a kernel pipe holds.
const USUAL: usize = 64 << 10;

/// What a mirror may hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MirrorStreamOptions {
    /// Bytes in flight at most, up to 256 KiB. None: 64 KiB.
    pub max_buf_size: Option<usize>,
}

struct Shared {
    window: Window,
    limit: usize,
    ended: bool,
    /// Writes for nobody are errors instead of being thrown away.
    strict: bool,
    reader_gone: bool,
    reader: Option<Waker>,
    writer: Option<Waker>,
}

type Pipe = Arc<Mutex<Shared>>;

fn lock(pipe: &Pipe) -> MutexGuard<'_, Shared> {
    pipe.lock().unwrap_or_else(PoisonError::into_inner)
}

fn wake(waker: Option<Waker>) {
    if let Some(waker) = waker {
        waker.wake();
    }
}

/// Pending: nothing is in the pipe. EOF: the writer was shut down or dropped and everything was read. Drop: what is in the
/// pipe is lost and later writes are thrown away, as `-u` into a mirror wants.
pub struct MirrorStreamReader(Pipe);

/// Pending: the pipe is full. Short write: what fits. Drop: the reader sees EOF after the rest.
pub struct MirrorStreamWriter(Pipe);

/// A byte mirror as a socket.
pub fn mirror_stream(options: MirrorStreamOptions) -> StreamSocket {
    let (read, write) = halves(options.max_buf_size.unwrap_or(USUAL), false);
    let info = SocketInfo { specifier: Some("mirror:".into()), ..SocketInfo::default() };
    StreamSocket {
        read: Some(Box::new(read)),
        write: Some(Box::new(write)),
        info: Arc::new(info),
        ..StreamSocket::default()
    }
}

/// One direction of a connection: writes fail when nobody reads any more.
pub fn stream_pipe(max_buf_size: usize) -> (MirrorStreamReader, MirrorStreamWriter) {
    halves(max_buf_size, true)
}

fn halves(limit: usize, strict: bool) -> (MirrorStreamReader, MirrorStreamWriter) {
    let pipe = Arc::new(Mutex::new(Shared {
        window: Window::new(3),
        limit: limit.clamp(1, LARGEST),
        ended: false,
        strict,
        reader_gone: false,
        reader: None,
        writer: None,
    }));
    (MirrorStreamReader(pipe.clone()), MirrorStreamWriter(pipe))
}

impl Shared {
    /// Takes what fits. With more than half of the bound taken it waits for the reader rather than move many bytes to the
    /// front for the sake of few.
    fn put(&mut self, bytes: &[u8]) -> usize {
        let len = self.window.len();
        let n = bytes.len().min(self.limit.saturating_sub(len));
        if self.window.room() == 0 && len <= self.limit / 2 {
            self.window.reserve(len + n);
        }
        let n = n.min(self.window.room());
        self.window.push(bytes.get(..n).unwrap_or_default());
        n
    }
}

impl StreamRead for MirrorStreamReader {
    fn poll_readable(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut shared = lock(&self.0);
        if shared.window.is_empty() && !shared.ended {
            shared.reader = Some(cx.waker().clone());
            return Poll::Pending;
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncRead for MirrorStreamReader {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let mut shared = lock(&self.0);
        let n = shared.window.len().min(buf.remaining());
        if n == 0 && !shared.ended && buf.remaining() > 0 {
            shared.reader = Some(cx.waker().clone());
            return Poll::Pending;
        }
        buf.put_slice(shared.window.filled().get(..n).unwrap_or_default());
        shared.window.skip(n);
        if shared.window.is_empty() {
            shared.window.release();
        }
        let writer = shared.writer.take();
        drop(shared);
        wake(writer);
        Poll::Ready(Ok(()))
    }
}

impl Drop for MirrorStreamReader {
    fn drop(&mut self) {
        let mut shared = lock(&self.0);
        shared.reader_gone = true;
        shared.window = Window::new(3);
        let writer = shared.writer.take();
        drop(shared);
        wake(writer);
    }
}

impl StreamWrite for MirrorStreamWriter {}

impl AsyncWrite for MirrorStreamWriter {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let mut shared = lock(&self.0);
        if shared.ended || (shared.strict && shared.reader_gone) {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        if shared.reader_gone || buf.is_empty() {
            return Poll::Ready(Ok(buf.len()));
        }
        let n = shared.put(buf);
        if n == 0 {
            shared.writer = Some(cx.waker().clone());
            return Poll::Pending;
        }
        let reader = shared.reader.take();
        drop(shared);
        wake(reader);
        Poll::Ready(Ok(n))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        end(&self.0);
        Poll::Ready(Ok(()))
    }
}

impl Drop for MirrorStreamWriter {
    fn drop(&mut self) {
        end(&self.0);
    }
}

fn end(pipe: &Pipe) {
    let mut shared = lock(pipe);
    shared.ended = true;
    let reader = shared.reader.take();
    drop(shared);
    wake(reader);
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::poll_fn;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    fn halves(max_buf_size: Option<usize>) -> (MirrorStreamReader, MirrorStreamWriter, Pipe) {
        let (read, write) = super::halves(max_buf_size.unwrap_or(USUAL), false);
        let pipe = read.0.clone();
        (read, write, pipe)
    }

    #[tokio::test]
    async fn bytes_come_back_in_order_whatever_the_sizes() {
        let sent: Vec<u8> = (0..300_000u32).map(|i| (i * 7 / 3) as u8).collect();
        for (limit, step) in [(1, 10), (1000, 7), (1024, 1024), (USUAL, 1000), (LARGEST, 100_000)] {
            let sent = &sent[..if limit == 1 { 3000 } else { sent.len() }];
            let (mut r, mut w, pipe) = halves(Some(limit));
            let writer = async {
                w.write_all(sent).await.unwrap();
                w.shutdown().await.unwrap();
            };
            let reader = async {
                let (mut got, mut part) = (Vec::new(), vec![0; step]);
                loop {
                    assert!(lock(&pipe).window.len() <= limit);
                    match r.read(&mut part).await.unwrap() {
                        0 => return got,
                        n => got.extend_from_slice(&part[..n]),
                    }
                }
            };
            let ((), got) = tokio::join!(writer, reader);
            assert!(got == sent, "limit {limit} step {step}");
        }
    }

    #[tokio::test]
    async fn a_full_mirror_waits_and_an_idle_one_owns_nothing() {
        let (mut r, mut w, pipe) = halves(Some(1024));
        assert!(poll_fn(|cx| Poll::Ready(r.poll_readable(cx).is_pending())).await);
        assert_eq!(w.write(&[1; 2000]).await.unwrap(), 1024);
        assert!(poll_fn(|cx| Poll::Ready(Pin::new(&mut w).poll_write(cx, &[1]).is_pending())).await);
        r.read_exact(&mut [0; 1024]).await.unwrap();
        assert_eq!(lock(&pipe).window.room(), 0);
    }

    #[tokio::test]
    async fn discards_when_nobody_reads_any_more() {
        let (r, mut w, _pipe) = halves(Some(10));
        drop(r);
        w.write_all(&[0; 100_000]).await.unwrap();
    }
}
