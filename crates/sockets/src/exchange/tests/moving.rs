//! Order, batches, backpressure, directions that are off.

use super::*;
use crate::{
    datagram::Flags,
    endpoint::mirror_datagram::{MirrorDatagramOptions, mirror_datagram},
    exchange::CopyPackets,
    socket::DatagramSocket,
    testing::{
        chopper::schedules,
        collect::{Chunk, Recorder, chunk_source, messages},
        drive::drive,
    },
};
use std::{future::Future, pin::Pin, task::Poll};

#[tokio::test(start_paused = true)]
async fn moves_both_ways_in_order_with_flags_whatever_is_pending() {
    for (left, right) in [(Peer::new(), Peer::new()), (Peer::stuttering(), Peer::stuttering())] {
        for i in 0..200 {
            left.text(&format!("l{i}"));
            right.text(&format!("r{i}"));
        }
        left.ends();
        right.says(b"\x03\xe8", Flags::EOF);
        assert_eq!(run(&left, &right, ExchangeOptions::default()).ended_well_at().await, 0);
        let mut heard: Vec<_> = (0..200).map(|i| format!("l{i}")).collect();
        heard.extend(["EOF".to_owned(), "shutdown".to_owned()]);
        assert_eq!(right.heard(), heard);
        heard = (0..200).map(|i| format!("r{i}")).collect();
        heard.extend(["EOF 03e8".to_owned(), "shutdown".to_owned()]);
        assert_eq!(left.heard(), heard);
        assert_eq!((left.halves(), right.halves()), (0, 0), "sockets are dropped at the end");
    }
}

#[tokio::test(start_paused = true)]
async fn flushes_when_both_wait_and_after_64_chunks_or_64_kib() {
    let (left, right) = (Peer::new(), Peer::new());
    for text in ["a", "b", "c"] {
        left.text(text);
    }
    let mut running = run(&left, &right, ExchangeOptions::default());
    quiet().await;
    assert_eq!(right.heard_with_flushes(), ["a", "b", "c", "|"]);
    left.text("d");
    quiet().await;
    assert_eq!(right.heard_with_flushes(), ["a", "b", "c", "|", "d", "|"]);
    for _ in 0..130 {
        right.text("x");
    }
    quiet().await;
    let flushed: Vec<_> = left
        .heard_with_flushes()
        .iter()
        .scan(0, |n, s| {
            *n = if s == "|" { 0 } else { *n + 1 };
            Some(*n)
        })
        .collect();
    assert_eq!((flushed[64], flushed[129], flushed.len()), (0, 0, 133));
    for _ in 0..5 {
        left.text(&"y".repeat(30_000));
    }
    quiet().await;
    let lengths: Vec<_> = right.heard_with_flushes().iter().skip(6).map(String::len).collect();
    assert_eq!(lengths, [30_000, 30_000, 30_000, 1, 30_000, 30_000, 1]);
    assert!(running.is_running().await);
}

#[tokio::test(start_paused = true)]
async fn flushes_even_when_nothing_moved() {
    let (left, right) = (Peer::new(), Peer::new());
    let _running = run(&left, &right, ExchangeOptions::default());
    quiet().await;
    assert!(left.flushes() > 0 && right.flushes() > 0); // a pong may be owed
    assert_eq!(right.heard_with_flushes(), [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn a_stalled_sink_stops_its_source_and_nothing_else() {
    let (left, right) = (Peer::new(), Peer::new());
    right.stall(true);
    for i in 0..1000 {
        left.text(&i.to_string());
        right.text(&i.to_string());
    }
    let mut running = run(&left, &right, ExchangeOptions::default());
    quiet().await;
    assert_eq!((left.taken(), left.heard().len()), (1, 1000));
    right.stall(false);
    left.ends();
    right.ends();
    running.ended_well_at().await;
    assert_eq!(right.heard().len(), 1002);
}

#[tokio::test(start_paused = true)]
async fn asks_for_chunks_of_the_size_wanted_and_for_parts_where_borders_do_not_matter() {
    let (left, right) = (Peer::new(), Peer::bytes());
    left.text("abcdefg");
    right.text("abcdefg");
    let options = ExchangeOptions { max_forward: 3, max_reverse: 0, ..ExchangeOptions::default() };
    let _running = run(&left, &right, options);
    quiet().await;
    assert_eq!(right.heard(), ["abc", "def", "g"]);
    assert_eq!(left.heard().concat(), "abcdefg");
    assert_eq!((left.longest(), right.longest()), (3, 1));
    assert!(left.gives_parts() && !right.gives_parts());
}

#[tokio::test]
async fn other_tasks_get_their_turn() {
    let (left, right) = (Peer::new(), Peer::new());
    for _ in 0..10_000 {
        left.text("x");
    }
    let options = ExchangeOptions::default();
    let mut exchange = ExchangePackets::new(left.socket(), right.socket(), options, Stop::new());
    std::future::poll_fn(|cx| {
        assert!(Pin::new(&mut exchange).poll(cx).is_pending());
        Poll::Ready(())
    })
    .await;
    assert_eq!((left.taken(), right.heard().len()), (2048, 2048));
}

#[tokio::test(start_paused = true)]
async fn dropping_it_midway_drops_both_sockets_without_a_word() {
    let (left, right) = (Peer::new(), Peer::new());
    left.text("hi");
    right.stall(true);
    let running = run(&left, &right, linger(1000));
    quiet().await;
    running.task.abort();
    quiet().await;
    assert_eq!((left.halves(), right.halves()), (0, 0));
    assert_eq!((left.heard(), right.heard()), (vec![], vec![]));
}

#[tokio::test(start_paused = true)]
async fn unidirectional_shuts_the_idle_writer_down_at_once_and_concurrently() {
    for reverse in [false, true] {
        let (left, right) = (Peer::new(), Peer::new());
        let (from, to) = if reverse { (&right, &left) } else { (&left, &right) };
        let options =
            ExchangeOptions { unidirectional: !reverse, unidirectional_reverse: reverse, ..Default::default() };
        from.stall(true); // shutting down takes its time
        from.text("a");
        to.text("never read");
        let mut running = run(&left, &right, options);
        quiet().await;
        assert_eq!((to.heard(), from.heard()), (vec!["a".to_owned()], vec![]));
        assert_eq!(to.halves(), 1, "the reader is dropped");
        from.stall(false);
        from.text("b");
        quiet().await;
        assert_eq!((to.heard(), from.heard()), (vec!["a".to_owned(), "b".to_owned()], vec!["shutdown".to_owned()]));
        from.ends();
        running.ended_well_at().await;
        assert_eq!((to.heard(), to.taken()), (list(&["a", "b", "EOF", "shutdown"]), 0));
    }
}

#[tokio::test(start_paused = true)]
async fn late_drop_keeps_the_idle_writer_and_flushes_it() {
    let (left, right) = (Peer::new(), Peer::new());
    let options = ExchangeOptions { unidirectional: true, late_drop: true, ..linger(1000) };
    let mut running = run(&left, &right, options);
    quiet().await;
    left.text("a");
    quiet().await;
    assert_eq!((left.heard(), right.heard()), (vec![], vec!["a".to_owned()]));
    assert!(left.flushes() >= 2);
    left.ends();
    assert_eq!(running.ended_well_at().await, 2);
    assert_eq!((left.heard(), right.heard()), (vec!["shutdown".into()], list(&["a", "EOF", "shutdown"])));
}

#[tokio::test(start_paused = true)]
async fn nothing_is_copied_when_both_directions_are_off() {
    for late_drop in [false, true] {
        let (left, right) = (Peer::new(), Peer::new());
        left.text("a");
        right.text("b");
        let options =
            ExchangeOptions { unidirectional: true, unidirectional_reverse: true, late_drop, ..Default::default() };
        assert_eq!(run(&left, &right, options).ended_well_at().await, 0);
        assert_eq!((left.heard(), right.heard()), (vec!["shutdown".to_owned()], vec!["shutdown".to_owned()]));
    }
}

#[tokio::test(start_paused = true)]
async fn a_direction_with_a_missing_half_is_skipped() {
    let (left, right) = (Peer::new(), Peer::new());
    right.text("b");
    right.ends();
    let stop = Stop::new();
    let socket = DatagramSocket { read: None, ..left.socket() };
    let exchange = ExchangePackets::new(socket, right.socket(), ExchangeOptions::default(), stop.clone());
    assert_eq!(run_this(exchange, stop.clone()).ended_well_at().await, 0);
    assert_eq!((left.heard(), right.heard()), (list(&["b", "EOF", "shutdown"]), vec!["shutdown".into()]));
    let none = || DatagramSocket::default();
    let exchange = ExchangePackets::new(none(), none(), ExchangeOptions::default(), stop.clone());
    assert_eq!(run_this(exchange, stop).ended_well_at().await, 0);
}

#[tokio::test(start_paused = true)]
async fn a_mirrored_socket_hears_itself() {
    for one_way in [false, true] {
        let peer = Peer::new();
        peer.text("a");
        peer.says("pong", Flags::PONG);
        peer.says(b"\x03\xe8", Flags::EOF);
        let stop = Stop::new();
        let options = ExchangeOptions { unidirectional: one_way, ..linger(1000) };
        let exchange = ExchangePackets::mirrored(peer.socket(), options, stop.clone());
        assert_eq!(run_this(exchange, stop).ended_well_at().await, 0);
        let heard: &[&str] = if one_way { &["shutdown"] } else { &["a", "pong", "EOF 03e8", "shutdown"] };
        assert_eq!(peer.heard(), heard);
    }
}

#[tokio::test(start_paused = true)]
async fn a_queue_mirror_is_equal_to_a_mirrored_socket() {
    let peer = Peer::stuttering();
    for i in 0..300 {
        peer.text(&format!("{i}"));
    }
    peer.leaves(1000);
    let stop = Stop::new();
    // A hangup of its own makes it more than a bare mirror.
    let mut mirror = mirror_datagram(Default::default());
    mirror.hangup = Some(crate::hangup::Hangup::new(std::future::pending()));
    let exchange = ExchangePackets::new(peer.socket(), mirror, linger(1000), stop.clone());
    assert_eq!(run_this(exchange, stop).ended_well_at().await, 0);
    // What is on its way back when the peer leaves is of no use any more.
    let heard = peer.heard();
    assert_eq!(heard.last().map(String::as_str), Some("shutdown"));
    assert!(heard[..heard.len() - 1].iter().enumerate().all(|(i, s)| *s == i.to_string()));
}

#[tokio::test(start_paused = true)]
async fn copies_one_way() {
    let (left, right) = (Peer::stuttering(), Peer::stuttering());
    left.text("abcd");
    left.leaves(1001);
    let (from, to) = (left.socket().read.unwrap(), right.socket().write.unwrap());
    CopyPackets::new(from, to, 3).await.unwrap();
    assert_eq!(right.heard(), ["abc", "d", "EOF 03e9", "shutdown"]);
    left.fails(io::ErrorKind::InvalidData);
    let (from, to) = (left.socket().read.unwrap(), right.socket().write.unwrap());
    let result = CopyPackets::new(from, to, usize::MAX).await;
    assert_eq!(what(&result), (Direction::Forward, Part::Source, io::ErrorKind::InvalidData));
}

#[test]
fn messages_survive_however_their_halves_are_cut() {
    let sent: Vec<Chunk> = vec![
        (b"text".to_vec(), Flags::TEXT),
        (vec![], Flags::NONE),
        (b"first half, ".to_vec(), Flags::PARTIAL),
        (b"ping".to_vec(), Flags::PING),
        (b"second half".to_vec(), Flags::NONE),
        (vec![7; 200], Flags::NONE),
        (b"\x03\xe8bye".to_vec(), Flags::EOF),
    ];
    for schedule in schedules() {
        for queue in [false, true] {
            let recorder = Recorder::new();
            let socket = schedule.datagram(DatagramSocket {
                read: Some(chunk_source(sent.clone())),
                write: Some(recorder.datagrams()),
                ..DatagramSocket::default()
            });
            let options = ExchangeOptions { max_forward: 50, ..ExchangeOptions::default() };
            let exchange = if queue {
                let mirror = schedule.datagram(mirror_datagram(MirrorDatagramOptions { max_buf_size: Some(60) }));
                ExchangePackets::new(socket, mirror, options, Stop::new())
            } else {
                ExchangePackets::mirrored(socket, options, Stop::new())
            };
            drive(exchange).unwrap();
            assert_eq!(recorder.messages(), messages(&sent), "{schedule:?} queue {queue}");
            assert!(recorder.is_shut());
        }
    }
}

#[test]
fn a_bare_mirror_is_noticed_and_one_with_a_foreign_half_is_not() {
    use crate::endpoint::mirror_datagram::{MirrorDatagramOptions, mirror_datagram};
    let mirror = || mirror_datagram(MirrorDatagramOptions::default());
    assert!(super::super::is_bare_mirror(&mirror()));
    let mixed = crate::socket::DatagramSocket { write: mirror().write, ..mirror() };
    assert!(!super::super::is_bare_mirror(&mixed));
}
