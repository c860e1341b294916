//! The contract of byte streams: tokio's traits plus what is known of the kernel socket below.
//!
//! Wrappers that change bytes (TLS, limiters, loggers) keep the defaults; wrappers that do not may delegate.

use crate::net::kernel_stream::KernelStream;
use std::{
    io::{self, IoSlice},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};
use tokio::io::{AsyncRead, AsyncWrite};

/// Read half of a byte stream. EOF is a read of zero bytes; after it reads give EOF again.
pub trait StreamRead: AsyncRead + Send + Unpin {
    /// Ready when a read may find something; costs no system call. Whoever reads takes a buffer only then, so that idle
    /// connections own none. Streams that cannot tell are always ready.
    fn poll_readable(&mut self, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    /// The kernel's socket, if reading from it directly is the same as reading from this (splice).
    fn kernel(&self) -> Option<&Arc<KernelStream>> {
        None
    }
}

/// Write half of a byte stream. `poll_shutdown` flushes and ends the direction (TCP FIN); dropping does neither.
pub trait StreamWrite: AsyncWrite + Send + Unpin {
    /// From now on the bytes of `poll_write_held` may wait below for those that follow.
    fn may_hold_back(&mut self) {}

    /// As `poll_write_vectored`, for bytes that others follow at once: if it may, the stream holds some of them back so that
    /// they leave in full packets together with those. `poll_flush`, any other write and the shutdown let them go.
    fn poll_write_held(&mut self, cx: &mut Context<'_>, bufs: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        Pin::new(self).poll_write_vectored(cx, bufs)
    }

    /// The kernel's socket, if writing to it directly is the same as writing to this (splice).
    fn kernel(&self) -> Option<&Arc<KernelStream>> {
        None
    }
}

/// A byte reader of any kind.
pub type BoxStreamRead = Box<dyn StreamRead>;
/// A byte writer of any kind.
pub type BoxStreamWrite = Box<dyn StreamWrite>;

/// Zero bytes taken from a non-empty slice mean that a writer is broken.
pub(crate) fn wrote(n: usize) -> io::Result<usize> {
    if n == 0 { Err(io::ErrorKind::WriteZero.into()) } else { Ok(n) }
}
