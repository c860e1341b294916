//! `udp:`, `udp-bind:` and `udp_socket`: one UDP socket as one message socket.
//!
//! Whom a bound socket talks to are rules of `sockets::net::udp`; here options become rules. The I/O is there, too.

use super::{
    datagram_sockopts::DatagramOpts,
    inherited_fd::{self, InheritedOpts},
    listen_address::ListenAddress,
    socket_args::Sockets,
    sockopts::{BindOpts, PacketOpts},
    udp::{
        GROUPS, Place, SCRIPT_LIMIT, UdpArgs, VALUE, inherited, take_socket_options, throw_open_error,
        with_common_options,
    },
};
use crate::{
    error::{Error, Result},
    register,
    scenario::{Handle, OptsReader, RhOpts, RhResult, handle, throw},
    spec::{About, EndpointSpec, Form, OptionMap, Script, SocketKind, Then, string_literal},
};
use rhai::Engine;
use serde::Deserialize;
use sockets::{
    info::SocketInfo,
    net::udp::{
        PeerRules, open,
        socket::{UdpSocketOptions, udp_socket as message_socket},
    },
    socket::DatagramSocket,
};
use std::{
    ffi::OsStr,
    net::{Ipv4Addr, Ipv6Addr, SocketAddr},
};

/// One UDP socket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UdpSocket {
    /// It talks to this one only; a name is looked up for each connection.
    Connected(ListenAddress),
    Bound(Place),
}

const CONNECT: &str = "udp";

impl EndpointSpec for UdpSocket {
    const FORMS: &'static [Form] = &[
        Form {
            name: CONNECT,
            prefixes: &["udp:", "udp-connect:", "connect-udp:", "udp-c:", "c-udp:"],
            value: "HOST:PORT",
            doc: "Sends messages as UDP datagrams to one address and hears what comes from there. Of a name the first address \
                  counts. UDP has no end: the session goes on until the other side ends it (-E) or a time limit does.",
        },
        Form {
            name: "udp-bind",
            prefixes: &["udp-bind:", "bind-udp:", "udp-listen:", "listen-udp:", "udp-l:", "l-udp:"],
            value: VALUE,
            doc: "One UDP socket for one session. It hears datagrams at this address and answers the first one from whom \
                  something comes, or whom --udp-bind-target-addr and the like say. A bare port is that of 127.0.0.1.",
        },
        Form {
            name: "udp-bind-fd",
            prefixes: &["udp-fd:", "udp-bind-fd:"],
            value: "FD",
            doc: "The same with a bound UDP socket that this program was started with (Unix).",
        },
        Form {
            name: "udp-bind-fdname",
            prefixes: &["udp-fdname:", "udp-bind-fdname:"],
            value: "NAME",
            doc: "The same with a bound UDP socket that has this name in LISTEN_FDNAMES (Unix).",
        },
    ];

    fn parse(form: &'static Form, value: &OsStr) -> Result<Self> {
        if form.name != CONNECT {
            return Ok(Self::Bound(Place::parse(form, value)?));
        }
        let nowhere =
            |text: &str| Error::usage(format!("`{text}` says nothing about whom to send to; write HOST:PORT"));
        match ListenAddress::parse(value)? {
            ListenAddress::Port(port) => Err(nowhere(&port.to_string())),
            ListenAddress::Address(addr) if addr.port() == 0 => Err(nowhere(&addr.to_string())),
            address => Ok(Self::Connected(address)),
        }
    }

    fn kind(&self) -> Option<SocketKind> {
        Some(SocketKind::Datagram)
    }

    fn is_single(&self) -> bool {
        matches!(self, Self::Bound(_))
    }

    fn sockets(&self) -> Sockets {
        match self {
            Self::Connected(ListenAddress::Address(addr)) => Sockets { groups: GROUPS, v6: Some(addr.is_ipv6()) },
            Self::Connected(_) => Sockets { groups: GROUPS, v6: None },
            Self::Bound(place) => place.sockets(),
        }
    }

    fn explain(&self, about: &About<'_>) -> String {
        match self {
            Self::Connected(address) => {
                format!("Sends UDP datagrams to {address} and hears those that come from there.")
            }
            Self::Bound(place) => {
                let target = about.args.endpoints.udp.udp_bind_target_addr;
                let whom = target.map_or("who sends the first one".to_owned(), |addr| addr.to_string());
                let place = match place {
                    // One socket has one address.
                    Place::Address(ListenAddress::Name(name)) if !is_localhost(name) => {
                        format!("the first address of {name}")
                    }
                    Place::Address(ListenAddress::Port(_) | ListenAddress::Name(_)) => {
                        ListenAddress::Address(loopback_v4(place)).explain()
                    }
                    place => place.explain(),
                };
                let ready = about.args.endpoints.listen.explain();
                format!("Hears UDP datagrams on {place} and sends those of the other side to {whom}.{ready}")
            }
        }
    }

    fn emit(&self, script: &mut Script, then: &mut Then<'_>) -> Result<()> {
        match self {
            Self::Connected(ListenAddress::Name(name)) => with_lookup(script, name, &mut |script, addr| {
                let mut map = OptionMap::new();
                map.push("addr", addr);
                let map = with_common_options(map, script, true)?;
                let udp = script.assign("udp", &format!("udp_socket({map})"));
                then(script, udp)
            }),
            Self::Connected(address) => {
                let map = OptionMap::new().text("addr", &address.to_string());
                let map = with_common_options(map, script, true)?;
                let udp = script.assign("udp", &format!("udp_socket({map})"));
                then(script, udp)
            }
            Self::Bound(Place::Address(ListenAddress::Name(name))) if !is_localhost(name) => {
                with_lookup(script, name, &mut |script, addr| {
                    let mut map = OptionMap::new();
                    map.push("bind", addr);
                    bound(script, map, true, then)
                })
            }
            Self::Bound(place) => {
                let map = match place {
                    Place::Address(ListenAddress::Address(addr)) => OptionMap::new().text("bind", &addr.to_string()),
                    Place::Address(_) => OptionMap::new().text("bind", &loopback_v4(place).to_string()),
                    Place::Inherited(which) => inherited_fd::option_map(which),
                };
                bound(script, map, matches!(place, Place::Address(_)), then)
            }
        }
    }
}

fn is_localhost(name: &str) -> bool {
    name.rsplit_once(':').is_some_and(|(host, _)| host.eq_ignore_ascii_case("localhost"))
}

/// What a bare port and `localhost` mean here: one socket cannot have the loopback addresses of both IP versions, and has
/// to be somewhere for sure.
fn loopback_v4(place: &Place) -> SocketAddr {
    let port = match place {
        Place::Address(ListenAddress::Port(port)) => *port,
        Place::Address(address) => {
            address.to_string().rsplit_once(':').and_then(|(_, port)| port.parse().ok()).unwrap_or_default()
        }
        Place::Inherited(_) => 0,
    };
    (Ipv4Addr::LOCALHOST, port).into()
}

/// Looks a name up; `then` gets an expression for the text of its first address.
fn with_lookup(script: &mut Script, name: &str, then: &mut dyn FnMut(&mut Script, String) -> Result<()>) -> Result<()> {
    let limit = script.args.endpoints.tcp_connect.connect_timeout.limit_millis();
    let options = super::tcp_connect::lookup_options(limit);
    let lookup = format!("lookup_host({}{options},", string_literal(name));
    script.callback(&lookup, "addrs", &mut |script, addrs| then(script, format!("str(first_address({addrs}))")))
}

/// A socket that is not connected; `map` says where it is, `bound_here` that it is not inherited.
fn bound(script: &mut Script, map: OptionMap, bound_here: bool, then: &mut Then<'_>) -> Result<()> {
    let args = script.args.endpoints.udp.clone();
    args.check()?;
    let target = args.udp_bind_target_addr;
    let map = map
        .text("addr", &target.unwrap_or_else(|| (Ipv4Addr::UNSPECIFIED, 0).into()).to_string())
        .flag("sendto_mode", true);
    let UdpArgs {
        udp_bind_restrict_to_one_address: restrict,
        udp_bind_redirect_to_last_seen_address: redirect,
        udp_bind_connect_to_first_seen_address: connect,
        ..
    } = args;
    let connect = connect || target.is_none() && !redirect;
    let map = map
        .flag("allow_other_addresses", !restrict)
        .flag("redirect_to_last_seen_address", redirect || connect)
        .flag("connect_to_first_seen_address", connect)
        .flag("inhibit_send_errors", args.udp_bind_inhibit_send_errors);
    let map = with_common_options(map, script, bound_here)?;
    let udp = script.assign("udp", &format!("udp_socket({map})"));
    let listen = script.args.endpoints.listen.clone();
    if listen.tasks("udp", None).is_empty() {
        return then(script, udp);
    }
    let addr = script.assign("addr", &format!("local_addr({udp})"));
    script.nest("sequential([", "])", &mut |script| {
        listen.tasks("udp", Some(&addr)).iter().for_each(|task| script.line(&format!("{task},")));
        script.nest("task_wrap(|| {", "}),", &mut |script| then(script, udp.clone()))
    })
}

/// Options of `udp_socket` beside those of sockets.
#[derive(Deserialize)]
struct UdpSocketOpts {
    /// Address to send to and to hear; 0.0.0.0:0 or [::]:0: nobody, until somebody sends something
    addr: SocketAddr,
    /// Local address; any free port of the right IP version when absent
    #[serde(default)]
    bind: Option<SocketAddr>,
    /// The socket is not connected to `addr`; the next three keys mean this, too
    #[serde(default)]
    sendto_mode: bool,
    /// Hear everybody, not only the one to whom messages go
    #[serde(default)]
    allow_other_addresses: bool,
    /// Messages go to the one from whom something came last
    #[serde(default)]
    redirect_to_last_seen_address: bool,
    /// Messages go to the first one from whom something comes, and nobody else is heard any more
    #[serde(default)]
    connect_to_first_seen_address: bool,
    /// Received datagrams count as text, unchecked
    #[serde(default)]
    tag_as_text: bool,
    /// What cannot be sent is lost, with a warning
    #[serde(default)]
    inhibit_send_errors: bool,
    /// Longest message that is sent, in bytes; 655360 when absent
    #[serde(default)]
    max_send_datagram_size: Option<usize>,
}

/// A UDP socket: connected to `addr`, or bound and talking to whom its options say. Each message is a datagram.
fn udp_socket(
    opts: RhOpts<(UdpSocketOpts, InheritedOpts, BindOpts, PacketOpts, DatagramOpts)>,
) -> RhResult<Handle<DatagramSocket>> {
    let mut reader = OptsReader::new(opts)?;
    let (opts, inherits): (UdpSocketOpts, InheritedOpts) = (reader.take()?, reader.take()?);
    let options = take_socket_options(&mut reader)?;
    reader.finish()?;
    let which = inherits.which()?;
    if which.is_some() && opts.bind.is_some() {
        return Err("an inherited socket is bound already: `bind` does not go together with `fd` and `named_fd`".into());
    }
    let target = Some(opts.addr).filter(|addr| !addr.ip().is_unspecified() || addr.port() != 0);
    let rules = PeerRules {
        allow_others: opts.allow_other_addresses,
        redirect: opts.redirect_to_last_seen_address,
        lock_to_first: opts.connect_to_first_seen_address,
    };
    let connected = target.filter(|_| !opts.sendto_mode && rules == PeerRules::default());
    let socket = match which {
        Some(which) => {
            let socket = inherited(&which, inherits.fd_force, &options).map_err(throw)?;
            if let Some(peer) = connected {
                socket2::SockRef::from(&socket).connect(&peer.into()).map_err(|source| {
                    throw_open_error(sockets::net::udp::OpenError::Connect { address: peer, source })
                })?;
            }
            socket
        }
        None => {
            let any = if opts.addr.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
            let local = opts.bind.unwrap_or_else(|| SocketAddr::new(any, 0));
            open(local, connected, &options).map_err(throw_open_error)?
        }
    };
    let specifier = match connected {
        Some(peer) => format!("udp:{peer}"),
        None => socket.local_addr().map_or_else(|_| "udp-bind:".to_owned(), |local| format!("udp-bind:{local}")),
    };
    if connected.is_none() {
        tracing::info!("hearing datagrams at {}", specifier.trim_start_matches("udp-bind:"));
    }
    let behaviour = UdpSocketOptions {
        peers: connected.is_none().then_some((target, rules)),
        text: opts.tag_as_text,
        inhibit_send_errors: opts.inhibit_send_errors,
        max_send: opts.max_send_datagram_size.unwrap_or(SCRIPT_LIMIT),
    };
    let info = SocketInfo { specifier: Some(specifier.into()), ..SocketInfo::default() };
    Ok(handle(message_socket(socket, behaviour, info)))
}

pub(super) fn register(engine: &mut Engine) {
    register!(engine, udp_socket);
}

#[cfg(test)]
mod tests {
    use crate::functions::testing::{eval_error, run_script};

    #[tokio::test]
    async fn options_that_do_not_fit() {
        for (options, part) in [
            ("#{}", "addr"),
            (r#"#{addr: "127.0.0.1:5", fd: 3, named_fd: "x"}"#, "not both"),
            (r#"#{addr: "127.0.0.1:5", fd: 3, bind: "127.0.0.1:0"}"#, "bound already"),
            (r#"#{addr: "127.0.0.1:5", mss: 9}"#, "unknown option `mss`"),
            (r#"#{addr: "127.0.0.1:5", multicast: "127.0.0.1"}"#, "is not a multicast address"),
            (r#"#{addr: "127.0.0.1:5", multicast_interface_index: 1}"#, "needs a group"),
            (r#"#{addr: "127.0.0.1:5", bind: "192.0.2.1:0"}"#, "cannot bind a UDP socket to 192.0.2.1:0"),
            (r#"#{addr: "127.0.0.1:5", ttl: 7777}"#, "option ttl"),
        ] {
            let e = eval_error(&format!("udp_socket({options}); dummy_task()"));
            assert!(e.contains(part), "{options}: {e}");
        }
    }

    #[tokio::test]
    async fn addresses_and_descriptors() {
        let script = r#"
            let b = udp_socket(#{addr: "0.0.0.0:0", bind: "127.0.0.1:0", redirect_to_last_seen_address: true});
            let c = udp_socket(#{addr: str(local_addr(b)), max_send_datagram_size: 100});
            note(`${local_addr(c).get_ip()} ${get_fd(c) > 2}`);
            dummy_task()"#;
        assert_eq!(run_script(script).await.unwrap(), "127.0.0.1 true");
    }
}
