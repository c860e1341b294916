//! Errors and hangups. Resets need kernel sockets: see tests/resets.rs.

use super::*;
use crate::{hangup::Hangup, socket::DatagramSocket};
use std::future::Future as _;

#[tokio::test(start_paused = true)]
async fn by_default_an_error_stops_its_direction_only_and_is_the_result() {
    let (left, right) = (Peer::new(), Peer::new());
    left.text("before");
    left.fails(io::ErrorKind::InvalidData);
    let mut running = run(&left, &right, ExchangeOptions::default());
    at(1000, running.start).await;
    right.text("still there");
    quiet().await;
    assert_eq!(left.heard(), ["still there"]);
    right.ends();
    let (result, ms) = running.ended().await;
    assert_eq!(what(&result), (Direction::Forward, Part::Source, io::ErrorKind::InvalidData));
    assert_eq!((ms, right.heard()), (1001, vec!["before".to_owned()]), "no EOF for the sink");

    let (left, right) = (Peer::new(), Peer::new());
    left.fails_writing(io::ErrorKind::StorageFull);
    right.text("does not fit");
    left.text("goes on");
    let mut running = run(&left, &right, ExchangeOptions::default());
    quiet().await;
    left.ends();
    let (result, _) = running.ended().await;
    assert_eq!(what(&result), (Direction::Reverse, Part::Sink, io::ErrorKind::StorageFull));
    assert_eq!(right.heard(), ["goes on", "EOF", "shutdown"]);
}

#[tokio::test(start_paused = true)]
async fn an_error_of_flushing_is_one_of_the_sink() {
    let (left, right) = (Peer::new(), Peer::new());
    right.fails_flushing(io::ErrorKind::StorageFull);
    let (result, _) = run(&left, &right, on_error()).ended().await;
    assert_eq!(what(&result), (Direction::Forward, Part::Sink, io::ErrorKind::StorageFull));
    assert_eq!(left.heard(), ["EOF 03f3", "shutdown"]);
}

#[tokio::test(start_paused = true)]
async fn a_failed_sink_is_told_to_the_source() {
    for (kind, body) in [(io::ErrorKind::StorageFull, "EOF 03f3"), (io::ErrorKind::BrokenPipe, "EOF 03e9")] {
        let (stdio, ws) = (Peer::bytes(), Peer::new());
        stdio.fails_writing(kind);
        ws.text("too much");
        let (result, ms) = run(&stdio, &ws, ExchangeOptions { end_on_error: true, ..linger(1000) }).ended().await;
        // The peer does not answer.
        assert_eq!((what(&result), ms), ((Direction::Reverse, Part::Sink, kind), 2_000));
        assert_eq!(ws.heard(), [body, "shutdown"]);
    }
}

#[tokio::test(start_paused = true)]
async fn an_error_can_be_told_while_the_peer_has_time_for_its_good_bye() {
    let (stdio, ws) = (Peer::bytes(), Peer::new());
    stdio.fails_writing(io::ErrorKind::StorageFull);
    ws.text("too much");
    let (stop, start) = (Stop::new(), Instant::now());
    let mut exchange = ExchangePackets::new(stdio.socket(), ws.socket(), on_error(), stop);
    let mut told = vec![];
    let result = std::future::poll_fn(|cx| {
        let over = std::pin::Pin::new(&mut exchange).poll(cx);
        told.extend(exchange.take_failure().map(|e| (e.error.kind(), start.elapsed().as_millis())));
        over
    });
    result.await.unwrap();
    assert_eq!((told, start.elapsed().as_millis()), (vec![(io::ErrorKind::StorageFull, 0)], 2000));
}

#[tokio::test(start_paused = true)]
async fn a_sink_that_refuses_one_message_can_still_say_good_bye() {
    let (left, right) = (Peer::new(), Peer::new());
    right.refuses_once();
    left.text("not what it should be");
    let (result, ms) = run(&left, &right, on_error()).ended().await;
    assert_eq!((what(&result), ms), ((Direction::Forward, Part::Sink, io::ErrorKind::InvalidInput), 0));
    assert_eq!((left.heard(), right.heard()), (list(&["EOF 03f3", "shutdown"]), list(&["EOF 03f3", "shutdown"])));
}

#[tokio::test(start_paused = true)]
async fn a_failed_source_is_an_internal_error_for_the_sink_and_its_own_writer_is_flushed() {
    let (left, right) = (Peer::new(), Peer::new());
    left.text("before");
    left.fails(io::ErrorKind::InvalidData);
    let (result, ms) = run(&left, &right, on_error()).ended().await;
    assert_eq!((what(&result), ms), ((Direction::Forward, Part::Source, io::ErrorKind::InvalidData), 0));
    assert_eq!((right.heard(), left.heard()), (list(&["before", "EOF 03f3", "shutdown"]), vec!["shutdown".to_owned()]));
    let peer = Peer::new();
    peer.fails(io::ErrorKind::InvalidData);
    let stop = Stop::new();
    let exchange = ExchangePackets::mirrored(peer.socket(), on_error(), stop.clone());
    let (result, _) = run_this(exchange, stop).ended().await;
    assert_eq!(what(&result), (Direction::Forward, Part::Source, io::ErrorKind::InvalidData));
    assert_eq!(peer.heard(), ["shutdown"]);
}

#[tokio::test(start_paused = true)]
async fn after_an_error_nobody_is_waited_for_longer_than_two_seconds() {
    let (left, right) = (Peer::new(), Peer::new());
    left.stall(true);
    right.stall(true);
    left.fails(io::ErrorKind::InvalidData);
    let (result, ms) = run(&left, &right, on_error()).ended().await;
    assert_eq!((what(&result).2, ms), (io::ErrorKind::InvalidData, 2000));
}

#[tokio::test(start_paused = true)]
async fn a_reset_without_a_kernel_socket_ends_the_session_behind_what_came_before() {
    let (left, right) = (Peer::new(), Peer::new());
    left.text("before");
    left.fails(io::ErrorKind::ConnectionReset);
    let (result, ms) = run(&left, &right, on_error()).ended().await;
    assert_eq!((what(&result).2, ms), (io::ErrorKind::ConnectionReset, 0));
    assert_eq!((left.heard(), right.heard()), (vec![], vec!["before".to_owned(), "shutdown".to_owned()]));
}

#[tokio::test(start_paused = true)]
async fn a_hangup_of_either_side_ends_the_session_at_once() {
    for side in 0..2 {
        let (left, right) = (Peer::new(), Peer::new());
        let (hang_up, hung_up) = tokio::sync::oneshot::channel::<()>();
        let mut hangup = [None, None];
        hangup[side] = Some(Hangup::new(async move { drop(hung_up.await) }));
        let [l, r] = hangup;
        let stop = Stop::new();
        let (l, r) = (DatagramSocket { hangup: l, ..left.socket() }, DatagramSocket { hangup: r, ..right.socket() });
        let mut running = run_this(ExchangePackets::new(l, r, linger(1000), stop.clone()), stop);
        left.text("a");
        quiet().await;
        drop(hang_up);
        assert_eq!(running.ended_well_at().await, 1);
        assert_eq!((left.heard(), right.heard()), (vec![], vec!["a".to_owned()]));
        assert_eq!((left.halves(), right.halves()), (0, 0));
    }
    // One that has happened already: nothing is moved.
    let (left, right) = (Peer::new(), Peer::new());
    left.text("a");
    let stop = Stop::new();
    let socket = DatagramSocket { hangup: Some(Hangup::now()), ..right.socket() };
    let exchange = ExchangePackets::new(left.socket(), socket, ExchangeOptions::default(), stop.clone());
    assert_eq!(run_this(exchange, stop).ended_well_at().await, 0);
    assert_eq!(right.heard(), [""; 0]);
}
