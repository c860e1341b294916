//! Real loopback TCP sockets for tests, and message halves that treat what one read brought as one message.
#![allow(dead_code)] // each test uses a part of it

use sockets::{
    buffer::Window,
    datagram::{BoxDatagramRead, BoxDatagramWrite, DatagramRead, Flags},
    gather::poll_fill,
    info::{Ending, SocketInfo},
    net::tcp::tcp_socket,
    overlay::chunks::StreamSink,
    socket::{DatagramSocket, StreamSocket},
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

/// What the message halves take for a Close frame.
pub const CLOSE: &[u8] = b"CLOSE";

/// Catches hangs; nothing is measured with it.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// Hides that a TCP socket is below, so that nothing is spliced.
struct Plain<T>(T);

impl AsyncRead for Plain<BoxStreamRead> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.0).poll_read(cx, buf)
    }
}

impl AsyncWrite for Plain<BoxStreamWrite> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut *self.0).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.0).poll_shutdown(cx)
    }
}

impl StreamRead for Plain<BoxStreamRead> {
    fn poll_readable(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.poll_readable(cx)
    }
}

impl StreamWrite for Plain<BoxStreamWrite> {}

pub fn stream_socket(tcp: TcpStream, splices: bool) -> StreamSocket {
    let mut socket = tcp_socket(tcp, SocketInfo::default());
    if !splices {
        socket.read = socket.read.map(|read| -> BoxStreamRead { Box::new(Plain(read)) });
        socket.write = socket.write.map(|write| -> BoxStreamWrite { Box::new(Plain(write)) });
    }
    socket
}

pub fn datagram_socket(tcp: TcpStream) -> DatagramSocket {
    let socket = tcp_socket(tcp, SocketInfo::default());
    let read = |inner| -> BoxDatagramRead {
        Box::new(Chunks { info: socket.info.clone(), inner, window: Window::new(3), flags: None, eof: false })
    };
    let write = |inner| -> BoxDatagramWrite { Box::new(StreamSink::new(inner)) };
    DatagramSocket {
        read: socket.read.map(read),
        write: socket.write.map(write),
        link: socket.link,
        info: socket.info.clone(),
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
    info: Arc<SocketInfo>,
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
        let mut flags = if self.eof { Flags::EOF } else { Flags::NONE };
        if self.window.filled() == CLOSE {
            self.info.ending.get_or_init(|| Ending::Close { code: Some(1000), reason: "".into() });
            flags = Flags::EOF | Flags::GONE;
        }
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

    fn for_each_inner(&mut self, _: &mut dyn FnMut(&mut dyn DatagramRead)) {}
}
