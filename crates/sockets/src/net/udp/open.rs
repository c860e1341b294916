//! Making UDP sockets: bind with options, then connect if there is only one peer.

use super::super::sockopts::{BindOptions, DatagramOptions, OptionError, RouteOptions, StreamOptions};
use socket2::{Domain, Protocol, SockRef, Socket, Type};
use std::{io, net::SocketAddr};
use tokio::net::UdpSocket;

/// Room for received datagrams in the kernel, as far as the system allows: the usual 208 KiB are over after some fifty
/// datagrams of 4 KiB, since each costs twice its length. Costs nothing while nothing waits.
const RECEIVE_BUFFER: usize = 4 << 20;

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
