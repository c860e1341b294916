//! Options of TCP sockets: one struct is the command line group and the script's option map of every function that makes
//! such sockets.
//!
//! A new option is one field here and one in the struct of its phase in [`sockets::net::sockopts`], which sets it.

use serde::{Deserialize, Serialize};
use sockets::net::sockopts::{BindOptions, RouteOptions, StreamOptions};

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

/// Of connections, whoever began them.
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

impl TcpStreamOpts {
    /// The same for a session whose sockets do, or need not, send each write at once; what the user set stays.
    pub fn for_session(&self, nodelay: bool) -> Self {
        Self { nodelay: self.nodelay.or(nodelay.then_some(true)), ..self.clone() }
    }

    /// Those that the handshake must already have.
    pub fn route_options(&self) -> RouteOptions {
        RouteOptions {
            tclass_v6: self.tclass_v6,
            tos_v4: self.tos_v4,
            ttl: self.ttl,
            priority: self.priority,
            mark: self.mark,
            mss: self.mss,
            recv_buffer_size: self.recv_buffer_size,
            send_buffer_size: self.send_buffer_size,
            tcp_congestion: self.tcp_congestion.clone(),
            user_timeout_s: self.user_timeout_s,
        }
    }

    /// Those of a connected socket.
    pub fn stream_options(&self) -> StreamOptions {
        StreamOptions {
            nodelay: self.nodelay,
            linger_s: self.linger_s,
            out_of_band_inline: self.out_of_band_inline,
            cpu_affinity: self.cpu_affinity,
            thin_linear_timeouts: self.thin_linear_timeouts,
            notsent_lowat: self.notsent_lowat,
            keepalive: self.keepalive,
            keepalive_retries: self.keepalive_retries,
            keepalive_interval_s: self.keepalive_interval_s,
            keepalive_idletime_s: self.keepalive_idletime_s,
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
        let stream: TcpStreamOpts = all_set();
        assert!(has_no_default(format!("{:?}", stream.route_options())));
        assert!(has_no_default(format!("{:?}", stream.stream_options())));
    }

    #[test]
    fn defaults_print_nothing() {
        let map = crate::spec::OptionMap::of(&TcpStreamOpts::default()).unwrap();
        assert_eq!(map.to_string(), "#{}");
        let set = TcpStreamOpts { nodelay: Some(true), ..TcpStreamOpts::default() };
        assert_eq!(crate::spec::OptionMap::of(&set).unwrap().to_string(), "#{nodelay: true}");
    }

    #[test]
    fn sessions_of_messages_set_nodelay_unless_the_user_did() {
        let set = |nodelay| TcpStreamOpts { nodelay, ..TcpStreamOpts::default() };
        assert_eq!(set(None).for_session(true), set(Some(true)));
        assert_eq!(set(None).for_session(false), set(None));
        assert_eq!(set(Some(false)).for_session(true), set(Some(false)));
    }
}
