//! `udp:` and `udp-bind:`: one UDP socket as one message socket.
//!
//! Connected sockets hear and talk to one peer, which the system sees to; others follow [`PeerRules`]. An ICMP error is one
//! of a datagram that was sent before: it ends the direction that meets it, unless errors of sending are inhibited.

use super::{
    LONGEST, PeerRules,
    peers::{Destination, Peers, Verdict},
    port::{Port, is_of_an_earlier_datagram},
    tally::Tally,
    writer::{Send, UdpWriter},
};
use crate::{
    buffer::Window,
    datagram::{DatagramRead, Flags},
    info::{Address, SocketInfo},
    socket::DatagramSocket,
};
use std::{
    io,
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll, ready},
};
use tokio::net::UdpSocket;

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
    let sender = Sender { shared: shared.clone(), nobody: Tally::default() };
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
}

/// Pending: no datagram is there; nothing is lost. EOF: never. It owns a buffer only while it lends from it. Datagrams
/// longer than `max` come in parts. Drop midway loses the datagram that was not consumed.
struct UdpReader {
    shared: Arc<Shared>,
    window: Window,
    text: bool,
    /// `Some`: errors of earlier datagrams do not end anything.
    inhibited: Option<Tally>,
    cut: Tally,
    announced: Option<Flags>,
    /// Length of the chunk announced.
    len: usize,
    /// Inside of a datagram.
    midway: bool,
}

impl UdpReader {
    fn new(shared: Arc<Shared>, text: bool, inhibit_errors: bool) -> Self {
        Self {
            shared,
            window: Window::new(2),
            text,
            inhibited: inhibit_errors.then(Tally::default),
            cut: Tally::default(),
            announced: None,
            len: 0,
            midway: false,
        }
    }

    /// The next datagram is in the window.
    fn poll_datagram(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            ready!(self.shared.port.poll_readable(cx))?;
            self.window.reserve(LONGEST);
            let room = self.window.spare_mut().get_mut(..LONGEST).unwrap_or_default();
            let received = match self.shared.port.try_receive(room) {
                Ok(received) => received,
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => {
                    self.window.release();
                    continue;
                }
                Err(e) => {
                    self.window.release();
                    self.tolerate(e)?;
                    continue;
                }
            };
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
            self.window.advance(received.len);
            return Poll::Ready(Ok(()));
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
        if let Some(flags) = self.announced {
            return Poll::Ready(Ok(flags));
        }
        if !self.midway {
            ready!(self.poll_datagram(cx))?;
        }
        let rest = self.window.len();
        self.len = rest.min(max.max(1));
        self.midway = self.len < rest;
        let mut flags = if self.text { Flags::TEXT } else { Flags::NONE };
        if self.midway {
            flags |= Flags::PARTIAL;
        }
        self.announced = Some(flags);
        Poll::Ready(Ok(flags))
    }

    fn chunk_mut(&mut self) -> &mut [u8] {
        let len = if self.announced.is_some() { self.len } else { 0 };
        self.window.filled_mut().get_mut(..len).unwrap_or_default()
    }

    fn consume(&mut self) {
        if self.announced.take().is_some() {
            self.window.skip(self.len);
        }
    }
}

/// Sends to the target of the moment.
struct Sender {
    shared: Arc<Shared>,
    /// Messages for nobody.
    nobody: Tally,
}

impl Send for Sender {
    fn poll_send(&mut self, cx: &mut Context<'_>, datagram: &[u8]) -> Poll<io::Result<()>> {
        let to = match self.shared.with_peers(|peers| peers.destination()) {
            None | Some(Destination::Connected) => None,
            Some(Destination::To(target)) => Some(target),
            Some(Destination::Nobody) => {
                if let Some(n) = self.nobody.note() {
                    tracing::warn!("{n} datagrams were dropped: nobody has sent any that they could answer");
                }
                return Poll::Ready(Ok(()));
            }
        };
        self.shared.port.poll_send(cx, datagram, to)
    }
}

impl Drop for Sender {
    fn drop(&mut self) {
        if let Some(n) = self.nobody.rest() {
            tracing::warn!("{n} more datagrams were dropped: nobody has sent any that they could answer");
        }
    }
}
