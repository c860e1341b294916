//! `read_chunk_limiter:`: makes reads of a byte stream short, to see how what stands above copes.

use crate::stream::{BoxStreamRead, StreamRead};
use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};
use tokio::io::{AsyncRead, ReadBuf};

/// Reads at most `limit` bytes at a time.
///
/// Pending, EOF: as the inner stream. Drop midway: loses nothing, it keeps no bytes.
pub struct ReadLimiter {
    inner: BoxStreamRead,
    limit: usize,
}

impl ReadLimiter {
    /// `limit` in bytes; 0 counts as 1, for a read of nothing would mean the end.
    pub fn new(inner: BoxStreamRead, limit: usize) -> Self {
        Self { inner, limit: limit.max(1) }
    }
}

impl AsyncRead for ReadLimiter {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let limit = self.limit;
        poll_read_at_most(&mut *self.inner, cx, buf, limit).map_ok(|_| ())
    }
}

impl StreamRead for ReadLimiter {
    fn poll_readable(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.inner.poll_readable(cx)
    }
}

/// One read of at most `limit` bytes into `buf`; returns how many there were.
pub(crate) fn poll_read_at_most(
    stream: &mut dyn StreamRead,
    cx: &mut Context<'_>,
    buf: &mut ReadBuf<'_>,
    limit: usize,
) -> Poll<io::Result<usize>> {
    let room = limit.min(buf.remaining());
    // Costs nothing with pooled buffers, which are initialised already.
    let mut part = ReadBuf::new(buf.initialize_unfilled_to(room));
    ready!(Pin::new(stream).poll_read(cx, &mut part))?;
    let n = part.filled().len();
    buf.advance(n);
    Poll::Ready(Ok(n))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{drive, scripted};
    use tokio::io::AsyncReadExt;

    #[test]
    fn reads_are_short() {
        let mut r = ReadLimiter::new(scripted("R abcde|R f").unwrap().read.unwrap(), 2);
        drive(async {
            let mut buf = [0; 9];
            let mut sizes = Vec::new();
            while let n @ 1.. = r.read(&mut buf).await.unwrap() {
                sizes.push(n);
            }
            assert_eq!(sizes, [2, 2, 1, 1]);
        });
    }
}
