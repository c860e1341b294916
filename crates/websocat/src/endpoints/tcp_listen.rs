//! `tcp-listen:` and `listen_tcp`: a TCP server.
//!
//! One task listens; each connection becomes a session with a stop token of its own, side by side or one after another.
//! When the scenario drains it accepts no more and waits for its sessions.

use super::{
    client_limits::{Admission, ClientLimitOpts, ClientLimits, Seat},
    listen_address::{FORMAT, ListenAddress},
    sockopts::{BindOpts, TcpStreamOpts},
};
use crate::{
    error::{Error, Kind, Result},
    functions::{
        lookup_error,
        serve::{Connection, Serving, Source, serve},
    },
    register,
    scenario::{
        Callback, Flow, Handle, OptsReader, RhFn, RhOpts, RhResult, Scenario, Task, TaskHandle, handle, run, task,
    },
    spec::{EndpointSpec, Form, Listening, Script, SocketKind, Then, string_literal},
};
use rhai::{Engine, NativeCallContext};
use serde::Deserialize;
use sockets::{
    info::Address,
    net::{
        listen::{ListenOptions, Listener, loopback},
        resolve::{Resolver as _, SystemResolver},
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
}

impl ListenArgs {
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
                None => format!("\"LISTEN proto={proto}\\n\""),
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

impl EndpointSpec for TcpListen {
    const FORMS: &'static [Form] = &[Form {
        name: "tcp-listen",
        prefixes: &["tcp-listen:", "listen-tcp:", "tcp-l:", "l-tcp:"],
        value: FORMAT,
        doc: "Accepts TCP connections. A bare port listens on the loopback addresses only.",
    }];

    fn parse(_: &'static Form, value: &OsStr) -> Result<Self> {
        Ok(Self { address: ListenAddress::parse(value)? })
    }

    fn kind(&self) -> Option<SocketKind> {
        Some(SocketKind::Stream)
    }

    fn is_listener(&self) -> bool {
        true
    }

    fn emit(&self, script: &mut Script, then: &mut Then<'_>) -> Result<()> {
        let Listening { autospawn, oneshot } = script.listening;
        let mut map = self.address.option_map();
        map.push("autospawn", autospawn.to_string());
        map.push("oneshot", oneshot.to_string());
        let limits = script.args.endpoints.client_limits;
        if limits.is_limited() && !oneshot {
            map.extend(&ClientLimitOpts { refuse_by_http: script.http_first, ..limits })?;
        }
        map.extend(&script.args.endpoints.tcp_bind)?;
        map.extend(&script.args.endpoints.tcp.for_session(script.nodelay))?;
        let addr = script.var("addr");
        let tasks = script.args.endpoints.listen.tasks("tcp", Some(&addr));
        let (tcp, from) = (script.var("tcp"), script.var("from"));
        script.nest(&format!("listen_tcp({map}, |{addr}| {{"), &format!("}}, |{tcp}, {from}| {{"), &mut |script| {
            match &tasks[..] {
                [] => script.line("dummy_task()"),
                tasks => {
                    script.nest("sequential([", "])", &mut |script| {
                        tasks.iter().for_each(|task| script.line(&format!("{task},")));
                        Ok(())
                    })?;
                }
            }
            Ok(())
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
    /// Several addresses to listen on; with port 0 all get the same free port
    addrs: Option<Vec<SocketAddr>>,
    /// Name and port to listen on, at all addresses of the name
    host: Option<String>,
    /// Inherited descriptor instead of an address
    fd: Option<i32>,
    /// Inherited descriptor by its name in LISTEN_FDNAMES
    named_fd: Option<String>,
    /// Do not check the type of the descriptor
    fd_force: bool,
    /// Each connection gets a task of its own; otherwise they are served one after another
    autospawn: bool,
    /// One connection only
    oneshot: bool,
    /// Connections that may wait to be accepted; 1024, or 1 with oneshot
    backlog: Option<u32>,
}

impl ListenTcpOpts {
    fn check(&self) -> RhResult<()> {
        let places = [
            self.addr.is_some(),
            self.addrs.is_some(),
            self.host.is_some(),
            self.fd.is_some(),
            self.named_fd.is_some(),
        ];
        if places.into_iter().filter(|given| *given).count() != 1 {
            return Err("where to listen? Give one of the options `addr`, `addrs`, `host`, `fd`, `named_fd`".into());
        }
        if self.fd.is_some() || self.named_fd.is_some() || self.fd_force {
            return Err(
                "listening on an inherited descriptor (`fd`, `named_fd`) does not exist in this version yet".into()
            );
        }
        Ok(())
    }

    async fn addresses(&self) -> Result<Vec<SocketAddr>> {
        if let Some(name) = &self.host {
            return match name.rsplit_once(':').map(|(host, port)| (host, port.parse())) {
                // Whatever the hosts file says of it: both loopback addresses.
                Some(("localhost", Ok(port))) => Ok(loopback(port).to_vec()),
                _ => SystemResolver.lookup(name).await.map_err(lookup_error),
            };
        }
        Ok(self.addrs.clone().unwrap_or_default().into_iter().chain(self.addr).collect())
    }
}

/// A task that listens on TCP. When it can be connected to it calls one function with the address (the first of several)
/// and waits for the task that it gives; then it calls another for each connection, with socket and address of the peer.
/// An error of a connection ends only that connection, unless it is the only one (`oneshot`).
fn listen_tcp(
    ctx: NativeCallContext<'_>,
    opts: RhOpts<(ListenTcpOpts, ClientLimitOpts, BindOpts, TcpStreamOpts)>,
    when_listening: RhFn<(SocketAddr,)>,
    on_accept: RhFn<(Handle<StreamSocket>, SocketAddr)>,
) -> RhResult<TaskHandle> {
    let mut reader = OptsReader::new(opts)?;
    let opts: ListenTcpOpts = reader.take()?;
    let limits: ClientLimitOpts = reader.take()?;
    let (bind, stream): (BindOpts, TcpStreamOpts) = (reader.take()?, reader.take()?);
    reader.finish()?;
    opts.check()?;
    let options = ListenOptions {
        bind_options: bind.options(),
        route_options: stream.route_options(),
        stream_options: stream.stream_options(),
        backlog: opts.backlog.or(opts.oneshot.then_some(1)),
    };
    if !opts.oneshot {
        Scenario::of(&ctx)?.mark_server();
    }
    let when_listening = Callback::new(&ctx, when_listening)?;
    let on_accept = Callback::new(&ctx, on_accept)?;
    let finishers = Scenario::of(&ctx)?.finishers.clone();
    Ok(task(async move {
        let addrs = opts.addresses().await?;
        let listener =
            Listener::bind(&addrs, options).map_err(|e| Error::with_source(Kind::Listen, e.to_string(), e))?;
        if let Some(addr) = listener.addresses().first() {
            run(when_listening.task((*addr,))?).await?;
        }
        for addr in listener.addresses() {
            tracing::info!("listening on {addr}");
        }
        let stop = on_accept.stop().clone();
        let _finisher = finishers.enter();
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
            let socket = self.listener.accept().await.map_err(|e| {
                let addrs: Vec<_> = self.listener.addresses().iter().map(ToString::to_string).collect();
                Error::with_source(Kind::Listen, format!("cannot accept connections on {}", addrs.join(", ")), e)
            })?;
            if let Some((socket, seat)) = admit(&self.limits, socket) {
                let (name, session) = session(self.on_accept.for_session(self.on_accept.stop().session()), socket);
                return Ok(Connection { name, session, seat });
            }
        }
    }
}

/// The connection with its seat, or None: it is closed, there are too many.
fn admit(limits: &ClientLimits, mut socket: StreamSocket) -> Option<(StreamSocket, Seat)> {
    let from = match &socket.info.peer {
        Some(Address::Ip(addr)) => Some(addr.ip()),
        _ => None,
    };
    let (full, seat) = match limits.admit(from) {
        Admission::Welcome(seat) => return Some((socket, seat)),
        Admission::Told(seat, full) => (full, Some(seat)),
        Admission::Closed(full) => (full, None),
    };
    // Once for each time that it becomes full: a crowd outside shall not fill the log.
    if full.again {
        tracing::debug!("{}: refused: {full}", socket.info.describe());
    } else {
        tracing::warn!("{}: refused: {full}", socket.info.describe());
    }
    let seat = seat?;
    let mut info = Arc::unwrap_or_clone(socket.info);
    info.busy = true;
    socket.info = Arc::new(info);
    Some((socket, seat))
}

/// One connection, from the script's function to its end, with its name for messages. Calling the function is a stage of its
/// own: what it needed is gone while the connection lives.
fn session(on_accept: Callback, socket: StreamSocket) -> (Box<str>, Task) {
    let name = socket.info.describe().into();
    let from = match &socket.info.peer {
        Some(Address::Ip(addr)) => *addr,
        // The listener fills it in; a kernel that knows no peer has nothing better either.
        _ => (Ipv4Addr::UNSPECIFIED, 0).into(),
    };
    (name, Box::pin(async move { Ok(Flow::Then(on_accept.task((handle(socket), from))?)) }))
}

pub(super) fn register(engine: &mut Engine) {
    register!(engine, listen_tcp);
}
