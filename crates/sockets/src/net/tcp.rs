//! What a TCP connection is besides its halves: its addresses.

use super::kernel_stream::{KernelStream, kernel_socket};
use crate::{
    info::{Address, SocketInfo},
    socket::StreamSocket,
};
use tokio::net::TcpStream;

/// A connected socket with both halves, its link, and what the kernel knows of it added to `info`.
pub fn tcp_socket(tcp: TcpStream, mut info: SocketInfo) -> StreamSocket {
    // Unknown addresses (a peer that has gone meanwhile) stay unknown; reading will tell what happened.
    info.local = info.local.or_else(|| tcp.local_addr().ok().map(Address::Ip));
    info.peer = info.peer.or_else(|| tcp.peer_addr().ok().map(Address::Ip));
    kernel_socket(KernelStream::from(tcp), info)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::{
        net::kernel_stream::{KernelRead, KernelWrite},
        socket::Link,
        stream::{StreamRead as _, StreamWrite as _},
    };
    use std::{
        io::{self, IoSlice},
        sync::Arc,
        task::Poll,
        time::Duration,
    };
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

    fn halves(tcp: TcpStream) -> (KernelRead, KernelWrite, Link) {
        let tcp = Arc::new(KernelStream::from(tcp));
        (KernelRead::new(tcp.clone()), KernelWrite::new(tcp.clone()), Link(tcp))
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
        if cfg!(unix) {
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
