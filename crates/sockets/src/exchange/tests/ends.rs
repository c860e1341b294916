//! Half-close, Close, linger, exit on EOF, drain.

use super::*;
use crate::{
    datagram::Flags,
    info::{Ending, SocketInfo},
};

fn half_close() -> SocketInfo {
    SocketInfo { half_close: true, ..SocketInfo::default() }
}

fn run_with(left: (&Peer, SocketInfo), right: (&Peer, SocketInfo), options: ExchangeOptions) -> Running {
    let stop = Stop::new();
    let (left, right) = (left.0.socket_with(left.1), right.0.socket_with(right.1));
    run_this(ExchangePackets::new(left, right, options, stop.clone()), stop)
}

#[tokio::test(start_paused = true)]
async fn half_close_lets_the_other_direction_go_on() {
    let (left, right) = (Peer::new(), Peer::new());
    left.ends();
    let mut running = run(&left, &right, ExchangeOptions::default());
    at(50_000, running.start).await;
    assert_eq!((left.heard(), right.heard()), (vec![], list(&["EOF", "shutdown"])));
    right.text("late");
    right.ends();
    assert_eq!(running.ended_well_at().await, 50_000);
    assert_eq!(left.heard(), ["late", "EOF", "shutdown"]);
}

//= 6455-5.5.1-10 test
#[tokio::test(start_paused = true)]
async fn a_peer_that_leaves_ends_the_other_direction_at_once() {
    let (left, right) = (Peer::new(), Peer::new());
    left.text("bye");
    left.leaves(1000);
    right.text("too late");
    left.stall(true);
    let mut running = run(&left, &right, ExchangeOptions::default());
    quiet().await;
    assert_eq!(right.heard(), ["bye", "EOF 03e8", "shutdown"]);
    right.text("for nobody");
    left.stall(false); // what it was taking is finished, so that an answer to Close is not put into it
    running.ended_well_at().await;
    assert_eq!(left.heard(), ["too late", "shutdown"]);
}

#[tokio::test(start_paused = true)]
async fn waits_two_seconds_for_somebody_who_left_but_for_as_long_as_needed_for_the_other() {
    let (left, right) = (Peer::new(), Peer::new());
    left.stall(true);
    right.stall(true);
    left.leaves(1000);
    let mut running = run(&left, &right, ExchangeOptions::default());
    at(60_000, running.start).await;
    right.stall(false);
    assert_eq!(running.ended_well_at().await, 60_000);
    assert_eq!((left.heard(), right.heard()), (vec![], list(&["EOF 03e8", "shutdown"])));
    let (left, right) = (Peer::new(), Peer::new());
    left.stall(true);
    left.leaves(1000);
    assert_eq!(run(&left, &right, ExchangeOptions::default()).ended_well_at().await, 2000);
    // Errors of these last writes are nobody's fault.
    let (left, right) = (Peer::new(), Peer::new());
    left.fails_writing(io::ErrorKind::BrokenPipe);
    left.leaves(1000);
    assert_eq!(run(&left, &right, on_error()).ended_well_at().await, 0);
    // A mirrored socket waits for itself.
    let peer = Peer::new();
    peer.stall(true);
    peer.leaves(1000);
    let stop = Stop::new();
    let exchange = ExchangePackets::mirrored(peer.socket(), on_error(), stop.clone());
    assert_eq!(run_this(exchange, stop).ended_well_at().await, 2000);
}

#[tokio::test(start_paused = true)]
async fn somebody_who_answers_is_read_until_it_has_taken_the_last_words_of_a_peer_that_left() {
    use crate::endpoint::mirror_datagram::{MirrorDatagramOptions, mirror_datagram};
    // The mirror takes no more than a few messages before it is read, as a service does whose answers pile up.
    for (stalled, messages, end) in [(false, 100, 0), (true, 3, 2000)] {
        let peer = Peer::new();
        peer.stall(stalled);
        (0..messages).for_each(|_| peer.text("twenty bytes of text"));
        peer.leaves(1000);
        let mut mirror = mirror_datagram(MirrorDatagramOptions { max_buf_size: Some(20) });
        mirror.hangup = Some(crate::hangup::Hangup::new(std::future::pending()));
        let stop = Stop::new();
        let exchange = ExchangePackets::new(peer.socket(), mirror, on_error(), stop.clone());
        let ended = run_this(exchange, stop).ended_well_at().await;
        assert_eq!(ended, end, "{stalled}");
    }
}

//= 6455-7.1.7-8 test
//= 6455-7.2.1-3 test
//= 6455-7.3-2 test
#[tokio::test(start_paused = true)]
async fn our_own_end_is_held_back_while_the_peer_talks() {
    let (stdio, ws) = (Peer::bytes(), Peer::new());
    stdio.text("question");
    stdio.ends();
    let mut running = run(&stdio, &ws, linger(1000));
    at(800, running.start).await;
    ws.text("answer");
    at(1700, running.start).await;
    assert_eq!(ws.heard(), ["question"]);
    ws.text("more");
    // Silent for a second: Close goes out. Silent for five more: nobody will answer it.
    assert_eq!(running.ended_well_at().await, 1700 + 1000 + 5000);
    assert_eq!(stdio.heard(), ["answer", "more", "EOF", "shutdown"]);
    assert_eq!(ws.heard(), ["question", "EOF", "shutdown"]);
    assert_eq!(ws.heard_at("EOF"), Some(2700));
}

#[tokio::test(start_paused = true)]
async fn pings_and_pongs_are_silence() {
    let (stdio, ws) = (Peer::bytes(), Peer::new());
    stdio.ends();
    let mut running = run(&stdio, &ws, linger(1000));
    at(900, running.start).await;
    ws.says("", Flags::PONG);
    running.ended_well_at().await;
    assert_eq!(ws.heard_at("EOF"), Some(1000));
}

#[tokio::test(start_paused = true)]
async fn the_answer_to_our_close_ends_the_session() {
    let (stdio, ws) = (Peer::bytes(), Peer::new());
    stdio.ends();
    let mut running = run(&stdio, &ws, linger(1000));
    at(1200, running.start).await;
    assert_eq!(ws.heard(), ["EOF", "shutdown"]);
    ws.text("last words");
    ws.leaves(1000);
    assert_eq!(running.ended_well_at().await, 1200);
    assert_eq!(stdio.heard(), ["last words", "EOF 03e8", "shutdown"]);
}

#[tokio::test(start_paused = true)]
async fn a_reset_after_our_close_is_an_end_and_before_it_an_error() {
    for (ms, well) in [(500, false), (1200, true)] {
        let (stdio, ws) = (Peer::bytes(), Peer::new());
        stdio.ends();
        let mut running = run(&stdio, &ws, ExchangeOptions { end_on_error: true, ..linger(1000) });
        at(ms, running.start).await;
        ws.text("last words");
        ws.fails(io::ErrorKind::ConnectionReset);
        let (result, end) = running.ended().await;
        assert_eq!((result.is_ok(), end), (well, ms));
        let heard: &[&str] = if well { &["last words", "EOF", "shutdown"] } else { &["last words", "shutdown"] };
        assert_eq!(stdio.heard(), heard);
    }
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_leaves_while_our_end_is_held_back_ends_the_session() {
    let (stdio, ws) = (Peer::bytes(), Peer::new());
    stdio.ends();
    let mut running = run(&stdio, &ws, linger(1000));
    at(300, running.start).await;
    ws.leaves(1000);
    assert_eq!(running.ended_well_at().await, 300);
    assert_eq!(stdio.heard(), ["EOF 03e8", "shutdown"]);
    assert_eq!(ws.heard(), ["shutdown"], "which sends the answer to Close");
}

#[tokio::test(start_paused = true)]
async fn a_held_end_goes_out_when_the_other_side_ends() {
    let (stdio, ws) = (Peer::bytes(), Peer::new());
    stdio.ends();
    let mut running = run(&stdio, &ws, ExchangeOptions { linger: Some(Duration::MAX), ..Default::default() });
    at(1_000_000, running.start).await;
    assert_eq!(ws.heard(), [""; 0]);
    ws.ends();
    assert_eq!(running.ended_well_at().await, 1_000_000);
    assert_eq!((stdio.heard(), ws.heard()), (list(&["EOF", "shutdown"]), list(&["EOF", "shutdown"])));
}

#[tokio::test(start_paused = true)]
async fn silence_counts_from_when_the_end_arrived_and_not_while_our_sink_is_slow() {
    let (stdio, ws) = (Peer::bytes(), Peer::new());
    ws.stall(true);
    stdio.text("long");
    stdio.ends();
    let mut running = run(&stdio, &ws, linger(0));
    at(60_000, running.start).await;
    ws.stall(false);
    at(64_000, running.start).await;
    stdio.stall(true);
    ws.text("answer");
    at(100_000, running.start).await;
    stdio.stall(false);
    assert_eq!(running.ended_well_at().await, 105_000);
    assert_eq!(stdio.heard(), ["answer", "EOF", "shutdown"]);
}

#[tokio::test(start_paused = true)]
async fn waiting_for_a_slow_sink_costs_no_wake_ups() {
    use std::future::{Future, poll_fn};
    let (ws, tcp) = (Peer::new(), Peer::bytes());
    tcp.stall(true);
    ws.ends();
    let mut exchange = Box::pin(ExchangePackets::new(ws.socket(), tcp.socket(), linger(1), Stop::new()));
    let mut polls = 0;
    let counted = poll_fn(|cx| {
        polls += 1;
        exchange.as_mut().poll(cx)
    });
    let hour = Duration::from_secs(3600);
    timeout(hour, counted).await.unwrap_err();
    assert!(polls < 10, "{polls} polls");
    tcp.stall(false);
    timeout(hour, exchange).await.unwrap().unwrap();
    assert_eq!(tcp.heard(), ["EOF", "shutdown"]);
}

#[tokio::test(start_paused = true)]
async fn without_linger_or_with_real_half_close_an_end_goes_on_at_once_and_nothing_bounds_the_wait() {
    for (info, options) in [(half_close(), linger(1000)), (SocketInfo::default(), ExchangeOptions::default())] {
        let (stdio, ws) = (Peer::bytes(), Peer::new());
        stdio.ends();
        let mut running = run_with((&stdio, SocketInfo::default()), (&ws, info), options);
        quiet().await;
        assert_eq!(ws.heard(), ["EOF", "shutdown"]);
        assert!(running.is_running().await);
        ws.ends();
        running.ended_well_at().await;
    }
}

#[tokio::test(start_paused = true)]
async fn close_without_a_code_may_be_a_half_close() {
    let (ws, tcp) = (Peer::new(), Peer::bytes());
    ws.ends();
    let mut running = run(&ws, &tcp, linger(1000));
    quiet().await;
    assert_eq!((ws.heard(), tcp.heard()), (vec![], list(&["EOF", "shutdown"])));
    at(900, running.start).await;
    tcp.text("late answer");
    assert_eq!(running.ended_well_at().await, 1900);
    assert_eq!(ws.heard(), ["late answer", "EOF", "shutdown"]);
    // Both ends agreed on real half-close: no bound.
    let (ws, tcp) = (Peer::new(), Peer::bytes());
    ws.ends();
    let mut running = run_with((&ws, half_close()), (&tcp, SocketInfo::default()), linger(1000));
    assert!(running.is_running().await);
    assert_eq!(ws.heard(), [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn a_close_between_websockets_is_not_held_back() {
    let (left, right) = (Peer::new(), Peer::new());
    left.ends();
    let info = SocketInfo::default();
    info.ending.set(Ending::Close { code: None, reason: "".into() }).unwrap();
    let mut running = run_with((&left, info), (&right, SocketInfo::default()), linger(1000));
    quiet().await;
    assert_eq!(right.heard(), ["EOF", "shutdown"]);
    right.leaves(1005);
    running.ended_well_at().await;
    assert_eq!(left.heard_at("EOF 03ed"), Some(1));
}

#[tokio::test(start_paused = true)]
async fn exit_on_eof_ends_both() {
    let options = || ExchangeOptions { exit_on_eof: true, ..linger(1000) };
    let (left, right) = (Peer::bytes(), Peer::new());
    left.ends();
    assert_eq!(run(&left, &right, options()).ended_well_at().await, 0);
    assert_eq!((left.heard(), right.heard()), (list(&["EOF", "shutdown"]), list(&["EOF", "shutdown"])));
    // A sink that takes nothing any more gets two seconds; what it was taking comes before the end.
    for (unstall, ends) in [(None, 2000), (Some(500), 500)] {
        let (left, right) = (Peer::new(), Peer::new());
        left.stall(true);
        right.text("taking");
        left.ends();
        let mut running = run(&left, &right, options());
        if let Some(ms) = unstall {
            at(ms, running.start).await;
            left.stall(false);
        }
        assert_eq!(running.ended_well_at().await, ends);
        let heard: &[&str] = if unstall.is_some() { &["taking", "EOF", "shutdown"] } else { &[] };
        assert_eq!(left.heard(), heard);
    }
    // The end of a disabled direction does not count.
    let (left, right) = (Peer::new(), Peer::new());
    let mut running = run(&left, &right, ExchangeOptions { unidirectional: true, ..options() });
    assert!(running.is_running().await);
}

//= 6455-7.3-1 test
//= 6455-7.3-3 test
#[tokio::test(start_paused = true)]
async fn drain_says_good_bye_and_waits_for_answers() {
    let (stdio, ws) = (Peer::bytes(), Peer::new());
    let mut running = run(&stdio, &ws, linger(1000));
    quiet().await;
    running.stop.drain();
    quiet().await;
    assert_eq!((stdio.heard(), ws.heard()), (vec![], list(&["EOF 03e9", "shutdown"])));
    stdio.text("not read");
    ws.text("was on its way");
    at(3000, running.start).await;
    ws.leaves(1001);
    assert_eq!(running.ended_well_at().await, 3000);
    assert_eq!(stdio.heard(), ["was on its way", "EOF 03e9", "shutdown"]);
    assert_eq!((stdio.taken(), ws.taken()), (0, 2));
}

#[tokio::test(start_paused = true)]
async fn drain_waits_ten_seconds_at_most() {
    let (left, right) = (Peer::new(), Peer::new());
    left.stall(true);
    right.text("taking");
    let mut running = run(&left, &right, ExchangeOptions::default());
    quiet().await;
    running.stop.drain();
    assert_eq!(running.ended_well_at().await, 10_001);
    let peer = Peer::new();
    let stop = Stop::new();
    stop.drain();
    let exchange = ExchangePackets::mirrored(peer.socket(), ExchangeOptions::default(), stop.clone());
    let mut running = run_this(exchange, stop);
    quiet().await;
    peer.ends();
    assert_eq!(running.ended_well_at().await, 1);
    assert_eq!(peer.heard(), ["EOF 03e9", "shutdown"]);
}

#[tokio::test(start_paused = true)]
async fn drain_ends_byte_streams_at_once_and_a_held_end_too() {
    let (left, right) = (Peer::bytes(), Peer::bytes());
    let mut running = run(&left, &right, ExchangeOptions::default());
    quiet().await;
    running.stop.drain();
    assert_eq!(running.ended_well_at().await, 1);
    let (stdio, ws) = (Peer::bytes(), Peer::new());
    stdio.ends();
    let mut running = run(&stdio, &ws, ExchangeOptions { linger: Some(Duration::MAX), ..Default::default() });
    quiet().await;
    running.stop.drain();
    quiet().await;
    assert_eq!(ws.heard(), ["EOF 03e9", "shutdown"]);
    ws.ends();
    assert_eq!(running.ended_well_at().await, 2);
}
