//! The contract of message halves: readers own their buffer and lend it, writers take whole chunks.
//!
//! A message is zero or more chunks with [`Flags::PARTIAL`] and one without. EOF, ping and pong chunks are control: they
//! may come between the chunks of a message and their bytes never reach a byte stream. Three calls make a read, because a
//! combined one that returns the slice stops overlays that loop at the borrow checker.

use std::{
    fmt, io,
    ops::{BitOr, BitOrAssign, Sub},
    task::{Context, Poll},
};

/// What is known about one chunk.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct Flags(u8);

impl Flags {
    /// No flag: a binary message, or the last part of one.
    pub const NONE: Self = Self(0);
    /// The message is text.
    pub const TEXT: Self = Self(1);
    /// The message goes on in the next data chunk.
    pub const PARTIAL: Self = Self(2);
    /// End of the direction; the bytes are the body of a Close frame, or none.
    pub const EOF: Self = Self(4);
    /// A WebSocket ping; the bytes are its body.
    pub const PING: Self = Self(8);
    /// A WebSocket pong; the bytes are its body.
    pub const PONG: Self = Self(16);
    /// Probably another chunk is ready without waiting. A hint that may be wrong: whoever moves chunks flushes anyway.
    pub const MORE: Self = Self(32);
    /// Only with EOF: the peer has left for good (Close with a status code, connection gone), so that writing to the
    /// socket this came from is useless. Without it an EOF is a half-close and the other direction may go on.
    pub const GONE: Self = Self(64);
    /// Only with TEXT: the message was found to be UTF-8, or made so, as far as it has come; nobody has to look again.
    /// Whoever changes the bytes of a chunk must not hand this on.
    pub const UTF8: Self = Self(128);
    /// Chunks that are not data.
    pub const CONTROL: Self = Self(4 | 8 | 16);

    /// All flags in one byte, for [`Flags::from_bits`].
    #[inline]
    pub const fn bits(self) -> u8 {
        self.0
    }

    /// The flags that [`Flags::bits`] gave.
    #[inline]
    pub const fn from_bits(bits: u8) -> Self {
        Self(bits)
    }

    /// At least one of these is set.
    #[inline]
    pub const fn any(self, of: Self) -> bool {
        self.0 & of.0 != 0
    }

    /// This chunk ends a data message.
    #[inline]
    pub const fn ends_message(self) -> bool {
        !self.any(Self(Self::PARTIAL.0 | Self::CONTROL.0))
    }
}

impl BitOr for Flags {
    type Output = Self;
    #[inline]
    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl BitOrAssign for Flags {
    #[inline]
    fn bitor_assign(&mut self, other: Self) {
        self.0 |= other.0;
    }
}

impl Sub for Flags {
    type Output = Self;
    #[inline]
    fn sub(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }
}

impl fmt::Debug for Flags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const NAMES: [&str; 8] = ["TEXT", "PARTIAL", "EOF", "PING", "PONG", "MORE", "GONE", "UTF8"];
        let mut set = f.debug_set();
        for (_, name) in NAMES.iter().enumerate().filter(|(bit, _)| self.0 & (1 << bit) != 0) {
            set.entry(&format_args!("{name}"));
        }
        set.finish()
    }
}

/// Read half of a message socket. All methods are cheap to repeat.
///
/// Pending: the waker is registered, nothing is lost. Drop midway: loses only what was not consumed. After a chunk with
/// EOF, or an error, there is nothing more: implementations announce EOF again if asked again.
pub trait DatagramRead: Send {
    /// Announces one chunk of at most `max` bytes (0 counts as 1; `usize::MAX` leaves the size to the reader). It stays
    /// announced, whatever `max` says later, until [`DatagramRead::consume`].
    fn poll_chunk(&mut self, cx: &mut Context<'_>, max: usize) -> Poll<io::Result<Flags>>;

    /// The chunk that `poll_chunk` announced; empty when none is. Its bytes may be changed before `consume`.
    fn chunk_mut(&mut self) -> &mut [u8];

    /// The announced chunk is done with.
    fn consume(&mut self);

    /// Calls `visit` with every reader inside of this one. Without a default, so that nobody forgets to hand on what is asked
    /// and told by the methods below: whoever wraps none does nothing here.
    fn for_each_inner(&mut self, visit: &mut dyn FnMut(&mut dyn DatagramRead));

    /// The sink does not take the announced chunk for now. How fast the peer speaks cannot be told from what has piled up
    /// when it does.
    fn sink_waits(&mut self) {
        self.for_each_inner(&mut |inner| inner.sink_waits());
    }

    /// The sink has no message borders: hand out parts as they arrive instead of waiting for whole frames. Called before
    /// the first read; wrappers pass it on if they do not care for borders themselves.
    fn parts_suffice(&mut self) {}

    /// Neither the sink nor anything before it looks at messages: several may come as one chunk. Called before the first
    /// read; wrappers that look at messages do not pass it on.
    fn may_merge(&mut self) {}

    /// After the end of both directions: Pending while the peer should be the first to end the connection below, as a
    /// server should for a WebSocket client (RFC 6455 7.1.1). Whoever waits for it bounds the wait.
    fn poll_closed(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let mut open = false;
        self.for_each_inner(&mut |inner| open |= inner.poll_closed(cx).is_pending());
        if open { Poll::Pending } else { Poll::Ready(()) }
    }

    /// Our own end was sent in a way that peers answer, and nothing but that answer is owed by this one: it may go on, but
    /// silence has no other meaning any more (RFC 6455 7.1.1). When it begins the task that was Pending here is woken. Of
    /// several readers in one all have to wait for nothing else; whoever holds something back itself is not silent.
    fn awaits_answer(&mut self) -> bool {
        let (mut any, mut all) = (false, true);
        self.for_each_inner(&mut |inner| (any, all) = (true, all && inner.awaits_answer()));
        any && all
    }

    /// Our own end was sent, and the peer has not got it yet, but takes what is before it: its silence means nothing. To be
    /// asked when it has lasted too long, and if it is so, once more after the same time.
    fn is_close_on_its_way(&mut self) -> bool {
        let mut any = false;
        self.for_each_inner(&mut |inner| any |= inner.is_close_on_its_way());
        any
    }

    /// Identity of the queue that this is the end of, if all it does is to give back what the other end takes. An exchange
    /// joins whoever talks to both ends of one queue to itself.
    fn loop_id(&self) -> Option<usize> {
        None
    }
}

/// Write half of a message socket.
///
/// Pending: repeat the call with the same slice and flags, whatever the writer did to its bytes. Short writes do not
/// exist: a chunk is taken whole. Drop midway: what was taken but not flushed may be lost.
pub trait DatagramWrite: Send {
    /// Takes the whole chunk, which may stay in the writer until `poll_flush`. A chunk with EOF hands on how the
    /// direction ends; [`DatagramWrite::poll_shutdown`] follows it.
    fn poll_write(&mut self, cx: &mut Context<'_>, chunk: &mut [u8], flags: Flags) -> Poll<io::Result<()>>;

    /// Pushes out what was taken, and what the writer itself owes (a pong, an answer to Close). Cheap when there is nothing.
    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>>;

    /// Flushes and ends the direction. Ready at once when repeated after success.
    fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>>;

    /// `poll_write` changes the chunk (masking): whoever needs the bytes afterwards must give it a copy.
    fn transforms(&self) -> bool {
        false
    }

    /// Chunks with [`Flags::MORE`] may wait below for those that follow, until `poll_flush`. Not where the peer waits for
    /// each of them before it goes on.
    fn may_hold_back(&mut self) {}

    /// Message borders mean something to this sink. False for sinks that are byte streams.
    fn keeps_borders(&self) -> bool {
        true
    }

    /// Nothing tells the peer that this direction has ended, so that no answer to that is to be waited for.
    fn end_is_silent(&self) -> bool {
        false
    }

    /// See [`DatagramRead::loop_id`].
    fn loop_id(&self) -> Option<usize> {
        None
    }
}

/// A message reader of any kind.
pub type BoxDatagramRead = Box<dyn DatagramRead>;
/// A message writer of any kind.
pub type BoxDatagramWrite = Box<dyn DatagramWrite>;
