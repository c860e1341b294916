//! Peers that take their time: exact, with a paused clock and a connection in memory.
//!
//! The command line goes the way of the program. Where its script makes the socket `mss:` it gets one end of a pair
//! instead, and the case has the other.

use clap::Parser as _;
use sockets::{
    socket::StreamSocket,
    stop::Stop,
    stream::{BoxStreamRead, BoxStreamWrite},
    testing::pair,
};
use std::{ffi::OsString, future::Future, sync::Arc, time::Duration};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    time::{Instant, sleep, timeout},
};
use websocat::{
    cli::Args,
    error::Result,
    exec, plan,
    scenario::{Scenario, Take as _, TaskHandle, handle, run},
};

/// What a kernel would hold for each direction.
const ROOM: usize = 64 << 10;

/// The peer's end of the connection.
struct Peer {
    read: BoxStreamRead,
    write: BoxStreamWrite,
}

impl Peer {
    async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.write.write_all(bytes.as_ref()).await.unwrap();
    }

    async fn head(&mut self) -> String {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(self.read.read_u8().await.unwrap());
        }
        String::from_utf8(head).unwrap()
    }

    async fn expect(&mut self, bytes: &[u8]) {
        let mut got = vec![0; bytes.len()];
        self.read.read_exact(&mut got).await.unwrap();
        assert_eq!(got, bytes);
    }
}

/// Runs a command line whose `mss:` is connected to the peer. Gives the exit status and the milliseconds until its end.
fn play<F: Future<Output = ()> + Send + 'static>(line: &[&str], peer: impl FnOnce(Peer) -> F) -> (u8, u64) {
    let line = [&["websocat"], line].concat().into_iter().map(OsString::from);
    let args = Arc::new(Args::try_parse_from(plan::arguments(line)).unwrap());
    let mut planned = plan::parse(&args).unwrap();
    plan::rewrite(&mut planned).unwrap();
    let script = plan::print(&planned).unwrap();
    assert_eq!(script.matches("mock_stream_socket(\"\")").count(), 1, "{script}");
    let script = script.replace("mock_stream_socket(\"\")", "connection()");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
    runtime.block_on(async {
        let (ours, theirs, _) = pair(ROOM);
        let mut engine = exec::engine();
        let ours = handle(ours);
        engine.register_fn("connection", move || ours.clone());
        let ast = engine.compile(&script).unwrap();
        let scenario = Scenario::new(engine, ast, Stop::new(), Some(1)).unwrap();
        let task = scenario.engine.eval_ast::<TaskHandle>(&scenario.ast).unwrap().take("task").unwrap();
        let StreamSocket { read: Some(read), write: Some(write), .. } = theirs else { panic!() };
        let peer = tokio::spawn(peer(Peer { read, write }));
        let start = Instant::now();
        let result: Result<()> = timeout(Duration::from_secs(100_000), run(task)).await.expect("it ends");
        let ms = start.elapsed().as_millis() as u64;
        if peer.is_finished() {
            peer.await.unwrap(); // its assertions count
        }
        println!("{result:?}");
        (result.err().map_or(0, |e| e.exit_code()), ms)
    })
}

const REQUEST: &str = "GET / HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
    Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

/// Sends a byte at a time for ever.
async fn trickle(peer: &mut Peer, bytes: impl IntoIterator<Item = u8>) {
    for byte in bytes {
        if peer.write.write_all(&[byte]).await.is_err() {
            return; // sent away
        }
        sleep(Duration::from_millis(900)).await;
    }
    panic!("nobody had enough");
}

#[test]
fn a_slow_sender_of_headers_has_ten_seconds_in_all() {
    // Limits that count from the last byte would let it go on for a minute and a half.
    let (status, ms) = play(&["-b", "ws-u:mss:", "mirror:"], async |mut peer: Peer| {
        trickle(&mut peer, REQUEST.bytes().take(100)).await;
    });
    assert_eq!((status, ms), (23, 10_000));
}

#[test]
fn a_server_that_answers_slowly_has_ten_seconds_in_all() {
    let (status, ms) = play(&["-b", "ws-c:mss:", "mirror:"], async |mut peer: Peer| {
        peer.head().await;
        trickle(&mut peer, "HTTP/1.1 101 Switching Protocols\r\nX: ".bytes().chain([b'x'; 60])).await;
    });
    assert_eq!((status, ms), (23, 10_000));
}

/// The connection stays, and nothing comes any more.
async fn vanish(peer: Peer) {
    sleep(Duration::from_secs(1_000_000)).await;
    drop(peer);
}

#[test]
fn a_close_that_is_never_answered_holds_nobody_for_long() {
    let (status, ms) = play(&["-b", "ws-u:mss:", "literal:bye"], async |mut peer: Peer| {
        peer.send(REQUEST).await;
        peer.head().await;
        peer.expect(b"\x82\x03bye\x88\x02\x03\xe8").await;
        vanish(peer).await;
    });
    assert!(status == 0 && (1000..=6000).contains(&ms), "status {status} after {ms} ms");
}

#[test]
fn a_peer_that_vanished_is_given_up_after_a_minute() {
    // Pinged after half of that, with eight bytes of its own.
    let (status, ms) = play(&["-b", "ws-u:mss:", "mirror:"], async |mut peer: Peer| {
        peer.send(REQUEST).await;
        peer.head().await;
        peer.expect(b"\x89\x08").await;
        vanish(peer).await;
    });
    assert_eq!((status, ms), (32, 60_000));
}

/// A peer that sends its request, does something else, and closes in order.
async fn meanwhile(mut peer: Peer, something: impl AsyncFnOnce(&mut Peer)) {
    peer.send(REQUEST).await;
    peer.head().await;
    something(&mut peer).await;
    peer.send([0x88, 0x82, 0, 0, 0, 0, 3, 0xe8]).await;
    peer.expect(b"\x88\x02\x03\xe8").await;
}

/// Milliseconds until the next ping.
async fn ping(peer: &mut Peer) -> u64 {
    let start = Instant::now();
    peer.expect(b"\x89\x08").await;
    peer.read.read_u64().await.unwrap();
    start.elapsed().as_millis() as u64
}

#[test]
fn pings_come_as_often_as_asked_for() {
    let line = ["-b", "--ping-interval", "5s", "--ping-timeout", "0", "ws-u:mss:", "mirror:"];
    let (status, ms) = play(&line, |peer| {
        meanwhile(peer, async |peer| {
            for _ in 0..3 {
                assert!(ping(peer).await <= 10_000);
            }
        })
    });
    assert!(status == 0 && (15_000..=20_000).contains(&ms), "status {status} after {ms} ms");
}

#[test]
fn pings_end_when_there_were_enough() {
    let line = ["-b", "--ping-interval", "5s", "--ping-timeout", "0", "--max-sent-pings", "2", "ws-u:mss:", "mirror:"];
    let (status, _) = play(&line, |peer| {
        meanwhile(peer, async |peer| {
            ping(peer).await;
            ping(peer).await;
            assert!(timeout(Duration::from_secs(60), ping(peer)).await.is_err(), "a third one");
        })
    });
    assert_eq!(status, 0);
}

#[test]
fn a_peer_that_vanished_has_the_time_it_is_given() {
    let line = ["-b", "--ping-timeout", "20s", "ws-u:mss:", "mirror:"];
    let (status, ms) = play(&line, async |mut peer: Peer| {
        peer.send(REQUEST).await;
        peer.head().await;
        vanish(peer).await;
    });
    assert!(status == 32 && (20_000..=30_000).contains(&ms), "status {status} after {ms} ms");
}
