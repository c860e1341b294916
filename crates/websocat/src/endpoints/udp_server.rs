//! `udp-server:` and `udp_server`: a session for each address from which datagrams come.
//!
//! Receiving, queues and timeouts are in `sockets::net::udp::server`; here each new client becomes a session with a stop
//! token of its own, as the connections of other listeners do.

use super::{
    datagram_sockopts::DatagramOpts,
    inherited_fd::{self, InheritedOpts},
    listen_address::ListenAddress,
    listen_places::{PlaceOpts, WantedPlace},
    socket_args::Sockets,
    sockopts::{BindOpts, PacketOpts},
    udp::{Place, SCRIPT_LIMIT, VALUE, inherited, open_error, take_socket_options, with_common_options},
};
use crate::{
    error::Result,
    functions::{
        outcome,
        serve::{Connection, Serving, Source, serve},
    },
    register,
    scenario::{Callback, Flow, Handle, OptsReader, RhFn, RhOpts, RhResult, Scenario, TaskHandle, fresh, run, task},
    spec::{About, EndpointSpec, Form, OptionMap, Script, SocketKind, Then, time_in_words},
};
use rhai::{Engine, NativeCallContext};
use serde::Deserialize;
use sockets::{
    net::{
        resolve::SystemResolver,
        udp::{
            LONGEST, open_all,
            server::{MAX_CLIENTS, QUEUE, QUEUE_BYTES, Server, ServerOptions, TOTAL_BYTES},
        },
    },
    socket::DatagramSocket,
    stop::Stop,
};
use std::{
    ffi::OsStr,
    future::{Future as _, poll_fn},
    net::SocketAddr,
    pin::pin,
    task::Poll,
    time::Duration,
};
use tokio::task::JoinSet;

/// A UDP server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UdpServer {
    pub place: Place,
}

impl EndpointSpec for UdpServer {
    const FORMS: &'static [Form] = &[
        Form {
            name: "udp-server",
            prefixes: &["udp-server:"],
            value: VALUE,
            doc: "Hears UDP datagrams and makes a session for each address from which some come. Answers go back from the \
                  same port. Sessions end when the other side does, by --udp-server-timeout-ms, or when there are too many.",
        },
        Form {
            name: "udp-server-fd",
            prefixes: &["udp-server-fd:"],
            value: "FD",
            doc: "The same with a bound UDP socket that this program was started with (Unix).",
        },
        Form {
            name: "udp-server-fdname",
            prefixes: &["udp-server-fdname:"],
            value: "NAME",
            doc: "The same with a bound UDP socket that has this name in LISTEN_FDNAMES (Unix).",
        },
    ];

    fn parse(form: &'static Form, value: &OsStr) -> Result<Self> {
        Place::parse(form, value).map(|place| Self { place })
    }

    fn kind(&self) -> Option<SocketKind> {
        Some(SocketKind::Datagram)
    }

    fn is_listener(&self) -> bool {
        true
    }

    fn sockets(&self) -> Sockets {
        self.place.sockets()
    }

    fn explain(&self, about: &About<'_>) -> String {
        let place = self.place.explain();
        let ready = about.args.endpoints.listen.explain();
        if about.one_connection {
            return format!("Hears UDP datagrams on {place} and serves who sends the first one.{ready}");
        }
        let args = &about.args.endpoints.udp;
        let clients = args.udp_server_max_clients.unwrap_or(MAX_CLIENTS);
        let timeout = args.udp_server_timeout_ms.map(time_in_words);
        let end = match timeout {
            Some(time) => format!("One that is silent for {time} is forgotten."),
            None => "The one that was silent for longest is forgotten when there is no room for another.".to_owned(),
        };
        format!("Hears UDP datagrams on {place}; each sender is a client, {clients} at most at a time. {end}{ready}")
    }

    fn emit(&self, script: &mut Script, then: &mut Then<'_>) -> Result<()> {
        let map = match &self.place {
            Place::Address(ListenAddress::Address(addr)) => OptionMap::new().text("bind", &addr.to_string()),
            Place::Address(address) => address.option_map(),
            Place::Inherited(which) => inherited_fd::option_map(which),
        };
        let args = script.args.endpoints.udp.clone();
        let map = map
            .flag("oneshot", script.listening.oneshot)
            .number("timeout_ms", args.udp_server_timeout_ms)
            .number_unless("max_clients", args.udp_server_max_clients, MAX_CLIENTS)
            .number("buffer_size", args.udp_server_buffer_size)
            .number_unless("qlen", args.udp_server_qlen, QUEUE)
            .number_unless("qbytes", args.udp_server_qbytes.map(|size| size.0), QUEUE_BYTES as u64)
            .flag("backpressure", args.udp_server_backpressure)
            .flag("inhibit_send_errors", args.udp_bind_inhibit_send_errors);
        let map = with_common_options(map, script, matches!(self.place, Place::Address(_)))?;
        let addr = script.var("addr");
        let tasks = script.args.endpoints.listen.tasks("udp", Some(&addr));
        let (udp, from) = (script.var("udp"), script.var("from"));
        script.nest(&format!("udp_server({map}, |{addr}| {{"), &format!("}}, |{udp}, {from}| {{"), &mut |script| {
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
        script.indent(&mut |script| then(script, udp.clone()))?;
        script.line("})");
        Ok(())
    }
}

/// Options of `udp_server` beside those of sockets. One of `bind`, `addrs`, `host`, `fd` and `named_fd` says where.
#[derive(Default, Deserialize)]
#[serde(default)]
struct UdpServerOpts {
    /// Address to hear
    bind: Option<SocketAddr>,
    /// Only the first client is served
    oneshot: bool,
    /// Milliseconds without a datagram in either direction after which a client is let go; absent: never
    timeout_ms: Option<u64>,
    /// Clients at a time: the one from whom nothing came for longest makes room; 4096 when absent
    max_clients: Option<usize>,
    /// Datagrams that are longer, in bytes, are cut, with a warning; absent: none are
    buffer_size: Option<usize>,
    /// Datagrams that wait for each client's session; 256 when absent
    qlen: Option<usize>,
    /// Bytes of them, 4 more for each; one waits however long it is. 4 MiB when absent; for all clients 64 MiB, or as much as
    /// for one
    qbytes: Option<usize>,
    /// Received datagrams count as text, unchecked
    tag_as_text: bool,
    /// While a queue is full nothing is received for anybody; otherwise datagrams are dropped, with a warning
    backpressure: bool,
    /// What cannot be sent is lost, with a warning
    inhibit_send_errors: bool,
    /// Longest message that is sent, in bytes; 655360 when absent
    max_send_datagram_size: Option<usize>,
}

impl UdpServerOpts {
    fn check(&self) -> RhResult<()> {
        for (option, value) in [
            ("max_clients", self.max_clients),
            ("buffer_size", self.buffer_size),
            ("qlen", self.qlen),
            ("qbytes", self.qbytes),
        ] {
            if value == Some(0) {
                return Err(format!("option `{option}`: must be at least 1").into());
            }
        }
        Ok(())
    }

    fn server_options(&self) -> ServerOptions {
        ServerOptions {
            timeout: self.timeout_ms.map(Duration::from_millis),
            max_clients: self.max_clients.unwrap_or(MAX_CLIENTS),
            buffer_size: self.buffer_size.unwrap_or(LONGEST),
            queue: self.qlen.unwrap_or(QUEUE),
            queue_bytes: self.qbytes.unwrap_or(QUEUE_BYTES),
            total_bytes: self.qbytes.unwrap_or(0).max(TOTAL_BYTES),
            backpressure: self.backpressure,
            text: self.tag_as_text,
            inhibit_send_errors: self.inhibit_send_errors,
            max_send: self.max_send_datagram_size.unwrap_or(SCRIPT_LIMIT),
        }
    }
}

/// A task that hears UDP datagrams. When it does it calls one function with its address (the first of several) and waits for
/// the task that it gives; then it calls another for each new address that something comes from, with a socket for that
/// client. An error of a client ends only its session.
fn udp_server(
    ctx: NativeCallContext<'_>,
    opts: RhOpts<(UdpServerOpts, PlaceOpts, InheritedOpts, BindOpts, PacketOpts, DatagramOpts)>,
    when_listening: RhFn<(SocketAddr,)>,
    on_accept: RhFn<(Handle<DatagramSocket>, SocketAddr)>,
) -> RhResult<TaskHandle> {
    let mut reader = OptsReader::new(opts)?;
    let opts: UdpServerOpts = reader.take()?;
    let (places, inherits): (PlaceOpts, InheritedOpts) = (reader.take()?, reader.take()?);
    let options = take_socket_options(&mut reader)?;
    reader.finish()?;
    opts.check()?;
    let wanted = places.wanted(("bind", opts.bind), inherits.which()?)?;
    if !opts.oneshot {
        Scenario::of(&ctx)?.mark_server();
    }
    let when_listening = Callback::new(&ctx, when_listening)?;
    let on_accept = Callback::new(&ctx, on_accept)?;
    Ok(task(async move {
        let sockets = match wanted {
            WantedPlace::Inherited(which) => vec![inherited(&which, inherits.fd_force, &options)?],
            WantedPlace::Bound(places) => {
                open_all(&places.addresses(&SystemResolver).await?, &options).map_err(open_error)?
            }
        };
        let server = Server::new(sockets, opts.server_options());
        let addresses = server.addresses();
        if let Some(addr) = addresses.first() {
            run(when_listening.task((*addr,))?).await?;
        }
        for addr in addresses {
            tracing::info!("hearing datagrams at {addr}");
        }
        let stop = on_accept.stop().clone();
        let clients = Clients { server, on_accept };
        if opts.oneshot {
            return clients.serve_first(&stop).await;
        }
        serve(clients, &stop, Serving { autospawn: true, oneshot: false }).await
    }))
}

/// A UDP server with what becomes of its clients.
struct Clients {
    server: Server,
    on_accept: Callback,
}

impl Clients {
    /// The first client's session, for which the server goes on receiving.
    async fn serve_first(mut self, stop: &Stop) -> Result<Flow> {
        let mut drained = pin!(stop.drained());
        let first = poll_fn(|cx| {
            if drained.as_mut().poll(cx).is_ready() {
                return Poll::Ready(None);
            }
            self.server.poll_next(cx).map(Some)
        });
        let Some((socket, from)) = first.await else {
            return Ok(Flow::Done);
        };
        self.server.close_door();
        // A task of its own: a client that sends without pause keeps the server busy, and what it sends has to get on.
        let mut session = JoinSet::new();
        session.spawn(run(self.on_accept.session((fresh(socket), from))));
        let ended = poll_fn(|cx| {
            let ended = session.poll_join_next(cx);
            if ended.is_pending() {
                // Nobody new comes out of it any more.
                while self.server.poll_next(cx).is_ready() {}
            }
            ended
        })
        .await;
        ended.map_or(Ok(None), outcome).map(|_| Flow::Done)
    }
}

impl Source for Clients {
    type Seat = ();

    async fn next(&mut self) -> Result<Connection<()>> {
        let (socket, from) = poll_fn(|cx| self.server.poll_next(cx)).await;
        let name = socket.info.describe().into();
        Ok(Connection { name, session: self.on_accept.session((fresh(socket), from)), seat: () })
    }
}

pub(super) fn register(engine: &mut Engine) {
    register!(engine, udp_server);
}

#[cfg(test)]
mod tests {
    use crate::functions::testing::eval_error;

    #[tokio::test]
    async fn options_that_do_not_fit() {
        for (options, part) in [
            ("#{}", "where to listen"),
            (r#"#{bind: "127.0.0.1:0", fd: 3}"#, "where to listen"),
            (r#"#{fd: 3, named_fd: "x"}"#, "not both"),
            (r#"#{bind: "127.0.0.1:0", max_clients: 0}"#, "`max_clients`: must be at least 1"),
            (r#"#{bind: "127.0.0.1:0", buffer_size: 0}"#, "`buffer_size`: must be at least 1"),
            (r#"#{bind: "127.0.0.1:0", qlen: 0}"#, "`qlen`: must be at least 1"),
            (r#"#{bind: "127.0.0.1:0", qbytes: 0}"#, "`qbytes`: must be at least 1"),
            (r#"#{bind: "127.0.0.1:0", nodelay: true}"#, "unknown option `nodelay`"),
        ] {
            let e = eval_error(&format!("udp_server({options}, |addr| dummy_task(), |udp, from| dummy_task())"));
            assert!(e.contains(part), "{options}: {e}");
        }
    }
}
