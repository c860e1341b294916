//! Rates by virtual time, and every schedule of reads and writes.

use super::*;
use crate::{
    datagram::{DatagramRead as _, DatagramWrite as _, Flags},
    endpoint::literal::literal,
    testing::{
        Recorder, chunk_source, collect_chunks, collect_messages, collect_stream, datagram_pair, messages, schedules,
        write_chunks,
    },
};
use std::{future::poll_fn, time::Duration};
use tokio::io::AsyncWriteExt as _;

fn limit(bytes: u64, burst: u64) -> RateLimit {
    RateLimit { bytes: NonZeroU64::new(bytes), burst_bytes: NonZeroU64::new(burst), ..RateLimit::default() }
}

/// Allows for the clock's resolution, a millisecond, and for the rest of the last bucket.
#[track_caller]
fn took(start: Instant, seconds: f64) {
    let elapsed = start.elapsed().as_secs_f64();
    assert!((seconds - 0.1..seconds + 0.1).contains(&elapsed), "{elapsed} instead of {seconds}");
}

#[tokio::test(start_paused = true)]
async fn reads_take_the_time_they_should() {
    let start = Instant::now();
    let mut reader = RateLimitedRead::new(literal(vec![7; 51_000]).read.unwrap(), &limit(10_000, 1000));
    assert_eq!(collect_stream(&mut reader).await.unwrap().len(), 51_000);
    took(start, 5.0);
}

#[tokio::test(start_paused = true)]
async fn writes_take_the_time_they_should() {
    let start = Instant::now();
    let recorder = Recorder::new();
    let mut writer = RateLimitedWrite::new(recorder.stream(), &limit(1000, 0));
    writer.write_all(&[7; 2100]).await.unwrap();
    writer.shutdown().await.unwrap();
    assert_eq!((recorder.bytes().len(), recorder.is_shut()), (2100, true));
    // The burst that is not given is a tenth of a second's.
    took(start, 2.0);
    assert!(recorder.chunks().iter().all(|chunk| chunk.0.len() <= 100), "{:?}", recorder.chunks());
}

#[tokio::test(start_paused = true)]
async fn a_message_that_was_taken_does_not_wait_with_the_next_one() {
    let recorder = Recorder::new();
    let chunks = crate::overlay::chunks::StreamSink::new(recorder.stream());
    let mut sink = RateLimitedSink::new(Box::new(chunks), &limit(10, 10));
    poll_fn(|cx| sink.poll_write(cx, &mut [7; 100], Flags::MORE)).await.unwrap();
    assert!(recorder.bytes().is_empty());
    let waits = poll_fn(|cx| Poll::Ready(sink.poll_write(cx, &mut [8; 100], Flags::NONE).is_pending())).await;
    assert!(waits);
    assert_eq!(recorder.bytes(), [7; 100]);
}

#[tokio::test(start_paused = true)]
async fn messages_are_counted_and_control_passes() {
    let rate = RateLimit { messages: NonZeroU64::new(2), ..RateLimit::default() };
    let chunks = vec![
        (b"a".to_vec(), Flags::TEXT | Flags::PARTIAL),
        (b"b".to_vec(), Flags::TEXT),
        (b"ping".to_vec(), Flags::PING),
        (b"c".to_vec(), Flags::TEXT),
        (b"d".to_vec(), Flags::TEXT),
        (vec![], Flags::EOF),
    ];
    let start = Instant::now();
    let mut reader = RateLimitedSource::new(chunk_source(chunks.clone()), &rate);
    let mut times = Vec::new();
    loop {
        let flags = poll_fn(|cx| reader.poll_chunk(cx, usize::MAX)).await.unwrap();
        times.push(start.elapsed().as_secs_f64().mul_add(10.0, 0.5) as u32);
        if flags.any(Flags::EOF) {
            break;
        }
        reader.consume();
    }
    // In tenths of a second: both parts of the first message, the ping, two messages, the end.
    assert_eq!(times, [0, 0, 0, 5, 10, 10]);

    let start = Instant::now();
    let (ours, mut theirs) = datagram_pair(10);
    let mut writer = RateLimitedSink::new(ours.write.unwrap(), &rate);
    write_chunks(&mut writer, &chunks).await.unwrap();
    took(start, 1.0);
    assert_eq!(collect_messages(theirs.read.as_mut().unwrap().as_mut(), usize::MAX).await.unwrap().len(), 5);
}

#[tokio::test(start_paused = true)]
async fn a_message_larger_than_the_burst_passes_whole_and_is_paid_for_afterwards() {
    let start = Instant::now();
    let chunks = vec![(vec![1; 5000], Flags::NONE), (vec![2; 10], Flags::NONE)];
    let mut reader = RateLimitedSource::new(chunk_source(chunks.clone()), &limit(1000, 100));
    poll_fn(|cx| reader.poll_chunk(cx, usize::MAX)).await.unwrap();
    assert_eq!((reader.chunk_mut().len(), start.elapsed()), (5000, Duration::ZERO));
    reader.consume();
    poll_fn(|cx| reader.poll_chunk(cx, usize::MAX)).await.unwrap();
    took(start, 4.9);
}

#[tokio::test(start_paused = true)]
async fn every_schedule_gives_the_same() {
    let bytes: Vec<u8> = (0..300u16).map(|i| i as u8).collect();
    let data = bytes.chunks(7).map(|part| (part.to_vec(), Flags::NONE));
    let chunks: Vec<_> = data.chain([(vec![], Flags::EOF)]).collect();
    let rate = RateLimit { messages: NonZeroU64::new(50), ..limit(1000, 30) };
    for schedule in schedules() {
        let mut reader = RateLimitedRead::new(schedule.read_half(literal(bytes.clone()).read.unwrap()), &rate);
        assert_eq!(collect_stream(&mut reader).await.unwrap(), bytes, "{schedule:?}");
        let recorder = Recorder::new();
        let mut writer = RateLimitedWrite::new(schedule.write_half(recorder.stream()), &rate);
        writer.write_all(&bytes).await.unwrap();
        writer.shutdown().await.unwrap();
        assert_eq!(recorder.bytes(), bytes, "{schedule:?}");

        let inner = schedule.datagram_read_half(chunk_source(chunks.clone()));
        let mut reader = schedule.datagram_read_half(Box::new(RateLimitedSource::new(inner, &rate)));
        let got = collect_chunks(&mut *reader, usize::MAX).await.unwrap();
        assert_eq!(messages(&got), messages(&chunks), "{schedule:?}");
        let (ours, theirs) = datagram_pair(1000);
        let inner = schedule.datagram_write_half(ours.write.unwrap());
        let mut writer = schedule.datagram_write_half(Box::new(RateLimitedSink::new(inner, &rate)));
        write_chunks(&mut *writer, &got).await.unwrap();
        let got = collect_messages(&mut *theirs.read.unwrap(), usize::MAX).await.unwrap();
        assert_eq!(got, messages(&chunks), "{schedule:?}");
    }
}
