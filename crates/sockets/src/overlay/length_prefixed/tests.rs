//! Length-prefixed messages byte by byte, under every schedule, with every combination of options.

use super::*;
use crate::{
    datagram::{DatagramRead, DatagramWrite, Flags},
    endpoint::literal::literal,
    fuzz::length_prefixed::{Model, read, written},
    testing::{Chunk, Recorder, Schedule, collect_chunks, drive, schedules, write_chunks},
};
use std::{
    future::poll_fn,
    task::{Context, Poll, Waker},
};

const PLAIN: Model = Model { nbytes: 2, little_endian: false, continuations: false, control: false, text: false };
const ALL: Model = Model { continuations: true, control: true, text: true, ..PLAIN };

fn chunk(bytes: &[u8], flags: Flags) -> Chunk {
    (bytes.to_vec(), flags)
}

fn options(model: Model) -> LengthPrefixedOptions {
    model.options(usize::MAX, None)
}

#[test]
fn headers_on_the_wire() {
    let text_part = Flags::TEXT | Flags::PARTIAL;
    let table: [(Model, &[Chunk], &[u8]); 7] = [
        (PLAIN, &[chunk(b"abc", Flags::NONE), chunk(b"", Flags::TEXT)], b"\0\x03abc\0\0"),
        (Model { nbytes: 4, little_endian: true, ..PLAIN }, &[chunk(b"abc", Flags::TEXT)], b"\x03\0\0\0abc"),
        (PLAIN, &[chunk(b"a", Flags::PARTIAL), chunk(b"!", Flags::PING), chunk(b"bc", Flags::NONE)], b"\0\x03abc"),
        (
            ALL,
            // What the fragments say differently from the first one does not count.
            &[chunk(b"a", text_part), chunk(b"!", Flags::PONG), chunk(b"", Flags::PARTIAL), chunk(b"bc", Flags::NONE)],
            b"\xa0\x01a\x40\x02\x0a!\xa0\0\x20\x02bc\x40\x01\x08",
        ),
        (
            ALL,
            &[chunk(b"x", Flags::NONE), chunk(b"p", Flags::PING), chunk(b"\x03\xe8bye", Flags::EOF)],
            b"\0\x01x\x40\x02\x09p\x40\x06\x08\x03\xe8bye",
        ),
        (
            Model { little_endian: true, continuations: false, ..ALL },
            &[chunk(b"t", Flags::TEXT), chunk(b"", Flags::EOF)],
            b"\x01\x40t\x01\x80\x08",
        ),
        // Longer than the header can say: several fragments.
        (
            Model { nbytes: 1, ..ALL },
            &[chunk(&[7; 33], Flags::TEXT)],
            &[&b"\xbf"[..], &[7; 31], b"\x22", &[7; 2], b"\x41\x08"].concat(),
        ),
    ];
    for (model, chunks, wire) in table {
        for schedule in schedules() {
            assert_eq!(written(&options(model), chunks, schedule), (wire.to_vec(), None), "{model:?} {schedule:?}");
        }
    }
}

#[test]
fn every_combination_of_options_says_what_the_model_says() {
    let part = Flags::PARTIAL;
    let chunks = [
        chunk(b"text", Flags::TEXT),
        chunk(b"", Flags::NONE),
        chunk(b"ping", Flags::PING),
        chunk(b"in ", Flags::TEXT | part),
        chunk(b"", part),
        chunk(b"pong", Flags::PONG),
        chunk(b"parts", Flags::NONE),
        chunk(b"binary as long as the shortest length", part),
        chunk(b"", Flags::NONE),
        chunk(b"\x03\xe8over", Flags::EOF),
    ];
    for bits in 0..128 {
        let model = Model::numbered(bits);
        // Some do not fit into one byte.
        let fitting = model.longest() > 31 || model.continuations;
        let chunks = if fitting { &chunks[..] } else { &chunks[..7] };
        let (wire, error) = model.write(chunks, usize::MAX);
        assert_eq!(error, None);
        let expected = model.read(&wire, u64::MAX);
        assert_eq!(expected.1, None);
        let messages = expected.0.iter().filter(|m| !m.1.any(Flags::CONTROL)).count();
        assert_eq!(messages, if fitting { 4 } else { 3 });
        assert_eq!(expected.0.len(), messages + if model.control { 3 } else { 1 }, "and the end");
        for schedule in schedules().filter(|s| s.read == s.write || s.write == usize::MAX) {
            assert_eq!(written(&options(model), chunks, schedule), (wire.clone(), None), "{model:?} {schedule:?}");
            for taken in [(1, false), (3, true), (usize::MAX, false), (usize::MAX, true)] {
                assert_eq!(read(&options(model), &wire, schedule, taken), expected, "{model:?} {schedule:?} {taken:?}");
            }
        }
    }
}

#[test]
fn what_is_wrong_ends_the_input() {
    use LengthPrefixedError as E;
    let limit = |max| (ALL, Some(max));
    type Row = ((Model, Option<u64>), &'static [u8], usize, Option<LengthPrefixedError>);
    let table: [Row; 22] = [
        ((PLAIN, None), b"\0\x01a\0", 1, Some(E::Torn)),
        ((PLAIN, None), b"\0\x01a\0\x02b", 1, Some(E::Torn)),
        ((PLAIN, None), b"\0\x01a\xff\xff", 1, Some(E::Torn)),
        ((ALL, None), b"\0\x01a\x80\x01b", 1, Some(E::Torn)),
        ((ALL, None), b"\0\x01a\x40\0", 1, Some(E::ControlWithoutType)),
        ((ALL, None), b"\0\x01a\x40\x01\x07", 1, Some(E::ControlType(7))),
        ((ALL, None), b"\x40\x01\x0b", 0, Some(E::ControlType(11))),
        ((ALL, None), b"\x40\x02\x09", 0, Some(E::Torn)),
        // A control message in pieces, each with its type.
        ((ALL, None), b"\xc0\x02\x09a\xc0\x01\x09\x40\x03\x09bc\0\0", 3, None),
        ((ALL, None), b"\xc0\x02\x08a\x40\x03\x08bcbehind", 1, None),
        ((ALL, None), b"\xc0\x02\x09a\x40\x02\x0ab", 0, Some(E::ControlInterrupted)),
        ((ALL, None), b"\xc0\x02\x09a\0\x01b", 0, Some(E::ControlInterrupted)),
        ((ALL, None), b"\xc0\x02\x09a", 0, Some(E::Torn)),
        // Nothing is read behind the end. It may come in the middle of a message.
        ((ALL, None), b"\x40\x01\x08\x40\0", 1, None),
        ((ALL, None), b"\x80\x01a\x40\x03\x08\x03\xe8\xff", 1, None),
        // Limits count all fragments of one message, and no two messages together.
        (limit(3), b"\0\x03abc\0\x03abc", 3, None),
        (limit(3), b"\0\x03abc\0\x04abcd", 1, Some(E::Announced { len: 4, limit: 3 })),
        (limit(3), b"\x80\x02ab\x80\0\0\x01c\0\0", 3, None),
        (limit(3), b"\x80\x02ab\x80\x02cd", 0, Some(E::Announced { len: 4, limit: 3 })),
        ((Model { nbytes: 8, ..PLAIN }, Some(9)), &[0xff; 8], 0, Some(E::Announced { len: u64::MAX, limit: 9 })),
        ((Model { nbytes: 8, ..ALL }, None), b"\x40\0\0\0\0\x01\0\0", 0, Some(E::ControlTooLong { limit: 65536 })),
        ((Model { nbytes: 8, ..PLAIN }, None), b"\xff\xff\xff\xff\xff\xff\xff\xffabc", 0, Some(E::Torn)),
    ];
    for ((model, max_read), wire, messages, error) in table {
        let options = model.options(usize::MAX, max_read);
        let expected = model.read(wire, max_read.unwrap_or(u64::MAX));
        assert_eq!((expected.0.len(), expected.1), (messages, error), "the model: {wire:?}");
        for schedule in schedules().filter(|s| s.write == 1) {
            for taken in [(1, false), (usize::MAX, false), (usize::MAX, true)] {
                assert_eq!(read(&options, wire, schedule, taken), expected, "{wire:?} {schedule:?} {taken:?}");
            }
        }
    }
}

#[test]
fn a_close_with_a_status_code_is_a_farewell() {
    for (wire, flags) in [(&b"\x40\x03\x08\x03\xe8"[..], Flags::EOF | Flags::GONE), (b"\x40\x01\x08", Flags::EOF)] {
        let mut reader = LengthPrefixedReader::new(literal(wire.to_vec()).read.unwrap(), &options(ALL));
        let chunks = drive(collect_chunks(&mut reader, 1)).unwrap();
        assert_eq!(chunks, [(wire[3..].to_vec(), flags)]);
    }
}

#[test]
fn too_long_messages_fail_whole_and_the_next_one_is_written() {
    let table: [(usize, usize, usize); 4] = [(1, usize::MAX, 255), (2, usize::MAX, 65_535), (4, 1000, 1000), (4, 0, 0)];
    for (nbytes, max, limit) in table {
        let options = Model { nbytes, ..PLAIN }.options(max, None);
        for parts in [1, 3] {
            let recorder = Recorder::new();
            let mut writer = LengthPrefixedWriter::new(recorder.stream(), &options);
            let message = vec![1; limit + 1];
            drive(async {
                let size = message.len().div_ceil(parts);
                let last = message.chunks(size).count() - 1;
                let mut failed = None;
                for (i, part) in message.chunks(size).enumerate() {
                    let flags = if i == last { Flags::NONE } else { Flags::PARTIAL };
                    failed = poll_fn(|cx| writer.poll_write(cx, &mut part.to_vec(), flags)).await.err();
                }
                let error = failed.unwrap();
                let source = error.get_ref().and_then(|e| e.downcast_ref());
                assert_eq!(source, Some(&LengthPrefixedError::TooLong { limit }));
                assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
                let whole = [chunk(&message[1..], Flags::NONE)];
                write_chunks(&mut writer, &whole).await.unwrap();
            });
            assert_eq!(recorder.bytes().len(), nbytes + limit, "{nbytes} {max} {parts}");
        }
    }
}

#[test]
fn control_messages_fit_into_the_header() {
    let narrow = Model { nbytes: 1, continuations: false, ..ALL };
    let room = narrow.longest() - 1;
    assert_eq!(room, 62);
    let reason = "ä".repeat(61);
    let chunks = [
        chunk(&vec![1; room], Flags::PING),
        chunk(&vec![2; room + 1], Flags::PONG),
        chunk(&[&[3, 0xe8], reason.as_bytes()].concat(), Flags::EOF),
    ];
    let (wire, error) = written(&options(narrow), &chunks, Schedule::WHOLE);
    let body = [&[3, 0xe8], "ä".repeat(30).as_bytes()].concat();
    let expected = [&[0x80 | 63, 9][..], &vec![1; room], &[0x80 | (1 + body.len() as u8), 8], &body].concat();
    assert_eq!((wire, error), (expected, None));
    // A header that has no room for a status code.
    let format = HeaderFormat::new((1, false), 1, [0, 0x80, 0]).unwrap();
    let tiny = LengthPrefixedOptions { format, ..options(PLAIN) };
    assert_eq!(written(&tiny, &[chunk(b"\x03\xe8x", Flags::EOF)], Schedule::WHOLE).0, [0x81, 8]);
}

#[test]
fn an_unfinished_message_is_not_written_as_a_whole_one() {
    let chunks = [chunk(b"ab", Flags::PARTIAL), chunk(b"", Flags::EOF)];
    assert_eq!(written(&options(PLAIN), &chunks, Schedule::WHOLE), (vec![], None));
    assert_eq!(written(&options(PLAIN), &chunks[..1], Schedule::WHOLE), (vec![], None));
    assert_eq!(written(&options(ALL), &chunks, Schedule::WHOLE).0, b"\x80\x02ab\x40\x01\x08");
}

#[test]
fn nothing_is_said_after_the_end() {
    let chunks = [chunk(b"", Flags::EOF), chunk(b"late", Flags::NONE), chunk(b"p", Flags::PING)];
    assert_eq!(written(&options(ALL), &chunks, Schedule::WHOLE).0, b"\x40\x01\x08");
}

#[test]
fn long_messages_come_in_parts_and_pin_no_memory() {
    const LARGEST: usize = crate::buffer::LARGEST;
    let model = Model { nbytes: 8, ..PLAIN };
    for (len, whole) in [(70_000, true), (LARGEST, true), (LARGEST + 1, false), (3 * LARGEST, false)] {
        let (wire, _) = model.write(&[(vec![b'x'; len], Flags::NONE)], usize::MAX);
        for read in [1000, usize::MAX] {
            let schedule = Schedule { read, ..Schedule::WHOLE };
            let inner = schedule.read_half(literal(wire.clone()).read.unwrap());
            let mut reader = LengthPrefixedReader::new(inner, &options(model));
            let chunks = drive(collect_chunks(&mut reader, usize::MAX)).unwrap();
            assert_eq!(chunks.len() == 2, whole, "{len}");
            assert!(chunks.iter().all(|c| c.0.len() <= LARGEST));
            assert_eq!(chunks.iter().map(|c| c.0.len()).sum::<usize>(), len);
        }
    }
    // A prefix alone takes no more than a small buffer.
    let (mut ours, theirs, _) = crate::testing::pair(100);
    let mut reader = LengthPrefixedReader::new(theirs.read.unwrap(), &options(model));
    let mut cx = Context::from_waker(Waker::noop());
    drive(tokio::io::AsyncWriteExt::write_all(ours.write.as_mut().unwrap(), b"\x7f\0\0\0\0\0\0\0")).unwrap();
    assert!(reader.poll_chunk(&mut cx, usize::MAX).is_pending());
    assert_eq!(reader.held(), 0);
}

#[test]
fn idle_halves_hold_no_buffer() {
    let (mut ours, theirs, _) = crate::testing::pair(1000);
    let mut reader = LengthPrefixedReader::new(theirs.read.unwrap(), &options(ALL));
    let mut writer = LengthPrefixedWriter::new(ours.write.take().unwrap(), &options(ALL));
    let mut cx = Context::from_waker(Waker::noop());
    assert!(reader.poll_chunk(&mut cx, usize::MAX).is_pending());
    drive(async {
        poll_fn(|cx| writer.poll_write(cx, &mut [1, 2, 3], Flags::NONE)).await.unwrap();
        poll_fn(|cx| writer.poll_flush(cx)).await.unwrap();
    });
    assert!(matches!(reader.poll_chunk(&mut cx, usize::MAX), Poll::Ready(Ok(Flags::NONE))));
    assert_eq!(reader.chunk_mut(), [1, 2, 3]);
    reader.consume();
    assert!(reader.poll_chunk(&mut cx, usize::MAX).is_pending());
    assert_eq!((reader.held(), writer.held()), (0, 0));
}

#[test]
fn directions_can_go_without_headers() {
    for (skip_read, skip_write) in [(true, false), (false, true)] {
        let options = LengthPrefixedOptions {
            skip_read_direction: skip_read,
            skip_write_direction: skip_write,
            ..options(PLAIN)
        };
        let recorder = Recorder::new();
        let mut stream = literal(&b"\0\x01x"[..]);
        stream.write = Some(recorder.stream());
        let socket = length_prefixed_chunks(stream, &options);
        assert!(socket.info.half_close);
        let (mut read, mut write) = (socket.read.unwrap(), socket.write.unwrap());
        assert_eq!(write.keeps_borders(), !skip_write);
        let chunks = drive(collect_chunks(&mut *read, usize::MAX)).unwrap();
        assert_eq!(chunks[0].0, if skip_read { &b"\0\x01x"[..] } else { b"x" });
        drive(write_chunks(&mut *write, &[chunk(b"y", Flags::NONE)])).unwrap();
        assert_eq!(recorder.bytes(), if skip_write { &b"y"[..] } else { b"\0\x01y" });
    }
}

#[test]
fn messages_before_a_fault_arrive_and_the_fault_is_told() {
    let kind = io::ErrorKind::ConnectionReset;
    let inner = crate::testing::faults::fail_read(literal(&b"\0\x01a\0\x02b"[..]).read.unwrap(), 6, kind);
    let mut reader = LengthPrefixedReader::new(inner, &options(PLAIN));
    let mut cx = Context::from_waker(Waker::noop());
    assert!(reader.poll_chunk(&mut cx, usize::MAX).is_ready());
    assert_eq!(reader.chunk_mut(), b"a");
    reader.consume();
    assert!(matches!(reader.poll_chunk(&mut cx, usize::MAX), Poll::Ready(Err(e)) if e.kind() == kind));

    let recorder = Recorder::new();
    let inner = crate::testing::faults::fail_write(recorder.stream(), 3, io::ErrorKind::StorageFull);
    let error =
        drive(write_chunks(&mut LengthPrefixedWriter::new(inner, &options(PLAIN)), &[chunk(b"abc", Flags::NONE)]));
    assert_eq!((error.unwrap_err().kind(), &*recorder.bytes()), (io::ErrorKind::StorageFull, &b"\0\x03a"[..]));
}
