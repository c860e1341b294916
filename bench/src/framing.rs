//! Length-prefixed messages written into a pipe in memory and read from it, beside a plain copy of the same bytes.
//!
//! One thread does both ends in turn, as an exchange does: up to 64 messages are written, flushed and read. The two
//! measurements take turns within a run, each for a few milliseconds, so that whatever else the machine does hits both.
//! There are 4 MiB of messages, more than the second-level cache holds: what is framed has just come from somewhere else.

use crate::{Result, arguments::Arguments, ring::Ring};
use sockets::{
    datagram::{DatagramRead, DatagramWrite, Flags},
    endpoint::mirror_stream::{MirrorStreamOptions, mirror_stream},
    overlay::length_prefixed::{HeaderFormat, LengthPrefixedOptions, LengthPrefixedReader, LengthPrefixedWriter},
};
use std::{
    hint::black_box,
    task::{Context, Poll, Waker},
    time::{Duration, Instant},
};

/// Messages between two flushes, as in an exchange.
const BATCH: usize = 64;
/// Bytes after which the other measurement has its turn.
const TURN: usize = 16 << 20;
const WARM_UP: Duration = Duration::from_millis(300);

struct Ends {
    writer: LengthPrefixedWriter,
    reader: LengthPrefixedReader,
    /// Messages read.
    read: usize,
}

impl Ends {
    fn new() -> Result<Self> {
        let pipe = mirror_stream(MirrorStreamOptions { max_buf_size: Some(256 << 10) });
        let (Some(read), Some(write)) = (pipe.read, pipe.write) else { return Err("a pipe has two ends".into()) };
        let options = LengthPrefixedOptions {
            format: HeaderFormat::with_flags(4, false, false, false, false)?,
            max_written: 1 << 20,
            max_read: None,
            skip_read_direction: false,
            skip_write_direction: false,
        };
        let (writer, reader) = (LengthPrefixedWriter::new(write, &options), LengthPrefixedReader::new(read, &options));
        Ok(Self { writer, reader, read: 0 })
    }

    /// Reads all that is there, and hands each message to `check` with its number.
    fn drain(&mut self, check: &mut impl FnMut(usize, &[u8]) -> bool) -> Result<()> {
        let mut cx = Context::from_waker(Waker::noop());
        while let Poll::Ready(flags) = self.reader.poll_chunk(&mut cx, usize::MAX) {
            if !flags?.ends_message() || !check(self.read, self.reader.chunk_mut()) {
                return Err("a message came back different".into());
            }
            self.reader.consume();
            self.read += 1;
        }
        Ok(())
    }

    /// All messages once through the pipe.
    fn round(&mut self, ring: &mut Ring, check: &mut impl FnMut(usize, &[u8]) -> bool) -> Result<()> {
        let mut cx = Context::from_waker(Waker::noop());
        let size = ring.size;
        for batch in ring.payload.chunks_mut(size * BATCH) {
            for message in batch.chunks_exact_mut(size) {
                while self.writer.poll_write(&mut cx, message, Flags::MORE)?.is_pending() {
                    self.drain(check)?;
                }
            }
            while self.writer.poll_flush(&mut cx)?.is_pending() {
                self.drain(check)?;
            }
            self.drain(check)?;
        }
        Ok(())
    }
}

pub fn run(arguments: &Arguments) -> Result<()> {
    let (size, seconds) = (arguments.or("size", 1 << 10)?, arguments.seconds()?);
    let mut ring = Ring::of_messages(size, arguments.or("messages", 4 << 10)?);
    let (expected, count) = (ring.payload.clone(), ring.messages());
    let ends_of = |message: &[u8]| (message[0], message[size - 1]);
    let all_ends: Vec<_> = expected.chunks_exact(size).map(ends_of).collect();
    let turn = (TURN / ring.payload.len()).max(1);
    let mut copy = vec![0; expected.len()];
    let mut ends = Ends::new()?;
    // Every byte once; later only the ends of each message, which would give a wrong border away.
    ends.round(&mut ring, &mut |i, message| message == &expected[i % count * size..][..size])?;
    drop(expected);

    let (mut framed, mut copied) = (Duration::ZERO, Duration::ZERO);
    let (start, mut bytes) = (Instant::now(), 0);
    while start.elapsed() < WARM_UP + seconds {
        let first = Instant::now();
        for _ in 0..turn {
            ends.round(&mut ring, &mut |i, message| message.len() == size && ends_of(message) == all_ends[i % count])?;
        }
        let second = Instant::now();
        for _ in 0..turn {
            for (to, from) in copy.chunks_exact_mut(size).zip(ring.payload.chunks_exact(size)) {
                black_box(&mut *to).copy_from_slice(black_box(from));
            }
        }
        if start.elapsed() > WARM_UP {
            framed += second - first;
            copied += second.elapsed();
            bytes += turn * ring.payload.len();
        }
    }
    let rate = |time: Duration| bytes as f64 / time.as_secs_f64() / 1e9;
    println!("gb_per_second {:.4}", rate(framed));
    println!("copy_gb_per_second {:.4}", rate(copied));
    println!("of_copy {:.4}", copied.as_secs_f64() / framed.as_secs_f64());
    Ok(())
}
