//! Halves of a TCP connection over one shared socket.
//!
//! Bottom of the stack: what connect and listen give. The halves share one `Arc<TcpStream>`, so that splice, reset
//! detection and descriptor passing need neither a second descriptor nor a lock. Dropping a half shuts nothing down; the
//! descriptor closes with the last owner (halves, [`Link`]). Compared with tokio's own halves a short read clears the
//! readiness, which saves the system call that would only say EAGAIN.

#[cfg_attr(any(target_os = "linux", target_os = "android"), path = "tcp/hold_linux.rs")]
#[cfg_attr(not(any(target_os = "linux", target_os = "android")), path = "tcp/hold_elsewhere.rs")]
mod hold;

use crate::{
    info::{Address, SocketInfo},
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
use tokio::{
    io::{AsyncRead, AsyncWrite, Interest, ReadBuf},
    net::TcpStream,
};

/// With epoll and kqueue a short read means that the kernel's buffer is empty: the next event will tell.
/// Windows reports readiness by level and only again after EAGAIN, so there the shortcut would lose an event.
const SHORT_MEANS_EMPTY: bool = cfg!(unix);

/// Read half. Pending: woken when the socket is readable, nothing is lost. EOF: FIN of the peer, repeated for ever. Drop
/// midway loses nothing but closes nothing either, while the other half lives. It changes only the unfilled part.
#[derive(Debug)]
pub struct TcpRead(Arc<TcpStream>);

impl TcpRead {
    pub fn new(tcp: Arc<TcpStream>) -> Self {
        Self(tcp)
    }
}

impl AsyncRead for TcpRead {
    #[inline]
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if buf.remaining() == 0 {
            return Poll::Ready(Ok(()));
        }
        // Costs nothing for buffers that were initialised once, as all of ours are.
        let room = buf.initialize_unfilled();
        let socket = socket2::SockRef::from(&*self.0);
        let n = loop {
            ready!(self.0.poll_read_ready(cx))?;
            let mut short = None;
            let result = self.0.try_io(Interest::READABLE, || {
                let n = (&*socket).read(room)?;
                if SHORT_MEANS_EMPTY && 0 < n && n < room.len() {
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

impl StreamRead for TcpRead {
    #[inline]
    fn poll_readable(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.poll_read_ready(cx)
    }

    fn tcp(&self) -> Option<&Arc<TcpStream>> {
        Some(&self.0)
    }
}

/// Write half. Pending: nothing of the slice was taken. Short writes: when the kernel's buffer fills up. Flushing is needed
/// only after `poll_write_held`. Shutdown sends FIN and may be repeated; dropping does not send it. It never changes the
/// bytes it is lent.
#[derive(Debug)]
pub struct TcpWrite {
    tcp: Arc<TcpStream>,
    /// `poll_write_held` does what it says.
    holds_back: bool,
    /// The end of the last write may still wait in the kernel for more.
    held: bool,
}

impl TcpWrite {
    pub fn new(tcp: Arc<TcpStream>) -> Self {
        Self { tcp, holds_back: false, held: false }
    }

    #[inline]
    fn poll_io(
        &mut self,
        cx: &mut Context<'_>,
        held: bool,
        mut write: impl FnMut(&TcpStream) -> io::Result<usize>,
    ) -> Poll<io::Result<usize>> {
        loop {
            ready!(self.tcp.poll_write_ready(cx))?;
            match write(&self.tcp) {
                Err(e) if matches!(e.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {}
                result => {
                    self.held = held;
                    return Poll::Ready(result);
                }
            }
        }
    }
}

impl AsyncWrite for TcpWrite {
    #[inline]
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_io(cx, false, |tcp| tcp.try_write(buf))
    }

    #[inline]
    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.poll_io(cx, false, |tcp| tcp.try_write_vectored(bufs))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    #[inline]
    fn poll_flush(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        if std::mem::take(&mut self.held) {
            hold::let_go(&self.tcp)?;
        }
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(match socket2::SockRef::from(&*self.tcp).shutdown(Shutdown::Write) {
            // The connection is over already, by reset or in order: there is no direction left to end.
            Err(e) if e.kind() == io::ErrorKind::NotConnected => Ok(()),
            result => result,
        })
    }
}

impl StreamWrite for TcpWrite {
    fn may_hold_back(&mut self) {
        self.holds_back = true;
    }

    fn poll_write_held(&mut self, cx: &mut Context<'_>, bufs: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        if !self.holds_back {
            return Pin::new(self).poll_write_vectored(cx, bufs);
        }
        self.poll_io(cx, true, |tcp| tcp.try_io(Interest::WRITABLE, || hold::write(tcp, bufs)))
    }

    fn tcp(&self) -> Option<&Arc<TcpStream>> {
        Some(&self.tcp)
    }
}

/// A connected socket with both halves, its link, and what the kernel knows of it added to `info`.
pub fn tcp_socket(tcp: TcpStream, mut info: SocketInfo) -> StreamSocket {
    // Unknown addresses (a peer that has gone meanwhile) stay unknown; reading will tell what happened.
    info.local = info.local.or_else(|| tcp.local_addr().ok().map(Address::Ip));
    info.peer = info.peer.or_else(|| tcp.peer_addr().ok().map(Address::Ip));
    #[cfg(unix)]
    {
        use std::os::fd::AsRawFd;
        info.fd = Some(tcp.as_raw_fd());
    }
    let tcp = Arc::new(tcp);
    StreamSocket {
        read: Some(Box::new(TcpRead::new(tcp.clone()))),
        write: Some(Box::new(TcpWrite::new(tcp.clone()))),
        hangup: None,
        link: Some(Link::Tcp(tcp)),
        info: Arc::new(info),
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use std::time::Duration;
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::TcpListener,
        time::timeout,
    };

    /// Catches hangs; nothing here waits for it.
    pub(crate) const BOUND: Duration = Duration::from_secs(10);

    /// Both ends of a loopback connection.
    pub(crate) async fn connection() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        (client, listener.accept().await.unwrap().0)
    }

    fn halves(tcp: TcpStream) -> (TcpRead, TcpWrite, Link) {
        let tcp = Arc::new(tcp);
        (TcpRead::new(tcp.clone()), TcpWrite::new(tcp.clone()), Link::Tcp(tcp))
    }

    #[tokio::test]
    async fn carries_much_both_ways_and_half_closes() {
        let (ours, theirs) = connection().await;
        let (mut read, mut write, _link) = halves(ours);
        let data: Vec<u8> = (0..3_000_000u32).map(|n| (n >> 3) as u8).collect();
        let echo = tokio::spawn(async move {
            let (mut r, mut w) = theirs.into_split();
            tokio::io::copy(&mut r, &mut w).await.unwrap();
            w.write_all(b"after the half-close").await.unwrap();
        });
        let mut got = Vec::new();
        let send = async {
            write.write_all(&data[..1_000_000]).await.unwrap();
            let mut rest = [IoSlice::new(&data[1_000_000..1_000_007]), IoSlice::new(&data[1_000_007..])];
            let mut rest = &mut rest[..];
            while !rest.is_empty() {
                let n = write.write_vectored(rest).await.unwrap();
                IoSlice::advance_slices(&mut rest, n);
            }
            write.shutdown().await.unwrap();
            write.shutdown().await.unwrap();
        };
        let receive = async { read.read_to_end(&mut got).await.unwrap() };
        timeout(BOUND, async { tokio::join!(send, receive) }).await.unwrap();
        assert!(got.starts_with(&data) && got.ends_with(b"after the half-close"));
        assert_eq!(read.read(&mut [0; 9]).await.unwrap(), 0, "EOF stays EOF");
        echo.await.unwrap();
    }

    #[tokio::test]
    async fn dropped_halves_shut_nothing_down_until_the_last_owner_goes() {
        let (ours, mut theirs) = connection().await;
        let socket = tcp_socket(ours, SocketInfo::default());
        assert_eq!(socket.info.peer, Some(Address::Ip(theirs.local_addr().unwrap())));
        drop((socket.write, socket.link));
        theirs.write_all(b"still open").await.unwrap();
        let mut read = socket.read.unwrap();
        let mut buf = [0; 64];
        assert_eq!(timeout(BOUND, read.read(&mut buf)).await.unwrap().unwrap(), 10);
        let waiting = tokio::spawn(async move { theirs.read(&mut [0; 9]).await.unwrap() });
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished());
        drop(read);
        assert_eq!(timeout(BOUND, waiting).await.unwrap().unwrap(), 0);
    }

    #[tokio::test]
    async fn is_not_readable_after_a_short_read() {
        let (ours, mut theirs) = connection().await;
        let (mut read, _write, _link) = halves(ours);
        theirs.write_all(b"12345").await.unwrap();
        assert_eq!(timeout(BOUND, read.read(&mut [0; 64])).await.unwrap().unwrap(), 5);
        if SHORT_MEANS_EMPTY {
            let readable = std::future::poll_fn(|cx| Poll::Ready(read.poll_readable(cx).is_ready())).await;
            assert!(!readable, "the short read already said that nothing is left");
        }
        theirs.write_all(b"678").await.unwrap();
        assert_eq!(timeout(BOUND, read.read(&mut [0; 64])).await.unwrap().unwrap(), 3);
        drop(theirs);
        assert_eq!(timeout(BOUND, read.read(&mut [0; 64])).await.unwrap().unwrap(), 0);
    }

    /// Whether it waited before the flush is asked of several tries: the kernel lets go by itself when it has waited long.
    #[tokio::test]
    async fn held_bytes_leave_with_the_flush() {
        let mut waited = false;
        for _ in 0..20 {
            let (ours, theirs) = connection().await;
            let (_read, mut write, _link) = halves(ours);
            let theirs = theirs.into_std().unwrap();
            write.may_hold_back();
            let slices = [IoSlice::new(b"head"), IoSlice::new(b"body")];
            let written = std::future::poll_fn(|cx| write.poll_write_held(cx, &slices)).await.unwrap();
            assert_eq!(written, 8);
            let mut seen = [0; 16];
            waited |= theirs.peek(&mut seen).is_err_and(|e| e.kind() == io::ErrorKind::WouldBlock);
            write.flush().await.unwrap();
            // Loopback delivers within the system call that sends.
            assert_eq!(theirs.peek(&mut seen).unwrap(), 8);
        }
        assert!(waited || cfg!(not(any(target_os = "linux", target_os = "android"))));
    }
}
