//! Socket options of TCP and UDP sockets, one struct for each phase in which the kernel wants them.
//!
//! [`BindOptions`] before bind, [`RouteOptions`] before connect or listen (the handshake must already have them, or window
//! scaling depends on them), [`StreamOptions`] before connect, on the listener, whose connections then begin with
//! them, and on the accepted socket. A new option is one field and one line
//! in `apply`. What a platform lacks is refused by name, never skipped; options of the other IP version are skipped, so
//! that one set of options serves a race over both.

#[cfg_attr(not(any(target_os = "linux", target_os = "android")), path = "sockopts/elsewhere.rs")]
#[cfg_attr(any(target_os = "linux", target_os = "android"), path = "sockopts/linux.rs")]
mod os;

mod datagram;

pub use datagram::{DatagramOptions, Interface, MulticastError};

use socket2::{Socket, TcpKeepalive};
use std::{io, time::Duration};

/// An option that could not be set.
#[derive(Debug, thiserror::Error)]
pub enum OptionError {
    #[error("socket option {option} does not exist on this platform")]
    Unsupported { option: &'static str },
    #[error("cannot set socket option {option}: {source}")]
    Refused { option: &'static str, source: io::Error },
}

impl From<OptionError> for io::Error {
    fn from(e: OptionError) -> Self {
        let kind = match &e {
            OptionError::Unsupported { .. } => io::ErrorKind::Unsupported,
            OptionError::Refused { source, .. } => source.kind(),
        };
        Self::new(kind, e)
    }
}

/// Before bind.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BindOptions {
    /// SO_REUSEADDR. Absent: on for listeners outside Windows, else the system's default.
    pub reuseaddr: Option<bool>,
    /// SO_REUSEPORT
    pub reuseport: bool,
    /// SO_BINDTODEVICE
    pub bind_device: Option<String>,
    /// IP_TRANSPARENT, IPV6_TRANSPARENT
    pub transparent: bool,
    /// IP_FREEBIND, IPV6_FREEBIND
    pub freebind: bool,
    /// IPV6_V6ONLY; IPv4 sockets ignore it.
    pub only_v6: Option<bool>,
}

/// Before connect or listen: what the handshake's packets carry and what it negotiates.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RouteOptions {
    /// IPV6_TCLASS; IPv4 sockets ignore it.
    pub tclass_v6: Option<u32>,
    /// IP_TOS; IPv6 sockets ignore it.
    pub tos_v4: Option<u32>,
    /// IP_TTL, IPV6_UNICAST_HOPS
    pub ttl: Option<u32>,
    /// SO_PRIORITY
    pub priority: Option<u32>,
    /// SO_MARK
    pub mark: Option<u32>,
    /// TCP_MAXSEG
    pub mss: Option<u32>,
    /// SO_RCVBUF in bytes
    pub recv_buffer_size: Option<usize>,
    /// SO_SNDBUF in bytes
    pub send_buffer_size: Option<usize>,
    /// TCP_CONGESTION
    pub tcp_congestion: Option<String>,
    /// TCP_USER_TIMEOUT in seconds
    pub user_timeout_s: Option<u32>,
}

/// Of a connection: before it is made, on the listener and on what that accepts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StreamOptions {
    /// TCP_NODELAY
    pub nodelay: Option<bool>,
    /// SO_LINGER in seconds; 0 makes every close a reset.
    pub linger_s: Option<u32>,
    /// SO_OOBINLINE
    pub out_of_band_inline: bool,
    /// SO_INCOMING_CPU: decides among sockets that wait at one address (SO_REUSEPORT). Of a connection the kernel overwrites
    /// it with each packet.
    pub cpu_affinity: Option<usize>,
    /// TCP_THIN_LINEAR_TIMEOUTS
    pub thin_linear_timeouts: Option<bool>,
    /// TCP_NOTSENT_LOWAT in bytes
    pub notsent_lowat: Option<u32>,
    /// SO_KEEPALIVE. Absent: on when one of the next three is given.
    pub keepalive: Option<bool>,
    /// TCP_KEEPCNT
    pub keepalive_retries: Option<u32>,
    /// TCP_KEEPINTVL in seconds
    pub keepalive_interval_s: Option<u32>,
    /// TCP_KEEPIDLE in seconds
    pub keepalive_idletime_s: Option<u32>,
}

impl BindOptions {
    /// Sets the options that were given, one after another; the first failure ends it.
    pub fn apply(&self, socket: &Socket, v6: bool) -> Result<(), OptionError> {
        set("reuseaddr", self.reuseaddr, |on| socket.set_reuse_address(on))?;
        set("reuseport", on(self.reuseport), |on| os::reuseport(socket, on))?;
        set("bind_device", self.bind_device.as_deref(), |name| os::bind_device(socket, name))?;
        set("transparent", on(self.transparent), |on| os::transparent(socket, v6, on))?;
        set("freebind", on(self.freebind), |on| os::freebind(socket, v6, on))?;
        set("only_v6", self.only_v6.filter(|_| v6), |on| socket.set_only_v6(on))
    }
}

impl RouteOptions {
    /// Sets the options that were given, one after another; the first failure ends it.
    pub fn apply(&self, socket: &Socket, v6: bool) -> Result<(), OptionError> {
        set("tclass_v6", self.tclass_v6.filter(|_| v6), |class| os::tclass_v6(socket, class))?;
        let octet = u8::MAX.into();
        set("tos_v4", self.tos_v4.filter(|_| !v6), |tos| socket.set_tos_v4(at_most(octet, tos)?))?;
        set("ttl", self.ttl, |n| {
            let n = at_most(octet, n)?;
            if v6 { socket.set_unicast_hops_v6(n) } else { socket.set_ttl_v4(n) }
        })?;
        set("priority", self.priority, |n| os::priority(socket, n))?;
        set("mark", self.mark, |n| os::mark(socket, n))?;
        set("mss", self.mss, |n| os::mss(socket, n))?;
        set("recv_buffer_size", self.recv_buffer_size, |n| socket.set_recv_buffer_size(at_most(LARGEST, n)?))?;
        set("send_buffer_size", self.send_buffer_size, |n| socket.set_send_buffer_size(at_most(LARGEST, n)?))?;
        set("tcp_congestion", self.tcp_congestion.as_deref(), |name| os::tcp_congestion(socket, name))?;
        set("user_timeout_s", self.user_timeout_s, |s| os::user_timeout(socket, Duration::from_secs(s.into())))
    }
}

impl StreamOptions {
    /// Sets the options that were given, one after another; the first failure ends it.
    pub fn apply(&self, socket: &Socket) -> Result<(), OptionError> {
        set("nodelay", self.nodelay, |on| socket.set_tcp_nodelay(on))?;
        set("linger_s", self.linger_s, |s| socket.set_linger(Some(Duration::from_secs(s.into()))))?;
        set("out_of_band_inline", on(self.out_of_band_inline), |on| socket.set_out_of_band_inline(on))?;
        set("cpu_affinity", self.cpu_affinity, |cpu| os::cpu_affinity(socket, at_most(LARGEST, cpu)?))?;
        set("thin_linear_timeouts", self.thin_linear_timeouts, |on| os::thin_linear_timeouts(socket, on))?;
        set("notsent_lowat", self.notsent_lowat, |n| os::notsent_lowat(socket, n))?;
        set("keepalive_idletime_s", self.keepalive_idletime_s, |s| {
            socket.set_tcp_keepalive(&TcpKeepalive::new().with_time(Duration::from_secs(s.into())))
        })?;
        set("keepalive_interval_s", self.keepalive_interval_s, |s| {
            os::keepalive_interval(socket, Duration::from_secs(s.into()))
        })?;
        set("keepalive_retries", self.keepalive_retries, |n| os::keepalive_retries(socket, n))?;
        // Last: setting the numbers above turns keepalive on.
        set("keepalive", self.keepalive, |on| socket.set_keepalive(on))
    }
}

/// A flag that can only be turned on.
fn on(flag: bool) -> Option<bool> {
    flag.then_some(true)
}

/// The largest number that the kernel's interface can carry.
const LARGEST: usize = i32::MAX as usize;

/// A number that is not cut to another one on its way to the kernel.
fn at_most<T: PartialOrd>(largest: T, n: T) -> io::Result<T> {
    if n <= largest { Ok(n) } else { Err(io::Error::new(io::ErrorKind::InvalidInput, "the number is too large")) }
}

/// Sets one option, if it was given.
fn set<T>(option: &'static str, value: Option<T>, set: impl FnOnce(T) -> io::Result<()>) -> Result<(), OptionError> {
    let Some(value) = value else {
        return Ok(());
    };
    set(value).map_err(|source| match source.kind() {
        io::ErrorKind::Unsupported if source.raw_os_error().is_none() => OptionError::Unsupported { option },
        _ => OptionError::Refused { option, source },
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use socket2::{Domain, Type};

    fn socket(domain: Domain) -> Socket {
        Socket::new(domain, Type::STREAM, None).unwrap()
    }

    #[test]
    fn options_reach_the_kernel() {
        let s = socket(Domain::IPV4);
        BindOptions { reuseaddr: Some(true), only_v6: Some(true), ..Default::default() }.apply(&s, false).unwrap();
        assert!(s.reuse_address().unwrap());
        RouteOptions {
            tos_v4: Some(0x10),
            tclass_v6: Some(0x20),
            ttl: Some(17),
            send_buffer_size: Some(40_000),
            ..Default::default()
        }
        .apply(&s, false)
        .unwrap();
        assert_eq!((s.tos_v4().unwrap(), s.ttl_v4().unwrap()), (0x10, 17));
        StreamOptions {
            nodelay: Some(true),
            linger_s: Some(3),
            out_of_band_inline: true,
            keepalive_idletime_s: Some(77),
            ..Default::default()
        }
        .apply(&s)
        .unwrap();
        assert!(s.tcp_nodelay().unwrap() && s.out_of_band_inline().unwrap() && s.keepalive().unwrap());
        assert_eq!(s.linger().unwrap(), Some(Duration::from_secs(3)));
        StreamOptions { keepalive_idletime_s: Some(77), keepalive: Some(false), ..Default::default() }
            .apply(&s)
            .unwrap();
        assert!(!s.keepalive().unwrap(), "an explicit false wins over the numbers");
    }

    #[test]
    fn a_refused_option_is_named() {
        let s = socket(Domain::IPV4);
        let e = RouteOptions { ttl: Some(7777), ..Default::default() }.apply(&s, false).unwrap_err();
        assert!(e.to_string().starts_with("cannot set socket option ttl: "), "{e}");
        for too_large in [
            RouteOptions { tos_v4: Some(256), ..Default::default() },
            RouteOptions { ttl: Some(u32::MAX), ..Default::default() }, // -1 would be the default
            RouteOptions { recv_buffer_size: Some(1 << 32), ..Default::default() },
            RouteOptions { send_buffer_size: Some(1 << 31), ..Default::default() },
        ] {
            assert!(too_large.apply(&s, false).is_err(), "{too_large:?}");
        }
        let e = StreamOptions { cpu_affinity: Some(1 << 32), ..Default::default() }.apply(&s).unwrap_err();
        assert_eq!(e.to_string(), "cannot set socket option cpu_affinity: the number is too large");
        let e = set("x", Some(()), |()| Err(io::ErrorKind::Unsupported.into())).unwrap_err();
        assert_eq!(e.to_string(), "socket option x does not exist on this platform");
        assert_eq!(io::Error::from(e).kind(), io::ErrorKind::Unsupported);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn linux_has_all_of_them() {
        let s = socket(Domain::IPV4);
        BindOptions { reuseport: true, freebind: true, ..Default::default() }.apply(&s, false).unwrap();
        assert!(s.reuse_port().unwrap() && s.freebind_v4().unwrap());
        let route = RouteOptions {
            priority: Some(3),
            mss: Some(1000),
            recv_buffer_size: Some(30_000),
            tcp_congestion: Some("reno".into()),
            user_timeout_s: Some(9),
            ..Default::default()
        };
        route.apply(&s, false).unwrap();
        assert_eq!((s.priority().unwrap(), s.tcp_user_timeout().unwrap()), (3, Some(Duration::from_secs(9))));
        StreamOptions {
            cpu_affinity: Some(0),
            thin_linear_timeouts: Some(true),
            notsent_lowat: Some(1 << 14),
            keepalive_interval_s: Some(5),
            keepalive_retries: Some(4),
            ..Default::default()
        }
        .apply(&s)
        .unwrap();
        assert!(s.tcp_thin_linear_timeouts().unwrap());
        assert_eq!((s.tcp_notsent_lowat().unwrap(), s.tcp_keepalive_retries().unwrap()), (1 << 14, 4));
        let v6 = socket(Domain::IPV6);
        RouteOptions { tclass_v6: Some(0x28), ttl: Some(9), ..Default::default() }.apply(&v6, true).unwrap();
        assert_eq!((v6.tclass_v6().unwrap(), v6.unicast_hops_v6().unwrap()), (0x28, 9));
        BindOptions { freebind: true, only_v6: Some(true), ..Default::default() }.apply(&v6, true).unwrap();
        assert!(v6.freebind_v6().unwrap() && v6.only_v6().unwrap());
    }
}
