//! A connected stream socket, or SEQPACKET one, of any family, registered with the runtime.
//!
//! Closing it never keeps a worker waiting: Linux lets close(2) wait for the peer where SO_LINGER asks for it, even of a
//! socket that does not block otherwise.

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

pub fn is_tcp(socket: &KernelStream) -> bool {
    matches!(socket, KernelStream::Tcp(_))
}

/// With epoll and kqueue a short read of TCP means that the kernel's buffer is empty: the next event will tell. A UNIX
/// socket also stops reading where the peer has sent descriptors along, with more behind that no event will tell of, and so
/// does TCP at urgent data that is to be part of the stream (SO_OOBINLINE).
pub fn short_means_empty(socket: &KernelStream) -> bool {
    is_tcp(socket) && !socket2::SockRef::from(socket).out_of_band_inline().unwrap_or(false)
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

impl Drop for KernelStream {
    fn drop(&mut self) {
        let lingers = matches!(self, Self::Tcp(_))
            && socket2::SockRef::from(&*self).linger().is_ok_and(|time| time.is_some_and(|time| !time.is_zero()));
        if !lingers {
            return;
        }
        // The kernel goes on sending what is left whether somebody waits or not, and nobody here would learn anything from
        // waiting. Where it cannot be switched off the close waits, which is what was asked for.
        let _ = socket2::SockRef::from(&*self).set_linger(None);
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::tcp::tests::{BOUND, connection};
    use std::time::{Duration, Instant};
    use tokio::{io::AsyncReadExt as _, time::timeout};

    #[tokio::test]
    async fn closing_keeps_nobody_waiting() {
        let (ours, mut theirs) = connection().await;
        socket2::SockRef::from(&ours).set_linger(Some(Duration::from_secs(100))).unwrap();
        let mut sent = 0;
        while let Ok(n) = ours.try_write(&[7; 1 << 16]) {
            sent += n;
        }
        let begin = Instant::now();
        drop(KernelStream::from(ours));
        assert!(begin.elapsed() < Duration::from_secs(50), "the worker waited for the peer");
        let mut got = Vec::new();
        timeout(BOUND, theirs.read_to_end(&mut got)).await.unwrap().unwrap();
        assert_eq!(got.len(), sent);
    }
}
