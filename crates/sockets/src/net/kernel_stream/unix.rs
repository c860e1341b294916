//! A connected stream socket, or SEQPACKET one, of any family, registered with the runtime.

use std::{
    io::{self, IoSlice},
    os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd},
    task::{Context, Poll},
};
use tokio::{
    io::{Interest, Ready},
    net::{TcpStream, UnixStream},
};

/// All that is needed of it is the same for all families.
#[derive(Debug)]
pub enum KernelStream {
    Tcp(TcpStream),
    Unix(UnixStream),
}

/// With epoll and kqueue a short read of TCP means that the kernel's buffer is empty: the next event will tell. But a mark of
/// urgent data also ends a read early, if that is wanted inline (SO_OOBINLINE), and so do descriptors that the peer of a
/// UNIX socket has sent along: with more behind that no event will tell of.
pub fn short_means_empty(socket: &KernelStream) -> bool {
    let inline = || socket2::SockRef::from(socket).out_of_band_inline().unwrap_or(false);
    matches!(socket, KernelStream::Tcp(_)) && !inline()
}

macro_rules! either {
    ($self:ident, $socket:ident => $call:expr) => {
        match $self {
            Self::Tcp($socket) => $call,
            Self::Unix($socket) => $call,
        }
    };
}

impl KernelStream {
    #[inline]
    pub fn poll_read_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        either!(self, socket => socket.poll_read_ready(cx))
    }

    #[inline]
    pub fn poll_write_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        either!(self, socket => socket.poll_write_ready(cx))
    }

    /// Calls `io` if the socket is ready; WouldBlock clears the readiness.
    #[inline]
    pub fn try_io<R>(&self, interest: Interest, io: impl FnOnce() -> io::Result<R>) -> io::Result<R> {
        either!(self, socket => socket.try_io(interest, io))
    }

    #[inline]
    pub fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        either!(self, socket => socket.try_write(bytes))
    }

    #[inline]
    pub fn try_write_vectored(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        either!(self, socket => socket.try_write_vectored(slices))
    }

    pub async fn ready(&self, interest: Interest) -> io::Result<Ready> {
        either!(self, socket => socket.ready(interest).await)
    }
}

impl From<TcpStream> for KernelStream {
    fn from(socket: TcpStream) -> Self {
        Self::Tcp(socket)
    }
}

impl From<UnixStream> for KernelStream {
    fn from(socket: UnixStream) -> Self {
        Self::Unix(socket)
    }
}

impl AsFd for KernelStream {
    fn as_fd(&self) -> BorrowedFd<'_> {
        either!(self, socket => socket.as_fd())
    }
}

impl AsRawFd for KernelStream {
    fn as_raw_fd(&self) -> RawFd {
        self.as_fd().as_raw_fd()
    }
}
