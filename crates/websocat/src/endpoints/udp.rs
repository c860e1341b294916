//! What the UDP endpoints share: their options, where their sockets are bound, and the errors of opening them.

use super::{
    datagram_sockopts::DatagramOpts,
    inherited_fd::{self, is_inherited, take_listener},
    listen_address::{FORMAT, ListenAddress},
    socket_args::{OptionGroup, Sockets},
    sockopts::{BindOpts, PacketOpts},
    unix_place::is_text,
};
use crate::{
    cli::value::Size,
    error::{Error, Kind, Result},
    scenario::{OptsReader, RhResult, throw},
    spec::{Form, OptionMap, Script},
};
use sockets::net::{
    inherited_socket::{Wanted, Which},
    udp::{OpenError, UdpOptions, adopt},
};
use std::{ffi::OsStr, net::SocketAddr};

/// Longest message that script functions send unless told otherwise.
pub const SCRIPT_LIMIT: usize = 655_360;

/// Options of UDP endpoints.
#[derive(Clone, Debug, clap::Args)]
pub struct UdpArgs {
    /// Longest message that is sent as a UDP datagram, in bytes; longer ones are errors
    #[arg(long, value_name = "BYTES", default_value_t = 4096)]
    pub udp_max_send_datagram_size: usize,
    /// udp-bind: sends here at first; without it to the first one from whom something comes
    #[arg(long, value_name = "IP:PORT")]
    pub udp_bind_target_addr: Option<SocketAddr>,
    /// udp-bind: hears only the target address
    #[arg(long)]
    pub udp_bind_restrict_to_one_address: bool,
    /// udp-bind: sends to the one from whom something came last
    #[arg(long)]
    pub udp_bind_redirect_to_last_seen_address: bool,
    /// udp-bind: sends to the first one from whom something comes, and hears nobody else any more; so it is when neither
    /// this nor another option says who is to be talked to
    #[arg(long)]
    pub udp_bind_connect_to_first_seen_address: bool,
    /// udp-bind: and udp-server: lose what cannot be sent, with a warning, instead of ending the session
    #[arg(long)]
    pub udp_bind_inhibit_send_errors: bool,
    /// udp-server: lets a client go from whom nothing came and to whom nothing was sent for so many milliseconds
    #[arg(long, value_name = "MS", value_parser = clap::value_parser!(u64).range(..=i64::MAX as u64))]
    pub udp_server_timeout_ms: Option<u64>,
    /// udp-server: so many clients at a time; the one from whom nothing came for longest makes room. 4096 when absent
    #[arg(long, value_name = "N", value_parser = at_least_one)]
    pub udp_server_max_clients: Option<usize>,
    /// udp-server: cuts longer datagrams to so many bytes, with a warning; when absent none are cut
    #[arg(long, value_name = "BYTES", value_parser = at_least_one)]
    pub udp_server_buffer_size: Option<usize>,
    /// udp-server: so many datagrams wait for each client's session; 256 when absent
    #[arg(long, value_name = "N", value_parser = at_least_one)]
    pub udp_server_qlen: Option<usize>,
    /// udp-server: datagrams of so many bytes in all, 4 more for each, wait for each client's session; 4m when absent. For
    /// all clients together 64m, or as much as this
    #[arg(long, value_name = "SIZE", value_parser = Size::positive)]
    pub udp_server_qbytes: Option<Size>,
    /// udp-server: receives nothing for anybody while too many datagrams wait for one session, instead of losing them
    #[arg(long)]
    pub udp_server_backpressure: bool,
}

impl UdpArgs {
    /// Whether what says whom a bound socket talks to fits together.
    pub fn check(&self) -> Result<()> {
        if !self.udp_bind_restrict_to_one_address {
            return Ok(());
        }
        if self.udp_bind_target_addr.is_none() {
            return Err(Error::usage(
                "--udp-bind-restrict-to-one-address: to which one? Say it with --udp-bind-target-addr",
            ));
        }
        if self.udp_bind_redirect_to_last_seen_address || self.udp_bind_connect_to_first_seen_address {
            return Err(Error::usage(
                "--udp-bind-restrict-to-one-address hears one address only: no other one can become the target",
            ));
        }
        Ok(())
    }
}

impl Default for UdpArgs {
    fn default() -> Self {
        Self {
            udp_max_send_datagram_size: 4096,
            udp_bind_target_addr: None,
            udp_bind_restrict_to_one_address: false,
            udp_bind_redirect_to_last_seen_address: false,
            udp_bind_connect_to_first_seen_address: false,
            udp_bind_inhibit_send_errors: false,
            udp_server_timeout_ms: None,
            udp_server_max_clients: None,
            udp_server_buffer_size: None,
            udp_server_qlen: None,
            udp_server_qbytes: None,
            udp_server_backpressure: false,
        }
    }
}

fn at_least_one(text: &str) -> Result<usize, String> {
    match text.parse::<u32>() {
        Ok(0) => Err("must be at least 1".to_owned()),
        Ok(n) => usize::try_from(n).map_err(|e| e.to_string()),
        Err(e) => Err(e.to_string()),
    }
}

/// Where a socket that is not connected is bound.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    Address(ListenAddress),
    Inherited(Which),
}

impl Place {
    /// Of the value behind one of the prefixes of `form`.
    pub fn parse(form: &'static Form, value: &OsStr) -> Result<Self> {
        if is_inherited(form) {
            inherited_fd::parse(form, value).map(Self::Inherited)
        } else {
            ListenAddress::parse(value).map(Self::Address)
        }
    }

    /// In words, for `--explain`.
    pub fn explain(&self) -> String {
        match self {
            Self::Address(address) => address.explain(),
            Self::Inherited(which) => format!("{which}, which was inherited"),
        }
    }

    /// The socket options that sockets there take.
    pub fn sockets(&self) -> Sockets {
        let v6 = match self {
            Self::Address(ListenAddress::Address(addr)) => Some(addr.is_ipv6()),
            _ => None,
        };
        match self {
            Self::Address(_) => Sockets { groups: GROUPS, v6 },
            // They are bound already.
            Self::Inherited(_) => Sockets { groups: &[OptionGroup::Packet, OptionGroup::Datagram], v6 },
        }
    }
}

/// Socket options of UDP sockets.
pub const GROUPS: &[OptionGroup] = &[OptionGroup::Bind, OptionGroup::Packet, OptionGroup::Datagram];

/// How an address is written.
pub const VALUE: &str = FORMAT;

/// What all UDP functions are told: length of messages, text, socket options.
pub fn with_common_options(mut map: OptionMap, script: &Script, bound_here: bool) -> Result<OptionMap> {
    let limit = script.args.endpoints.udp.udp_max_send_datagram_size;
    map = map
        .number_unless("max_send_datagram_size", Some(limit), SCRIPT_LIMIT)
        .flag("tag_as_text", is_text(&script.args));
    let sockets = script.socket_options();
    if bound_here {
        map.extend(&sockets.bind)?;
    }
    map.extend(&sockets.packet)?;
    sockets.datagram.options().map_err(Error::usage)?;
    map.extend(&sockets.datagram)?;
    Ok(map)
}

/// The socket options in an option map.
pub fn take_socket_options(reader: &mut OptsReader) -> RhResult<UdpOptions> {
    let (bind, packet): (BindOpts, PacketOpts) = (reader.take()?, reader.take()?);
    let datagram: DatagramOpts = reader.take()?;
    Ok(UdpOptions {
        bind_options: bind.options(),
        route_options: packet.route_options(),
        cpu_affinity: packet.cpu_affinity,
        datagram_options: datagram.options()?,
    })
}

/// An inherited socket, with options.
pub fn inherited(which: &Which, force: bool, options: &UdpOptions) -> Result<tokio::net::UdpSocket> {
    adopt(take_listener(which, Wanted::Udp, force)?.socket.into(), options).map_err(open_error)
}

/// With the exit status of what went wrong.
pub fn open_error(e: OpenError) -> Error {
    let kind = match e {
        OpenError::Connect { .. } => Kind::Connect,
        OpenError::Bind { .. } | OpenError::Option { .. } | OpenError::Inherited { .. } | OpenError::NoAddresses => {
            Kind::Listen
        }
    };
    Error::with_source(kind, e.to_string(), e)
}

/// The same as a script error.
pub fn throw_open_error(e: OpenError) -> Box<rhai::EvalAltResult> {
    throw(open_error(e))
}
