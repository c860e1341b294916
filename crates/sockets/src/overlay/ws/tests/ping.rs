//! Pings and pongs: answered between frames, in any role, whoever polls the writer.

use super::*;

//= 6455-5.5.2-1 test
//= 6455-5.1-1 test
//= 6455-5.5.2-2 test
//= 6455-5.5.3-1 test
#[test]
fn pings_of_every_length_are_answered_however_they_are_cut() {
    for role in ROLES {
        for len in 0..=125u8 {
            let body: Vec<u8> = (0..len).collect();
            let ping = frame(role, Opcode::Ping, true, &body);
            for cut in 0..ping.len() {
                let mut ws = Fixture::new(WsOptions { role, ..WsOptions::default() });
                ws.peer.send(&ping[..cut]);
                assert_eq!(ws.next(), None);
                assert_eq!(ws.peer.received(), []);
                ws.peer.send(&ping[cut..]);
                assert_eq!(ws.next(), None);
                assert_eq!(ws.frames(role), [(Opcode::Pong, body.clone())]);
            }
        }
    }
}

#[test]
fn ping_replies_are_counted_in_pings_and_then_shown() {
    for allowed in [0, 2] {
        let mut ws = Fixture::new(WsOptions { max_ping_replies: Some(allowed), ..server() });
        let ping = frame(Role::Server, Opcode::Ping, true, b"ab");
        for byte in ping.repeat(3) {
            ws.peer.send(&[byte]);
        }
        for _ in allowed..3 {
            assert_eq!(ws.next(), Some((b"ab".to_vec(), Flags::PING)));
        }
        assert_eq!(ws.next(), None);
        assert_eq!(ws.frames(Role::Server).len(), allowed);
    }
}

#[test]
fn pongs_are_shown_and_control_chunks_pass_to_the_wire() {
    for role in ROLES {
        let mut ws = Fixture::new(WsOptions { role, ..WsOptions::default() });
        ws.peer.send(&frame(role, Opcode::Pong, true, b"late"));
        assert_eq!(ws.next(), Some((b"late".to_vec(), Flags::PONG)));
        ws.put(b"there?", Flags::PING);
        ws.put(b"here", Flags::PONG);
        ws.flush();
        assert_eq!(ws.frames(role), [(Opcode::Ping, b"there?".to_vec()), (Opcode::Pong, b"here".to_vec())]);
    }
}

//= 6455-5.5-1 test
#[test]
fn control_chunks_that_do_not_fit_a_frame_are_refused() {
    let mut ws = Fixture::new(server());
    let mut long = [0; 126];
    let mut cx = Context::from_waker(Waker::noop());
    let Poll::Ready(Err(e)) = ws.write.as_mut().unwrap().poll_write(&mut cx, &mut long, Flags::PING) else {
        panic!("taken")
    };
    assert_eq!(e.get_ref().unwrap().downcast_ref(), Some(&WsError::ControlTooLong(126)));
    ws.flush();
    assert_eq!(ws.peer.received(), []);
}

//= 6455-6.1-4 test
//= 6455-6.1-6 test
//= 6455-6.2-2 test
//= 6455-5.4-3 test
#[test]
fn pings_between_fragments_are_answered_between_fragments() {
    for role in ROLES {
        let mut ws = Fixture::new(WsOptions { role, ..WsOptions::default() });
        ws.peer.send(
            &[
                frame(role, Opcode::Text, false, b"ab"),
                frame(role, Opcode::Ping, true, b"?"),
                frame(role, Opcode::Continuation, true, b"c"),
            ]
            .concat(),
        );
        ws.put(b"12", Flags::PARTIAL);
        assert_eq!(ws.next(), Some((b"ab".to_vec(), Flags::TEXT | Flags::PARTIAL)));
        assert_eq!(ws.next(), Some((b"c".to_vec(), Flags::TEXT)));
        ws.flush();
        ws.put(b"3", Flags::NONE);
        ws.flush();
        let expected = [(Opcode::Binary, &b"12"[..]), (Opcode::Pong, b"?"), (Opcode::Binary, b"3")];
        assert_eq!(ws.frames(role), expected.map(|(o, b)| (o, b.to_vec())));
    }
}

//= 6455-5.5.3-2 test
#[test]
fn a_pong_that_waits_for_the_stream_does_not_stop_reading() {
    let mut ws = Fixture::new(server());
    ws.peer.wire().window = 1;
    let ping = |n: u8| frame(Role::Server, Opcode::Ping, true, &[n]);
    for n in 0..200 {
        ws.peer.send(&ping(n));
        ws.peer.send(&frame(Role::Server, Opcode::Binary, true, &[n]));
        assert_eq!(ws.next(), Some((vec![n], Flags::NONE)));
        assert!(!ws.poll_flush().unwrap());
    }
    ws.peer.wire().window = usize::MAX;
    ws.flush();
    // The first was being written, of the others only the newest counts.
    assert_eq!(ws.frames(Role::Server), [(Opcode::Pong, vec![0]), (Opcode::Pong, vec![199])]);
    ws.peer.send(&ping(7));
    assert_eq!(ws.next(), None);
    assert_eq!(ws.frames(Role::Server), [(Opcode::Pong, vec![7])]);
}

//= 6455-5.5.2-3 test
#[test]
fn pongs_leave_before_what_comes_behind_their_pings_is_shown() {
    let [ping, data] = [Opcode::Ping, Opcode::Binary].map(|opcode| frame(Role::Server, opcode, true, b"1"));
    for behind in [&data[..], &frame(Role::Server, Opcode::Close, true, b"\x03\xe8")] {
        let mut ws = Fixture::new(complete(Role::Server));
        ws.peer.send(&[&data[..], &ping, &ping, behind].concat());
        assert!(ws.poll_next(usize::MAX).is_ready());
        assert!(ws.poll_next(usize::MAX).is_pending());
        assert_eq!(ws.wakes.take(), 1);
        ws.flush();
        assert_eq!(ws.frames(Role::Server), [(Opcode::Pong, b"1".to_vec()), (Opcode::Pong, b"1".to_vec())]);
        assert!(ws.poll_next(usize::MAX).is_ready());
    }
}

//= 6455-5.5.3-3 test
#[test]
fn a_complete_websocket_shows_no_pongs_and_no_pings_that_it_does_not_answer() {
    for role in ROLES {
        let mut ws = Fixture::new(WsOptions { max_ping_replies: Some(1), ..complete(role) });
        let control = [Opcode::Pong, Opcode::Ping, Opcode::Ping].map(|opcode| frame(role, opcode, true, b"?"));
        ws.peer.send(&[control.concat(), frame(role, Opcode::Binary, true, b"data")].concat());
        assert_eq!(ws.next(), Some((b"data".to_vec(), Flags::NONE)));
        assert_eq!(ws.frames(role), [(Opcode::Pong, b"?".to_vec())]);
    }
}

#[test]
fn pings_that_come_together_are_all_answered_if_the_stream_takes_it() {
    let mut ws = Fixture::new(server());
    ws.peer.send(&(0..100).flat_map(|n| frame(Role::Server, Opcode::Ping, true, &[n])).collect::<Vec<_>>());
    assert_eq!(ws.next(), None);
    let pongs: Vec<_> = (0..100).map(|n| (Opcode::Pong, vec![n])).collect();
    assert_eq!(ws.frames(Role::Server), pongs);
}

#[test]
fn a_flood_of_pings_without_flush_is_bounded_in_memory_and_turns() {
    let mut ws = Fixture::new(server());
    ws.peer.send(&frame(Role::Server, Opcode::Ping, true, &[9; 125]).repeat(1000));
    let mut polls = 0;
    while ws.poll_next(usize::MAX).is_pending() && ws.wakes.take() > 0 {
        polls += 1;
    }
    assert!((1000 / 256..=1000 / 15).contains(&polls), "{polls}");
    ws.flush();
    assert!(ws.frames(Role::Server).len() <= 16);
}

#[test]
fn a_writer_in_another_task_is_woken_for_what_it_owes() {
    let mut ws = Fixture::new(complete(Role::Server));
    let mut writer = ws.write.take().unwrap();
    let wakes = Arc::new(Wakes::default());
    let waker: Waker = wakes.clone().into();
    let mut cx = Context::from_waker(&waker);
    assert!(writer.poll_flush(&mut cx).is_ready());
    for input in [frame(Role::Server, Opcode::Ping, true, b"?"), frame(Role::Server, Opcode::Close, true, b"\x03\xe8")]
    {
        ws.peer.send(&input.repeat(2));
        let _ = ws.poll_next(usize::MAX);
        assert_eq!(wakes.take(), 1, "once for what came together");
        assert_eq!(ws.peer.received(), []);
        assert!(writer.poll_flush(&mut cx).is_ready());
        assert_ne!(ws.peer.received(), []);
    }
}

#[test]
fn pings_are_answered_after_the_writer_half_was_dropped() {
    for role in ROLES {
        for closed in [false, true] {
            let mut ws = Fixture::new(complete(role));
            ws.put(b"begun", Flags::PARTIAL);
            if closed {
                ws.shutdown();
            }
            ws.write = None;
            ws.peer.send(&frame(role, Opcode::Ping, true, b"1"));
            ws.peer.send(&frame(role, Opcode::Binary, true, b"data"));
            ws.peer.send(&frame(role, Opcode::Ping, true, b"2"));
            assert!(
                ws.poll_next(usize::MAX).is_pending(),
                "the pong leaves before anything is read that may be answered"
            );
            assert_eq!(ws.poll_next(usize::MAX).map(Result::unwrap), Poll::Ready((b"data".to_vec(), Flags::NONE)));
            assert!(ws.poll_next(usize::MAX).is_pending());
            let close = |code: &[u8]| (Opcode::Close, code.to_vec());
            let mut expected = vec![(Opcode::Binary, b"begun".to_vec())];
            expected.extend(closed.then(|| close(b"\x03\xe8")));
            expected.extend([(Opcode::Pong, b"1".to_vec()), (Opcode::Pong, b"2".to_vec())]);
            ws.peer.send(&frame(role, Opcode::Close, true, b"\x03\xe9"));
            assert!(ws.poll_next(usize::MAX).is_ready());
            expected.extend((!closed).then(|| close(b"\x03\xe9")));
            assert_eq!(ws.frames(role), expected);
        }
    }
}

#[test]
fn a_stalled_stream_wakes_the_reader_that_drives_a_dropped_writer() {
    let mut ws = Fixture::new(server());
    ws.peer.wire().window = 1;
    ws.write = None;
    ws.peer.send(&frame(Role::Server, Opcode::Ping, true, b"?"));
    assert!(ws.poll_next(usize::MAX).is_pending());
    ws.peer.wire().window = usize::MAX;
    assert!(ws.poll_next(usize::MAX).is_pending());
    assert_eq!(ws.frames(Role::Server), [(Opcode::Pong, b"?".to_vec())]);
}

#[test]
fn a_pong_owed_when_the_writer_is_dropped_wakes_the_reader() {
    let mut ws = Fixture::new(server());
    ws.peer.send(&frame(Role::Server, Opcode::Ping, true, b"?"));
    assert!(ws.poll_next(usize::MAX).is_pending());
    ws.wakes.take();
    ws.write = None;
    assert_eq!(ws.wakes.take(), 1);
    assert!(ws.poll_next(usize::MAX).is_pending());
    assert_eq!(ws.frames(Role::Server), [(Opcode::Pong, b"?".to_vec())]);
}

//= 6455-10.3-2 test
#[test]
fn a_frame_that_waits_and_has_not_begun_leaves_room_for_a_pong() {
    let mut ws = Fixture::new(server());
    ws.peer.wire().window = 0;
    ws.put(b"first", Flags::NONE);
    let mut large = vec![0; 100_000];
    let mut cx = Context::from_waker(Waker::noop());
    assert!(ws.write.as_mut().unwrap().poll_write(&mut cx, &mut large, Flags::NONE).is_pending());
    ws.peer.send(&frame(Role::Server, Opcode::Ping, true, b"?"));
    assert_eq!(ws.next(), None);
    ws.peer.wire().window = usize::MAX;
    ws.drive(|w, cx| w.poll_write(cx, &mut large, Flags::NONE));
    ws.flush();
    let lens: Vec<_> = ws.frames(Role::Server).iter().map(|(o, b)| (*o, b.len())).collect();
    assert_eq!(lens, [(Opcode::Binary, 5), (Opcode::Pong, 1), (Opcode::Binary, 100_000)]);
}

//= 6455-6.1-9 test
#[test]
fn frames_not_flushed_when_the_writer_is_dropped_leave_with_the_next_read() {
    let mut ws = Fixture::new(server());
    ws.put(b"last", Flags::NONE);
    ws.write = None;
    assert_eq!(ws.peer.received(), []);
    assert!(ws.poll_next(usize::MAX).is_pending());
    assert_eq!(ws.frames(Role::Server), [(Opcode::Binary, b"last".to_vec())]);
}
