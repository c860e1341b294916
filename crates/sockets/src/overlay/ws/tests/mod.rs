//! Both halves over a stream in memory that the tests cut, stall and inspect.

mod breach;
mod chunks;
mod close;
mod compressed;
mod limits;
mod ping;
mod text;

use super::{HOLD, Role, TextInvalid, WsError, WsOptions, WsReader, WsWriter, ws_wrap};
use crate::{
    datagram::{BoxDatagramRead, BoxDatagramWrite, Flags},
    info::{Ending, SocketInfo},
    random::Randomness,
    socket::StreamSocket,
    stream::{StreamRead, StreamWrite},
};
use std::{
    collections::VecDeque,
    io,
    pin::Pin,
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use wsframe::{Decoder, Error, Header, MaskRule, Next, Opcode, mask};

/// The stream below: what the peer sends and what it gets.
#[derive(Default)]
struct Wire {
    /// Reads to come; an empty one is a Pending that wakes at once.
    input: VecDeque<Vec<u8>>,
    /// What follows the reads; None: nothing ever.
    end: Option<Result<(), io::ErrorKind>>,
    output: Vec<u8>,
    /// Bytes that the peer takes before it stalls.
    window: usize,
    /// Most bytes of one write, 0 for any number.
    step: usize,
    /// Every second write is Pending and wakes at once.
    choppy: bool,
    paused: bool,
    shut: bool,
}

#[derive(Clone, Default)]
pub(super) struct Peer(Arc<Mutex<Wire>>);

impl Peer {
    fn wire(&self) -> MutexGuard<'_, Wire> {
        self.0.lock().unwrap()
    }

    pub(in crate::overlay::ws) fn send(&self, bytes: &[u8]) {
        self.wire().input.push_back(bytes.to_vec());
    }

    fn end(&self) {
        self.wire().end = Some(Ok(()));
    }

    /// What has come since the last call.
    fn received(&self) -> Vec<u8> {
        std::mem::take(&mut self.wire().output)
    }
}

impl AsyncRead for Peer {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let mut wire = self.wire();
        match wire.input.pop_front() {
            Some(bytes) if bytes.is_empty() => {
                cx.waker().wake_by_ref();
                Poll::Pending
            }
            Some(mut bytes) => {
                let rest = bytes.split_off(bytes.len().min(buf.remaining()));
                buf.put_slice(&bytes);
                if !rest.is_empty() {
                    wire.input.push_front(rest);
                }
                Poll::Ready(Ok(()))
            }
            None => match wire.end {
                None => Poll::Pending,
                Some(end) => Poll::Ready(end.map_err(Into::into)),
            },
        }
    }
}

impl AsyncWrite for Peer {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let mut wire = self.wire();
        assert!(!wire.shut, "written after shutdown: {buf:x?}");
        if wire.choppy {
            wire.paused = !wire.paused;
            if wire.paused {
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
        }
        let most = if wire.step == 0 { usize::MAX } else { wire.step };
        let n = buf.len().min(most).min(wire.window);
        if n == 0 && !buf.is_empty() {
            return Poll::Pending;
        }
        wire.window -= n;
        wire.output.extend_from_slice(&buf[..n]);
        Poll::Ready(Ok(n))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.wire().shut = true;
        Poll::Ready(Ok(()))
    }
}

impl StreamRead for Peer {}
impl StreamWrite for Peer {}

#[derive(Default)]
struct Wakes(AtomicUsize);

impl Wake for Wakes {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

impl Wakes {
    fn take(&self) -> usize {
        self.0.swap(0, Ordering::Relaxed)
    }
}

/// One WebSocket under test.
struct Fixture {
    peer: Peer,
    read: BoxDatagramRead,
    write: Option<BoxDatagramWrite>,
    info: Arc<SocketInfo>,
    wakes: Arc<Wakes>,
    waker: Waker,
}

type Chunk = (Vec<u8>, Flags);

impl Fixture {
    fn new(options: WsOptions) -> Self {
        Self::with_info(options, SocketInfo::default())
    }

    fn with_info(options: WsOptions, info: SocketInfo) -> Self {
        let peer = Peer::default();
        peer.wire().window = usize::MAX;
        let socket = StreamSocket {
            read: Some(Box::new(peer.clone())),
            write: Some(Box::new(peer.clone())),
            info: Arc::new(info),
            ..StreamSocket::default()
        };
        let socket = ws_wrap(options, socket);
        let wakes = Arc::new(Wakes::default());
        let waker = wakes.clone().into();
        Self { peer, read: socket.read.unwrap(), write: socket.write, info: socket.info, wakes, waker }
    }

    fn poll_next(&mut self, max: usize) -> Poll<io::Result<Chunk>> {
        let flags = match self.read.poll_chunk(&mut Context::from_waker(&self.waker), max) {
            Poll::Ready(Ok(flags)) => flags,
            Poll::Ready(Err(e)) => return Poll::Ready(Err(e)),
            Poll::Pending => return Poll::Pending,
        };
        let chunk = self.read.chunk_mut().to_vec();
        self.read.consume();
        assert!(self.read.chunk_mut().is_empty());
        Poll::Ready(Ok((chunk, flags - (Flags::MORE | Flags::UTF8))))
    }

    /// Reads on over wake-ups that have come meanwhile; flushes at each Pending as an exchange does.
    fn try_next(&mut self) -> io::Result<Option<Chunk>> {
        loop {
            self.wakes.take();
            let next = self.poll_next(usize::MAX);
            if let Poll::Ready(next) = next {
                return next.map(Some);
            }
            let flushed = self.poll_flush();
            if self.wakes.take() == 0 || flushed.is_err() {
                return flushed.map(|_| None);
            }
        }
    }

    fn next(&mut self) -> Option<Chunk> {
        self.try_next().unwrap()
    }

    fn poll_flush(&mut self) -> io::Result<bool> {
        let write = self.write.as_mut().unwrap();
        match write.poll_flush(&mut Context::from_waker(&self.waker)) {
            Poll::Ready(done) => done.map(|()| true),
            Poll::Pending => Ok(false),
        }
    }

    /// Repeats a call to the writer until it is ready.
    fn drive(&mut self, mut call: impl FnMut(&mut BoxDatagramWrite, &mut Context<'_>) -> Poll<io::Result<()>>) {
        let write = self.write.as_mut().unwrap();
        loop {
            self.wakes.take();
            match call(write, &mut Context::from_waker(&self.waker)) {
                Poll::Ready(done) => return done.unwrap(),
                Poll::Pending => assert_ne!(self.wakes.take(), 0, "stalled"),
            }
        }
    }

    fn put(&mut self, bytes: &[u8], flags: Flags) {
        let mut bytes = bytes.to_vec();
        self.drive(|w, cx| w.poll_write(cx, &mut bytes, flags));
    }

    fn flush(&mut self) {
        self.drive(|w, cx| w.poll_flush(cx));
    }

    fn shutdown(&mut self) {
        self.drive(|w, cx| w.poll_shutdown(cx));
    }

    /// Nothing more is to be waited for before the connection below is closed.
    fn is_closed(&mut self) -> bool {
        self.read.poll_closed(&mut Context::from_waker(&self.waker)).is_ready()
    }

    /// What the peer received, frame by frame.
    fn frames(&mut self, role: Role) -> Vec<(Opcode, Vec<u8>)> {
        frames(role, self.peer.received())
    }
}

/// Takes apart what a socket of this role has sent, strictly.
fn frames(role: Role, mut bytes: Vec<u8>) -> Vec<(Opcode, Vec<u8>)> {
    let mut decoder = Decoder::new(if role == Role::Client { MaskRule::Required } else { MaskRule::Forbidden });
    let mut frames = Vec::new();
    while !bytes.is_empty() {
        match decoder.next(&mut bytes, usize::MAX).unwrap() {
            Next::Chunk { header, len, opcode, .. } => {
                frames.push((opcode, bytes.drain(..header + len).skip(header).collect()));
            }
            Next::Need(_) => panic!("torn frame: {bytes:x?}"),
        }
    }
    frames
}

/// A frame from a peer of a socket of this role.
fn frame(role: Role, opcode: Opcode, fin: bool, body: &[u8]) -> Vec<u8> {
    let key = (role == Role::Server).then_some([1, 2, 3, 4]);
    let mut body = body.to_vec();
    mask(&mut body, key.unwrap_or_default(), 0);
    [Header::new(opcode, fin, body.len(), key).as_bytes(), &body].concat()
}

fn server() -> WsOptions {
    WsOptions { role: Role::Server, ..WsOptions::default() }
}

/// What the planner asks for when a user types ws://.
fn complete(role: Role) -> WsOptions {
    WsOptions {
        role,
        answer_close: true,
        close_code: Some(1000),
        require_close: true,
        text_invalid: TextInvalid::Fail,
        own_control: true,
        ..WsOptions::default()
    }
}

const ROLES: [Role; 2] = [Role::Client, Role::Server];
const EMPTY_CLOSE: &[u8] = &[0x88, 0];

fn broken(e: &io::Error) -> Error {
    assert_eq!(e.kind(), io::ErrorKind::InvalidData);
    *e.get_ref().unwrap().downcast_ref().unwrap()
}
