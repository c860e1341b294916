//! Byte streams taken apart, put together and read from the front again.
//!
//! TLS and the HTTP handshake want one object for both directions ([`Joined`]), the exchange wants halves ([`split`]), and
//! what a handshake read too much goes back in front ([`Prefixed`]). None of them changes a byte.

use crate::{
    net::kernel_stream::KernelStream,
    stream::{BoxStreamRead, BoxStreamWrite, StreamRead, StreamWrite},
};
use bytes::{Buf, Bytes};
use std::{
    io::{self, IoSlice},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf, ReadHalf, WriteHalf};

/// Two halves as one stream. Every call goes to its half: Pending, short writes and EOF are theirs.
pub struct Joined {
    pub read: BoxStreamRead,
    pub write: BoxStreamWrite,
}

impl Joined {
    pub fn new(read: BoxStreamRead, write: BoxStreamWrite) -> Self {
        Self { read, write }
    }
}

impl AsyncRead for Joined {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.read).poll_read(cx, buf)
    }
}

impl AsyncWrite for Joined {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut *self.write).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut *self.write).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.write.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.write).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.write).poll_shutdown(cx)
    }
}

/// Takes a stream apart whose directions share state (TLS): a lock that is never held while waiting.
pub fn split<T: AsyncRead + AsyncWrite + Send + 'static>(io: T) -> (BoxStreamRead, BoxStreamWrite) {
    let (read, write) = tokio::io::split(io);
    (Box::new(SplitRead(read)), Box::new(SplitWrite(write)))
}

/// Read half from [`split`]; behaves as the stream does. Dropping it closes nothing while the other half lives.
struct SplitRead<T>(ReadHalf<T>);

impl<T: AsyncRead> AsyncRead for SplitRead<T> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buf)
    }
}

impl<T: AsyncRead + Send> StreamRead for SplitRead<T> {}

/// Write half from [`split`]; behaves as the stream does. Dropping it does not shut the direction down.
struct SplitWrite<T>(WriteHalf<T>);

impl<T: AsyncWrite> AsyncWrite for SplitWrite<T> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.0.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}

impl<T: AsyncWrite + Send> StreamWrite for SplitWrite<T> {}

/// Bytes to be read first, then the inner reader. Once they are read it is transparent, readiness and splice included, and
/// their buffer is freed. A read never mixes both.
pub struct Prefixed {
    prefix: Bytes,
    inner: BoxStreamRead,
}

impl Prefixed {
    pub fn new(prefix: Bytes, inner: BoxStreamRead) -> Self {
        Self { prefix, inner }
    }

    /// Puts the prefix in front, or gives the reader back as it is when there is none.
    pub fn boxed(prefix: Bytes, inner: BoxStreamRead) -> BoxStreamRead {
        if prefix.is_empty() { inner } else { Box::new(Self::new(prefix, inner)) }
    }
}

impl AsyncRead for Prefixed {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.prefix.is_empty() {
            return Pin::new(&mut *self.inner).poll_read(cx, buf);
        }
        let n = self.prefix.len().min(buf.remaining());
        if let Some(part) = self.prefix.get(..n) {
            buf.put_slice(part);
        }
        self.prefix.advance(n);
        if self.prefix.is_empty() {
            self.prefix = Bytes::new(); // an empty slice would still keep the buffer alive
        }
        Poll::Ready(Ok(()))
    }
}

impl StreamRead for Prefixed {
    fn poll_readable(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.prefix.is_empty() { self.inner.poll_readable(cx) } else { Poll::Ready(Ok(())) }
    }

    fn kernel(&self) -> Option<&Arc<KernelStream>> {
        if self.prefix.is_empty() { self.inner.kernel() } else { None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        info::SocketInfo,
        net::tcp::{tcp_socket, tests::connection},
    };
    use std::future::poll_fn;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    fn assert_stream<T: AsyncRead + AsyncWrite + Unpin + Send>(_: &T) {}

    #[tokio::test]
    async fn joined_and_split_again_carry_both_directions() {
        let (ours, mut theirs) = connection().await;
        let socket = tcp_socket(ours, SocketInfo::default());
        drop(socket.link);
        let joined = Joined::new(socket.read.unwrap(), socket.write.unwrap());
        assert_stream(&joined);
        assert!(joined.is_write_vectored());
        let (mut read, mut write) = split(joined);
        assert!(write.is_write_vectored());
        write.write_all(b"out").await.unwrap();
        write.shutdown().await.unwrap();
        let mut got = Vec::new();
        theirs.read_to_end(&mut got).await.unwrap();
        assert_eq!(got, b"out");
        theirs.write_all(b"in").await.unwrap();
        drop(theirs);
        got.clear();
        read.read_to_end(&mut got).await.unwrap();
        assert_eq!(got, b"in");
    }

    #[tokio::test]
    async fn the_prefix_comes_first_and_then_is_gone() {
        let (ours, mut theirs) = connection().await;
        let read = tcp_socket(ours, SocketInfo::default()).read.unwrap();
        let prefix = Bytes::from(b"prefix".to_vec());
        let mut read = Prefixed::new(prefix.clone(), read);
        assert!(read.kernel().is_none(), "splicing past the prefix would lose it");
        assert!(!prefix.is_unique());
        let mut buf = [0; 4];
        assert_eq!(read.read(&mut buf).await.unwrap(), 4);
        assert_eq!(&buf, b"pref");
        poll_fn(|cx| read.poll_readable(cx)).await.unwrap();
        assert_eq!(read.read(&mut buf).await.unwrap(), 2);
        assert!(prefix.is_unique(), "the buffer was given back");
        assert!(read.kernel().is_some());
        theirs.write_all(b"rest").await.unwrap();
        drop(theirs);
        poll_fn(|cx| read.poll_readable(cx)).await.unwrap();
        let mut rest = Vec::new();
        read.read_to_end(&mut rest).await.unwrap();
        assert_eq!(rest, b"rest");
    }
}
