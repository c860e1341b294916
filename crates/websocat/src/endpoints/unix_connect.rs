//! `unix:`, `abstract:`, `seqpacket:` and `connect_unix`, `connect_seqpacket`: clients of UNIX sockets.

use super::{
    socket_args::{OptionGroup, Sockets},
    unix_place::{BufferOpts, SCRIPT_MAX_SEND, SeqpacketOpts, address, is_text, parts, place, socket_kind},
};
use crate::{
    error::{Error, Kind, Result},
    register,
    scenario::{Callback, Flow, Handle, OptsReader, RhFn, RhOpts, RhResult, TaskHandle, fresh, task},
    spec::{About, EndpointSpec, Form, OptionMap, Script, SocketKind, Then, os_literal},
};
use rhai::{Engine, NativeCallContext};
use serde::Deserialize;
use sockets::{
    info::SocketInfo,
    net::{
        kernel_stream::{KernelStream, kernel_socket},
        unix::{UnixAddress, UnixConnectOptions, UnixError, UnixKind, connect, seqpacket_socket},
    },
    socket::{DatagramSocket, StreamSocket},
};
use std::{
    ffi::{OsStr, OsString},
    time::Duration,
};

/// A connection to the server of a UNIX socket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnixConnect {
    pub address: UnixAddress,
}

impl EndpointSpec for UnixConnect {
    const FORMS: &'static [Form] = &[
        Form {
            name: "unix",
            prefixes: &["unix:", "unix-connect:", "connect-unix:", "unix-c:", "c-unix:"],
            value: "PATH",
            doc: "Connects to a UNIX stream socket.",
        },
        Form {
            name: "abstract",
            prefixes: &["abstract:", "abstract-connect:", "connect-abstract:", "abstract-c:", "c-abstract:", "abs:"],
            value: "NAME",
            doc: "Connects to a UNIX stream socket with an abstract name, which is no file (Linux).",
        },
        Form {
            name: "seqpacket",
            prefixes: &[
                "seqpacket:",
                "seqpacket-connect:",
                "connect-seqpacket:",
                "seqpacket-c:",
                "c-seqpacket:",
                "seqp:",
            ],
            value: "PATH",
            doc: "Connects to a UNIX SEQPACKET socket, which carries messages. They count as text with `-t`. A read of nothing \
                  is the end, unless more follows it; messages of up to 1 MiB are read.",
        },
        Form {
            name: "abstract-seqpacket",
            prefixes: &[
                "abstract-seqpacket:",
                "abstract-seqpacket-connect:",
                "abstract-seqpacket-c:",
                "seqpacket-abstract:",
                "seqpacket-abstract-connect:",
                "seqpacket-abstract-c:",
                "abs-seqp:",
                "seqp-abs:",
            ],
            value: "NAME",
            doc: "Connects to a UNIX SEQPACKET socket with an abstract name (Linux).",
        },
    ];

    fn parse(form: &'static Form, value: &OsStr) -> Result<Self> {
        Ok(Self { address: address(form, value)? })
    }

    fn kind(&self) -> Option<SocketKind> {
        Some(socket_kind(self.address.kind))
    }

    fn sockets(&self) -> Sockets {
        Sockets { groups: &[OptionGroup::Buffers], v6: None }
    }

    fn explain(&self, about: &About<'_>) -> String {
        let limit = about.args.endpoints.tcp_connect.limit_in_words();
        format!("Connects to the {}, {limit}.", super::unix_place::explain(&self.address))
    }

    fn emit(&self, script: &mut Script, then: &mut Then<'_>) -> Result<()> {
        let args = &script.args;
        let (path, is_abstract) = parts(&self.address.place);
        let path = os_literal(path);
        let mut map = OptionMap::new()
            .flag("abstract", is_abstract)
            .number("timeout_ms", args.endpoints.tcp_connect.connect_timeout.limit_millis());
        map.extend(&BufferOpts::of(&script.socket_options().packet))?;
        match self.address.kind {
            UnixKind::Stream => script.callback(&format!("connect_unix({map}, {path},"), "unix", then),
            UnixKind::Seqpacket => {
                let max = args.endpoints.seqpacket.seqpacket_max_send_datagram_size;
                let map =
                    map.flag("text", is_text(args)).number_unless("max_send_datagram_size", Some(max), SCRIPT_MAX_SEND);
                script.callback(&format!("connect_seqpacket({map}, {path},"), "seqpacket", then)
            }
        }
    }
}

/// Options of `connect_unix`.
#[derive(Default, Deserialize)]
#[serde(default)]
struct ConnectUnixOpts {
    /// The path is a name in the abstract namespace (Linux)
    #[serde(rename = "abstract")]
    is_abstract: bool,
    /// Milliseconds to wait for a place in the server's queue of connections; absent: for ever
    timeout_ms: Option<u64>,
}

impl ConnectUnixOpts {
    async fn connect(self, kind: UnixKind, path: OsString, buffers: BufferOpts) -> Result<(KernelStream, SocketInfo)> {
        let address = UnixAddress { kind, place: place(path, self.is_abstract) };
        let timeout = self.timeout_ms.map(Duration::from_millis);
        let options = UnixConnectOptions { timeout, buffers: buffers.options() };
        let socket = connect(&address, &options).await.map_err(connect_error)?;
        Ok((socket, SocketInfo { specifier: Some(address.to_string().into()), ..SocketInfo::default() }))
    }
}

/// A task that connects to a UNIX stream socket and goes on with a function that gets the socket.
fn connect_unix(
    ctx: NativeCallContext<'_>,
    opts: RhOpts<(ConnectUnixOpts, BufferOpts)>,
    path: OsString,
    continuation: RhFn<(Handle<StreamSocket>,)>,
) -> RhResult<TaskHandle> {
    let mut reader = OptsReader::new(opts)?;
    let (opts, buffers): (ConnectUnixOpts, BufferOpts) = (reader.take()?, reader.take()?);
    reader.finish()?;
    let callback = Callback::new(&ctx, continuation)?;
    Ok(task(async move {
        let (socket, info) = opts.connect(UnixKind::Stream, path, buffers).await?;
        Ok(Flow::Then(callback.task((fresh(kernel_socket(socket, info)),))?))
    }))
}

/// A task that connects to a UNIX SEQPACKET socket and goes on with a function that gets the socket.
fn connect_seqpacket(
    ctx: NativeCallContext<'_>,
    opts: RhOpts<(ConnectUnixOpts, BufferOpts, SeqpacketOpts)>,
    path: OsString,
    continuation: RhFn<(Handle<DatagramSocket>,)>,
) -> RhResult<TaskHandle> {
    let mut reader = OptsReader::new(opts)?;
    let (opts, buffers): (ConnectUnixOpts, BufferOpts) = (reader.take()?, reader.take()?);
    let options = reader.take::<SeqpacketOpts>()?.options(buffers);
    reader.finish()?;
    let callback = Callback::new(&ctx, continuation)?;
    Ok(task(async move {
        let (socket, info) = opts.connect(UnixKind::Seqpacket, path, buffers).await?;
        Ok(Flow::Then(callback.task((fresh(seqpacket_socket(socket, info, &options)),))?))
    }))
}

fn connect_error(e: UnixError) -> Error {
    let kind = match &e {
        UnixError::TimedOut { .. } => Kind::ConnectTimeout,
        _ => Kind::Connect,
    };
    Error::with_source(kind, e.to_string(), e)
}

pub(super) fn register(engine: &mut Engine) {
    register!(engine, connect_unix, connect_seqpacket);
}
