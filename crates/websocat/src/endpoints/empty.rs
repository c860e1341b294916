//! `empty:` and `dummy_datagram_socket`: a message socket with nothing behind it.

use crate::{
    error::Result,
    register,
    scenario::{Handle, handle},
    spec::{About, EndpointSpec, Form, Script, SocketKind, Then, Var},
};
use rhai::Engine;
use sockets::{endpoint::empty::empty_datagram, info::SocketInfo, socket::DatagramSocket};
use std::{ffi::OsStr, sync::Arc};

/// A message socket that ends at once and swallows everything.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DummyDatagrams;

/// Shared by `empty:` and `devnull:`.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct DummyArgs {
    /// empty: and devnull: report a hangup at once
    #[arg(long)]
    pub dummy_hangup: bool,
}

impl EndpointSpec for DummyDatagrams {
    const FORMS: &'static [Form] = &[Form {
        name: "empty",
        prefixes: &["empty:", "null:", "dummy-datagrams:", "dummy:"],
        value: "",
        doc: "A message socket: reads give EOF at once, what is written is discarded.",
    }];

    fn parse(form: &'static Form, value: &OsStr) -> Result<Self> {
        super::no_value(form, value)?;
        Ok(Self)
    }

    fn kind(&self) -> Option<SocketKind> {
        Some(SocketKind::Datagram)
    }

    fn explain(&self, about: &About<'_>) -> String {
        explain("messages", about)
    }

    fn emit(&self, script: &mut Script, then: &mut Then<'_>) -> Result<()> {
        let dummy = script.assign("dummy", "dummy_datagram_socket()");
        hang_up(script, &dummy);
        then(script, dummy)
    }
}

/// In words, for `--explain`.
pub(super) fn explain(what: &str, about: &About<'_>) -> String {
    let hangup = if about.args.endpoints.dummy.dummy_hangup { " Hangs up at once." } else { "" };
    format!("Gives no {what} and discards those that come from the other side.{hangup}")
}

/// The statement that `--dummy-hangup` asks for.
pub(super) fn hang_up(script: &mut Script, socket: &Var) {
    if script.args.endpoints.dummy.dummy_hangup {
        script.line(&format!("put_hangup_part({socket}, pre_triggered_hangup_handle());"));
    }
}

/// A datagram socket: reads give EOF at once, what is written is discarded.
fn dummy_datagram_socket() -> Handle<DatagramSocket> {
    let info = SocketInfo { specifier: Some("empty:".into()), half_close: true, ..SocketInfo::default() };
    handle(DatagramSocket { info: Arc::new(info), ..empty_datagram() })
}

pub(super) fn register(engine: &mut Engine) {
    register!(engine, dummy_datagram_socket);
}
