//! System calls per message, counted at the border to the kernel: two when messages come one by one, two per batch when
//! they come together, none while nothing comes.
//!
//! The sockets below are in memory and count as the kernel's would: asking whether there is something costs nothing, a
//! read that finds nothing costs one call like any other, and a read that is not filled tells that nothing is left, as
//! `sockets::net::kernel_stream` has it of TCP. interop/cases/system_calls.py sees the same with strace.

use sockets::{
    copy::ExchangeBytes,
    exchange::ExchangePackets,
    overlay::{
        chunks::stream_chunks,
        lines::{LineReader, LineWriter, LinesOptions},
        ws::{Role, TextInvalid, WsOptions, ws_wrap},
    },
    socket::{DatagramSocket, StreamSocket},
    stop::Stop,
    stream::{StreamRead, StreamWrite},
};
use std::{
    collections::VecDeque,
    fmt::Debug,
    future::Future,
    io::{self, IoSlice},
    pin::Pin,
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    task::{Context, Poll, Wake, Waker},
};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

#[derive(Default)]
struct State {
    arrived: VecDeque<u8>,
    readable: bool,
    sent: Vec<u8>,
    reads: usize,
    writes: usize,
}

/// A kernel's socket, as the test sees it.
#[derive(Clone, Default)]
struct Kernel(Arc<Mutex<State>>);

impl Kernel {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }

    fn arrive(&self, bytes: &[u8]) {
        let mut state = self.lock();
        state.arrived.extend(bytes);
        state.readable = true;
    }

    fn socket(&self) -> StreamSocket {
        let half = || Box::new(Half(self.clone()));
        StreamSocket { read: Some(half()), write: Some(half()), ..StreamSocket::default() }
    }

    /// Reads and writes since the last time, and what was sent.
    fn take(&self) -> ((usize, usize), Vec<u8>) {
        let mut state = self.lock();
        let calls = (std::mem::take(&mut state.reads), std::mem::take(&mut state.writes));
        (calls, std::mem::take(&mut state.sent))
    }
}

struct Half(Kernel);

impl AsyncRead for Half {
    fn poll_read(self: Pin<&mut Self>, _: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let mut state = self.0.lock();
        if !state.readable {
            return Poll::Pending;
        }
        state.reads += 1;
        let n = buf.remaining().min(state.arrived.len());
        let bytes: Vec<u8> = state.arrived.drain(..n).collect();
        buf.put_slice(&bytes);
        state.readable = buf.remaining() == 0;
        if n == 0 { Poll::Pending } else { Poll::Ready(Ok(())) }
    }
}

impl StreamRead for Half {
    fn poll_readable(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.0.lock().readable { Poll::Ready(Ok(())) } else { Poll::Pending }
    }
}

impl AsyncWrite for Half {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        let mut state = self.0.lock();
        state.writes += 1;
        state.sent.extend_from_slice(data);
        Poll::Ready(Ok(data.len()))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let mut state = self.0.lock();
        state.writes += 1;
        parts.iter().for_each(|part| state.sent.extend_from_slice(part));
        Poll::Ready(Ok(parts.iter().map(|part| part.len()).sum()))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        panic!("nobody has ended");
    }
}

impl StreamWrite for Half {}

/// Notes that a future wants to go on.
struct Woken(AtomicBool);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.store(true, SeqCst);
    }
}

/// Sessions under test.
type Session = Pin<Box<dyn Future<Output = ()>>>;

fn session<E: Debug>(exchange: impl Future<Output = Result<(), E>> + 'static) -> Session {
    Box::pin(async move { exchange.await.unwrap() })
}

/// Polls as a runtime does after an event, until nothing moves.
fn turn(session: &mut Session) {
    let woken = Arc::new(Woken(AtomicBool::new(true)));
    let waker = Waker::from(woken.clone());
    while woken.0.swap(false, SeqCst) {
        assert!(session.as_mut().poll(&mut Context::from_waker(&waker)).is_pending(), "the session is over");
    }
}

fn websocket(kernel: &Kernel, role: Role) -> DatagramSocket {
    let options = WsOptions { role, answer_close: true, text_invalid: TextInvalid::Fail, ..WsOptions::default() };
    ws_wrap(options, kernel.socket())
}

fn lines(kernel: &Kernel) -> DatagramSocket {
    let socket = kernel.socket();
    let options = LinesOptions { substitute: Some(b' '), ..LinesOptions::default() };
    DatagramSocket {
        read: Some(Box::new(LineReader::new(socket.read.unwrap(), &options))),
        write: Some(Box::new(LineWriter::new(socket.write.unwrap(), &options))),
        ..DatagramSocket::default()
    }
}

fn packets(left: DatagramSocket, right: DatagramSocket) -> Session {
    session(ExchangePackets::new(left, right, Default::default(), Stop::new()))
}

/// One frame; a masked one has a key of zeros, which is one as any other.
fn frame(opcode: u8, masked: bool, payload: &[u8]) -> Vec<u8> {
    let mask = if masked { 0x80 } else { 0 };
    let mut frame = vec![0x80 | opcode];
    match payload.len() {
        n @ 0..126 => frame.push(mask | n as u8),
        n @ 126..65_536 => {
            frame.push(mask | 126);
            frame.extend((n as u16).to_be_bytes());
        }
        n => {
            frame.push(mask | 127);
            frame.extend((n as u64).to_be_bytes());
        }
    }
    frame.extend(&[0; 4][..if masked { 4 } else { 0 }]);
    frame.extend(payload);
    frame
}

/// Text and binary data frames of servers and of clients, lines, plain bytes.
#[derive(Clone, Copy, Debug)]
enum Form {
    FromClient,
    FromServer,
    Line,
    Bytes,
}

impl Form {
    fn message(self, payload: &[u8]) -> Vec<u8> {
        match self {
            Self::FromClient => frame(1, true, payload),
            Self::FromServer => frame(1, false, payload),
            Self::Line => [payload, b"\n"].concat(),
            Self::Bytes => payload.to_vec(),
        }
    }

    /// Bytes that a message of this form adds to its payload.
    fn extra(self, len: usize) -> usize {
        self.message(&vec![b'x'; len]).len() - len
    }
}

/// Sizes and numbers of messages that come together, and the calls that they may cost at the source and at the sink.
type Cost = ((usize, usize), (usize, usize));

/// What sockets start with.
const FIRST_BUFFER: usize = 16 << 10;

/// One by one, and in batches of 64 that fit one buffer: exactly one read and one write.
const SMALL: [Cost; 3] = [((0, 1), (1, 1)), ((32, 1), (1, 1)), ((32, 64), (1, 1))];

/// Lets messages come in at `from` and checks what that costs, and that as many bytes leave at `to`. The same kernel at
/// both ends is an echo.
fn check(name: &str, session: &mut Session, (from, form): (&Kernel, Form), (to, out): (&Kernel, Form), costs: &[Cost]) {
    let echo = Arc::ptr_eq(&from.0, &to.0);
    turn(session);
    assert_eq!((from.take().0, to.take().0), ((0, 0), (0, 0)), "{name}: at the start");
    for ((size, batch), (reads, writes)) in costs {
        if *size == 0 && matches!((form, out), (Form::Bytes, _) | (_, Form::Bytes)) {
            continue; // no bytes, no message
        }
        let payload = vec![b'x'; *size];
        let input = form.message(&payload).repeat(*batch);
        for round in 0..6 {
            from.arrive(&input);
            turn(session);
            if round < 3 && input.len() > FIRST_BUFFER {
                from.take(); // buffers grow with the traffic
                to.take();
                continue;
            }
            let (calls, sent) = from.take();
            let ((other_reads, other_writes), other_sent) = to.take();
            let what = format!("{name}: {batch} x {size} bytes, round {round}");
            let sent = if echo {
                assert_eq!(calls, (*reads, *writes), "{what}");
                sent
            } else {
                assert_eq!((calls, (other_reads, other_writes)), ((*reads, 0), (0, *writes)), "{what}");
                other_sent
            };
            // Bytes have no borders: they may become fewer messages.
            let borders = if matches!(form, Form::Bytes) { 1 } else { *batch };
            assert!(sent.len() >= batch * size + borders * out.extra(*size).min(4), "{what}: {} bytes", sent.len());
        }
        for _ in 0..10 {
            turn(session);
        }
        assert_eq!((from.take().0, to.take().0), ((0, 0), (0, 0)), "{name}: idle");
    }
}

#[test]
fn echo() {
    let kernel = Kernel::default();
    let mut echo =
        session(ExchangePackets::mirrored(websocket(&kernel, Role::Server), Default::default(), Stop::new()));
    check("echo", &mut echo, (&kernel, Form::FromClient), (&kernel, Form::FromServer), &SMALL);
    check(
        "echo",
        &mut echo,
        (&kernel, Form::FromClient),
        (&kernel, Form::FromServer),
        &[((1000, 64), (1, 1)), ((65_536, 1), (1, 1)), ((65_536, 4), (4, 4))],
    );

    // A ping is answered by one call. What came behind it leaves after the pong, which costs one more.
    kernel.arrive(&frame(9, true, b"alive"));
    turn(&mut echo);
    assert_eq!(kernel.take(), ((1, 1), frame(10, false, b"alive")));
    kernel.arrive(&[frame(9, true, b"alive"), frame(1, true, b"message")].concat());
    turn(&mut echo);
    assert_eq!(kernel.take(), ((1, 2), [frame(10, false, b"alive"), frame(1, false, b"message")].concat()));
}

#[test]
fn websocket_to_tcp() {
    let (web, tcp) = (Kernel::default(), Kernel::default());
    let mut bridge = packets(websocket(&web, Role::Server), stream_chunks(tcp.socket()));
    check("ws to tcp", &mut bridge, (&web, Form::FromClient), (&tcp, Form::Bytes), &SMALL);
    check(
        "ws to tcp",
        &mut bridge,
        (&web, Form::FromClient),
        (&tcp, Form::Bytes),
        &[((1024, 64), (1, 1)), ((65_536, 1), (1, 1))],
    );
}

#[test]
fn tcp_to_websocket() {
    for (role, out) in [(Role::Server, Form::FromServer), (Role::Client, Form::FromClient)] {
        let (web, tcp) = (Kernel::default(), Kernel::default());
        let mut bridge = packets(websocket(&web, role), stream_chunks(tcp.socket()));
        check("tcp to ws", &mut bridge, (&tcp, Form::Bytes), (&web, out), &SMALL);
        check(
            "tcp to ws",
            &mut bridge,
            (&tcp, Form::Bytes),
            (&web, out),
            &[((1024, 64), (1, 1)), ((65_536, 1), (1, 1))],
        );
    }
}

#[test]
fn lines_and_websocket() {
    for (role, of_us, of_peer) in
        [(Role::Client, Form::FromClient, Form::FromServer), (Role::Server, Form::FromServer, Form::FromClient)]
    {
        let (web, text) = (Kernel::default(), Kernel::default());
        let mut bridge = packets(lines(&text), websocket(&web, role));
        check("lines to ws", &mut bridge, (&text, Form::Line), (&web, of_us), &SMALL);
        check("ws to lines", &mut bridge, (&web, of_peer), (&text, Form::Line), &SMALL);
        check("lines to ws", &mut bridge, (&text, Form::Line), (&web, of_us), &[((1000, 64), (1, 1))]);
        check("ws to lines", &mut bridge, (&web, of_peer), (&text, Form::Line), &[((1000, 64), (1, 1))]);
    }
}

#[test]
fn both_directions_at_once() {
    let (web, tcp) = (Kernel::default(), Kernel::default());
    let mut bridge = packets(websocket(&web, Role::Server), stream_chunks(tcp.socket()));
    for _ in 0..4 {
        web.arrive(&Form::FromClient.message(b"there").repeat(64));
        tcp.arrive(b"and back");
        turn(&mut bridge);
        let ((web_calls, back), (tcp_calls, there)) = (web.take(), tcp.take());
        assert_eq!((web_calls, tcp_calls), ((1, 1), (1, 1)));
        assert_eq!((back, there), (frame(2, false, b"and back"), b"there".repeat(64)));
    }
}

#[test]
fn bytes() {
    let (left, right) = (Kernel::default(), Kernel::default());
    let mut copy = session(ExchangeBytes::new(left.socket(), right.socket(), Default::default(), Stop::new()));
    check("bytes", &mut copy, (&left, Form::Bytes), (&right, Form::Bytes), &SMALL);
    check("bytes", &mut copy, (&right, Form::Bytes), (&left, Form::Bytes), &[((65_536, 1), (1, 1))]);
}
