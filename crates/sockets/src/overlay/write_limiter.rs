//! `write_chunk_limiter:`: makes writes to a byte stream short, to see how what stands above copes.

use crate::stream::{BoxStreamWrite, StreamWrite};
use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
};
use tokio::io::AsyncWrite;

/// Writes at most `limit` bytes at a time.
///
/// Pending: as the inner stream. Short write: at the limit. EOF: shutdown passes. Drop midway: loses nothing, it keeps no
/// bytes. Changes no bytes.
pub struct WriteLimiter {
    inner: BoxStreamWrite,
    limit: usize,
}

impl WriteLimiter {
    /// `limit` in bytes; 0 counts as 1, for a write of nothing would mean a broken writer.
    pub fn new(inner: BoxStreamWrite, limit: usize) -> Self {
        Self { inner, limit: limit.max(1) }
    }
}

impl AsyncWrite for WriteLimiter {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        let part = data.get(..data.len().min(self.limit)).unwrap_or_default();
        Pin::new(&mut *self.inner).poll_write(cx, part)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.inner).poll_shutdown(cx)
    }
}

impl StreamWrite for WriteLimiter {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Recorder, drive};
    use tokio::io::AsyncWriteExt;

    #[test]
    fn writes_are_short() {
        let recorder = Recorder::new();
        let mut w = WriteLimiter::new(recorder.stream(), 2);
        drive(async { w.write_all(b"abcde").await.unwrap() });
        assert_eq!(recorder.chunks().iter().map(|c| c.0.len()).collect::<Vec<_>>(), [2, 2, 1]);
    }
}
