//! `registry-stream-listen:` and `registry-stream-connect:` with their functions: byte streams between parts of one scenario.

use crate::{
    cli::value::Size,
    error::{Error, Result},
    functions::{
        offer,
        serve::{Connection, Serving, Source, serve},
    },
    register,
    scenario::{Callback, Flow, Handle, OptsReader, RhFn, RhOpts, RhResult, Scenario, TaskHandle, Wanted, fresh, task},
    spec::{About, EndpointSpec, Form, Listening, OptionMap, Script, SocketKind, Then},
};
use rhai::{Dynamic, Engine, NativeCallContext};
use serde::Deserialize;
use sockets::{endpoint::pipe::stream_pair, socket::StreamSocket};
use std::{ffi::OsStr, sync::Arc};

/// One end of byte streams within the scenario.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RegistryStream {
    pub listens: bool,
    pub name: String,
}

const LISTEN: &str = "registry-stream-listen";

/// Options of connections within the scenario.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct RegistryArgs {
    /// Bytes on the way at most in each direction of registry-stream-connect:, up to 256k; 1024 when absent
    #[arg(long, value_name = "SIZE", value_parser = buffer_size)]
    pub registry_connect_bufsize: Option<Size>,
}

/// Bytes in each direction unless told otherwise.
const BUFFER: u64 = 1024;

/// In words, for `--explain`.
pub(super) fn explain(listens: bool, name: &str, about: &About<'_>) -> String {
    match (listens, about.one_connection) {
        (false, _) => format!("Connects to who listens at the name `{name}` within this program."),
        (true, true) => format!("Waits for one connection to the name `{name}` from within this program."),
        (true, false) => format!("Accepts connections to the name `{name}` from within this program."),
    }
}

/// What is given at once to a connection within the program: the largest buffer of the pool.
const LARGEST_BUFFER: u64 = sockets::buffer::LARGEST as u64;

fn buffer_size(text: &str) -> std::result::Result<Size, String> {
    let size = Size::positive(text)?;
    if size.0 > LARGEST_BUFFER {
        return Err("at most 256k".to_owned());
    }
    Ok(size)
}

impl EndpointSpec for RegistryStream {
    const FORMS: &'static [Form] = &[
        Form {
            name: LISTEN,
            prefixes: &["registry-stream-listen:", "regstr-l:"],
            value: "NAME",
            doc: "Accepts byte streams from other parts of the same program, which connect to this name.",
        },
        Form {
            name: "registry-stream-connect",
            prefixes: &["registry-stream-connect:", "regstr-c:"],
            value: "NAME",
            doc: "Connects to `registry-stream-listen:` of that name, and waits until there is one.",
        },
    ];

    fn parse(form: &'static Form, value: &OsStr) -> Result<Self> {
        Ok(Self { listens: form.name == LISTEN, name: registry_name(value)? })
    }

    fn kind(&self) -> Option<SocketKind> {
        Some(SocketKind::Stream)
    }

    fn is_listener(&self) -> bool {
        self.listens
    }

    fn explain(&self, about: &About<'_>) -> String {
        explain(self.listens, &self.name, about)
    }

    fn emit(&self, script: &mut Script, then: &mut Then<'_>) -> Result<()> {
        let map = OptionMap::new().text("addr", &self.name);
        if self.listens {
            let map = listening(map, script.listening);
            return script.callback(&format!("listen_registry_stream({map},"), "reg", then);
        }
        let size = script.args.endpoints.registry.registry_connect_bufsize.map_or(BUFFER, |size| size.0);
        let map = map.number("max_buf_size", Some(size));
        script.callback(&format!("connect_registry_stream({map},"), "reg", then)
    }
}

/// A name as it was typed, which may be empty.
pub(super) fn registry_name(value: &OsStr) -> Result<String> {
    value.to_str().map(str::to_owned).ok_or_else(|| Error::usage("names of the registry are text (UTF-8)"))
}

pub(super) fn listening(map: OptionMap, Listening { autospawn, oneshot }: Listening) -> OptionMap {
    map.flag("autospawn", autospawn).flag("oneshot", oneshot)
}

/// Options of `listen_registry_stream` and `listen_registry_datagrams`.
#[derive(Deserialize)]
pub(super) struct RegistryListenOpts {
    /// Name to listen at
    pub addr: String,
    /// Each connection gets a task of its own; otherwise they are served one after another
    #[serde(default)]
    pub autospawn: bool,
    /// One connection only
    #[serde(default)]
    pub oneshot: bool,
}

/// Options of `connect_registry_stream`.
#[derive(Deserialize)]
struct ConnectRegistryStreamOpts {
    /// Name to connect to
    addr: String,
    /// Bytes on the way at most in each direction, up to 262144
    max_buf_size: usize,
}

/// Listening at a name of the registry.
pub(super) struct Listener {
    pub scenario: Arc<Scenario>,
    pub wanted: Wanted,
    /// In messages, before the name.
    pub prefix: &'static str,
    pub addr: String,
    pub on_accept: Callback,
}

impl Source for Listener {
    type Seat = ();

    async fn next(&mut self) -> Result<Connection<()>> {
        let socket = self.scenario.registry.take(&self.addr, self.wanted).await;
        let name = format!("{}{}", self.prefix, self.addr).into();
        Ok(Connection { name, session: self.on_accept.session((socket,)), seat: () })
    }
}

impl Listener {
    /// The task that serves.
    pub(super) fn task(self, opts: &RegistryListenOpts) -> TaskHandle {
        if !opts.oneshot {
            self.scenario.mark_server();
        }
        let serving = Serving { autospawn: opts.autospawn, oneshot: opts.oneshot };
        task(async move {
            let stop = self.on_accept.stop().clone();
            serve(self, &stop, serving).await
        })
    }
}

/// A task that calls the function for each byte stream that another part of the scenario connects or sends to this name.
fn listen_registry_stream(
    ctx: NativeCallContext<'_>,
    opts: RhOpts<RegistryListenOpts>,
    continuation: RhFn<(Handle<StreamSocket>,)>,
) -> RhResult<TaskHandle> {
    let opts: RegistryListenOpts = OptsReader::read(opts)?;
    let listener = Listener {
        scenario: Scenario::of(&ctx)?,
        wanted: Wanted::Stream,
        prefix: "registry-stream-listen:",
        addr: opts.addr.clone(),
        on_accept: Callback::new(&ctx, continuation)?,
    };
    Ok(listener.task(&opts))
}

/// A task that connects to whoever listens at this name, waits for that, and goes on with the function.
fn connect_registry_stream(
    ctx: NativeCallContext<'_>,
    opts: RhOpts<ConnectRegistryStreamOpts>,
    continuation: RhFn<(Handle<StreamSocket>,)>,
) -> RhResult<TaskHandle> {
    let ConnectRegistryStreamOpts { addr, max_buf_size } = OptsReader::read(opts)?;
    if max_buf_size == 0 {
        return Err("option `max_buf_size`: a buffer has at least one byte".into());
    }
    let scenario = Scenario::of(&ctx)?;
    let callback = Callback::new(&ctx, continuation)?;
    Ok(task(async move {
        let ends = ["registry-stream-connect:", "registry-stream-listen:"].map(|prefix| format!("{prefix}{addr}"));
        let [near, far] = stream_pair(max_buf_size, ends.each_ref().map(|end| &**end));
        offer(&scenario, "registry-stream-connect:", &addr, Dynamic::from(fresh(far))).await?;
        Ok(Flow::Then(callback.task((fresh(near),))?))
    }))
}

pub(super) fn register(engine: &mut Engine) {
    register!(engine, listen_registry_stream, connect_registry_stream);
}
