//! Datagram mirror: what is written comes out of the read half again, with all its flags.
//!
//! Two batches swap places: the writer fills one without a lock while `MORE` is set, then publishes it; the reader lends
//! from the other. A lock is taken once per batch, not per message. An idle mirror owns no buffer; a busy one holds three
//! batches at most (filled, published, read), so a slow reader stops the writer.

use crate::{
    buffer::{LARGEST, Window},
    datagram::{DatagramRead, DatagramWrite, Flags},
    info::SocketInfo,
    socket::DatagramSocket,
};
use std::{
    io, mem,
    sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker, ready},
};

/// Bytes before each chunk in a batch: length, flags.
const RECORD: usize = 5;
/// A longer chunk is passed on in parts.
const LONGEST: usize = LARGEST - RECORD;

/// What a mirror may hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MirrorDatagramOptions {
    /// Most bytes of data in one batch; longer data chunks are passed on in parts of this size. None: as the buffers allow.
    pub max_buf_size: Option<usize>,
}

struct Shared {
    /// Published and not fetched yet.
    batch: Window,
    ended: bool,
    reader_gone: bool,
    reader: Option<Waker>,
    writer: Option<Waker>,
}

type Pipe = Arc<Mutex<Shared>>;

fn lock(pipe: &Pipe) -> MutexGuard<'_, Shared> {
    pipe.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Remembers whom to wake, without cloning the same waker again.
fn remember(slot: &mut Option<Waker>, cx: &Context<'_>) {
    if !slot.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
        *slot = Some(cx.waker().clone());
    }
}

/// Pending: nothing is published. EOF: after the writer's, or when the writer was shut down or dropped. Drop midway: what
/// is in the mirror is lost and later writes are thrown away. Control chunks are never split, whatever `max` says.
pub struct MirrorReader {
    pipe: Pipe,
    batch: Window,
    /// Bytes of the current record that were not consumed, and its flags.
    rest: usize,
    flags: Flags,
    in_record: bool,
    /// Length of the chunk announced.
    len: usize,
    announced: Option<Flags>,
    eof: bool,
}

/// Pending: the reader has not fetched the batch before; repeat with the same chunk. Never changes the chunk. Drop midway:
/// what was not flushed is lost, the reader sees EOF after the rest.
pub struct MirrorWriter {
    pipe: Pipe,
    batch: Window,
    /// Most bytes of data per batch.
    limit: usize,
    /// Writes for nobody are errors instead of being thrown away.
    strict: bool,
    /// There are data in the batch, not only control chunks.
    has_data: bool,
    /// Such data found no reader any more.
    lost: bool,
    /// Bytes of the current chunk that went into earlier batches.
    done: usize,
}

/// The halves of a new mirror.
pub fn mirror(options: MirrorDatagramOptions) -> (MirrorReader, MirrorWriter) {
    let window = || Window::new(2);
    let shared = Shared { batch: window(), ended: false, reader_gone: false, reader: None, writer: None };
    let pipe = Arc::new(Mutex::new(shared));
    let reader = MirrorReader {
        pipe: pipe.clone(),
        batch: window(),
        rest: 0,
        flags: Flags::NONE,
        in_record: false,
        len: 0,
        announced: None,
        eof: false,
    };
    let limit = options.max_buf_size.map_or(LONGEST, |n| n.clamp(1, LONGEST));
    (reader, MirrorWriter { pipe, batch: window(), limit, strict: false, has_data: false, lost: false, done: 0 })
}

/// One direction of a connection: writes fail when nobody reads any more.
pub fn datagram_pipe(options: MirrorDatagramOptions) -> (MirrorReader, MirrorWriter) {
    let (reader, mut writer) = mirror(options);
    writer.strict = true;
    (reader, writer)
}

/// A mirror as a socket. It can end one direction alone, so nobody needs to linger for it.
pub fn mirror_datagram(options: MirrorDatagramOptions) -> DatagramSocket {
    let (read, write) = mirror(options);
    // One for all: nothing of a mirror differs from another's, and nothing is written there later.
    static INFO: LazyLock<Arc<SocketInfo>> = LazyLock::new(|| {
        let specifier = Some("mirror:".into());
        Arc::new(SocketInfo { specifier, half_close: true, ..SocketInfo::default() })
    });
    DatagramSocket {
        read: Some(Box::new(read)),
        write: Some(Box::new(write)),
        info: INFO.clone(),
        ..DatagramSocket::default()
    }
}

impl MirrorWriter {
    /// Hands the batch over; Pending while the reader has not fetched the one before.
    fn poll_publish(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.batch.is_empty() {
            return Poll::Ready(());
        }
        let mut shared = lock(&self.pipe);
        let has_data = mem::take(&mut self.has_data);
        if shared.reader_gone {
            self.lost |= self.strict && has_data;
            self.batch.skip(self.batch.len());
            self.batch.release();
            return Poll::Ready(());
        }
        if !shared.batch.is_empty() {
            self.has_data = has_data;
            remember(&mut shared.writer, cx);
            return Poll::Pending;
        }
        mem::swap(&mut shared.batch, &mut self.batch);
        Poll::Ready(())
    }

    /// The error, once, if data found no reader.
    fn check(&mut self) -> io::Result<()> {
        if mem::take(&mut self.lost) { Err(io::ErrorKind::BrokenPipe.into()) } else { Ok(()) }
    }

    /// Wakes the reader if what was published has not been fetched meanwhile.
    fn wake_reader(&self) {
        let mut shared = lock(&self.pipe);
        let waiting = !shared.batch.is_empty() || shared.ended;
        let waker = shared.reader.take_if(|_| waiting);
        drop(shared);
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

impl DatagramWrite for MirrorWriter {
    fn loop_id(&self) -> Option<usize> {
        Some(Arc::as_ptr(&self.pipe).addr())
    }

    fn poll_write(&mut self, cx: &mut Context<'_>, chunk: &mut [u8], flags: Flags) -> Poll<io::Result<()>> {
        let limit = if flags.any(Flags::CONTROL) { LONGEST } else { self.limit };
        loop {
            let rest = chunk.get(self.done..).unwrap_or_default();
            let part = rest.get(..limit).unwrap_or(rest);
            let last = part.len() == rest.len();
            let need = RECORD + part.len();
            if self.batch.is_empty() {
                self.batch.reserve(need);
            }
            let full = self.batch.room() < need;
            if full || !self.batch.is_empty() && self.batch.len() + part.len() > self.limit {
                if full {
                    self.batch.grow();
                }
                if self.poll_publish(cx).is_pending() {
                    self.wake_reader();
                    return Poll::Pending;
                }
                self.check().inspect_err(|_| self.done = 0)?;
                continue;
            }
            let flags = if last { flags } else { flags | Flags::PARTIAL };
            self.batch.push(&(part.len() as u32).to_le_bytes());
            self.batch.push(&[flags.bits()]);
            self.batch.push(part);
            self.done += part.len();
            self.has_data |= !flags.any(Flags::CONTROL);
            if last {
                self.done = 0;
                if !flags.any(Flags::MORE) {
                    let _ = self.poll_publish(cx); // Pending: then it waits for the flush
                }
                return Poll::Ready(self.check());
            }
        }
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let published = self.poll_publish(cx);
        self.wake_reader();
        published.map(|()| self.check())
    }

    fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_flush(cx))?;
        lock(&self.pipe).ended = true;
        self.wake_reader();
        Poll::Ready(Ok(()))
    }
}

impl Drop for MirrorWriter {
    fn drop(&mut self) {
        lock(&self.pipe).ended = true;
        self.wake_reader();
    }
}

impl MirrorReader {
    /// Fetches the published batch when the own one is used up.
    fn poll_fetch(&mut self, cx: &mut Context<'_>) -> Poll<bool> {
        if self.batch.is_empty() {
            self.batch.release();
            let mut shared = lock(&self.pipe);
            if shared.batch.is_empty() {
                if shared.ended {
                    return Poll::Ready(false);
                }
                remember(&mut shared.reader, cx);
                return Poll::Pending;
            }
            mem::swap(&mut shared.batch, &mut self.batch);
            if let Some(writer) = shared.writer.take() {
                drop(shared);
                writer.wake();
            }
        }
        Poll::Ready(true)
    }
}

impl DatagramRead for MirrorReader {
    fn loop_id(&self) -> Option<usize> {
        Some(Arc::as_ptr(&self.pipe).addr())
    }

    fn poll_chunk(&mut self, cx: &mut Context<'_>, max: usize) -> Poll<io::Result<Flags>> {
        if let Some(flags) = self.announced {
            return Poll::Ready(Ok(flags));
        }
        if !self.in_record {
            if self.eof || !ready!(self.poll_fetch(cx)) {
                self.eof = true;
                return Poll::Ready(Ok(Flags::EOF));
            }
            let &[a, b, c, d, flags, ..] = self.batch.filled() else {
                return Poll::Ready(Err(io::ErrorKind::InvalidData.into())); // only whole records are published
            };
            self.batch.skip(RECORD);
            self.rest = u32::from_le_bytes([a, b, c, d]) as usize;
            self.flags = Flags::from_bits(flags) - Flags::MORE;
            self.in_record = true;
        }
        let control = self.flags.any(Flags::CONTROL);
        self.len = if control { self.rest } else { self.rest.min(max.max(1)) };
        let mut flags = self.flags;
        if self.len < self.rest {
            flags |= Flags::PARTIAL;
        }
        if self.batch.len() > self.len {
            flags |= Flags::MORE;
        }
        self.announced = Some(flags);
        Poll::Ready(Ok(flags))
    }

    fn chunk_mut(&mut self) -> &mut [u8] {
        self.batch.filled_mut().get_mut(..self.len).unwrap_or_default()
    }

    fn consume(&mut self) {
        if self.announced.take().is_some() {
            self.batch.skip(self.len);
            self.rest -= self.len;
            self.len = 0;
            self.in_record = self.rest > 0;
            self.eof |= self.flags.any(Flags::EOF);
        }
    }

    fn for_each_inner(&mut self, _: &mut dyn FnMut(&mut dyn DatagramRead)) {}
}

impl Drop for MirrorReader {
    fn drop(&mut self) {
        let mut shared = lock(&self.pipe);
        shared.reader_gone = true;
        shared.batch = Window::new(2);
        let writer = shared.writer.take();
        drop(shared);
        if let Some(writer) = writer {
            writer.wake();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::poll_fn;

    async fn write(w: &mut MirrorWriter, bytes: &[u8], flags: Flags) {
        let mut chunk = bytes.to_vec();
        poll_fn(|cx| w.poll_write(cx, &mut chunk, flags)).await.unwrap();
        assert_eq!(chunk, bytes);
    }

    async fn flush(w: &mut MirrorWriter) {
        poll_fn(|cx| w.poll_flush(cx)).await.unwrap();
    }

    async fn read(r: &mut MirrorReader, max: usize) -> (Vec<u8>, Flags) {
        let flags = poll_fn(|cx| r.poll_chunk(cx, max)).await.unwrap();
        let chunk = r.chunk_mut().to_vec();
        r.consume();
        (chunk, flags)
    }

    async fn is_stuck(w: &mut MirrorWriter) -> bool {
        poll_fn(|cx| Poll::Ready(w.poll_write(cx, &mut [0; 1000], Flags::NONE).is_pending())).await
    }

    #[tokio::test]
    async fn keeps_order_flags_and_bodies() {
        let (mut r, mut w) = mirror(MirrorDatagramOptions::default());
        let sent = [
            (&b"text"[..], Flags::TEXT),
            (b"", Flags::NONE),
            (b"part", Flags::PARTIAL),
            (b"ping", Flags::PING),
            (b"pong", Flags::PONG),
            (b"end", Flags::NONE),
            (b"\x03\xe8bye", Flags::EOF),
        ];
        for (bytes, flags) in sent {
            write(&mut w, bytes, flags | Flags::MORE).await;
        }
        flush(&mut w).await;
        for (bytes, flags) in sent {
            // All bodies are announced whole although max is 1, except for data.
            let max = if flags.any(Flags::CONTROL) { 1 } else { usize::MAX };
            let (got, got_flags) = read(&mut r, max).await;
            assert_eq!((&got[..], got_flags - Flags::MORE), (bytes, flags));
            assert_eq!(got_flags.any(Flags::MORE), !flags.any(Flags::EOF));
        }
        assert_eq!(read(&mut r, 1).await, (vec![], Flags::EOF));
    }

    #[tokio::test]
    async fn splits_data_for_readers_and_for_its_own_bound() {
        let (mut r, mut w) = mirror(MirrorDatagramOptions { max_buf_size: Some(4) });
        let writer = async {
            write(&mut w, b"abcdefghij", Flags::TEXT).await;
            flush(&mut w).await;
        };
        let reader = async {
            let mut got = Vec::new();
            loop {
                let (chunk, flags) = read(&mut r, 3).await;
                assert!(chunk.len() <= 3 && flags.any(Flags::TEXT));
                got.extend(chunk);
                if flags.ends_message() {
                    return got;
                }
            }
        };
        let ((), got) = tokio::join!(writer, reader);
        assert_eq!(got, b"abcdefghij");
    }

    #[tokio::test]
    async fn a_slow_reader_stops_the_writer_and_an_idle_mirror_owns_nothing() {
        let (mut r, mut w) = mirror(MirrorDatagramOptions::default());
        let mut taken = 0;
        while !is_stuck(&mut w).await {
            taken += 1;
            assert!(taken < 300, "no bound");
        }
        // The chunk that was refused is repeated until it is taken.
        let writer = async {
            write(&mut w, &[0; 1000], Flags::NONE).await;
            flush(&mut w).await;
        };
        let reader = async {
            for _ in 0..=taken {
                assert_eq!(read(&mut r, usize::MAX).await.0.len(), 1000);
            }
        };
        tokio::join!(writer, reader);
        assert!(poll_fn(|cx| Poll::Ready(r.poll_chunk(cx, 1).is_pending())).await);
        assert_eq!((r.batch.room(), w.batch.room(), lock(&w.pipe).batch.room()), (0, 0, 0));
    }

    #[tokio::test]
    async fn ends_when_the_writer_is_dropped_and_discards_when_the_reader_is() {
        let (mut r, mut w) = mirror(MirrorDatagramOptions::default());
        write(&mut w, b"last", Flags::NONE).await;
        let (last, ()) = tokio::join!(async { [read(&mut r, 9).await, read(&mut r, 9).await] }, async { drop(w) });
        assert_eq!(last, [(b"last".to_vec(), Flags::NONE), (vec![], Flags::EOF)]);
        let (r, mut w) = mirror(MirrorDatagramOptions::default());
        drop(r);
        for _ in 0..1000 {
            assert!(!is_stuck(&mut w).await);
        }
    }
}
