//! What a peer may not send, and what we may not.

use super::*;

//= 6455-5.1-3 test
//= 6455-5.1-6 test
//= 6455-10.7-2 test
//= 6455-10.7-3 test
//= 6455-7.1.7-5 test
//= 6455-7.1.7-7 test
//= 6455-5.1-2 test
//= 6455-5.1-5 test
#[test]
fn breaches_are_answered_by_close_and_end_the_input() {
    use Error::*;
    let long_ping = frame(Role::Server, Opcode::Ping, true, &[0; 126]);
    let cases: [(Vec<u8>, Error); 11] = [
        (vec![0xc2, 0x80], ReservedBits),
        (vec![0x83, 0x80], ReservedOpcode(3)),
        (vec![0x8b, 0x80], ReservedOpcode(11)),
        (frame(Role::Server, Opcode::Text, true, b"x").iter().map(|b| b & 0x7f).collect(), MaskMissing),
        (vec![0x09, 0x80], ControlFragmented),
        (long_ping, ControlTooLong),
        (frame(Role::Server, Opcode::Continuation, true, b""), UnexpectedContinuation),
        (
            [frame(Role::Server, Opcode::Ping, true, b""), frame(Role::Client, Opcode::Binary, true, b"")].concat(),
            MaskMissing,
        ),
        (vec![0x82, 0xff, 0x80, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4], LengthTooLarge),
        (vec![0x82, 0xfe, 0, 1, 1, 2, 3, 4], LengthNotMinimal),
        (frame(Role::Client, Opcode::Close, true, b""), MaskMissing),
    ];
    for (input, expected) in cases {
        for options in [server(), complete(Role::Server)] {
            let mut ws = Fixture::new(options);
            let before = frame(Role::Server, Opcode::Binary, true, b"good");
            ws.peer.send(&[before, input.clone(), frame(Role::Server, Opcode::Binary, true, b"behind")].concat());
            assert_eq!(ws.next(), Some((b"good".to_vec(), Flags::NONE)));
            assert_eq!(broken(&ws.try_next().unwrap_err()), expected);
            assert_eq!(ws.next(), Some((vec![], Flags::EOF)));
            ws.flush();
            ws.put(b"", Flags::EOF);
            ws.shutdown();
            let mut sent = ws.frames(Role::Server);
            sent.retain(|(opcode, _)| *opcode != Opcode::Pong);
            assert_eq!(sent, [(Opcode::Close, b"\x03\xea".to_vec())]);
        }
    }
    // A new message inside an unfinished one; a masked frame for a client.
    let mut ws = Fixture::new(server());
    ws.peer.send(&frame(Role::Server, Opcode::Binary, false, b"a").repeat(2));
    assert_eq!(ws.next(), Some((b"a".to_vec(), Flags::PARTIAL)));
    assert_eq!(broken(&ws.try_next().unwrap_err()), InterruptedMessage);
    let mut ws = Fixture::new(WsOptions::default());
    ws.peer.send(&frame(Role::Server, Opcode::Binary, true, b"a"));
    assert_eq!(broken(&ws.try_next().unwrap_err()), MaskPresent);
    ws.flush();
    assert_eq!(ws.frames(Role::Client), [(Opcode::Close, b"\x03\xea".to_vec())]);
}

#[test]
fn wrong_masks_can_be_allowed() {
    for role in ROLES {
        let mut ws = Fixture::new(WsOptions { role, ignore_masks: true, ..WsOptions::default() });
        for from in ROLES {
            ws.peer.send(&frame(from, Opcode::Text, true, b"hello"));
            assert_eq!(ws.next(), Some((b"hello".to_vec(), Flags::TEXT)));
        }
    }
}

//= 6455-5.5.1-3 test
#[test]
fn malformed_close_bodies_are_refused_by_a_complete_websocket() {
    let cases: [(&[u8], Error, &[u8]); 4] = [
        (b"\x03", Error::CloseBody, b"\x03\xea"),
        (b"\x03\xed", Error::CloseCode(1005), b"\x03\xea"),
        (b"\xff\xff", Error::CloseCode(65535), b"\x03\xea"),
        (b"\x03\xe8\xff", Error::CloseReasonUtf8, b"\x03\xef"),
    ];
    for (body, expected, answer) in cases {
        let mut ws = Fixture::new(complete(Role::Server));
        ws.peer.send(&frame(Role::Server, Opcode::Close, true, body));
        assert_eq!(broken(&ws.try_next().unwrap_err()), expected);
        ws.shutdown();
        assert_eq!(ws.frames(Role::Server), [(Opcode::Close, answer.to_vec())]);
        assert!(ws.peer.wire().shut);
    }
}
