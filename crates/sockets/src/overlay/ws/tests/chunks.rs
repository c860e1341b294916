//! Data frames as chunks: sizes, cuts, masks.

use super::*;

#[test]
fn seeded_clients_repeat_their_bytes() {
    let keys = Randomness::new(Some(3)).unwrap().mask_keys();
    let mut ws = Fixture::new(WsOptions { keys, ..complete(Role::Client) });
    ws.put(b"ab", Flags::TEXT);
    ws.peer.send(&frame(Role::Client, Opcode::Ping, true, b"?"));
    assert_eq!(ws.next(), None);
    // Keys 858754bd and 6ce41363: pongs draw from the same sequence as data.
    let expected = [0x81, 0x82, 0x85, 0x87, 0x54, 0xbd, b'a' ^ 0x85, b'b' ^ 0x87, 0x8a, 0x81, 0x6c, 0xe4, 0x13, 0x63];
    assert_eq!(ws.peer.received(), [&expected[..], &[b'?' ^ 0x6c]].concat());
    ws.shutdown();
    let close = ws.peer.received();
    let mut keys = Randomness::new(Some(3)).unwrap().mask_keys();
    let third = std::array::from_fn::<_, 3, _>(|_| keys.next_key().unwrap())[2];
    assert_eq!(close, [&[0x88, 0x82][..], &third, &[0x03 ^ third[0], 0xe8 ^ third[1]]].concat());
}

#[test]
fn chunks_are_as_long_as_the_reader_is_asked_for() {
    let body: Vec<u8> = (0..300u16).map(|n| n as u8).collect();
    let input = [
        frame(Role::Server, Opcode::Text, true, &body),
        frame(Role::Server, Opcode::Pong, true, b"whole"),
        frame(Role::Server, Opcode::Binary, true, b""),
    ]
    .concat();
    for max in [0, 1, 7, 299, 300, 301] {
        for step in [1, 13, 1000] {
            let mut ws = Fixture::new(server());
            input.chunks(step).for_each(|piece| ws.peer.send(piece));
            let mut got = Vec::new();
            loop {
                let Poll::Ready(next) = ws.poll_next(max) else { panic!("waits") };
                let (chunk, flags) = next.unwrap();
                if flags.any(Flags::PONG) {
                    assert_eq!(chunk, b"whole");
                    break;
                }
                assert!(flags.any(Flags::TEXT) && chunk.len() <= max.max(1));
                got.extend(chunk);
                assert_eq!(flags.any(Flags::PARTIAL), got.len() < 300);
            }
            assert_eq!(got, body);
            assert_eq!(ws.next(), Some((vec![], Flags::NONE)));
        }
    }
}

#[test]
fn frames_are_held_together_unless_parts_suffice() {
    for (len, parts, chunks) in [(HOLD, false, 1), (1000, true, 2), (125, true, 1), (HOLD + 1, false, 2)] {
        let mut ws = Fixture::new(server());
        if parts {
            ws.read.parts_suffice();
        }
        let input = frame(Role::Server, Opcode::Binary, true, &vec![7; len]);
        let (first, second) = input.split_at(input.len() / 2);
        ws.peer.send(first);
        let mut count = 0;
        let mut got = 0;
        while let Some((chunk, _)) = ws.next() {
            count += 1;
            got += chunk.len();
        }
        ws.peer.send(second);
        while got < len {
            let (chunk, flags) = ws.next().unwrap();
            count += 1;
            got += chunk.len();
            assert_eq!(flags.any(Flags::PARTIAL), got < len);
        }
        if chunks == 1 { assert_eq!(count, 1, "{len}") } else { assert!(count >= chunks, "{len}") }
    }
}

#[test]
fn more_says_that_the_buffer_holds_another_frame() {
    let mut ws = Fixture::new(server());
    ws.peer.send(&frame(Role::Server, Opcode::Binary, true, b"x").repeat(2));
    let mut cx = Context::from_waker(Waker::noop());
    for more in [true, false] {
        let Poll::Ready(Ok(flags)) = ws.read.poll_chunk(&mut cx, usize::MAX) else { panic!() };
        assert_eq!(flags.any(Flags::MORE), more);
        // It stays announced, whatever is asked for later.
        assert!(matches!(ws.read.poll_chunk(&mut cx, 0), Poll::Ready(Ok(again)) if again == flags));
        assert_eq!(ws.read.chunk_mut(), b"x");
        ws.read.consume();
        ws.read.consume();
    }
}

#[tokio::test(start_paused = true)]
async fn any_cut_of_input_and_output_gives_the_same() {
    let payload: Vec<u8> = (0..700u16).map(|n| n as u8).collect();
    for role in ROLES {
        let input = [
            frame(role, Opcode::Text, false, b"ab"),
            frame(role, Opcode::Ping, true, b"one"),
            frame(role, Opcode::Continuation, true, b"cd"),
            frame(role, Opcode::Binary, true, &payload),
            frame(role, Opcode::Ping, true, b""),
            frame(role, Opcode::Close, true, b"\x03\xe8fin"),
        ]
        .concat();
        for read in [1, 2, 3, 5, 64, 10_000] {
            for write in [1, 2, 3, 7, 100, 0] {
                for choppy in [false, true] {
                    let mut ws = Fixture::new(complete(role));
                    for piece in input.chunks(read) {
                        ws.peer.send(piece);
                        if choppy {
                            ws.peer.send(&[]);
                        }
                    }
                    ws.peer.wire().step = write;
                    ws.peer.wire().choppy = choppy;
                    let mut messages = vec![Vec::new()];
                    let body = loop {
                        let (chunk, flags) = ws.next().unwrap();
                        if flags.any(Flags::EOF) {
                            break chunk;
                        }
                        messages.last_mut().unwrap().extend_from_slice(&chunk);
                        ws.put(&chunk, flags); // echo
                        if flags.ends_message() {
                            messages.push(Vec::new());
                        }
                    };
                    ws.shutdown();
                    assert_eq!(body, b"\x03\xe8fin");
                    assert_eq!(messages, [&b"abcd"[..], &payload, b""]);
                    let sent = ws.frames(role);
                    let of = |kind| -> Vec<Vec<u8>> {
                        sent.iter().filter(|(o, _)| *o == kind).map(|(_, b)| b.clone()).collect()
                    };
                    let echoed: Vec<u8> =
                        sent.iter().filter(|(o, _)| !o.is_control()).flat_map(|(_, b)| b.clone()).collect();
                    assert_eq!(echoed, [b"abcd", &payload[..]].concat(), "{read} {write} {choppy}");
                    assert_eq!(of(Opcode::Pong), [&b"one"[..], b""]);
                    assert_eq!(of(Opcode::Close), [b"\x03\xe8"]);
                    assert_eq!(sent.last().unwrap().0, Opcode::Close);
                }
            }
        }
    }
}

/// Data frames of many sizes, other frames between them, and the end of it all; the payloads.
fn mixed(role: Role) -> (Vec<u8>, Vec<u8>) {
    let (mut wire, mut payloads) = (Vec::new(), Vec::new());
    for (i, len) in [700, 3, 0, 126, 65_536, 1, 20_000, 5, 70_000, 40, 40, 40].into_iter().enumerate() {
        let body: Vec<u8> = (0..len).map(|n| (n * 7 + i) as u8).collect();
        let (first, second) = body.split_at(len / 3);
        wire.extend(frame(role, Opcode::Binary, false, first));
        if i % 4 == 1 {
            wire.extend(frame(role, Opcode::Ping, true, b"?"));
        }
        wire.extend(frame(role, Opcode::Continuation, true, second));
        if i % 5 == 2 {
            wire.extend(frame(role, Opcode::Text, true, "tëxt".as_bytes()));
        }
        payloads.extend_from_slice(&body);
        if i % 5 == 2 {
            payloads.extend_from_slice("tëxt".as_bytes());
        }
    }
    (wire, payloads)
}

#[test]
fn frames_are_joined_where_nobody_looks_at_messages() {
    for role in ROLES {
        let (wire, payloads) = mixed(role);
        let end = frame(role, Opcode::Close, true, b"\x03\xe8");
        for text in [TextInvalid::Fail, TextInvalid::Pass] {
            for (step, max) in [(usize::MAX, usize::MAX), (usize::MAX, 1000), (1000, usize::MAX), (7, 100), (1, 64)] {
                let mut ws = Fixture::new(WsOptions { text_invalid: text, ..complete(role) });
                ws.read.parts_suffice();
                ws.read.may_merge();
                let (mut got, mut body) = (Vec::new(), None);
                for piece in wire.chunks(step.min(wire.len())).chain([&end[..]]) {
                    ws.peer.send(piece);
                    // A pong that is owed makes it stop once.
                    for _ in 0..2 {
                        while let Poll::Ready(chunk) = ws.poll_next(max) {
                            let (chunk, flags) = chunk.unwrap();
                            if flags.any(Flags::EOF) {
                                body = body.or(Some(chunk));
                                break;
                            }
                            assert!(chunk.len() <= max);
                            got.extend_from_slice(&chunk);
                        }
                        ws.flush();
                    }
                }
                assert!(got == payloads, "{role:?} {text:?} {step} {max}");
                assert_eq!(body.as_deref(), Some(&b"\x03\xe8"[..]));
                let pongs = ws.frames(role).iter().filter(|(opcode, _)| *opcode == Opcode::Pong).count();
                assert_eq!(pongs, 3);
            }
        }
    }
}

#[test]
fn what_was_joined_is_one_chunk_and_an_error_behind_it_comes_later() {
    for len in [10, 5000] {
        let mut ws = Fixture::new(complete(Role::Server));
        ws.read.parts_suffice();
        ws.read.may_merge();
        let message = |len| frame(Role::Server, Opcode::Binary, true, &vec![b'x'; len]);
        ws.peer
            .send(&[message(1000), message(len), message(7), frame(Role::Client, Opcode::Binary, true, b"")].concat());
        assert_eq!(ws.next(), Some((vec![b'x'; 1007 + len], Flags::NONE)));
        assert_eq!(broken(&ws.try_next().unwrap_err()), Error::MaskMissing);
    }
}

#[test]
fn absent_halves_stay_absent() {
    let peer = Peer::default();
    peer.wire().window = usize::MAX;
    peer.send(&frame(Role::Server, Opcode::Ping, true, b""));
    peer.end();
    let socket = StreamSocket { read: Some(Box::new(peer)), ..StreamSocket::default() };
    let mut socket = ws_wrap(server(), socket);
    assert!(socket.write.is_none());
    let mut cx = Context::from_waker(Waker::noop());
    let read = socket.read.as_mut().unwrap();
    assert!(read.poll_chunk(&mut cx, 1).is_pending(), "whoever would send the pong gets a turn");
    let Poll::Ready(Ok(flags)) = read.poll_chunk(&mut cx, 1) else { panic!() };
    assert_eq!(flags, Flags::EOF);
}

#[test]
fn halves_are_small_and_can_go_to_any_thread() {
    fn assert_send<T: Send>() {}
    assert_send::<WsReader>();
    assert_send::<WsWriter>();
    // 152 bytes take no more of the heap than 144 do.
    assert!(size_of::<WsReader>() <= 152, "{}", size_of::<WsReader>());
    assert!(size_of::<WsWriter>() <= 128, "{}", size_of::<WsWriter>());
}

//= 6455-5.3-3 test
//= 6455-5.3-4 test
//= 6455-5.3-2 test
//= 6455-10.3-1 test
#[test]
fn each_frame_of_a_client_has_its_own_key() {
    let mut ws = Fixture::new(WsOptions::default());
    for _ in 0..50 {
        ws.put(&[0; 4], Flags::PARTIAL); // a masked zero is the key
        ws.put(&[0; 4], Flags::PONG);
    }
    ws.flush();
    let wire = ws.peer.received();
    let (frames, rest) = wire.as_chunks::<10>();
    assert!(frames.len() == 100 && rest.is_empty());
    assert!(frames.iter().all(|f| f[2..6] == f[6..]));
    let mut keys: Vec<_> = frames.iter().map(|f| &f[2..6]).collect();
    keys.sort_unstable();
    keys.dedup();
    // 100 draws of 32 bits: an accidental pair comes once in 900,000 runs.
    assert_eq!(keys.len(), 100);
}
