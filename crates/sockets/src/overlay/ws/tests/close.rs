//! How connections end: Close in both directions, ends of the stream, shutdown.

use super::*;

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

//= 6455-7.4-1 test
//= 6455-7.1.2-1 test
#[test]
fn the_code_and_the_reason_of_our_own_end_can_be_chosen() {
    for role in ROLES {
        let options = || WsOptions { close_code: Some(4321), close_reason: Some("later".into()), ..complete(role) };
        let mut ws = Fixture::new(options());
        ws.shutdown();
        assert_eq!(ws.frames(role), [(Opcode::Close, b"\x10\xe1later".to_vec())]);
        ws.peer.send(&frame(role, Opcode::Close, true, b"\x10\xe1"));
        assert!(ws.next().is_some());
        assert_eq!(ws.info.ending.get(), Some(&Ending::Answered), "whose code is no fault of the peer");
        // Not those of an answer, and not those that somebody else has chosen.
        let mut ws = Fixture::new(options());
        ws.put(b"\x03\xe9", Flags::EOF);
        assert_eq!(ws.frames(role), []);
        ws.flush();
        assert_eq!(ws.frames(role), [(Opcode::Close, b"\x03\xe9".to_vec())]);
        let mut ws = Fixture::new(options());
        ws.peer.send(&frame(role, Opcode::Close, true, b"\x03\xe8"));
        assert!(ws.next().is_some());
        ws.shutdown();
        assert_eq!(ws.frames(role), [(Opcode::Close, b"\x03\xe8".to_vec())]);
    }
}

//= 6455-7.4.1-1 test
//= 6455-7.4.1-6 test
//= 6455-7.1.2-1 test
#[test]
fn only_valid_close_bodies_leave_a_complete_websocket() {
    let long = [b"\x03\xe8".to_vec(), "é".repeat(80).into_bytes()].concat();
    let cut = [b"\x03\xe8".to_vec(), "é".repeat(61).into_bytes()].concat();
    let cases: [(&[u8], &[u8]); 8] = [
        (b"", b"\x03\xe8"),
        (b"\x03\xf2for clients", b""),
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

//= 6455-5.1-4 test
//= 6455-5.1-7 test
//= 6455-5.5.1-5 test
//= 6455-5.5.1-15 test
//= 6455-6.1-1 test
//= 6455-6.1-7 test
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
        assert_eq!(ws.frames(role), [(Opcode::Pong, b"!".to_vec())], "the ping came first");
        ws.flush();
        ws.shutdown();
        assert_eq!(ws.peer.received(), []);
        // Both have said Close: a server ends the connection, a client waits for that.
        assert_eq!(ws.peer.wire().shut, role == Role::Server);
        assert_eq!(ws.is_closed(), role == Role::Server);
        ws.peer.end();
        assert!(ws.is_closed());
        ws.shutdown();
        assert!(ws.peer.wire().shut);
    }
}

//= 6455-5.5.1-8 test
//= 6455-5.5.1-7 test
//= 6455-7.1.5-1 test
//= 6455-7.1.6-1 test
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
            assert_eq!(ws.peer.wire().shut, role == Role::Server);
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
        assert_eq!(ws.peer.wire().shut, role == Role::Server);
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

//= 6455-7.1.4-1 test
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

//= 6455-6.1-2 test
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
        assert!(ws.poll_next(usize::MAX).is_pending(), "the pong would come first");
        assert!(ws.poll_next(usize::MAX).is_ready());
        if !drop_writer {
            ws.flush();
            ws.shutdown();
            assert!(ws.peer.wire().shut);
        }
        assert_eq!(ws.peer.received().len(), 10_000);
    }
}
