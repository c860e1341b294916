//! `registry-datagram-listen:` and `registry-datagram-connect:` with their functions: messages between parts of one scenario.

use super::registry_stream::{Listener, RegistryListenOpts, listening, registry_name};
use crate::{
    error::Result,
    functions::offer,
    register,
    scenario::{Callback, Flow, Handle, OptsReader, RhFn, RhOpts, RhResult, Scenario, TaskHandle, Wanted, fresh, task},
    spec::{About, EndpointSpec, Form, OptionMap, Script, SocketKind, Then},
};
use rhai::{Dynamic, Engine, NativeCallContext};
use serde::Deserialize;
use sockets::{endpoint::pipe::datagram_pair, socket::DatagramSocket};
use std::ffi::OsStr;

/// One end of message connections within the scenario.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RegistryDatagram {
    pub listens: bool,
    pub name: String,
}

const LISTEN: &str = "registry-datagram-listen";

impl EndpointSpec for RegistryDatagram {
    const FORMS: &'static [Form] = &[
        Form {
            name: LISTEN,
            prefixes: &["registry-datagram-listen:", "regdg-l:"],
            value: "NAME",
            doc: "Accepts connections of messages from other parts of the same program, which connect to this name.",
        },
        Form {
            name: "registry-datagram-connect",
            prefixes: &["registry-datagram-connect:", "regdg-c:"],
            value: "NAME",
            doc: "Connects to `registry-datagram-listen:` of that name, and waits until there is one.",
        },
    ];

    fn parse(form: &'static Form, value: &OsStr) -> Result<Self> {
        Ok(Self { listens: form.name == LISTEN, name: registry_name(value)? })
    }

    fn kind(&self) -> Option<SocketKind> {
        Some(SocketKind::Datagram)
    }

    fn is_listener(&self) -> bool {
        self.listens
    }

    fn explain(&self, about: &About<'_>) -> String {
        super::registry_stream::explain(self.listens, &self.name, about)
    }

    fn emit(&self, script: &mut Script, then: &mut Then<'_>) -> Result<()> {
        let map = OptionMap::new().text("addr", &self.name);
        let call = if self.listens {
            format!("listen_registry_datagrams({},", listening(map, script.listening))
        } else {
            format!("connect_registry_datagrams({map},")
        };
        script.callback(&call, "reg", then)
    }
}

/// Options of `connect_registry_datagrams`.
#[derive(Deserialize)]
struct ConnectRegistryDatagramsOpts {
    /// Name to connect to
    addr: String,
}

/// A task that calls the function for each message socket that another part of the scenario connects or sends to this name.
fn listen_registry_datagrams(
    ctx: NativeCallContext<'_>,
    opts: RhOpts<RegistryListenOpts>,
    continuation: RhFn<(Handle<DatagramSocket>,)>,
) -> RhResult<TaskHandle> {
    let opts: RegistryListenOpts = OptsReader::read(opts)?;
    let listener = Listener {
        scenario: Scenario::of(&ctx)?,
        wanted: Wanted::Datagram,
        prefix: "registry-datagram-listen:",
        addr: opts.addr.clone(),
        on_accept: Callback::new(&ctx, continuation)?,
    };
    Ok(listener.task(&opts))
}

/// A task that connects to whoever listens for messages at this name, waits for that, and goes on with the function.
fn connect_registry_datagrams(
    ctx: NativeCallContext<'_>,
    opts: RhOpts<ConnectRegistryDatagramsOpts>,
    continuation: RhFn<(Handle<DatagramSocket>,)>,
) -> RhResult<TaskHandle> {
    let ConnectRegistryDatagramsOpts { addr } = OptsReader::read(opts)?;
    let scenario = Scenario::of(&ctx)?;
    let callback = Callback::new(&ctx, continuation)?;
    Ok(task(async move {
        let ends = ["registry-datagram-connect:", "registry-datagram-listen:"].map(|prefix| format!("{prefix}{addr}"));
        let [near, far] = datagram_pair(ends.each_ref().map(|end| &**end));
        offer(&scenario, "registry-datagram-connect:", &addr, Dynamic::from(fresh(far))).await?;
        Ok(Flow::Then(callback.task((fresh(near),))?))
    }))
}

pub(super) fn register(engine: &mut Engine) {
    register!(engine, listen_registry_datagrams, connect_registry_datagrams);
}
