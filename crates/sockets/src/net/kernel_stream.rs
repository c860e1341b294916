//! Halves of a connection over one shared socket of the kernel, TCP or UNIX.
//!
//! Bottom of the stack: what connect and listen give. The halves share one `Arc<KernelStream>`, so that splice, reset
//! detection and descriptor passing need neither a second descriptor nor a lock. Dropping a half shuts nothing down; the
//! descriptor closes with the last owner (halves, [`Link`]). Compared with tokio's own halves a short read clears the
//! readiness only where that is right, which saves the system call that would only say EAGAIN.

#[cfg_attr(not(unix), path = "kernel_stream/elsewhere.rs")]
#[cfg_attr(unix, path = "kernel_stream/unix.rs")]
mod os;

#[cfg_attr(any(target_os = "linux", target_os = "android"), path = "kernel_stream/hold_linux.rs")]
#[cfg_attr(not(any(target_os = "linux", target_os = "android")), path = "kernel_stream/hold_elsewhere.rs")]
mod hold;

#[cfg_attr(target_os = "linux", path = "kernel_stream/unsent_linux.rs")]
#[cfg_attr(not(target_os = "linux"), path = "kernel_stream/unsent_elsewhere.rs")]
mod unsent;

pub use os::KernelStream;
pub(crate) use unsent::unsent;

use crate::{
    info::SocketInfo,
    socket::{Link, StreamSocket},
    stream::{StreamRead, StreamWrite},
};
use std::{
    io::{self, IoSlice, Read},
    net::Shutdown,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};

/// Read half. Pending: woken when the socket is readable, nothing is lost. EOF: that of the peer, repeated for ever. Drop
/// midway loses nothing but closes nothing either, while the other half lives. It changes only the unfilled part.
#[derive(Debug)]
pub struct KernelRead {
    socket: Arc<KernelStream>,
    short_means_empty: bool,
}

impl KernelRead {
    /// Socket options have to be set before.
    pub fn new(socket: Arc<KernelStream>) -> Self {
        let short_means_empty = os::short_means_empty(&socket);
        Self { socket, short_means_empty }
    }
}

impl AsyncRead for KernelRead {
    #[inline]
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if buf.remaining() == 0 {
            return Poll::Ready(Ok(()));
        }
        // Costs nothing for buffers that were initialised once, as all of ours are.
        let room = buf.initialize_unfilled();
        let socket = socket2::SockRef::from(&*self.socket);
        let n = loop {
            ready!(self.socket.poll_read_ready(cx))?;
            let mut short = None;
            let result = self.socket.try_io(Interest::READABLE, || {
                let n = (&*socket).read(room)?;
                if self.short_means_empty && 0 < n && n < room.len() {
                    short = Some(n);
                    return Err(io::ErrorKind::WouldBlock.into()); // clears the readiness
                }
                Ok(n)
            });
            match (short, result) {
                (Some(n), _) | (None, Ok(n)) => break n,
                (None, Err(e)) if matches!(e.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {}
                (None, Err(e)) => return Poll::Ready(Err(e)),
            }
        };
        buf.advance(n);
        Poll::Ready(Ok(()))
    }
}

impl StreamRead for KernelRead {
    #[inline]
    fn poll_readable(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.socket.poll_read_ready(cx)
    }

    fn kernel(&self) -> Option<&Arc<KernelStream>> {
        Some(&self.socket)
    }
}

/// Write half. Pending: nothing of the slice was taken. Short writes: when the kernel's buffer fills up. Flushing is needed
/// only after `poll_write_held`. Shutdown tells the peer (FIN) and may be repeated; dropping does not send it. It never
/// changes the bytes it is lent.
#[derive(Debug)]
pub struct KernelWrite {
    socket: Arc<KernelStream>,
    /// `poll_write_held` does what it says.
    holds_back: bool,
    /// The end of the last write may still wait in the kernel for more.
    held: bool,
}

impl KernelWrite {
    pub fn new(socket: Arc<KernelStream>) -> Self {
        Self { socket, holds_back: false, held: false }
    }

    #[inline]
    fn poll_io(
        &mut self,
        cx: &mut Context<'_>,
        held: bool,
        mut write: impl FnMut(&KernelStream) -> io::Result<usize>,
    ) -> Poll<io::Result<usize>> {
        loop {
            ready!(self.socket.poll_write_ready(cx))?;
            match write(&self.socket) {
                Err(e) if matches!(e.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {}
                result => {
                    self.held = held;
                    return Poll::Ready(result);
                }
            }
        }
    }
}

impl AsyncWrite for KernelWrite {
    #[inline]
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_io(cx, false, |socket| socket.try_write(buf))
    }

    #[inline]
    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.poll_io(cx, false, |socket| socket.try_write_vectored(bufs))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    #[inline]
    fn poll_flush(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        if std::mem::take(&mut self.held) {
            hold::let_go(&self.socket)?;
        }
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(match socket2::SockRef::from(&*self.socket).shutdown(Shutdown::Write) {
            // The connection is over already, by reset or in order: there is no direction left to end.
            Err(e) if e.kind() == io::ErrorKind::NotConnected => Ok(()),
            result => result,
        })
    }
}

impl StreamWrite for KernelWrite {
    fn may_hold_back(&mut self) {
        // There are no packets to be filled elsewhere.
        self.holds_back = os::is_tcp(&self.socket);
    }

    fn poll_write_held(&mut self, cx: &mut Context<'_>, bufs: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        if !self.holds_back {
            return Pin::new(self).poll_write_vectored(cx, bufs);
        }
        self.poll_io(cx, true, |socket| socket.try_io(Interest::WRITABLE, || hold::write(socket, bufs)))
    }

    fn kernel(&self) -> Option<&Arc<KernelStream>> {
        Some(&self.socket)
    }
}

/// A connected socket with both halves and its link.
pub fn kernel_socket(socket: KernelStream, info: SocketInfo) -> StreamSocket {
    #[cfg(unix)]
    let info = SocketInfo { fd: Some(std::os::fd::AsRawFd::as_raw_fd(&socket)), ..info };
    let socket = Arc::new(socket);
    StreamSocket {
        read: Some(Box::new(KernelRead::new(socket.clone()))),
        write: Some(Box::new(KernelWrite::new(socket.clone()))),
        hangup: None,
        link: Some(Link(socket)),
        info: Arc::new(info),
    }
}
