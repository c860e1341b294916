//! permessage-deflate between reader and writer: frames on the wire, cuts, breaches, what is masked and what is not.

use super::*;
use crate::overlay::ws::deflate::{Agreed, DeflateOptions, Limits};

const HELLO: &[u8] = &[0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00];

fn agreed(context_takeover: bool) -> SocketInfo {
    let deflate = Agreed {
        server_no_context_takeover: !context_takeover,
        client_no_context_takeover: !context_takeover,
        server_max_window_bits: 15,
        client_max_window_bits: 15,
    };
    SocketInfo { deflate: Some(deflate), ..SocketInfo::default() }
}

fn eager(role: Role) -> WsOptions {
    let deflate = DeflateOptions { level: None, threshold: Some(1) };
    WsOptions { deflate, text_invalid: TextInvalid::Fail, ..complete(role) }
}

fn ws(role: Role) -> Fixture {
    Fixture::with_info(eager(role), agreed(true))
}

/// A frame from a peer of this role, with RSV1.
fn compressed(role: Role, opcode: Opcode, fin: bool, body: &[u8]) -> Vec<u8> {
    let mut bytes = frame(role, opcode, fin, body);
    bytes[0] |= 0x40;
    bytes
}

fn text(len: usize) -> Vec<u8> {
    let mut text = Vec::new();
    let mut n = 7u32;
    while text.len() < len {
        n = n.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        text.extend_from_slice(format!("{{\"naïve\": {}, \"é\": {}}} ", n >> 20, n >> 28).as_bytes());
    }
    text.truncate(len);
    while std::str::from_utf8(&text).is_err() {
        text.pop();
        text.push(b'!');
        let cut = text.iter().rposition(|b| *b < 0x80 && *b != b'!').unwrap();
        text[cut + 1..].fill(b'!');
    }
    text
}

//= 7692-6-1 test
//= 7692-6.1-1 test
//= 7692-6.1-2 test
//= 7692-6.1-3 test
//= 7692-6.1-4 test
//= 7692-6.1-6 test
#[test]
fn only_the_first_frame_of_what_is_compressed_says_so() {
    let mut ws = ws(Role::Server);
    ws.put(b"Hello", Flags::TEXT); // would not get smaller
    ws.put(&[b'x'; 100], Flags::TEXT);
    ws.put(&[b'x'; 100], Flags::PARTIAL);
    ws.put(b"body", Flags::PING);
    ws.put(&[b'x'; 100], Flags::NONE);
    ws.put(&[b'x'; 100], Flags::TEXT | Flags::PARTIAL);
    ws.put(b"", Flags::TEXT);
    ws.flush();
    let bytes = ws.peer.received();
    let mut firsts = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        firsts.push(bytes[at]);
        at += 2 + usize::from(bytes[at + 1]);
    }
    assert_eq!(firsts, [0x81, 0xc1, 0x42, 0x89, 0x80, 0x41, 0x80]);
    // The end of a message that has nothing more to say.
    assert_eq!(bytes[bytes.len() - 3..], [0x80, 0x01, 0x00]);
    // The whole time: an end's own frames can be read by the other end.
    let mut other = super::compressed::ws(Role::Client);
    other.peer.send(&bytes);
    let mut messages = Vec::new();
    while let Some((chunk, flags)) = other.next() {
        messages.push((chunk.len(), flags));
    }
    let partial = Flags::PARTIAL;
    assert_eq!(
        messages,
        [
            (5, Flags::TEXT),
            (100, Flags::TEXT),
            (100, partial),
            (100, Flags::NONE),
            (100, Flags::TEXT | partial),
            (0, Flags::TEXT)
        ]
    );
}

//= 7692-6.1-5 test
//= 7692-6-1 test
#[test]
fn rsv1_where_it_means_nothing_is_a_breach() {
    let cases = [
        (true, vec![compressed(Role::Server, Opcode::Ping, true, b"")]),
        (true, vec![compressed(Role::Server, Opcode::Close, true, b"")]),
        (
            true,
            vec![
                compressed(Role::Server, Opcode::Text, false, &HELLO[..3]),
                compressed(Role::Server, Opcode::Continuation, true, &HELLO[3..]),
            ],
        ),
        (
            true,
            vec![
                frame(Role::Server, Opcode::Text, false, b"x"),
                compressed(Role::Server, Opcode::Continuation, true, HELLO),
            ],
        ),
        (false, vec![compressed(Role::Server, Opcode::Text, true, HELLO)]),
    ];
    for (agreed_on, input) in cases {
        let info = if agreed_on { agreed(true) } else { SocketInfo::default() };
        let mut ws = Fixture::with_info(eager(Role::Server), info);
        input.iter().for_each(|bytes| ws.peer.send(bytes));
        let error = loop {
            match ws.try_next() {
                Ok(Some((_, flags))) => assert!(flags.any(Flags::PARTIAL)),
                Ok(None) => panic!("not refused"),
                Err(e) => break e,
            }
        };
        assert_eq!(broken(&error), Error::ReservedBits);
        ws.flush();
        assert_eq!(ws.frames(Role::Server), [(Opcode::Close, vec![0x03, 0xea])]);
    }
}

//= 7692-6-2 test
//= 7692-6.2-2 test
//= 6455-6.2-7 test
#[test]
fn messages_of_every_kind_in_any_cut() {
    for role in ROLES {
        let input = [
            compressed(role, Opcode::Text, true, HELLO),
            frame(role, Opcode::Text, true, b"plain"),
            compressed(role, Opcode::Binary, false, &HELLO[..2]),
            frame(role, Opcode::Ping, true, b"?"),
            frame(role, Opcode::Continuation, false, &HELLO[2..3]),
            frame(role, Opcode::Continuation, false, b""),
            frame(role, Opcode::Continuation, true, &HELLO[3..]),
            compressed(role, Opcode::Text, true, &[0x00]),
            compressed(role, Opcode::Text, true, &[0xf2, 0x00, 0x11, 0x00, 0x00]),
            frame(role, Opcode::Close, true, b"\x03\xe8"),
        ]
        .concat();
        let expected = [
            (&b"Hello"[..], Flags::TEXT),
            (b"plain", Flags::TEXT),
            (b"Hello", Flags::NONE),
            (b"", Flags::TEXT),
            (b"Hello", Flags::TEXT),
        ];
        for step in [1, 2, 3, 5, 1000] {
            for max in [1, 2, usize::MAX] {
                let mut ws = ws(role);
                input.chunks(step).for_each(|piece| ws.peer.send(piece));
                let (mut got, mut message) = (Vec::new(), Vec::new());
                loop {
                    let Poll::Ready(next) = ws.poll_next(max) else {
                        ws.flush();
                        continue;
                    };
                    let (chunk, flags) = next.unwrap();
                    if flags.any(Flags::EOF) {
                        break;
                    }
                    assert!(chunk.len() <= max);
                    message.extend(chunk);
                    if flags.ends_message() {
                        got.push((std::mem::take(&mut message), flags));
                    }
                }
                let got: Vec<_> = got.iter().map(|(bytes, flags)| (&bytes[..], *flags)).collect();
                assert_eq!(got, expected, "{step} {max}");
                ws.flush();
                assert_eq!(ws.frames(role)[0], (Opcode::Pong, b"?".to_vec()));
            }
        }
    }
}

//= 6455-6.1-8 test
#[test]
fn what_is_written_is_read_however_writes_are_cut() {
    let long = text(300_000);
    let messages: [(&[&[u8]], Flags); 6] = [
        (&[&long[..1000]], Flags::TEXT),
        (&[&long[..4000], b"", &long[4000..5000]], Flags::TEXT),
        (&[&long], Flags::TEXT),
        (&[b"tiny"], Flags::NONE),
        (&[&long[..100_000], &long[100_000..]], Flags::NONE),
        (&[&long[..1000]], Flags::TEXT),
    ];
    for role in ROLES {
        for takeover in [false, true] {
            for (write, choppy, read) in [(0, false, 100_000), (0, true, 1000), (1000, true, 3000), (7, false, 64)] {
                let mut from = Fixture::with_info(eager(role), agreed(takeover));
                (from.peer.wire().step, from.peer.wire().choppy) = (write, choppy);
                for (chunks, flags) in messages {
                    for (i, chunk) in chunks.iter().enumerate() {
                        let part = if i + 1 < chunks.len() { Flags::PARTIAL } else { Flags::NONE };
                        // With and without MORE, which decides what is gathered.
                        let more = if i % 2 == 0 { Flags::MORE } else { Flags::NONE };
                        from.put(chunk, flags | part | more);
                    }
                    from.flush();
                }
                let other = if role == Role::Client { Role::Server } else { Role::Client };
                let mut to = Fixture::with_info(eager(other), agreed(takeover));
                let wire = from.peer.received();
                assert!(wire.len() < 200_000, "{}", wire.len());
                wire.chunks(read).for_each(|piece| to.peer.send(piece));
                let (mut got, mut message) = (Vec::new(), Vec::new());
                while let Some((chunk, flags)) = to.next() {
                    message.extend(chunk);
                    if flags.ends_message() {
                        got.push((std::mem::take(&mut message), flags));
                    }
                }
                assert_eq!(got.len(), messages.len());
                for ((got, got_flags), (sent, flags)) in got.iter().zip(messages) {
                    assert!(*got == sent.concat() && *got_flags == flags);
                }
            }
        }
    }
}

#[test]
fn large_messages_come_whole_or_in_parts_as_asked() {
    for (len, parts, whole) in
        [(200_000, false, true), (HOLD, false, true), (400_000, false, false), (200_000, true, false)]
    {
        let message = text(len);
        let mut from = ws(Role::Client);
        from.put(&message, Flags::TEXT);
        from.flush();
        let mut to = ws(Role::Server);
        if parts {
            to.read.parts_suffice();
        }
        to.peer.send(&from.peer.received());
        let (chunk, flags) = to.next().unwrap();
        assert_eq!(!flags.any(Flags::PARTIAL), whole, "{len}");
        let mut got = chunk;
        while got.len() < len {
            let (chunk, flags) = to.next().unwrap();
            got.extend(chunk);
            assert_eq!(flags.any(Flags::PARTIAL), got.len() < len);
        }
        assert!(got == message);
    }
}

//= 7692-6.1-7 test
#[test]
fn text_is_checked_after_inflating() {
    let bad = [&text(900)[..], b"\xff", &text(900)].concat();
    let mut from =
        Fixture::with_info(WsOptions { text_invalid: TextInvalid::Pass, ..eager(Role::Client) }, agreed(true));
    from.put(&bad, Flags::TEXT);
    from.flush();
    let wire = from.peer.received();
    assert_eq!(wire[0], 0xc1);
    let mut to = ws(Role::Server);
    to.peer.send(&wire);
    assert_eq!(broken(&to.try_next().unwrap_err()), Error::InvalidUtf8);
    to.flush();
    assert_eq!(to.frames(Role::Server), [(Opcode::Close, vec![0x03, 0xef])]);
    // Binary bytes are anything, and characters may be cut by fragments.
    let mut from = ws(Role::Client);
    from.put(&bad, Flags::NONE);
    let whole = "é".repeat(1000).into_bytes();
    from.put(&whole[..1001], Flags::TEXT | Flags::PARTIAL);
    from.put(&whole[1001..], Flags::TEXT);
    from.flush();
    let mut to = ws(Role::Server);
    to.peer.send(&from.peer.received());
    let mut lens = Vec::new();
    while let Some((chunk, _)) = to.next() {
        lens.push(chunk.len());
    }
    assert_eq!(lens, [bad.len(), 1001, 999]);
    // Our own side is checked as well, before anything leaves.
    let mut from = ws(Role::Client);
    let mut chunk = bad.clone();
    let write = from.write.as_mut().unwrap();
    let mut cx = Context::from_waker(Waker::noop());
    assert!(matches!(write.poll_write(&mut cx, &mut chunk, Flags::TEXT), Poll::Ready(Err(_))));
}

#[test]
fn bombs_and_corrupt_data_end_the_connection() {
    let zeros = vec![0; 60_000];
    let mut from = ws(Role::Client);
    from.put(&zeros, Flags::NONE);
    from.flush();
    let wire = from.peer.received();
    let limited = |message: u64| Limits { message, ..Limits::default() };
    let over = Some(vec![0x03, 0xf1]);
    for (max_message, limit, close) in [
        (None, 60_000, None),
        (None, 59_999, over.clone()),
        (Some(60_000), u64::MAX, None),
        (Some(59_999), u64::MAX, over),
    ] {
        let options = WsOptions { inflate_limits: limited(limit), max_message, ..eager(Role::Server) };
        let mut to = Fixture::with_info(options, agreed(true));
        to.peer.send(&wire);
        let got = to.try_next();
        to.flush();
        match close {
            None => assert_eq!(got.unwrap().unwrap().0.len(), 60_000),
            Some(body) => {
                assert_eq!(got.unwrap_err().kind(), io::ErrorKind::InvalidData);
                assert_eq!(to.frames(Role::Server), [(Opcode::Close, body)]);
                assert_eq!(to.next(), Some((vec![], Flags::EOF)), "nothing more is read");
            }
        }
    }
    let mut to = ws(Role::Server);
    to.peer.send(&compressed(Role::Server, Opcode::Text, true, &HELLO[..4]));
    assert!(to.try_next().unwrap_err().to_string().contains("DEFLATE"));
    to.flush();
    assert_eq!(to.frames(Role::Server), [(Opcode::Close, vec![0x03, 0xef])]);
}

#[test]
fn what_is_lent_is_changed_only_where_it_leaves_as_it_is() {
    let mut ws = ws(Role::Client);
    for (size, changed) in [(5, true), (2000, false)] {
        let before = text(size);
        let mut chunk = before.clone();
        ws.drive(|w, cx| w.poll_write(cx, &mut chunk, Flags::TEXT));
        assert_eq!(chunk != before, changed);
    }
    assert!(ws.write.unwrap().transforms());
}

#[test]
fn an_end_in_a_compressed_message_is_told() {
    let mut ws = ws(Role::Server);
    ws.peer.send(&compressed(Role::Server, Opcode::Text, false, &HELLO[..4]));
    ws.peer.end();
    let error = loop {
        match ws.try_next() {
            Ok(next) => assert!(next.is_some_and(|(_, flags)| flags.any(Flags::PARTIAL))),
            Err(e) => break e,
        }
    };
    assert_eq!(error.get_ref().unwrap().downcast_ref(), Some(&WsError::TornMessage));
    // Our own end within a message: Close may follow a fragment.
    let mut ws = super::compressed::ws(Role::Server);
    ws.put(&text(2000), Flags::TEXT | Flags::PARTIAL);
    ws.shutdown();
    assert!(ws.peer.received().ends_with(&[0x88, 2, 0x03, 0xe8]));
}
