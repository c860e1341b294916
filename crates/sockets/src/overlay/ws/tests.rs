//! Both halves over a stream in memory that the tests cut, stall and inspect.

use super::{HOLD, Role, WsError, WsOptions, WsReader, WsWriter, ws_wrap};
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
struct Peer(Arc<Mutex<Wire>>);

impl Peer {
    fn wire(&self) -> MutexGuard<'_, Wire> {
        self.0.lock().unwrap()
    }

    fn send(&self, bytes: &[u8]) {
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
        Poll::Ready(Ok((chunk, flags - Flags::MORE)))
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
    WsOptions { role, answer_close: true, close_code: Some(1000), require_close: true, ..WsOptions::default() }
}

const ROLES: [Role; 2] = [Role::Client, Role::Server];
const EMPTY_CLOSE: &[u8] = &[0x88, 0];

fn broken(e: &io::Error) -> Error {
    assert_eq!(e.kind(), io::ErrorKind::InvalidData);
    *e.get_ref().unwrap().downcast_ref().unwrap()
}

//= 6455-5.1-1 test
//= 6455-5.5.2-2 test
//= 6455-5.5.3-1 test
#[test]
fn pings_of_every_length_are_answered_however_they_are_cut() {
    for role in ROLES {
        for len in 0..=125u8 {
            let body: Vec<u8> = (0..len).collect();
            let ping = frame(role, Opcode::Ping, true, &body);
            for cut in 0..ping.len() {
                let mut ws = Fixture::new(WsOptions { role, ..WsOptions::default() });
                ws.peer.send(&ping[..cut]);
                assert_eq!(ws.next(), None);
                assert_eq!(ws.peer.received(), []);
                ws.peer.send(&ping[cut..]);
                assert_eq!(ws.next(), None);
                assert_eq!(ws.frames(role), [(Opcode::Pong, body.clone())]);
            }
        }
    }
}

#[test]
fn ping_replies_are_counted_in_pings_and_then_shown() {
    for allowed in [0, 2] {
        let mut ws = Fixture::new(WsOptions { max_ping_replies: Some(allowed), ..server() });
        let ping = frame(Role::Server, Opcode::Ping, true, b"ab");
        for byte in ping.repeat(3) {
            ws.peer.send(&[byte]);
        }
        for _ in allowed..3 {
            assert_eq!(ws.next(), Some((b"ab".to_vec(), Flags::PING)));
        }
        assert_eq!(ws.next(), None);
        assert_eq!(ws.frames(Role::Server).len(), allowed);
    }
}

#[test]
fn pongs_are_shown_and_control_chunks_pass_to_the_wire() {
    for role in ROLES {
        let mut ws = Fixture::new(WsOptions { role, ..WsOptions::default() });
        ws.peer.send(&frame(role, Opcode::Pong, true, b"late"));
        assert_eq!(ws.next(), Some((b"late".to_vec(), Flags::PONG)));
        ws.put(b"there?", Flags::PING);
        ws.put(b"here", Flags::PONG);
        ws.flush();
        assert_eq!(ws.frames(role), [(Opcode::Ping, b"there?".to_vec()), (Opcode::Pong, b"here".to_vec())]);
    }
}

//= 6455-5.5-1 test
#[test]
fn control_chunks_that_do_not_fit_a_frame_are_refused() {
    let mut ws = Fixture::new(server());
    let mut long = [0; 126];
    let mut cx = Context::from_waker(Waker::noop());
    let Poll::Ready(Err(e)) = ws.write.as_mut().unwrap().poll_write(&mut cx, &mut long, Flags::PING) else {
        panic!("taken")
    };
    assert_eq!(e.get_ref().unwrap().downcast_ref(), Some(&WsError::ControlTooLong(126)));
    ws.flush();
    assert_eq!(ws.peer.received(), []);
}

//= 6455-5.4-3 test
#[test]
fn pings_between_fragments_are_answered_between_fragments() {
    for role in ROLES {
        let mut ws = Fixture::new(WsOptions { role, ..WsOptions::default() });
        ws.peer.send(
            &[
                frame(role, Opcode::Text, false, b"ab"),
                frame(role, Opcode::Ping, true, b"?"),
                frame(role, Opcode::Continuation, true, b"c"),
            ]
            .concat(),
        );
        ws.put(b"12", Flags::PARTIAL);
        assert_eq!(ws.next(), Some((b"ab".to_vec(), Flags::TEXT | Flags::PARTIAL)));
        assert_eq!(ws.next(), Some((b"c".to_vec(), Flags::TEXT)));
        ws.flush();
        ws.put(b"3", Flags::NONE);
        ws.flush();
        let expected = [(Opcode::Binary, &b"12"[..]), (Opcode::Pong, b"?"), (Opcode::Binary, b"3")];
        assert_eq!(ws.frames(role), expected.map(|(o, b)| (o, b.to_vec())));
    }
}

//= 6455-5.5.3-2 test
#[test]
fn a_pong_that_waits_for_the_stream_does_not_stop_reading() {
    let mut ws = Fixture::new(server());
    ws.peer.wire().window = 1;
    let ping = |n: u8| frame(Role::Server, Opcode::Ping, true, &[n]);
    for n in 0..200 {
        ws.peer.send(&ping(n));
        ws.peer.send(&frame(Role::Server, Opcode::Binary, true, &[n]));
        assert_eq!(ws.next(), Some((vec![n], Flags::NONE)));
        assert!(!ws.poll_flush().unwrap());
    }
    ws.peer.wire().window = usize::MAX;
    ws.flush();
    // The first was being written, of the others only the newest counts.
    assert_eq!(ws.frames(Role::Server), [(Opcode::Pong, vec![0]), (Opcode::Pong, vec![199])]);
    ws.peer.send(&ping(7));
    assert_eq!(ws.next(), None);
    assert_eq!(ws.frames(Role::Server), [(Opcode::Pong, vec![7])]);
}

#[test]
fn pings_that_come_together_are_all_answered_if_the_stream_takes_it() {
    let mut ws = Fixture::new(server());
    ws.peer.send(&(0..100).flat_map(|n| frame(Role::Server, Opcode::Ping, true, &[n])).collect::<Vec<_>>());
    assert_eq!(ws.next(), None);
    let pongs: Vec<_> = (0..100).map(|n| (Opcode::Pong, vec![n])).collect();
    assert_eq!(ws.frames(Role::Server), pongs);
}

#[test]
fn a_flood_of_pings_without_flush_is_bounded_in_memory_and_turns() {
    let mut ws = Fixture::new(server());
    ws.peer.send(&frame(Role::Server, Opcode::Ping, true, &[9; 125]).repeat(1000));
    let mut polls = 0;
    while ws.poll_next(usize::MAX).is_pending() && ws.wakes.take() > 0 {
        polls += 1;
    }
    assert!((1000 / 256..=1000 / 15).contains(&polls), "{polls}");
    ws.flush();
    assert!(ws.frames(Role::Server).len() <= 16);
}

#[test]
fn close_is_handed_on_and_not_answered_at_low_level() {
    let bodies: [&[u8]; 4] = [b"", b"\x03\xe8bye", b"\x03", b"\x03\xed\xff"];
    for role in ROLES {
        for body in bodies {
            let mut ws = Fixture::new(WsOptions { role, ..WsOptions::default() });
            ws.peer.send(&[frame(role, Opcode::Close, true, body), b"\xff\xff".to_vec()].concat());
            assert_eq!(ws.next(), Some((body.to_vec(), Flags::EOF)));
            assert_eq!(ws.next(), Some((vec![], Flags::EOF)), "EOF is repeated");
            ws.put(b"still here", Flags::NONE);
            ws.flush();
            assert_eq!(ws.frames(role), [(Opcode::Binary, b"still here".to_vec())]);
            ws.put(b"", Flags::EOF);
            ws.shutdown();
            assert_eq!(ws.frames(role), [(Opcode::Close, vec![])]);
            assert!(!ws.peer.wire().shut);
            let code = (body.len() >= 2).then(|| u16::from_be_bytes([body[0], body[1]]));
            assert!(matches!(ws.info.ending.get(), Some(Ending::Close { code: c, .. }) if *c == code));
        }
    }
}

#[test]
fn close_bodies_are_handed_on_from_socket_to_socket() {
    for role in ROLES {
        let mut ws = Fixture::new(WsOptions { role, close_code: Some(1000), ..WsOptions::default() });
        ws.put(b"\x0f\xa0why", Flags::EOF);
        ws.shutdown();
        ws.shutdown();
        assert_eq!(ws.frames(role), [(Opcode::Close, b"\x0f\xa0why".to_vec())]);
    }
}

//= 6455-7.4.1-1 test
//= 6455-7.1.2-1 test
#[test]
fn only_valid_close_bodies_leave_a_complete_websocket() {
    let long = [b"\x03\xe8".to_vec(), "é".repeat(80).into_bytes()].concat();
    let cut = [b"\x03\xe8".to_vec(), "é".repeat(61).into_bytes()].concat();
    let cases: [(&[u8], &[u8]); 7] = [
        (b"", b"\x03\xe8"),
        (b"\x03\xe9off", b"\x03\xe9off"),
        (b"\x03\xed", b""),
        (b"\x03", b""),
        (b"\x03\xeeno", b""),
        (b"\x03\xe8a\xff", b"\x03\xe8a"),
        (&long, &cut),
    ];
    for (given, sent) in cases {
        let mut ws = Fixture::new(complete(Role::Server));
        ws.put(given, Flags::EOF);
        ws.shutdown();
        assert_eq!(ws.frames(Role::Server), [(Opcode::Close, sent.to_vec())], "{given:x?}");
    }
    // Low level: unchanged as far as a frame can carry it.
    let mut ws = Fixture::new(server());
    ws.put(&long, Flags::EOF);
    ws.flush();
    assert_eq!(ws.frames(Role::Server), [(Opcode::Close, cut)]);
}

//= 6455-5.5.1-6 test
//= 6455-7.1.3-1 test
#[test]
fn after_our_close_data_is_discarded_and_pings_are_answered_until_the_peers_close() {
    for role in ROLES {
        let mut ws = Fixture::new(complete(role));
        ws.put(b"", Flags::EOF);
        ws.put(b"too late", Flags::NONE);
        ws.put(b"too late", Flags::PING);
        ws.shutdown();
        assert_eq!(ws.frames(role), [(Opcode::Close, b"\x03\xe8".to_vec())]);
        ws.peer.send(&frame(role, Opcode::Ping, true, b"?"));
        ws.peer.send(&frame(role, Opcode::Binary, true, b"answer"));
        assert_eq!(ws.next(), Some((b"answer".to_vec(), Flags::NONE)));
        ws.flush();
        assert_eq!(ws.frames(role), [(Opcode::Pong, b"?".to_vec())]);
        let last = [frame(role, Opcode::Ping, true, b"!"), frame(role, Opcode::Close, true, b"\x03\xe8")];
        ws.peer.send(&last.concat());
        assert_eq!(ws.next(), Some((b"\x03\xe8".to_vec(), Flags::EOF | Flags::GONE)));
        ws.flush();
        ws.shutdown();
        assert_eq!(ws.peer.received(), []);
        assert!(ws.peer.wire().shut, "both have said Close");
    }
}

//= 6455-5.5.1-7 test
#[test]
fn close_with_a_code_is_answered_at_once_after_the_pong() {
    for role in ROLES {
        for early_shutdown in [false, true] {
            let mut ws = Fixture::new(complete(role));
            ws.peer.send(
                &[frame(role, Opcode::Ping, true, b"?"), frame(role, Opcode::Close, true, b"\x03\xe9later")].concat(),
            );
            assert_eq!(ws.next(), Some((b"\x03\xe9later".to_vec(), Flags::EOF | Flags::GONE)));
            if early_shutdown {
                ws.put(b"\x0f\xa0mine", Flags::EOF); // the answer goes out instead
            } else {
                ws.flush();
            }
            assert!(!ws.peer.wire().shut);
            ws.shutdown();
            ws.shutdown();
            assert!(ws.peer.wire().shut);
            let expected = [(Opcode::Pong, b"?".to_vec()), (Opcode::Close, b"\x03\xe9".to_vec())];
            assert_eq!(ws.frames(role), expected);
            let ending = Ending::Close { code: Some(1001), reason: "later".into() };
            assert_eq!(ws.info.ending.get(), Some(&ending));
        }
    }
}

#[test]
fn close_without_a_code_is_answered_when_our_direction_ends() {
    for role in ROLES {
        let mut ws = Fixture::new(complete(role));
        ws.peer.send(&frame(role, Opcode::Close, true, b""));
        assert_eq!(ws.next(), Some((vec![], Flags::EOF)));
        assert_eq!(ws.info.ending.get(), Some(&Ending::Close { code: None, reason: "".into() }));
        ws.flush();
        ws.put(b"reply", Flags::TEXT);
        ws.flush();
        assert_eq!(ws.frames(role), [(Opcode::Text, b"reply".to_vec())]);
        ws.put(b"", Flags::EOF);
        ws.shutdown();
        assert_eq!(ws.frames(role), [(Opcode::Close, vec![])]);
        assert!(ws.peer.wire().shut);
    }
}

#[test]
fn half_closes_are_empty_close_frames_when_both_ends_know_them() {
    let info = SocketInfo { half_close: true, ..SocketInfo::default() };
    let asked = WsOptions { half_close: true, ..complete(Role::Server) };
    for mut ws in [Fixture::with_info(complete(Role::Server), info), Fixture::new(asked)] {
        ws.put(b"", Flags::EOF);
        ws.shutdown();
        assert_eq!(ws.peer.received(), EMPTY_CLOSE);
        assert!(!ws.peer.wire().shut);
        ws.peer.send(&frame(Role::Server, Opcode::Binary, true, b"reply"));
        ws.peer.send(&frame(Role::Server, Opcode::Close, true, b""));
        assert_eq!(ws.next(), Some((b"reply".to_vec(), Flags::NONE)));
        assert_eq!(ws.next(), Some((vec![], Flags::EOF)));
        ws.shutdown();
        assert_eq!(ws.peer.received(), []);
    }
}

#[test]
fn without_close_frames_none_ever_leaves() {
    for role in ROLES {
        let inputs = [
            frame(role, Opcode::Close, true, b"\x03\xe8"),
            frame(role, Opcode::Close, true, b""),
            frame(role, Opcode::Close, true, b"\x03"),
            vec![0x83, 0x80],
        ];
        for input in inputs {
            let mut ws = Fixture::new(WsOptions { no_close_frame: true, ..complete(role) });
            ws.peer.send(&frame(role, Opcode::Ping, true, b""));
            ws.peer.send(&input);
            let _ = ws.try_next();
            ws.flush();
            ws.put(b"\x03\xe8", Flags::EOF);
            ws.put(b"late", Flags::NONE);
            ws.shutdown();
            assert_eq!(ws.frames(role), [(Opcode::Pong, vec![])], "{input:x?}");
            assert!(ws.peer.wire().shut);
        }
    }
}

//= 6455-7.2.1-2 test
#[test]
fn the_end_of_the_stream_without_close() {
    let message = frame(Role::Server, Opcode::Binary, true, b"abc");
    for cut in 0..=message.len() {
        for require_close in [false, true] {
            let mut ws = Fixture::new(WsOptions { require_close, ..server() });
            ws.peer.send(&message[..cut]);
            ws.peer.end();
            let whole = cut == message.len();
            if whole {
                assert_eq!(ws.next(), Some((b"abc".to_vec(), Flags::NONE)));
            }
            let abrupt = if whole || cut == 0 {
                let gone = if require_close { Flags::GONE } else { Flags::NONE };
                assert_eq!(ws.next(), Some((vec![], Flags::EOF | gone)));
                require_close
            } else {
                let e = ws.try_next().unwrap_err();
                assert_eq!(e.kind(), io::ErrorKind::UnexpectedEof);
                assert_eq!(e.get_ref().unwrap().downcast_ref(), Some(&WsError::TornMessage));
                true
            };
            assert_eq!(ws.info.ending.get(), abrupt.then_some(&Ending::Abrupt), "{cut}");
            assert_eq!(ws.next(), Some((vec![], Flags::EOF)));
        }
    }
    // Between two frames of one message.
    let mut ws = Fixture::new(server());
    ws.peer.send(&frame(Role::Server, Opcode::Binary, false, b"a"));
    ws.peer.end();
    assert_eq!(ws.next(), Some((b"a".to_vec(), Flags::PARTIAL)));
    assert_eq!(ws.try_next().unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
}

#[test]
fn errors_of_the_stream_pass_through() {
    let mut ws = Fixture::new(complete(Role::Server));
    ws.peer.wire().end = Some(Err(io::ErrorKind::ConnectionReset));
    assert_eq!(ws.try_next().unwrap_err().kind(), io::ErrorKind::ConnectionReset);
    assert_eq!(ws.next(), Some((vec![], Flags::EOF)));
}

//= 6455-7.1.7-5 test
//= 6455-7.1.7-7 test
//= 6455-5.1-2 test
//= 6455-5.1-5 test
#[test]
fn breaches_are_answered_by_close_and_end_the_input() {
    use Error::*;
    let long_ping = frame(Role::Server, Opcode::Ping, true, &[0; 126]);
    let cases: [(Vec<u8>, Error); 11] = [
        (vec![0xc2, 0x80], ReservedBits),
        (vec![0x83, 0x80], ReservedOpcode(3)),
        (vec![0x8b, 0x80], ReservedOpcode(11)),
        (frame(Role::Server, Opcode::Text, true, b"x").iter().map(|b| b & 0x7f).collect(), MaskMissing),
        (vec![0x09, 0x80], ControlFragmented),
        (long_ping, ControlTooLong),
        (frame(Role::Server, Opcode::Continuation, true, b""), UnexpectedContinuation),
        (
            [frame(Role::Server, Opcode::Ping, true, b""), frame(Role::Client, Opcode::Binary, true, b"")].concat(),
            MaskMissing,
        ),
        (vec![0x82, 0xff, 0x80, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4], LengthTooLarge),
        (vec![0x82, 0xfe, 0, 1, 1, 2, 3, 4], LengthNotMinimal),
        (frame(Role::Client, Opcode::Close, true, b""), MaskMissing),
    ];
    for (input, expected) in cases {
        for options in [server(), complete(Role::Server)] {
            let mut ws = Fixture::new(options);
            let before = frame(Role::Server, Opcode::Binary, true, b"good");
            ws.peer.send(&[before, input.clone(), frame(Role::Server, Opcode::Binary, true, b"behind")].concat());
            assert_eq!(ws.next(), Some((b"good".to_vec(), Flags::NONE)));
            assert_eq!(broken(&ws.try_next().unwrap_err()), expected);
            assert_eq!(ws.next(), Some((vec![], Flags::EOF)));
            ws.flush();
            ws.put(b"", Flags::EOF);
            ws.shutdown();
            let mut sent = ws.frames(Role::Server);
            sent.retain(|(opcode, _)| *opcode != Opcode::Pong);
            assert_eq!(sent, [(Opcode::Close, b"\x03\xea".to_vec())]);
        }
    }
    // A new message inside an unfinished one; a masked frame for a client.
    let mut ws = Fixture::new(server());
    ws.peer.send(&frame(Role::Server, Opcode::Binary, false, b"a").repeat(2));
    assert_eq!(ws.next(), Some((b"a".to_vec(), Flags::PARTIAL)));
    assert_eq!(broken(&ws.try_next().unwrap_err()), InterruptedMessage);
    let mut ws = Fixture::new(WsOptions::default());
    ws.peer.send(&frame(Role::Server, Opcode::Binary, true, b"a"));
    assert_eq!(broken(&ws.try_next().unwrap_err()), MaskPresent);
    ws.flush();
    assert_eq!(ws.frames(Role::Client), [(Opcode::Close, b"\x03\xea".to_vec())]);
}

#[test]
fn wrong_masks_can_be_allowed() {
    for role in ROLES {
        let mut ws = Fixture::new(WsOptions { role, ignore_masks: true, ..WsOptions::default() });
        for from in ROLES {
            ws.peer.send(&frame(from, Opcode::Text, true, b"hello"));
            assert_eq!(ws.next(), Some((b"hello".to_vec(), Flags::TEXT)));
        }
    }
}

//= 6455-5.5.1-3 test
#[test]
fn malformed_close_bodies_are_refused_by_a_complete_websocket() {
    let cases: [(&[u8], Error, &[u8]); 4] = [
        (b"\x03", Error::CloseBody, b"\x03\xea"),
        (b"\x03\xed", Error::CloseCode(1005), b"\x03\xea"),
        (b"\xff\xff", Error::CloseCode(65535), b"\x03\xea"),
        (b"\x03\xe8\xff", Error::CloseReasonUtf8, b"\x03\xef"),
    ];
    for (body, expected, answer) in cases {
        let mut ws = Fixture::new(complete(Role::Server));
        ws.peer.send(&frame(Role::Server, Opcode::Close, true, body));
        assert_eq!(broken(&ws.try_next().unwrap_err()), expected);
        ws.shutdown();
        assert_eq!(ws.frames(Role::Server), [(Opcode::Close, answer.to_vec())]);
        assert!(ws.peer.wire().shut);
    }
}

//= 6455-5.6-1 test
//= 6455-8.1-1 test
#[test]
fn text_is_checked_in_both_directions_when_asked() {
    let checked = || WsOptions { check_utf8: true, ..server() };
    let text = |fin, body: &[u8]| frame(Role::Server, if fin { Opcode::Text } else { Opcode::Text }, fin, body);
    for (input, good) in [
        ([text(false, b"\xc3"), frame(Role::Server, Opcode::Continuation, true, b"\xa9")].concat(), true),
        (frame(Role::Server, Opcode::Binary, true, b"\xff"), true),
        (text(true, b"\xc3"), false),
        (text(false, b"a\xff"), false),
    ] {
        let mut ws = Fixture::new(checked());
        ws.peer.send(&input);
        let first = ws.try_next();
        assert_eq!(first.is_ok(), good, "{input:x?}");
        if let Err(e) = first {
            assert_eq!(broken(&e), Error::InvalidUtf8);
            ws.flush();
            assert_eq!(ws.frames(Role::Server), [(Opcode::Close, b"\x03\xef".to_vec())]);
        }
        let mut ws = Fixture::new(server());
        ws.peer.send(&input);
        assert!(ws.next().is_some(), "not checked at low level");
    }
    let mut ws = Fixture::new(checked());
    ws.put(b"\xc3", Flags::TEXT | Flags::PARTIAL);
    ws.put(b"\xa9", Flags::TEXT);
    let mut cx = Context::from_waker(Waker::noop());
    let bad = ws.write.as_mut().unwrap().poll_write(&mut cx, &mut [0xff], Flags::TEXT);
    let Poll::Ready(Err(e)) = bad else { panic!("taken") };
    assert_eq!(e.get_ref().unwrap().downcast_ref(), Some(&WsError::TextNotUtf8));
    ws.flush();
    assert_eq!(ws.frames(Role::Server).len(), 2);
}

#[test]
fn shutdown_sends_close_then_ends_the_stream_only_when_told() {
    for shutdown_socket_on_eof in [false, true] {
        let mut ws = Fixture::new(WsOptions { shutdown_socket_on_eof, ..server() });
        ws.put(b"last", Flags::NONE);
        ws.shutdown();
        ws.shutdown();
        assert_eq!(ws.peer.received(), b"\x82\x04last\x88\x00");
        assert_eq!(ws.peer.wire().shut, shutdown_socket_on_eof);
        // A ping after that is answered while the stream can carry it.
        ws.peer.send(&frame(Role::Server, Opcode::Ping, true, b""));
        assert_eq!(ws.next(), None);
        ws.flush();
        assert_eq!(ws.peer.received().len(), if shutdown_socket_on_eof { 0 } else { 2 });
    }
}

#[test]
fn a_writer_in_another_task_is_woken_for_what_it_owes() {
    let mut ws = Fixture::new(complete(Role::Server));
    let mut writer = ws.write.take().unwrap();
    let wakes = Arc::new(Wakes::default());
    let waker: Waker = wakes.clone().into();
    let mut cx = Context::from_waker(&waker);
    assert!(writer.poll_flush(&mut cx).is_ready());
    for input in [frame(Role::Server, Opcode::Ping, true, b"?"), frame(Role::Server, Opcode::Close, true, b"\x03\xe8")]
    {
        ws.peer.send(&input.repeat(2));
        let _ = ws.poll_next(usize::MAX);
        assert_eq!(wakes.take(), 1, "once for what came together");
        assert_eq!(ws.peer.received(), []);
        assert!(writer.poll_flush(&mut cx).is_ready());
        assert_ne!(ws.peer.received(), []);
    }
}

#[test]
fn pings_are_answered_after_the_writer_half_was_dropped() {
    for role in ROLES {
        for closed in [false, true] {
            let mut ws = Fixture::new(complete(role));
            ws.put(b"begun", Flags::PARTIAL);
            if closed {
                ws.shutdown();
            }
            ws.write = None;
            ws.peer.send(&frame(role, Opcode::Ping, true, b"1"));
            ws.peer.send(&frame(role, Opcode::Binary, true, b"data"));
            ws.peer.send(&frame(role, Opcode::Ping, true, b"2"));
            assert_eq!(ws.poll_next(usize::MAX).map(Result::unwrap), Poll::Ready((b"data".to_vec(), Flags::NONE)));
            assert!(ws.poll_next(usize::MAX).is_pending());
            let close = |code: &[u8]| (Opcode::Close, code.to_vec());
            let mut expected = vec![(Opcode::Binary, b"begun".to_vec())];
            expected.extend(closed.then(|| close(b"\x03\xe8")));
            expected.extend([(Opcode::Pong, b"1".to_vec()), (Opcode::Pong, b"2".to_vec())]);
            ws.peer.send(&frame(role, Opcode::Close, true, b"\x03\xe9"));
            assert!(ws.poll_next(usize::MAX).is_ready());
            expected.extend((!closed).then(|| close(b"\x03\xe9")));
            assert_eq!(ws.frames(role), expected);
        }
    }
}

#[test]
fn a_stalled_stream_wakes_the_reader_that_drives_a_dropped_writer() {
    let mut ws = Fixture::new(server());
    ws.peer.wire().window = 1;
    ws.write = None;
    ws.peer.send(&frame(Role::Server, Opcode::Ping, true, b"?"));
    assert!(ws.poll_next(usize::MAX).is_pending());
    ws.peer.wire().window = usize::MAX;
    assert!(ws.poll_next(usize::MAX).is_pending());
    assert_eq!(ws.frames(Role::Server), [(Opcode::Pong, b"?".to_vec())]);
}

#[test]
fn a_pong_owed_when_the_writer_is_dropped_wakes_the_reader() {
    let mut ws = Fixture::new(server());
    ws.peer.send(&frame(Role::Server, Opcode::Ping, true, b"?"));
    assert!(ws.poll_next(usize::MAX).is_pending());
    ws.wakes.take();
    ws.write = None;
    assert_eq!(ws.wakes.take(), 1);
    assert!(ws.poll_next(usize::MAX).is_pending());
    assert_eq!(ws.frames(Role::Server), [(Opcode::Pong, b"?".to_vec())]);
}

#[test]
fn nothing_follows_a_frame_that_broke_off() {
    for drop_writer in [false, true] {
        let mut ws = Fixture::new(complete(Role::Server));
        ws.peer.wire().window = 10_000;
        let mut large = vec![0; 100_000];
        let mut cx = Context::from_waker(Waker::noop());
        let write = ws.write.as_mut().unwrap();
        assert!(write.poll_write(&mut cx, &mut large, Flags::NONE).is_pending());
        ws.peer.wire().window = usize::MAX;
        ws.peer.send(&frame(Role::Server, Opcode::Ping, true, b"?"));
        ws.peer.send(&frame(Role::Server, Opcode::Close, true, b"\x03\xe8"));
        if drop_writer {
            ws.write = None;
        } else {
            ws.flush();
        }
        assert!(ws.poll_next(usize::MAX).is_ready());
        if !drop_writer {
            ws.flush();
            ws.shutdown();
            assert!(ws.peer.wire().shut);
        }
        assert_eq!(ws.peer.received().len(), 10_000);
    }
}

#[test]
fn a_frame_that_waits_and_has_not_begun_leaves_room_for_a_pong() {
    let mut ws = Fixture::new(server());
    ws.peer.wire().window = 0;
    ws.put(b"first", Flags::NONE);
    let mut large = vec![0; 100_000];
    let mut cx = Context::from_waker(Waker::noop());
    assert!(ws.write.as_mut().unwrap().poll_write(&mut cx, &mut large, Flags::NONE).is_pending());
    ws.peer.send(&frame(Role::Server, Opcode::Ping, true, b"?"));
    assert_eq!(ws.next(), None);
    ws.peer.wire().window = usize::MAX;
    ws.drive(|w, cx| w.poll_write(cx, &mut large, Flags::NONE));
    ws.flush();
    let lens: Vec<_> = ws.frames(Role::Server).iter().map(|(o, b)| (*o, b.len())).collect();
    assert_eq!(lens, [(Opcode::Binary, 5), (Opcode::Pong, 1), (Opcode::Binary, 100_000)]);
}

#[test]
fn seeded_clients_repeat_their_bytes() {
    let keys = Randomness::new(Some(3)).unwrap().mask_keys();
    let mut ws = Fixture::new(WsOptions { keys, ..complete(Role::Client) });
    ws.put(b"ab", Flags::TEXT);
    ws.peer.send(&frame(Role::Client, Opcode::Ping, true, b"?"));
    assert_eq!(ws.next(), None);
    // Keys 858754bd and 6ce41363: pongs draw from the same sequence as data.
    let expected = [0x81, 0x82, 0x85, 0x87, 0x54, 0xbd, b'a' ^ 0x85, b'b' ^ 0x87, 0x8a, 0x81, 0x6c, 0xe4, 0x13, 0x63];
    assert_eq!(ws.peer.received(), [&expected[..], &[b'?' ^ 0x6c]].concat());
    ws.shutdown();
    let close = ws.peer.received();
    let mut keys = Randomness::new(Some(3)).unwrap().mask_keys();
    let third = std::array::from_fn::<_, 3, _>(|_| keys.next_key().unwrap())[2];
    assert_eq!(close, [&[0x88, 0x82][..], &third, &[0x03 ^ third[0], 0xe8 ^ third[1]]].concat());
}

#[test]
fn chunks_are_as_long_as_the_reader_is_asked_for() {
    let body: Vec<u8> = (0..300u16).map(|n| n as u8).collect();
    let input = [
        frame(Role::Server, Opcode::Text, true, &body),
        frame(Role::Server, Opcode::Pong, true, b"whole"),
        frame(Role::Server, Opcode::Binary, true, b""),
    ]
    .concat();
    for max in [0, 1, 7, 299, 300, 301] {
        for step in [1, 13, 1000] {
            let mut ws = Fixture::new(server());
            input.chunks(step).for_each(|piece| ws.peer.send(piece));
            let mut got = Vec::new();
            loop {
                let Poll::Ready(next) = ws.poll_next(max) else { panic!("waits") };
                let (chunk, flags) = next.unwrap();
                if flags.any(Flags::PONG) {
                    assert_eq!(chunk, b"whole");
                    break;
                }
                assert!(flags.any(Flags::TEXT) && chunk.len() <= max.max(1));
                got.extend(chunk);
                assert_eq!(flags.any(Flags::PARTIAL), got.len() < 300);
            }
            assert_eq!(got, body);
            assert_eq!(ws.next(), Some((vec![], Flags::NONE)));
        }
    }
}

#[test]
fn frames_are_held_together_unless_parts_suffice() {
    for (len, parts, chunks) in [(HOLD, false, 1), (1000, true, 2), (125, true, 1), (HOLD + 1, false, 2)] {
        let mut ws = Fixture::new(server());
        if parts {
            ws.read.parts_suffice();
        }
        let input = frame(Role::Server, Opcode::Binary, true, &vec![7; len]);
        let (first, second) = input.split_at(input.len() / 2);
        ws.peer.send(first);
        let mut count = 0;
        let mut got = 0;
        while let Some((chunk, _)) = ws.next() {
            count += 1;
            got += chunk.len();
        }
        ws.peer.send(second);
        while got < len {
            let (chunk, flags) = ws.next().unwrap();
            count += 1;
            got += chunk.len();
            assert_eq!(flags.any(Flags::PARTIAL), got < len);
        }
        if chunks == 1 { assert_eq!(count, 1, "{len}") } else { assert!(count >= chunks, "{len}") }
    }
}

#[test]
fn more_says_that_the_buffer_holds_another_frame() {
    let mut ws = Fixture::new(server());
    ws.peer.send(&frame(Role::Server, Opcode::Binary, true, b"x").repeat(2));
    let mut cx = Context::from_waker(Waker::noop());
    for more in [true, false] {
        let Poll::Ready(Ok(flags)) = ws.read.poll_chunk(&mut cx, usize::MAX) else { panic!() };
        assert_eq!(flags.any(Flags::MORE), more);
        // It stays announced, whatever is asked for later.
        assert!(matches!(ws.read.poll_chunk(&mut cx, 0), Poll::Ready(Ok(again)) if again == flags));
        assert_eq!(ws.read.chunk_mut(), b"x");
        ws.read.consume();
        ws.read.consume();
    }
}

#[test]
fn any_cut_of_input_and_output_gives_the_same() {
    let payload: Vec<u8> = (0..700u16).map(|n| (n % 251) as u8).collect();
    for role in ROLES {
        let input = [
            frame(role, Opcode::Text, false, b"ab"),
            frame(role, Opcode::Ping, true, b"one"),
            frame(role, Opcode::Continuation, true, b"cd"),
            frame(role, Opcode::Binary, true, &payload),
            frame(role, Opcode::Ping, true, b""),
            frame(role, Opcode::Close, true, b"\x03\xe8fin"),
        ]
        .concat();
        for read in [1, 2, 3, 5, 64, 10_000] {
            for write in [1, 2, 3, 7, 100, 0] {
                for choppy in [false, true] {
                    let mut ws = Fixture::new(complete(role));
                    for piece in input.chunks(read) {
                        ws.peer.send(piece);
                        if choppy {
                            ws.peer.send(&[]);
                        }
                    }
                    ws.peer.wire().step = write;
                    ws.peer.wire().choppy = choppy;
                    let mut messages = vec![Vec::new()];
                    let body = loop {
                        let (chunk, flags) = ws.next().unwrap();
                        if flags.any(Flags::EOF) {
                            break chunk;
                        }
                        messages.last_mut().unwrap().extend_from_slice(&chunk);
                        ws.put(&chunk, flags); // echo
                        if flags.ends_message() {
                            messages.push(Vec::new());
                        }
                    };
                    ws.shutdown();
                    assert_eq!(body, b"\x03\xe8fin");
                    assert_eq!(messages, [&b"abcd"[..], &payload, b""]);
                    let sent = ws.frames(role);
                    let of = |kind| -> Vec<Vec<u8>> {
                        sent.iter().filter(|(o, _)| *o == kind).map(|(_, b)| b.clone()).collect()
                    };
                    let echoed: Vec<u8> =
                        sent.iter().filter(|(o, _)| !o.is_control()).flat_map(|(_, b)| b.clone()).collect();
                    assert_eq!(echoed, [b"abcd", &payload[..]].concat(), "{read} {write} {choppy}");
                    assert_eq!(of(Opcode::Pong), [&b"one"[..], b""]);
                    assert_eq!(of(Opcode::Close), [b"\x03\xe8"]);
                    assert_eq!(sent.last().unwrap().0, Opcode::Close);
                }
            }
        }
    }
}

#[test]
fn absent_halves_stay_absent() {
    let peer = Peer::default();
    peer.wire().window = usize::MAX;
    peer.send(&frame(Role::Server, Opcode::Ping, true, b""));
    peer.end();
    let socket = StreamSocket { read: Some(Box::new(peer)), ..StreamSocket::default() };
    let mut socket = ws_wrap(server(), socket);
    assert!(socket.write.is_none());
    let mut cx = Context::from_waker(Waker::noop());
    let Poll::Ready(Ok(flags)) = socket.read.as_mut().unwrap().poll_chunk(&mut cx, 1) else { panic!() };
    assert_eq!(flags, Flags::EOF);
}

#[test]
fn halves_are_small_and_can_go_to_any_thread() {
    fn assert_send<T: Send>() {}
    assert_send::<WsReader>();
    assert_send::<WsWriter>();
    assert!(size_of::<WsReader>() <= 128, "{}", size_of::<WsReader>());
    assert!(size_of::<WsWriter>() <= 128, "{}", size_of::<WsWriter>());
}
