//! `listen_unix` and `listen_seqpacket`: the task of a listener on a UNIX socket, and its connections as sessions.
//!
//! What is said of connections and draining in `tcp_listen.rs` holds here, too.

use super::super::{
    client_limits::{ClientLimitOpts, ClientLimits, Seat},
    inherited_fd::{InheritedOpts, take_listener},
    sockopts::BacklogOpts,
    unix_place::{BufferOpts, SeqpacketOpts, place},
};
use crate::{
    error::{Error, Kind, Result},
    functions::serve::{Connection, Serving, Source, serve},
    register,
    scenario::{
        Callback, Flow, Handle, OptsReader, RhFn, RhOpts, RhResult, Scenario, Task, TaskHandle, fresh, run,
        script_error, task,
    },
};
use rhai::{Engine, NativeCallContext};
use serde::Deserialize;
use sockets::{
    info::SocketInfo,
    net::{
        inherited_socket::Wanted,
        kernel_stream::{KernelStream, kernel_socket},
        unix::{UnixAddress, UnixKind, UnixListenOptions, UnixListener, seqpacket_socket},
    },
    socket::{DatagramSocket, StreamSocket},
};
use std::{ffi::OsString, sync::Arc};

/// Options of `listen_unix` and `listen_seqpacket`.
#[derive(Default, Deserialize)]
#[serde(default)]
struct ListenUnixOpts {
    /// The path is a name in the abstract namespace (Linux)
    #[serde(rename = "abstract")]
    is_abstract: bool,
    /// Permissions of the socket file, whatever the umask; set before anybody can connect
    chmod: Option<u32>,
    /// Remove a socket file that nobody serves before, and the own one at the end
    unlink: bool,
    /// Each connection gets a task of its own; otherwise they are served one after another
    autospawn: bool,
    /// One connection only
    oneshot: bool,
}

/// All that is said of a listener.
struct Listen {
    kind: UnixKind,
    opts: ListenUnixOpts,
    inherited: InheritedOpts,
    limits: ClientLimitOpts,
    backlog: Option<u32>,
    buffers: BufferOpts,
    path: OsString,
}

impl Listen {
    fn read(reader: &mut OptsReader, kind: UnixKind, path: OsString) -> RhResult<Self> {
        let (opts, inherited, limits) = (reader.take()?, reader.take()?, reader.take()?);
        let (BacklogOpts { backlog }, buffers) = (reader.take()?, reader.take()?);
        let this = Self { kind, opts, inherited, limits, backlog, buffers, path };
        let ListenUnixOpts { is_abstract, chmod, unlink, .. } = this.opts;
        let inherited = this.inherited.which()?.is_some();
        if inherited && !this.path.is_empty() {
            return Err("the path must be empty where an inherited descriptor is used (`fd`, `named_fd`)".into());
        }
        if inherited && (is_abstract || chmod.is_some() || unlink || backlog.is_some()) {
            return Err("an inherited descriptor takes none of `abstract`, `chmod`, `unlink` and `backlog`".into());
        }
        if !inherited && this.path.is_empty() {
            return Err("where to listen? Give a path, or one of the options `fd` and `named_fd`".into());
        }
        if is_abstract && (chmod.is_some() || unlink) {
            return Err("an abstract name has no file for `chmod` and `unlink`".into());
        }
        Ok(this)
    }

    fn listener(&self) -> Result<UnixListener> {
        let failed = |what: String, e| Error::with_source(Kind::Listen, what, e);
        let wanted = match self.kind {
            UnixKind::Stream => Wanted::UnixListener,
            UnixKind::Seqpacket => Wanted::SeqpacketListener,
        };
        let which = self.inherited.which().map_err(script_error)?;
        if let Some(which) = which {
            let socket = take_listener(&which, wanted, self.inherited.fd_force)?;
            return UnixListener::adopt(socket, self.buffers.options())
                .map_err(|e| failed(format!("cannot listen on {which}"), e));
        }
        let address = UnixAddress { kind: self.kind, place: place(self.path.clone(), self.opts.is_abstract) };
        let ListenUnixOpts { unlink, chmod, oneshot, .. } = self.opts;
        let (backlog, buffers) = (self.backlog.or(oneshot.then_some(1)), self.buffers.options());
        let options = UnixListenOptions { unlink, mode: chmod, backlog, buffers };
        UnixListener::bind(address, &options).map_err(|e| Error::with_source(Kind::Listen, e.to_string(), e))
    }

    /// The listener's task; `give` calls the function of a connection.
    fn task(
        self,
        ctx: &NativeCallContext<'_>,
        when_listening: RhFn<()>,
        on_accept: RhFn<()>,
        give: impl Fn(&Callback, KernelStream, SocketInfo) -> Result<Task> + Send + Sync + 'static,
    ) -> RhResult<TaskHandle> {
        let ListenUnixOpts { autospawn, oneshot, .. } = self.opts;
        if !oneshot {
            Scenario::of(ctx)?.mark_server();
        }
        let when_listening = Callback::new(ctx, when_listening)?;
        let on_accept = Callback::new(ctx, on_accept)?;
        Ok(task(async move {
            let listener = self.listener()?;
            run(when_listening.task(())?).await?;
            tracing::info!("listening on {}", listener.name());
            let stop = on_accept.stop().clone();
            let limits = ClientLimits::new(self.limits);
            let connections = Connections { listener, limits, on_accept, give: Arc::new(give) };
            serve(connections, &stop, Serving { autospawn, oneshot }).await
        }))
    }
}

/// A listener with its limits.
struct Connections<G> {
    listener: UnixListener,
    limits: ClientLimits,
    on_accept: Callback,
    give: Arc<G>,
}

impl<G> Source for Connections<G>
where
    G: Fn(&Callback, KernelStream, SocketInfo) -> Result<Task> + Send + Sync + 'static,
{
    type Seat = Seat;

    async fn next(&mut self) -> Result<Connection<Seat>> {
        loop {
            let (socket, mut info) = self.listener.accept().await.map_err(|e| {
                Error::with_source(Kind::Listen, format!("cannot accept connections on {}", self.listener.name()), e)
            })?;
            let Some(seat) = self.limits.seat(None, &mut info) else { continue };
            let name = info.describe().into();
            let (give, on_accept) = (self.give.clone(), self.on_accept.for_session());
            let session = Task::new(async move { Ok(Flow::Then(give(&on_accept, socket, info)?)) });
            return Ok(Connection { name, session, seat });
        }
    }
}

/// A task that listens on a UNIX stream socket. When it can be connected to it calls one function and waits for the task that
/// it gives; then it calls another for each connection. The path is empty where an inherited descriptor is used. An error of
/// a connection ends only that connection, unless it is the only one (`oneshot`).
fn listen_unix(
    ctx: NativeCallContext<'_>,
    opts: RhOpts<(ListenUnixOpts, InheritedOpts, ClientLimitOpts, BacklogOpts, BufferOpts)>,
    path: OsString,
    when_listening: RhFn<()>,
    on_accept: RhFn<(Handle<StreamSocket>,)>,
) -> RhResult<TaskHandle> {
    let mut reader = OptsReader::new(opts)?;
    let listen = Listen::read(&mut reader, UnixKind::Stream, path)?;
    reader.finish()?;
    listen.task(&ctx, when_listening, on_accept, |on_accept, socket, info| {
        on_accept.task((fresh(kernel_socket(socket, info)),))
    })
}

/// A task that listens on a UNIX SEQPACKET socket, as `listen_unix` does.
fn listen_seqpacket(
    ctx: NativeCallContext<'_>,
    opts: RhOpts<(ListenUnixOpts, InheritedOpts, ClientLimitOpts, BacklogOpts, BufferOpts, SeqpacketOpts)>,
    path: OsString,
    when_listening: RhFn<()>,
    on_accept: RhFn<(Handle<DatagramSocket>,)>,
) -> RhResult<TaskHandle> {
    let mut reader = OptsReader::new(opts)?;
    let listen = Listen::read(&mut reader, UnixKind::Seqpacket, path)?;
    let options = reader.take::<SeqpacketOpts>()?.options(listen.buffers);
    reader.finish()?;
    listen.task(&ctx, when_listening, on_accept, move |on_accept, socket, info| {
        on_accept.task((fresh(seqpacket_socket(socket, info, &options)),))
    })
}

pub(super) fn register(engine: &mut Engine) {
    register!(engine, listen_unix, listen_seqpacket);
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use crate::functions::testing::{eval_error, run_script};

    #[tokio::test]
    async fn both_ends_in_one_script() {
        // With a name that is short enough for a socket file, whatever TMPDIR is.
        let directory = tempfile::Builder::new().prefix("ws").tempdir_in("/tmp").unwrap();
        let path = directory.path().join("s").display().to_string();
        for (options, kind) in
            [("", "unix"), ("abstract: true,", "unix"), ("", "seqpacket"), ("abstract: true,", "seqpacket")]
        {
            let (mock, exchange) = match kind {
                "unix" => ("mock_stream_socket(`W over it|D`)", "exchange_bytes(#{unidirectional: true}"),
                _ => (
                    "line_chunks(#{}, mock_stream_socket(`W over it\n|D`))",
                    "exchange_packets(#{unidirectional: true}",
                ),
            };
            let said = match kind {
                "unix" => "mock_stream_socket(`R over it`)",
                _ => "line_chunks(#{}, mock_stream_socket(`R over it\n`))",
            };
            let script = format!(
                "listen_{kind}(#{{{options} oneshot: true, unlink: {unlink}}}, osstr_str(`{path}`), || {{
                    spawn_task(connect_{kind}(#{{{options} timeout_ms: 10000}}, osstr_str(`{path}`), |s| {{
                        {exchange}, {said}, s)
                    }}));
                    dummy_task()
                }}, |s| {{
                    note(str(get_fd(s) > 2));
                    {exchange}, s, {mock})
                }})",
                unlink = options.is_empty(),
            );
            assert_eq!(run_script(&script).await.unwrap(), "true", "{script}");
        }
    }

    #[tokio::test]
    async fn inherited_descriptors_are_looked_at() {
        let script = r#"listen_unix(#{fd: 1000000}, osstr_str(""), || dummy_task(), |s| dummy_task())"#;
        let (e, _) = run_script(script).await.unwrap_err();
        assert_eq!((e.exit_code(), e.to_string().contains("descriptor 1000000 is not open")), (24, true), "{e}");
    }

    #[test]
    fn wrong_options_are_named() {
        let listen = |function: &str, options: &str, path: &str| {
            format!("listen_{function}(#{{{options}}}, osstr_str(`{path}`), || dummy_task(), |s| dummy_task())")
        };
        for (script, part) in [
            (listen("unix", "", ""), "where to listen?"),
            (listen("unix", "fd: 3", "x"), "the path must be empty"),
            (listen("unix", "fd: 3, named_fd: `x`", ""), "not both"),
            (listen("unix", "fd: 3, chmod: 0o600", ""), "an inherited descriptor takes none of"),
            (listen("unix", "abstract: true, unlink: true", "x"), "an abstract name has no file"),
            (listen("unix", "fd_force: true", "x"), "`fd_force` needs"),
            (listen("unix", "text: true", "x"), "unknown option `text`"),
            (listen("seqpacket", "text: 1", "x"), "`text`"),
            (listen("seqpacket", "chmod: -1", "x"), "`chmod`"),
            ("connect_unix(#{text: true}, osstr_str(`x`), |s| dummy_task())".to_owned(), "unknown option `text`"),
        ] {
            let e = eval_error(&script);
            assert!(e.contains(part), "{script}: {e}");
        }
    }
}
