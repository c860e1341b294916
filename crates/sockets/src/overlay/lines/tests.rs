//! Tables of lines in and lines out, each row under every schedule.

use super::*;
use crate::{
    endpoint::literal::literal,
    testing::{Recorder, collect_chunks, collect_messages, drive, messages, schedules, write_chunks},
};

fn options(n: usize) -> LinesOptions {
    LinesOptions { n, ..LinesOptions::default() }
}

fn text(lines: &[&[u8]]) -> Vec<crate::testing::Chunk> {
    let mut all: Vec<_> = lines.iter().map(|line| (line.to_vec(), Flags::TEXT)).collect();
    all.push((vec![], Flags::EOF));
    all
}

type ReadRow = (LinesOptions, &'static [u8], &'static [&'static [u8]]);

#[test]
fn reading_splits_at_runs_of_n() {
    let inline = |n| LinesOptions { inline: true, ..options(n) };
    let crlf = |n| LinesOptions { trim_cr: true, ..options(n) };
    let table: [ReadRow; 23] = [
        (options(1), b"", &[]),
        (options(1), b"a\nbc\n", &[b"a", b"bc"]),
        (options(1), b"\n\nx\n", &[b"", b"", b"x"]),
        (options(1), b"a\nlast", &[b"a", b"last"]),
        (options(1), b"only", &[b"only"]),
        (options(2), b"a\nb\n\nc\n\n", &[b"a\nb", b"c"]),
        (options(2), b"a\n\n\n\n\n", &[b"a", b"", b"\n"]),
        (options(2), b"a\n", &[b"a\n"]),
        (options(3), b"\n\n\n\n\na\n\nb\n\n\n", &[b"", b"\n\na\n\nb"]),
        (options(0), b"a\n", &[b"a"]),
        (inline(1), b"a\n\nb", &[b"a\n", b"\n", b"b"]),
        (inline(2), b"a\nb\n\n\n", &[b"a\nb\n\n", b"\n"]),
        (inline(3), b"a\n\nb\n\n\nc", &[b"a\n\nb\n\n\n", b"c"]),
        (LinesOptions { separator: 0, ..options(1) }, b"a\nb\0c", &[b"a\nb", b"c"]),
        (options(5000), b"a\n\n", &[b"a\n\n"]),
        (options(1), b"a\r\n", &[b"a\r"]),
        (crlf(1), b"a\r\nb\n\r\n\r\r\nc\rd\r\n", &[b"a", b"b", b"", b"\r", b"c\rd"]),
        (crlf(1), b"a\r\nlast\r", &[b"a", b"last\r"]),
        (crlf(2), b"a\r\nb\r\n\n\r\n\r\n\n", &[b"a\r\nb", b"", b"\n"]),
        (crlf(2), b"a\r\n\r\nb\r\nc\r\n\r\r\n\r\n", &[b"a", b"b\r\nc\r\n\r"]),
        (crlf(3), b"a\r\n\r\nb\n\r\n\nc\r\n\r", &[b"a\r\n\r\nb", b"c\r\n\r"]),
        (LinesOptions { inline: true, ..crlf(1) }, b"a\r\n", &[b"a\r\n"]),
        (LinesOptions { separator: b'\r', ..crlf(1) }, b"a\r\rb\r", &[b"a", b"", b"b"]),
    ];
    for (options, input, expected) in table {
        for schedule in schedules() {
            for max in [1, 2, 3, usize::MAX] {
                for parts in [false, true] {
                    let inner = schedule.read_half(literal(input.to_vec()).read.unwrap());
                    let mut reader = LineReader::new(inner, &options);
                    if parts {
                        reader.parts_suffice();
                    }
                    let chunks = drive(collect_chunks(&mut reader, max)).unwrap();
                    assert!(chunks.iter().all(|c| c.0.len() <= max));
                    assert_eq!(messages(&chunks), text(expected), "{options:?} {input:?} {schedule:?} {max} {parts}");
                }
            }
        }
    }
}

#[test]
fn long_lines_stay_whole_as_far_as_memory_is_pooled() {
    assert_eq!(crate::buffer::SIZES.last(), Some(&HOLD));
    for (len, chunks) in [(200_000, 1), (HOLD - 1, 1), (HOLD, 2), (2 * HOLD + 5, 3)] {
        let mut input = vec![b'x'; len];
        input.extend(b"\nnext\n");
        for schedule in
            [crate::testing::Schedule::WHOLE, crate::testing::Schedule { read: 1000, ..schedules().next().unwrap() }]
        {
            let inner = schedule.read_half(literal(input.clone()).read.unwrap());
            let mut reader = LineReader::new(inner, &options(1));
            let got = drive(collect_chunks(&mut reader, usize::MAX)).unwrap();
            assert_eq!(got.len(), chunks + 2, "{len}");
            let got = messages(&got);
            assert_eq!((got[0].0.len(), &*got[1].0), (len, &b"next"[..]));
        }
    }
}

#[test]
fn an_idle_reader_holds_no_buffer() {
    let (a, b, _) = crate::testing::pair(100);
    let mut reader = LineReader::new(b.read.unwrap(), &options(1));
    let mut writer = a.write.unwrap();
    let mut cx = Context::from_waker(std::task::Waker::noop());
    drive(tokio::io::AsyncWriteExt::write_all(&mut writer, b"line\n")).unwrap();
    assert!(reader.poll_chunk(&mut cx, usize::MAX).is_ready());
    reader.consume();
    assert!(reader.poll_chunk(&mut cx, usize::MAX).is_pending());
    assert_eq!(reader.window.room(), 0);
}

fn written(options: &LinesOptions, chunks: &[(&[u8], Flags)]) -> Vec<Vec<u8>> {
    let outputs = schedules().map(|schedule| {
        let recorder = Recorder::new();
        let mut writer = LineWriter::new(schedule.write_half(recorder.stream()), options);
        let chunks: Vec<_> = chunks.iter().map(|(bytes, flags)| (bytes.to_vec(), *flags)).collect();
        drive(write_chunks(&mut writer, &chunks)).unwrap();
        assert!(recorder.is_shut());
        recorder.bytes()
    });
    outputs.collect()
}

#[test]
fn writing_keeps_separators_out_of_messages() {
    let space = |n| LinesOptions { substitute: Some(b' '), ..options(n) };
    let table: [(LinesOptions, &[u8], &[u8]); 12] = [
        (space(1), b"hel\nlo\n\n", b"hel lo  \n"),
        (space(1), b"\n\nabc", b"abc\n"),
        (space(1), b"", b"\n"),
        (space(1), b"\n", b"\n"),
        (space(2), b"abc\n", b"abc\n\n"),
        (space(2), b"a\nb", b"a\nb\n\n"),
        (space(2), b"a\n\nb", b"a\n b\n\n"),
        (space(2), b"\na\n\n\nb\n\n\n", b"a\n \nb\n \n\n"),
        (space(3), b"a\n\nb\n\n\nc\n\n", b"a\n\nb\n\n c\n\n\n"),
        (options(1), b"a\nb\n", b"a\nb\n\n"),
        (options(2), b"\n", b"\n\n\n"),
        (space(200), b"a", &[&b"a"[..], &[b'\n'; 200]].concat()),
    ];
    for (options, message, expected) in table {
        for size in [1, 2, 3, 100] {
            let mut chunks: Vec<_> = message.chunks(size).map(|c| (c, Flags::TEXT | Flags::PARTIAL)).collect();
            match chunks.last_mut() {
                Some(last) if size != 3 => last.1 = Flags::TEXT,
                // Also with an empty last chunk.
                _ => chunks.push((b"", Flags::TEXT)),
            }
            for got in written(&options, &chunks) {
                assert_eq!(got, expected, "{options:?} {message:?} by {size}");
            }
        }
    }
}

#[test]
fn binary_messages_are_written_as_asked() {
    let table: [(BinaryOutput, &[u8]); 3] = [
        (BinaryOutput::AsText, b"a b\x1b\xff|a b\n\x1b\xff|"),
        (BinaryOutput::Raw, b"a b\x1b\xff|a|b\n\x1b\xff|"),
        // '|' in a binary message is an ordinary character, in text it was replaced.
        (BinaryOutput::Escape, br"a b\x1b\xff|a|b\x0a\x1b\xff|"),
    ];
    for (binary, expected) in table {
        let options = LinesOptions { separator: b'|', substitute: Some(b' '), binary, ..LinesOptions::default() };
        let part = Flags::PARTIAL;
        let chunks: [(&[u8], Flags); 6] = [
            (b"a|", Flags::TEXT | part),
            (b"\x03\xe8", Flags::PONG),
            (b"b\x1b\xff", Flags::TEXT),
            (b"a|b", part),
            (b"\n\x1b\xff", Flags::NONE),
            (b"\x03\xe8bye", Flags::EOF),
        ];
        for got in written(&options, &chunks) {
            assert_eq!(got.escape_ascii().to_string(), expected.escape_ascii().to_string(), "{binary:?}");
        }
    }
}

#[test]
fn lines_read_are_lines_written() {
    let input = b"one\ntwo\n\nfour\n";
    let options = options(1);
    let mut reader = LineReader::new(literal(input.to_vec()).read.unwrap(), &options);
    let lines = drive(collect_messages(&mut reader, usize::MAX)).unwrap();
    let recorder = Recorder::new();
    drive(write_chunks(&mut LineWriter::new(recorder.stream(), &options), &lines)).unwrap();
    assert_eq!(recorder.bytes(), input);
}

#[test]
fn lines_before_a_fault_arrive_and_the_fault_is_told() {
    let kind = io::ErrorKind::ConnectionReset;
    let inner = crate::testing::faults::fail_read(literal(&b"one\ntwo\nthr"[..]).read.unwrap(), 10, kind);
    let mut reader = LineReader::new(inner, &options(1));
    let mut cx = Context::from_waker(std::task::Waker::noop());
    for line in [b"one", b"two"] {
        assert!(matches!(reader.poll_chunk(&mut cx, usize::MAX), Poll::Ready(Ok(_))));
        assert_eq!(reader.chunk_mut(), line);
        reader.consume();
    }
    assert!(matches!(reader.poll_chunk(&mut cx, usize::MAX), Poll::Ready(Err(e)) if e.kind() == kind));

    let recorder = Recorder::new();
    let inner = crate::testing::faults::fail_write(recorder.stream(), 2, io::ErrorKind::StorageFull);
    let line = [(b"one".to_vec(), Flags::TEXT)];
    let error = drive(write_chunks(&mut LineWriter::new(inner, &options(1)), &line)).unwrap_err();
    assert_eq!((error.kind(), &*recorder.bytes()), (io::ErrorKind::StorageFull, &b"on"[..]));
}
