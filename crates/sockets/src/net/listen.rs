//! Listening by TCP: bind with options, on several addresses at once, or on a socket that was inherited.
//!
//! [`Listener`] is a source of [`StreamSocket`]s; what it does about errors is in `accept.rs`.

use super::{
    accept::{Accept, Accepting},
    error_numbers::is_unsupported_family,
    sockopts::{BindOptions, OptionError, RouteOptions, StreamOptions},
    tcp::tcp_socket,
};
use crate::{
    info::{Address, SocketInfo},
    socket::StreamSocket,
};
use socket2::{Domain, Protocol, SockRef, Socket, Type};
use std::{
    io,
    net::{Ipv4Addr, Ipv6Addr, SocketAddr},
    task::{Context, Poll},
};
use tokio::net::{TcpListener, TcpStream};

/// Compatible default; the system cuts it to its own limit (net.core.somaxconn).
pub const BACKLOG: u32 = 1024;
/// How often another free port is looked for when port 0 is to be the same one on all addresses.
const PORT_TRIES: usize = 16;

/// How to listen.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ListenOptions {
    /// `reuseaddr` is on by default, except on Windows, where it would let others take the port.
    pub bind_options: BindOptions,
    /// Set on the listening socket (buffer sizes have to be) and on each accepted one.
    pub route_options: RouteOptions,
    /// Set on the listening socket, so that what is refused is known at once, and on each accepted one, which may not
    /// inherit all. One that refuses them is closed, with a warning.
    pub stream_options: StreamOptions,
    /// Connections that may wait to be accepted; [`BACKLOG`] if absent.
    pub backlog: Option<u32>,
}

/// Why nobody can connect.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    #[error("no address to listen on")]
    NoAddresses,
    #[error("cannot listen on {address}: {source}")]
    Failed { address: SocketAddr, source: io::Error },
    #[error("cannot listen on {address}: {source}")]
    Option { address: SocketAddr, source: OptionError },
}

impl ListenError {
    fn io(&self) -> Option<&io::Error> {
        match self {
            Self::Failed { source, .. } | Self::Option { source: OptionError::Refused { source, .. }, .. } => {
                Some(source)
            }
            Self::NoAddresses | Self::Option { .. } => None,
        }
    }

    /// The machine has no such address at all (IPv6 switched off).
    fn is_missing_address(&self) -> bool {
        // EAFNOSUPPORT has no kind of its own: socket creation fails with nothing but it for a missing IP version.
        self.io().is_some_and(|e| e.kind() == io::ErrorKind::AddrNotAvailable || is_unsupported_family(e))
    }
}

impl From<ListenError> for io::Error {
    fn from(e: ListenError) -> Self {
        Self::new(e.io().map_or(io::ErrorKind::InvalidInput, io::Error::kind), e)
    }
}

/// What a bare port means: this machine only, both IP versions.
pub fn loopback(port: u16) -> [SocketAddr; 2] {
    [(Ipv4Addr::LOCALHOST, port).into(), (Ipv6Addr::LOCALHOST, port).into()]
}

/// All addresses of one listener, served in turn so that none starves.
pub struct Bound {
    listeners: Vec<TcpListener>,
    /// Index of the one to ask first.
    turn: usize,
}

impl Accept for Bound {
    type Connection = (TcpStream, SocketAddr);

    fn poll_accept(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Self::Connection>> {
        let n = self.listeners.len();
        for i in (0..n).map(|i| (self.turn + i) % n) {
            if let Some(Poll::Ready(result)) = self.listeners.get(i).map(|l| l.poll_accept(cx)) {
                self.turn = i + 1;
                return Poll::Ready(result);
            }
        }
        Poll::Pending
    }
}

/// Accepts connections for ever.
pub struct Listener {
    source: Accepting<Bound>,
    addresses: Vec<SocketAddr>,
    options: ListenOptions,
}

impl Listener {
    /// Listens on all `addresses`, inside a runtime. Where some have port 0 they share one free port.
    /// Among several, one that the machine does not have (`::1` without IPv6) is left out, if another remains.
    pub fn bind(addresses: &[SocketAddr], options: ListenOptions) -> Result<Self, ListenError> {
        let mut tries = PORT_TRIES;
        let listeners = loop {
            tries -= 1;
            match bind_all(addresses, &options) {
                // The port that was free on the first address is taken on another.
                Err(e) if tries > 0 && e.io().is_some_and(|e| e.kind() == io::ErrorKind::AddrInUse) => {
                    let shared = addresses.len() > 1 && addresses.iter().any(|a| a.port() == 0);
                    if !shared {
                        return Err(e);
                    }
                }
                result => break result?,
            }
        };
        let addresses = listeners.iter().zip(addresses).map(|(l, a)| l.local_addr().unwrap_or(*a)).collect();
        Ok(Self { source: Accepting::new(Bound { listeners, turn: 0 }), addresses, options })
    }

    /// Accepts on a socket that listens already, inside a runtime. Bind and route options are none of its business.
    pub fn adopt(socket: Socket, options: ListenOptions) -> io::Result<Self> {
        let listener = TcpListener::from_std(socket.into())?;
        let addresses = vec![listener.local_addr()?];
        Ok(Self { source: Accepting::new(Bound { listeners: vec![listener], turn: 0 }), addresses, options })
    }
}

fn bind_all(addresses: &[SocketAddr], options: &ListenOptions) -> Result<Vec<TcpListener>, ListenError> {
    let mut listeners = Vec::with_capacity(addresses.len());
    let mut missing = None;
    let mut free_port = 0;
    for &address in addresses {
        let mut address = address;
        if address.port() == 0 {
            address.set_port(free_port);
        }
        match bind_one(address, options, addresses.len() > 1) {
            Ok(listener) => {
                free_port = listener.local_addr().map_or(free_port, |a| a.port());
                listeners.push(listener);
            }
            Err(e) if e.is_missing_address() && addresses.len() > 1 => {
                tracing::debug!("going on without: {e}");
                missing.get_or_insert(e);
            }
            Err(e) => return Err(e),
        }
    }
    if listeners.is_empty() { Err(missing.unwrap_or(ListenError::NoAddresses)) } else { Ok(listeners) }
}

fn bind_one(address: SocketAddr, options: &ListenOptions, several: bool) -> Result<TcpListener, ListenError> {
    let failed = |source| ListenError::Failed { address, source };
    let refused = |source| ListenError::Option { address, source };
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP)).map_err(failed)?;
    socket.set_nonblocking(true).map_err(failed)?;
    let mut before = options.bind_options.clone();
    before.reuseaddr = before.reuseaddr.or(cfg!(not(windows)).then_some(true));
    if several {
        // `[::]` beside `0.0.0.0` must not claim IPv4 too, or the second bind fails.
        before.only_v6 = before.only_v6.or(Some(true));
    }
    before.apply(&socket, address.is_ipv6()).map_err(refused)?;
    socket.bind(&address.into()).map_err(failed)?;
    options.route_options.apply(&socket, address.is_ipv6()).map_err(refused)?;
    options.stream_options.apply(&socket).map_err(refused)?;
    socket.listen(i32::try_from(options.backlog.unwrap_or(BACKLOG)).unwrap_or(i32::MAX)).map_err(failed)?;
    TcpListener::from_std(socket.into()).map_err(failed)
}

impl Listener {
    /// The addresses in use, with their real ports.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// Next connection, its info filled. Dropping the future loses no connection. Errors are only those that will not go
    /// away by waiting.
    pub async fn accept(&mut self) -> io::Result<StreamSocket> {
        loop {
            let (tcp, from) = self.source.next().await?;
            match self.prepare(&tcp) {
                Ok(()) => return Ok(tcp_socket(tcp, self.describe(from))),
                Err(e) => tracing::warn!("closing the connection from {from}: {e}"),
            }
        }
    }

    fn prepare(&self, tcp: &TcpStream) -> Result<(), OptionError> {
        let socket = SockRef::from(tcp);
        if self.options.route_options != RouteOptions::default() {
            let v6 = self.addresses.first().is_some_and(SocketAddr::is_ipv6);
            self.options.route_options.apply(&socket, tcp.local_addr().map_or(v6, |a| a.is_ipv6()))?;
        }
        self.options.stream_options.apply(&socket)
    }

    fn describe(&self, from: SocketAddr) -> SocketInfo {
        let specifier = self.addresses.first().map(|a| format!("tcp-l:{a}").into());
        // Where only one address is listened on, all connections have that one: no need to ask the system for each.
        let local = match &self.addresses[..] {
            [one] if !one.ip().is_unspecified() && !self.options.bind_options.transparent => Some(Address::Ip(*one)),
            _ => None,
        };
        SocketInfo { specifier, local, peer: Some(Address::Ip(from)), ..Default::default() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::tcp::tests::BOUND;
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        time::timeout,
    };

    async fn accepts_at(listener: &mut Listener, address: SocketAddr) {
        let (mut client, socket) =
            timeout(BOUND, async { tokio::try_join!(TcpStream::connect(address), listener.accept()) })
                .await
                .unwrap()
                .unwrap();
        assert_eq!(socket.info.peer, Some(Address::Ip(client.local_addr().unwrap())));
        assert_eq!(socket.info.local, Some(Address::Ip(address)));
        client.write_all(b"x").await.unwrap();
        assert_eq!(timeout(BOUND, socket.read.unwrap().read_u8()).await.unwrap().unwrap(), b'x');
    }

    #[tokio::test]
    async fn a_bare_port_is_both_loopbacks_on_one_port() {
        let mut listener = Listener::bind(&loopback(0), ListenOptions::default()).unwrap();
        let addresses = listener.addresses().to_vec();
        assert!(addresses.iter().all(|a| a.port() == addresses[0].port() && a.port() != 0), "{addresses:?}");
        for address in addresses {
            accepts_at(&mut listener, address).await;
        }
    }

    #[tokio::test]
    async fn an_address_that_the_machine_lacks_is_left_out_of_several_only() {
        let absent: SocketAddr = "192.0.2.1:0".parse().unwrap(); // reserved for documentation
        let here: SocketAddr = "127.0.0.1:0".parse().unwrap();
        for addresses in [[here, absent], [absent, here]] {
            let mut listener = Listener::bind(&addresses, ListenOptions::default()).unwrap();
            let [only] = listener.addresses().to_vec()[..] else { panic!() };
            accepts_at(&mut listener, only).await;
        }
        let e = Listener::bind(&[absent], ListenOptions::default()).err().unwrap();
        assert!(e.to_string().starts_with("cannot listen on 192.0.2.1:0: "), "{e}");
        assert!(matches!(Listener::bind(&[], ListenOptions::default()), Err(ListenError::NoAddresses)));
    }

    #[tokio::test]
    async fn accepting_may_move_between_threads() {
        fn is_send<T: Send>(_: &T) {}
        let mut listener = Listener::bind(&["127.0.0.1:0".parse().unwrap()], ListenOptions::default()).unwrap();
        is_send(&listener);
        is_send(&listener.accept());
    }

    #[tokio::test]
    async fn the_wildcards_of_both_ip_versions_share_a_port() {
        let any = ["[::]:0".parse().unwrap(), "0.0.0.0:0".parse().unwrap()];
        let mut listener = Listener::bind(&any, ListenOptions::default()).unwrap();
        // Some machines have IPv6 and no address of it.
        let has_v6 = std::net::TcpListener::bind((Ipv6Addr::LOCALHOST, 0)).is_ok();
        for mut address in listener.addresses().iter().copied().filter(|a| a.is_ipv4() || has_v6).collect::<Vec<_>>() {
            address.set_ip(if address.is_ipv4() { Ipv4Addr::LOCALHOST.into() } else { Ipv6Addr::LOCALHOST.into() });
            accepts_at(&mut listener, address).await;
        }
        assert!(listener.addresses().iter().any(SocketAddr::is_ipv4));
    }

    #[tokio::test]
    async fn a_taken_port_is_an_error() {
        let first = Listener::bind(&["127.0.0.1:0".parse().unwrap()], ListenOptions::default()).unwrap();
        let e = Listener::bind(first.addresses(), ListenOptions::default()).err().unwrap();
        assert_eq!(io::Error::from(e).kind(), io::ErrorKind::AddrInUse);
    }

    #[tokio::test]
    async fn accepted_sockets_get_the_options() {
        let mut options = ListenOptions { backlog: Some(3), ..Default::default() };
        options.stream_options.nodelay = Some(true);
        options.route_options.ttl = Some(44);
        let mut listener = Listener::bind(&["127.0.0.1:0".parse().unwrap()], options).unwrap();
        let address = listener.addresses()[0];
        let (_client, socket) = tokio::try_join!(TcpStream::connect(address), listener.accept()).unwrap();
        let tcp = SockRef::from(&**socket.read.as_ref().unwrap().kernel().unwrap());
        assert!(tcp.tcp_nodelay().unwrap());
        assert_eq!(tcp.ttl_v4().unwrap(), 44);
    }
}
