//! The chopper: cuts reads and writes to pieces and says Pending where nobody expects it.
//!
//! A machine is right when its output is the same for every one of [`schedules`]: read size × write size × position of
//! Pending. Each Pending wakes its own task, so that a machine which goes on without being polled again stalls in
//! [`super::drive`].

use crate::{
    datagram::{BoxDatagramRead, BoxDatagramWrite, DatagramRead, DatagramWrite, Flags},
    overlay::read_limiter::poll_read_at_most,
    socket::{DatagramSocket, StreamSocket},
    stream::{BoxStreamRead, BoxStreamWrite, StreamRead, StreamWrite},
};
use std::{
    io::{self, IoSlice},
    pin::Pin,
    task::{Context, Poll, ready},
};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Where Pending comes, counted over the operations of one half.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PendingAt {
    Never,
    /// Before every operation.
    Each,
    /// Before the n-th operation only, from 0.
    Nth(usize),
    /// Before every n-th operation.
    Every(usize),
}

/// One way to cut: most bytes of each read and of each write, and where Pending comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Schedule {
    pub read: usize,
    pub write: usize,
    pub pending: PendingAt,
}

impl Schedule {
    /// Changes nothing.
    pub const WHOLE: Self = Self { read: usize::MAX, write: usize::MAX, pending: PendingAt::Never };

    /// A byte reader whose reads are cut and Pending as scheduled.
    pub fn read_half(self, inner: BoxStreamRead) -> BoxStreamRead {
        Box::new(ChoppedRead { inner, size: self.read.max(1), gate: Gate::new(self.pending) })
    }

    /// A byte writer whose writes are cut and Pending as scheduled.
    pub fn write_half(self, inner: BoxStreamWrite) -> BoxStreamWrite {
        Box::new(ChoppedWrite { inner, size: self.write.max(1), gate: Gate::new(self.pending), unflushed: false })
    }

    /// Chunks longer than the read size come as PARTIAL pieces.
    pub fn datagram_read_half(self, inner: BoxDatagramRead) -> BoxDatagramRead {
        let gate = Gate::new(self.pending);
        Box::new(ChoppedDatagramRead { inner, size: self.read.max(1), gate, piece: None })
    }

    /// Says Pending and checks that the caller then repeats the same chunk.
    pub fn datagram_write_half(self, inner: BoxDatagramWrite) -> BoxDatagramWrite {
        Box::new(ChoppedDatagramWrite { inner, gate: Gate::new(self.pending), unflushed: false, repeated: None })
    }

    /// Both halves of a stream socket.
    pub fn stream(self, mut socket: StreamSocket) -> StreamSocket {
        socket.read = socket.read.map(|r| self.read_half(r));
        socket.write = socket.write.map(|w| self.write_half(w));
        socket
    }

    /// Both halves of a datagram socket.
    pub fn datagram(self, mut socket: DatagramSocket) -> DatagramSocket {
        socket.read = socket.read.map(|r| self.datagram_read_half(r));
        socket.write = socket.write.map(|w| self.datagram_write_half(w));
        socket
    }
}

/// All schedules worth trying: 6 read sizes × 5 write sizes × 11 positions of Pending.
pub fn schedules() -> impl Iterator<Item = Schedule> {
    const READS: [usize; 6] = [1, 2, 3, 7, 64, usize::MAX];
    const WRITES: [usize; 5] = [1, 2, 5, 64, usize::MAX];
    let positions = (0..7).map(PendingAt::Nth);
    let pendings = [PendingAt::Never, PendingAt::Each, PendingAt::Every(2), PendingAt::Every(3)];
    let pendings = pendings.into_iter().chain(positions);
    pendings.flat_map(|pending| {
        READS.into_iter().flat_map(move |read| WRITES.into_iter().map(move |write| Schedule { read, write, pending }))
    })
}

/// Counts operations and holds them up once where the schedule says so.
struct Gate {
    at: PendingAt,
    count: usize,
    held: bool,
}

impl Gate {
    fn new(at: PendingAt) -> Self {
        Self { at, count: 0, held: false }
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let hold = match self.at {
            PendingAt::Never => false,
            PendingAt::Each => true,
            PendingAt::Nth(n) => n == self.count,
            PendingAt::Every(n) => self.count % n.max(1) == n.max(1) - 1,
        };
        if hold && !self.held {
            self.held = true;
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        self.held = false;
        self.count += 1;
        Poll::Ready(())
    }
}

/// Pending: as scheduled, with a wake-up, and as the inner stream. EOF: as the inner stream.
struct ChoppedRead {
    inner: BoxStreamRead,
    size: usize,
    gate: Gate,
}

/// Pending: as scheduled, with a wake-up, and as the inner stream. Short write: at the size. Changes no bytes.
struct ChoppedWrite {
    inner: BoxStreamWrite,
    size: usize,
    gate: Gate,
    /// Only then a flush may be Pending: machines flush again whenever they repeat a shutdown.
    unflushed: bool,
}

/// Pending: as scheduled. EOF and control chunks pass whole.
struct ChoppedDatagramRead {
    inner: BoxDatagramRead,
    size: usize,
    gate: Gate,
    piece: Option<Piece>,
}

/// Part `from..to` of an inner chunk of `len` bytes.
struct Piece {
    from: usize,
    to: usize,
    len: usize,
    flags: Flags,
    announced: bool,
}

/// Pending: as scheduled; panics when the caller does not repeat the same chunk. Changes no bytes itself.
struct ChoppedDatagramWrite {
    inner: BoxDatagramWrite,
    gate: Gate,
    /// As in [`ChoppedWrite`].
    unflushed: bool,
    repeated: Option<(usize, Flags)>,
}

impl AsyncRead for ChoppedRead {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        ready!(self.gate.poll(cx));
        let size = self.size;
        poll_read_at_most(&mut *self.inner, cx, buf, size).map_ok(|_| ())
    }
}

impl StreamRead for ChoppedRead {
    fn poll_readable(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.inner.poll_readable(cx)
    }
}

impl AsyncWrite for ChoppedWrite {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        ready!(self.gate.poll(cx));
        self.unflushed = true;
        let part = data.get(..data.len().min(self.size)).unwrap_or_default();
        Pin::new(&mut *self.inner).poll_write(cx, part)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        ready!(self.gate.poll(cx));
        self.unflushed = true;
        let mut room = self.size;
        let mut parts: [IoSlice<'_>; 8] = std::array::from_fn(|_| IoSlice::new(&[]));
        for (part, slice) in parts.iter_mut().zip(slices) {
            let n = slice.len().min(room);
            room -= n;
            *part = IoSlice::new(slice.get(..n).unwrap_or_default());
        }
        Pin::new(&mut *self.inner).poll_write_vectored(cx, &parts)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.unflushed {
            ready!(self.gate.poll(cx));
        }
        self.unflushed = false;
        Pin::new(&mut *self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.gate.poll(cx));
        Pin::new(&mut *self.inner).poll_shutdown(cx)
    }
}

impl StreamWrite for ChoppedWrite {}

impl DatagramRead for ChoppedDatagramRead {
    fn poll_chunk(&mut self, cx: &mut Context<'_>, max: usize) -> Poll<io::Result<Flags>> {
        if self.piece.as_ref().is_none_or(|p| !p.announced) {
            ready!(self.gate.poll(cx));
        }
        if self.piece.is_none() {
            let flags = ready!(self.inner.poll_chunk(cx, max))?;
            let len = self.inner.chunk_mut().len();
            self.piece = Some(Piece { from: 0, to: 0, len, flags, announced: false });
        }
        let Some(piece) = &mut self.piece else {
            return Poll::Pending;
        };
        if !piece.announced {
            let size = if piece.flags.any(Flags::CONTROL) { usize::MAX } else { self.size.min(max.max(1)) };
            piece.to = piece.len.min(piece.from.saturating_add(size));
            piece.announced = true;
        }
        let part = if piece.to < piece.len { Flags::PARTIAL } else { Flags::NONE };
        Poll::Ready(Ok(piece.flags | part))
    }

    fn chunk_mut(&mut self) -> &mut [u8] {
        match &self.piece {
            Some(p) if p.announced => self.inner.chunk_mut().get_mut(p.from..p.to).unwrap_or_default(),
            _ => &mut [],
        }
    }

    fn consume(&mut self) {
        match &mut self.piece {
            Some(p) if p.announced && p.to < p.len => (p.from, p.announced) = (p.to, false),
            Some(p) if p.announced => {
                self.piece = None;
                self.inner.consume();
            }
            _ => {}
        }
    }

    fn for_each_inner(&mut self, visit: &mut dyn FnMut(&mut dyn DatagramRead)) {
        visit(&mut *self.inner);
    }

    fn parts_suffice(&mut self) {
        self.inner.parts_suffice();
    }
}

impl DatagramWrite for ChoppedDatagramWrite {
    fn poll_write(&mut self, cx: &mut Context<'_>, chunk: &mut [u8], flags: Flags) -> Poll<io::Result<()>> {
        let this = (chunk.len(), flags);
        let before = self.repeated.replace(this);
        assert!(before.is_none_or(|b| b == this), "after Pending {before:?} must be repeated, not {this:?}");
        ready!(self.gate.poll(cx));
        self.unflushed = true;
        let outcome = ready!(self.inner.poll_write(cx, chunk, flags));
        self.repeated = None;
        Poll::Ready(outcome)
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.unflushed {
            ready!(self.gate.poll(cx));
        }
        self.unflushed = false;
        self.inner.poll_flush(cx)
    }

    fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.gate.poll(cx));
        self.inner.poll_shutdown(cx)
    }

    fn transforms(&self) -> bool {
        self.inner.transforms()
    }

    fn keeps_borders(&self) -> bool {
        self.inner.keeps_borders()
    }

    fn end_is_silent(&self) -> bool {
        self.inner.end_is_silent()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{chunk_source, collect_chunks, collect_stream, drive, pair};
    use tokio::io::AsyncWriteExt;

    #[test]
    fn bytes_survive_every_schedule() {
        let expected: Vec<u8> = (0..=255).collect();
        for schedule in schedules() {
            let (a, b, _) = pair(1000);
            let (mut w, mut r) = (schedule.write_half(a.write.unwrap()), schedule.read_half(b.read.unwrap()));
            let got = drive(async {
                w.write_all(&expected).await.unwrap();
                w.shutdown().await.unwrap();
                collect_stream(&mut *r).await.unwrap()
            });
            assert_eq!(got, expected, "{schedule:?}");
        }
        assert_eq!(schedules().count(), 330);
    }

    #[test]
    fn chunks_are_cut_to_partial_pieces() {
        let source =
            chunk_source(vec![(b"abcde".to_vec(), Flags::TEXT), (vec![], Flags::NONE), (vec![3; 4], Flags::EOF)]);
        let mut chopped = Schedule { read: 2, write: 1, pending: PendingAt::Each }.datagram_read_half(source);
        let got = drive(collect_chunks(&mut *chopped, usize::MAX)).unwrap();
        let part = Flags::TEXT | Flags::PARTIAL;
        let expected = [
            (b"ab".to_vec(), part),
            (b"cd".to_vec(), part),
            (b"e".to_vec(), Flags::TEXT),
            (vec![], Flags::NONE),
            (vec![3; 4], Flags::EOF),
        ];
        assert_eq!(got, expected);
    }
}
