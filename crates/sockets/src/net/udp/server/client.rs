//! One client of a UDP server: what waits for it, and the halves and the hangup of its message socket.
//!
//! Datagrams wait in batches of pooled memory, which the reader takes over whole: a lock per batch, no allocation per
//! datagram, and nothing but a few words while nothing waits.

use super::{
    super::{
        UdpError,
        batch::{BatchReader, RECORD, datagrams_in, record},
        writer::Send,
    },
    Packets,
    clients::{Id, Key},
    room::{QueueLimits, Room},
};
use crate::{
    buffer::{LARGEST, Window, under_pressure},
    datagram::{DatagramRead, Flags},
    hangup::Hangup,
};
use std::{
    future::poll_fn,
    io, mem,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{
            AtomicBool, AtomicU64, AtomicUsize,
            Ordering::{Acquire, Relaxed, Release, SeqCst},
        },
    },
    task::{Context, Poll, Waker, ready},
    time::Duration,
};
use tokio::time::Instant;

/// Under pressure an empty queue takes one datagram up to this size: every client is heard, and thousands of senders that
/// nobody knows cost little.
const SMALL: usize = 2 << 10;

/// What the server and the socket of one client share.
pub(super) struct Client {
    pub key: Key,
    pub id: Id,
    queue: Mutex<Queue>,
    /// Datagrams that the reader has taken over and not announced.
    held: AtomicUsize,
    /// Bytes of datagrams with their records: in the queue, and in the batch that the reader is not done with.
    bytes: AtomicUsize,
    /// The server waits for room in the queue.
    room_wanted: AtomicBool,
    /// Microseconds since the server's start at which something was last sent.
    sent: AtomicU64,
    hung_up: AtomicBool,
}

#[derive(Default)]
struct Queue {
    /// Oldest batch; `more` are for what is longer than the largest buffer.
    first: Option<Window>,
    more: Vec<Window>,
    /// Datagrams in all of them.
    count: usize,
    reader_gone: bool,
    reader: Option<Waker>,
    hangup: Option<Waker>,
    server: Option<Waker>,
}

/// What became of a datagram for a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Push {
    Kept,
    /// There is no room; whoever asked with a context is woken when there is.
    Full,
    /// Nobody will read it.
    Gone,
}

impl Client {
    pub fn new(key: Key, id: Id) -> Self {
        Self {
            key,
            id,
            queue: Mutex::default(),
            held: AtomicUsize::new(0),
            bytes: AtomicUsize::new(0),
            room_wanted: AtomicBool::new(false),
            sent: AtomicU64::new(0),
            hung_up: AtomicBool::new(false),
        }
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts a datagram behind the others, if that is within the client's limits and there is room for it.
    pub fn push(&self, datagram: &[u8], limits: QueueLimits, room: &Room, wait: Option<&Context<'_>>) -> Push {
        let mut queue = self.queue();
        if queue.reader_gone || self.hung_up.load(Acquire) {
            return Push::Gone;
        }
        if let Some(cx) = wait {
            // Before looking: a reader that makes room afterwards sees it.
            self.room_wanted.store(true, SeqCst);
            queue.server = Some(cx.waker().clone());
            room.watch(cx);
        }
        let need = RECORD + datagram.len();
        let waiting = queue.count + self.held.load(SeqCst);
        // Nothing that the reader could take would make room: one is always taken.
        let alone = waiting == 0;
        let within = alone || waiting < limits.datagrams && self.bytes.load(SeqCst) + need <= limits.bytes;
        let fits = room.has(need) || alone && need <= SMALL;
        // Whoever waits is woken by this client's reader, and one without datagrams has nothing to do.
        if !within || !fits || !queue.put(datagram, alone && wait.is_some()) {
            return Push::Full;
        }
        queue.count += 1;
        self.bytes.fetch_add(need, SeqCst);
        room.take(need);
        let reader = queue.reader.take();
        if wait.is_some() {
            self.room_wanted.store(false, Relaxed);
            queue.server = None;
            room.unwatch();
        }
        drop(queue);
        reader.into_iter().for_each(Waker::wake);
        Push::Kept
    }

    /// Ends the session: its hangup fires, writes fail from now on.
    pub fn hang_up(&self) {
        self.hung_up.store(true, Release);
        let mut queue = self.queue();
        let wakers = [queue.reader.take(), queue.hangup.take(), queue.server.take()];
        drop(queue);
        wakers.into_iter().flatten().for_each(Waker::wake);
    }

    /// When something was last sent, since the server's start.
    pub fn last_sent(&self) -> Duration {
        Duration::from_micros(self.sent.load(Relaxed))
    }

    /// Fires when the server lets the client go.
    pub fn hangup(self: &Arc<Self>) -> Hangup {
        let client = self.clone();
        Hangup::new(poll_fn(move |cx| {
            if client.hung_up.load(Acquire) {
                return Poll::Ready(());
            }
            remember(&mut client.queue().hangup, cx);
            // It may have happened between looking and waiting.
            if client.hung_up.load(Acquire) { Poll::Ready(()) } else { Poll::Pending }
        }))
    }

    fn wake_server(&self) {
        if self.room_wanted.swap(false, SeqCst) {
            let server = self.queue().server.take();
            server.into_iter().for_each(Waker::wake);
        }
    }
}

impl Queue {
    /// False: memory is scarce, and it is not one that must be kept.
    fn put(&mut self, datagram: &[u8], must: bool) -> bool {
        let need = RECORD + datagram.len();
        let last = match self.more.last_mut() {
            Some(last) => last,
            None => self.first.get_or_insert_with(|| Window::new(3)),
        };
        let fits = last.is_empty() || last.room() >= need || last.len() + need <= LARGEST;
        let bare = last.is_empty() && need <= SMALL;
        if !bare && !must && last.room() < need && under_pressure() {
            return false;
        }
        let batch = if fits {
            last
        } else {
            self.more.push(Window::new(3));
            match self.more.last_mut() {
                Some(batch) => batch,
                None => return false,
            }
        };
        batch.reserve(batch.len() + need);
        batch.push(&record(datagram.len()));
        batch.push(datagram);
        true
    }

    /// Swaps an empty batch for the oldest one with something in it. Returns how many datagrams it has.
    fn fetch(&mut self, batch: &mut Window) -> usize {
        let Some(first) = self.first.as_mut().filter(|first| !first.is_empty()) else {
            return 0;
        };
        mem::swap(first, batch);
        if self.more.is_empty() {
            return mem::take(&mut self.count);
        }
        self.first = Some(self.more.remove(0));
        if self.more.is_empty() {
            self.more = Vec::new();
        }
        let count = datagrams_in(batch.filled());
        self.count -= count;
        count
    }
}

/// Remembers whom to wake, without cloning the same waker again.
pub(super) fn remember(slot: &mut Option<Waker>, cx: &Context<'_>) {
    if !slot.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
        *slot = Some(cx.waker().clone());
    }
}

/// Who has left, for the server to forget them.
#[derive(Default)]
pub(super) struct Departures {
    any: AtomicBool,
    list: Mutex<(Vec<Id>, Option<Waker>)>,
}

impl Departures {
    fn lock(&self) -> MutexGuard<'_, (Vec<Id>, Option<Waker>)> {
        self.list.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn add(&self, id: Id) {
        let mut list = self.lock();
        list.0.push(id);
        self.any.store(true, Release);
        let server = list.1.take();
        drop(list);
        server.into_iter().for_each(Waker::wake);
    }

    /// The server wants to know of the next one.
    pub fn watch(&self, cx: &Context<'_>) {
        remember(&mut self.lock().1, cx);
    }

    /// Who has left since the last time.
    pub fn take(&self, mut forget: impl FnMut(Id)) {
        if self.any.swap(false, Acquire) {
            // In place: the vector's memory is used again.
            self.lock().0.drain(..).for_each(&mut forget);
        }
    }
}

/// Both halves of a client's socket: when the last one goes, the server forgets the client.
pub(super) struct Membership<P> {
    pub client: Arc<Client>,
    pub packets: Arc<P>,
    pub departures: Arc<Departures>,
    pub room: Arc<Room>,
    /// Start of the server, if it has to know when something was sent.
    pub clock: Option<Instant>,
}

impl<P> Drop for Membership<P> {
    fn drop(&mut self) {
        self.departures.add(self.client.id);
    }
}

/// Pending: nothing waits. EOF: after the server has let the client go. It owns a buffer only while it lends from it.
/// Datagrams longer than `max` come in parts. Drop midway: what waits is lost.
pub(super) struct ClientReader<P> {
    member: Arc<Membership<P>>,
    batch: BatchReader,
    /// What the batch counts for until it is empty.
    batch_bytes: usize,
}

impl<P: Packets> ClientReader<P> {
    pub fn new(member: Arc<Membership<P>>, text: bool) -> Self {
        Self { member, batch: BatchReader::new(text), batch_bytes: 0 }
    }

    /// Goes to the next datagram. False: there will be none.
    fn poll_datagram(&mut self, cx: &mut Context<'_>) -> Poll<bool> {
        let client = &self.member.client;
        let window = &mut self.batch.window;
        if window.is_empty() {
            window.release();
            let mut queue = client.queue();
            let count = queue.fetch(window);
            if count == 0 {
                if client.hung_up.load(Acquire) {
                    return Poll::Ready(false);
                }
                remember(&mut queue.reader, cx);
                return Poll::Pending;
            }
            client.held.fetch_add(count, SeqCst);
            self.batch_bytes = window.len();
        }
        self.batch.next_datagram();
        client.held.fetch_sub(1, SeqCst);
        client.wake_server();
        Poll::Ready(true)
    }
}

impl<P: Packets> DatagramRead for ClientReader<P> {
    fn poll_chunk(&mut self, cx: &mut Context<'_>, max: usize) -> Poll<io::Result<Flags>> {
        if let Some(flags) = self.batch.announced() {
            return Poll::Ready(Ok(flags));
        }
        if !self.batch.is_midway() && !ready!(self.poll_datagram(cx)) {
            return Poll::Ready(Ok(self.batch.announce_end()));
        }
        Poll::Ready(Ok(self.batch.announce(max)))
    }

    fn chunk_mut(&mut self) -> &mut [u8] {
        self.batch.chunk_mut()
    }

    fn consume(&mut self) {
        if self.batch.consume() && self.batch.window.is_empty() {
            self.member.give_back(mem::take(&mut self.batch_bytes));
        }
    }

    fn for_each_inner(&mut self, _: &mut dyn FnMut(&mut dyn DatagramRead)) {}
}

impl<P> Membership<P> {
    /// The reader is done with so many bytes.
    fn give_back(&self, bytes: usize) {
        self.client.bytes.fetch_sub(bytes, SeqCst);
        self.room.give_back(bytes);
        self.client.wake_server();
    }
}

impl<P> Drop for ClientReader<P> {
    fn drop(&mut self) {
        let mut queue = self.member.client.queue();
        queue.reader_gone = true;
        (queue.first, queue.more, queue.count) = (None, Vec::new(), 0);
        let server = queue.server.take();
        let bytes = self.member.client.bytes.swap(0, SeqCst);
        drop(queue);
        self.member.room.give_back(bytes);
        server.into_iter().for_each(Waker::wake);
    }
}

/// Sends to one client.
pub(super) struct ClientSender<P>(pub Arc<Membership<P>>);

impl<P: Packets> Send for ClientSender<P> {
    fn poll_send(&mut self, cx: &mut Context<'_>, run: &[u8], size: usize) -> Poll<io::Result<()>> {
        let Membership { client, packets, clock, .. } = &*self.0;
        if client.hung_up.load(Acquire) {
            return Poll::Ready(Err(UdpError::HungUp.into()));
        }
        let result = ready!(packets.poll_send(cx, run, size, &client.key));
        if let (Ok(()), Some(start)) = (&result, clock) {
            client.sent.store(start.elapsed().as_micros() as u64, Relaxed);
        }
        Poll::Ready(result)
    }
}
