//! Options of TCP sockets, by phase: one struct is the command line group, the script's option map and what is set.
//!
//! A new option is one field here and one line in the `apply` of its phase. Options that an operating system lacks are an
//! error when they are used, never silently dropped.

use serde::{Deserialize, Serialize};
use socket2::{Domain, SockRef, TcpKeepalive};
use std::{fmt, io, net::SocketAddr, time::Duration};

/// Before bind, of clients and listeners.
#[derive(Clone, Debug, Default, PartialEq, Eq, clap::Args, Serialize, Deserialize)]
#[serde(default)]
pub struct BindOpts {
    /// Allow binding to an address that old connections still use (SO_REUSEADDR); on by default when listening
    #[arg(skip)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reuseaddr: Option<bool>,
    /// Allow several sockets to bind to one address (SO_REUSEPORT)
    #[arg(skip)]
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub reuseport: bool,
    /// Use this network interface only (SO_BINDTODEVICE)
    #[arg(skip)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bind_device: Option<String>,
    /// Bind to addresses of others, for transparent proxies (IP_TRANSPARENT)
    #[arg(skip)]
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub transparent: bool,
    /// Bind to addresses that do not exist yet (IP_FREEBIND)
    #[arg(skip)]
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub freebind: bool,
    /// IPv6 sockets take no IPv4 (IPV6_V6ONLY)
    #[arg(skip)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub only_v6: Option<bool>,
}

/// Of connections: before connect on clients, after accept on servers.
#[derive(Clone, Debug, Default, PartialEq, Eq, clap::Args, Serialize, Deserialize)]
#[serde(default)]
pub struct TcpStreamOpts {
    /// Traffic class of IPv6 sockets (IPV6_TCLASS)
    #[arg(skip)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tclass_v6: Option<u32>,
    /// Type of service of IPv4 sockets (IP_TOS)
    #[arg(skip)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tos_v4: Option<u32>,
    /// Routers that a packet may pass (IP_TTL, IPV6_UNICAST_HOPS)
    #[arg(skip)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ttl: Option<u32>,
    /// Seconds for which closing waits for unsent data; 0 resets (SO_LINGER)
    #[arg(skip)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub linger_s: Option<u32>,
    /// Deliver urgent data in the normal stream (SO_OOBINLINE)
    #[arg(skip)]
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub out_of_band_inline: bool,
    /// Send small segments at once (TCP_NODELAY)
    #[arg(skip)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nodelay: Option<bool>,
    /// Congestion control algorithm by name (TCP_CONGESTION)
    #[arg(skip)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tcp_congestion: Option<String>,
    /// Processor that handles the socket's packets (SO_INCOMING_CPU)
    #[arg(skip)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpu_affinity: Option<usize>,
    /// Seconds that sent data may stay unacknowledged (TCP_USER_TIMEOUT)
    #[arg(skip)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user_timeout_s: Option<u32>,
    /// Priority in the send queue (SO_PRIORITY)
    #[arg(skip)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub priority: Option<u32>,
    /// Receive buffer of the kernel, in bytes (SO_RCVBUF)
    #[arg(skip)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub recv_buffer_size: Option<usize>,
    /// Send buffer of the kernel, in bytes (SO_SNDBUF)
    #[arg(skip)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub send_buffer_size: Option<usize>,
    /// Largest segment, in bytes (TCP_MAXSEG)
    #[arg(skip)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mss: Option<u32>,
    /// Mark of packets, for routing and filters (SO_MARK)
    #[arg(skip)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mark: Option<u32>,
    /// Linear instead of exponential timeouts for thin streams (TCP_THIN_LINEAR_TIMEOUTS)
    #[arg(skip)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub thin_linear_timeouts: Option<bool>,
    /// Unsent bytes below which the socket counts as writable (TCP_NOTSENT_LOWAT)
    #[arg(skip)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub notsent_lowat: Option<u32>,
    /// Probe silent connections (SO_KEEPALIVE)
    #[arg(skip)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub keepalive: Option<bool>,
    /// Probes without answer before the connection is given up (TCP_KEEPCNT)
    #[arg(skip)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub keepalive_retries: Option<u32>,
    /// Seconds between probes (TCP_KEEPINTVL)
    #[arg(skip)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub keepalive_interval_s: Option<u32>,
    /// Seconds of silence before the first probe (TCP_KEEPIDLE)
    #[arg(skip)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub keepalive_idletime_s: Option<u32>,
}

/// Puts the name of the option that failed in front of the system's error.
fn named(option: &'static str) -> impl Fn(io::Error) -> io::Error {
    move |e| io::Error::new(e.kind(), OptionError { option, source: e })
}

/// A socket option could not be set.
#[derive(Debug, thiserror::Error)]
#[error("cannot set {option}: {source}")]
pub struct OptionError {
    option: &'static str,
    source: io::Error,
}

/// For options that this operating system does not have.
#[allow(dead_code, reason = "every option exists on some platform")]
fn unsupported<T: fmt::Debug>(option: &'static str, value: T) -> io::Result<()> {
    let text = format!("{option} ({value:?}) does not exist on this platform; leave the option out");
    Err(io::Error::new(io::ErrorKind::Unsupported, text))
}

impl BindOpts {
    /// `listening`: SO_REUSEADDR is on unless told otherwise, where it means what it means on Unix.
    pub fn apply(&self, socket: &SockRef<'_>, addr: SocketAddr, listening: bool) -> io::Result<()> {
        if self.reuseaddr.unwrap_or(listening && cfg!(unix)) {
            socket.set_reuse_address(true).map_err(named("SO_REUSEADDR"))?;
        }
        if let Some(only) = self.only_v6.filter(|_| addr.is_ipv6()) {
            socket.set_only_v6(only).map_err(named("IPV6_V6ONLY"))?;
        }
        if self.reuseport {
            #[cfg(unix)]
            socket.set_reuse_port(true).map_err(named("SO_REUSEPORT"))?;
            #[cfg(not(unix))]
            unsupported("SO_REUSEPORT", true)?;
        }
        if let Some(device) = &self.bind_device {
            #[cfg(target_os = "linux")]
            socket.bind_device(Some(device.as_bytes())).map_err(named("SO_BINDTODEVICE"))?;
            #[cfg(not(target_os = "linux"))]
            unsupported("SO_BINDTODEVICE", device)?;
        }
        if self.transparent {
            #[cfg(target_os = "linux")]
            if addr.is_ipv6() {
                socket.set_ip_transparent_v6(true).map_err(named("IPV6_TRANSPARENT"))?;
            } else {
                socket.set_ip_transparent_v4(true).map_err(named("IP_TRANSPARENT"))?;
            }
            #[cfg(not(target_os = "linux"))]
            unsupported("IP_TRANSPARENT", true)?;
        }
        if self.freebind {
            #[cfg(target_os = "linux")]
            if addr.is_ipv6() {
                socket.set_freebind_v6(true).map_err(named("IPV6_FREEBIND"))?;
            } else {
                socket.set_freebind_v4(true).map_err(named("IP_FREEBIND"))?;
            }
            #[cfg(not(target_os = "linux"))]
            unsupported("IP_FREEBIND", true)?;
        }
        Ok(())
    }
}

impl TcpStreamOpts {
    pub fn apply(&self, socket: &SockRef<'_>) -> io::Result<()> {
        let v6 = socket.domain().is_ok_and(|d| d == Domain::IPV6);
        if let Some(ttl) = self.ttl {
            if v6 { socket.set_unicast_hops_v6(ttl) } else { socket.set_ttl_v4(ttl) }.map_err(named("IP_TTL"))?;
        }
        if let Some(tos) = self.tos_v4.filter(|_| !v6) {
            socket.set_tos_v4(tos).map_err(named("IP_TOS"))?;
        }
        if let Some(s) = self.linger_s {
            socket.set_linger(Some(Duration::from_secs(s.into()))).map_err(named("SO_LINGER"))?;
        }
        if self.out_of_band_inline {
            socket.set_out_of_band_inline(true).map_err(named("SO_OOBINLINE"))?;
        }
        if let Some(on) = self.nodelay {
            socket.set_tcp_nodelay(on).map_err(named("TCP_NODELAY"))?;
        }
        if let Some(size) = self.recv_buffer_size {
            socket.set_recv_buffer_size(size).map_err(named("SO_RCVBUF"))?;
        }
        if let Some(size) = self.send_buffer_size {
            socket.set_send_buffer_size(size).map_err(named("SO_SNDBUF"))?;
        }
        self.apply_keepalive(socket)?;
        self.apply_of_system(socket, v6)
    }

    fn apply_keepalive(&self, socket: &SockRef<'_>) -> io::Result<()> {
        if self.keepalive_idletime_s.or(self.keepalive_interval_s).or(self.keepalive_retries).is_some() {
            let seconds = |s: u32| Duration::from_secs(s.into());
            let mut params = TcpKeepalive::new();
            if let Some(s) = self.keepalive_idletime_s {
                params = params.with_time(seconds(s));
            }
            if let Some(s) = self.keepalive_interval_s {
                params = params.with_interval(seconds(s));
            }
            if let Some(n) = self.keepalive_retries {
                params = params.with_retries(n);
            }
            socket.set_tcp_keepalive(&params).map_err(named("TCP_KEEPIDLE, TCP_KEEPINTVL or TCP_KEEPCNT"))?;
        }
        // Setting the details switches probing on, so that an explicit `false` comes last.
        match self.keepalive {
            Some(on) => socket.set_keepalive(on).map_err(named("SO_KEEPALIVE")),
            None => Ok(()),
        }
    }

    #[cfg(target_os = "linux")]
    fn apply_of_system(&self, socket: &SockRef<'_>, v6: bool) -> io::Result<()> {
        if let Some(class) = self.tclass_v6.filter(|_| v6) {
            socket.set_tclass_v6(class).map_err(named("IPV6_TCLASS"))?;
        }
        if let Some(name) = &self.tcp_congestion {
            socket.set_tcp_congestion(name.as_bytes()).map_err(named("TCP_CONGESTION"))?;
        }
        if let Some(cpu) = self.cpu_affinity {
            socket.set_cpu_affinity(cpu).map_err(named("SO_INCOMING_CPU"))?;
        }
        if let Some(s) = self.user_timeout_s {
            socket.set_tcp_user_timeout(Some(Duration::from_secs(s.into()))).map_err(named("TCP_USER_TIMEOUT"))?;
        }
        if let Some(priority) = self.priority {
            socket.set_priority(priority).map_err(named("SO_PRIORITY"))?;
        }
        if let Some(mss) = self.mss {
            socket.set_tcp_mss(mss).map_err(named("TCP_MAXSEG"))?;
        }
        if let Some(mark) = self.mark {
            socket.set_mark(mark).map_err(named("SO_MARK"))?;
        }
        if let Some(on) = self.thin_linear_timeouts {
            socket.set_tcp_thin_linear_timeouts(on).map_err(named("TCP_THIN_LINEAR_TIMEOUTS"))?;
        }
        if let Some(bytes) = self.notsent_lowat {
            socket.set_tcp_notsent_lowat(bytes).map_err(named("TCP_NOTSENT_LOWAT"))?;
        }
        Ok(())
    }

    #[cfg(not(target_os = "linux"))]
    fn apply_of_system(&self, _: &SockRef<'_>, v6: bool) -> io::Result<()> {
        let absent = |option, value: Option<&dyn fmt::Debug>| value.map_or(Ok(()), |v| unsupported(option, v));
        absent("IPV6_TCLASS", self.tclass_v6.as_ref().filter(|_| v6).map(|v| v as _))?;
        absent("TCP_CONGESTION", self.tcp_congestion.as_ref().map(|v| v as _))?;
        absent("SO_INCOMING_CPU", self.cpu_affinity.as_ref().map(|v| v as _))?;
        absent("TCP_USER_TIMEOUT", self.user_timeout_s.as_ref().map(|v| v as _))?;
        absent("SO_PRIORITY", self.priority.as_ref().map(|v| v as _))?;
        absent("TCP_MAXSEG", self.mss.as_ref().map(|v| v as _))?;
        absent("SO_MARK", self.mark.as_ref().map(|v| v as _))?;
        absent("TCP_THIN_LINEAR_TIMEOUTS", self.thin_linear_timeouts.as_ref().map(|v| v as _))?;
        absent("TCP_NOTSENT_LOWAT", self.notsent_lowat.as_ref().map(|v| v as _))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use socket2::{Protocol, Socket, Type};

    #[test]
    fn options_reach_the_kernel() {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, Some(Protocol::TCP)).unwrap();
        let opts = TcpStreamOpts {
            nodelay: Some(true),
            ttl: Some(7),
            linger_s: Some(3),
            keepalive: Some(true),
            keepalive_idletime_s: Some(11),
            recv_buffer_size: Some(40_000),
            ..Default::default()
        };
        opts.apply(&SockRef::from(&socket)).unwrap();
        assert!(socket.tcp_nodelay().unwrap());
        assert!(socket.keepalive().unwrap());
        assert_eq!(socket.ttl_v4().unwrap(), 7);
        assert_eq!(socket.linger().unwrap(), Some(Duration::from_secs(3)));
        assert!(socket.recv_buffer_size().unwrap() >= 40_000);
        let bind = BindOpts::default();
        bind.apply(&SockRef::from(&socket), "127.0.0.1:0".parse().unwrap(), true).unwrap();
        assert_eq!(socket.reuse_address().unwrap(), cfg!(unix));
    }

    #[test]
    fn a_failure_names_the_option() {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, Some(Protocol::TCP)).unwrap();
        let opts = TcpStreamOpts { tcp_congestion: Some("no-such-algorithm".into()), ..Default::default() };
        let e = opts.apply(&SockRef::from(&socket)).unwrap_err();
        assert!(e.to_string().contains("TCP_CONGESTION"), "{e}");
    }
}
