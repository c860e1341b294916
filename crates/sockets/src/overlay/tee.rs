//! `tee:`: several message sockets as one. What is written goes to all of them, what is read comes from any.
//!
//! Messages stay whole on the way in: a socket that has begun one is read alone until it has ended it; otherwise all are
//! read in turn. Reading is over when all that can say anything have ended; a file that is written cannot. Written chunks go
//! to every socket, to those that change bytes (masking) as a copy. A socket that ends or fails is left out from then on, in
//! both directions if its peer is lost. What becomes of one that does not keep up is a matter of [`SlowConsumer`].

mod reader;
#[cfg(test)]
mod tests;
mod writer;

use crate::{backlog::SlowConsumer, hangup::Hangup, info::SocketInfo, socket::DatagramSocket};
use std::{
    io,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering::AcqRel, Ordering::Acquire, Ordering::Release},
    },
    task::{Context, Waker},
};

pub use reader::TeeReader;
pub use writer::TeeWriter;

/// Bytes that may wait for a socket that does not keep up, where the policy lets anything wait: some megabytes are what a
/// network buffers as well.
pub const DEFAULT_BACKLOG: usize = 1 << 20;

/// How the sockets are joined. The defaults are those of the scenario function without options.
#[derive(Clone, Copy, Debug)]
pub struct TeeOptions {
    /// The first socket that cannot be written to fails the tee; otherwise only the last one.
    pub fail_writes: bool,
    /// The first socket that cannot be read fails the tee; otherwise only the last one.
    pub fail_reads: bool,
    /// The end of one socket is the end of reading.
    pub propagate_eofs: bool,
    /// A message whose socket ended midway is finished by an empty chunk instead of being an error.
    pub tolerate_torn: bool,
    /// Whose hangups count.
    pub hangups: TeeHangups,
    /// What becomes of a socket that takes messages too slowly.
    pub slow: SlowConsumer,
    /// Bytes that may wait for each socket if `slow` is not to block.
    pub max_backlog: usize,
}

impl Default for TeeOptions {
    fn default() -> Self {
        Self {
            fail_writes: false,
            fail_reads: false,
            propagate_eofs: false,
            tolerate_torn: false,
            hangups: TeeHangups::None,
            slow: SlowConsumer::Block,
            max_backlog: DEFAULT_BACKLOG,
        }
    }
}

/// Whose hangups are those of the tee.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TeeHangups {
    #[default]
    None,
    /// Of any socket.
    Any,
    /// Of the first socket.
    First,
}

/// What can go wrong beyond the sockets themselves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TeeError {
    #[error("a tee joins at least one socket")]
    Empty,
    #[error("a socket of the tee ended in the middle of a message; --tee-tolerate-torn-msgs goes on")]
    Torn,
    #[error("it does not take the last of what waits for it")]
    Stuck,
}

impl From<TeeError> for io::Error {
    fn from(error: TeeError) -> Self {
        let kind = match error {
            TeeError::Empty => io::ErrorKind::InvalidInput,
            TeeError::Torn => io::ErrorKind::UnexpectedEof,
            TeeError::Stuck => io::ErrorKind::TimedOut,
        };
        Self::new(kind, error)
    }
}

/// One socket of several; the first one is the main one. Halves that none of them has are missing.
pub fn tee(options: TeeOptions, sockets: Vec<DatagramSocket>) -> Result<DatagramSocket, TeeError> {
    let Some(main) = sockets.first() else { return Err(TeeError::Empty) };
    let info = Arc::new(SocketInfo {
        specifier: Some(format!("tee:{}", main.info.specifier.as_deref().unwrap_or("")).into()),
        local: main.info.local.clone(),
        peer: main.info.peer.clone(),
        half_close: sockets.iter().all(|socket| socket.info.half_close),
        ..SocketInfo::default()
    });
    let shared = Arc::new(Shared::new(sockets.len()));
    // What is only written has nothing to say, and is no reason to wait for more, unless there is nothing else.
    let some_speak = sockets.iter().any(|socket| socket.read.is_some() && !socket.info.write_only);
    let (mut readers, mut writers, mut hangups) = (Vec::new(), Vec::new(), Vec::new());
    for socket in sockets {
        let counts = !(some_speak && socket.info.write_only);
        readers.push(reader::Node::new(socket.read, socket.info.clone(), counts));
        writers.push(writer::Node::new(socket.write, socket.link, socket.info, &options));
        hangups.push(socket.hangup);
    }
    let hangup = match options.hangups {
        TeeHangups::None => None,
        TeeHangups::First => hangups.first_mut().and_then(Option::take),
        TeeHangups::Any => hangups.drain(..).fold(None, Hangup::either),
    };
    // Those that do not count are kept: letting go of a hangup may end what it belongs to.
    let kept: Vec<Hangup> = hangups.into_iter().flatten().collect();
    let (readable, writable) = (readers.iter().any(reader::Node::lives), writers.iter().any(writer::Node::lives));
    let read = TeeReader::new(readers, options, shared.clone(), info.clone(), kept);
    let write = TeeWriter::new(writers, options, shared);
    Ok(DatagramSocket {
        read: readable.then(|| Box::new(read) as _),
        write: writable.then(|| Box::new(write) as _),
        hangup,
        // A reset of one socket is not one of the others.
        link: None,
        info,
    })
}

/// An error of one socket as that of the whole: a reset of one is not one of the others.
fn of_whole(error: io::Error) -> io::Error {
    match error.kind() {
        io::ErrorKind::ConnectionReset | io::ErrorKind::ConnectionAborted => io::Error::other(error),
        _ => error,
    }
}

/// What the two halves tell each other about the sockets.
struct Shared {
    /// Their peers have left for good, as the reader tells the writer.
    gone: News,
    /// Their peers are lost: nobody is there to be told anything.
    failed: News,
    /// They were let go by the writer, which the reader has to do as well.
    let_go: News,
}

/// Something that becomes true of sockets, and who wants to know.
struct News {
    of: Box<[AtomicBool]>,
    /// Something was said that was not looked at.
    fresh: AtomicBool,
    listener: Mutex<Option<Waker>>,
}

impl Shared {
    fn new(n: usize) -> Self {
        Self { gone: News::new(n), failed: News::new(n), let_go: News::new(n) }
    }
}

impl News {
    fn new(n: usize) -> Self {
        let of = (0..n).map(|_| AtomicBool::new(false)).collect();
        Self { of, fresh: AtomicBool::new(false), listener: Mutex::default() }
    }

    fn tell(&self, node: usize) {
        if let Some(of) = self.of.get(node) {
            of.store(true, Release);
        }
        self.fresh.store(true, Release);
        if let Some(listener) = &*self.listener.lock().unwrap_or_else(PoisonError::into_inner) {
            listener.wake_by_ref();
        }
    }

    fn is_true_of(&self, node: usize) -> bool {
        self.of.get(node).is_some_and(|of| of.load(Acquire))
    }

    fn is_true_of_all(&self) -> bool {
        self.of.iter().all(|of| of.load(Acquire))
    }

    /// Whether something was said since the last call. From now on the task is woken when something is; `waker` remembers
    /// that, so that it costs next to nothing.
    fn any(&self, cx: &Context<'_>, waker: &mut Option<Waker>) -> bool {
        if !waker.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
            *waker = Some(cx.waker().clone());
            *self.listener.lock().unwrap_or_else(PoisonError::into_inner) = Some(cx.waker().clone());
        }
        self.fresh.load(Acquire) && self.fresh.swap(false, AcqRel)
    }
}
