//! `udp-server:`: one message socket for each address that sends something, all over the server's own sockets.
//!
//! [`Server`] receives for everybody and gives each datagram to its client's queue (`client`); who is known, who is let go
//! is decided by a table without I/O (`clients`). No error of receiving ends it: on UDP those are of single datagrams.

mod client;
mod clients;
mod room;
#[cfg(test)]
mod tests;

use super::{LONGEST, Received, port::Port, tally::Tally, writer::UdpWriter};
use crate::{
    buffer::Window,
    info::{Address, SocketInfo},
    socket::DatagramSocket,
};
use client::{Client, ClientReader, ClientSender, Departures, Membership, Push};
use clients::{Clients, Limits};
use room::{QueueLimits, Room};
use std::{
    future::Future,
    io,
    net::SocketAddr,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    task::{Context, Poll, ready},
    time::Duration,
};
use tokio::{
    net::UdpSocket,
    time::{Instant, Sleep, sleep, sleep_until},
};

/// Clients at a time unless told otherwise: forged addresses cost nothing, and each client costs a session.
pub const MAX_CLIENTS: usize = 4096;
/// Datagrams that wait for one client unless told otherwise: a burst that comes before its session is ready.
pub const QUEUE: usize = 256;
/// Bytes that wait for one client unless told otherwise: 64 of the longest datagrams. Each counts 4 more than it has.
pub const QUEUE_BYTES: usize = 4 << 20;
/// Bytes that wait for all clients, unless one may have more. Beyond it each client may still have one small datagram, so
/// that those who are patient are not at the mercy of those who flood.
pub const TOTAL_BYTES: usize = 64 << 20;
/// Errors in a row after which receiving pauses, so that one that does not go away costs no processor.
const ERRORS_IN_A_ROW: u32 = 8;
/// That pause.
const PAUSE: Duration = Duration::from_millis(20);

/// How a server treats its clients.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerOptions {
    /// A client is let go when nothing came from it and nothing was sent to it for so long.
    pub timeout: Option<Duration>,
    /// The client from which nothing came for the longest time makes room for a new one.
    pub max_clients: usize,
    /// Longer datagrams are cut, which is told.
    pub buffer_size: usize,
    /// Datagrams that wait for one client.
    pub queue: usize,
    /// Bytes of them, with 4 more for each. One datagram may wait however long it is.
    pub queue_bytes: usize,
    /// The same for all clients together.
    pub total_bytes: usize,
    /// When a queue is full: nothing is received for anybody until there is room. Otherwise the datagram is dropped, which
    /// is told.
    pub backpressure: bool,
    /// Received datagrams count as text, unchecked.
    pub text: bool,
    /// Failed sends end nothing.
    pub inhibit_send_errors: bool,
    /// Longest message that is sent, in bytes.
    pub max_send: usize,
}

impl Default for ServerOptions {
    fn default() -> Self {
        Self {
            timeout: None,
            max_clients: MAX_CLIENTS,
            buffer_size: LONGEST,
            queue: QUEUE,
            queue_bytes: QUEUE_BYTES,
            total_bytes: TOTAL_BYTES,
            backpressure: false,
            text: false,
            inhibit_send_errors: false,
            max_send: LONGEST,
        }
    }
}

/// The sockets of a server; a trait so that tests can do without the system.
pub trait Packets: Send + Sync + 'static {
    /// Ready when something may have come. For one task at a time.
    fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>>;
    /// A datagram and the number of the socket that it came to; `WouldBlock` when there is none.
    fn try_receive(&self, buf: &mut [u8]) -> io::Result<(usize, Received)>;
    /// Sends from one of the sockets: `run` cut into datagrams of `size` bytes, the last one maybe shorter. Pending: repeat
    /// with the same.
    fn poll_send(
        &self,
        cx: &mut Context<'_>,
        run: &[u8],
        size: usize,
        to: &(usize, SocketAddr),
    ) -> Poll<io::Result<()>>;
    /// Where the socket of this number is bound.
    fn local(&self, socket: usize) -> Option<SocketAddr>;
}

/// Sockets of the system.
pub struct Ports {
    ports: Vec<Port>,
    /// Socket to ask first.
    turn: AtomicUsize,
}

impl Packets for Ports {
    fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut result = Poll::Pending;
        for port in &self.ports {
            // All of them, so that each wakes.
            if let Poll::Ready(ready) = port.poll_readable(cx) {
                result = Poll::Ready(ready);
            }
        }
        result
    }

    fn try_receive(&self, buf: &mut [u8]) -> io::Result<(usize, Received)> {
        let (n, turn) = (self.ports.len(), self.turn.load(Relaxed));
        for i in (0..n).map(|i| (turn + i) % n) {
            match self.ports.get(i).map(|port| port.try_receive(buf)) {
                None => {}
                Some(Err(e)) if e.kind() == io::ErrorKind::WouldBlock => {}
                Some(result) => {
                    if n > 1 {
                        self.turn.store(i + 1, Relaxed);
                    }
                    return result.map(|received| (i, received));
                }
            }
        }
        Err(io::ErrorKind::WouldBlock.into())
    }

    fn poll_send(
        &self,
        cx: &mut Context<'_>,
        run: &[u8],
        size: usize,
        to: &(usize, SocketAddr),
    ) -> Poll<io::Result<()>> {
        match self.ports.get(to.0) {
            Some(port) => port.poll_send(cx, run, size, Some(to.1)),
            None => Poll::Ready(Err(io::ErrorKind::NotConnected.into())),
        }
    }

    fn local(&self, socket: usize) -> Option<SocketAddr> {
        self.ports.get(socket)?.socket.local_addr().ok()
    }
}

/// Receives for all clients.
pub struct Server<P: Packets = Ports> {
    packets: Arc<P>,
    options: ServerOptions,
    clients: Clients<Arc<Client>>,
    departures: Arc<Departures>,
    room: Arc<Room>,
    /// The datagram at hand; empty and without memory while there is none.
    window: Window,
    /// It waits for room in the queue of this client.
    waits_for: Option<Arc<Client>>,
    /// New clients are welcome.
    admits: bool,
    start: Instant,
    timer: Option<(Duration, Pin<Box<Sleep>>)>,
    pause: Option<Pin<Box<Sleep>>>,
    errors: u32,
    failed: Tally,
    lost: Tally,
    cut: Tally,
}

impl Server {
    /// A server on sockets that are bound.
    pub fn new(sockets: Vec<UdpSocket>, options: ServerOptions) -> Self {
        let ports = sockets.into_iter().map(Port::new).collect();
        Self::with(Ports { ports, turn: AtomicUsize::new(0) }, options)
    }

    /// Where it is bound, in the order of the sockets.
    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.packets.ports.iter().filter_map(|port| port.socket.local_addr().ok()).collect()
    }
}

impl<P: Packets> Server<P> {
    /// A server on sockets of any kind, inside a runtime.
    pub fn with(packets: P, options: ServerOptions) -> Self {
        let limits = Limits { max_clients: options.max_clients, timeout: options.timeout };
        Self {
            packets: Arc::new(packets),
            clients: Clients::new(limits),
            room: Arc::new(Room::new(options.total_bytes)),
            options,
            departures: Arc::default(),
            window: Window::new(2),
            waits_for: None,
            admits: true,
            start: Instant::now(),
            timer: None,
            pause: None,
            errors: 0,
            failed: Tally::default(),
            lost: Tally::default(),
            cut: Tally::default(),
        }
    }

    /// Clients that are known.
    pub fn clients(&self) -> usize {
        self.clients.len()
    }

    /// Nobody new gets in any more; what others than the known clients send is dropped.
    pub fn close_door(&mut self) {
        self.admits = false;
    }

    /// Serves until somebody new sends something, and gives a socket for that client. Pending: everything that has come is
    /// with its client. Dropping a future that polls it loses nothing; when the server is dropped nothing more comes to
    /// the clients, while they may still send.
    pub fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<(DatagramSocket, SocketAddr)> {
        self.departures.watch(cx);
        self.forget_departed();
        self.poll_timers(cx);
        loop {
            if let Some(client) = self.waits_for.take() {
                if client.push(self.window.filled(), self.limits(), &self.room, Some(cx)) == Push::Full {
                    self.waits_for = Some(client);
                    return Poll::Pending;
                }
                self.window.skip(self.window.len());
            }
            if let Some(pause) = &mut self.pause {
                ready!(pause.as_mut().poll(cx));
                self.pause = None;
            }
            if let Err(e) = ready!(self.packets.poll_readable(cx)) {
                self.failed(&e);
                continue;
            }
            let size = self.options.buffer_size.clamp(1, LONGEST);
            self.window.reserve(size);
            let room = self.window.spare_mut().get_mut(..size).unwrap_or_default();
            match self.packets.try_receive(room) {
                Ok((socket, received)) => {
                    self.errors = 0;
                    let new = self.take(socket, received);
                    if self.waits_for.is_none() {
                        self.window.skip(self.window.len());
                    }
                    if let Some(new) = new {
                        return Poll::Ready(new);
                    }
                }
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => self.window.release(),
                Err(e) => self.failed(&e),
            }
        }
    }

    /// Gives a datagram, whose bytes are in the window's spare room, to its client; Some if that is a new one.
    fn take(&mut self, socket: usize, received: Received) -> Option<(DatagramSocket, SocketAddr)> {
        let from = received.from?;
        self.window.advance(received.len);
        if received.cut
            && let Some(n) = self.cut.note()
        {
            let size = self.options.buffer_size;
            tracing::warn!("{n} datagrams were longer than {size} bytes and have been cut; --udp-server-buffer-size");
        }
        self.forget_departed();
        let now = self.now();
        let key = (socket, from);
        let limits = self.limits();
        if let Some((_, client)) = self.clients.handle_datagram(&key, now) {
            if client.push(self.window.filled(), limits, &self.room, None) == Push::Full {
                let client = client.clone();
                self.handle_full(client);
            }
            return None;
        }
        if !self.admits {
            tracing::debug!("a datagram from {from} is dropped: the only client is another one");
            return None;
        }
        let mut client = None;
        let evict = |stale: Arc<Client>| {
            tracing::debug!("{} has to make room for {from}", stale.key.1);
            stale.hang_up();
        };
        self.clients.insert(key, now, |id| client.insert(Arc::new(Client::new(key, id))).clone(), evict);
        let client = client?;
        if client.push(self.window.filled(), limits, &self.room, None) == Push::Full {
            self.handle_full(client.clone());
        }
        Some((self.socket(client), from))
    }

    fn limits(&self) -> QueueLimits {
        QueueLimits { datagrams: self.options.queue, bytes: self.options.queue_bytes }
    }

    /// There is no room for the datagram at hand, which is for this client.
    fn handle_full(&mut self, client: Arc<Client>) {
        if self.options.backpressure {
            self.waits_for = Some(client);
        } else {
            self.note_lost();
        }
    }

    fn note_lost(&mut self) {
        if let Some(n) = self.lost.note() {
            tracing::warn!(
                "{n} datagrams were dropped: too many wait for their clients' sessions; \
                 --udp-server-qlen, --udp-server-qbytes, --udp-server-backpressure"
            );
        }
    }

    fn socket(&self, client: Arc<Client>) -> DatagramSocket {
        let (socket, peer) = client.key;
        let local = self.packets.local(socket);
        let info = SocketInfo {
            specifier: local.map(|local| format!("udp-server:{local}").into()),
            local: local.map(Address::Ip),
            peer: Some(Address::Ip(peer)),
            ..SocketInfo::default()
        };
        let hangup = client.hangup();
        let member = Arc::new(Membership {
            client,
            packets: self.packets.clone(),
            departures: self.departures.clone(),
            room: self.room.clone(),
            clock: self.options.timeout.map(|_| self.start),
        });
        let ServerOptions { max_send, inhibit_send_errors, text, .. } = self.options;
        DatagramSocket {
            read: Some(Box::new(ClientReader::new(member.clone(), text))),
            write: Some(Box::new(UdpWriter::new(ClientSender(member), max_send, inhibit_send_errors))),
            hangup: Some(hangup),
            link: None,
            info: Arc::new(info),
        }
    }

    /// Since the start; not asked for where nobody needs it.
    fn now(&self) -> Duration {
        if self.options.timeout.is_some() { self.start.elapsed() } else { Duration::ZERO }
    }

    fn forget_departed(&mut self) {
        self.departures.take(|id| drop(self.clients.remove(id)));
    }

    /// Lets those go whose time is over, and sees to it that the next one is not missed.
    fn poll_timers(&mut self, cx: &mut Context<'_>) {
        while let Some(at) = self.clients.next_timer() {
            let expired = |client: Arc<Client>| {
                tracing::debug!("{} was silent for too long", client.key.1);
                client.hang_up();
            };
            let now = self.now();
            if at <= now {
                self.clients.handle_time(now, |client| client.last_sent(), expired);
                continue;
            }
            let Some(until) = self.start.checked_add(at) else { break };
            let (set, sleep) = self.timer.get_or_insert_with(|| (at, Box::pin(sleep_until(until))));
            if *set != at {
                *set = at;
                sleep.as_mut().reset(until);
            }
            if sleep.as_mut().poll(cx).is_pending() {
                break;
            }
            // Timers of the runtime are as fine as milliseconds: the rest of one may be left.
            if self.now() < at {
                cx.waker().wake_by_ref();
                break;
            }
        }
    }

    fn failed(&mut self, error: &io::Error) {
        if let Some(n) = self.failed.note() {
            tracing::warn!("receiving failed {n} times, which ends nothing: {error}");
        }
        self.errors += 1;
        if self.errors >= ERRORS_IN_A_ROW {
            self.pause = Some(Box::pin(sleep(PAUSE)));
        }
    }
}

impl<P: Packets> Drop for Server<P> {
    fn drop(&mut self) {
        for (tally, what) in [(&mut self.lost, "dropped"), (&mut self.cut, "cut")] {
            if let Some(n) = tally.rest() {
                tracing::warn!("{n} more datagrams were {what}");
            }
        }
    }
}
