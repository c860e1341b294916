//! One direction of a message exchange: a source, a sink, and how far the end has come.
//!
//! It moves chunks and carries an end through to the sink's shutdown. It never decides: an EOF that the source announced
//! waits in [`State::AtEof`] until the session lets it go on, which knows the other direction, timers and options.

use super::error::{Failed, Part};
use crate::datagram::{BoxDatagramRead, BoxDatagramWrite, Flags};
use std::task::{Context, Poll};

/// Chunks and bytes after which both sinks are flushed even though there is more to move: latency under load stays in
/// the order of one such batch, and one flush per batch costs nothing measurable.
const BATCH_CHUNKS: usize = 64;
const BATCH_BYTES: usize = 64 << 10;
/// The same while more has come already: large chunks then leave in full packets.
const BATCH_BYTES_OF_MORE: usize = 256 << 10;

/// Body of a Close frame of our own: a status code, or nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Body {
    bytes: [u8; 2],
    len: u8,
}

impl Body {
    pub const EMPTY: Self = Self { bytes: [0; 2], len: 0 };
    /// RFC 6455 7.4.1: an endpoint is going away.
    pub const GOING_AWAY: Self = Self::code(1001);
    /// RFC 6455 7.4.1: an unexpected condition prevented the request from being fulfilled.
    pub const INTERNAL_ERROR: Self = Self::code(1011);

    /// RFC 6455 7.4.1: a message is too big to process.
    pub const TOO_BIG: Self = Self::code(1009);

    const fn code(code: u16) -> Self {
        Self { bytes: code.to_be_bytes(), len: 2 }
    }

    fn bytes_mut(&mut self) -> &mut [u8] {
        self.bytes.get_mut(..usize::from(self.len)).unwrap_or_default()
    }
}

/// How a direction is ended by the session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// An EOF chunk with this body, then shutdown.
    Eof(Body),
    /// Only shutdown.
    Shutdown,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// Waits for the source.
    Read,
    /// A chunk is announced; waits for the sink.
    Write(Flags),
    /// The source's EOF is announced; waits for the session.
    AtEof(Flags),
    /// An EOF of our own waits for the sink.
    Eof(Body),
    Shutdown,
    /// Nothing is read, the sink is only flushed.
    Idle,
    /// The sink was shut down; what still comes is thrown away until the source ends.
    Discard,
    Done,
    Failed(Part),
}

pub(super) enum Moved {
    /// Source, sink or session has to do something first.
    Waits,
    /// Flush now, then go on.
    Batch,
}

pub(super) struct Mover {
    pub from: Option<BoxDatagramRead>,
    pub to: Option<BoxDatagramWrite>,
    /// Longest chunk that is asked for.
    max: usize,
    pub state: State,
    /// What comes after the chunk that the sink is taking.
    then: Option<End>,
    /// Data has arrived since the session last looked.
    pub moved: bool,
    /// The same, since the idle time-out looked.
    pub spoke: bool,
    /// Errors do not count any more.
    pub quiet: bool,
    /// After the shutdown of the sink the source is read to its end.
    pub discards: bool,
}

impl Mover {
    pub fn new(mut from: BoxDatagramRead, to: BoxDatagramWrite, max: usize) -> Self {
        if !to.keeps_borders() {
            from.parts_suffice();
            from.may_merge();
        }
        Self { max, ..Self::with(Some(from), Some(to), State::Read) }
    }

    /// Only a sink, which is flushed until it is told to end.
    pub fn idle(to: BoxDatagramWrite) -> Self {
        Self { quiet: true, ..Self::with(None, Some(to), State::Idle) }
    }

    /// No direction at all.
    pub fn none() -> Self {
        Self::with(None, None, State::Done)
    }

    fn with(from: Option<BoxDatagramRead>, to: Option<BoxDatagramWrite>, state: State) -> Self {
        Self { from, to, max: usize::MAX, state, then: None, moved: false, spoke: false, quiet: false, discards: false }
    }

    /// Neither at an end nor told to end.
    #[inline]
    pub fn is_moving(&self) -> bool {
        matches!(self.state, State::Read | State::Write(_)) && self.then.is_none()
    }

    /// Nothing more will be done.
    pub fn has_ended(&self) -> bool {
        matches!(self.state, State::Done | State::Failed(_))
    }

    /// Nothing more will come from the source.
    pub fn source_ended(&self) -> bool {
        match self.state {
            State::Read => false,
            State::Write(flags) => flags.any(Flags::EOF) || self.then.is_some(),
            _ => true,
        }
    }

    pub fn end_is_silent(&self) -> bool {
        self.to.as_ref().is_some_and(|to| to.end_is_silent())
    }

    /// The sink's end is told in a way that peers answer.
    pub fn answers(&self) -> bool {
        self.keeps_borders() && !self.end_is_silent()
    }

    /// The EOF that the source announced carries no Close body.
    pub fn eof_is_bare(&mut self) -> bool {
        self.from.as_mut().is_none_or(|from| from.chunk_mut().is_empty())
    }

    pub fn keeps_borders(&self) -> bool {
        self.to.as_ref().is_some_and(|to| to.keeps_borders())
    }

    /// Ends the direction unless its end is under way. A chunk that the sink is taking is finished first, because nothing
    /// else may be written before it is taken. Returns whether it had any effect.
    pub fn end(&mut self, how: End) -> bool {
        let next = match how {
            End::Eof(body) => State::Eof(body),
            End::Shutdown => State::Shutdown,
        };
        match self.state {
            State::Write(flags) if !flags.any(Flags::EOF) && self.then.is_none() => self.then = Some(how),
            State::AtEof(flags) if how == End::Eof(Body::EMPTY) => self.state = State::Write(flags - Flags::GONE),
            State::Read | State::AtEof(_) | State::Idle | State::Failed(Part::Source) if self.to.is_some() => {
                self.state = next;
            }
            _ => return false,
        }
        true
    }

    /// Gives up a sink that does not take its end; the source is read on if that was asked for.
    pub fn abandon_sink(&mut self) {
        if matches!(self.state, State::Write(_) | State::Eof(_) | State::Shutdown) {
            self.state = if self.discards { State::Discard } else { State::Done };
        }
    }

    /// Lets the EOF that the source announced go on to the sink. Who has left is this session's business only.
    pub fn pass_eof(&mut self) {
        if let State::AtEof(flags) = self.state {
            self.state = State::Write(flags - Flags::GONE);
        }
    }

    /// Moves chunks until source, sink or session has to do something, or a batch is full.
    pub fn poll_move(&mut self, cx: &mut Context<'_>) -> Result<Moved, Failed> {
        let (mut chunks, mut bytes) = (0, 0);
        loop {
            match (&mut self.state, &mut self.from, &mut self.to) {
                (State::Read, Some(from), _) => match from.poll_chunk(cx, self.max).map_err(Failed::source)? {
                    Poll::Ready(flags) if flags.any(Flags::EOF) => self.state = State::AtEof(flags),
                    Poll::Ready(flags) => self.state = State::Write(flags),
                    Poll::Pending => return Ok(Moved::Waits),
                },
                (State::Write(flags), Some(from), Some(to)) => {
                    let (flags, chunk) = (*flags, from.chunk_mut());
                    let len = chunk.len();
                    if to.poll_write(cx, chunk, flags).map_err(Failed::sink)?.is_pending() {
                        from.sink_waits();
                        return Ok(Moved::Waits);
                    }
                    from.consume();
                    let data = !flags.any(Flags::CONTROL);
                    self.moved |= data;
                    self.spoke |= data;
                    self.state = match self.then.take() {
                        _ if flags.any(Flags::EOF) => State::Shutdown,
                        None => State::Read,
                        Some(End::Eof(body)) => State::Eof(body),
                        Some(End::Shutdown) => State::Shutdown,
                    };
                    (chunks, bytes) = (chunks + 1, bytes + len);
                    let batch = if flags.any(Flags::MORE) { BATCH_BYTES_OF_MORE } else { BATCH_BYTES };
                    if chunks >= BATCH_CHUNKS || bytes >= batch {
                        return Ok(Moved::Batch);
                    }
                }
                (State::Eof(body), _, Some(to)) => {
                    if to.poll_write(cx, body.bytes_mut(), Flags::EOF).map_err(Failed::sink)?.is_pending() {
                        return Ok(Moved::Waits);
                    }
                    self.state = State::Shutdown;
                }
                (State::Shutdown, _, Some(to)) => {
                    if to.poll_shutdown(cx).map_err(Failed::sink)?.is_pending() {
                        return Ok(Moved::Waits);
                    }
                    self.state = if self.discards { State::Discard } else { State::Done };
                }
                (State::Discard, Some(from), _) => match from.poll_chunk(cx, self.max).map_err(Failed::source)? {
                    Poll::Ready(flags) if flags.any(Flags::EOF) => self.state = State::Done,
                    Poll::Ready(_) => {
                        from.consume();
                        chunks += 1;
                        if chunks >= BATCH_CHUNKS {
                            return Ok(Moved::Batch);
                        }
                    }
                    Poll::Pending => return Ok(Moved::Waits),
                },
                (State::AtEof(_) | State::Idle | State::Done | State::Failed(_), ..) => return Ok(Moved::Waits),
                // A half is missing that the state needs: the constructors and `end` do not allow it.
                (State::Read | State::Write(_) | State::Eof(_) | State::Shutdown | State::Discard, ..) => {
                    self.state = State::Done;
                }
            }
        }
    }

    /// Also when nothing was moved: a writer may owe something of its own, such as a pong, and goes on owing it after its
    /// direction has ended. Not while it cannot take the chunk it was offered: it is pushing out what it has already, and
    /// nothing else may come in between.
    #[inline]
    pub fn flush(&mut self, cx: &mut Context<'_>) -> Result<(), Failed> {
        let over = matches!(self.state, State::Done | State::Discard);
        match (self.state, &mut self.to) {
            (State::Write(_) | State::Eof(_) | State::Shutdown | State::Failed(Part::Sink), _) | (_, None) => Ok(()),
            (_, Some(to)) => match to.poll_flush(cx) {
                Poll::Ready(Err(error)) if !over => Err(Failed::sink(error)),
                // Pending: its waker is ours. After the end everything was flushed: only pongs can fail.
                _ => Ok(()),
            },
        }
    }
}
