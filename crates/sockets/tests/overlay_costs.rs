//! What lines, length prefixes, chunks, shared and joined sockets cost for each message once everything is warm: no
//! allocation.

mod counting;

use sockets::{
    backlog::SlowConsumer,
    datagram::{BoxDatagramRead, BoxDatagramWrite},
    overlay::{
        chunks::{StreamChunks, StreamSink},
        length_prefixed::{HeaderFormat, LengthPrefixedOptions, LengthPrefixedReader, LengthPrefixedWriter},
        lines::{LineReader, LineWriter, LinesOptions},
        rate_limit::{RateLimit, RateLimitedRead, RateLimitedSink, RateLimitedSource},
        reuse::Reuser,
        tee::{TeeOptions, tee},
        ws::{WsOptions, ws_wrap},
    },
    socket::{DatagramSocket, StreamSocket},
    stream::{StreamRead, StreamWrite},
};
use std::{
    io,
    num::NonZeroU64,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    task::{Context, Poll, Waker},
};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Gives `left` bytes, one line of `line` bytes after the other, then is Pending. Each begins with its length.
struct Source {
    left: Arc<AtomicUsize>,
    line: usize,
    at: usize,
}

fn source(left: &Arc<AtomicUsize>, line: usize) -> Box<Source> {
    Box::new(Source { left: left.clone(), line, at: 0 })
}

/// Headers of 4 bytes without flags, or with.
fn prefixes(flags: bool) -> LengthPrefixedOptions {
    LengthPrefixedOptions {
        format: HeaderFormat::with_flags(4, false, flags, flags, flags).unwrap(),
        max_written: 1 << 20,
        max_read: None,
        skip_read_direction: false,
        skip_write_direction: false,
    }
}

impl AsyncRead for Source {
    fn poll_read(mut self: Pin<&mut Self>, _: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let left = self.left.load(Relaxed);
        if left == 0 {
            return Poll::Pending;
        }
        let n = left.min(buf.remaining());
        self.left.store(left - n, Relaxed);
        let length = (self.line as u32 - 4).to_be_bytes();
        for byte in buf.initialize_unfilled_to(n) {
            *byte = match self.at % self.line {
                at @ 0..4 => length[at],
                at if at == self.line - 1 => b'\n',
                _ => b'x',
            };
            self.at += 1;
        }
        buf.advance(n);
        Poll::Ready(Ok(()))
    }
}

impl StreamRead for Source {}

/// Counts what it takes.
struct Sink(Arc<AtomicUsize>);

impl AsyncWrite for Sink {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        self.0.fetch_add(data.len(), Relaxed);
        Poll::Ready(Ok(data.len()))
    }
    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

impl StreamWrite for Sink {}

/// Moves everything there is, then flushes, as an exchange does.
fn turn(read: &mut BoxDatagramRead, write: &mut BoxDatagramWrite, max: usize) {
    let mut cx = Context::from_waker(Waker::noop());
    while let Poll::Ready(flags) = read.poll_chunk(&mut cx, max) {
        assert!(matches!(write.poll_write(&mut cx, read.chunk_mut(), flags.unwrap()), Poll::Ready(Ok(()))));
        read.consume();
    }
    assert!(matches!(write.poll_flush(&mut cx), Poll::Ready(Ok(()))));
}

const KINDS: [&str; 9] = [
    "lines",
    "chunks",
    "reuse",
    "tee",
    "tee that drops",
    "length_prefixed",
    "length_prefixed, in fragments",
    "length_prefixed, joined",
    "rate limit",
];

#[test]
fn no_allocation_per_message() {
    let options = LinesOptions { substitute: Some(b' '), ..LinesOptions::default() };
    for (size, batch) in [(32, 1), (32, 64), (5000, 8), (65_536, 4), (200_000, 2)] {
        for kind in KINDS {
            let (left, taken) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
            let source = source(&left, size);
            let sink = Box::new(Sink(taken.clone()));
            let (mut read, mut write): (BoxDatagramRead, BoxDatagramWrite) = match kind {
                "chunks" => (Box::new(StreamChunks::new(source)), Box::new(StreamSink::new(sink))),
                kind if kind.starts_with("length_prefixed") => (
                    Box::new(LengthPrefixedReader::new(source, &prefixes(false))),
                    Box::new(LengthPrefixedWriter::new(sink, &prefixes(kind.ends_with("fragments")))),
                ),
                _ => (Box::new(LineReader::new(source, &options)), Box::new(LineWriter::new(sink, &options))),
            };
            if kind == "reuse" {
                let inner = DatagramSocket { read: Some(read), write: Some(write), ..DatagramSocket::default() };
                let client = Reuser::new(inner).client();
                (read, write) = (client.read.unwrap(), client.write.unwrap());
            }
            if kind.starts_with("tee") {
                // Beside the lines a sink that masks, and so needs a copy.
                let stream = StreamSocket { write: Some(Box::new(Sink(Arc::default()))), ..StreamSocket::default() };
                let main = DatagramSocket { read: Some(read), write: Some(write), ..DatagramSocket::default() };
                let slow = if kind == "tee" { SlowConsumer::Block } else { SlowConsumer::DropOldest };
                let nodes = vec![main, ws_wrap(WsOptions::default(), stream)];
                let joined = tee(TeeOptions { slow, ..TeeOptions::default() }, nodes).unwrap();
                (read, write) = (joined.read.unwrap(), joined.write.unwrap());
            }
            if kind == "rate limit" {
                // So much that nothing waits: a wait has a timer, which is made once.
                let (bytes, messages) = (NonZeroU64::new(1 << 50), NonZeroU64::new(1 << 40));
                let limit = RateLimit { bytes, messages, ..RateLimit::default() };
                read = Box::new(RateLimitedSource::new(read, &limit));
                write = Box::new(RateLimitedSink::new(write, &limit));
            }
            // Parts of messages, which some sinks join.
            let max = if kind.contains(',') { 1000 } else { usize::MAX };
            let mut rounds = |n: usize| {
                let before = counting::on_this_thread();
                for _ in 0..n {
                    left.store(size * batch, Relaxed);
                    turn(&mut read, &mut write, max);
                }
                counting::on_this_thread() - before
            };
            rounds(10);
            assert_eq!(rounds(50), 0, "{kind}: {size} bytes x {batch}");
            // Fragments have headers of their own.
            let headers = if kind.ends_with("fragments") { taken.load(Relaxed) / 20 } else { 0 };
            let all = 60 * size * batch;
            assert!((all..=all + headers).contains(&taken.load(Relaxed)), "{kind}: {size} bytes x {batch}");
        }
    }
}

#[test]
fn machines_are_small() {
    // An idle connection keeps these and no buffer.
    assert!(size_of::<LineReader>() <= 176, "{}", size_of::<LineReader>());
    assert!(size_of::<LineWriter>() <= 224, "{}", size_of::<LineWriter>());
    assert!(size_of::<LengthPrefixedReader>() <= 176, "{}", size_of::<LengthPrefixedReader>());
    assert!(size_of::<LengthPrefixedWriter>() <= 256, "{}", size_of::<LengthPrefixedWriter>());
    assert!(size_of::<StreamChunks>() <= 80, "{}", size_of::<StreamChunks>());
    assert!(size_of::<RateLimitedRead>() <= 144, "{}", size_of::<RateLimitedRead>());
    assert!(size_of::<RateLimitedSource>() <= 144, "{}", size_of::<RateLimitedSource>());
    assert!(size_of::<StreamSink>() <= 80, "{}", size_of::<StreamSink>());
}
