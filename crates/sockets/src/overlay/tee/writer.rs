//! Writing to several sockets: each chunk to all of them, at the pace that the policy allows.

use super::{Shared, TeeError, TeeOptions, of_whole};
use crate::{
    backlog::{Backlog, Offer, SlowConsumer, TooSlow},
    buffer::{LARGEST, Window},
    datagram::{BoxDatagramWrite, DatagramWrite, Flags},
    info::SocketInfo,
    socket::Link,
};
use std::{
    future::Future,
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, Waker, ready},
    time::Duration,
};
use tokio::time::{Instant, Sleep, sleep};

/// Buffers of chunks that waited, kept for the next ones while a socket is slow.
const SPARE: usize = 16;

/// Between two warnings of messages that one socket has missed, while it is slow.
const TELL_AGAIN: Duration = Duration::from_secs(10);
/// At the end, for a socket that takes nothing of what waits for it, unless all wait for it anyway.
const LAST_PATIENCE: Duration = Duration::from_secs(10);

/// A chunk that waits for a socket.
type Chunk = (Vec<u8>, Flags);

/// One socket's writer.
pub struct Node {
    /// None when it was left out, or never was.
    write: Option<BoxDatagramWrite>,
    link: Option<Link>,
    info: Arc<SocketInfo>,
    /// It changes what it is given.
    transforms: bool,
    blocks: bool,
    /// It has taken the chunk that the tee is being given.
    taken: bool,
    /// It has begun that chunk, of which `copy` has the bytes if it transforms.
    begun: bool,
    copy: OwnCopy,
    /// The chunk that it has begun of those that waited.
    head: Option<Chunk>,
    backlog: Backlog<Chunk>,
    spare: Vec<Vec<u8>>,
    /// The end that comes behind what waits.
    end: Option<Vec<u8>>,
    /// Its peer has left: it only has to say good-bye.
    leaving: bool,
    /// When the user was last told what it missed.
    told: Option<Instant>,
    /// The end has come, and it has taken nothing of what waits since this began; with how much that is.
    last: Option<(Pin<Box<Sleep>>, usize)>,
}

/// Bytes of one chunk: pooled, as a large enough buffer exists for all but the strangest.
struct OwnCopy {
    window: Window,
    large: Vec<u8>,
}

impl OwnCopy {
    fn set(&mut self, chunk: &[u8]) {
        self.window.skip(self.window.len());
        if chunk.len() > LARGEST {
            self.large.extend_from_slice(chunk);
        } else if !chunk.is_empty() {
            self.window.reserve(chunk.len());
            self.window.push(chunk);
        }
    }

    fn bytes_mut(&mut self) -> &mut [u8] {
        if self.large.is_empty() { self.window.filled_mut() } else { &mut self.large }
    }

    /// Its buffer stays for the next chunk until `release`.
    fn clear(&mut self) {
        self.window.skip(self.window.len());
        self.large = Vec::new();
    }

    fn release(&mut self) {
        self.window.release();
    }
}

impl Node {
    pub fn new(
        write: Option<BoxDatagramWrite>,
        link: Option<Link>,
        info: Arc<SocketInfo>,
        options: &TeeOptions,
    ) -> Self {
        Self {
            transforms: write.as_ref().is_some_and(|write| write.transforms()),
            blocks: options.slow == SlowConsumer::Block,
            write,
            link,
            info,
            taken: false,
            begun: false,
            copy: OwnCopy { window: Window::new(3), large: Vec::new() },
            head: None,
            backlog: Backlog::new(options.slow, options.max_backlog),
            spare: Vec::new(),
            end: None,
            leaving: false,
            told: None,
            last: None,
        }
    }

    pub fn lives(&self) -> bool {
        self.write.is_some()
    }

    /// Tells what it has missed since the last time.
    fn tell_dropped(&mut self) {
        let dropped = self.backlog.take_dropped();
        if dropped > 0 {
            tracing::warn!("tee: {} is too slow: {dropped} messages were dropped for it", self.info.describe());
            self.told = Some(Instant::now());
        }
    }

    /// Leaves it out from now on.
    fn leave_out(&mut self) {
        self.tell_dropped();
        (self.write, self.last) = (None, None);
        self.copy.clear();
        self.copy.release();
        (self.head, self.end, self.spare) = (None, None, Vec::new());
        self.backlog = Backlog::new(SlowConsumer::Block, 0);
        // Unread data would make the kernel reset the connection before its last bytes have left.
        if let Some(link) = self.link.take_if(|_| self.leaving) {
            link.discard_unread();
        }
    }

    /// Gives it the chunk, a copy if it would change the bytes.
    fn poll_direct(&mut self, cx: &mut Context<'_>, chunk: &mut [u8], flags: Flags) -> Poll<io::Result<()>> {
        let Some(write) = &mut self.write else { return Poll::Ready(Ok(())) };
        let outcome = if self.transforms {
            if !self.begun {
                self.copy.set(chunk);
            }
            write.poll_write(cx, self.copy.bytes_mut(), flags)
        } else {
            write.poll_write(cx, chunk, flags)
        };
        self.begun = outcome.is_pending();
        if !self.begun {
            self.copy.clear();
            if !flags.any(Flags::CONTROL) {
                self.backlog.passed(flags.ends_message());
            }
        }
        outcome
    }

    /// Ready when it has taken the chunk, in one way or another.
    fn poll_offer(&mut self, cx: &mut Context<'_>, chunk: &mut [u8], flags: Flags) -> Poll<io::Result<()>> {
        let (control, eof) = (flags.any(Flags::CONTROL), flags.any(Flags::EOF));
        if self.blocks || self.begun {
            return self.poll_direct(cx, chunk, flags);
        }
        if self.poll_waiting(cx)?.is_ready() {
            if !control && self.backlog.skips(flags.ends_message()) {
                return Poll::Ready(Ok(()));
            }
            if self.poll_direct(cx, chunk, flags)?.is_ready() {
                return Poll::Ready(Ok(()));
            }
            // It has begun this chunk and will be given the very same bytes again.
            let mut bytes = self.spare.pop().unwrap_or_default();
            bytes.extend_from_slice(if self.transforms { self.copy.bytes_mut() } else { chunk });
            self.copy.clear();
            self.begun = false;
            if !control {
                self.backlog.passed(flags.ends_message());
            }
            self.head = Some((bytes, flags));
            return Poll::Ready(Ok(()));
        }
        if eof {
            self.end = Some(chunk.to_vec());
            return Poll::Ready(Ok(()));
        }
        if control {
            // A ping or pong that comes late is worth nothing.
            return Poll::Ready(Ok(()));
        }
        let mut bytes = self.spare.pop().unwrap_or_default();
        bytes.extend_from_slice(chunk);
        let (spare, len) = (&mut self.spare, bytes.len());
        let offer = self.backlog.offer((bytes, flags - Flags::MORE), len, flags.ends_message(), &mut |(bytes, _)| {
            keep(spare, bytes);
        });
        if self.backlog.has_dropped() && self.told.is_none_or(|told| told.elapsed() >= TELL_AGAIN) {
            self.tell_dropped();
        }
        match offer {
            Offer::Kept => Poll::Ready(Ok(())),
            Offer::Dropped((bytes, _)) => {
                keep(&mut self.spare, bytes);
                Poll::Ready(Ok(()))
            }
            Offer::Full((bytes, _)) => {
                keep(&mut self.spare, bytes);
                Poll::Pending
            }
            Offer::Disconnect(too_slow) => Poll::Ready(Err(too_slow.into())),
        }
    }

    /// Writes what waits; Ready when nothing does.
    fn poll_waiting(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Some(write) = &mut self.write else { return Poll::Ready(Ok(())) };
        loop {
            if self.head.is_none() {
                let Some(next) = self.backlog.take() else { break };
                self.head = Some(next);
            }
            if let Some((bytes, flags)) = &mut self.head {
                ready!(write.poll_write(cx, bytes, *flags))?;
            }
            if let Some((bytes, _)) = self.head.take() {
                keep(&mut self.spare, bytes);
            }
        }
        if let Some(body) = &mut self.end {
            ready!(write.poll_write(cx, body, Flags::EOF))?;
            self.end = None;
        }
        self.tell_dropped();
        Poll::Ready(Ok(()))
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.begun {
            return Poll::Pending; // it wakes the task for that chunk, and nothing may come in between
        }
        self.copy.release();
        ready!(self.poll_waiting(cx))?;
        let Some(write) = &mut self.write else { return Poll::Ready(Ok(())) };
        let flushed = write.poll_flush(cx);
        if flushed.is_ready() {
            self.spare = Vec::new();
            self.backlog.release();
        }
        flushed
    }

    fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.poll_waiting(cx)?.is_pending() {
            return if self.blocks { Poll::Pending } else { self.poll_patience(cx) };
        }
        self.last = None;
        self.write.as_mut().map_or(Poll::Ready(Ok(())), |write| write.poll_shutdown(cx))
    }

    /// Pending while there is hope that it takes what waits for it.
    fn poll_patience(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let waits = self.backlog.bytes() + self.head.as_ref().map_or(0, |(bytes, _)| bytes.len());
        let (sleep, before) = self.last.get_or_insert_with(|| (Box::pin(sleep(LAST_PATIENCE)), waits));
        if *before != waits {
            *before = waits;
            sleep.as_mut().reset(Instant::now() + LAST_PATIENCE);
        }
        ready!(sleep.as_mut().poll(cx));
        Poll::Ready(Err(TeeError::Stuck.into()))
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.tell_dropped();
    }
}

fn keep(spare: &mut Vec<Vec<u8>>, mut bytes: Vec<u8>) {
    if spare.len() < SPARE {
        bytes.clear();
        spare.push(bytes);
    }
}

/// Write half of a tee.
///
/// Pending: some socket takes nothing and may hold the others up; repeat with the same chunk. Short write: none. EOF goes to
/// every socket. Drop midway: drops all sockets' writers; what waits for them is lost. Changes no bytes.
pub struct TeeWriter {
    nodes: Vec<Node>,
    options: TeeOptions,
    shared: Arc<Shared>,
    /// What the reader was told to wake, of either kind of news.
    waker: Option<Waker>,
    failure_waker: Option<Waker>,
}

impl TeeWriter {
    pub(super) fn new(nodes: Vec<Node>, options: TeeOptions, shared: Arc<Shared>) -> Self {
        Self { nodes, options, shared, waker: None, failure_waker: None }
    }

    /// Does `work` with every socket that is there; Pending when one of them is. A socket that fails is left out, and an error
    /// of the whole when it was the last one, or any is.
    fn poll_each(
        &mut self,
        cx: &mut Context<'_>,
        mut work: impl FnMut(&mut Node, &mut Context<'_>) -> Poll<io::Result<()>>,
    ) -> Poll<io::Result<()>> {
        let (mut pending, mut failed) = (false, None);
        for (i, node) in self.nodes.iter_mut().enumerate().filter(|(_, node)| node.lives()) {
            match work(node, cx) {
                Poll::Ready(Ok(())) => {}
                Poll::Pending => pending = true,
                Poll::Ready(Err(error)) => {
                    node.leave_out();
                    if node.leaving {
                        tracing::debug!(%error, "tee: a socket whose peer has left");
                        continue;
                    }
                    if !self.options.fail_writes {
                        tracing::warn!("tee: goes on without writing to {}: {error}", node.info.describe());
                    }
                    let stuck = error.get_ref().and_then(|e| e.downcast_ref()) == Some(&TeeError::Stuck);
                    if stuck || error.get_ref().is_some_and(|e| e.is::<TooSlow>()) {
                        self.shared.let_go.tell(i);
                    }
                    failed = Some(error);
                }
            }
        }
        match failed {
            Some(error) if self.options.fail_writes || !self.nodes.iter().any(Node::lives) => {
                Poll::Ready(Err(of_whole(error)))
            }
            _ if pending => Poll::Pending,
            _ => Poll::Ready(Ok(())),
        }
    }

    /// Lets those say good-bye whose peers have left, and leaves those out at once that failed.
    fn see_off(&mut self, cx: &mut Context<'_>) {
        let news = self.shared.gone.any(cx, &mut self.waker);
        let failures = self.shared.failed.any(cx, &mut self.failure_waker);
        for (i, node) in self.nodes.iter_mut().enumerate() {
            if failures && node.lives() && self.shared.failed.is_true_of(i) {
                node.leave_out();
                node.begun = false;
            }
            node.leaving |= news && self.shared.gone.is_true_of(i);
            if node.leaving {
                // In the middle of a chunk it can say nothing.
                let midway = node.begun || node.head.is_some();
                match node.write.as_mut().filter(|_| !midway).map(|write| write.poll_shutdown(cx)) {
                    Some(Poll::Pending) => {}
                    Some(Poll::Ready(Ok(()))) | None => node.leave_out(),
                    Some(Poll::Ready(Err(error))) => {
                        tracing::debug!(%error, "tee: a socket whose peer has left");
                        node.leave_out();
                    }
                }
            }
        }
    }
}

impl DatagramWrite for TeeWriter {
    fn poll_write(&mut self, cx: &mut Context<'_>, chunk: &mut [u8], flags: Flags) -> Poll<io::Result<()>> {
        self.see_off(cx);
        let written = self.poll_each(cx, |node, cx| {
            if !node.taken && !node.leaving {
                ready!(node.poll_offer(cx, chunk, flags))?;
                node.taken = true;
            }
            Poll::Ready(Ok(()))
        });
        if written.is_pending() {
            // The others must not wait for the slow one: neither for this chunk nor for pongs that they owe.
            return match self.poll_each(cx, |node, cx| if node.taken { node.poll_flush(cx) } else { Poll::Pending }) {
                Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
                _ => Poll::Pending,
            };
        }
        for node in &mut self.nodes {
            node.taken = false;
            if node.begun {
                // After an error that chunk does not come again, and nothing else may.
                node.leave_out();
                node.begun = false;
            }
        }
        written
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.see_off(cx);
        self.poll_each(cx, Node::poll_flush)
    }

    fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.see_off(cx);
        self.poll_each(cx, Node::poll_shutdown)
    }

    fn keeps_borders(&self) -> bool {
        self.nodes.iter().any(|node| node.write.as_ref().is_some_and(|write| write.keeps_borders()))
    }

    /// Nobody is told of the end by something that is answered.
    fn end_is_silent(&self) -> bool {
        self.nodes
            .iter()
            .all(|node| node.write.as_ref().is_none_or(|write| write.end_is_silent() || !write.keeps_borders()))
    }
}
