//! Making UDP sockets: bind with options, then connect if there is only one peer.

use super::super::{
    error_numbers::is_unsupported_family,
    sockopts::{BindOptions, DatagramOptions, OptionError, RouteOptions, StreamOptions},
};
use socket2::{Domain, Protocol, SockRef, Socket, Type};
use std::{io, net::SocketAddr};
use tokio::net::UdpSocket;

/// Room for received datagrams in the kernel, as far as the system allows: the usual 208 KiB are over after some fifty
/// datagrams of 4 KiB, since each costs twice its length. Costs nothing while nothing waits.
const RECEIVE_BUFFER: usize = 4 << 20;

/// How often another free port is looked for when port 0 is to be the same one on all addresses.
const PORT_TRIES: usize = 16;

/// Options of a UDP socket.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UdpOptions {
    pub bind_options: BindOptions,
    pub route_options: RouteOptions,
    /// SO_INCOMING_CPU
    pub cpu_affinity: Option<usize>,
    pub datagram_options: DatagramOptions,
}

/// Why there is no socket.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error("cannot bind a UDP socket to {address}: {source}")]
    Bind { address: SocketAddr, source: io::Error },
    #[error("cannot bind a UDP socket to {address}: {source}")]
    Option { address: SocketAddr, source: OptionError },
    #[error("cannot connect a UDP socket to {address}: {source}")]
    Connect { address: SocketAddr, source: io::Error },
    #[error("an inherited UDP socket: {source}")]
    Inherited { source: io::Error },
    #[error("no address for a UDP socket")]
    NoAddresses,
}

impl OpenError {
    fn io(&self) -> Option<&io::Error> {
        match self {
            Self::Bind { source, .. } => Some(source),
            _ => None,
        }
    }

    /// The machine has no such address at all (IPv6 switched off).
    fn is_missing_address(&self) -> bool {
        self.io().is_some_and(|e| e.kind() == io::ErrorKind::AddrNotAvailable || is_unsupported_family(e))
    }
}

/// A socket bound to `local`, and connected to `peer` if there is one: then only its datagrams are received.
pub fn open(local: SocketAddr, peer: Option<SocketAddr>, options: &UdpOptions) -> Result<UdpSocket, OpenError> {
    let failed = |source| OpenError::Bind { address: local, source };
    let refused = |source| OpenError::Option { address: local, source };
    let socket = Socket::new(Domain::for_address(local), Type::DGRAM, Some(Protocol::UDP)).map_err(failed)?;
    socket.set_nonblocking(true).map_err(failed)?;
    options.bind_options.apply(&socket, local.is_ipv6()).map_err(refused)?;
    socket.bind(&local.into()).map_err(failed)?;
    options.apply(&socket, local.is_ipv6()).map_err(refused)?;
    if let Some(address) = peer {
        socket.connect(&address.into()).map_err(|source| OpenError::Connect { address, source })?;
    }
    UdpSocket::from_std(socket.into()).map_err(failed)
}

/// Sockets bound to all of these addresses. Where some have port 0 they share one free port. Among several, one that the
/// machine does not have is left out, if another remains.
pub fn open_all(addresses: &[SocketAddr], options: &UdpOptions) -> Result<Vec<UdpSocket>, OpenError> {
    let shares = addresses.len() > 1 && addresses.iter().any(|a| a.port() == 0);
    let mut tries = PORT_TRIES;
    loop {
        tries -= 1;
        match open_each(addresses, options) {
            // The port that was free on the first address is taken on another.
            Err(e) if shares && tries > 0 && e.io().is_some_and(|e| e.kind() == io::ErrorKind::AddrInUse) => {}
            result => return result,
        }
    }
}

fn open_each(addresses: &[SocketAddr], options: &UdpOptions) -> Result<Vec<UdpSocket>, OpenError> {
    let mut options = options.clone();
    if addresses.len() > 1 {
        // `[::]` beside `0.0.0.0` must not claim IPv4 too, or the second bind fails.
        options.bind_options.only_v6 = options.bind_options.only_v6.or(Some(true));
    }
    let (mut sockets, mut missing, mut free_port) = (Vec::with_capacity(addresses.len()), None, 0);
    for &address in addresses {
        let mut address = address;
        if address.port() == 0 {
            address.set_port(free_port);
        }
        match open(address, None, &options) {
            Ok(socket) => {
                free_port = socket.local_addr().map_or(free_port, |a| a.port());
                sockets.push(socket);
            }
            Err(e) if e.is_missing_address() && addresses.len() > 1 => {
                tracing::debug!("going on without: {e}");
                missing.get_or_insert(e);
            }
            Err(e) => return Err(e),
        }
    }
    if sockets.is_empty() { Err(missing.unwrap_or(OpenError::NoAddresses)) } else { Ok(sockets) }
}

/// A socket that is bound already and came from elsewhere. Options of binding come too late, which is told.
pub fn adopt(socket: std::net::UdpSocket, options: &UdpOptions) -> Result<UdpSocket, OpenError> {
    if options.bind_options != BindOptions::default() {
        tracing::warn!("socket options that are set before bind have no effect on an inherited socket");
    }
    let inherited = |source| OpenError::Inherited { source };
    let v6 = socket.local_addr().map_err(inherited)?.is_ipv6();
    options.apply(&SockRef::from(&socket), v6).map_err(|e| inherited(e.into()))?;
    socket.set_nonblocking(true).map_err(inherited)?;
    UdpSocket::from_std(socket).map_err(inherited)
}

impl UdpOptions {
    /// What comes after bind.
    fn apply(&self, socket: &Socket, v6: bool) -> Result<(), OptionError> {
        if self.route_options.recv_buffer_size.is_none() {
            // The system's limit is as good as it gets, and its default works, too.
            if let Err(error) = socket.set_recv_buffer_size(RECEIVE_BUFFER) {
                tracing::debug!(%error, "the receive buffer of a UDP socket keeps the system's size");
            }
        }
        self.route_options.apply(socket, v6)?;
        StreamOptions { cpu_affinity: self.cpu_affinity, ..StreamOptions::default() }.apply(socket)?;
        self.datagram_options.apply(socket, v6)
    }
}
