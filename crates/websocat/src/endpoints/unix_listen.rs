//! `unix-listen:`, `abstract-listen:`, `seqpacket-listen:` and `listen_unix`, `listen_seqpacket`: servers on UNIX sockets.
//!
//! What is said of connections and draining in `tcp_listen.rs` holds here, too.

use super::{
    client_limits::{ClientLimitOpts, ClientLimits, Seat},
    inherited_fd::{self, InheritedOpts, is_inherited, take_listener},
    socket_args::{OptionGroup, Sockets},
    sockopts::BacklogOpts,
    unix_place::{BufferOpts, SCRIPT_MAX_SEND, SeqpacketOpts, address, is_text, parts, place, socket_kind},
};
use crate::{
    error::{Error, Kind, Result},
    functions::serve::{Connection, Serving, Source, serve},
    register,
    scenario::{
        Callback, Flow, Handle, OptsReader, RhFn, RhOpts, RhResult, Scenario, Task, TaskHandle, handle, run, task,
    },
    spec::{About, EndpointSpec, Form, Listening, OptionMap, Script, SocketKind, Then, os_literal},
};
use rhai::{Engine, NativeCallContext};
use serde::Deserialize;
use sockets::{
    info::SocketInfo,
    net::{
        inherited_socket::{Wanted, Which},
        kernel_stream::{KernelStream, kernel_socket},
        unix::{UnixAddress, UnixKind, UnixListenOptions, UnixListener, UnixPlace, seqpacket_socket},
    },
    socket::{DatagramSocket, StreamSocket},
};
use std::{
    ffi::{OsStr, OsString},
    sync::Arc,
};

/// A server on a UNIX socket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnixListen {
    pub kind: UnixKind,
    pub on: ListenOn,
}

/// What it listens on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ListenOn {
    Place(UnixPlace),
    /// Somebody else has made it.
    Inherited(Which),
}

/// Options of listeners with a socket file.
#[derive(Clone, Copy, Debug, Default, clap::Args)]
pub struct SocketFileArgs {
    /// Remove a socket file that nobody serves any more before listening, and our own one at the end
    #[arg(long)]
    pub unlink: bool,
    /// Only the owner may connect to the socket file (mode 0600)
    #[arg(long)]
    pub chmod_owner: bool,
    /// Owner and group may connect to the socket file (mode 0660)
    #[arg(long)]
    pub chmod_group: bool,
    /// Everybody may connect to the socket file (mode 0666)
    #[arg(long)]
    pub chmod_everyone: bool,
}

impl SocketFileArgs {
    /// More than one kind of permissions was asked for.
    pub fn contradicts_itself(self) -> bool {
        [self.chmod_owner, self.chmod_group, self.chmod_everyone].into_iter().filter(|asked| *asked).count() > 1
    }

    /// In words, for `--explain`.
    fn explain(self) -> String {
        let who = match self {
            Self { chmod_owner: true, .. } => " Only its owner may connect.",
            Self { chmod_group: true, .. } => " Its owner and group may connect.",
            Self { chmod_everyone: true, .. } => " Everybody may connect.",
            _ => "",
        };
        let unlink = if self.unlink {
            " A file that nobody serves any more is replaced, and its own removed at the end."
        } else {
            ""
        };
        format!("{who}{unlink}")
    }

    /// Permissions; the narrowest that was asked for.
    fn mode(self) -> Option<&'static str> {
        match self {
            Self { chmod_owner: true, .. } => Some("0o600"),
            Self { chmod_group: true, .. } => Some("0o660"),
            Self { chmod_everyone: true, .. } => Some("0o666"),
            _ => None,
        }
    }
}

impl UnixListen {
    /// Unless it is inherited.
    pub fn address(&self) -> Option<UnixAddress> {
        match &self.on {
            ListenOn::Place(place) => Some(UnixAddress { kind: self.kind, place: place.clone() }),
            ListenOn::Inherited(_) => None,
        }
    }

    /// It makes a file.
    pub fn has_file(&self) -> bool {
        matches!(self.on, ListenOn::Place(UnixPlace::Path(_)))
    }

    /// What is announced of it behind `proto=`.
    fn announced(&self) -> String {
        let hex = |text: &OsStr| text.as_encoded_bytes().iter().map(|b| format!("{b:02x}")).collect::<String>();
        let suffix = if self.kind == UnixKind::Seqpacket { "_seqpacket" } else { "" };
        match &self.on {
            ListenOn::Inherited(which) => format!("unix{suffix},{}", inherited_fd::announced(which)),
            ListenOn::Place(UnixPlace::Abstract(name)) => format!("abstract{suffix},path_hex={}", hex(name)),
            ListenOn::Place(UnixPlace::Path(path)) => match path.to_str() {
                Some(text) => format!("unix{suffix},path={text:?}"),
                None => format!("unix{suffix},path_hex={}", hex(path.as_os_str())),
            },
        }
    }
}

impl EndpointSpec for UnixListen {
    const FORMS: &'static [Form] = &[
        Form {
            name: "unix-listen",
            prefixes: &["unix-listen:", "listen-unix:", "unix-l:", "l-unix:"],
            value: "PATH",
            doc: "Accepts connections on a UNIX stream socket, whose file is made. See `--unlink` and `--chmod-owner`.",
        },
        Form {
            name: "abstract-listen",
            prefixes: &["abstract-listen:", "listen-abstract:", "abstract-l:", "l-abstract:", "l-abs:", "abs-l:"],
            value: "NAME",
            doc: "Accepts connections on a UNIX stream socket with an abstract name, which is no file (Linux).",
        },
        Form {
            name: "seqpacket-listen",
            prefixes: &["seqpacket-listen:", "listen-seqpacket:", "seqpacket-l:", "l-seqpacket:", "l-seqp:", "seqp-l:"],
            value: "PATH",
            doc: "Accepts connections on a UNIX SEQPACKET socket, whose file is made; see `seqpacket:`.",
        },
        Form {
            name: "abstract-seqpacket-listen",
            prefixes: &[
                "abstract-seqpacket-listen:",
                "abstract-seqpacket-l:",
                "seqpacket-abstract-listen:",
                "seqpacket-abstract-l:",
                "abs-seqp-l:",
                "seqp-abs-l:",
                "l-abs-seqp:",
                "l-seqp-abs:",
            ],
            value: "NAME",
            doc: "Accepts connections on a UNIX SEQPACKET socket with an abstract name (Linux).",
        },
        Form {
            name: "unix-listen-fd",
            prefixes: &["unix-listen-fd:", "listen-unix-fd:", "unix-l-fd:", "l-unix-fd:"],
            value: "FD",
            doc: "Accepts connections on a listening UNIX stream socket that this program was started with.",
        },
        Form {
            name: "unix-listen-fdname",
            prefixes: &["unix-listen-fdname:", "listen-unix-fdname:", "unix-l-fdname:", "l-unix-fdname:"],
            value: "FDNAME",
            doc: "The same by the name that a service manager gave it (LISTEN_FDNAMES).",
        },
        Form {
            name: "seqpacket-listen-fd",
            prefixes: &[
                "seqpacket-listen-fd:",
                "listen-seqpacket-fd:",
                "seqpacket-l-fd:",
                "l-seqpacket-fd:",
                "l-seqp-fd:",
                "seqp-l-fd:",
            ],
            value: "FD",
            doc: "Accepts connections on a listening UNIX SEQPACKET socket that this program was started with.",
        },
        Form {
            name: "seqpacket-listen-fdname",
            prefixes: &[
                "seqpacket-listen-fdname:",
                "listen-seqpacket-fdname:",
                "seqpacket-l-fdname:",
                "l-seqpacket-fdname:",
                "l-seqp-fdname:",
                "seqp-l-fdname:",
            ],
            value: "FDNAME",
            doc: "The same by the name that a service manager gave it (LISTEN_FDNAMES).",
        },
    ];

    fn parse(form: &'static Form, value: &OsStr) -> Result<Self> {
        if is_inherited(form) {
            let kind = if form.name.starts_with("seqpacket") { UnixKind::Seqpacket } else { UnixKind::Stream };
            return Ok(Self { kind, on: ListenOn::Inherited(inherited_fd::parse(form, value)?) });
        }
        let UnixAddress { kind, place } = address(form, value)?;
        Ok(Self { kind, on: ListenOn::Place(place) })
    }

    fn kind(&self) -> Option<SocketKind> {
        Some(socket_kind(self.kind))
    }

    fn is_listener(&self) -> bool {
        true
    }

    fn sockets(&self) -> Sockets {
        let groups: &[OptionGroup] = match self.on {
            ListenOn::Place(_) => &[OptionGroup::Backlog, OptionGroup::Buffers],
            ListenOn::Inherited(_) => &[OptionGroup::Buffers],
        };
        Sockets { groups, v6: None }
    }

    fn explain(&self, about: &About<'_>) -> String {
        let place = match (&self.on, self.address()) {
            (ListenOn::Inherited(which), _) => format!("{which}, which was inherited"),
            (_, Some(address)) => format!("the {}", super::unix_place::explain(&address)),
            (_, None) => "a UNIX socket".to_owned(),
        };
        let mut ready = about.args.endpoints.listen.explain();
        if self.has_file() {
            ready.insert_str(0, &about.args.endpoints.socket_file.explain());
        }
        if about.one_connection {
            return format!("Waits for one connection on {place}.{ready}");
        }
        let limits = about.args.endpoints.client_limits.explain();
        format!("Accepts connections on {place}{limits}.{ready}")
    }

    fn emit(&self, script: &mut Script, then: &mut Then<'_>) -> Result<()> {
        let Listening { autospawn, oneshot } = script.listening;
        let endpoints = &script.args.endpoints;
        let files = endpoints.socket_file;
        if let (true, ListenOn::Place(place)) = (endpoints.listen.accept_from_fd, &self.on) {
            let (prefix, place) = (if self.kind == UnixKind::Seqpacket { "seqpacket" } else { "unix" }, parts(place).0);
            return Err(Error::usage(format!(
                "--accept-from-fd is part of the prefix now: write {prefix}-listen-fd:{}, or {prefix}-listen-fdname:NAME",
                place.display()
            )));
        }
        let (mut map, path) = match &self.on {
            ListenOn::Inherited(which) => (inherited_fd::option_map(which), OsStr::new("")),
            ListenOn::Place(place) => {
                let (path, is_abstract) = parts(place);
                (OptionMap::new().flag("abstract", is_abstract), path)
            }
        };
        if self.has_file() {
            map = map.flag("unlink", files.unlink).number("chmod", files.mode());
        }
        map = map.flag("autospawn", autospawn).flag("oneshot", oneshot);
        let limits = endpoints.client_limits;
        if limits.is_limited() && !oneshot {
            map.extend(&ClientLimitOpts { refuse_by_http: script.http_first, ..limits })?;
        }
        let sockets = script.socket_options();
        if matches!(self.on, ListenOn::Place(_)) {
            map.extend(&sockets.backlog.unless_usual(oneshot))?;
        }
        map.extend(&BufferOpts::of(&sockets.packet))?;
        let (function, stem) = match self.kind {
            UnixKind::Stream => ("listen_unix", "unix"),
            UnixKind::Seqpacket => {
                let max = endpoints.seqpacket.seqpacket_max_send_datagram_size;
                map = map.flag("text", is_text(&script.args)).number_unless(
                    "max_send_datagram_size",
                    Some(max),
                    SCRIPT_MAX_SEND,
                );
                ("listen_seqpacket", "seqpacket")
            }
        };
        let tasks = script.args.endpoints.listen.tasks(&self.announced(), None);
        let socket = script.var(stem);
        let open = format!("{function}({map}, {}, || {{", os_literal(path));
        script.nest(&open, &format!("}}, |{socket}| {{"), &mut |script| script.in_sequence(&tasks))?;
        script.indent(&mut |script| then(script, socket.clone()))?;
        script.line("})");
        Ok(())
    }
}

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
        let which = self.inherited.which().map_err(crate::scenario::script_error)?;
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
        give: impl Fn(&Callback, KernelStream, SocketInfo) -> Result<crate::scenario::Task> + Send + Sync + 'static,
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
    G: Fn(&Callback, KernelStream, SocketInfo) -> Result<crate::scenario::Task> + Send + Sync + 'static,
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
        on_accept.task((handle(kernel_socket(socket, info)),))
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
        on_accept.task((handle(seqpacket_socket(socket, info, &options)),))
    })
}

/// Removes a file, whatever it is. With the flag a failure throws; otherwise it is nothing to speak of.
fn unlink_file(path: OsString, bail_if_fails: bool) -> RhResult<()> {
    match std::fs::remove_file(&path) {
        // Something that the script can catch.
        Err(e) if bail_if_fails => Err(format!("cannot remove {}: {e}", path.display()).into()),
        Err(error) => {
            tracing::debug!(%error, "cannot remove {}", path.display());
            Ok(())
        }
        Ok(()) => Ok(()),
    }
}

pub(super) fn register(engine: &mut Engine) {
    register!(engine, listen_unix, listen_seqpacket, unlink_file);
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
            ("unlink_file(osstr_str(`/nonexistent/x`), true)".to_owned(), "cannot remove /nonexistent/x"),
        ] {
            let e = eval_error(&script);
            assert!(e.contains(part), "{script}: {e}");
        }
    }

    #[tokio::test]
    async fn unlink_file_removes_a_file() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let path = file.path().display().to_string();
        for _ in 0..2 {
            run_script(&format!("unlink_file(osstr_str(`{path}`), false); dummy_task()")).await.unwrap();
            assert!(!file.path().exists());
        }
    }
}
