//! Text that is not UTF-8: refused, repaired or passed, in both directions, however it is cut.

use super::*;
use crate::testing::messages;

fn with(role: Role, text_invalid: TextInvalid) -> Fixture {
    Fixture::new(WsOptions { text_invalid, ..complete(role) })
}

fn text(role: Role, body: &[u8]) -> Vec<u8> {
    frame(role, Opcode::Text, true, body)
}

/// Sequences of every kind: whole characters, beginnings of some, bytes that never occur.
fn samples() -> Vec<Vec<u8>> {
    let parts: [&[u8]; 9] = [
        b"a",
        "é".as_bytes(),
        "𝄞".as_bytes(),
        b"\xff",
        b"\xe2\x82",
        b"\xf0\x9d\x84",
        b"\xed\xa0\x80",
        b"\xc0\xaf",
        b"",
    ];
    let mut all = vec![];
    for a in parts {
        for b in parts {
            for c in parts {
                all.push([a, b, c].concat());
            }
        }
    }
    all
}

//= 6455-5.6-2 test
//= 6455-5.6-1 test
//= 6455-8.1-1 test
#[test]
fn text_is_checked_in_both_directions() {
    for role in ROLES {
        for body in samples() {
            let good = std::str::from_utf8(&body).is_ok();
            for cut in 0..=body.len() {
                let (first, second) = body.split_at(cut);
                let fragments =
                    [frame(role, Opcode::Text, false, first), frame(role, Opcode::Continuation, true, second)].concat();
                let mut ws = with(role, TextInvalid::Fail);
                ws.peer.send(&fragments);
                let read = ws.try_next().and_then(|first| Ok((first, ws.try_next()?)));
                match read {
                    Ok((a, b)) => {
                        assert!(good, "{body:x?}");
                        assert_eq!(a, Some((first.to_vec(), Flags::TEXT | Flags::PARTIAL)));
                        assert_eq!(b, Some((second.to_vec(), Flags::TEXT)));
                    }
                    Err(e) => {
                        assert!(!good, "{body:x?}");
                        assert_eq!(broken(&e), Error::InvalidUtf8);
                        ws.flush();
                        assert_eq!(ws.frames(role), [(Opcode::Close, b"\x03\xef".to_vec())]);
                    }
                }
                let mut ws = with(role, TextInvalid::Fail);
                let mut write = |bytes: &[u8], flags| {
                    let mut cx = Context::from_waker(Waker::noop());
                    match ws.write.as_mut().unwrap().poll_write(&mut cx, &mut bytes.to_vec(), flags) {
                        Poll::Ready(done) => done,
                        Poll::Pending => panic!("stalled"),
                    }
                };
                let written = write(first, Flags::TEXT | Flags::PARTIAL).and_then(|()| write(second, Flags::TEXT));
                assert_eq!(written.is_ok(), good, "{body:x?}");
                if let Err(e) = written {
                    assert_eq!(e.kind(), io::ErrorKind::InvalidInput);
                    assert_eq!(e.get_ref().unwrap().downcast_ref(), Some(&WsError::TextNotUtf8));
                }
            }
        }
        // Binary messages are anything.
        let mut ws = with(role, TextInvalid::Fail);
        let all: Vec<u8> = (0..=255).collect();
        ws.peer.send(&frame(role, Opcode::Binary, true, &all));
        assert_eq!(ws.next(), Some((all.clone(), Flags::NONE)));
        ws.put(&all, Flags::NONE);
        ws.flush();
        assert_eq!(ws.frames(role), [(Opcode::Binary, all)]);
    }
}

#[test]
fn bad_text_is_noticed_before_its_frame_is_whole() {
    for role in ROLES {
        for body in samples() {
            let bad_at =
                (0..body.len()).find(|n| std::str::from_utf8(&body[..=*n]).is_err_and(|e| e.error_len().is_some()));
            for fragments in [false, true] {
                // Long enough to be waited for, and to need more than one look.
                let mut payload = [&[b'x'; 600][..], &body].concat();
                payload.extend([b'y'; 600]);
                let mut wire = text(role, &payload);
                if fragments {
                    let continued = frame(role, Opcode::Continuation, true, &payload);
                    wire = [text(role, b"").iter().map(|b| b & 0x7f).collect(), continued].concat();
                    wire[1] |= if role == Role::Server { 0x80 } else { 0 };
                }
                let header = wire.len() - payload.len();
                let mut ws = with(role, TextInvalid::Fail);
                let mut broke = None;
                for (i, byte) in wire.iter().enumerate().take(header + 600 + body.len()) {
                    ws.peer.send(&[*byte]);
                    if ws.try_next().is_err() {
                        broke = Some(i - header - 600);
                        break;
                    }
                }
                assert_eq!(broke, bad_at, "{body:x?}");
            }
        }
    }
}

//= 6455-6.1-3 test
#[test]
fn passed_text_is_not_looked_at() {
    for role in ROLES {
        let mut ws = with(role, TextInvalid::Pass);
        ws.peer.send(&text(role, b"\xff"));
        assert_eq!(ws.next(), Some((b"\xff".to_vec(), Flags::TEXT)));
        ws.put(b"\xff", Flags::TEXT);
        ws.flush();
        assert_eq!(ws.frames(role), [(Opcode::Text, b"\xff".to_vec())]);
    }
}

/// The whole messages of what is read, at most `max` bytes at a time.
fn read_all(ws: &mut Fixture, max: usize) -> Vec<(Vec<u8>, Flags)> {
    let mut chunks = vec![];
    while let Poll::Ready(next) = ws.poll_next(max) {
        let (bytes, flags) = next.unwrap();
        assert!(bytes.len() <= max);
        chunks.push((bytes, flags));
        if flags.any(Flags::EOF) {
            break;
        }
    }
    messages(&chunks)
}

#[test]
fn bad_text_is_repaired_in_both_directions_however_it_is_cut() {
    for role in ROLES {
        for body in samples() {
            let expected = String::from_utf8_lossy(&body).into_owned().into_bytes();
            for cut in 0..=body.len() {
                let (first, second) = body.split_at(cut);
                for max in [1, 2, usize::MAX] {
                    let mut ws = with(role, TextInvalid::Lossy);
                    ws.peer.send(&frame(role, Opcode::Text, false, first));
                    ws.peer.send(&frame(role, Opcode::Continuation, true, second));
                    ws.peer.send(&text(role, b"next"));
                    let got = read_all(&mut ws, max);
                    let next = (b"next".to_vec(), Flags::TEXT);
                    assert_eq!(got, [(expected.clone(), Flags::TEXT), next], "{body:x?} {cut} {max}");
                }
                let mut ws = with(role, TextInvalid::Lossy);
                ws.peer.wire().step = 1;
                ws.peer.wire().choppy = true;
                ws.put(first, Flags::TEXT | Flags::PARTIAL);
                ws.put(second, Flags::TEXT);
                ws.put(b"\xff", Flags::NONE);
                ws.flush();
                let sent = ws.peer.received();
                let reader = Fixture::new(WsOptions {
                    role: if role == Role::Client { Role::Server } else { Role::Client },
                    text_invalid: TextInvalid::Fail,
                    ..WsOptions::default()
                });
                let mut reader = reader;
                reader.peer.send(&sent);
                let mut chunks = vec![];
                while let Some((bytes, flags)) = reader.next() {
                    chunks.push((bytes, flags));
                }
                let binary = (b"\xff".to_vec(), Flags::NONE);
                assert_eq!(messages(&chunks), [(expected.clone(), Flags::TEXT), binary], "{body:x?} {cut}");
            }
        }
    }
}

#[test]
fn text_that_one_half_has_looked_at_is_not_checked_by_the_next() {
    let mut cx = Context::from_waker(Waker::noop());
    for (text_invalid, looked) in [(TextInvalid::Fail, true), (TextInvalid::Lossy, true), (TextInvalid::Pass, false)] {
        let mut ws = with(Role::Server, text_invalid);
        ws.peer.send(&text(Role::Server, b"text"));
        let Poll::Ready(Ok(flags)) = ws.read.poll_chunk(&mut cx, usize::MAX) else { panic!("nothing") };
        assert_eq!(flags.any(Flags::UTF8), looked);
        // Whoever hands the flag on for other bytes gets what it asks for.
        let mut ws = with(Role::Server, TextInvalid::Fail);
        ws.put(b"\xff", Flags::TEXT | Flags::UTF8);
    }
}

#[test]
fn repairs_of_long_messages_need_little_memory() {
    let mut ws = with(Role::Server, TextInvalid::Lossy);
    let body = b"\xff\xe2\x82abc".repeat(50_000);
    ws.peer.send(&text(Role::Server, &body));
    let mut got = vec![];
    while let Some((bytes, flags)) = ws.next() {
        assert!(bytes.len() <= 16 << 10);
        got.extend(bytes);
        if flags.ends_message() {
            break;
        }
    }
    assert!(got == String::from_utf8_lossy(&body).as_bytes());
    ws.put(&body, Flags::TEXT);
    ws.flush();
    let sent: Vec<u8> = ws.frames(Role::Server).into_iter().flat_map(|(_, bytes)| bytes).collect();
    assert!(sent == got);
}
