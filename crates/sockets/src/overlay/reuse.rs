//! `reuse-raw:`: one message socket shared by several clients (spec section 18).
//!
//! Each message goes whole from one client inward, or from inside to one client: the one that waits longest gets the right
//! to read and keeps it until it leaves, or until it has ended its own direction and another one waits. The reader itself is
//! handed from client to client, with the chunk it may have announced, so that nothing is lost or mixed up. The end of a
//! client never ends the inner socket; the end or failure of the inner socket is told to every client.

mod client;

use crate::{
    datagram::{BoxDatagramRead, BoxDatagramWrite, Flags},
    hangup::Hangup,
    info::SocketInfo,
    socket::DatagramSocket,
    wakers::Wakers,
};
use client::{ClientReader, ClientWriter};
use std::{
    collections::VecDeque,
    future::{Future, poll_fn},
    io,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError, atomic::AtomicBool},
    task::{Context, Poll, Waker, ready},
};

/// What happens to the inner socket when a client leaves in the middle of a message that it writes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TornMessage {
    /// The inner socket is told the end with an explanation, all later writes fail: nobody takes a part for a whole.
    #[default]
    Disconnect,
    /// An empty last chunk finishes the message, and everything goes on.
    Finish,
}

/// Why a shared socket is of no use any more.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReuseError {
    #[error("another client of the shared socket left in the middle of a message; --reuser-tolerate-torn-msgs goes on")]
    Torn,
    #[error("the shared socket failed: {what}")]
    Failed { kind: io::ErrorKind, what: String },
}

impl ReuseError {
    fn of(error: &io::Error) -> Self {
        Self::Failed { kind: error.kind(), what: error.to_string() }
    }

    fn to_io(&self) -> io::Error {
        let kind = match self {
            // Not a broken pipe: that is a reader who has seen enough, and no fault.
            Self::Torn => io::ErrorKind::Other,
            Self::Failed { kind, .. } => *kind,
        };
        io::Error::new(kind, self.clone())
    }
}

/// A shared message socket; clones share it too. It stays open while the reuser or a client exists.
#[derive(Clone)]
pub struct Reuser(Arc<Shared>);

impl Reuser {
    /// Shares `inner`; a torn message ends it.
    pub fn new(inner: DatagramSocket) -> Self {
        Self::with(inner, TornMessage::default())
    }

    pub fn with(inner: DatagramSocket, torn: TornMessage) -> Self {
        Self(Arc::new(Shared {
            readable: inner.read.is_some(),
            writable: inner.write.is_some(),
            can_hang_up: inner.hangup.is_some(),
            transforms: inner.write.as_ref().is_some_and(|w| w.transforms()),
            keeps_borders: inner.write.as_ref().is_none_or(|w| w.keeps_borders()),
            info: inner.info,
            torn_rule: torn,
            reading: Mutex::new(Reading { reader: inner.read, ..Reading::default() }),
            writing: Mutex::new(Writing { writer: inner.write, ..Writing::default() }),
            writers: Arc::default(),
            hangup: Mutex::new(inner.hangup),
            hangup_waiters: Arc::default(),
        }))
    }

    /// A socket that shares the inner one. Halves that the inner socket lacks are missing here too.
    pub fn client(&self) -> DatagramSocket {
        let shared = &self.0;
        let ended = Arc::new(AtomicBool::new(false));
        let id = {
            let mut reading = shared.reading();
            reading.clients += 1;
            reading.clients
        };
        DatagramSocket {
            read: shared.readable.then(|| Box::new(ClientReader::new(shared.clone(), id, ended.clone())) as _),
            write: shared.writable.then(|| Box::new(ClientWriter::new(shared.clone(), id, ended)) as _),
            hangup: shared.can_hang_up.then(|| shared.client_hangup()),
            // Not the inner link: a client's reset must not reset what the others use.
            link: None,
            info: shared.info.clone(),
        }
    }
}

/// A reuser that is opened by the first client that needs it; clones share it.
#[derive(Clone, Default)]
pub struct ReuserSlot(Arc<tokio::sync::Mutex<Option<Reuser>>>);

impl ReuserSlot {
    /// A client of the shared socket, which `open` makes if there is none yet. Others wait meanwhile; if it fails or is
    /// dropped midway the next one tries.
    pub async fn client_or_open<E>(
        &self,
        torn: TornMessage,
        open: impl Future<Output = Result<DatagramSocket, E>>,
    ) -> Result<DatagramSocket, E> {
        let mut slot = self.0.lock().await;
        if let Some(reuser) = &*slot {
            return Ok(reuser.client());
        }
        Ok(slot.insert(Reuser::with(open.await?, torn)).client())
    }
}

struct Shared {
    readable: bool,
    writable: bool,
    can_hang_up: bool,
    transforms: bool,
    keeps_borders: bool,
    info: Arc<SocketInfo>,
    torn_rule: TornMessage,
    reading: Mutex<Reading>,
    writing: Mutex<Writing>,
    /// Everybody who waits for the writer: the inner one knows one waker only.
    writers: Arc<Wakers>,
    /// `None` when it has fired.
    hangup: Mutex<Option<Hangup>>,
    hangup_waiters: Arc<Wakers>,
}

/// Who reads.
#[derive(Default)]
struct Reading {
    clients: u64,
    /// `None` while a client holds it, and after the end.
    reader: Option<BoxDatagramRead>,
    /// The rest of the message at hand belongs to a client that left.
    discard: bool,
    ended: Option<ReadEnd>,
    /// Clients that wait, in order.
    queue: VecDeque<(u64, Waker)>,
}

#[derive(Clone)]
enum ReadEnd {
    Eof { body: Vec<u8>, flags: Flags },
    Failed(ReuseError),
}

/// Who writes.
#[derive(Default)]
struct Writing {
    writer: Option<BoxDatagramWrite>,
    /// Client in the middle of a message.
    owner: Option<u64>,
    /// Client in the middle of a chunk: the inner writer waits for exactly that chunk again.
    busy: Option<u64>,
    /// Such a chunk of a client that left.
    orphan: Option<(Vec<u8>, Flags)>,
    torn: Option<Torn>,
    broken: Option<ReuseError>,
}

/// A message whose writer left.
struct Torn {
    flags: Flags,
    /// The inner writer may be in the middle of the chunk that mends it.
    begun: bool,
    /// Strict: the end was told, the shutdown follows.
    told: bool,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Shared {
    fn reading(&self) -> MutexGuard<'_, Reading> {
        lock(&self.reading)
    }

    fn writing(&self) -> MutexGuard<'_, Writing> {
        lock(&self.writing)
    }

    fn client_hangup(self: &Arc<Self>) -> Hangup {
        let shared = self.clone();
        Hangup::new(poll_fn(move |cx| {
            shared.hangup_waiters.add(cx.waker());
            let mut hangup = lock(&shared.hangup);
            if let Some(inner) = &mut *hangup {
                let waker = Waker::from(shared.hangup_waiters.clone());
                ready!(Pin::new(inner).poll(&mut Context::from_waker(&waker)));
                *hangup = None;
                drop(hangup);
                shared.hangup_waiters.wake_all();
            }
            Poll::Ready(())
        }))
    }
}

impl Reading {
    fn wake_next(&self) {
        if let Some((_, waker)) = self.queue.front() {
            waker.wake_by_ref();
        }
    }

    fn end(&mut self, how: ReadEnd) {
        self.ended = Some(how);
        self.queue.drain(..).for_each(|(_, waker)| waker.wake());
    }
}

impl Writing {
    /// Notes a failure for everybody and gives it to the one who met it.
    fn fail(&mut self, error: io::Error) -> io::Error {
        self.broken = Some(ReuseError::of(&error));
        error
    }

    /// Finishes a chunk that a client left behind; an error if the inner writer is broken.
    fn poll_chunk_of_other(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if let Some(broken) = &self.broken {
            return Poll::Ready(Err(broken.to_io()));
        }
        if let (Some((bytes, flags)), Some(writer)) = (&mut self.orphan, &mut self.writer) {
            let outcome = ready!(writer.poll_write(cx, bytes, *flags));
            self.orphan = None;
            return Poll::Ready(outcome.map_err(|e| self.fail(e)));
        }
        Poll::Ready(Ok(()))
    }

    /// Does what a torn message asks for.
    fn poll_mend(&mut self, cx: &mut Context<'_>, rule: TornMessage) -> Poll<io::Result<()>> {
        let (Some(torn), Some(writer)) = (&mut self.torn, &mut self.writer) else {
            return Poll::Ready(Ok(()));
        };
        torn.begun = true;
        let outcome = match rule {
            TornMessage::Finish => ready!(writer.poll_write(cx, &mut [], torn.flags - Flags::PARTIAL)),
            TornMessage::Disconnect => {
                if !torn.told {
                    // Code 1011 and a reason: 40 bytes, a Close body may have 125.
                    let mut body = *b"\x03\xf3client left in the middle of a message";
                    if let Err(e) = ready!(writer.poll_write(cx, &mut body, Flags::EOF)) {
                        return Poll::Ready(Err(self.fail(e)));
                    }
                    torn.told = true;
                }
                if let Err(error) = ready!(writer.poll_shutdown(cx)) {
                    tracing::debug!(%error, "shutdown of a shared socket after a torn message");
                }
                self.broken = Some(ReuseError::Torn);
                Err(ReuseError::Torn.to_io())
            }
        };
        self.torn = None;
        Poll::Ready(outcome)
    }
}

#[cfg(test)]
mod model_tests;
#[cfg(test)]
mod tests;
