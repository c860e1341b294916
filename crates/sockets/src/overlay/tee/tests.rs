//! Several sockets joined, driven by hand and through the chopper.

use super::*;
use crate::{
    datagram::{BoxDatagramRead, BoxDatagramWrite, DatagramRead, DatagramWrite, Flags},
    testing::{
        Chunk, Dice, PendingAt, Recorder, Schedule, chunk_source, collect_chunks, datagram_pair, drive, messages,
        schedules, write_chunks,
    },
};
use std::{
    future::poll_fn,
    sync::atomic::{AtomicUsize, Ordering::Relaxed},
    task::{Poll, Wake, ready},
};

const PART: Flags = Flags::PARTIAL;

fn chunk(bytes: &[u8], flags: Flags) -> Chunk {
    (bytes.to_vec(), flags)
}

fn reads(read: BoxDatagramRead) -> DatagramSocket {
    DatagramSocket { read: Some(read), ..DatagramSocket::default() }
}

fn writes(write: BoxDatagramWrite) -> DatagramSocket {
    DatagramSocket { write: Some(write), ..DatagramSocket::default() }
}

fn reader(options: TeeOptions, sockets: Vec<DatagramSocket>) -> BoxDatagramRead {
    tee(options, sockets).unwrap().read.unwrap()
}

fn writer(options: TeeOptions, sockets: Vec<DatagramSocket>) -> BoxDatagramWrite {
    tee(options, sockets).unwrap().write.unwrap()
}

/// Changes each chunk where it lies, as masking does, before it may be Pending.
struct Mask {
    inner: BoxDatagramWrite,
    done: bool,
}

impl DatagramWrite for Mask {
    fn poll_write(&mut self, cx: &mut Context<'_>, chunk: &mut [u8], flags: Flags) -> Poll<io::Result<()>> {
        if !self.done {
            chunk.iter_mut().for_each(|byte| *byte ^= 0x55);
            self.done = true;
        }
        ready!(self.inner.poll_write(cx, chunk, flags))?;
        self.done = false;
        Poll::Ready(Ok(()))
    }
    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.inner.poll_flush(cx)
    }
    fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.inner.poll_shutdown(cx)
    }
    fn transforms(&self) -> bool {
        true
    }
}

fn some_chunks() -> Vec<Chunk> {
    chunks_with(3000)
}

fn chunks_with(long: usize) -> Vec<Chunk> {
    vec![
        chunk(b"hello", Flags::TEXT),
        chunk(b"one", Flags::TEXT | PART),
        chunk(b"!", Flags::PONG),
        chunk(b"two", Flags::TEXT),
        chunk(b"", Flags::NONE),
        chunk(&vec![7; long], Flags::NONE),
        chunk(b"\x03\xe8", Flags::EOF),
    ]
}

fn unmasked(mut chunks: Vec<Chunk>) -> Vec<Chunk> {
    chunks.iter_mut().flat_map(|chunk| &mut chunk.0).for_each(|byte| *byte ^= 0x55);
    chunks
}

#[test]
fn all_get_everything_whoever_changes_it() {
    for slow in [SlowConsumer::Block, SlowConsumer::DropOldest, SlowConsumer::Disconnect] {
        for schedule in schedules() {
            let recorders = [(); 3].map(|()| Recorder::new());
            let [a, b, c] = recorders.each_ref().map(|recorder| schedule.datagram_write_half(recorder.datagrams()));
            let nodes = vec![
                writes(Box::new(Mask { inner: a, done: false })),
                writes(b),
                writes(Box::new(Mask { inner: c, done: false })),
            ];
            let mut tee = writer(TeeOptions { slow, ..TeeOptions::default() }, nodes);
            assert!(!tee.transforms() && tee.keeps_borders());
            drive(write_chunks(&mut *tee, &some_chunks())).unwrap();
            let [a, b, c] = recorders.each_ref().map(Recorder::chunks);
            // A pong that would have to wait is left out for whoever is slow.
            let without_pong =
                |chunks: Vec<Chunk>| chunks.into_iter().filter(|c| !c.1.any(Flags::PONG)).collect::<Vec<_>>();
            for got in [unmasked(a), b, unmasked(c)] {
                if slow == SlowConsumer::Block {
                    assert_eq!(got, some_chunks(), "{schedule:?}");
                }
                assert!(without_pong(got) == without_pong(some_chunks()), "{slow:?} {schedule:?}");
            }
            assert!(recorders.iter().all(|r| r.is_flushed() && r.is_shut()), "{slow:?} {schedule:?}");
        }
    }
}

#[test]
fn chunks_that_no_pooled_buffer_holds() {
    let recorder = Recorder::new();
    let each = Schedule { pending: PendingAt::Each, ..Schedule::WHOLE };
    let mask = Mask { inner: each.datagram_write_half(recorder.datagrams()), done: false };
    let mut tee = writer(TeeOptions::default(), vec![writes(Box::new(mask))]);
    drive(write_chunks(&mut *tee, &chunks_with(300_000))).unwrap();
    assert!(unmasked(recorder.chunks()) == chunks_with(300_000));
}

/// Sends messages cut at random through the nodes and compares with what was sent: nothing lost, torn or out of order.
#[test]
fn messages_of_all_come_whole_and_in_order() {
    for seed in 0..40 {
        let mut dice = Dice::new(seed);
        let mut schedules = schedules();
        let sent: Vec<Vec<Chunk>> = (0..1 + dice.below(4) as u8)
            .map(|node| {
                (0..dice.below(12) as u8)
                    .flat_map(|n| {
                        let text = if n % 2 == 0 { Flags::TEXT } else { Flags::NONE };
                        let parts = dice.below(4);
                        let parts = (0..parts).map(|_| chunk(&vec![n; dice.below(5)], text | PART)).collect::<Vec<_>>();
                        parts.into_iter().chain([chunk(&[node, n], text)])
                    })
                    .collect()
            })
            .collect();
        let nodes = sent.iter().map(|chunks| {
            let schedule = schedules.nth(dice.below(80)).unwrap_or(Schedule::WHOLE);
            reads(schedule.datagram_read_half(chunk_source(chunks.clone())))
        });
        let mut tee = reader(TeeOptions::default(), nodes.collect());
        let got = messages(&drive(collect_chunks(&mut *tee, 1 + dice.below(9))).unwrap());
        assert_eq!(got.last(), Some(&chunk(b"", Flags::EOF)));
        for (node, chunks) in sent.iter().enumerate() {
            let of_node = got.iter().filter(|(bytes, _)| bytes.len() > 1 && bytes[bytes.len() - 2] == node as u8);
            // Empty messages have no sender to be seen: there are none here but in parts.
            assert!(of_node.eq(messages(chunks).iter()), "seed {seed} node {node}");
        }
        assert_eq!(got.len() - 1, sent.iter().map(|chunks| messages(chunks).len()).sum::<usize>(), "seed {seed}");
    }
}

#[test]
fn reading_is_fair() {
    let busy = |text: &[u8]| reads(chunk_source(vec![chunk(text, Flags::TEXT); 1000]));
    let mut tee = reader(TeeOptions::default(), vec![busy(b"a"), busy(b"b"), busy(b"c")]);
    let mut cx = Context::from_waker(Waker::noop());
    let mut counts = [0; 3];
    for _ in 0..300 {
        assert!(tee.poll_chunk(&mut cx, 9).is_ready());
        counts[usize::from(tee.chunk_mut()[0] - b'a')] += 1;
        tee.consume();
    }
    assert_eq!(counts, [100; 3]);
}

async fn write(writer: &mut dyn DatagramWrite, bytes: &[u8], flags: Flags) -> io::Result<()> {
    let mut bytes = bytes.to_vec();
    poll_fn(|cx| writer.poll_write(cx, &mut bytes, flags)).await
}

fn poll_read(reader: &mut dyn DatagramRead) -> Poll<Chunk> {
    let mut cx = Context::from_waker(Waker::noop());
    let flags = ready!(reader.poll_chunk(&mut cx, usize::MAX)).unwrap();
    let chunk = (reader.chunk_mut().to_vec(), flags - Flags::MORE);
    reader.consume();
    Poll::Ready(chunk)
}

#[test]
fn a_slow_one_holds_up_neither_the_others_nor_reading() {
    let ((slow, far_slow), (quick, far_quick)) = (datagram_pair(1), datagram_pair(100));
    let DatagramSocket { read, write, .. } = tee(TeeOptions::default(), vec![slow, quick]).unwrap();
    let (mut read, mut write, mut quick) = (read.unwrap(), write.unwrap(), far_quick.read.unwrap());
    let mut cx = Context::from_waker(Waker::noop());
    for text in [b"1", b"2"] {
        let taken = write.poll_write(&mut cx, &mut text.to_vec(), Flags::TEXT).is_ready();
        assert_eq!(taken, text == b"1");
        let _ = write.poll_flush(&mut cx);
        assert_eq!(poll_read(&mut *quick), Poll::Ready(chunk(text, Flags::TEXT)), "flushed though the tee is Pending");
    }
    drive(write_chunks(&mut *far_slow.write.unwrap(), &[chunk(b"from the slow one", Flags::TEXT)])).unwrap();
    assert_eq!(poll_read(&mut *read), Poll::Ready(chunk(b"from the slow one", Flags::TEXT)));
    let mut slow = far_slow.read.unwrap();
    assert_eq!(poll_read(&mut *slow), Poll::Ready(chunk(b"1", Flags::TEXT)));
    assert!(write.poll_write(&mut cx, &mut b"2".to_vec(), Flags::TEXT).is_ready());
}

#[test]
fn who_does_not_keep_up() {
    for slow in [SlowConsumer::DropOldest, SlowConsumer::Disconnect] {
        let ((stuck, far_stuck), (quick, mut far_quick)) = (datagram_pair(1), datagram_pair(1000));
        let options = TeeOptions { slow, max_backlog: 30, ..TeeOptions::default() };
        let mut tee = writer(options, vec![stuck, quick]);
        let mut got = Vec::new();
        drive(async {
            for n in 0..20u8 {
                for part in [PART, Flags::NONE] {
                    write(&mut *tee, &[n; 5], part).await.unwrap();
                }
                let mut cx = Context::from_waker(Waker::noop());
                let _ = tee.poll_flush(&mut cx);
                while let Poll::Ready((bytes, _)) = poll_read(&mut **far_quick.read.as_mut().unwrap()) {
                    got.extend(bytes);
                }
            }
        });
        assert_eq!(got, (0..20u8).flat_map(|n| [n; 10]).collect::<Vec<_>>(), "the quick one gets all");
        let mut stuck = far_stuck.read.unwrap();
        let mut rest = Vec::new();
        drive(poll_fn(|cx| {
            loop {
                let flushed = tee.poll_flush(cx).is_ready();
                match poll_read(&mut *stuck) {
                    Poll::Ready(chunk) if chunk.1.any(Flags::EOF) => return Poll::Ready(()),
                    Poll::Ready(chunk) => rest.push(chunk),
                    Poll::Pending if flushed => return Poll::Ready(()),
                    Poll::Pending => {}
                }
            }
        }));
        let rest: Vec<u8> = messages(&rest).iter().map(|m| if m.0.len() == 10 { m.0[0] } else { 99 }).collect();
        match slow {
            // The one that was under way, then the latest ones.
            SlowConsumer::DropOldest => assert_eq!(rest, [0, 17, 18, 19]),
            // Cut off, so that the last message is not whole.
            _ => assert_eq!(rest, [99]),
        }
    }
}

#[test]
fn ends() {
    let ended = |options: TeeOptions, main: &[Chunk], other: &[Chunk]| {
        let nodes = [main, other].map(|chunks| reads(chunk_source(chunks.to_vec())));
        let mut tee = reader(options, nodes.into());
        drive(collect_chunks(&mut *tee, 99))
    };
    let usual = TeeOptions::default();
    let text = |bytes: &[u8]| chunk(bytes, Flags::TEXT);
    let eof = |bytes: &[u8]| chunk(bytes, Flags::EOF);
    // That of the last one, or of the first one.
    let (a, b) = ([text(b"a"), eof(b"\x03\xe8a")], [text(b"b"), text(b"c"), eof(b"\x03\xe8b")]);
    assert_eq!(ended(usual, &a, &b).unwrap(), [text(b"a"), text(b"b"), text(b"c"), eof(b"\x03\xe8b")]);
    let first = TeeOptions { propagate_eofs: true, ..usual };
    assert_eq!(ended(first, &a, &b).unwrap(), [text(b"a"), text(b"b"), eof(b"\x03\xe8a")]);
    // The main peer that leaves takes all along when the others have ended, too.
    let gone = [chunk(b"\x03\xe8", Flags::EOF | Flags::GONE)];
    assert_eq!(ended(usual, &gone, &[]).unwrap(), [chunk(b"", Flags::EOF | Flags::GONE)]);
    assert_eq!(ended(usual, &[], &gone).unwrap(), [eof(b"\x03\xe8")]);
    // Torn.
    let torn = [chunk(b"half", Flags::TEXT | PART), eof(b"")];
    let error = ended(usual, &torn, &b).unwrap_err();
    assert_eq!(error.get_ref().and_then(|e| e.downcast_ref()), Some(&TeeError::Torn));
    let tolerant = TeeOptions { tolerate_torn: true, ..usual };
    let got = ended(tolerant, &torn, &b).unwrap();
    assert_eq!(got[..2], [chunk(b"half", Flags::TEXT | PART), text(b"")]);
    assert_eq!(messages(&got), [text(b"half"), text(b"b"), text(b"c"), eof(b"\x03\xe8b")]);
    let got = ended(TeeOptions { propagate_eofs: true, ..tolerant }, &torn, &b).unwrap();
    assert_eq!(messages(&got), [text(b"half"), text(b"b"), eof(b"")]);
    let got = ended(TeeOptions { propagate_eofs: true, ..tolerant }, &b, &torn).unwrap();
    assert_eq!(messages(&got), [text(b"b"), text(b"half"), text(b"c"), eof(b"")]);
    assert_eq!(tee(usual, vec![]).err(), Some(TeeError::Empty));
}

#[test]
fn what_is_only_written_keeps_nothing_open() {
    let silent = |read: BoxDatagramRead| {
        let info = Arc::new(SocketInfo { write_only: true, ..SocketInfo::default() });
        DatagramSocket { read: Some(read), info, ..DatagramSocket::default() }
    };
    // The end of its writing never comes here.
    let (_theirs, waiting) = datagram_pair(1);
    let b = [chunk(b"b", Flags::TEXT), chunk(b"\x03\xe8b", Flags::EOF)];
    for main in [false, true] {
        let mut sockets = vec![reads(chunk_source(b.to_vec()))];
        let (_theirs, waiting) = datagram_pair(1);
        sockets.insert(usize::from(!main), silent(waiting.read.unwrap()));
        assert_eq!(drive(collect_chunks(&mut *reader(TeeOptions::default(), sockets), 99)).unwrap(), b);
    }
    // Where there is nothing else the end of the writing is that of the session.
    let mut tee = reader(TeeOptions::default(), vec![silent(waiting.read.unwrap())]);
    assert!(drive(poll_fn(|cx| Poll::Ready(tee.poll_chunk(cx, 99).is_pending()))));
}

struct Broken;

impl DatagramRead for Broken {
    fn poll_chunk(&mut self, _: &mut Context<'_>, _: usize) -> Poll<io::Result<Flags>> {
        Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()))
    }
    fn chunk_mut(&mut self) -> &mut [u8] {
        &mut []
    }
    fn consume(&mut self) {}

    fn for_each_inner(&mut self, _: &mut dyn FnMut(&mut dyn DatagramRead)) {}
}

impl DatagramWrite for Broken {
    fn poll_write(&mut self, _: &mut Context<'_>, _: &mut [u8], _: Flags) -> Poll<io::Result<()>> {
        Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()))
    }
    fn poll_flush(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
    fn poll_shutdown(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

#[test]
fn failures() {
    let strict = TeeOptions { fail_reads: true, fail_writes: true, ..TeeOptions::default() };
    for options in [TeeOptions::default(), strict] {
        let all = |n: usize| -> Vec<DatagramSocket> {
            let mut nodes: Vec<_> = (0..n).map(|_| reads(Box::new(Broken))).collect();
            nodes.push(reads(chunk_source(vec![chunk(b"a", Flags::TEXT)])));
            nodes
        };
        let got = drive(collect_chunks(&mut *reader(options, all(2)), 9));
        assert_eq!(
            got.map_err(|e| e.kind()),
            match options.fail_reads {
                // Not a reset: that would be handed on to those that are well.
                true => Err(io::ErrorKind::Other),
                false => Ok(vec![chunk(b"a", Flags::TEXT), chunk(b"", Flags::EOF)]),
            }
        );
        let recorder = Recorder::new();
        let mut tee = writer(options, vec![writes(Box::new(Broken)), writes(recorder.datagrams())]);
        let got = drive(write_chunks(&mut *tee, &some_chunks()));
        assert_eq!(
            got.map_err(|e| e.kind()),
            if options.fail_writes { Err(io::ErrorKind::BrokenPipe) } else { Ok(()) }
        );
        assert_eq!(recorder.is_shut(), !options.fail_writes);
        // Without anybody left it fails in any case.
        let mut tee = writer(options, vec![writes(Box::new(Broken)), writes(Box::new(Broken))]);
        assert!(drive(write(&mut *tee, b"x", Flags::NONE)).is_err());
        let mut tee = reader(options, vec![reads(Box::new(Broken)), reads(Box::new(Broken))]);
        assert!(drive(collect_chunks(&mut *tee, 9)).is_err());
    }
}

#[test]
fn one_that_cannot_be_read_holds_up_nobody() {
    let ((stuck, _far_stuck), (well, mut far)) = (datagram_pair(1), datagram_pair(9));
    let stuck = DatagramSocket { read: Some(Box::new(Broken)), ..stuck };
    let DatagramSocket { read, write: out, .. } = tee(TeeOptions::default(), vec![well, stuck]).unwrap();
    let (mut read, mut out) = (read.unwrap(), out.unwrap());
    let wakes = Arc::new(Wakes::default());
    let waker = Waker::from(wakes.clone());
    let mut cx = Context::from_waker(&waker);
    assert!(out.poll_write(&mut cx, &mut b"1".to_vec(), Flags::TEXT).is_ready());
    assert!(out.poll_write(&mut cx, &mut b"2".to_vec(), Flags::TEXT).is_pending());
    let before = wakes.0.load(Relaxed);
    assert_eq!(poll_read(&mut *read), Poll::Pending, "the other one is well");
    assert!(wakes.0.load(Relaxed) > before, "whoever writes hears of it");
    for text in [b"2", b"3", b"4"] {
        assert!(matches!(out.poll_write(&mut cx, &mut text.to_vec(), Flags::TEXT), Poll::Ready(Ok(()))));
    }
    assert!(out.poll_shutdown(&mut cx).is_ready());
    for text in [b"1", b"2", b"3", b"4"] {
        assert_eq!(poll_read(&mut **far.read.as_mut().unwrap()), Poll::Ready(chunk(text, Flags::TEXT)));
    }
}

#[derive(Default)]
struct Wakes(AtomicUsize);

impl Wake for Wakes {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Relaxed);
    }
}

#[test]
fn a_peer_that_leaves_is_let_go() {
    let leaves = DatagramSocket {
        read: Some(chunk_source(vec![chunk(b"\x03\xe8", Flags::EOF | Flags::GONE)])),
        ..writes(Recorder::new().datagrams())
    };
    let ((stays, mut far), recorder) = (datagram_pair(9), Recorder::new());
    let leaves = DatagramSocket { write: Some(recorder.datagrams()), ..leaves };
    let DatagramSocket { read, write: out, .. } = tee(TeeOptions::default(), vec![leaves, stays]).unwrap();
    let (mut read, mut out) = (read.unwrap(), out.unwrap());
    drive(write(&mut *out, b"1", Flags::TEXT)).unwrap();
    assert_eq!(poll_read(&mut *read), Poll::Pending, "the other one has not ended");
    assert!(!recorder.is_shut());
    drive(write(&mut *out, b"2", Flags::TEXT)).unwrap();
    drive(poll_fn(|cx| out.poll_flush(cx))).unwrap();
    assert!(recorder.is_shut());
    assert_eq!(recorder.messages(), [chunk(b"1", Flags::TEXT)]);
    assert_eq!(poll_read(&mut **far.read.as_mut().unwrap()), Poll::Ready(chunk(b"1", Flags::TEXT)));
    assert_eq!(poll_read(&mut **far.read.as_mut().unwrap()), Poll::Ready(chunk(b"2", Flags::TEXT)));
}

#[test]
fn hangups_that_count() {
    for (hangups, main, other, hangs_up) in [
        (TeeHangups::None, true, true, false),
        (TeeHangups::Any, false, true, true),
        (TeeHangups::Any, true, false, true),
        (TeeHangups::Any, false, false, false),
        (TeeHangups::First, true, false, true),
        (TeeHangups::First, false, true, false),
    ] {
        let node =
            |hangs_up: bool| DatagramSocket { hangup: hangs_up.then(Hangup::now), ..reads(chunk_source(vec![])) };
        let joined = tee(TeeOptions { hangups, ..TeeOptions::default() }, vec![node(main), node(other)]).unwrap();
        assert_eq!(joined.hangup.is_some(), hangs_up, "{hangups:?} {main} {other}");
        assert!(joined.write.is_none());
    }
}
