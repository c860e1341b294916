//! One row for each overlay of bytes, and stacks of several: every schedule gives the same output.
//!
//! Overlays with rules of their own (lines, lengthprefixed, chunks, defragment, reuse, tee, ws) have their tables beside their
//! code.

use crate::{
    datagram::{BoxDatagramWrite, Flags},
    endpoint::literal::literal,
    overlay::{
        chunks::{StreamChunks, StreamSink},
        datagram_log::{DatagramLogReader, DatagramLogWriter},
        defragment::Defragment,
        length_prefixed::{HeaderFormat, LengthPrefixedOptions, LengthPrefixedReader, LengthPrefixedWriter},
        lines::{LineReader, LineWriter, LinesOptions},
        read_limiter::ReadLimiter,
        reuse::Reuser,
        stream_log::{StreamLogReader, StreamLogWriter},
        traffic_log::{LogOptions, LogSink},
        write_buffer::WriteBuffer,
        write_limiter::WriteLimiter,
    },
    socket::{DatagramSocket, StreamSocket},
    stream::{BoxStreamRead, BoxStreamWrite},
    testing::{Recorder, Schedule, collect_chunks, collect_messages, collect_stream, drive, schedules, write_chunks},
};
use tokio::io::AsyncWriteExt;

fn input() -> Vec<u8> {
    (0..300u16).map(|i| if i % 7 == 0 { b'\n' } else { i as u8 | 0x40 }).collect()
}

fn silent() -> LogOptions {
    LogOptions { verbose: true, sink: LogSink::new(|_| {}), ..LogOptions::default() }
}

#[test]
fn byte_readers() {
    type Wrap = fn(BoxStreamRead) -> BoxStreamRead;
    let table: [(&str, Wrap); 3] = [
        ("read_chunk_limiter", |r| Box::new(ReadLimiter::new(r, 0))),
        ("read_chunk_limiter 5", |r| Box::new(ReadLimiter::new(r, 5))),
        ("log", |r| Box::new(StreamLogReader::new(r, &silent()))),
    ];
    for (name, wrap) in table {
        for schedule in schedules() {
            let mut reader = wrap(schedule.read_half(literal(input()).read.unwrap()));
            assert_eq!(drive(collect_stream(&mut *reader)).unwrap(), input(), "{name} {schedule:?}");
        }
    }
}

#[test]
fn byte_writers() {
    type Wrap = fn(BoxStreamWrite) -> BoxStreamWrite;
    let table: [(&str, Wrap); 6] = [
        ("write_chunk_limiter", |w| Box::new(WriteLimiter::new(w, 0))),
        ("write_chunk_limiter 5", |w| Box::new(WriteLimiter::new(w, 5))),
        ("write_buffer 1", |w| Box::new(WriteBuffer::new(w, 0))),
        ("write_buffer 10", |w| Box::new(WriteBuffer::new(w, 10))),
        ("write_buffer 8192", |w| Box::new(WriteBuffer::new(w, 8192))),
        ("log", |w| Box::new(StreamLogWriter::new(w, &silent()))),
    ];
    for (name, wrap) in table {
        for schedule in schedules() {
            for part in [1, 7, 300] {
                let recorder = Recorder::new();
                let mut writer = wrap(schedule.write_half(recorder.stream()));
                drive(async {
                    for bytes in input().chunks(part) {
                        writer.write_all(bytes).await.unwrap();
                    }
                    writer.flush().await.unwrap();
                    assert!(recorder.is_flushed());
                    writer.shutdown().await.unwrap();
                });
                assert_eq!(recorder.bytes(), input(), "{name} {schedule:?} by {part}");
                assert!(recorder.is_shut());
            }
        }
    }
}

#[test]
fn stacks_of_message_overlays() {
    let options = LinesOptions::default();
    let expected = {
        let mut reader = LineReader::new(literal(input()).read.unwrap(), &options);
        drive(collect_messages(&mut reader, usize::MAX)).unwrap()
    };
    for schedule in schedules() {
        let lines = LineReader::new(schedule.read_half(literal(input()).read.unwrap()), &options);
        let logged = DatagramLogReader::new(schedule.datagram_read_half(Box::new(lines)), &silent());
        let mut reader = schedule.datagram_read_half(Box::new(logged));
        let chunks = drive(collect_chunks(&mut *reader, usize::MAX)).unwrap();
        assert_eq!(crate::testing::messages(&chunks), expected, "{schedule:?}");

        let recorder = Recorder::new();
        let lines = LineWriter::new(schedule.write_half(recorder.stream()), &options);
        let joined = Defragment::new(schedule.datagram_write_half(Box::new(lines)), 1000);
        let write = Some(schedule.datagram_write_half(Box::new(joined)));
        let reuser = Reuser::new(DatagramSocket { write, ..DatagramSocket::default() });
        let mut writer = DatagramLogWriter::new(reuser.client().write.unwrap(), &silent());
        drive(write_chunks(&mut writer, &chunks)).unwrap();
        let mut with_end = input();
        with_end.push(b'\n');
        assert_eq!(recorder.bytes(), with_end, "{schedule:?}");
        assert!(recorder.is_flushed() && !recorder.is_shut());
    }
}

/// Lines go out behind length prefixes, in fragments or joined, and come back as the same lines.
#[test]
fn lines_behind_length_prefixes() {
    let mut reader = LineReader::new(literal(input()).read.unwrap(), &LinesOptions::default());
    let lines = drive(collect_messages(&mut reader, usize::MAX)).unwrap();
    for continuations in [false, true] {
        let options = LengthPrefixedOptions {
            format: HeaderFormat::with_flags(2, true, continuations, true, true).unwrap(),
            max_written: 100,
            max_read: None,
            skip_read_direction: false,
            skip_write_direction: false,
        };
        for schedule in schedules() {
            let recorder = Recorder::new();
            let source = LineReader::new(schedule.read_half(literal(input()).read.unwrap()), &LinesOptions::default());
            // Parts of lines, as long as the schedule wants them.
            let chunks = drive(collect_chunks(&mut *schedule.datagram_read_half(Box::new(source)), 20)).unwrap();
            let writer = LengthPrefixedWriter::new(schedule.write_half(recorder.stream()), &options);
            drive(write_chunks(&mut *schedule.datagram_write_half(Box::new(writer)), &chunks)).unwrap();
            assert!(recorder.is_shut());
            let inner = schedule.read_half(literal(recorder.bytes()).read.unwrap());
            let mut reader = schedule.datagram_read_half(Box::new(LengthPrefixedReader::new(inner, &options)));
            assert_eq!(drive(collect_messages(&mut *reader, 7)).unwrap(), lines, "{continuations} {schedule:?}");
        }
    }
}

#[test]
fn chunks_lose_nothing() {
    for schedule in schedules() {
        let mut reader = StreamChunks::new(schedule.read_half(literal(input()).read.unwrap()));
        let chunks = drive(collect_chunks(&mut reader, 50)).unwrap();
        assert!(chunks.iter().all(|c| c.0.len() <= 50 && !c.1.any(Flags::PARTIAL)));
        let recorder = Recorder::new();
        let writer = StreamSink::new(schedule.write_half(recorder.stream()));
        drive(write_chunks(&mut *Schedule::WHOLE.datagram_write_half(Box::new(writer)), &chunks)).unwrap();
        assert_eq!(recorder.bytes(), input(), "{schedule:?}");
    }
}

#[test]
fn wrapped_message_writers_say_of_themselves_what_the_inner_one_does() {
    use crate::overlay::ws::{WsOptions, ws_wrap};
    for no_close_frame in [false, true] {
        let ws = || {
            let stream = StreamSocket { write: Some(Recorder::new().stream()), ..StreamSocket::default() };
            ws_wrap(WsOptions { no_close_frame, ..WsOptions::default() }, stream).write.unwrap()
        };
        let wrapped: [BoxDatagramWrite; 3] = [
            Box::new(DatagramLogWriter::new(ws(), &silent())),
            Box::new(Defragment::new(ws(), 1000)),
            Schedule::WHOLE.datagram_write_half(ws()),
        ];
        for writer in wrapped {
            assert_eq!(
                (writer.end_is_silent(), writer.keeps_borders(), writer.transforms()),
                (no_close_frame, true, true)
            );
        }
    }
}
