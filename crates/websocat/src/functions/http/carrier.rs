//! A byte stream socket in hyper's hands: hyper's I/O traits over our halves, and the way back.
//!
//! [`Carrier`] adds no buffer. Pending, short writes and EOF are those of the halves; dropping it drops them. Bytes are
//! copied once more than TokioIo would, which saves the unsafe code that handing out uninitialised memory needs; heads are
//! small.

use crate::error::{Error, Kind, Result};
use bytes::Bytes;
use hyper::rt::{Read, ReadBufCursor, Write};
use sockets::{
    hangup::Hangup,
    info::SocketInfo,
    socket::{Link, StreamSocket},
    split::Prefixed,
    stream::{BoxStreamRead, BoxStreamWrite},
};
use std::{
    io::{self, IoSlice},
    mem::MaybeUninit,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Most bytes per read: enough for nearly every head, small enough for the stack.
const PIECE: usize = 4096;

/// By that much a protocol is known, or a greeting told.
const START: usize = 40;

pub(super) struct Carrier {
    pub read: BoxStreamRead,
    pub write: BoxStreamWrite,
    /// Bytes that may still be read; None: all that come.
    pub most: Option<usize>,
    /// The first bytes that came, for messages.
    start: [u8; START],
    started: usize,
}

/// The peer sent more bytes than were allowed.
#[derive(Debug, thiserror::Error)]
#[error("too many bytes")]
pub(super) struct TooMuch;

/// What a socket has besides its halves.
pub(super) struct Rest {
    pub hangup: Option<Hangup>,
    pub link: Option<Link>,
    pub info: Arc<SocketInfo>,
}

impl Carrier {
    /// Takes a socket apart; HTTP needs both directions.
    pub fn open(socket: StreamSocket) -> Result<(Self, Rest)> {
        let StreamSocket { read, write, hangup, link, info } = socket;
        match (read, write) {
            (Some(read), Some(write)) => {
                Ok((Self { read, write, most: None, start: [0; START], started: 0 }, Rest { hangup, link, info }))
            }
            _ => Err(Error::new(Kind::Start, format!("{}: HTTP needs a socket with both directions", info.describe()))),
        }
    }

    /// The first bytes that came, few at most.
    pub fn start(&self) -> &[u8] {
        self.start.get(..self.started).unwrap_or_default()
    }

    /// The socket again, with what hyper read too much in front.
    pub fn close(self, rest: Rest, early: Bytes) -> StreamSocket {
        // hyper's buffer is large; what is left of it should not be.
        let read = Prefixed::boxed(Bytes::copy_from_slice(&early), self.read);
        let Rest { hangup, link, info } = rest;
        StreamSocket { read: Some(read), write: Some(self.write), hangup, link, info }
    }
}

impl Read for Carrier {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, mut to: ReadBufCursor<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(this.read.poll_readable(cx))?;
        let most = this.most.unwrap_or(usize::MAX);
        if most == 0 {
            return Poll::Ready(Err(io::Error::other(TooMuch)));
        }
        let mut piece = [MaybeUninit::uninit(); PIECE];
        let room = to.remaining().min(PIECE).min(most);
        let mut buf = ReadBuf::uninit(piece.get_mut(..room).unwrap_or_default());
        ready!(Pin::new(&mut this.read).poll_read(cx, &mut buf))?;
        this.most = this.most.map(|most| most - buf.filled().len());
        let room = this.start.get_mut(this.started..).unwrap_or_default();
        let n = room.len().min(buf.filled().len());
        room.iter_mut().zip(buf.filled()).for_each(|(to, from)| *to = *from);
        this.started += n;
        to.put_slice(buf.filled());
        Poll::Ready(Ok(()))
    }
}

impl Write for Carrier {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().write).poll_write(cx, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().write).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().write).poll_shutdown(cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.write.is_write_vectored()
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().write).poll_write_vectored(cx, bufs)
    }
}
