//! `udp:` and `udp-bind:`: one UDP socket as one message socket.
//!
//! Connected sockets hear and talk to one peer, which the system sees to; others follow [`PeerRules`]. An ICMP error is one
//! of a datagram that was sent before: it ends the direction that meets it, unless errors of sending are inhibited.

use super::{
    LONGEST, PeerRules,
    batch::{BatchReader, RECORD, record},
    peers::{Destination, Peers, Verdict},
    port::{Port, is_of_an_earlier_datagram},
    tally::Tally,
    writer::{Send, UdpWriter},
};
use crate::{
    datagram::{DatagramRead, Flags},
    info::{Address, SocketInfo},
    socket::DatagramSocket,
};
use std::{
    future::Future,
    io,
    net::SocketAddr,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll, ready},
};
use tokio::{io::Interest, net::UdpSocket};

/// How one socket behaves.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UdpSocketOptions {
    /// None: the socket is connected. Else its first target, if it has one, and what senders mean.
    pub peers: Option<(Option<SocketAddr>, PeerRules)>,
    /// Received datagrams count as text, unchecked.
    pub text: bool,
    /// Failed sends end nothing.
    pub inhibit_send_errors: bool,
    /// Longest message that is sent, in bytes.
    pub max_send: usize,
}

/// The message socket. `info` gets addresses and descriptor.
pub fn udp_socket(socket: UdpSocket, options: UdpSocketOptions, mut info: SocketInfo) -> DatagramSocket {
    info.local = info.local.or_else(|| socket.local_addr().ok().map(Address::Ip));
    info.peer = info.peer.or_else(|| socket.peer_addr().ok().map(Address::Ip));
    #[cfg(unix)]
    {
        use std::os::fd::AsRawFd;
        info.fd = Some(socket.as_raw_fd());
    }
    let shared = Arc::new(Shared {
        port: Port::new(socket),
        peers: options.peers.map(|(target, rules)| Mutex::new(Peers::new(target, rules))),
    });
    let sender = Sender::new(shared.clone());
    DatagramSocket {
        read: Some(Box::new(UdpReader::new(shared, options.text, options.inhibit_send_errors))),
        write: Some(Box::new(UdpWriter::new(sender, options.max_send, options.inhibit_send_errors))),
        info: Arc::new(info),
        ..DatagramSocket::default()
    }
}

struct Shared {
    port: Port,
    /// None: the system knows the only peer.
    peers: Option<Mutex<Peers>>,
}

impl Shared {
    fn with_peers<T>(&self, ask: impl FnOnce(&mut Peers) -> T) -> Option<T> {
        self.peers.as_ref().map(|peers| ask(&mut peers.lock().unwrap_or_else(PoisonError::into_inner)))
    }

    fn destination(&self) -> Destination {
        self.with_peers(|peers| peers.destination()).unwrap_or(Destination::Connected)
    }

    /// Resolves when an error of an earlier datagram waits, which Linux does not count as something to read.
    async fn refused(self: Arc<Self>) -> io::Error {
        let socket = &self.port.socket;
        loop {
            if let Err(e) = socket.ready(Interest::ERROR).await {
                return e; // the runtime is shutting down
            }
            // Whoever sent something meanwhile was told instead.
            let none = || io::Error::from(io::ErrorKind::WouldBlock);
            match socket.try_io(Interest::ERROR, || socket.take_error()?.ok_or_else(none)) {
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => {}
                Ok(e) | Err(e) => return e,
            }
        }
    }
}

/// Datagrams that are received before any is handed on: as many as can leave together.
const BATCH: usize = 64;

/// Pending: no datagram is there; nothing is lost. EOF: never. It owns a buffer only while it lends from it, for all that
/// was there at once. Datagrams longer than `max` come in parts. Drop midway loses what was not consumed.
struct UdpReader {
    shared: Arc<Shared>,
    batch: BatchReader,
    /// `Some`: errors of earlier datagrams do not end anything.
    inhibited: Option<Tally>,
    cut: Tally,
    /// Waits for errors while nothing can be read.
    refused: Option<Pin<Box<dyn Future<Output = io::Error> + std::marker::Send>>>,
    /// Comes after what is in the window.
    failed: Option<io::Error>,
}

impl UdpReader {
    fn new(shared: Arc<Shared>, text: bool, inhibit_errors: bool) -> Self {
        Self {
            shared,
            batch: BatchReader::new(text),
            inhibited: inhibit_errors.then(Tally::default),
            cut: Tally::default(),
            refused: None,
            failed: None,
        }
    }

    /// Goes to the next datagram.
    fn poll_datagram(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.batch.window.is_empty() {
            if let Some(e) = self.failed.take() {
                self.batch.window.release();
                self.tolerate(e)?;
            }
            if self.shared.port.poll_readable(cx)?.is_pending() {
                self.batch.window.release();
                let error = ready!(self.poll_refused(cx));
                self.tolerate(error)?;
                continue;
            }
            self.fill();
        }
        self.batch.next_datagram();
        Poll::Ready(Ok(()))
    }

    /// Ready when a datagram that was sent before could not arrive. Who is not connected is not told of such.
    fn poll_refused(&mut self, cx: &mut Context<'_>) -> Poll<io::Error> {
        if self.shared.destination() != Destination::Connected {
            return Poll::Pending;
        }
        let refused = self.refused.get_or_insert_with(|| Box::pin(self.shared.clone().refused()));
        let error = ready!(refused.as_mut().poll(cx));
        self.refused = None;
        Poll::Ready(error)
    }

    /// Receives what is there, as far as there is room.
    fn fill(&mut self) {
        self.batch.window.reserve(RECORD + LONGEST);
        let most = if self.shared.with_peers(|peers| peers.may_turn()) == Some(true) { 1 } else { BATCH };
        for _ in 0..most {
            if self.batch.window.room() < RECORD + LONGEST {
                // Next time in a larger buffer.
                self.batch.window.grow();
                return;
            }
            let Some((head, room)) = self.batch.window.spare_mut().split_first_chunk_mut::<RECORD>() else { return };
            let received = match self.shared.port.try_receive(room.get_mut(..LONGEST).unwrap_or_default()) {
                Ok(received) => received,
                Err(e) => {
                    self.failed = Some(e).filter(|e| e.kind() != io::ErrorKind::WouldBlock);
                    return;
                }
            };
            *head = record(received.len);
            let verdict = self.shared.with_peers(|peers| peers.handle_datagram(received.from));
            match verdict.unwrap_or(Verdict::Deliver) {
                Verdict::Drop => continue,
                Verdict::Deliver => {}
                Verdict::DeliverAndLock => self.lock_to(received.from),
            }
            if received.cut
                && let Some(n) = self.cut.note()
            {
                tracing::warn!("{n} datagrams were longer than {LONGEST} bytes and have been cut");
            }
            self.batch.window.advance(RECORD + received.len);
        }
    }

    /// Lets the system drop what others send; where it cannot, the rules still do.
    fn lock_to(&self, from: Option<SocketAddr>) {
        let Some(from) = from else { return };
        let socket = socket2::SockRef::from(&self.shared.port.socket);
        match socket.connect(&from.into()) {
            Ok(()) => {
                self.shared.with_peers(Peers::handle_connected);
                tracing::debug!("connected to {from}, the first sender");
            }
            Err(error) => tracing::debug!(%error, "cannot connect to {from}, the first sender"),
        }
    }

    /// The error, unless it is one of those that are inhibited.
    fn tolerate(&mut self, error: io::Error) -> io::Result<()> {
        match &mut self.inhibited {
            Some(tally) if is_of_an_earlier_datagram(&error) => {
                if let Some(n) = tally.note() {
                    tracing::warn!("{n} datagrams did not arrive: {error}");
                }
                Ok(())
            }
            _ => Err(error),
        }
    }
}

impl DatagramRead for UdpReader {
    fn poll_chunk(&mut self, cx: &mut Context<'_>, max: usize) -> Poll<io::Result<Flags>> {
        if let Some(flags) = self.batch.announced() {
            return Poll::Ready(Ok(flags));
        }
        if !self.batch.is_midway() {
            ready!(self.poll_datagram(cx))?;
        }
        Poll::Ready(Ok(self.batch.announce(max)))
    }

    fn chunk_mut(&mut self) -> &mut [u8] {
        self.batch.chunk_mut()
    }

    fn consume(&mut self) {
        self.batch.consume();
    }

    fn for_each_inner(&mut self, _: &mut dyn FnMut(&mut dyn DatagramRead)) {}
}

/// Sends to the target of the moment.
struct Sender {
    shared: Arc<Shared>,
    /// Where what is being collected goes.
    destination: Destination,
    /// Messages for nobody.
    nobody: Tally,
}

impl Sender {
    fn new(shared: Arc<Shared>) -> Self {
        Self { shared, destination: Destination::Nobody, nobody: Tally::default() }
    }
}

impl Send for Sender {
    fn poll_send(&mut self, cx: &mut Context<'_>, run: &[u8], size: usize) -> Poll<io::Result<()>> {
        let to = match self.destination {
            Destination::Connected => None,
            Destination::To(target) => Some(target),
            Destination::Nobody => {
                for _ in run.chunks(size.max(1)).chain(run.is_empty().then_some(&[][..])) {
                    if let Some(n) = self.nobody.note() {
                        tracing::warn!("{n} datagrams were dropped: nobody has sent any that they could answer");
                    }
                }
                return Poll::Ready(Ok(()));
            }
        };
        self.shared.port.poll_send(cx, run, size, to)
    }

    fn turn(&mut self) {
        self.destination = self.shared.destination();
    }

    fn has_turned(&self) -> bool {
        self.destination != self.shared.destination()
    }
}

impl Drop for Sender {
    fn drop(&mut self) {
        if let Some(n) = self.nobody.rest() {
            tracing::warn!("{n} more datagrams were dropped: nobody has sent any that they could answer");
        }
    }
}
