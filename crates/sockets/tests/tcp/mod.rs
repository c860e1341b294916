//! Real loopback TCP sockets for tests, and message halves that treat what one read brought as one message.
#![allow(dead_code)] // each test uses a part of it

use sockets::{
    buffer::Window,
    datagram::{DatagramRead, DatagramWrite, Flags},
    gather::{Gather, poll_fill},
    socket::{DatagramSocket, Link, StreamSocket},
    stream::{BoxStreamRead, BoxStreamWrite, StreamRead, StreamWrite},
};
use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpListener, TcpStream},
};

/// Catches hangs; nothing is measured with it.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// Either half of a TCP connection.
pub struct Half {
    tcp: Arc<TcpStream>,
    splices: bool,
}

impl AsyncRead for Half {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        loop {
            ready!(self.tcp.poll_read_ready(cx))?;
            match self.tcp.try_read(buf.initialize_unfilled()) {
                Ok(n) => {
                    buf.advance(n);
                    return Poll::Ready(Ok(()));
                }
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => {}
                Err(e) => return Poll::Ready(Err(e)),
            }
        }
    }
}

impl AsyncWrite for Half {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        loop {
            ready!(self.tcp.poll_write_ready(cx))?;
            match self.tcp.try_write(buf) {
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => {}
                result => return Poll::Ready(result),
            }
        }
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(socket2::SockRef::from(&*self.tcp).shutdown(std::net::Shutdown::Write))
    }
}

impl StreamRead for Half {
    fn poll_readable(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.tcp.poll_read_ready(cx)
    }

    fn tcp(&self) -> Option<&Arc<TcpStream>> {
        self.splices.then_some(&self.tcp)
    }
}

impl StreamWrite for Half {
    fn tcp(&self) -> Option<&Arc<TcpStream>> {
        self.splices.then_some(&self.tcp)
    }
}

pub fn halves(tcp: TcpStream, splices: bool) -> (BoxStreamRead, BoxStreamWrite, Link) {
    let tcp = Arc::new(tcp);
    let half = || Box::new(Half { tcp: tcp.clone(), splices });
    (half(), half(), Link::Tcp(tcp.clone()))
}

pub fn stream_socket(tcp: TcpStream, splices: bool) -> StreamSocket {
    let (read, write, link) = halves(tcp, splices);
    StreamSocket { read: Some(read), write: Some(write), link: Some(link), ..StreamSocket::default() }
}

pub fn datagram_socket(tcp: TcpStream) -> DatagramSocket {
    let (read, write, link) = halves(tcp, false);
    DatagramSocket {
        read: Some(Box::new(Chunks { inner: read, window: Window::new(3), flags: None, eof: false })),
        write: Some(Box::new(Sink(Gather::new(write)))),
        link: Some(link),
        ..DatagramSocket::default()
    }
}

/// Both ends of a connection: the test's, the exchange's.
pub async fn pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (ours, theirs) = tokio::join!(TcpStream::connect(address), listener.accept());
    (ours.unwrap(), theirs.unwrap().0)
}

/// Closes with a reset.
pub fn reset(tcp: TcpStream) {
    socket2::SockRef::from(&tcp).set_linger(Some(Duration::ZERO)).unwrap();
}

struct Chunks {
    inner: BoxStreamRead,
    window: Window,
    flags: Option<Flags>,
    eof: bool,
}

impl DatagramRead for Chunks {
    fn poll_chunk(&mut self, cx: &mut Context<'_>, _: usize) -> Poll<io::Result<Flags>> {
        if let Some(flags) = self.flags {
            return Poll::Ready(Ok(flags));
        }
        self.eof = self.eof || ready!(poll_fill(&mut *self.inner, cx, &mut self.window, 1))? == 0;
        let flags = if self.eof { Flags::EOF } else { Flags::NONE };
        self.flags = Some(flags);
        Poll::Ready(Ok(flags))
    }

    fn chunk_mut(&mut self) -> &mut [u8] {
        self.window.filled_mut()
    }

    fn consume(&mut self) {
        self.flags = None;
        self.window.skip(self.window.len());
    }
}

struct Sink(Gather);

impl DatagramWrite for Sink {
    fn poll_write(&mut self, cx: &mut Context<'_>, chunk: &mut [u8], flags: Flags) -> Poll<io::Result<()>> {
        if flags.any(Flags::CONTROL) {
            return Poll::Ready(Ok(()));
        }
        self.0.poll_put(cx, None, chunk, flags.any(Flags::MORE))
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.poll_flush(cx)
    }

    fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.poll_shutdown(cx)
    }

    fn keeps_borders(&self) -> bool {
        false
    }
}
