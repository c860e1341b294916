//! Several clients over one inner socket, driven by hand.

use super::*;
use crate::{
    datagram::{DatagramRead, DatagramWrite},
    testing::{
        Chunk, PendingAt, Recorder, Schedule, chunk_source, collect_messages, datagram_pair, drive, schedules,
        write_chunks,
    },
};

const PART: Flags = Flags::PARTIAL;

fn chunk(bytes: &[u8], flags: Flags) -> Chunk {
    (bytes.to_vec(), flags)
}

fn over(recorder: &Recorder, schedule: Schedule, torn: TornMessage) -> Reuser {
    let write = Some(schedule.datagram_write_half(recorder.datagrams()));
    Reuser::with(DatagramSocket { write, ..DatagramSocket::default() }, torn)
}

fn reading(chunks: &[Chunk]) -> Reuser {
    Reuser::new(DatagramSocket { read: Some(chunk_source(chunks.to_vec())), ..DatagramSocket::default() })
}

fn poll_read(reader: &mut dyn DatagramRead) -> Poll<Chunk> {
    let mut cx = Context::from_waker(Waker::noop());
    let flags = ready!(reader.poll_chunk(&mut cx, usize::MAX)).unwrap();
    Poll::Ready((reader.chunk_mut().to_vec(), flags - Flags::MORE))
}

async fn write(writer: &mut dyn DatagramWrite, bytes: &[u8], flags: Flags) -> io::Result<()> {
    let mut bytes = bytes.to_vec();
    poll_fn(|cx| writer.poll_write(cx, &mut bytes, flags)).await
}

#[test]
fn messages_of_several_clients_do_not_mix() {
    for schedule in schedules() {
        let recorder = Recorder::new();
        let reuser = over(&recorder, schedule, TornMessage::Disconnect);
        let mut clients = ["aaa", "bbb", "ccc"].map(|text| (text, reuser.client().write.unwrap()));
        drive(async {
            let [a, b, c] = clients.each_mut().map(|(text, writer)| async move {
                for _ in 0..3 {
                    for (i, byte) in text.bytes().enumerate() {
                        let flags = if i < 2 { Flags::TEXT | PART } else { Flags::TEXT };
                        write(&mut **writer, &[byte], flags).await.unwrap();
                    }
                    poll_fn(|cx| writer.poll_flush(cx)).await.unwrap();
                }
                write(&mut **writer, b"\x03\xe8", Flags::EOF).await.unwrap();
                poll_fn(|cx| writer.poll_shutdown(cx)).await.unwrap();
            });
            tokio::join!(a, b, c);
        });
        let mut messages = recorder.messages();
        messages.sort_by(|a, b| a.0.cmp(&b.0));
        let expected: Vec<_> =
            ["aaa", "bbb", "ccc"].iter().flat_map(|t| vec![chunk(t.as_bytes(), Flags::TEXT); 3]).collect();
        assert_eq!(messages, expected, "{schedule:?}");
        assert!(recorder.is_flushed() && !recorder.is_shut());
    }
}

#[test]
fn one_reads_at_a_time_and_hands_over_between_messages() {
    let reuser = reading(&[
        chunk(b"1", Flags::TEXT),
        chunk(b"2a", PART),
        chunk(b"2b", Flags::NONE),
        chunk(b"3", Flags::TEXT),
        chunk(b"4", Flags::TEXT),
        chunk(b"bye", Flags::EOF),
    ]);
    let [mut a, mut b, mut c] = [(); 3].map(|()| reuser.client().read.unwrap());
    assert_eq!(poll_read(&mut *a), Poll::Ready(chunk(b"1", Flags::TEXT)));
    a.consume();
    assert_eq!(poll_read(&mut *b), Poll::Pending);
    assert_eq!(poll_read(&mut *c), Poll::Pending);
    // The rest of the message that the first client began is not for the next.
    assert_eq!(poll_read(&mut *a), Poll::Ready(chunk(b"2a", PART)));
    a.consume();
    drop(a);
    assert_eq!(poll_read(&mut *c), Poll::Pending, "not its turn");
    assert_eq!(poll_read(&mut *b), Poll::Ready(chunk(b"3", Flags::TEXT)));
    // Announced and not consumed: not lost.
    drop(b);
    assert_eq!(poll_read(&mut *c), Poll::Ready(chunk(b"3", Flags::TEXT)));
    c.consume();
    let mut late = reuser.client().read.unwrap();
    assert_eq!(poll_read(&mut *late), Poll::Pending);
    assert_eq!(poll_read(&mut *c), Poll::Ready(chunk(b"4", Flags::TEXT)));
    c.consume();
    for reader in [&mut c, &mut late, &mut reuser.client().read.unwrap()] {
        assert_eq!(poll_read(&mut **reader), Poll::Ready(chunk(b"bye", Flags::EOF)));
        reader.consume();
        assert_eq!(poll_read(&mut **reader), Poll::Ready(chunk(b"bye", Flags::EOF)));
    }
}

#[test]
fn reading_is_the_same_however_it_is_cut() {
    let chunks = [
        chunk(b"hello", Flags::TEXT),
        chunk(b"", Flags::NONE),
        chunk(b"\0\x01\x02", Flags::NONE),
        chunk(b"", Flags::EOF),
    ];
    for schedule in schedules() {
        let read = Some(schedule.datagram_read_half(chunk_source(chunks.to_vec())));
        let reuser = Reuser::new(DatagramSocket { read, ..DatagramSocket::default() });
        let mut client = reuser.client().read.unwrap();
        assert_eq!(drive(collect_messages(&mut *client, usize::MAX)).unwrap(), chunks, "{schedule:?}");
    }
}

#[test]
fn a_client_that_has_ended_its_direction_yields() {
    let (inner, far) = datagram_pair(9);
    let reuser = Reuser::new(inner);
    let [mut a, mut b] = [(); 2].map(|()| reuser.client());
    let (ar, br) = (&mut **a.read.as_mut().unwrap(), &mut **b.read.as_mut().unwrap());
    assert_eq!((poll_read(ar), poll_read(br)), (Poll::Pending, Poll::Pending));
    drive(write(&mut **a.write.as_mut().unwrap(), b"\x03\xe8", Flags::EOF)).unwrap();
    drive(write_chunks(&mut *far.write.unwrap(), &[chunk(b"x", Flags::TEXT)])).unwrap();
    assert_eq!(poll_read(ar), Poll::Pending);
    assert_eq!(poll_read(br), Poll::Ready(chunk(b"x", Flags::TEXT)));
}

#[test]
fn torn_messages_end_the_socket_or_are_finished() {
    for schedule in schedules() {
        for torn in [TornMessage::Disconnect, TornMessage::Finish] {
            let recorder = Recorder::new();
            let reuser = over(&recorder, schedule, torn);
            let mut gone = reuser.client().write.unwrap();
            let mut next = reuser.client().write.unwrap();
            let outcome = drive(async {
                write(&mut *gone, b"half", Flags::TEXT | PART).await.unwrap();
                drop(gone);
                write_chunks(&mut *next, &[chunk(b"whole", Flags::TEXT)]).await
            });
            if torn == TornMessage::Finish {
                outcome.unwrap();
                assert_eq!(recorder.messages(), [chunk(b"half", Flags::TEXT), chunk(b"whole", Flags::TEXT)]);
                continue;
            }
            let error = outcome.unwrap_err();
            assert_eq!(error.get_ref().and_then(|e| e.downcast_ref()), Some(&ReuseError::Torn));
            assert!(drive(write(&mut *reuser.client().write.unwrap(), b"x", Flags::TEXT)).is_err());
            assert_eq!(recorder.chunks()[1], chunk(b"\x03\xf3client left in the middle of a message", Flags::EOF));
            assert!(recorder.is_shut());
        }
    }
}

#[test]
fn a_chunk_begun_by_a_client_that_left_is_finished() {
    let recorder = Recorder::new();
    let hold = Schedule { pending: PendingAt::Nth(0), ..Schedule::WHOLE };
    let reuser = over(&recorder, hold, TornMessage::Disconnect);
    let [mut gone, mut next] = [(); 2].map(|()| reuser.client().write.unwrap());
    let mut cx = Context::from_waker(Waker::noop());
    assert!(gone.poll_write(&mut cx, &mut b"first".to_owned(), Flags::TEXT).is_pending());
    assert!(next.poll_write(&mut cx, &mut b"second".to_owned(), Flags::TEXT).is_pending());
    drop(gone);
    drive(write(&mut *next, b"second", Flags::TEXT)).unwrap();
    assert_eq!(recorder.messages(), [chunk(b"first", Flags::TEXT), chunk(b"second", Flags::TEXT)]);
}

#[test]
fn failures_and_hangups_reach_everybody() {
    let failing =
        crate::testing::faults::fail_read(crate::endpoint::zero::zero().read.unwrap(), 0, io::ErrorKind::TimedOut);
    let read = Some(Box::new(crate::overlay::chunks::StreamChunks::new(failing)) as _);
    let hangup = Some(Hangup::now());
    let reuser = Reuser::new(DatagramSocket { read, hangup, ..DatagramSocket::default() });
    let [mut a, mut b] = [(); 2].map(|()| reuser.client());
    for client in [&mut a, &mut b] {
        let error = drive(collect_messages(&mut **client.read.as_mut().unwrap(), 9)).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        drive(client.hangup.take().unwrap());
        assert!(client.write.is_none());
    }
}

#[test]
fn the_first_client_opens_and_the_next_retries() {
    let slot = ReuserSlot::default();
    let torn = TornMessage::Disconnect;
    drive(async {
        assert_eq!(slot.client_or_open(torn, async { Err("refused") }).await.err(), Some("refused"));
        let (inner, _far) = datagram_pair(1);
        assert!(slot.client_or_open(torn, async { Ok::<_, &str>(inner) }).await.is_ok());
        assert!(slot.client_or_open(torn, async { Err("not asked") }).await.is_ok());
    });
}
