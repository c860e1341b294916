//! `tcp-listen:` and `listen_tcp`: a TCP server.
//!
//! One task listens; each connection becomes a session with a stop token of its own, side by side or one after another.
//! When the scenario drains it accepts no more and waits for its sessions.

use super::{
    client_limits::{ClientLimitOpts, ClientLimits, Seat},
    inherited_fd::{self, InheritedOpts, is_inherited, take_listener},
    listen_address::{FORMAT, ListenAddress},
    listen_places::{PlaceOpts, WantedPlace},
    socket_args::{OptionGroup, Sockets},
    sockopts::{BacklogOpts, BindOpts, PacketOpts, TcpOpts},
};
use crate::{
    error::{Error, Kind, Result},
    functions::serve::{Connection, Serving, Source, serve},
    register,
    scenario::{Callback, Handle, OptsReader, RhFn, RhOpts, RhResult, Scenario, TaskHandle, fresh, run, task},
    spec::{About, EndpointSpec, Form, Listening, Script, SocketKind, Then, string_literal},
};
use rhai::{Engine, NativeCallContext};
use serde::Deserialize;
use sockets::{
    info::Address,
    net::{
        inherited_socket::Wanted,
        listen::{ListenOptions, Listener},
        resolve::SystemResolver,
    },
    socket::StreamSocket,
};
use std::{
    ffi::OsStr,
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
};

/// A TCP server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TcpListen {
    pub address: ListenAddress,
}

/// What happens once a listener is ready; shared by all listeners.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct ListenArgs {
    /// Print `LISTEN proto=tcp,ip=IP,port=PORT` on standard output when a listener is ready
    #[arg(long)]
    pub stdout_announce_listening_ports: bool,
    /// Run this shell command when a listener is ready; connections are accepted when it is over
    #[arg(long, value_name = "COMMAND")]
    pub exec_after_listen: Option<String>,
    /// Append the port number to that command
    #[arg(long)]
    pub exec_after_listen_append_port: bool,
    /// Explains how inherited sockets are written now: as unix-listen-fd:3 and the like
    #[arg(long)]
    pub accept_from_fd: bool,
}

impl ListenArgs {
    /// In words, for `--explain`: what happens when a listener is ready.
    pub fn explain(&self) -> String {
        let mut text = String::new();
        if self.stdout_announce_listening_ports {
            text.push_str(" Says so on standard output when it is ready.");
        }
        if let Some(command) = &self.exec_after_listen {
            let port = if self.exec_after_listen_append_port { " with the port behind it" } else { "" };
            text.push_str(&format!(" Then runs `{command}`{port} in a shell, before anybody is served."));
        }
        text
    }

    /// Tasks of the when-listening closure; `addr`: the variable with the address, for listeners that have one.
    pub fn tasks(&self, proto: &str, addr: Option<&str>) -> Vec<String> {
        let mut tasks = Vec::new();
        if self.stdout_announce_listening_ports {
            let line = match addr {
                Some(addr) => {
                    format!(
                        "\"LISTEN proto={proto},ip=\" + {addr}.get_ip() + \",port=\" + str({addr}.get_port()) + \"\\n\""
                    )
                }
                None => string_literal(&format!("LISTEN proto={proto}\n")),
            };
            tasks.push(format!("task_wrap(|| {{ print_stdout({line}); dummy_task() }})"));
        }
        if let Some(command) = &self.exec_after_listen {
            let port = match addr {
                Some(addr) if self.exec_after_listen_append_port => format!(" + \" \" + str({addr}.get_port())"),
                _ => String::new(),
            };
            tasks.push(format!("task_wrap(|| {{ hangup2task(system({}{port})) }})", string_literal(command)));
        }
        tasks
    }
}

impl TcpListen {
    fn is_inherited(&self) -> bool {
        matches!(self.address, ListenAddress::Inherited(_))
    }
}

impl EndpointSpec for TcpListen {
    const FORMS: &'static [Form] = &[
        Form {
            name: "tcp-listen",
            prefixes: &["tcp-listen:", "listen-tcp:", "tcp-l:", "l-tcp:"],
            value: FORMAT,
            doc: "Accepts TCP connections. A bare port listens on the loopback addresses only.",
        },
        Form {
            name: "tcp-listen-fd",
            prefixes: &["tcp-listen-fd:", "listen-tcp-fd:", "tcp-l-fd:", "l-tcp-fd:"],
            value: "FD",
            doc: "Accepts connections on a listening TCP socket that this program was started with (Unix).",
        },
        Form {
            name: "tcp-listen-fdname",
            prefixes: &["tcp-listen-fdname:", "listen-tcp-fdname:", "tcp-l-fdname:", "l-tcp-fdname:"],
            value: "FDNAME",
            doc: "The same by the name that a service manager gave it (LISTEN_FDNAMES).",
        },
    ];

    fn parse(form: &'static Form, value: &OsStr) -> Result<Self> {
        if is_inherited(form) {
            return Ok(Self { address: ListenAddress::Inherited(inherited_fd::parse(form, value)?) });
        }
        Ok(Self { address: ListenAddress::parse(value)? })
    }

    fn kind(&self) -> Option<SocketKind> {
        Some(SocketKind::Stream)
    }

    fn is_listener(&self) -> bool {
        true
    }

    fn explain(&self, about: &About<'_>) -> String {
        let place = self.address.explain();
        let ready = about.args.endpoints.listen.explain();
        if about.one_connection {
            return format!("Waits for one TCP connection on {place}.{ready}");
        }
        let limits = about.args.endpoints.client_limits.explain();
        format!("Accepts TCP connections on {place}{limits}.{ready}")
    }

    fn sockets(&self) -> Sockets {
        const GROUPS: &[OptionGroup] =
            &[OptionGroup::Backlog, OptionGroup::Bind, OptionGroup::Packet, OptionGroup::Tcp];
        /// Whoever made the socket has bound it.
        const OF_CONNECTIONS: &[OptionGroup] = &[OptionGroup::Packet, OptionGroup::Tcp];
        let groups = if self.is_inherited() { OF_CONNECTIONS } else { GROUPS };
        let v6 = match &self.address {
            ListenAddress::Address(addr) => Some(addr.is_ipv6()),
            ListenAddress::Port(_) | ListenAddress::Name(_) | ListenAddress::Inherited(_) => None,
        };
        Sockets { groups, v6 }
    }

    fn emit(&self, script: &mut Script, then: &mut Then<'_>) -> Result<()> {
        let Listening { autospawn, oneshot } = script.listening;
        let mut map = self.address.option_map();
        map = map.flag("autospawn", autospawn).flag("oneshot", oneshot);
        let limits = script.args.endpoints.client_limits;
        if limits.is_limited() && !oneshot {
            map.extend(&ClientLimitOpts { refuse_by_http: script.http_first, ..limits })?;
        }
        let sockets = script.socket_options();
        if !self.is_inherited() {
            map.extend(&sockets.backlog.unless_usual(oneshot))?;
            map.extend(&sockets.bind)?;
        }
        map.extend(&sockets.packet)?;
        map.extend(&sockets.tcp.for_session(script.nodelay))?;
        let addr = script.var("addr");
        let tasks = script.args.endpoints.listen.tasks("tcp", Some(&addr));
        let (tcp, from) = (script.var("tcp"), script.var("from"));
        script.nest(&format!("listen_tcp({map}, |{addr}| {{"), &format!("}}, |{tcp}, {from}| {{"), &mut |script| {
            script.in_sequence(&tasks)
        })?;
        script.indent(&mut |script| then(script, tcp.clone()))?;
        script.line("})");
        Ok(())
    }
}

/// Options of `listen_tcp` beside those of the socket. One of `addr`, `addrs`, `host`, `fd` and `named_fd` says where.
#[derive(Default, Deserialize)]
#[serde(default)]
struct ListenTcpOpts {
    /// Address to listen on
    addr: Option<SocketAddr>,
    /// Each connection gets a task of its own; otherwise they are served one after another
    autospawn: bool,
    /// One connection only
    oneshot: bool,
}

/// A task that listens on TCP. When it can be connected to it calls one function with the address (the first of several)
/// and waits for the task that it gives; then it calls another for each connection, with socket and address of the peer.
/// An error of a connection ends only that connection, unless it is the only one (`oneshot`).
fn listen_tcp(
    ctx: NativeCallContext<'_>,
    opts: RhOpts<(
        ListenTcpOpts,
        PlaceOpts,
        InheritedOpts,
        ClientLimitOpts,
        BacklogOpts,
        BindOpts,
        PacketOpts,
        TcpOpts,
    )>,
    when_listening: RhFn<(SocketAddr,)>,
    on_accept: RhFn<(Handle<StreamSocket>, SocketAddr)>,
) -> RhResult<TaskHandle> {
    let mut reader = OptsReader::new(opts)?;
    let opts: ListenTcpOpts = reader.take()?;
    let (places, inherited): (PlaceOpts, InheritedOpts) = (reader.take()?, reader.take()?);
    let limits: ClientLimitOpts = reader.take()?;
    let (BacklogOpts { backlog }, bind): (BacklogOpts, BindOpts) = (reader.take()?, reader.take()?);
    let (packet, tcp): (PacketOpts, TcpOpts) = (reader.take()?, reader.take()?);
    reader.finish()?;
    let wanted = places.wanted(("addr", opts.addr), inherited.which()?)?;
    if matches!(wanted, WantedPlace::Inherited(_)) && (backlog.is_some() || bind != BindOpts::default()) {
        tracing::warn!("listen_tcp: an inherited socket is bound and listens already: options for that have no effect");
    }
    let options = ListenOptions {
        bind_options: bind.options(),
        route_options: tcp.route_options(&packet),
        stream_options: tcp.stream_options(&packet),
        backlog: backlog.or(opts.oneshot.then_some(1)),
    };
    if !opts.oneshot {
        Scenario::of(&ctx)?.mark_server();
    }
    let when_listening = Callback::new(&ctx, when_listening)?;
    let on_accept = Callback::new(&ctx, on_accept)?;
    Ok(task(async move {
        let listener = match wanted {
            WantedPlace::Inherited(which) => {
                let socket = take_listener(&which, Wanted::TcpListener, inherited.fd_force)?.socket;
                let failed = |e| Error::with_source(Kind::Listen, format!("cannot listen on {which}"), e);
                Listener::adopt(socket, options).map_err(failed)?
            }
            WantedPlace::Bound(places) => {
                let addrs = places.addresses(&SystemResolver).await?;
                Listener::bind(&addrs, options).map_err(|e| Error::with_source(Kind::Listen, e.to_string(), e))?
            }
        };
        if let Some(addr) = listener.addresses().first() {
            run(when_listening.task((*addr,))?).await?;
        }
        for addr in listener.addresses() {
            tracing::info!("listening on {addr}");
        }
        let stop = on_accept.stop().clone();
        let connections = Connections { listener, limits: ClientLimits::new(limits), on_accept };
        serve(connections, &stop, Serving { autospawn: opts.autospawn, oneshot: opts.oneshot }).await
    }))
}

/// A TCP listener with its limits.
struct Connections {
    listener: Listener,
    limits: ClientLimits,
    on_accept: Callback,
}

impl Source for Connections {
    type Seat = Seat;

    async fn next(&mut self) -> Result<Connection<Seat>> {
        loop {
            let mut socket = self.listener.accept().await.map_err(|e| {
                let addrs: Vec<_> = self.listener.addresses().iter().map(ToString::to_string).collect();
                Error::with_source(Kind::Listen, format!("cannot accept connections on {}", addrs.join(", ")), e)
            })?;
            let from = match &socket.info.peer {
                Some(Address::Ip(addr)) => Some(addr.ip()),
                _ => None,
            };
            if let Some(seat) = self.limits.seat(from, Arc::make_mut(&mut socket.info)) {
                let name = socket.info.describe().into();
                let from = match &socket.info.peer {
                    Some(Address::Ip(addr)) => *addr,
                    // The listener fills it in; a kernel that knows no peer has nothing better either.
                    _ => (Ipv4Addr::UNSPECIFIED, 0).into(),
                };
                return Ok(Connection { name, session: self.on_accept.session((fresh(socket), from)), seat });
            }
        }
    }
}

pub(super) fn register(engine: &mut Engine) {
    register!(engine, listen_tcp);
}
