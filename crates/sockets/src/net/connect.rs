//! Connecting by TCP: one address with socket options, or the first of several that answers.
//!
//! The race follows RFC 8305 (Happy Eyeballs) in its simple form: addresses alternate between IP versions, the i-th attempt
//! starts after i intervals, or at once when all earlier ones have failed. The first success wins, the others are dropped,
//! which closes their descriptors. If all fail the error that came first is reported. Where all must come from one local
//! port, there is one attempt at a time.

use super::sockopts::{BindOptions, OptionError, RouteOptions, StreamOptions};
use socket2::{Domain, Protocol, Socket, Type};
use std::{
    fmt,
    future::{Future, poll_fn},
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    pin::Pin,
    task::Poll,
    time::Duration,
};
use tokio::{
    net::{TcpSocket, TcpStream},
    time::{Instant, sleep, sleep_until, timeout},
};

/// How to connect. The default leaves everything to the system and waits as long as it does.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TcpOptions {
    /// Local address to connect from; addresses of the other IP version are then left out of a race. An unspecified one is
    /// that of whatever version is needed, with its port.
    pub bind: Option<SocketAddr>,
    pub bind_options: BindOptions,
    pub route_options: RouteOptions,
    pub stream_options: StreamOptions,
    /// Bounds the whole attempt, or the whole race.
    pub timeout: Option<Duration>,
}

/// What was being done when connecting failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConnectPhase {
    Create,
    Bind(SocketAddr),
    Connect,
}

impl fmt::Display for ConnectPhase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Create => f.write_str("cannot create a socket: "),
            Self::Bind(addr) => write!(f, "cannot bind to {addr}: "),
            Self::Connect => Ok(()),
        }
    }
}

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    #[error("no address to connect to")]
    NoAddresses,
    #[error("cannot connect to {address}: {phase}{source}")]
    Failed { address: SocketAddr, phase: ConnectPhase, source: io::Error },
    #[error("cannot connect to {address} from {bind}: one is an IPv4 address, the other IPv6")]
    OtherVersion { address: SocketAddr, bind: SocketAddr },
    #[error("cannot connect to {address}: {source}")]
    Option { address: SocketAddr, source: OptionError },
    #[error("cannot connect to {address}: no answer within {limit:?}")]
    TimedOut { address: SocketAddr, limit: Duration },
}

impl From<ConnectError> for io::Error {
    fn from(e: ConnectError) -> Self {
        let kind = match &e {
            ConnectError::NoAddresses => io::ErrorKind::NotFound,
            ConnectError::OtherVersion { .. } => io::ErrorKind::InvalidInput,
            ConnectError::Failed { source, .. } => source.kind(),
            ConnectError::Option { source: OptionError::Unsupported { .. }, .. } => io::ErrorKind::Unsupported,
            ConnectError::Option { source: OptionError::Refused { source, .. }, .. } => source.kind(),
            ConnectError::TimedOut { .. } => io::ErrorKind::TimedOut,
        };
        Self::new(kind, e)
    }
}

/// Connects to one address. Dropping the future closes the socket.
pub async fn connect(address: SocketAddr, options: &TcpOptions) -> Result<TcpStream, ConnectError> {
    within(options.timeout, address, attempt(address, options)).await
}

/// Connects to the first of `addresses` that answers; see the head of this file.
pub async fn connect_race(
    addresses: &[SocketAddr],
    options: &TcpOptions,
    interval: Duration,
) -> Result<TcpStream, ConnectError> {
    let addresses = order(addresses, options.bind);
    let first = *addresses.first().ok_or(ConnectError::NoAddresses)?;
    let attempts = addresses
        .into_iter()
        .map(|address| -> Attempt<'_, TcpStream, ConnectError> { Box::pin(attempt(address, options)) });
    let interval = if shares_port(options) { Duration::MAX } else { interval };
    let race = async { race(attempts, interval).await.unwrap_or(Err(ConnectError::NoAddresses)) };
    within(options.timeout, first, race).await
}

async fn within(
    limit: Option<Duration>,
    address: SocketAddr,
    connecting: impl Future<Output = Result<TcpStream, ConnectError>>,
) -> Result<TcpStream, ConnectError> {
    match limit {
        None => connecting.await,
        Some(limit) => match timeout(limit, connecting).await {
            Ok(result) => result,
            Err(_) => Err(ConnectError::TimedOut { address, limit }),
        },
    }
}

/// A second attempt could not bind while there is a first one.
fn shares_port(options: &TcpOptions) -> bool {
    let BindOptions { reuseaddr, reuseport, .. } = options.bind_options;
    options.bind.is_some_and(|local| local.port() != 0) && !reuseport && reuseaddr != Some(true)
}

/// The address to bind to on the way to `address`; None where it cannot be reached from there.
fn local_for(address: SocketAddr, bind: SocketAddr) -> Option<SocketAddr> {
    match bind.ip() {
        ip if ip.is_ipv4() == address.is_ipv4() => Some(bind),
        ip if !ip.is_unspecified() => None,
        IpAddr::V4(_) => Some((Ipv6Addr::UNSPECIFIED, bind.port()).into()),
        IpAddr::V6(_) => Some((Ipv4Addr::UNSPECIFIED, bind.port()).into()),
    }
}

async fn attempt(address: SocketAddr, options: &TcpOptions) -> Result<TcpStream, ConnectError> {
    let failed = |phase| move |source| ConnectError::Failed { address, phase, source };
    let refused = |source| ConnectError::Option { address, source };
    let v6 = address.is_ipv6();
    let local = match options.bind {
        Some(bind) => Some(local_for(address, bind).ok_or(ConnectError::OtherVersion { address, bind })?),
        None => None,
    };
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))
        .map_err(failed(ConnectPhase::Create))?;
    socket.set_nonblocking(true).map_err(failed(ConnectPhase::Create))?;
    options.bind_options.apply(&socket, v6).map_err(refused)?;
    if let Some(local) = local {
        socket.bind(&local.into()).map_err(failed(ConnectPhase::Bind(local)))?;
    }
    options.route_options.apply(&socket, v6).map_err(refused)?;
    // Before there is a connection, too: nothing arrives that they do not hold for, and nobody is called in vain.
    options.stream_options.apply(&socket).map_err(refused)?;
    TcpSocket::from_std_stream(socket.into()).connect(address).await.map_err(failed(ConnectPhase::Connect))
}

/// Alternates between IP versions, beginning with that of the first address; what cannot be reached from the address
/// bound to is left out, unless nothing would remain (then its error is the answer).
fn order(addresses: &[SocketAddr], bind: Option<SocketAddr>) -> Vec<SocketAddr> {
    let usable = |a: &&SocketAddr| bind.is_none_or(|b| local_for(**a, b).is_some());
    let mut kept: Vec<SocketAddr> = addresses.iter().filter(usable).copied().collect();
    if kept.is_empty() {
        kept = addresses.to_vec();
    }
    let Some(first) = kept.first().copied() else {
        return kept;
    };
    let (mut same, mut other): (Vec<_>, Vec<_>) = kept.iter().copied().partition(|a| a.is_ipv4() == first.is_ipv4());
    let (mut same, mut other) = (same.drain(..), other.drain(..));
    let mut ordered = Vec::with_capacity(kept.len());
    while ordered.len() < kept.len() {
        ordered.extend(same.next());
        ordered.extend(other.next());
    }
    ordered
}

type Attempt<'a, T, E> = Pin<Box<dyn Future<Output = Result<T, E>> + Send + 'a>>;

/// First success, or the earliest error; `None` without attempts.
async fn race<'a, T, E>(attempts: impl Iterator<Item = Attempt<'a, T, E>>, interval: Duration) -> Option<Result<T, E>> {
    let mut waiting = attempts.peekable();
    let mut running: Vec<Attempt<'a, T, E>> = Vec::new();
    let mut earliest = None;
    let begin = Instant::now();
    let mut started = 0u32;
    let mut next_start = Box::pin(sleep_until(begin));
    poll_fn(|cx| {
        loop {
            let mut i = 0;
            while let Some(attempt) = running.get_mut(i) {
                match attempt.as_mut().poll(cx) {
                    Poll::Ready(Ok(won)) => return Poll::Ready(Some(Ok(won))),
                    Poll::Ready(Err(e)) => {
                        drop(running.remove(i));
                        earliest.get_or_insert(e);
                    }
                    Poll::Pending => i += 1,
                }
            }
            if waiting.peek().is_none() {
                return if running.is_empty() { Poll::Ready(earliest.take().map(Err)) } else { Poll::Pending };
            }
            // Without an interval not even the next tick of the timer is waited for.
            if !running.is_empty() && !interval.is_zero() && next_start.as_mut().poll(cx).is_pending() {
                return Poll::Pending;
            }
            running.extend(waiting.next());
            started = started.saturating_add(1);
            match begin.checked_add(interval.saturating_mul(started)) {
                Some(start) => next_start.as_mut().reset(start),
                None => next_start.set(sleep(Duration::MAX)), // only failures start the next one
            }
        }
    })
    .await
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::tcp::tests::BOUND;
    use std::net::TcpListener;

    const RACE_INTERVAL: Duration = Duration::from_millis(20);

    fn local() -> TcpListener {
        TcpListener::bind("127.0.0.1:0").unwrap()
    }

    /// An address at which nobody listens, and what keeps others from taking it.
    fn refusing() -> (SocketAddr, Socket) {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        socket.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
        (socket.local_addr().unwrap().as_socket().unwrap(), socket)
    }

    #[tokio::test]
    async fn connects_from_the_address_bound_to_with_options() {
        let listener = local();
        let mut options = TcpOptions { bind: Some("127.0.0.1:0".parse().unwrap()), ..Default::default() };
        options.stream_options.nodelay = Some(true);
        options.route_options.ttl = Some(33);
        let tcp = timeout(BOUND, connect(listener.local_addr().unwrap(), &options)).await.unwrap().unwrap();
        assert!(tcp.nodelay().unwrap());
        assert_eq!(tcp.ttl().unwrap(), 33);
        assert_eq!(listener.accept().unwrap().1, tcp.local_addr().unwrap());
    }

    #[tokio::test]
    async fn errors_name_address_and_phase() {
        let (address, _held) = refusing();
        let e = timeout(BOUND, connect(address, &TcpOptions::default())).await.unwrap().unwrap_err();
        assert!(e.to_string().starts_with(&format!("cannot connect to {address}: ")), "{e}");
        let e = io::Error::from(e);
        assert_eq!(e.kind(), io::ErrorKind::ConnectionRefused);
        assert!(std::error::Error::source(&e).is_some());

        // 192.0.2.0/24 is reserved for documentation: no interface has it.
        let options = TcpOptions { bind: Some("192.0.2.1:0".parse().unwrap()), ..Default::default() };
        let e = connect(address, &options).await.unwrap_err();
        assert!(e.to_string().contains("cannot bind to 192.0.2.1:0: "), "{e}");

        let mut options = TcpOptions::default();
        options.route_options.ttl = Some(7777);
        let e = connect(address, &options).await.unwrap_err();
        assert!(e.to_string().contains("socket option ttl"), "{e}");
    }

    #[tokio::test]
    async fn the_race_goes_on_at_once_after_a_refusal() {
        let ((refused, _held), listener) = (refusing(), local());
        let addresses = [refused, listener.local_addr().unwrap()];
        let hour = Duration::from_secs(3600);
        let tcp = timeout(BOUND, connect_race(&addresses, &TcpOptions::default(), hour)).await.unwrap().unwrap();
        assert_eq!(tcp.peer_addr().unwrap(), addresses[1]);
        let e = connect_race(&[refused], &TcpOptions::default(), hour).await.unwrap_err();
        assert!(matches!(e, ConnectError::Failed { address, .. } if address == refused), "{e}");
        // An interval without end leaves only failures to start the next attempt.
        let never = Duration::MAX;
        timeout(BOUND, connect_race(&addresses, &TcpOptions::default(), never)).await.unwrap().unwrap();
        let e = connect_race(&[], &TcpOptions::default(), hour).await.unwrap_err();
        assert!(matches!(e, ConnectError::NoAddresses), "{e}");
    }

    #[tokio::test]
    async fn a_bound_race_leaves_out_the_other_ip_version() {
        let listener = local();
        let addresses = ["[::1]:1".parse().unwrap(), listener.local_addr().unwrap()];
        let options = TcpOptions { bind: Some("127.0.0.1:0".parse().unwrap()), ..Default::default() };
        let tcp = timeout(BOUND, connect_race(&addresses, &options, RACE_INTERVAL)).await.unwrap().unwrap();
        assert_eq!(tcp.peer_addr().unwrap(), addresses[1]);
    }

    #[tokio::test]
    async fn an_unspecified_local_address_is_that_of_the_target_and_others_have_to_fit() {
        let listener = local();
        let address = listener.local_addr().unwrap();
        let bound_to = |bind: &str| TcpOptions { bind: Some(bind.parse().unwrap()), ..Default::default() };
        // A port is free, unless somebody else on the machine takes it meanwhile: then another one is.
        let mut tries = 0;
        loop {
            tries += 1;
            let free = refusing().0.port();
            match connect(address, &bound_to(&format!("[::]:{free}"))).await {
                Err(ConnectError::Failed { phase: ConnectPhase::Bind(_), .. }) if tries < 9 => {}
                tcp => break assert_eq!(tcp.unwrap().local_addr().unwrap(), (Ipv4Addr::LOCALHOST, free).into()),
            }
        }
        let e = connect(address, &bound_to("[::1]:0")).await.unwrap_err();
        assert_eq!(
            e.to_string(),
            format!("cannot connect to {address} from [::1]:0: one is an IPv4 address, the other IPv6")
        );
        let e = connect_race(&[address], &bound_to("[::1]:0"), RACE_INTERVAL).await.unwrap_err();
        assert!(matches!(e, ConnectError::OtherVersion { .. }), "{e}");
    }

    #[cfg(target_os = "linux")] // which has all of 127.0.0.0/8
    #[tokio::test]
    async fn attempts_from_one_port_come_one_after_another() {
        let ((refused, _held), listener) = (refusing(), local());
        let addresses = [refused, listener.local_addr().unwrap()];
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        socket.bind(&SocketAddr::from(([127, 3, 2, 1], 0)).into()).unwrap(); // an address that nobody else uses
        let free = socket.local_addr().unwrap().as_socket().unwrap();
        drop(socket);
        let mut options = TcpOptions { bind: Some(free), ..Default::default() };
        assert!(shares_port(&options));
        // Both would be started at once; then the second could not bind.
        let tcp = timeout(BOUND, connect_race(&addresses, &options, Duration::ZERO)).await.unwrap().unwrap();
        assert_eq!((tcp.local_addr().unwrap(), tcp.peer_addr().unwrap()), (free, addresses[1]));
        options.bind_options.reuseaddr = Some(true);
        assert!(!shares_port(&options));
    }

    #[test]
    fn futures_may_move_between_threads() {
        fn is_send<T: Send>(_: &T) {}
        let options = TcpOptions::default();
        is_send(&connect("127.0.0.1:1".parse().unwrap(), &options));
        is_send(&connect_race(&[], &options, RACE_INTERVAL));
    }

    #[test]
    fn ip_versions_alternate() {
        let a = |s: &str| s.parse::<SocketAddr>().unwrap();
        let (a1, a2, b1, b2) = (a("[::1]:1"), a("[::1]:2"), a("1.1.1.1:1"), a("1.1.1.1:2"));
        let c = a("1.1.1.1:3");
        assert_eq!(order(&[a1, a2, b1, b2, c], None), [a1, b1, a2, b2, c]);
        assert_eq!(order(&[a1, b1], Some(b2)), [b1]);
        assert_eq!(order(&[a1], Some(b2)), [a1]);
        assert_eq!(order(&[a1, b1], Some(a("0.0.0.0:9"))), [a1, b1]);
    }

    /// Result of a scripted attempt after so many milliseconds.
    fn after(ms: u64, result: Result<u8, u8>) -> Attempt<'static, (u8, u128), u8> {
        Box::pin(async move {
            let started = Instant::now();
            tokio::time::sleep(Duration::from_millis(ms)).await;
            result.map(|n| (n, started.elapsed().as_millis()))
        })
    }

    async fn timed(attempts: Vec<Attempt<'static, (u8, u128), u8>>) -> (Option<Result<u8, u8>>, u128) {
        let begin = Instant::now();
        let result = race(attempts.into_iter(), Duration::from_millis(20)).await;
        (result.map(|r| r.map(|(n, _)| n)), begin.elapsed().as_millis())
    }

    #[tokio::test(start_paused = true)]
    async fn attempts_start_by_the_interval_or_when_all_failed() {
        assert_eq!(timed(vec![after(100, Ok(0)), after(10, Ok(1))]).await, (Some(Ok(1)), 30));
        assert_eq!(timed(vec![after(25, Ok(0)), after(10, Ok(1))]).await, (Some(Ok(0)), 25));
        assert_eq!(timed(vec![after(5, Err(0)), after(1, Ok(1))]).await, (Some(Ok(1)), 6));
        // The first is slow, the second fails at once: the third keeps its own time.
        assert_eq!(timed(vec![after(900, Ok(0)), after(0, Err(1)), after(0, Ok(2))]).await.0, Some(Ok(2)));
        assert_eq!(timed(vec![after(90, Err(0)), after(5, Err(1))]).await, (Some(Err(1)), 90));
        assert_eq!(timed(vec![]).await, (None, 0));
    }

    #[tokio::test(start_paused = true)]
    async fn silence_is_bounded() {
        let limit = Duration::from_secs(30);
        let address: SocketAddr = "192.0.2.1:1".parse().unwrap();
        let e = within(Some(limit), address, std::future::pending()).await.unwrap_err();
        assert_eq!(e.to_string(), "cannot connect to 192.0.2.1:1: no answer within 30s");
        assert_eq!(io::Error::from(e).kind(), io::ErrorKind::TimedOut);
    }
}
