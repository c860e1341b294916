//! What rooms cost: one allocation per message, however many hear it, and little memory for a member that waits.

mod counting;

use sockets::{
    backlog::SlowConsumer,
    datagram::{BoxDatagramRead, BoxDatagramWrite, Flags},
    hub::{Hub, HubOptions, JoinOptions},
};
use std::task::{Context, Poll, Waker};

const MEMBERS: usize = 100;

/// Takes all there is; gives how many messages that was.
fn hear(read: &mut BoxDatagramRead, size: usize) -> usize {
    let mut cx = Context::from_waker(Waker::noop());
    let mut count = 0;
    while let Poll::Ready(flags) = read.poll_chunk(&mut cx, usize::MAX) {
        assert_eq!((flags.unwrap() - Flags::MORE, read.chunk_mut().len()), (Flags::TEXT, size));
        read.consume();
        count += 1;
    }
    count
}

fn say(write: &mut BoxDatagramWrite, bytes: &mut [u8], batch: usize, part: Flags) {
    let mut cx = Context::from_waker(Waker::noop());
    for _ in 0..batch {
        let (first, last) = bytes.split_at_mut(bytes.len() / 2);
        if part.any(Flags::PARTIAL) {
            assert!(matches!(write.poll_write(&mut cx, first, Flags::TEXT | part), Poll::Ready(Ok(()))));
            assert!(matches!(write.poll_write(&mut cx, last, Flags::TEXT), Poll::Ready(Ok(()))));
        } else {
            assert!(matches!(write.poll_write(&mut cx, bytes, Flags::TEXT), Poll::Ready(Ok(()))));
        }
    }
    assert!(write.poll_flush(&mut cx).is_ready());
}

#[test]
fn one_allocation_per_message_for_all_who_hear_it() {
    for slow in [SlowConsumer::Block, SlowConsumer::DropOldest, SlowConsumer::Disconnect] {
        let hub = Hub::new(HubOptions { slow, ..HubOptions::default() });
        let join = || hub.join("room", JoinOptions::default()).unwrap();
        let mut readers: Vec<_> = (0..MEMBERS).map(|_| join().read.unwrap()).collect();
        let speaker = join();
        let (mut own, mut write) = (speaker.read.unwrap(), speaker.write.unwrap());
        for (size, batch, part) in [
            (64, 1, Flags::NONE),
            (64, 8, Flags::NONE),
            (64, 4, Flags::PARTIAL),
            (5000, 4, Flags::PARTIAL),
            (200_000, 1, Flags::NONE),
        ] {
            let mut bytes = vec![b'x'; size];
            let mut rounds = |n: usize| {
                let before = counting::on_this_thread();
                for _ in 0..n {
                    say(&mut write, &mut bytes, batch, part);
                    assert!(readers.iter_mut().all(|read| hear(read, size) == batch));
                    assert_eq!(hear(&mut own, size), 0);
                }
                counting::on_this_thread() - before
            };
            rounds(3);
            assert_eq!(rounds(20), 20 * batch, "{slow:?}: {size} bytes x {batch}");
        }
        // Longer queues are given back by whoever has read them: a few allocations for each, not one for each message.
        let before = counting::on_this_thread();
        say(&mut write, &mut [b'x'; 64], 64, Flags::NONE);
        assert!(readers.iter_mut().all(|read| hear(read, 64) == 64));
        let made = counting::on_this_thread() - before;
        assert!(made <= 64 + 4 * MEMBERS, "{made} for {} that were heard", 64 * MEMBERS);
    }
}

#[test]
fn a_member_that_waits_keeps_little() {
    let hub = Hub::new(HubOptions::default());
    let mut cx = Context::from_waker(Waker::noop());
    let before = counting::live_on_this_thread();
    let mut members: Vec<_> = (0..MEMBERS).map(|_| hub.join("room", JoinOptions::default()).unwrap()).collect();
    let joined = (counting::live_on_this_thread() - before) as usize / MEMBERS;
    // After a burst as before it, but for room for a few entries.
    let mut bytes = [b'x'; 1000];
    for _ in 0..500 {
        let write = members[0].write.as_mut().unwrap();
        assert!(write.poll_write(&mut cx, &mut bytes, Flags::TEXT).is_ready());
    }
    for member in &mut members {
        hear(member.read.as_mut().unwrap(), 1000);
        assert!(member.write.as_mut().unwrap().poll_flush(&mut cx).is_ready());
    }
    let after = (counting::live_on_this_thread() - before) as usize / MEMBERS;
    println!("{joined} bytes for a member, {after} after a burst");
    assert!(joined <= 700, "{joined}");
    // Pools of this thread are divided among them.
    assert!(after <= joined + 320 + (2 << 20) / MEMBERS, "{after}");
    drop(members);
    assert_eq!(hub.rooms(), 0);
}

/// What waits for a hundred members that never read is there once.
#[test]
fn what_waits_is_shared() {
    for slow in [SlowConsumer::DropOldest, SlowConsumer::Disconnect] {
        let hub = Hub::new(HubOptions { slow, ..HubOptions::default() });
        let mut cx = Context::from_waker(Waker::noop());
        let mut members: Vec<_> = (0..MEMBERS).map(|_| hub.join("room", JoinOptions::default()).unwrap()).collect();
        let mut write = hub.join("room", JoinOptions::default()).unwrap().write.unwrap();
        let before = counting::live_on_this_thread();
        let mut bytes = vec![b'x'; 10_000];
        for n in 0..1000 {
            assert!(write.poll_write(&mut cx, &mut bytes, Flags::TEXT).is_ready(), "{n}");
            if n == 0 {
                for read in members.iter_mut().filter_map(|member| member.read.as_mut()) {
                    assert!(read.poll_chunk(&mut cx, usize::MAX).is_ready());
                    read.sink_waits();
                }
            }
        }
        let grown = counting::live_on_this_thread() - before;
        println!("{slow:?}: {grown} bytes");
        // A backlog of 1 MiB once, entries of 40 bytes for each, what each was lent.
        assert!(grown <= (1 << 20) + 10_000 + (MEMBERS * (256 * 40 + (16 << 10))) as isize, "{grown}");
    }
}
