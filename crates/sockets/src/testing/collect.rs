//! Ends of a test: sources of known chunks, a sink that remembers, readers that take everything.

use crate::{
    datagram::{BoxDatagramRead, BoxDatagramWrite, DatagramRead, DatagramWrite, Flags},
    stream::{BoxStreamWrite, StreamRead, StreamWrite},
};
use std::{
    collections::VecDeque,
    future::poll_fn,
    io,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll},
};
use tokio::io::{AsyncReadExt, AsyncWrite};

/// A chunk with its flags; MORE is left out because it is only a hint.
pub type Chunk = (Vec<u8>, Flags);

/// Gives these chunks, then EOF if the last one is not one.
pub fn chunk_source(chunks: Vec<Chunk>) -> BoxDatagramRead {
    Box::new(ChunkSource(chunks.into()))
}

/// Never Pending; after the chunks there is EOF for ever. Ignores `max`.
struct ChunkSource(VecDeque<Chunk>);

impl DatagramRead for ChunkSource {
    fn poll_chunk(&mut self, _: &mut Context<'_>, _: usize) -> Poll<io::Result<Flags>> {
        Poll::Ready(Ok(self.0.front().map_or(Flags::EOF, |c| c.1)))
    }

    fn chunk_mut(&mut self) -> &mut [u8] {
        self.0.front_mut().map_or(&mut [], |c| &mut c.0)
    }

    fn consume(&mut self) {
        if !self.0.front().is_some_and(|c| c.1.any(Flags::EOF)) {
            self.0.pop_front();
        }
    }

    fn for_each_inner(&mut self, _: &mut dyn FnMut(&mut dyn DatagramRead)) {}
}

/// All chunks of at most `max` bytes up to and with the first EOF.
pub async fn collect_chunks(reader: &mut dyn DatagramRead, max: usize) -> io::Result<Vec<Chunk>> {
    let mut chunks = Vec::new();
    loop {
        let flags = poll_fn(|cx| reader.poll_chunk(cx, max)).await?;
        chunks.push((reader.chunk_mut().to_vec(), flags - Flags::MORE));
        reader.consume();
        if flags.any(Flags::EOF) {
            return Ok(chunks);
        }
    }
}

/// Joins the parts of messages; control chunks keep their place, an unfinished message stays PARTIAL at the end.
pub fn messages(chunks: &[Chunk]) -> Vec<Chunk> {
    let mut joined = Vec::new();
    let mut open: Option<Chunk> = None;
    for (bytes, flags) in chunks {
        if flags.any(Flags::CONTROL) {
            joined.push((bytes.clone(), *flags));
            continue;
        }
        let message = open.get_or_insert_with(|| (Vec::new(), *flags));
        message.0.extend(bytes);
        if flags.ends_message() {
            message.1 = message.1 - Flags::PARTIAL;
            joined.extend(open.take());
        }
    }
    joined.extend(open);
    joined
}

/// [`collect_chunks`], then [`messages`].
pub async fn collect_messages(reader: &mut dyn DatagramRead, max: usize) -> io::Result<Vec<Chunk>> {
    Ok(messages(&collect_chunks(reader, max).await?))
}

/// All bytes up to EOF.
pub async fn collect_stream(reader: &mut dyn StreamRead) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    reader.read_to_end(&mut bytes).await?;
    Ok(bytes)
}

/// Writes all chunks, flushes and shuts down.
pub async fn write_chunks(writer: &mut dyn DatagramWrite, chunks: &[Chunk]) -> io::Result<()> {
    for (bytes, flags) in chunks {
        let mut bytes = bytes.clone();
        poll_fn(|cx| writer.poll_write(cx, &mut bytes, *flags)).await?;
    }
    poll_fn(|cx| writer.poll_flush(cx)).await?;
    poll_fn(|cx| writer.poll_shutdown(cx)).await
}

/// A sink of either kind that remembers everything; clones share the memory.
#[derive(Clone, Default)]
pub struct Recorder(Arc<Mutex<Record>>);

#[derive(Default)]
struct Record {
    chunks: Vec<Chunk>,
    /// Chunks that were flushed.
    flushed: usize,
    flushes: usize,
    shut: bool,
}

impl Recorder {
    pub fn new() -> Self {
        Self::default()
    }

    /// It as a byte writer.
    pub fn stream(&self) -> BoxStreamWrite {
        Box::new(self.clone())
    }

    /// It as a message writer.
    pub fn datagrams(&self) -> BoxDatagramWrite {
        Box::new(self.clone())
    }

    fn record(&self) -> MutexGuard<'_, Record> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Chunks as written, or one for each write to the stream.
    pub fn chunks(&self) -> Vec<Chunk> {
        self.record().chunks.clone()
    }

    /// Everything that was written, without borders.
    pub fn bytes(&self) -> Vec<u8> {
        self.record().chunks.iter().flat_map(|c| c.0.iter().copied()).collect()
    }

    /// What was written, parts of messages joined.
    pub fn messages(&self) -> Vec<Chunk> {
        messages(&self.chunks())
    }

    /// Everything written was flushed afterwards.
    pub fn is_flushed(&self) -> bool {
        let record = self.record();
        record.flushed == record.chunks.len()
    }

    /// How often it was flushed.
    pub fn flushes(&self) -> usize {
        self.record().flushes
    }

    /// Whether it was shut down.
    pub fn is_shut(&self) -> bool {
        self.record().shut
    }

    fn put(&self, bytes: &[u8], flags: Flags) -> io::Result<()> {
        let mut record = self.record();
        if record.shut {
            return Err(io::Error::other("written after the shutdown"));
        }
        record.chunks.push((bytes.to_vec(), flags - Flags::MORE));
        Ok(())
    }

    fn flush(&self) {
        let mut record = self.record();
        record.flushed = record.chunks.len();
        record.flushes += 1;
    }
}

impl AsyncWrite for Recorder {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        Poll::Ready(self.put(data, Flags::NONE).map(|()| data.len()))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let joined = slices.iter().flat_map(|s| s.iter().copied()).collect::<Vec<_>>();
        Poll::Ready(self.put(&joined, Flags::NONE).map(|()| joined.len()))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.flush();
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.flush();
        self.record().shut = true;
        Poll::Ready(Ok(()))
    }
}

impl StreamWrite for Recorder {}

/// Never Pending, changes no bytes.
impl DatagramWrite for Recorder {
    fn poll_write(&mut self, _: &mut Context<'_>, chunk: &mut [u8], flags: Flags) -> Poll<io::Result<()>> {
        Poll::Ready(self.put(chunk, flags))
    }

    fn poll_flush(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.flush();
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.flush();
        self.record().shut = true;
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_joined_around_control_chunks() {
        let part = Flags::TEXT | Flags::PARTIAL;
        let chunks =
            [(b"a".to_vec(), part), (b"!".to_vec(), Flags::PONG), (b"b".to_vec(), Flags::TEXT), (b"c".to_vec(), part)];
        let expected = [(b"!".to_vec(), Flags::PONG), (b"ab".to_vec(), Flags::TEXT), (b"c".to_vec(), part)];
        assert_eq!(messages(&chunks), expected);
    }
}
