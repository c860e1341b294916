//! Peers that do not answer our Close, through every overlay of messages, and peers that do not even take it.

use super::{
    websockets::{options, run_ws, websocket},
    *,
};
use crate::{
    datagram::DatagramRead,
    overlay::{
        datagram_log::datagram_logger,
        rate_limit::{RateLimit, RateLimitedSource},
        reuse::Reuser,
        split_off::split_off,
        tee::{TeeOptions, tee},
        traffic_log::{LogOptions, LogSink},
        ws::{Role, TextInvalid, WsError, WsOptions, ws_wrap},
    },
    socket::DatagramSocket,
    testing::{pair::pair, schedules},
};
use std::{
    num::NonZeroU64,
    task::{Context, Poll},
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

type Wrap = fn(DatagramSocket) -> DatagramSocket;

fn slow() -> RateLimit {
    RateLimit { bytes: NonZeroU64::new(1), burst_bytes: NonZeroU64::new(1), ..RateLimit::default() }
}

fn limited(mut socket: DatagramSocket) -> DatagramSocket {
    socket.read = socket.read.map(|read| Box::new(RateLimitedSource::new(read, &slow())) as _);
    socket
}

/// Everything that wraps a message reader.
const WRAPPERS: [(&str, Wrap); 6] = [
    ("rate_limit", limited),
    ("log", |socket| datagram_logger(socket, &LogOptions { sink: LogSink::new(|_| {}), ..LogOptions::default() })),
    ("tee", |socket| tee(TeeOptions::default(), vec![socket]).unwrap()),
    ("split_off", |mut socket| {
        let other = DatagramSocket { read: Peer::new().socket().read, ..DatagramSocket::default() };
        let write = socket.write.take();
        DatagramSocket { write, ..split_off(socket, other) }
    }),
    ("reuse", |mut socket| {
        let write = socket.write.take();
        DatagramSocket { write, ..Reuser::new(socket).client() }
    }),
    ("chopper", |socket| schedules().next().unwrap().datagram(socket)),
];

//= 6455-7.1.1-2 test
#[tokio::test(start_paused = true)]
async fn every_wrapper_tells_that_only_an_answer_is_awaited() {
    let lossy = || WsOptions { text_invalid: TextInvalid::Lossy, ..options(Role::Client) };
    for (name, wrap) in WRAPPERS {
        for options in [options(Role::Server), lossy()] {
            let (mut wire, ws) = websocket(options);
            let mut ws = wrap(ws);
            let (typed, printed) = (Peer::bytes(), Peer::new());
            let start = Instant::now();
            let copy = CopyPackets::new(ws.read.take().unwrap(), printed.socket().write.unwrap(), usize::MAX);
            let back = tokio::spawn(copy);
            let copy = CopyPackets::new(typed.socket().read.unwrap(), ws.write.take().unwrap(), usize::MAX);
            let there = tokio::spawn(copy);
            at(20_000, start).await;
            assert!(!back.is_finished(), "{name}");
            typed.ends();
            assert_eq!(wire.receive().await.0, 0x88);
            there.await.unwrap().unwrap();
            timeout(Duration::from_secs(100_000), back).await.expect(name).unwrap().unwrap();
            assert_eq!(start.elapsed().as_millis(), 25_000, "{name}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn what_a_limit_holds_back_is_no_silence() {
    let (mut wire, ws) = websocket(options(Role::Server));
    let mut ws = limited(ws);
    let printed = Peer::new();
    let start = Instant::now();
    let copy = CopyPackets::new(ws.read.take().unwrap(), printed.socket().write.unwrap(), usize::MAX);
    let back = tokio::spawn(copy);
    let mut write = ws.write.take().unwrap();
    std::future::poll_fn(|cx| write.poll_shutdown(cx)).await.unwrap();
    // 20 seconds' worth, and what has to wait for that.
    wire.send(0x82, b"12345678901234567890").await;
    wire.send(0x82, b"last").await;
    timeout(Duration::from_secs(100_000), back).await.unwrap().unwrap().unwrap();
    assert_eq!(printed.heard()[..2], ["12345678901234567890", "last"]);
    assert!(start.elapsed().as_secs() >= 25, "{:?}", start.elapsed());
}

/// Counts what a wrapper hands on.
struct Inner {
    waits: std::sync::Arc<std::sync::atomic::AtomicUsize>,
    said: bool,
}

impl DatagramRead for Inner {
    fn poll_chunk(&mut self, _: &mut Context<'_>, _: usize) -> Poll<io::Result<crate::datagram::Flags>> {
        self.said = true;
        Poll::Ready(Ok(crate::datagram::Flags::NONE))
    }
    fn chunk_mut(&mut self) -> &mut [u8] {
        &mut []
    }
    fn consume(&mut self) {}
    fn for_each_inner(&mut self, _: &mut dyn FnMut(&mut dyn DatagramRead)) {}
    fn sink_waits(&mut self) {
        self.waits.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
    }
    fn poll_closed(&mut self, _: &mut Context<'_>) -> Poll<()> {
        Poll::Pending
    }
}

#[tokio::test(start_paused = true)]
async fn every_wrapper_hears_of_a_sink_that_waits_and_waits_for_the_peers_end() {
    for (name, wrap) in WRAPPERS {
        let waits = std::sync::Arc::default();
        let read = Inner { waits: std::sync::Arc::clone(&waits), said: false };
        let socket = DatagramSocket { read: Some(Box::new(read)), ..DatagramSocket::default() };
        let mut read = wrap(socket).read.unwrap();
        std::future::poll_fn(|cx| read.poll_chunk(cx, 1)).await.unwrap();
        read.sink_waits();
        assert_eq!(waits.load(std::sync::atomic::Ordering::SeqCst), 1, "{name}");
        let closed = std::future::poll_fn(|cx| Poll::Ready(read.poll_closed(cx))).await;
        assert!(closed.is_pending(), "{name}");
    }
}

/// The peer of a WebSocket between which and us fit 40 bytes, and the WebSocket.
fn narrow() -> (crate::socket::StreamSocket, DatagramSocket) {
    let (theirs, ours, _) = pair(40);
    (theirs, ws_wrap(WsOptions { own_control: true, ..options(Role::Server) }, ours))
}

//= 6455-7.1.1-2 test
#[tokio::test(start_paused = true)]
async fn a_close_that_does_not_get_out_is_waited_for_a_minute() {
    // What the peer does at which time: reads so many bytes, or says something.
    #[derive(Clone, Copy)]
    enum Does {
        Reads(usize),
        Speaks,
    }
    use Does::{Reads, Speaks};
    for copies in [false, true] {
        for (does, end) in [
            (&[][..], 60_000),
            // Slow is not deaf.
            (&[(40_000, Reads(10)), (80_000, Reads(10)), (130_000, Reads(10))][..], 240_000),
            (&[(40_000, Speaks), (80_000, Speaks)], 180_000),
        ] {
            let (mut wire, mut ws) = narrow();
            let (typed, printed) = (Peer::bytes(), Peer::bytes());
            typed.text(&"x".repeat(150));
            typed.ends();
            let start = Instant::now();
            let running = if copies {
                let back = CopyPackets::new(ws.read.take().unwrap(), printed.socket().write.unwrap(), usize::MAX);
                let back = tokio::spawn(back);
                let there = CopyPackets::new(typed.socket().read.unwrap(), ws.write.take().unwrap(), usize::MAX);
                let there = tokio::spawn(there);
                tokio::spawn(async move {
                    let error = back.await.unwrap().unwrap_err();
                    assert_eq!(error.error.get_ref().unwrap().downcast_ref(), Some(&WsError::Unread));
                    there.await.unwrap()
                })
            } else {
                let read = printed.socket().write;
                run_ws(DatagramSocket { write: read, ..typed.socket() }, ws, 0).task
            };
            for (ms, does) in does {
                at(*ms, start).await;
                match does {
                    Reads(n) => _ = wire.read.as_mut().unwrap().read_exact(&mut vec![0; *n]).await.unwrap(),
                    Speaks => wire.write.as_mut().unwrap().write_all(b"\x82\x81\0\0\0\0!").await.unwrap(),
                }
            }
            let result = timeout(Duration::from_secs(100_000), running).await.expect("waits for ever").unwrap();
            let (direction, part, kind) = what(&result);
            assert_eq!((direction, part, kind), (Direction::Forward, Part::Sink, io::ErrorKind::TimedOut));
            let error = result.unwrap_err().error;
            assert_eq!(error.get_ref().unwrap().downcast_ref(), Some(&WsError::Unread));
            assert_eq!(start.elapsed().as_millis(), end, "{copies}");
            let spoke = does.iter().filter(|(_, does)| matches!(does, Speaks)).count();
            assert_eq!(printed.heard().iter().filter(|heard| *heard == "!").count(), spoke);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_reads_in_the_end_gets_all_and_our_close() {
    let (mut wire, ws) = narrow();
    let typed = Peer::bytes();
    typed.text(&"x".repeat(150));
    typed.ends();
    let mut running = run_ws(typed.socket(), ws, 0);
    let (read, write) = (wire.read.as_mut().unwrap(), wire.write.as_mut().unwrap());
    at(59_900, running.start).await;
    let mut got = vec![0; 4 + 150 + 4];
    read.read_exact(&mut got).await.unwrap();
    assert!(got.ends_with(b"x\x88\x02\x03\xe8"), "{got:?}");
    write.write_all(b"\x88\x82\0\0\0\0\x03\xe8").await.unwrap();
    running.ended_well_at().await;
}

#[tokio::test(start_paused = true)]
async fn half_closes_are_waited_for() {
    let (_wire, ours, _) = pair(40);
    let half = WsOptions { half_close: true, close_code: None, ..options(Role::Server) };
    let ws = ws_wrap(half, ours);
    let typed = Peer::bytes();
    typed.text(&"x".repeat(150));
    typed.ends();
    assert!(run_ws(typed.socket(), ws, 0).is_running().await);
}

/// The peer has all of it in its queue, unread, as somebody behind a pager does: the end of our process would not hurt, but if
/// it then said anything, the kernel would throw away what it has not got yet.
#[cfg(target_os = "linux")]
#[tokio::test(start_paused = true)]
async fn an_answer_is_waited_for_from_when_our_close_has_left() {
    use crate::{
        info::SocketInfo,
        net::kernel_stream::{KernelStream, kernel_socket},
    };
    for copies in [false, true] {
        // When it reads (never; at once; late), and when it is over: the unread is looked at every five seconds.
        for (reads, end) in [(None, 65_000), (Some(100), 5_000), (Some(42_000), 50_000)] {
            let (ours, mut theirs) = std::os::unix::net::UnixStream::pair().unwrap();
            for socket in [&ours, &theirs] {
                socket.set_nonblocking(true).unwrap();
            }
            let ours = KernelStream::from(tokio::net::UnixStream::from_std(ours).unwrap());
            let options = WsOptions { own_control: true, ..options(Role::Server) };
            let mut ws = ws_wrap(options, kernel_socket(ours, SocketInfo::default()));
            let (typed, printed) = (Peer::bytes(), Peer::bytes());
            typed.text("all of it");
            typed.ends();
            let start = Instant::now();
            let running = if copies {
                let back = CopyPackets::new(ws.read.take().unwrap(), printed.socket().write.unwrap(), usize::MAX);
                let there = CopyPackets::new(typed.socket().read.unwrap(), ws.write.take().unwrap(), usize::MAX);
                tokio::spawn(async move { tokio::join!(back, there).0 })
            } else {
                run_ws(DatagramSocket { write: printed.socket().write, ..typed.socket() }, ws, 0).task
            };
            if let Some(ms) = reads {
                at(ms, start).await;
                let mut got = [0; 99];
                let n = std::io::Read::read(&mut theirs, &mut got).unwrap();
                assert!(got[..n].ends_with(b"all of it\x88\x02\x03\xe8"), "{:?}", &got[..n]);
            }
            let result = timeout(Duration::from_secs(100_000), running).await.expect("waits for ever").unwrap();
            result.unwrap();
            assert_eq!(start.elapsed().as_millis(), end, "{copies} {reads:?}");
        }
    }
}
