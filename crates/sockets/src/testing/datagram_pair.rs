//! Two connected message sockets in memory.
//!
//! What one end writes the other reads with the same flags and chunk borders. As the contract allows, chunks become
//! visible only when they are flushed or the queue is full, so that a forgotten flush is found.

use crate::{
    datagram::{DatagramRead, DatagramWrite, Flags},
    info::SocketInfo,
    socket::DatagramSocket,
};
use std::{
    collections::VecDeque,
    io,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker},
};

#[derive(Default)]
struct Queue {
    chunks: VecDeque<(Vec<u8>, Flags)>,
    /// Chunks at the front that are flushed.
    visible: usize,
    capacity: usize,
    /// Shut down, or the writer was dropped.
    ended: bool,
    reader_gone: bool,
    /// Buffers of chunks that were consumed.
    spare: Vec<Vec<u8>>,
    reader: Option<Waker>,
    writer: Option<Waker>,
}

impl Queue {
    fn publish(&mut self) {
        self.visible = self.chunks.len();
        if let Some(reader) = self.reader.take() {
            reader.wake();
        }
    }
}

type Shared = Arc<Mutex<Queue>>;

fn lock(queue: &Shared) -> MutexGuard<'_, Queue> {
    queue.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Two ends of a connection that keeps up to `chunks` chunks (at least 1) in each direction.
pub fn datagram_pair(chunks: usize) -> (DatagramSocket, DatagramSocket) {
    let queue = || Arc::new(Mutex::new(Queue { capacity: chunks.max(1), ..Queue::default() }));
    let (there, back) = (queue(), queue());
    let end = |from: &Shared, to: &Shared| DatagramSocket {
        read: Some(Box::new(PairReader { queue: from.clone(), announced: None })),
        write: Some(Box::new(PairWriter { queue: to.clone(), eof_sent: false })),
        info: Arc::new(SocketInfo { specifier: Some("datagram-pair:".into()), ..SocketInfo::default() }),
        ..DatagramSocket::default()
    };
    (end(&back, &there), end(&there, &back))
}

/// Pending: until a chunk is flushed or the writer ends. EOF: the chunk that was written, an empty one after a shutdown
/// without. Ignores `max` for chunks that are longer: they are cut into parts.
struct PairReader {
    queue: Shared,
    /// The chunk, how much of it was consumed, how much is announced, its flags.
    announced: Option<Announced>,
}

struct Announced {
    bytes: Vec<u8>,
    from: usize,
    /// End of the part announced; nothing is announced while it equals `from` after a part was consumed.
    to: usize,
    flags: Flags,
    waiting: bool,
}

/// Pending: while the queue is full. Drop midway: what was not flushed is lost, the direction ends. Changes no bytes.
struct PairWriter {
    queue: Shared,
    eof_sent: bool,
}

impl DatagramRead for PairReader {
    fn poll_chunk(&mut self, cx: &mut Context<'_>, max: usize) -> Poll<io::Result<Flags>> {
        if self.announced.is_none() {
            let mut queue = lock(&self.queue);
            let (bytes, flags) = if queue.visible > 0 {
                queue.visible -= 1;
                let Some((bytes, mut flags)) = queue.chunks.pop_front() else {
                    return Poll::Ready(Err(io::ErrorKind::InvalidData.into()));
                };
                if queue.visible > 0 {
                    flags |= Flags::MORE;
                }
                if let Some(writer) = queue.writer.take() {
                    writer.wake();
                }
                (bytes, flags)
            } else if queue.ended {
                (Vec::new(), Flags::EOF)
            } else {
                queue.reader = Some(cx.waker().clone());
                return Poll::Pending;
            };
            self.announced = Some(Announced { bytes, from: 0, to: 0, flags, waiting: true });
        }
        let Some(chunk) = &mut self.announced else {
            return Poll::Pending;
        };
        if chunk.waiting {
            let cut = !chunk.flags.any(Flags::CONTROL);
            let left = chunk.bytes.len() - chunk.from;
            chunk.to = chunk.from + if cut { left.min(max.max(1)) } else { left };
            chunk.waiting = false;
        }
        let part = if chunk.to < chunk.bytes.len() { Flags::PARTIAL | Flags::MORE } else { Flags::NONE };
        Poll::Ready(Ok(chunk.flags | part))
    }

    fn chunk_mut(&mut self) -> &mut [u8] {
        match &mut self.announced {
            Some(chunk) if !chunk.waiting => chunk.bytes.get_mut(chunk.from..chunk.to).unwrap_or_default(),
            _ => &mut [],
        }
    }

    fn consume(&mut self) {
        let Some(chunk) = &mut self.announced else { return };
        if chunk.waiting || chunk.flags.any(Flags::EOF) {
            return;
        }
        if chunk.to < chunk.bytes.len() {
            (chunk.from, chunk.waiting) = (chunk.to, true);
        } else if let Some(mut chunk) = self.announced.take() {
            chunk.bytes.clear();
            lock(&self.queue).spare.push(chunk.bytes);
        }
    }

    fn for_each_inner(&mut self, _: &mut dyn FnMut(&mut dyn DatagramRead)) {}
}

impl DatagramWrite for PairWriter {
    fn poll_write(&mut self, cx: &mut Context<'_>, chunk: &mut [u8], flags: Flags) -> Poll<io::Result<()>> {
        let mut queue = lock(&self.queue);
        if queue.reader_gone {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        if queue.ended {
            return Poll::Ready(Err(io::Error::other("written after the shutdown")));
        }
        if queue.chunks.len() >= queue.capacity {
            queue.publish();
            queue.writer = Some(cx.waker().clone());
            return Poll::Pending;
        }
        let mut bytes = queue.spare.pop().unwrap_or_default();
        bytes.extend_from_slice(chunk);
        queue.chunks.push_back((bytes, flags - Flags::MORE));
        self.eof_sent |= flags.any(Flags::EOF);
        Poll::Ready(Ok(()))
    }

    fn poll_flush(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        lock(&self.queue).publish();
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut queue = lock(&self.queue);
        queue.ended = true;
        queue.publish();
        Poll::Ready(Ok(()))
    }
}

impl Drop for PairReader {
    fn drop(&mut self) {
        let mut queue = lock(&self.queue);
        queue.reader_gone = true;
        if let Some(writer) = queue.writer.take() {
            writer.wake();
        }
    }
}

impl Drop for PairWriter {
    fn drop(&mut self) {
        let mut queue = lock(&self.queue);
        let lost = queue.chunks.len() - queue.visible;
        let kept = queue.chunks.len() - lost;
        queue.chunks.truncate(kept);
        queue.ended = true;
        queue.publish();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{collect_chunks, drive};
    use std::{future::poll_fn, task::Waker};

    #[test]
    fn chunks_keep_flags_and_appear_when_flushed() {
        let (a, b) = datagram_pair(4);
        let (mut out, mut input) = (a.write.unwrap(), b.read.unwrap());
        drive(async {
            let mut cx = Context::from_waker(Waker::noop());
            poll_fn(|cx| out.poll_write(cx, &mut b"ab".to_owned(), Flags::TEXT)).await.unwrap();
            assert!(input.poll_chunk(&mut cx, usize::MAX).is_pending());
            poll_fn(|cx| out.poll_flush(cx)).await.unwrap();
            poll_fn(|cx| out.poll_write(cx, &mut b"\x03\xe8".to_owned(), Flags::EOF)).await.unwrap();
            poll_fn(|cx| out.poll_shutdown(cx)).await.unwrap();
            let got = collect_chunks(&mut *input, 1).await.unwrap();
            let expected = [
                (b"a".to_vec(), Flags::TEXT | Flags::PARTIAL),
                (b"b".to_vec(), Flags::TEXT),
                (b"\x03\xe8".to_vec(), Flags::EOF),
            ];
            assert_eq!(got, expected);
        });
    }

    #[test]
    fn a_full_queue_waits_and_a_dropped_reader_breaks_it() {
        let (a, b) = datagram_pair(1);
        let (mut out, mut input) = (a.write.unwrap(), b.read.unwrap());
        let mut cx = Context::from_waker(Waker::noop());
        assert!(out.poll_write(&mut cx, &mut [1], Flags::NONE).is_ready());
        assert!(out.poll_write(&mut cx, &mut [2], Flags::NONE).is_pending());
        assert!(input.poll_chunk(&mut cx, 9).is_ready());
        assert!(out.poll_write(&mut cx, &mut [2], Flags::NONE).is_ready());
        drop(input);
        assert!(matches!(out.poll_write(&mut cx, &mut [3], Flags::NONE), Poll::Ready(Err(_))));
    }
}
