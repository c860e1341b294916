//! Where pooled memory meets byte streams: [`poll_fill`] reads into a window, [`Gather`] batches writes.
//!
//! `Gather` stands under every message writer that ends in a byte stream: small pieces are copied together, large ones leave
//! in one `writev` with what was gathered before. Pending: nothing of the piece is lost, repeat the call with the same
//! piece. Short write: kept inside. It never changes the bytes it is lent.

use crate::{
    buffer::Window,
    stream::{BoxStreamWrite, StreamRead, wrote},
};
use std::{
    io::{self, IoSlice},
    pin::Pin,
    task::{Context, Poll, ready},
};
use tokio::io::ReadBuf;
use wsframe::{Header, MAX_HEADER};

/// Reads once into `window`, which gets a buffer only when there is something to read and loses it when idle.
/// `need` bytes in all are wanted; returns 0 at the end of the stream.
#[inline]
pub fn poll_fill(
    stream: &mut dyn StreamRead,
    cx: &mut Context<'_>,
    window: &mut Window,
    need: usize,
) -> Poll<io::Result<usize>> {
    poll_fill_up_to(stream, cx, window, need, usize::MAX)
}

/// As [`poll_fill`], but reads at most `limit` bytes (0 counts as 1).
#[inline]
pub fn poll_fill_up_to(
    stream: &mut dyn StreamRead,
    cx: &mut Context<'_>,
    window: &mut Window,
    need: usize,
    limit: usize,
) -> Poll<io::Result<usize>> {
    let n = match stream.poll_readable(cx) {
        Poll::Ready(Ok(())) => {
            window.reserve(need);
            let spare = window.spare_mut();
            let limit = limit.max(1).min(spare.len());
            let mut buf = ReadBuf::new(spare.get_mut(..limit).unwrap_or_default());
            Pin::new(stream).poll_read(cx, &mut buf).map_ok(|()| buf.filled().len())
        }
        Poll::Ready(Err(e)) => Poll::Ready(Err(e)),
        Poll::Pending => Poll::Pending,
    };
    match n {
        Poll::Ready(Ok(n)) => window.advance(n),
        _ => window.release(),
    }
    n
}

/// Payloads up to this size are gathered by copying: cheaper than an own `iovec` and, above all, than an own system call.
const SMALL: usize = 4 << 10;
/// The same while more is about to follow.
const SMALL_IN_BATCH: usize = 16 << 10;

/// What goes in front of a piece: few bytes, made on the stack.
pub trait Head {
    /// Writes it to the front of `to`, whose rest may be overwritten; returns its length.
    ///
    /// A copy of fixed size is two instructions, of variable size a call.
    fn put(&self, to: &mut [u8; MAX_HEADER]) -> usize;

    fn as_bytes(&self) -> &[u8];
}

impl Head for Header {
    #[inline]
    fn put(&self, to: &mut [u8; MAX_HEADER]) -> usize {
        Self::put(self, to)
    }

    #[inline]
    fn as_bytes(&self) -> &[u8] {
        Self::as_bytes(self)
    }
}

/// Nothing goes in front.
pub struct NoHead;

impl Head for NoHead {
    #[inline]
    fn put(&self, _: &mut [u8; MAX_HEADER]) -> usize {
        0
    }

    #[inline]
    fn as_bytes(&self) -> &[u8] {
        &[]
    }
}

/// Collects pieces for a byte stream. Bytes given are accepted as a whole or not at all (Pending: repeat the call).
pub struct Gather {
    inner: BoxStreamWrite,
    pending: Window,
    /// Bytes of the current piece that have left already.
    sent: usize,
}

impl Gather {
    pub fn new(inner: BoxStreamWrite) -> Self {
        Self { inner, pending: Window::new(2), sent: 0 }
    }

    /// From now on the end of a large piece may wait for the next one, if that is about to follow.
    pub fn may_hold_back(&mut self) {
        self.inner.may_hold_back();
    }

    /// Everything taken was written.
    pub fn is_empty(&self) -> bool {
        self.pending.is_empty() && self.sent == 0
    }

    /// What was taken and not written: it gets less, or a piece that is on its way more, as the stream takes bytes.
    pub fn unwritten(&self) -> usize {
        self.pending.len().wrapping_sub(self.sent)
    }

    /// A small piece of `n` bytes would be accepted without writing anything.
    pub fn has_room(&self, n: usize) -> bool {
        self.pending.is_empty() || self.pending.room() >= n
    }

    /// A piece has left in part: until the rest follows, nothing else may be given.
    pub fn is_midway(&self) -> bool {
        self.sent > 0
    }

    /// Takes one piece; `more`: another follows without waiting, so that larger ones are gathered too.
    #[inline]
    pub fn poll_put(
        &mut self,
        cx: &mut Context<'_>,
        head: &impl Head,
        body: &[u8],
        more: bool,
    ) -> Poll<io::Result<()>> {
        if self.sent == 0 && body.len() <= if more { SMALL_IN_BATCH } else { SMALL } {
            let room = MAX_HEADER + body.len();
            if self.pending.is_empty() {
                self.pending.reserve(room);
            }
            if self.pending.room() >= room {
                if let Some(to) = self.pending.spare_mut().first_chunk_mut() {
                    let n = head.put(to);
                    self.pending.advance(n);
                }
                self.pending.push(body);
                return Poll::Ready(Ok(()));
            }
            self.pending.grow();
        }
        self.poll_put_directly(cx, head.as_bytes(), body, more)
    }

    fn poll_put_directly(
        &mut self,
        cx: &mut Context<'_>,
        head: &[u8],
        body: &[u8],
        more: bool,
    ) -> Poll<io::Result<()>> {
        while self.sent < head.len() + body.len() {
            let head_rest = head.get(self.sent..).unwrap_or_default();
            let body_rest = body.get(self.sent.saturating_sub(head.len())..).unwrap_or_default();
            let parts = [IoSlice::new(self.pending.filled()), IoSlice::new(head_rest), IoSlice::new(body_rest)];
            let parts = parts.get(usize::from(self.pending.is_empty())..).unwrap_or_default();
            let written = if more {
                self.inner.poll_write_held(cx, parts)
            } else {
                Pin::new(&mut *self.inner).poll_write_vectored(cx, parts)
            };
            let n = wrote(ready!(written)?)?;
            let old = n.min(self.pending.len());
            self.pending.skip(old);
            self.sent += n - old;
        }
        self.sent = 0;
        Poll::Ready(Ok(()))
    }

    /// Writes what was gathered, without flushing the stream below.
    fn poll_empty(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.pending.is_empty() {
            let n = wrote(ready!(Pin::new(&mut *self.inner).poll_write(cx, self.pending.filled()))?)?;
            self.pending.skip(n);
        }
        self.pending.release();
        Poll::Ready(Ok(()))
    }

    pub fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_empty(cx))?;
        Pin::new(&mut *self.inner).poll_flush(cx)
    }

    /// The shutdown of the stream below flushes it.
    pub fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_empty(cx))?;
        Pin::new(&mut *self.inner).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{
        chopper::{Schedule, schedules},
        collect::Recorder,
        drive::drive,
    };
    use std::future::poll_fn;
    use wsframe::Opcode;

    /// Sizes on both sides of every border: gathered, gathered only in a batch, written directly.
    const SIZES: [(usize, bool); 8] = [
        (0, false),
        (100, true),
        (SMALL, false),
        (SMALL + 1, false),
        (SMALL + 1, true),
        (SMALL_IN_BATCH + 1, true),
        (3, false),
        (100_000, false),
    ];

    async fn put(gather: &mut Gather, size: usize, more: bool) -> Vec<u8> {
        let head = Header::new(Opcode::Binary, true, size, None);
        let body: Vec<u8> = (0..size).map(|i| (i * 31 + size) as u8).collect();
        poll_fn(|cx| gather.poll_put(cx, &head, &body, more)).await.unwrap();
        [head.as_bytes(), &body[..]].concat()
    }

    #[test]
    fn pieces_stay_whole_and_in_order_however_the_stream_takes_them() {
        for schedule in schedules().filter(|s| s.read == 1) {
            let schedule = Schedule { write: schedule.write.saturating_mul(100), ..schedule };
            let recorder = Recorder::new();
            let mut gather = Gather::new(schedule.write_half(recorder.stream()));
            let sent = drive(async {
                let mut sent = Vec::new();
                for (size, more) in SIZES {
                    sent.extend(put(&mut gather, size, more).await);
                }
                poll_fn(|cx| gather.poll_shutdown(cx)).await.unwrap();
                sent
            });
            assert!(recorder.bytes() == sent, "{schedule:?}");
            assert!(recorder.is_shut());
            assert_eq!(gather.pending.room(), 0, "owns nothing when flushed");
        }
    }

    #[test]
    fn small_pieces_leave_together_and_a_large_one_takes_them_along() {
        let recorder = Recorder::new();
        let mut gather = Gather::new(recorder.stream());
        drive(async {
            for _ in 0..10 {
                put(&mut gather, 100, false).await;
            }
            assert_eq!(recorder.chunks().len(), 0);
            poll_fn(|cx| gather.poll_flush(cx)).await.unwrap();
            assert_eq!(recorder.chunks().len(), 1);
        });
    }

    #[test]
    fn reads_no_more_than_the_limit_and_owns_nothing_when_idle() {
        let (mut ours, mut theirs, _) = crate::testing::pair::pair(100);
        let (read, write) = (ours.read.as_deref_mut().unwrap(), theirs.write.as_deref_mut().unwrap());
        let mut window = Window::new(3);
        drive(async {
            let n = poll_fn(|cx| Pin::new(&mut *write).poll_write(cx, b"0123456789")).await.unwrap();
            assert_eq!(n, 10);
            for (limit, got) in [(4, 4), (0, 1), (usize::MAX, 5)] {
                let n = poll_fn(|cx| poll_fill_up_to(read, cx, &mut window, 1, limit)).await.unwrap();
                assert_eq!(n, got);
            }
            assert_eq!(window.filled(), b"0123456789");
            window.skip(10);
            let idle = poll_fn(|cx| Poll::Ready(poll_fill(read, cx, &mut window, 1).is_pending())).await;
            assert!(idle && window.room() == 0);
        });
    }
}
