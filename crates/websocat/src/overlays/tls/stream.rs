//! The protected socket: two halves of one TLS session, which share its state under a lock.
//!
//! Both halves may be polled from different tasks; a lock is held for one poll only and never across one. EOF without the
//! peer's close_notify counts as EOF: too many servers just close, and what runs inside (WebSocket, HTTP) has ends of its
//! own. Shutdown sends close_notify, then ends the write direction below. Dropping a half does neither.

use sockets::{
    split::Joined,
    stream::{StreamRead, StreamWrite},
};
use std::{
    io::{self, IoSlice},
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll},
};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_rustls::client::TlsStream;

type Session = Arc<Mutex<TlsStream<Joined>>>;

/// Reading half.
pub(super) struct TlsRead(Session);

/// Writing half.
pub(super) struct TlsWrite(Session);

pub(super) fn split(stream: TlsStream<Joined>) -> (TlsRead, TlsWrite) {
    let session = Arc::new(Mutex::new(stream));
    (TlsRead(session.clone()), TlsWrite(session))
}

fn lock(session: &Session) -> MutexGuard<'_, TlsStream<Joined>> {
    session.lock().unwrap_or_else(PoisonError::into_inner)
}

impl AsyncRead for TlsRead {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, to: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match Pin::new(&mut *lock(&self.0)).poll_read(cx, to) {
            Poll::Ready(Err(e)) if e.kind() == io::ErrorKind::UnexpectedEof => {
                tracing::debug!("TLS: the peer closed the connection without close_notify");
                Poll::Ready(Ok(()))
            }
            result => result,
        }
    }
}

impl StreamRead for TlsRead {}

impl AsyncWrite for TlsWrite {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut *lock(&self.0)).poll_write(cx, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *lock(&self.0)).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *lock(&self.0)).poll_shutdown(cx)
    }

    fn is_write_vectored(&self) -> bool {
        lock(&self.0).is_write_vectored()
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut *lock(&self.0)).poll_write_vectored(cx, bufs)
    }
}

impl StreamWrite for TlsWrite {}
