//! Byte sessions: one direction through a pooled buffer or, between two kernel sockets, inside the kernel; both at once.
//!
//! Half-close is kept: the end of one direction shuts its sink down and the other goes on. An error ends both, and a reset
//! of one socket becomes a reset of the other. What was read is always offered to the sink before the next read, so the
//! only buffer is the one whose size the caller knows.

use crate::{
    buffer::Window,
    endpoint::process::Bond,
    exchange::{
        Direction, ExchangeBytesOptions, ExchangeError, Failed, Part, Side, is_reset, warn_of_missing_half,
        watch::{Event, Watch},
    },
    gather::poll_fill_up_to,
    hangup::Hangup,
    socket::StreamSocket,
    splice::{SpliceCopy, Spliced},
    stop::Stop,
    stream::{BoxStreamRead, BoxStreamWrite, wrote},
};
use std::{
    future::Future,
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};
use tokio::time::{Sleep, sleep};

/// Reads before other tasks get their turn: 4 MiB in buffers of 256 KiB, about a millisecond.
const TURN: usize = 16;

/// How long a sink that cannot be reset may take what was said before a reset of the source.
const LAST_WRITES: Duration = Duration::from_secs(2);

/// One direction between two byte streams through a pooled buffer.
///
/// Pending: what was read stays inside; flushed when the source has nothing. Short write: the rest is written next. EOF:
/// the sink is shut down, then it is ready. Drop midway: loses what was read and not written.
pub struct StreamCopy {
    from: BoxStreamRead,
    to: BoxStreamWrite,
    window: Window,
    /// Most bytes per read.
    limit: u32,
    eof: bool,
}

impl StreamCopy {
    /// `size` fixes the number of bytes per read, up to 256 KiB; None follows the traffic.
    pub fn new(from: BoxStreamRead, to: BoxStreamWrite, size: Option<usize>) -> Self {
        let limit = size.map_or(u32::MAX, |n| u32::try_from(n).unwrap_or(u32::MAX).max(1));
        Self { from, to, window: Window::new(3), limit, eof: false }
    }

    fn poll_empty(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.window.is_empty() {
            match Pin::new(&mut *self.to).poll_write(cx, self.window.filled())? {
                Poll::Ready(n) => self.window.skip(wrote(n)?),
                Poll::Pending => {
                    self.window.release(); // a slow sink shall not pin a large buffer for a small rest
                    return Poll::Pending;
                }
            }
        }
        Poll::Ready(Ok(()))
    }

    /// The source is broken: offers all that it still has to the sink, without waiting and without an end.
    fn offer_all(&mut self, cx: &mut Context<'_>) {
        while matches!(self.poll_empty(cx), Poll::Ready(Ok(()))) && !self.eof {
            match poll_fill_up_to(&mut *self.from, cx, &mut self.window, 1, self.limit as usize) {
                Poll::Ready(Ok(n)) => self.eof = n == 0,
                _ => break,
            }
        }
        let _ = Pin::new(&mut *self.to).poll_flush(cx); // the session has failed already
    }

    fn poll_copy(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Failed>> {
        if !self.window.is_empty() {
            ready!(self.poll_empty(cx)).map_err(Failed::sink)?;
            self.window.release(); // the rest may have been in a small one
        }
        for _ in 0..TURN {
            ready!(self.poll_empty(cx)).map_err(Failed::sink)?;
            if self.eof {
                self.window.release();
                return Pin::new(&mut *self.to).poll_shutdown(cx).map_err(Failed::sink);
            }
            let limit = self.limit as usize;
            match poll_fill_up_to(&mut *self.from, cx, &mut self.window, 1, limit).map_err(Failed::source)? {
                Poll::Ready(n) => self.eof = n == 0,
                Poll::Pending => {
                    let _ = Pin::new(&mut *self.to).poll_flush(cx).map_err(Failed::sink)?; // Pending: its waker is ours
                    return Poll::Pending;
                }
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

/// How the bytes of one direction move.
enum Way {
    Copy(StreamCopy),
    Splice(SpliceCopy),
    /// Nothing moves; the writer stays open until the other direction has ended.
    Idle(BoxStreamWrite),
    /// Nothing moves; the writer is being shut down.
    Shutdown(BoxStreamWrite),
    Ended,
}

impl Way {
    fn new(from: BoxStreamRead, to: BoxStreamWrite, size: Option<usize>) -> Self {
        match SpliceCopy::new(from, to, size) {
            Ok(splice) => Self::Splice(splice),
            Err((from, to)) => Self::Copy(StreamCopy::new(from, to, size)),
        }
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Failed>> {
        let ended = match self {
            Self::Copy(copy) => copy.poll_copy(cx),
            Self::Splice(splice) => match ready!(splice.poll_splice(cx)?) {
                Spliced::Ended => Poll::Ready(Ok(())),
                Spliced::Unsupported => {
                    if let Self::Splice(splice) = std::mem::replace(self, Self::Ended) {
                        *self = Self::Copy(splice.into_copy());
                    }
                    return self.poll(cx);
                }
            },
            Self::Idle(_) => Poll::Pending,
            Self::Shutdown(to) => {
                if let Err(error) = ready!(Pin::new(&mut **to).poll_shutdown(cx)) {
                    tracing::debug!(%error, "cannot shut an unused writer down");
                }
                Poll::Ready(Ok(()))
            }
            Self::Ended => Poll::Ready(Ok(())),
        };
        ready!(ended?);
        *self = Self::Ended;
        Poll::Ready(Ok(()))
    }

    /// Nothing more is read; what was read is written, then the sink is shut down.
    fn finish(&mut self) {
        // Splicing needs two kernel sockets, and then a reset is passed on instead.
        if let Self::Copy(copy) = self {
            copy.eof = true;
        }
    }

    /// The source was reset: what came before that and was not read yet goes to the sink, as far as it takes it at once.
    /// Who is connected directly gets it, too.
    fn offer_all(&mut self, cx: &mut Context<'_>) {
        let offer = std::future::poll_fn(|cx| {
            match self {
                Self::Copy(copy) => copy.offer_all(cx),
                Self::Splice(splice) => splice.offer_all(cx),
                Self::Idle(_) | Self::Shutdown(_) | Self::Ended => {}
            }
            Poll::Ready(())
        });
        // Without tokio's budget: what is there has an end, since nothing more can come.
        let _: Poll<()> = std::pin::pin!(tokio::task::unconstrained(offer)).poll(cx);
    }

    /// Offers what was read already to the sink, without waiting.
    fn offer_rest(&mut self, cx: &mut Context<'_>) {
        match self {
            Self::Copy(copy) => {
                // The session has failed already: nobody waits for these.
                let _ = copy.poll_empty(cx);
                let _ = Pin::new(&mut *copy.to).poll_flush(cx);
            }
            Self::Splice(splice) => splice.offer_rest(cx),
            Self::Idle(_) | Self::Shutdown(_) | Self::Ended => {}
        }
    }
}

/// Copies bytes until the end of the stream, then shuts the writer down.
pub struct CopyBytes(Way);

impl CopyBytes {
    /// `size` is the number of bytes per read at most, up to 256 KiB; None follows the traffic.
    pub fn new(from: BoxStreamRead, to: BoxStreamWrite, size: Option<usize>) -> Self {
        Self(Way::new(from, to, size))
    }
}

impl Future for CopyBytes {
    type Output = Result<(), ExchangeError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let direction = Direction::Forward;
        self.get_mut().0.poll(cx).map_err(|Failed { part, error }| ExchangeError { direction, part, error })
    }
}

/// Both directions between two byte streams.
///
/// Pending: both wait. Drop midway: closes both sockets at once and loses what was read and not yet written.
pub struct ExchangeBytes {
    forward: Way,
    reverse: Way,
    watch: Option<Box<Watch>>,
    exit_on_eof: bool,
    /// Directions that are copied.
    copies: [bool; 2],
    /// One socket was reset; the other one is given what came before that.
    last: Option<Box<Last>>,
}

struct Last {
    direction: Direction,
    error: Option<ExchangeError>,
    deadline: Pin<Box<Sleep>>,
}

impl ExchangeBytes {
    /// A top-level session ends when `stop` drains, one of a listener goes on until it is dropped.
    pub fn new(left: StreamSocket, right: StreamSocket, options: ExchangeBytesOptions, stop: Stop) -> Self {
        let ExchangeBytesOptions { unidirectional, unidirectional_reverse, exit_on_eof, late_drop, .. } = options;
        let way = |direction, from, to, off, size| match (from, to) {
            (_, None) if off => Way::Ended,
            (_, Some(to)) if off && late_drop => Way::Idle(to),
            (_, Some(to)) if off => Way::Shutdown(to),
            (Some(from), Some(to)) => Way::new(from, to, size),
            (from, to) => {
                warn_of_missing_half(direction, from.is_some());
                to.map_or(Way::Ended, Way::Idle)
            }
        };
        let copies = [
            !unidirectional_reverse && left.read.is_some() && right.write.is_some(),
            !unidirectional && right.read.is_some() && left.write.is_some(),
        ];
        let children = [&left.info, &right.info].map(|info| info.child.clone());
        for (child, unused) in children.iter().zip([unidirectional, unidirectional_reverse]) {
            if let (Some(child), true) = (child, unused) {
                child.leave_input_unused();
            }
        }
        let mut watch = Watch::new(
            Hangup::either(left.hangup, right.hangup),
            [left.link, right.link],
            stop.is_top_level().then_some(stop),
        );
        watch.children = children;
        watch.know_sinks([&left.info, &right.info]);
        Self {
            forward: way(
                Direction::Forward,
                left.read,
                right.write,
                unidirectional_reverse,
                options.buffer_size_forward,
            ),
            reverse: way(Direction::Reverse, right.read, left.write, unidirectional, options.buffer_size_reverse),
            watch: Some(Box::new(watch)),
            exit_on_eof,
            copies,
            last: None,
        }
    }

    /// The supervised child that `side` leads to.
    fn child(&self, side: Side) -> Option<&Arc<Bond>> {
        self.watch.as_ref().and_then(|watch| side.of(&watch.children).as_ref())
    }

    fn way(&mut self, direction: Direction) -> &mut Way {
        match direction {
            Direction::Forward => &mut self.forward,
            Direction::Reverse => &mut self.reverse,
        }
    }

    /// Drops both sockets.
    fn over(&mut self, result: Result<(), ExchangeError>) -> Poll<Result<(), ExchangeError>> {
        if let Some(watch) = &self.watch {
            watch.discard_unread();
        }
        (self.forward, self.reverse, self.watch) = (Way::Ended, Way::Ended, None);
        Poll::Ready(result)
    }

    /// `all_read`: the reset came up in reading, so that nothing is left to be read.
    fn reset(&mut self, cx: &mut Context<'_>, error: ExchangeError, all_read: bool) -> Poll<Result<(), ExchangeError>> {
        let side = error.side();
        let direction = Direction::reading(side);
        if self.watch.as_ref().is_some_and(|watch| watch.link(side.other()).is_none()) {
            // Standard output, a file, a process: it cannot be told of a reset, and what came before must not be lost.
            if let Some(child) = self.child(side.other()) {
                child.cut();
            }
            *self.way(direction.other()) = Way::Ended;
            if all_read {
                self.way(direction).finish();
            }
            let deadline = Box::pin(sleep(LAST_WRITES));
            self.last = Some(Box::new(Last { direction, error: Some(error), deadline }));
            return self.poll_last(cx);
        }
        self.way(direction).offer_all(cx);
        if let Some(watch) = &self.watch {
            watch.reset_on_close(side.other());
        }
        self.over(Err(error.handed_on()))
    }

    /// After a reset: moves what the kernel still has of that socket, as long as its sink takes it in time.
    fn poll_last(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), ExchangeError>> {
        let Some(mut last) = self.last.take() else { return Poll::Ready(Ok(())) };
        loop {
            match self.way(last.direction).poll(cx) {
                // The reset itself comes up when everything before it was read.
                Poll::Ready(Err(Failed { part: Part::Source, .. })) => self.way(last.direction).finish(),
                Poll::Ready(_) => break,
                Poll::Pending if last.deadline.as_mut().poll(cx).is_ready() => break,
                Poll::Pending => {
                    self.last = Some(last);
                    return Poll::Pending;
                }
            }
        }
        self.over(last.error.take().map_or(Ok(()), Err))
    }

    fn poll_ways(&mut self, cx: &mut Context<'_>) -> Result<bool, ExchangeError> {
        let mut ended = [false; 2];
        for (ended, direction) in ended.iter_mut().zip([Direction::Forward, Direction::Reverse]) {
            let polled = self.way(direction).poll(cx);
            let polled = polled.map_err(|Failed { part, error }| ExchangeError { direction, part, error })?;
            *ended = polled.is_ready();
        }
        let [forward, reverse] = ended;
        let [copies_forward, copies_reverse] = self.copies;
        // A child that has ended reads nothing either.
        let [left_ends, right_ends] = [Side::Left, Side::Right]
            .map(|side| self.exit_on_eof || self.child(side).is_some_and(|child| child.has_left()));
        let one_is_enough = forward && copies_forward && left_ends || reverse && copies_reverse && right_ends;
        // An idle direction ends when the other one has, or when there is nothing else.
        let mut late = false;
        for (way, other) in
            [(&mut self.forward, reverse || !copies_reverse), (&mut self.reverse, forward || !copies_forward)]
        {
            if other && matches!(way, Way::Idle(_)) {
                late = true;
                if let Way::Idle(to) = std::mem::replace(way, Way::Ended) {
                    *way = Way::Shutdown(to);
                }
            }
        }
        if late {
            return self.poll_ways(cx); // at most once per direction
        }
        Ok(forward && reverse || one_is_enough)
    }
}

impl Future for ExchangeBytes {
    type Output = Result<(), ExchangeError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        if this.last.is_some() {
            return this.poll_last(cx);
        }
        match this.watch.as_mut().and_then(|watch| watch.poll(cx)) {
            None => {}
            // The idle time-out is one of messages; nobody asks for it here.
            Some(Event::Hangup | Event::Drain | Event::Idle) => {
                this.forward.offer_rest(cx);
                this.reverse.offer_rest(cx);
                return this.over(Ok(()));
            }
            Some(Event::Reset(side, error)) => return this.reset(cx, ExchangeError::reset(side, error), false),
        }
        match this.poll_ways(cx) {
            Ok(false) => Poll::Pending,
            Ok(true) => this.over(Ok(())),
            Err(error) => {
                let side = error.side();
                let has_link = this.watch.as_ref().is_some_and(|watch| watch.has_link(side, error.part));
                if is_reset(&error.error, has_link) {
                    let all_read = error.part == Part::Source;
                    return this.reset(cx, error, all_read);
                }
                if error.part == Part::Source {
                    this.way(error.direction).offer_rest(cx);
                }
                this.over(Err(error))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{chopper::schedules, collect::Recorder, drive::drive, pair::pair};
    use tokio::io::AsyncWriteExt;

    #[test]
    fn copies_the_same_bytes_however_both_streams_are_cut() {
        let sent: Vec<u8> = (0..1000u32).map(|i| (i * i / 7) as u8).collect();
        for schedule in schedules() {
            for size in [None, Some(10)] {
                let (ours, mut theirs, _) = pair(2000);
                let recorder = Recorder::new();
                let copy = CopyBytes::new(
                    schedule.read_half(ours.read.unwrap()),
                    schedule.write_half(recorder.stream()),
                    size,
                );
                drive(async {
                    let write = theirs.write.as_mut().unwrap();
                    write.write_all(&sent).await.unwrap();
                    write.shutdown().await.unwrap();
                    copy.await.unwrap();
                });
                assert!(recorder.bytes() == sent, "{schedule:?} {size:?}");
                assert!(recorder.is_shut());
            }
        }
    }
}
