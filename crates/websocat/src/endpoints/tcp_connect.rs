//! `tcp:` and `connect_tcp`, `connect_tcp_race`: a TCP client.
//!
//! A name may stand for several addresses: they are raced, with a delay between the starts, and the first connection
//! wins. Whether names are looked up once or for every connection a pass of the planner decides. The I/O is in
//! `sockets::net`.

use super::{
    listen_address::with_scope_by_name,
    socket_args::{OptionGroup, Sockets},
    sockopts::{BindOpts, LocalOpts, PacketOpts, TcpOpts},
};
use crate::{
    cli::value::Duration,
    error::{Error, Kind, Result},
    functions::Addresses,
    register,
    scenario::{
        Callback, Flow, Handle, OptsReader, RegisterNative as _, RhFn, RhOpts, RhResult, TaskHandle, fresh, task,
    },
    spec::{About, EndpointSpec, Form, OptionMap, Script, SocketKind, Then, Var, string_literal, time_in_words},
};
use rhai::{Engine, NativeCallContext};
use serde::Deserialize;
use sockets::{
    info::SocketInfo,
    net::{
        connect::{ConnectError, TcpOptions, connect, connect_race},
        tcp::tcp_socket,
    },
    socket::StreamSocket,
};
use std::{ffi::OsStr, net::SocketAddr, time};

/// A connection to one TCP server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TcpConnect {
    pub target: TcpTarget,
}

/// Where to connect to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TcpTarget {
    Address(SocketAddr),
    /// `HOST:PORT`, resolved for each connection.
    Late(String),
    /// Resolved once, at the top of the script.
    Early {
        name: String,
        /// The script's variable with the addresses.
        addrs: Var,
    },
}

impl TcpTarget {
    /// The host without its port, as typed, or the address as text.
    pub fn host(&self) -> String {
        match self {
            Self::Address(addr) => addr.ip().to_string(),
            Self::Late(name) | Self::Early { name, .. } => {
                name.rsplit_once(':').map_or(&**name, |(host, _)| host).to_owned()
            }
        }
    }
}

/// Delay between attempts at the addresses of one name, as upstream has it.
const RACE_INTERVAL_MS: u32 = 20;
/// Longer than three SYN retransmissions, shorter than anybody's patience.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(30);

#[derive(Clone, Debug, clap::Args)]
pub struct TcpConnectArgs {
    /// Give up when looking up a name or connecting takes longer than this
    ///
    /// `inf` and 0: as long as the system tries.
    #[arg(long, value_name = "DURATION", default_value_t = CONNECT_TIMEOUT)]
    pub connect_timeout: Duration,
    /// Milliseconds between starting attempts when a name has several addresses
    #[arg(long, value_name = "MS", default_value_t = RACE_INTERVAL_MS)]
    pub tcp_race_interval_ms: u32,
    /// Look names up again for every new connection rather than once at start
    #[arg(long)]
    pub late_resolve: bool,
}

impl TcpConnectArgs {
    /// The time limit in words, for `--explain`.
    pub fn limit_in_words(&self) -> String {
        match self.connect_timeout.limit_millis() {
            Some(ms) => format!("within {}", time_in_words(ms)),
            None => "with no other time limit than the system's".to_owned(),
        }
    }
}

impl Default for TcpConnectArgs {
    fn default() -> Self {
        Self { connect_timeout: CONNECT_TIMEOUT, tcp_race_interval_ms: RACE_INTERVAL_MS, late_resolve: false }
    }
}

impl EndpointSpec for TcpConnect {
    const FORMS: &'static [Form] = &[Form {
        name: "tcp",
        prefixes: &["tcp:", "tcp-connect:", "connect-tcp:", "tcp-c:", "c-tcp:"],
        value: "HOST:PORT",
        doc: "Connects to a TCP server, by name or by IP address (IPv6 in brackets). All addresses of a name are tried, \
              with a short delay between starting, and the first that answers wins.",
    }];

    fn parse(_: &'static Form, value: &OsStr) -> Result<Self> {
        const FORMAT: &str = "write HOST:PORT, IP:PORT or [IPV6]:PORT";
        let text = value.to_str().ok_or_else(|| Error::usage(format!("the address is not UTF-8; {FORMAT}")))?;
        let addr = match text.parse::<SocketAddr>() {
            Ok(addr) => Some(addr),
            Err(_) => with_scope_by_name(text)?,
        };
        let port_0 = || Error::usage(format!("port 0 cannot be connected to; {FORMAT}"));
        if let Some(addr) = addr {
            return if addr.port() == 0 { Err(port_0()) } else { Ok(Self { target: TcpTarget::Address(addr) }) };
        }
        let Some((host, port)) = text.rsplit_once(':').filter(|(host, _)| !host.is_empty()) else {
            let missing = if text.is_empty() || text.starts_with(':') { "host" } else { "port" };
            return Err(Error::usage(format!("the {missing} is missing in `{text}`; {FORMAT}")));
        };
        if host.contains([':', '[', ']']) {
            return Err(Error::usage(format!("`{text}` is not an address; {FORMAT}")));
        }
        match port.parse::<u16>() {
            Ok(0) => return Err(port_0()),
            Ok(_) if port.bytes().all(|b| b.is_ascii_digit()) => {}
            _ => return Err(Error::usage(format!("`{port}` is not a port; {FORMAT}"))),
        }
        if !host.is_ascii() {
            return Err(Error::usage(format!("the host name `{host}` is not ASCII; write its xn-- form (IDNA)")));
        }
        if let Some(c) = host.chars().find(|c| !c.is_ascii_alphanumeric() && !matches!(c, '.' | '-' | '_')) {
            return Err(Error::usage(format!("`{c}` cannot be in a host name; {FORMAT}")));
        }
        Ok(Self { target: TcpTarget::Late(text.to_owned()) })
    }

    fn kind(&self) -> Option<SocketKind> {
        Some(SocketKind::Stream)
    }

    fn explain(&self, about: &About<'_>) -> String {
        let options = &about.args.endpoints.tcp_connect;
        let from = about.args.endpoints.sockets.local.bind.map(|addr| match addr.port() {
            0 => format!("from {}, ", addr.ip()),
            _ => format!("from {addr}, "),
        });
        let limit = from.unwrap_or_default() + options.limit_in_words().as_str();
        match &self.target {
            TcpTarget::Address(addr) => format!("Connects to {addr} by TCP, {limit}."),
            TcpTarget::Early { name, .. } => {
                format!("Connects to {name} by TCP, {limit}; its address is looked up once, at the start.")
            }
            TcpTarget::Late(name) => format!("Looks up {name} and connects to it by TCP, {limit} each."),
        }
    }

    fn sockets(&self) -> Sockets {
        const GROUPS: &[OptionGroup] = &[OptionGroup::Local, OptionGroup::Bind, OptionGroup::Packet, OptionGroup::Tcp];
        let v6 = match &self.target {
            TcpTarget::Address(addr) => Some(addr.is_ipv6()),
            TcpTarget::Late(_) | TcpTarget::Early { .. } => None,
        };
        Sockets { groups: GROUPS, v6 }
    }

    fn emit(&self, script: &mut Script, then: &mut Then<'_>) -> Result<()> {
        let args = script.args.endpoints.tcp_connect.clone();
        let limit = args.connect_timeout.limit_millis();
        match &self.target {
            TcpTarget::Address(addr) => {
                let map = OptionMap::new().text("addr", &addr.to_string()).number("timeout_ms", limit);
                let map = with_socket_options(map, script)?;
                script.callback(&format!("connect_tcp({map},"), "tcp", then)
            }
            TcpTarget::Early { addrs, .. } => race(script, &args, addrs, then),
            TcpTarget::Late(name) => {
                let lookup = format!("lookup_host({}{},", string_literal(name), lookup_options(limit));
                script.callback(&lookup, "addrs", &mut |script, addrs| race(script, &args, &addrs, then))
            }
        }
    }
}

/// What follows the name in a call of `lookup_host` with this time limit.
pub fn lookup_options(limit_ms: Option<u64>) -> String {
    limit_ms.map(|ms| format!(", #{{timeout_ms: {ms}}}")).unwrap_or_default()
}

fn race(script: &mut Script, args: &TcpConnectArgs, addrs: &str, then: &mut Then<'_>) -> Result<()> {
    let map = OptionMap::new()
        .number("race_interval_ms", Some(args.tcp_race_interval_ms))
        .number("timeout_ms", args.connect_timeout.limit_millis());
    let map = with_socket_options(map, script)?;
    script.callback(&format!("connect_tcp_race({map}, {addrs},"), "tcp", then)
}

fn with_socket_options(mut map: OptionMap, script: &Script) -> Result<OptionMap> {
    let sockets = script.socket_options();
    map.extend(&sockets.local)?;
    map.extend(&sockets.bind)?;
    map.extend(&sockets.packet)?;
    map.extend(&sockets.tcp.for_session(script.nodelay))?;
    Ok(map)
}

/// Options of `connect_tcp` beside those of the socket.
#[derive(Deserialize)]
struct ConnectTcpOpts {
    /// Address and port of the server
    addr: SocketAddr,
    /// Milliseconds after which connecting fails; absent: as long as the system tries
    #[serde(default)]
    timeout_ms: Option<u64>,
}

/// Options of `connect_tcp_race` beside those of the socket.
#[derive(Deserialize)]
struct ConnectTcpRaceOpts {
    /// Milliseconds between starting attempts
    race_interval_ms: u32,
    /// Milliseconds after which connecting fails, all attempts together; absent: as long as the system tries
    #[serde(default)]
    timeout_ms: Option<u64>,
}

/// A task that connects by TCP to one address and goes on with a function that gets the socket.
fn connect_tcp(
    ctx: NativeCallContext<'_>,
    opts: RhOpts<(ConnectTcpOpts, LocalOpts, BindOpts, PacketOpts, TcpOpts)>,
    continuation: RhFn<(Handle<StreamSocket>,)>,
) -> RhResult<TaskHandle> {
    let mut reader = OptsReader::new(opts)?;
    let ConnectTcpOpts { addr, timeout_ms } = reader.take()?;
    let options = tcp_options(reader, timeout_ms)?;
    let callback = Callback::new(&ctx, continuation)?;
    Ok(task(async move {
        let tcp = connect(addr, &options).await.map_err(connect_error)?;
        Ok(Flow::Then(callback.task((named(tcp, format!("tcp:{addr}")),))?))
    }))
}

/// A task that connects by TCP to the first of several addresses that answers, and goes on with a function that gets the
/// socket.
fn connect_tcp_race(
    ctx: NativeCallContext<'_>,
    opts: RhOpts<(ConnectTcpRaceOpts, LocalOpts, BindOpts, PacketOpts, TcpOpts)>,
    addrs: Addresses,
    continuation: RhFn<(Handle<StreamSocket>,)>,
) -> RhResult<TaskHandle> {
    let mut reader = OptsReader::new(opts)?;
    let ConnectTcpRaceOpts { race_interval_ms, timeout_ms } = reader.take()?;
    let options = tcp_options(reader, timeout_ms)?;
    let interval = time::Duration::from_millis(race_interval_ms.into());
    let callback = Callback::new(&ctx, continuation)?;
    Ok(task(async move {
        let tcp = connect_race(&addrs, &options, interval).await.map_err(connect_error)?;
        let peer = tcp.peer_addr().map_or_else(|_| "tcp:".to_owned(), |addr| format!("tcp:{addr}"));
        Ok(Flow::Then(callback.task((named(tcp, peer),))?))
    }))
}

/// The same with an array of socket addresses.
fn connect_tcp_race_array(
    ctx: NativeCallContext<'_>,
    opts: RhOpts<(ConnectTcpRaceOpts, LocalOpts, BindOpts, PacketOpts, TcpOpts)>,
    addrs: rhai::Array,
    continuation: RhFn<(Handle<StreamSocket>,)>,
) -> RhResult<TaskHandle> {
    let addrs = addrs.into_iter().map(|addr| {
        let kind = addr.type_name();
        addr.try_cast::<SocketAddr>().ok_or_else(|| format!("an address in the list is a {kind}, not a socket address"))
    });
    connect_tcp_race(ctx, opts, addrs.collect::<Result<_, String>>()?, continuation)
}

fn tcp_options(mut reader: OptsReader, timeout_ms: Option<u64>) -> RhResult<TcpOptions> {
    let (local, bind): (LocalOpts, BindOpts) = (reader.take()?, reader.take()?);
    let (packet, tcp): (PacketOpts, TcpOpts) = (reader.take()?, reader.take()?);
    reader.finish()?;
    Ok(TcpOptions {
        bind: local.bind,
        bind_options: bind.options(),
        route_options: tcp.route_options(&packet),
        stream_options: tcp.stream_options(&packet),
        timeout: timeout_ms.map(time::Duration::from_millis),
    })
}

fn named(tcp: tokio::net::TcpStream, specifier: String) -> Handle<StreamSocket> {
    fresh(tcp_socket(tcp, SocketInfo { specifier: Some(specifier.into()), ..SocketInfo::default() }))
}

//= 6455-4.1-10
fn connect_error(e: ConnectError) -> Error {
    let kind = match &e {
        ConnectError::NoAddresses => Kind::NoAddresses,
        ConnectError::TimedOut { .. } => Kind::ConnectTimeout,
        ConnectError::Failed { .. } | ConnectError::Option { .. } | ConnectError::OtherVersion { .. } => Kind::Connect,
    };
    Error::with_source(kind, e.to_string(), e)
}

pub(super) fn register(engine: &mut Engine) {
    register!(engine, connect_tcp, connect_tcp_race);
    engine.register_native("connect_tcp_race", connect_tcp_race_array);
}
