//! Streams that fail after so many bytes: wrap a half to see what the machine above does with an error.

use crate::{
    overlay::read_limiter::poll_read_at_most,
    stream::{BoxStreamRead, BoxStreamWrite, StreamRead, StreamWrite},
};
use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Reads of `inner` fail with `kind` once `after` bytes were read.
pub fn fail_read(inner: BoxStreamRead, after: usize, kind: io::ErrorKind) -> BoxStreamRead {
    Box::new(FaultyRead { inner, left: after, kind })
}

/// Writes to `inner` fail with `kind` once `after` bytes were written; a flush or shutdown from then on fails too.
pub fn fail_write(inner: BoxStreamWrite, after: usize, kind: io::ErrorKind) -> BoxStreamWrite {
    Box::new(FaultyWrite { inner, left: after, kind })
}

/// Pending and EOF: as the inner stream. Reads never go past the fault.
struct FaultyRead {
    inner: BoxStreamRead,
    left: usize,
    kind: io::ErrorKind,
}

/// Pending: as the inner stream. Short write: at the fault. Changes no bytes.
struct FaultyWrite {
    inner: BoxStreamWrite,
    left: usize,
    kind: io::ErrorKind,
}

impl AsyncRead for FaultyRead {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.left == 0 {
            return Poll::Ready(Err(self.kind.into()));
        }
        let left = self.left;
        self.left -= std::task::ready!(poll_read_at_most(&mut *self.inner, cx, buf, left))?;
        Poll::Ready(Ok(()))
    }
}

impl StreamRead for FaultyRead {
    fn poll_readable(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.left == 0 { Poll::Ready(Ok(())) } else { self.inner.poll_readable(cx) }
    }
}

impl AsyncWrite for FaultyWrite {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        if self.left == 0 {
            return Poll::Ready(Err(self.kind.into()));
        }
        let part = data.get(..data.len().min(self.left)).unwrap_or_default();
        let n = std::task::ready!(Pin::new(&mut *self.inner).poll_write(cx, part))?;
        self.left -= n;
        Poll::Ready(Ok(n))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.left == 0 { Poll::Ready(Err(self.kind.into())) } else { Pin::new(&mut *self.inner).poll_flush(cx) }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.left == 0 { Poll::Ready(Err(self.kind.into())) } else { Pin::new(&mut *self.inner).poll_shutdown(cx) }
    }
}

impl StreamWrite for FaultyWrite {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{drive, pair};
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    #[test]
    fn faults_come_after_so_many_bytes() {
        drive(async {
            let (a, b, _) = pair(100);
            let mut w = fail_write(a.write.unwrap(), 5, io::ErrorKind::StorageFull);
            assert_eq!(w.write_all(b"0123456789").await.unwrap_err().kind(), io::ErrorKind::StorageFull);
            let mut r = fail_read(b.read.unwrap(), 3, io::ErrorKind::TimedOut);
            let mut got = Vec::new();
            assert_eq!(r.read_to_end(&mut got).await.unwrap_err().kind(), io::ErrorKind::TimedOut);
            assert_eq!(got, b"012");
        });
    }
}
