//! Rate limits of byte streams: reads and writes are as short as the bucket wants them.

use super::{Pace, RateLimit};
use crate::{
    overlay::read_limiter::poll_read_at_most,
    stream::{BoxStreamRead, BoxStreamWrite, StreamRead, StreamWrite},
};
use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Reads no faster than it may.
///
/// Pending: as the inner stream, or until there is something in the bucket. EOF: as the inner stream, but not before that
/// either. Drop midway: loses nothing, it keeps no bytes.
pub struct RateLimitedRead {
    inner: BoxStreamRead,
    pace: Pace,
}

impl RateLimitedRead {
    pub fn new(inner: BoxStreamRead, limit: &RateLimit) -> Self {
        Self { inner, pace: Pace::new(limit) }
    }
}

impl AsyncRead for RateLimitedRead {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        let most = ready!(this.pace.poll_bytes(cx));
        let n = ready!(poll_read_at_most(&mut *this.inner, cx, buf, most))?;
        this.pace.charge(n, 0);
        Poll::Ready(Ok(()))
    }
}

impl StreamRead for RateLimitedRead {
    fn poll_readable(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.pace.poll_bytes(cx));
        self.inner.poll_readable(cx)
    }
}

/// Writes no faster than it may.
///
/// Pending: as the inner stream, or until there is something in the bucket. Short write: at what the bucket has. EOF:
/// shutdown passes. Drop midway: loses nothing, it keeps no bytes. Changes no bytes.
pub struct RateLimitedWrite {
    inner: BoxStreamWrite,
    pace: Pace,
}

impl RateLimitedWrite {
    pub fn new(inner: BoxStreamWrite, limit: &RateLimit) -> Self {
        Self { inner, pace: Pace::new(limit) }
    }
}

impl AsyncWrite for RateLimitedWrite {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        let this = &mut *self;
        let most = ready!(this.pace.poll_bytes(cx));
        let part = data.get(..data.len().min(most)).unwrap_or_default();
        let n = ready!(Pin::new(&mut *this.inner).poll_write(cx, part))?;
        this.pace.charge(n, 0);
        Poll::Ready(Ok(n))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.inner).poll_shutdown(cx)
    }
}

impl StreamWrite for RateLimitedWrite {}
