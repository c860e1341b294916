//! Socket options of TCP and UDP: each struct is a group of command line options and part of the option map of every
//! function that makes such sockets.
//!
//! A new option is one field here and one in the struct of its phase in [`sockets::net::sockopts`], which sets it. Which
//! sockets take which group stands in `socket_args.rs`.

use crate::cli::value::Size;
use serde::{Deserialize, Serialize};
use sockets::net::{
    listen::BACKLOG,
    sockopts::{BindOptions, RouteOptions, StreamOptions},
};
use std::net::{IpAddr, SocketAddr};

/// Of sockets that connect.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::Args, Serialize, Deserialize)]
#[serde(default)]
pub struct LocalOpts {
    /// Local address that TCP clients connect from, as IP:PORT, or IP for any port
    ///
    /// 0.0.0.0 and [::] leave the address open and fix the port, for IPv4 and IPv6 alike. An address is for servers of the
    /// same IP version only: others of a name are left out, and one that is given by its address is an error.
    #[arg(long = "bind-before-connect", value_name = "IP:PORT", value_parser = local_address)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bind: Option<SocketAddr>,
}

/// Of sockets that listen for connections.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::Args, Serialize, Deserialize)]
#[serde(default)]
pub struct BacklogOpts {
    /// Connections that may wait to be accepted; 1024, or 1 with --oneshot, when absent
    #[arg(long = "socket-listen-backlog", value_name = "N")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub backlog: Option<u32>,
}

impl BacklogOpts {
    /// What a script says of it: nothing where it is what listeners for many connections have anyway.
    pub fn unless_usual(self, oneshot: bool) -> Self {
        Self { backlog: self.backlog.filter(|n| oneshot || *n != BACKLOG) }
    }
}

/// Before bind, of clients, servers and datagram sockets.
#[derive(Clone, Debug, Default, PartialEq, Eq, clap::Args, Serialize, Deserialize)]
#[serde(default)]
pub struct BindOpts {
    /// Allow binding to an address that old connections still use (SO_REUSEADDR); on by default when listening
    #[arg(long = "reuseaddr", value_name = "BOOL")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reuseaddr: Option<bool>,
    /// Allow several sockets to bind to one address (SO_REUSEPORT)
    #[arg(long = "reuseport")]
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub reuseport: bool,
    /// Use this network interface only, by name (SO_BINDTODEVICE)
    #[arg(long = "socket-bind-to-device", value_name = "INTERFACE")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bind_device: Option<String>,
    /// Bind to addresses of others, for transparent proxies (IP_TRANSPARENT)
    #[arg(long = "socket-transparent")]
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub transparent: bool,
    /// Bind to addresses that do not exist yet (IP_FREEBIND)
    #[arg(long = "socket-freebind")]
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub freebind: bool,
    /// Whether IPv6 sockets take no IPv4 (IPV6_V6ONLY)
    #[arg(long = "socket-only-v6", value_name = "BOOL")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub only_v6: Option<bool>,
}

/// Of everything that sends packets: TCP connections and UDP sockets.
#[derive(Clone, Debug, Default, PartialEq, Eq, clap::Args, Serialize, Deserialize)]
#[serde(default)]
pub struct PacketOpts {
    /// Traffic class of IPv6 sockets (IPV6_TCLASS)
    #[arg(long = "socket-tclass-v6", value_name = "N")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tclass_v6: Option<u32>,
    /// Type of service of IPv4 sockets (IP_TOS)
    #[arg(long = "socket-tos-v4", value_name = "N")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tos_v4: Option<u32>,
    /// Routers that a packet may pass (IP_TTL, IPV6_UNICAST_HOPS)
    #[arg(long = "socket-ttl", value_name = "HOPS")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ttl: Option<u32>,
    /// Processor whose connections a listener with --reuseport takes (SO_INCOMING_CPU)
    #[arg(long = "socket-cpu-affinity", value_name = "CPU")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpu_affinity: Option<usize>,
    /// Priority in the send queue (SO_PRIORITY)
    #[arg(long = "socket-priority", value_name = "N")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub priority: Option<u32>,
    /// Receive buffer of the kernel (SO_RCVBUF)
    #[arg(long = "socket-recv-buffer-size", value_name = "SIZE", value_parser = buffer_size)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub recv_buffer_size: Option<usize>,
    /// Send buffer of the kernel (SO_SNDBUF)
    #[arg(long = "socket-send-buffer-size", value_name = "SIZE", value_parser = buffer_size)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub send_buffer_size: Option<usize>,
    /// Mark of packets, for routing and filters (SO_MARK)
    #[arg(long = "socket-mark", value_name = "N")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mark: Option<u32>,
}

/// Of TCP connections, whoever began them.
#[derive(Clone, Debug, Default, PartialEq, Eq, clap::Args, Serialize, Deserialize)]
#[serde(default)]
pub struct TcpOpts {
    /// 0: every end of a connection is a reset (SO_LINGER)
    ///
    /// Other numbers of seconds hold for a child that is given the socket: the program itself waits for no close.
    #[arg(long = "socket-linger-s", value_name = "SECONDS")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub linger_s: Option<u32>,
    /// Keep urgent data in its place in the stream instead of leaving it out (SO_OOBINLINE)
    #[arg(long = "socket-out-of-band-inline")]
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub out_of_band_inline: bool,
    /// Send small segments at once (TCP_NODELAY)
    #[arg(long = "socket-nodelay", value_name = "BOOL")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nodelay: Option<bool>,
    /// Congestion control algorithm by name (TCP_CONGESTION)
    #[arg(long = "socket-tcp-congestion", value_name = "NAME")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tcp_congestion: Option<String>,
    /// Seconds that sent data may stay unacknowledged (TCP_USER_TIMEOUT)
    #[arg(long = "socket-user-timeout-s", value_name = "SECONDS")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user_timeout_s: Option<u32>,
    /// Largest segment, in bytes (TCP_MAXSEG)
    #[arg(long = "socket-mss", value_name = "BYTES")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mss: Option<u32>,
    /// Linear instead of exponential timeouts for thin streams (TCP_THIN_LINEAR_TIMEOUTS)
    #[arg(long = "socket-thin-linear-timeouts", value_name = "BOOL")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub thin_linear_timeouts: Option<bool>,
    /// Unsent bytes below which the socket counts as writable (TCP_NOTSENT_LOWAT)
    #[arg(long = "socket-notsent-lowat", value_name = "BYTES")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub notsent_lowat: Option<u32>,
    /// Probe silent connections (SO_KEEPALIVE); on by itself with one of the numbers below
    #[arg(long = "socket-keepalive", value_name = "BOOL")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub keepalive: Option<bool>,
    /// Probes without answer before the connection is given up (TCP_KEEPCNT)
    #[arg(long = "socket-keepalive-retries", value_name = "N")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub keepalive_retries: Option<u32>,
    /// Seconds between probes (TCP_KEEPINTVL)
    #[arg(long = "socket-keepalive-interval-s", value_name = "SECONDS")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub keepalive_interval_s: Option<u32>,
    /// Seconds of silence before the first probe (TCP_KEEPIDLE)
    #[arg(long = "socket-keepalive-idletime-s", value_name = "SECONDS")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub keepalive_idletime_s: Option<u32>,
}

/// An address with a port, or one with any port.
fn local_address(text: &str) -> Result<SocketAddr, String> {
    let ip = || text.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>().map(|ip| (ip, 0).into());
    text.parse().or_else(|_| ip()).map_err(|_| "write IP:PORT, [IPV6]:PORT or an IP address".to_owned())
}

/// What fits into the kernel's number.
fn buffer_size(text: &str) -> Result<usize, String> {
    let size = Size::positive(text)?;
    i32::try_from(size.0).ok().and_then(|n| usize::try_from(n).ok()).ok_or_else(|| "must be less than 2g".to_owned())
}

impl BindOpts {
    /// They as `sockets` wants them.
    pub fn options(&self) -> BindOptions {
        BindOptions {
            reuseaddr: self.reuseaddr,
            reuseport: self.reuseport,
            bind_device: self.bind_device.clone(),
            transparent: self.transparent,
            freebind: self.freebind,
            only_v6: self.only_v6,
        }
    }
}

impl PacketOpts {
    /// Those that are set before anything is sent.
    pub fn route_options(&self) -> RouteOptions {
        RouteOptions {
            tclass_v6: self.tclass_v6,
            tos_v4: self.tos_v4,
            ttl: self.ttl,
            priority: self.priority,
            mark: self.mark,
            recv_buffer_size: self.recv_buffer_size,
            send_buffer_size: self.send_buffer_size,
            ..RouteOptions::default()
        }
    }

    /// Those that are set in the end.
    pub fn stream_options(&self) -> StreamOptions {
        StreamOptions { cpu_affinity: self.cpu_affinity, ..StreamOptions::default() }
    }
}

impl TcpOpts {
    /// The same for a session whose sockets do, or need not, send each write at once; what the user set stays.
    pub fn for_session(&self, nodelay: bool) -> Self {
        Self { nodelay: self.nodelay.or(nodelay.then_some(true)), ..self.clone() }
    }

    /// Those that the handshake must already have.
    pub fn route_options(&self, packet: &PacketOpts) -> RouteOptions {
        RouteOptions {
            mss: self.mss,
            tcp_congestion: self.tcp_congestion.clone(),
            user_timeout_s: self.user_timeout_s,
            ..packet.route_options()
        }
    }

    /// Those of a connected socket.
    pub fn stream_options(&self, packet: &PacketOpts) -> StreamOptions {
        StreamOptions {
            nodelay: self.nodelay,
            linger_s: self.linger_s,
            out_of_band_inline: self.out_of_band_inline,
            thin_linear_timeouts: self.thin_linear_timeouts,
            notsent_lowat: self.notsent_lowat,
            keepalive: self.keepalive,
            keepalive_retries: self.keepalive_retries,
            keepalive_interval_s: self.keepalive_interval_s,
            keepalive_idletime_s: self.keepalive_idletime_s,
            ..packet.stream_options()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::{OptsReader, fields_of};

    /// An option map with every option set to something that is no default.
    fn all_set<T: serde::de::DeserializeOwned>() -> T {
        let mut map = rhai::Map::new();
        for key in fields_of::<T>() {
            let candidates: [rhai::Dynamic; 3] = [true.into(), 7_i64.into(), "text".into()];
            let fits = |value: &rhai::Dynamic| {
                let mut one = rhai::Map::new();
                one.insert((*key).into(), value.clone());
                OptsReader::read::<T>(one.into()).is_ok()
            };
            map.insert((*key).into(), candidates.into_iter().find(fits).unwrap());
        }
        OptsReader::read(map.into()).unwrap()
    }

    /// Debug text of a struct, from which values that were left at their default can be told.
    fn has_no_default(shown: String) -> bool {
        !shown.contains("None") && !shown.contains("false")
    }

    #[test]
    fn every_option_reaches_the_data_plane() {
        let bind: BindOpts = all_set();
        assert!(has_no_default(format!("{:?}", bind.options())));
        let (packet, tcp): (PacketOpts, TcpOpts) = (all_set(), all_set());
        assert!(has_no_default(format!("{:?}", tcp.route_options(&packet))));
        assert!(has_no_default(format!("{:?}", tcp.stream_options(&packet))));
    }

    #[test]
    fn defaults_print_nothing() {
        let map = crate::spec::OptionMap::of(&TcpOpts::default()).unwrap();
        assert_eq!(map.to_string(), "#{}");
        let set = TcpOpts { nodelay: Some(true), ..TcpOpts::default() };
        assert_eq!(crate::spec::OptionMap::of(&set).unwrap().to_string(), "#{nodelay: true}");
        for (n, oneshot, said) in [(BACKLOG, false, false), (BACKLOG, true, true), (1, false, true), (1, true, true)] {
            let map = crate::spec::OptionMap::of(&BacklogOpts { backlog: Some(n) }.unless_usual(oneshot)).unwrap();
            assert_eq!(map.to_string() != "#{}", said, "{n} {oneshot}");
        }
    }

    #[test]
    fn sessions_of_messages_set_nodelay_unless_the_user_did() {
        let set = |nodelay| TcpOpts { nodelay, ..TcpOpts::default() };
        assert_eq!(set(None).for_session(true), set(Some(true)));
        assert_eq!(set(None).for_session(false), set(None));
        assert_eq!(set(Some(false)).for_session(true), set(Some(false)));
    }

    #[test]
    fn values_that_no_socket_could_have_are_refused() {
        assert_eq!(local_address("127.0.0.1").unwrap(), "127.0.0.1:0".parse().unwrap());
        assert_eq!(local_address("::1").unwrap(), local_address("[::1]").unwrap());
        assert_eq!(local_address("[::]:7").unwrap(), "[::]:7".parse().unwrap());
        assert!(["", "7", ":7", "localhost:7", "127.0.0.1:"].iter().all(|text| local_address(text).is_err()));
        assert_eq!(buffer_size("64k").unwrap(), 65536);
        assert_eq!(buffer_size("2147483647").unwrap(), 2147483647);
        assert!(["0", "-1", "2g", "4294967297"].iter().all(|text| buffer_size(text).is_err()));
    }
}
