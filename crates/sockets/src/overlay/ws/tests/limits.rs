//! What a peer may ask for: each limit at its border and one over, and hostile input in bounded memory.

use super::*;
use crate::overlay::ws::KeepaliveOptions;
use std::time::Duration;

const POLICY: &[u8] = b"\x03\xf0too many pings and pongs";

fn limited() -> WsOptions {
    WsOptions { max_control_rate: Some(100), ..complete(Role::Server) }
}

fn control(opcode: Opcode, n: usize) -> Vec<u8> {
    frame(Role::Server, opcode, true, b"").repeat(n)
}

/// Reads until nothing comes; the error that ended it, if one did.
fn drain(ws: &mut Fixture) -> Option<io::Error> {
    loop {
        match ws.try_next() {
            Ok(Some((_, flags))) if flags.any(Flags::EOF) => return None,
            Ok(Some(_)) => {}
            Ok(None) => return None,
            Err(e) => return Some(e),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_hundred_pings_and_pongs_in_a_second_are_answered_and_one_more_is_too_much() {
    for (pings, pongs, fits) in [(100, 0, true), (0, 100, true), (50, 50, true), (101, 0, false), (50, 51, false)] {
        let mut ws = Fixture::new(limited());
        ws.peer.send(&[control(Opcode::Pong, pongs), control(Opcode::Ping, pings)].concat());
        let error = drain(&mut ws);
        assert_eq!(error.is_none(), fits, "{pings} {pongs}");
        ws.flush();
        let mut sent = ws.frames(Role::Server);
        sent.retain(|(opcode, _)| *opcode != Opcode::Pong);
        if let Some(e) = error {
            assert_eq!(e.get_ref().unwrap().downcast_ref(), Some(&WsError::ControlRate(100)));
            assert_eq!(sent, [(Opcode::Close, POLICY.to_vec())]);
        } else {
            assert_eq!(sent, []);
        }
    }
    // As a rate: ten milliseconds make up for one.
    let mut ws = Fixture::new(limited());
    ws.peer.send(&control(Opcode::Ping, 100));
    assert!(drain(&mut ws).is_none());
    for _ in 0..500 {
        tokio::time::advance(Duration::from_millis(10)).await;
        ws.peer.send(&control(Opcode::Ping, 1));
        assert!(drain(&mut ws).is_none());
    }
    tokio::time::advance(Duration::from_millis(9)).await;
    ws.peer.send(&control(Opcode::Ping, 1));
    assert!(drain(&mut ws).is_some());
}

//= 6455-10.4-1 test
#[test]
fn lengths_of_frames_and_messages_can_be_limited() {
    let message = |lens: &[usize]| -> Vec<u8> {
        let last = lens.len() - 1;
        let opcode = |i| if i == 0 { Opcode::Binary } else { Opcode::Continuation };
        lens.iter().enumerate().flat_map(|(i, n)| frame(Role::Server, opcode(i), i == last, &vec![b'x'; *n])).collect()
    };
    let frames = WsOptions { max_frame: Some(1000), ..complete(Role::Server) };
    let messages = WsOptions { max_message: Some(1000), ..complete(Role::Server) };
    let cases: [(WsOptions, &[usize], Option<Error>); 6] = [
        (frames, &[1000, 1000, 1000], None),
        (WsOptions { max_frame: Some(1000), ..complete(Role::Server) }, &[1000, 1001], Some(Error::FrameTooLong)),
        (messages, &[1000], None),
        (WsOptions { max_message: Some(1000), ..complete(Role::Server) }, &[600, 400], None),
        (WsOptions { max_message: Some(1000), ..complete(Role::Server) }, &[1001], Some(Error::MessageTooLong)),
        (WsOptions { max_message: Some(1000), ..complete(Role::Server) }, &[600, 401], Some(Error::MessageTooLong)),
    ];
    for (options, lens, expected) in cases {
        let mut ws = Fixture::new(options);
        // Twice: a limit is one of each message.
        ws.peer.send(&message(lens).repeat(2));
        let error = drain(&mut ws);
        assert_eq!(error.as_ref().map(broken), expected, "{lens:?}");
        ws.flush();
        let close = expected.map(|_| (Opcode::Close, b"\x03\xf1".to_vec()));
        assert_eq!(ws.frames(Role::Server), close.into_iter().collect::<Vec<_>>());
    }
}

#[test]
fn the_longest_frame_there_is_takes_no_memory() {
    let mut ws = Fixture::new(complete(Role::Server));
    ws.peer.send(&[&[0x82, 0xff, 0x7f][..], &[0xff; 7], &[0; 4]].concat());
    assert_eq!(ws.next(), None);
    for _ in 0..100 {
        ws.peer.send(&[7; 1000]);
        assert_eq!(ws.next(), Some((vec![7; 1000], Flags::PARTIAL)));
    }
    let mut over = Fixture::new(complete(Role::Server));
    over.peer.send(&[&[0x82, 0xff, 0x80][..], &[0; 7], &[0; 4]].concat());
    assert_eq!(broken(&over.try_next().unwrap_err()), Error::LengthTooLarge);
}

#[test]
fn a_million_fragments_of_one_byte_are_handed_on_one_by_one() {
    let mut ws = Fixture::new(complete(Role::Server));
    let fragment = frame(Role::Server, Opcode::Continuation, false, b"x");
    ws.peer.send(&frame(Role::Server, Opcode::Text, false, b"x"));
    let mut count = 0;
    for _ in 0..1000 {
        ws.peer.send(&fragment.repeat(1000));
        while let Some((bytes, flags)) = ws.next() {
            assert_eq!((&bytes[..], flags), (&b"x"[..], Flags::TEXT | Flags::PARTIAL));
            count += 1;
        }
    }
    assert_eq!(count, 1_000_001);
}

#[test]
fn a_connection_without_keepalive_has_no_timer() {
    // Outside of a runtime: anything that asks for time would say so.
    let none = Some(Duration::ZERO);
    for keepalive in [
        KeepaliveOptions::default(),
        KeepaliveOptions { ping_interval: none, ping_timeout: none, ..KeepaliveOptions::default() },
    ] {
        let mut ws = Fixture::new(WsOptions { keepalive, ..complete(Role::Server) });
        assert_eq!(ws.next(), None);
        assert_eq!(ws.frames(Role::Server), []);
    }
}
