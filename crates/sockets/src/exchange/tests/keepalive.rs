//! Keepalive of real WebSockets within exchanges and the idle time-out, on a paused clock: when pings leave, and what a
//! silent peer ends.

use super::{websockets::*, *};
use crate::{
    datagram::Flags,
    endpoint::mirror_datagram::{MirrorDatagramOptions, mirror_datagram},
    info::Ending,
    overlay::{
        traffic_log::LogSink,
        ws::{KeepaliveOptions, Role, WsError, WsOptions},
    },
};
use std::sync::{Arc, Mutex};

fn keepalive(interval: Option<u64>, timeout: Option<u64>) -> KeepaliveOptions {
    let secs = |n: Option<u64>| n.map(Duration::from_secs);
    KeepaliveOptions { ping_interval: secs(interval), ping_timeout: secs(timeout), ..KeepaliveOptions::default() }
}

fn kept(role: Role) -> WsOptions {
    WsOptions { keepalive: keepalive(Some(30), Some(60)), own_control: true, ..options(role) }
}

fn silent(result: &Result<(), ExchangeError>) {
    let e = result.as_ref().expect_err("ended well");
    assert_eq!(e.error.kind(), io::ErrorKind::TimedOut);
    assert_eq!(e.error.get_ref().unwrap().downcast_ref(), Some(&WsError::Silent));
}

//= 6455-5.5.2-4 test
#[tokio::test(start_paused = true)]
async fn a_peer_that_answers_is_pinged_again_and_one_that_does_not_is_given_up() {
    for role in [Role::Client, Role::Server] {
        let ((mut wire, ws), tcp) = (websocket(kept(role)), Peer::bytes());
        let info = ws.info.clone();
        let mut running = run_ws(ws, tcp.socket(), 1000);
        let mut bodies = vec![];
        for round in 1..=3 {
            let (opcode, body) = wire.receive().await;
            assert_eq!((opcode, body.len(), running.start.elapsed().as_secs()), (0x89, 8, round * 30));
            wire.send(0x8a, &body).await;
            bodies.push(body);
        }
        bodies.dedup();
        assert_eq!(bodies.len(), 3, "each ping has its own body");
        assert_eq!((wire.receive().await.0, running.start.elapsed().as_secs()), (0x89, 120));
        let (result, ms) = running.ended().await;
        silent(&result);
        // The last pong came at 90 s and was noticed at 120 s.
        assert_eq!(ms, 180_000);
        assert_eq!(info.ending.get(), Some(&Ending::Silent));
        assert_eq!(tcp.heard(), ["EOF 03f3", "shutdown"]);
        assert_eq!(wire.receive().await.0, 0x89);
        wire.ends().await; // without a Close, which nobody would read
    }
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_never_says_anything_is_given_up_in_time() {
    let ((_wire, ws), tcp) = (websocket(kept(Role::Server)), Peer::bytes());
    let (result, ms) = run_ws(ws, tcp.socket(), 1000).ended().await;
    silent(&result);
    assert_eq!(ms, 60_000);
    // Without pings as well, and with times that do not fit each other: late by a step at most.
    for (interval, timeout, latest) in [(None, 60, 60_000), (Some(30), 45, 45_000), (Some(30), 61, 63_750)] {
        let options = WsOptions { keepalive: keepalive(interval, Some(timeout)), ..options(Role::Server) };
        let ((_wire, ws), tcp) = (websocket(options), Peer::bytes());
        let (result, ms) = run_ws(ws, tcp.socket(), 1000).ended().await;
        silent(&result);
        assert!((timeout * 1000..=latest).contains(&ms), "{interval:?} {timeout}: {ms}");
    }
}

#[tokio::test(start_paused = true)]
async fn data_of_the_peer_count_and_spare_it_the_pings() {
    let ((mut wire, ws), tcp) = (websocket(kept(Role::Server)), Peer::bytes());
    let mut running = run_ws(ws, tcp.socket(), 1000);
    for n in 1..=20 {
        at(n * 20_000, running.start).await;
        wire.send(0x82, b"x").await;
    }
    // What we say ourselves is no sign of the peer's life. The last mark is of 420 s.
    tcp.text("from us");
    assert_eq!(wire.receive().await.0, 0x81);
    assert_eq!((wire.receive().await.0, running.start.elapsed().as_secs()), (0x89, 450));
    let (result, ms) = running.ended().await;
    silent(&result);
    assert_eq!(ms, 480_000);
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_we_do_not_read_is_not_silent() {
    let ((mut wire, ws), tcp) = (websocket(kept(Role::Server)), Peer::bytes());
    tcp.stall(true);
    let mut running = run_ws(ws, tcp.socket(), 1000);
    wire.send(0x82, b"waits").await;
    assert!(running.is_running().await, "for more than a day");
    tcp.stall(false);
    let resumed = running.start.elapsed();
    let (result, ms) = running.ended().await;
    silent(&result);
    let late = ms - resumed.as_millis() as u64;
    assert!((60_000..=90_000).contains(&late), "{late}");
    assert_eq!(tcp.heard()[0], "waits");
}

#[tokio::test(start_paused = true)]
async fn pings_can_be_counted_and_their_answers_timed() {
    let lines = Arc::new(Mutex::new(vec![]));
    let log = lines.clone();
    let rtts = Some(LogSink::new(move |line| log.lock().unwrap().push(line.to_owned())));
    let keepalive = KeepaliveOptions { max_sent_pings: Some(2), rtts, ..keepalive(Some(10), None) };
    let ((mut wire, ws), tcp) = (websocket(WsOptions { keepalive, ..kept(Role::Client) }), Peer::bytes());
    let mut running = run_ws(ws, tcp.socket(), 1000);
    for ms in [250, 1500] {
        let (opcode, body) = wire.receive().await;
        assert_eq!(opcode, 0x89);
        sleep(Duration::from_millis(ms)).await;
        wire.send(0x8a, b"asked by nobody").await;
        wire.send(0x8a, &body).await;
        wire.send(0x8a, &body).await;
    }
    assert!(running.is_running().await);
    assert_eq!(*lines.lock().unwrap(), ["RTT 0.250000 s", "RTT 1.500000 s"]);
    wire.send(0x88, b"\x03\xe8").await;
    assert_eq!(wire.receive().await, (0x88, b"\x03\xe8".to_vec()), "no third ping");
}

//= 6455-7.1.1-2 test
#[tokio::test(start_paused = true)]
async fn a_silent_peer_ends_a_mirror_and_a_relay() {
    let (_wire, ws) = websocket(kept(Role::Server));
    let stop = Stop::new();
    let mirror = mirror_datagram(MirrorDatagramOptions::default());
    let (result, ms) = run_this(ExchangePackets::new(ws, mirror, on_error(), stop.clone()), stop).ended().await;
    silent(&result);
    assert_eq!(ms, 60_000);

    let ((mut client, left), (_server, right)) = (websocket(options(Role::Server)), websocket(kept(Role::Client)));
    let mut running = run_ws(left, right, 1000);
    assert_eq!(client.receive().await, (0x88, b"\x03\xf3".to_vec()));
    assert_eq!(running.start.elapsed().as_secs(), 60);
    client.send(0x88, b"\x03\xf3").await;
    let (result, ms) = running.ended().await;
    silent(&result);
    assert_eq!(ms, 60_000);
    client.ends().await;
}

#[tokio::test(start_paused = true)]
async fn a_peer_is_watched_after_our_direction_has_ended() {
    let ((mut wire, ws), stdio) = (websocket(kept(Role::Client)), Peer::bytes());
    let stop = Stop::new();
    let only_reverse = ExchangeOptions { unidirectional_reverse: true, ..on_error() };
    let mut running = run_this(ExchangePackets::new(stdio.socket(), ws, only_reverse, stop.clone()), stop);
    drop(stdio);
    let first = wire.receive().await;
    assert!(matches!(first.0, 0x88 | 0x89), "{first:x?}");
    let (result, ms) = running.ended().await;
    silent(&result);
    assert_eq!(ms, 60_000);
}

#[tokio::test(start_paused = true)]
async fn connections_that_begin_apart_are_pinged_apart_by_one_timer() {
    let tcp = Peer::bytes();
    let mut wires = vec![];
    let mut runs = vec![];
    let start = Instant::now();
    for _ in 0..4 {
        let (wire, ws) = websocket(kept(Role::Server));
        wires.push(wire);
        runs.push(run_ws(ws, tcp.socket(), 1000));
        sleep(Duration::from_secs(5)).await;
    }
    let mut times = vec![];
    for wire in &mut wires {
        assert_eq!(wire.receive().await.0, 0x89);
        times.push(start.elapsed().as_secs_f32());
    }
    // Each within a sixteenth of a turn after its thirty seconds.
    for (time, began) in times.iter().zip([0.0, 5.0, 10.0, 15.0]) {
        assert!((began + 30.0..began + 32.0).contains(time), "{times:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_session_without_data_ends_in_order_after_the_idle_time() {
    let options = |secs| ExchangeOptions { idle: Some(Duration::from_secs(secs)), end_on_error: true, ..linger(1000) };
    let (tcp, ws) = (Peer::bytes(), Peer::new());
    let mut running = run(&tcp, &ws, options(40));
    // Data of either side count, pings do not.
    for n in 1..=10 {
        at(n * 35_000, running.start).await;
        if n % 2 == 0 {
            ws.text("x")
        } else {
            tcp.text("x")
        }
        ws.says("", Flags::PING);
    }
    at(380_000, running.start).await;
    ws.says("", Flags::PING);
    at(401_000, running.start).await;
    // The last data came at 350 s; the time-out is looked at every ten seconds.
    assert_eq!(ws.heard_at("EOF 03e9"), Some(400_000));
    ws.leaves(1001);
    assert_eq!(running.ended_well_at().await, 401_000);
    // Whoever does not answer is waited for as long as for all last writes; zero and for ever are never.
    let (tcp, ws) = (Peer::bytes(), Peer::new());
    assert_eq!(run(&tcp, &ws, options(40)).ended_well_at().await, 42_000);
    for never in [Duration::ZERO, Duration::MAX] {
        let (tcp, ws) = (Peer::bytes(), Peer::new());
        let options = ExchangeOptions { idle: Some(never), ..ExchangeOptions::default() };
        assert!(run(&tcp, &ws, options).is_running().await);
    }
}

/// As after SIGSTOP and SIGCONT: the clock has jumped, and what the peer said meanwhile waits to be read.
#[tokio::test(start_paused = true)]
async fn a_program_that_was_stopped_does_not_blame_its_peers() {
    let ((mut wire, ws), tcp) = (websocket(kept(Role::Server)), Peer::bytes());
    let running = run_ws(ws, tcp.socket(), 1000);
    let (_, body) = wire.receive().await;
    wire.send(0x8a, &body).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    tokio::time::advance(Duration::from_secs(1000)).await;
    let (opcode, body) = wire.receive().await;
    assert_eq!(opcode, 0x89);
    wire.send(0x8a, &body).await;
    assert_eq!(wire.receive().await.0, 0x89, "goes on");
    drop(running);
}

/// Whatever becomes of the writer, whoever reads hears of the time-out.
#[tokio::test(start_paused = true)]
async fn a_silent_peer_is_told_to_the_reader_alone() {
    for dropped in [false, true] {
        let (_wire, ws) = websocket(kept(Role::Server));
        let (mut read, write) = (ws.read.unwrap(), ws.write.unwrap());
        let start = Instant::now();
        let reads = tokio::spawn(async move { std::future::poll_fn(|cx| read.poll_chunk(cx, usize::MAX)).await });
        quiet().await;
        let write = (!dropped).then_some(write);
        let limit = Duration::from_secs(3600);
        let error = tokio::time::timeout(limit, reads).await.expect("never told").unwrap().unwrap_err();
        assert_eq!((error.kind(), start.elapsed().as_secs()), (io::ErrorKind::TimedOut, 60), "{dropped}");
        drop(write);
    }
}

/// The first chunk to a peer that has vanished never gets out: no flush has told anybody whom to wake.
#[tokio::test(start_paused = true)]
async fn a_silent_peer_ends_a_session_whose_first_chunk_is_stuck() {
    let ((_wire, ws), tcp) = (websocket(kept(Role::Server)), Peer::bytes());
    tcp.says(vec![b'x'; 4 << 20], Flags::NONE);
    let (result, ms) = run_ws(ws, tcp.socket(), 1000).ended().await;
    silent(&result);
    assert_eq!(ms, 60_000);
}

/// What piled up while the sink did not take more was not sent at once.
#[tokio::test(start_paused = true)]
async fn pings_that_waited_for_a_slow_sink_are_not_too_many() {
    for (pings, fits) in [(1100, true), (1101, false)] {
        let options = WsOptions { max_control_rate: Some(100), ..options(Role::Server) };
        let ((mut wire, ws), tcp) = (websocket(options), Peer::bytes());
        tcp.stall(true);
        let mut running = run_ws(ws, tcp.socket(), 1000);
        wire.send(0x82, b"stuck").await;
        quiet().await;
        // Ten seconds' worth and what is allowed at once.
        at(10_000, running.start).await;
        for _ in 0..pings {
            wire.send(0x89, b"").await;
        }
        tcp.stall(false);
        for _ in 0..1100 {
            assert_eq!(wire.receive().await.0, 0x8a);
        }
        if fits {
            assert!(running.is_running().await);
        } else {
            assert_eq!(wire.receive().await.1.get(..2), Some(&b"\x03\xf0"[..]));
        }
    }
}
