//! The halves that clients of a shared socket get.
//!
//! One client at a time reads and gets whole messages; one at a time writes, until its message ends. What a client
//! leaves behind when it is dropped midway is tidied up, so that the next one finds the inner socket between two
//! messages.

use super::{ReadEnd, ReuseError, Shared, Torn, TornMessage, Writing};
use crate::datagram::{BoxDatagramRead, DatagramRead, DatagramWrite, Flags};
use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    task::{Context, Poll, Waker, ready},
};

/// Read half of a client.
///
/// Pending: until this client has the right to read and a chunk is there. EOF: when the inner socket ended, for every
/// client. Drop midway: the right goes to the next client, with a chunk that was announced and not consumed; the rest of a
/// message that was consumed in part is discarded.
pub(super) struct ClientReader {
    shared: Arc<Shared>,
    id: u64,
    /// The inner reader, while this client has the right to read.
    held: Option<BoxDatagramRead>,
    /// Inside a message of this client.
    midway: bool,
    /// Inside a message of a client that left.
    discard: bool,
    announced: Option<Flags>,
    eof_body: Vec<u8>,
    /// This client's own direction has ended: it yields to others.
    yields: Arc<AtomicBool>,
}

impl ClientReader {
    pub(super) fn new(shared: Arc<Shared>, id: u64, yields: Arc<AtomicBool>) -> Self {
        Self { shared, id, held: None, midway: false, discard: false, announced: None, eof_body: Vec::new(), yields }
    }

    fn poll_right_to_read(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Option<Flags>>> {
        let mut reading = self.shared.reading();
        if self.held.is_some() {
            let border = !self.midway && !self.discard;
            if !(border && self.yields.load(Relaxed) && !reading.queue.is_empty()) {
                return Poll::Ready(Ok(None));
            }
            reading.reader = self.held.take();
            reading.discard = false;
            reading.wake_next();
        }
        match reading.ended.clone() {
            Some(ReadEnd::Eof { body, flags }) => {
                drop(reading);
                self.eof_body = body;
                return Poll::Ready(Ok(Some(flags)));
            }
            Some(ReadEnd::Failed(error)) => return Poll::Ready(Err(error.to_io())),
            None => {}
        }
        if reading.reader.is_some() && reading.queue.front().is_none_or(|(id, _)| *id == self.id) {
            reading.queue.pop_front();
            self.held = reading.reader.take();
            self.discard = reading.discard;
            return Poll::Ready(Ok(None));
        }
        match reading.queue.iter_mut().find(|(id, _)| *id == self.id) {
            Some((_, waker)) => waker.clone_from(cx.waker()),
            None => reading.queue.push_back((self.id, cx.waker().clone())),
        }
        Poll::Pending
    }
}

impl DatagramRead for ClientReader {
    fn poll_chunk(&mut self, cx: &mut Context<'_>, max: usize) -> Poll<io::Result<Flags>> {
        if let Some(flags) = self.announced {
            return Poll::Ready(Ok(flags));
        }
        if let Some(eof) = ready!(self.poll_right_to_read(cx))? {
            self.announced = Some(eof);
            return Poll::Ready(Ok(eof));
        }
        loop {
            let Some(reader) = &mut self.held else {
                return Poll::Ready(Err(io::ErrorKind::NotConnected.into()));
            };
            match ready!(reader.poll_chunk(cx, max)) {
                Ok(flags) if flags.any(Flags::EOF) => {
                    self.eof_body = reader.chunk_mut().to_vec();
                    let body = self.eof_body.clone();
                    self.held = None;
                    self.shared.reading().end(ReadEnd::Eof { body, flags });
                    self.announced = Some(flags);
                }
                Ok(flags) if self.discard && !flags.any(Flags::CONTROL) => {
                    reader.consume();
                    self.discard = !flags.ends_message();
                    continue;
                }
                Ok(flags) => self.announced = Some(flags),
                Err(error) => {
                    self.held = None;
                    self.shared.reading().end(ReadEnd::Failed(ReuseError::of(&error)));
                    return Poll::Ready(Err(error));
                }
            }
            return Poll::Ready(Ok(self.announced.unwrap_or(Flags::EOF)));
        }
    }

    fn chunk_mut(&mut self) -> &mut [u8] {
        match (&mut self.held, self.announced) {
            (Some(reader), Some(_)) => reader.chunk_mut(),
            (None, Some(_)) => &mut self.eof_body,
            (_, None) => &mut [],
        }
    }

    fn consume(&mut self) {
        let Some(flags) = self.announced.take_if(|f| !f.any(Flags::EOF)) else {
            return;
        };
        if !flags.any(Flags::CONTROL) {
            self.midway = flags.any(Flags::PARTIAL);
        }
        if let Some(reader) = &mut self.held {
            reader.consume();
        }
    }

    fn for_each_inner(&mut self, visit: &mut dyn FnMut(&mut dyn DatagramRead)) {
        if let Some(reader) = &mut self.held {
            visit(&mut **reader);
        }
    }
}

impl Drop for ClientReader {
    fn drop(&mut self) {
        let mut reading = self.shared.reading();
        reading.queue.retain(|(id, _)| *id != self.id);
        if self.held.is_some() {
            reading.reader = self.held.take();
            reading.discard = self.midway || self.discard;
        }
        if reading.reader.is_some() {
            reading.wake_next();
        }
    }
}

/// Write half of a client.
///
/// Pending: while another client is inside a message, or the inner writer takes nothing; repeat with the same chunk. Short
/// write: none. EOF and shutdown: swallowed, the inner socket stays open. Drop midway: a chunk that the inner writer had
/// begun is finished by whoever writes next, a message without its end is torn. Changes bytes if the inner writer does.
pub(super) struct ClientWriter {
    shared: Arc<Shared>,
    id: u64,
    /// Flags of the message that was begun.
    midway: Option<Flags>,
    /// Copy of the chunk that the inner writer has begun, in case that we are dropped.
    begun: Option<Flags>,
    copy: Vec<u8>,
    unflushed: bool,
    yields: Arc<AtomicBool>,
}

impl ClientWriter {
    pub(super) fn new(shared: Arc<Shared>, id: u64, yields: Arc<AtomicBool>) -> Self {
        Self { shared, id, midway: None, begun: None, copy: Vec::new(), unflushed: false, yields }
    }

    /// No more of this client's message will come.
    fn tear(&mut self, writing: &mut Writing) {
        if let Some(flags) = self.midway.take() {
            writing.owner = None;
            writing.torn = Some(Torn { flags, begun: false, told: false });
        }
    }
}

impl DatagramWrite for ClientWriter {
    fn poll_write(&mut self, cx: &mut Context<'_>, chunk: &mut [u8], flags: Flags) -> Poll<io::Result<()>> {
        let shared = self.shared.clone();
        let mut writing = shared.writing();
        if flags.any(Flags::EOF) {
            self.yields.store(true, Relaxed);
            self.tear(&mut writing);
            drop(writing);
            shared.writers.wake_all();
            return Poll::Ready(Ok(()));
        }
        let data = !flags.any(Flags::CONTROL);
        let mine = |client: Option<u64>| client.is_none_or(|id| id == self.id);
        shared.writers.add(cx.waker());
        if !mine(writing.busy) || (data && !mine(writing.owner)) {
            return Poll::Pending;
        }
        let waker = Waker::from(shared.writers.clone());
        let cx = &mut Context::from_waker(&waker);
        ready!(writing.poll_chunk_of_other(cx))?;
        ready!(writing.poll_mend(cx, shared.torn_rule))?;
        let Some(writer) = &mut writing.writer else {
            return Poll::Ready(Err(io::ErrorKind::NotConnected.into()));
        };
        let Poll::Ready(outcome) = writer.poll_write(cx, chunk, flags) else {
            self.copy.clear();
            self.copy.extend_from_slice(chunk);
            self.begun = Some(flags);
            writing.busy = Some(self.id);
            return Poll::Pending;
        };
        self.begun = None;
        writing.busy = None;
        self.unflushed = true;
        if data {
            self.midway = flags.any(Flags::PARTIAL).then_some(flags);
            writing.owner = self.midway.map(|_| self.id);
        }
        let outcome = outcome.map_err(|e| writing.fail(e));
        drop(writing);
        shared.writers.wake_all();
        Poll::Ready(outcome)
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let shared = self.shared.clone();
        let mut writing = shared.writing();
        if writing.broken.is_some() && !self.unflushed {
            return Poll::Ready(Ok(()));
        }
        shared.writers.add(cx.waker());
        if writing.busy.is_some_and(|id| id != self.id) {
            // A flush inside another client's chunk is not for us to ask for; that client flushes after it.
            return if self.unflushed { Poll::Pending } else { Poll::Ready(Ok(())) };
        }
        let waker = Waker::from(shared.writers.clone());
        let cx = &mut Context::from_waker(&waker);
        ready!(writing.poll_chunk_of_other(cx))?;
        let finish = shared.torn_rule == TornMessage::Finish;
        if writing.torn.as_ref().is_some_and(|t| t.begun || finish) {
            ready!(writing.poll_mend(cx, shared.torn_rule))?;
        }
        let Some(writer) = &mut writing.writer else {
            return Poll::Ready(Ok(()));
        };
        let outcome = ready!(writer.poll_flush(cx));
        self.unflushed = false;
        Poll::Ready(outcome.map_err(|e| writing.fail(e)))
    }

    fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.yields.store(true, Relaxed);
        self.poll_flush(cx)
    }

    fn transforms(&self) -> bool {
        self.shared.transforms
    }

    fn keeps_borders(&self) -> bool {
        self.shared.keeps_borders
    }

    /// The end of a client is swallowed: nobody will answer it.
    fn end_is_silent(&self) -> bool {
        true
    }
}

impl Drop for ClientWriter {
    fn drop(&mut self) {
        let shared = self.shared.clone();
        let mut writing = shared.writing();
        if let Some(flags) = self.begun.take() {
            writing.busy = None;
            writing.orphan = Some((std::mem::take(&mut self.copy), flags));
            if !flags.any(Flags::CONTROL) {
                self.midway = flags.any(Flags::PARTIAL).then_some(flags);
                writing.owner = None;
            }
        }
        self.tear(&mut writing);
        drop(writing);
        shared.writers.wake_all();
    }
}
