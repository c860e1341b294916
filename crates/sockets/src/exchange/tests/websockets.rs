//! The same with real WebSocket halves: which frames leave, and when.

use super::*;
use crate::{
    datagram::Flags,
    endpoint::mirror_datagram::{MirrorDatagramOptions, mirror_datagram},
    overlay::ws::{Role, WsOptions, ws_wrap},
    socket::StreamSocket,
    testing::{Chunk, Recorder, Schedule, chunk_source, messages, pair::pair, schedules},
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// The peer's end of a WebSocket's stream.
pub(super) struct Wire {
    socket: StreamSocket,
    masks: bool,
}

pub(super) fn options(role: Role) -> WsOptions {
    WsOptions { role, answer_close: true, close_code: Some(1000), require_close: true, ..WsOptions::default() }
}

pub(super) fn websocket(options: WsOptions) -> (Wire, crate::socket::DatagramSocket) {
    let (theirs, ours, _) = pair(10_000);
    let masks = options.role == Role::Server;
    (Wire { socket: theirs, masks }, ws_wrap(options, ours))
}

impl Wire {
    pub(super) async fn send(&mut self, first: u8, payload: &[u8]) {
        let mut frame = vec![first, payload.len() as u8];
        if self.masks {
            frame[1] |= 0x80;
            frame.extend([0; 4]);
        }
        frame.extend(payload);
        self.socket.write.as_mut().unwrap().write_all(&frame).await.unwrap();
    }

    pub(super) async fn receive(&mut self) -> (u8, Vec<u8>) {
        let read = self.socket.read.as_mut().unwrap();
        let (first, second) = (read.read_u8().await.unwrap(), read.read_u8().await.unwrap());
        let mut key = [0; 4];
        if second & 0x80 != 0 {
            read.read_exact(&mut key).await.unwrap();
        }
        let mut payload = vec![0; usize::from(second & 0x7f)];
        read.read_exact(&mut payload).await.unwrap();
        payload.iter_mut().zip(key.iter().cycle()).for_each(|(b, k)| *b ^= k);
        (first, payload)
    }

    async fn finish(&mut self) {
        self.socket.write.as_mut().unwrap().shutdown().await.unwrap();
    }

    pub(super) async fn ends(&mut self) {
        assert_eq!(self.socket.read.as_mut().unwrap().read(&mut [0]).await.unwrap(), 0);
    }
}

pub(super) fn run_ws(
    left: crate::socket::DatagramSocket,
    right: crate::socket::DatagramSocket,
    linger_ms: u64,
) -> Running {
    let stop = Stop::new();
    let options = ExchangeOptions { end_on_error: true, ..linger(linger_ms) };
    run_this(ExchangePackets::new(left, right, options, stop.clone()), stop)
}

//= 6455-5.5.1-9 test
#[tokio::test(start_paused = true)]
async fn close_with_a_code_is_answered_at_once() {
    let ((mut wire, ws), tcp) = (websocket(options(Role::Server)), Peer::bytes());
    let mut running = run_ws(ws, tcp.socket(), 1000);
    wire.send(0x82, b"hi").await;
    wire.send(0x88, b"\x03\xe9").await;
    assert_eq!(wire.receive().await, (0x88, b"\x03\xe9".to_vec()));
    assert_eq!(running.ended_well_at().await, 0);
    wire.ends().await;
    assert_eq!(tcp.heard(), ["hi", "EOF 03e9", "shutdown"]);
}

#[tokio::test(start_paused = true)]
async fn close_without_a_code_is_answered_after_the_linger_time() {
    let ((mut wire, ws), tcp) = (websocket(options(Role::Server)), Peer::bytes());
    let mut running = run_ws(ws, tcp.socket(), 1000);
    wire.send(0x88, b"").await;
    at(900, running.start).await;
    assert_eq!(tcp.heard(), ["EOF", "shutdown"]);
    tcp.text("late");
    assert_eq!(wire.receive().await, (0x81, b"late".to_vec()));
    let (opcode, _) = wire.receive().await;
    assert_eq!((opcode, running.start.elapsed().as_millis()), (0x88, 1900));
    assert_eq!(running.ended_well_at().await, 1900);
    wire.ends().await;
}

#[tokio::test(start_paused = true)]
async fn a_client_at_the_end_of_its_input_waits_for_replies_and_then_closes() {
    let ((mut wire, ws), stdio) = (websocket(options(Role::Client)), Peer::bytes());
    stdio.text("hi");
    stdio.ends();
    let mut running = run_ws(stdio.socket(), ws, 1000);
    assert_eq!(wire.receive().await, (0x81, b"hi".to_vec()));
    at(800, running.start).await;
    wire.send(0x81, b"reply").await;
    assert_eq!(wire.receive().await, (0x88, b"\x03\xe8".to_vec()));
    assert_eq!(running.start.elapsed().as_millis(), 1800);
    wire.send(0x88, b"\x03\xe8").await;
    at(2300, running.start).await;
    assert_eq!(stdio.heard(), ["reply", "EOF 03e8", "shutdown"]);
    wire.finish().await;
    assert_eq!(running.ended_well_at().await, 2300);
    wire.ends().await;
}

//= 6455-5.5.1-11 test
//= 6455-5.5.1-12 test
//= 6455-5.5.1-13 test
//= 6455-5.5.1-14 test
//= 6455-7.1.2-2 test
//= 6455-7.1.1-3 test
//= 6455-7.1.1-4 test
//= 6455-7.1.1-5 test
//= 6455-7.1.1-6 test
#[tokio::test(start_paused = true)]
async fn the_server_ends_the_connection_and_a_client_waits_a_second_for_it() {
    for ours_first in [false, true] {
        for (role, finishes, end) in
            [(Role::Server, None, 0), (Role::Client, Some(400), 400), (Role::Client, None, 1000)]
        {
            let ((mut wire, ws), tcp) = (websocket(options(role)), Peer::bytes());
            let mut running = run_ws(ws, tcp.socket(), 0);
            if ours_first {
                tcp.ends();
                assert_eq!(wire.receive().await, (0x88, b"\x03\xe8".to_vec()));
            }
            wire.send(0x88, b"\x03\xe8").await;
            if !ours_first {
                assert_eq!(wire.receive().await, (0x88, b"\x03\xe8".to_vec()));
            }
            if let Some(ms) = finishes {
                at(ms, running.start).await;
                wire.send(0x82, b"behind Close").await;
                wire.finish().await;
            }
            assert_eq!(running.ended_well_at().await, end, "{role:?} {ours_first}");
            wire.ends().await;
            assert!(!tcp.heard().contains(&"behind Close".to_owned()));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_websocket_without_its_other_side_is_told_so() {
    for (role, answers, end) in [(Role::Server, true, 0), (Role::Server, false, 2000), (Role::Client, true, 1000)] {
        let (mut wire, ws) = websocket(options(role));
        let start = Instant::now();
        let farewell = tokio::spawn(crate::exchange::farewell(ws, 1011));
        wire.send(0x82, b"for nobody").await;
        wire.send(0x89, b"?").await;
        assert_eq!(wire.receive().await, (0x88, b"\x03\xf3".to_vec()));
        assert_eq!(wire.receive().await, (0x8a, b"?".to_vec()));
        if answers {
            wire.send(0x88, b"\x03\xf3").await;
        }
        farewell.await.unwrap();
        assert!((end..=2000).contains(&(start.elapsed().as_millis() as u64)), "{role:?} {answers}");
        assert!(start.elapsed().as_millis() < 2000 || role == Role::Client || !answers);
        wire.ends().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_breaks_off_is_no_normal_end_for_the_other_websocket() {
    let ((client, left), (mut server, right)) = (websocket(options(Role::Server)), websocket(options(Role::Client)));
    let mut running = run_ws(left, right, 1000);
    quiet().await;
    drop(client);
    assert_eq!(server.receive().await, (0x88, b"\x03\xf3".to_vec()));
    server.send(0x88, b"\x03\xf3").await;
    server.finish().await;
    running.ended_well_at().await;
}

#[tokio::test(start_paused = true)]
async fn a_peer_is_heard_out_after_the_other_side_has_failed() {
    for answers in [true, false] {
        let ((mut wire, ws), disk) = (websocket(options(Role::Server)), Peer::bytes());
        let mut running = run_ws(ws, disk.socket(), 1000);
        disk.fails_writing(io::ErrorKind::StorageFull);
        wire.send(0x82, b"x").await;
        assert_eq!(wire.receive().await, (0x88, b"\x03\xf3".to_vec()));
        // Data on the way and an answer that takes its time.
        at(1_900, running.start).await;
        wire.send(0x82, b"late").await;
        if answers {
            wire.send(0x88, b"\x03\xf3").await;
        }
        let (result, ms) = running.ended().await;
        assert_eq!(what(&result), (Direction::Forward, Part::Sink, io::ErrorKind::StorageFull));
        assert_eq!(ms, if answers { 1_900 } else { 2_000 });
        wire.ends().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_message_that_its_sink_cannot_hold_ends_with_a_code_that_says_so() {
    use crate::overlay::defragment::defragment_writes;
    for (len, fits) in [(100, true), (101, false)] {
        let ((mut wire, ws), udp) = (websocket(options(Role::Server)), Peer::new());
        let mut running = run_ws(ws, defragment_writes(udp.socket(), 100), 1000);
        wire.send(0x02, &[b'x'; 60]).await;
        wire.send(0x80, &vec![b'x'; len - 60]).await;
        if fits {
            wire.send(0x88, b"\x03\xe8").await;
        }
        let code = if fits { b"\x03\xe8" } else { b"\x03\xf1" };
        assert_eq!(wire.receive().await, (0x88, code.to_vec()));
        let (result, _) = running.ended().await;
        assert_eq!(result.is_ok(), fits);
        assert_eq!(udp.heard().first().is_some_and(|m| m.len() == 100), fits);
    }
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_just_ends_ends_the_session() {
    let ((wire, ws), stdio) = (websocket(options(Role::Client)), Peer::bytes());
    let mut running = run_ws(stdio.socket(), ws, 1000);
    drop(wire);
    running.ended_well_at().await;
    assert_eq!(stdio.heard(), ["EOF 03f3", "shutdown"]);
}

//= 6455-7.1.7-1 test
//= 6455-7.1.7-3 test
#[tokio::test(start_paused = true)]
async fn a_breach_of_the_protocol_is_told_to_the_peer_that_did_it() {
    let ((mut wire, ws), tcp) = (websocket(options(Role::Server)), Peer::bytes());
    let mut running = run_ws(ws, tcp.socket(), 1000);
    wire.send(0x82, b"fine").await;
    wire.send(0xb2, b"reserved bits").await;
    assert_eq!(wire.receive().await, (0x88, b"\x03\xea".to_vec()));
    let (result, ms) = running.ended().await;
    assert_eq!((what(&result), ms), ((Direction::Forward, Part::Source, io::ErrorKind::InvalidData), 0));
    assert_eq!(tcp.heard(), ["fine", "EOF 03f3", "shutdown"]);
}

#[tokio::test(start_paused = true)]
async fn drain_closes_with_going_away_and_waits_for_the_answer() {
    let ((mut wire, ws), tcp) = (websocket(options(Role::Server)), Peer::bytes());
    let mut running = run_ws(ws, tcp.socket(), 1000);
    quiet().await;
    running.stop.drain();
    assert_eq!(wire.receive().await, (0x88, b"\x03\xe9".to_vec()));
    at(3000, running.start).await;
    wire.send(0x88, b"\x03\xe9").await;
    assert_eq!(running.ended_well_at().await, 3000);
    wire.ends().await;
}

#[tokio::test(start_paused = true)]
async fn pings_are_answered_while_nothing_moves_and_while_the_idle_direction_is_kept() {
    let ((mut wire, ws), stdio) = (websocket(options(Role::Client)), Peer::bytes());
    let stop = Stop::new();
    let late = ExchangeOptions { unidirectional_reverse: true, late_drop: true, ..linger(1000) };
    let mut running = run_this(ExchangePackets::new(stdio.socket(), ws, late, stop.clone()), stop);
    wire.send(0x89, b"?").await;
    assert_eq!(wire.receive().await, (0x8a, b"?".to_vec()));
    wire.send(0x88, b"\x03\xe8").await;
    assert_eq!(wire.receive().await, (0x88, b"\x03\xe8".to_vec()));
    wire.finish().await;
    assert_eq!(running.ended_well_at().await, 0);
}

#[tokio::test(start_paused = true)]
async fn pings_are_answered_after_our_direction_has_ended() {
    // A half-close may last for hours, and a peer that gets no pong hangs up.
    let ((mut wire, ws), stdio) = (websocket(WsOptions { half_close: true, ..options(Role::Client) }), Peer::bytes());
    stdio.ends();
    let mut running = run_ws(stdio.socket(), ws, 0);
    assert_eq!(wire.receive().await.0, 0x88);
    quiet().await;
    wire.send(0x89, b"?").await;
    assert_eq!(wire.receive().await, (0x8a, b"?".to_vec()));
    wire.send(0x88, b"").await;
    running.ended_well_at().await;
    // The idle writer of a low-level socket has nothing to send but pongs.
    let ((mut wire, ws), stdio) =
        (websocket(WsOptions { no_close_frame: true, role: Role::Client, ..Default::default() }), Peer::bytes());
    let stop = Stop::new();
    let only_reverse = ExchangeOptions { unidirectional_reverse: true, ..ExchangeOptions::default() };
    let mut running = run_this(ExchangePackets::new(stdio.socket(), ws, only_reverse, stop.clone()), stop);
    for body in ["1", "2"] {
        quiet().await;
        wire.send(0x89, body.as_bytes()).await;
        assert_eq!(wire.receive().await, (0x8a, body.as_bytes().to_vec()));
    }
    wire.send(0x88, b"").await;
    running.ended_well_at().await;
}

//= 6455-7.1.1-2 test
#[tokio::test(start_paused = true)]
async fn a_copy_waits_for_an_answer_to_close_but_not_for_ever() {
    async fn ends(options: WsOptions, says_at: &[u64], answers_at: Option<u64>) -> Option<u64> {
        let (mut wire, mut ws) = websocket(options);
        let (typed, printed) = (Peer::bytes(), Peer::new());
        let start = Instant::now();
        let copy = CopyPackets::new(ws.read.take().unwrap(), printed.socket().write.unwrap(), usize::MAX);
        let mut back = tokio::spawn(copy);
        let copy = CopyPackets::new(typed.socket().read.unwrap(), ws.write.take().unwrap(), usize::MAX);
        let there = tokio::spawn(copy);
        at(20_000, start).await;
        assert!(!back.is_finished(), "silence alone means nothing");
        typed.ends();
        assert_eq!(wire.receive().await, (0x88, b"\x03\xe8".to_vec()));
        there.await.unwrap().unwrap();
        for says in says_at {
            at(20_000 + says, start).await;
            wire.send(0x82, b"more").await;
        }
        if let Some(answers) = answers_at {
            at(20_000 + answers, start).await;
            wire.send(0x88, b"\x03\xe8").await;
        }
        timeout(Duration::from_secs(100_000), &mut back).await.ok()?.unwrap().unwrap();
        let ms = start.elapsed().as_millis() as u64 - 20_000;
        assert_eq!(printed.heard().iter().filter(|chunk| chunk.contains("more")).count(), says_at.len());
        assert_eq!(printed.heard().last().unwrap(), "shutdown");
        Some(ms)
    }
    for role in [Role::Client, Role::Server] {
        assert_eq!(ends(options(role), &[], Some(4000)).await, Some(4000));
        assert_eq!(ends(options(role), &[], None).await, Some(5000));
        assert_eq!(ends(options(role), &[4000, 8000], None).await, Some(13_000));
    }
    // One that keeps half-closes may be silent as long as it likes.
    let half = WsOptions { half_close: true, close_code: None, ..options(Role::Client) };
    let (mut wire, mut ws) = websocket(half);
    let copy = CopyPackets::new(ws.read.take().unwrap(), Peer::new().socket().write.unwrap(), usize::MAX);
    let mut back = tokio::spawn(copy);
    let mut write = ws.write.take().unwrap();
    std::future::poll_fn(|cx| write.poll_shutdown(cx)).await.unwrap();
    assert_eq!(wire.receive().await.0, 0x88);
    assert!(timeout(Duration::from_secs(100_000), &mut back).await.is_err());
}

#[tokio::test(start_paused = true)]
async fn a_relay_hands_close_on() {
    let ((mut client, left), (mut server, right)) =
        (websocket(options(Role::Server)), websocket(options(Role::Client)));
    let mut running = run_ws(left, right, 1000);
    server.send(0x88, b"\x0f\xa0why").await;
    assert_eq!(client.receive().await, (0x88, b"\x0f\xa0why".to_vec()));
    assert_eq!(server.receive().await, (0x88, b"\x0f\xa0".to_vec()));
    server.finish().await;
    at(700, running.start).await;
    client.send(0x88, b"\x0f\xa0").await;
    assert_eq!(running.ended_well_at().await, 700, "an answer is waited for");

    let ((mut client, left), (mut server, right)) =
        (websocket(options(Role::Server)), websocket(options(Role::Client)));
    let mut running = run_ws(left, right, 1000);
    client.send(0x88, b"\x03\xe9").await;
    assert_eq!(client.receive().await, (0x88, b"\x03\xe9".to_vec()));
    assert_eq!(server.receive().await, (0x88, b"\x03\xe9".to_vec()));
    assert_eq!(running.ended_well_at().await, 2000, "but not for ever");
}

/// Messages go out through a client, come back from a mirror behind a server, perhaps with a relay between both.
async fn echoed(schedule: Schedule, capacity: usize, relay: bool, queue: bool) {
    let part = Flags::TEXT | Flags::PARTIAL;
    let sent = [
        (b"text".to_vec(), Flags::TEXT),
        (vec![], Flags::NONE),
        (b"first half, ".to_vec(), part),
        (b"?".to_vec(), Flags::PING),
        (b"second half".to_vec(), Flags::TEXT),
        ((0..200).collect(), Flags::NONE),
        (vec![], Flags::EOF),
        (b"\x03\xe8bye".to_vec(), Flags::EOF),
    ];
    let half = relay || queue;
    let sent = if half { sent[..7].to_vec() } else { [&sent[..6], &sent[7..]].concat() };
    let recorder = Recorder::new();
    let ends = crate::socket::DatagramSocket {
        read: Some(schedule.datagram_read_half(chunk_source(sent.clone()))),
        write: Some(schedule.datagram_write_half(recorder.datagrams())),
        ..Default::default()
    };
    // Whoever says a code leaves at once; what a relay or a queue still carries back then is for nobody.
    let ws = |role, stream| ws_wrap(WsOptions { half_close: half, ..options(role) }, schedule.stream(stream));
    let start = Instant::now();
    let stop = Stop::new();
    let run = |left, right, max| {
        let options = ExchangeOptions { max_forward: max, ..on_error() };
        tokio::spawn(ExchangePackets::new(left, right, options, stop.clone()))
    };
    let (client, mut server, _) = pair(capacity);
    let mut tasks = vec![run(ends, ws(Role::Client, client), usize::MAX)];
    if relay {
        let (out, on, _) = pair(capacity);
        let input = std::mem::replace(&mut server, on);
        tasks.push(run(ws(Role::Server, input), ws(Role::Client, out), 7));
    }
    let mirror = mirror_datagram(MirrorDatagramOptions { max_buf_size: queue.then_some(20) });
    let mirror = if queue { schedule.datagram(mirror) } else { mirror };
    tasks.push(run(ws(Role::Server, server), mirror, usize::MAX));
    for (i, task) in tasks.into_iter().enumerate() {
        let case = format!("session {i} {schedule:?} capacity {capacity} relay {relay} queue {queue}");
        timeout(Duration::from_secs(1000), task).await.expect(&case).unwrap().expect(&case);
    }
    let case = format!("{schedule:?} capacity {capacity} relay {relay} queue {queue}");
    assert_eq!(start.elapsed(), Duration::ZERO, "waited for a timer: {case}");
    let data = |chunks: Vec<Chunk>| chunks.into_iter().filter(|c| !c.1.any(Flags::CONTROL)).collect::<Vec<_>>();
    assert_eq!(data(recorder.messages()), data(messages(&sent)), "{case}");
    assert!(recorder.is_shut());
    let end = recorder.chunks().pop().unwrap();
    assert!(end.1.any(Flags::EOF) && end.0.is_empty() == half, "{end:?} {case}");
}

#[test]
fn echoes_survive_however_everything_is_cut() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    for schedule in schedules() {
        for (capacity, relay, queue) in
            [(1, false, false), (30, true, true), (10_000, true, false), (10_000, false, true)]
        {
            runtime.block_on(echoed(schedule, capacity, relay, queue));
        }
    }
}
