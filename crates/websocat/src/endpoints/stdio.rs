//! `stdio:` and `stdio_socket`: standard input and output as one byte stream.

use crate::{
    error::Result,
    register,
    scenario::{Handle, OptsReader, RegisterNative as _, RhOpts, RhResult, handle},
    spec::{About, EndpointSpec, Form, OptionMap, Script, SocketKind, Then},
};
use rhai::Engine;
use serde::{Deserialize, Serialize};
use sockets::socket::StreamSocket;
use std::ffi::OsStr;

/// Standard input and output.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stdio;

impl EndpointSpec for Stdio {
    const FORMS: &'static [Form] = &[Form {
        name: "stdio",
        prefixes: &["stdio:"],
        value: "",
        doc: "Standard input and output. Also written as `-`, and what a missing second specifier means.",
    }];

    fn parse(form: &'static Form, value: &OsStr) -> Result<Self> {
        super::no_value(form, value)?;
        Ok(Self)
    }

    fn kind(&self) -> Option<SocketKind> {
        Some(SocketKind::Stream)
    }

    fn is_single(&self) -> bool {
        true
    }

    fn explain(&self, _: &About<'_>) -> String {
        "Reads standard input and writes standard output.".to_owned()
    }

    fn emit(&self, script: &mut Script, then: &mut Then<'_>) -> Result<()> {
        let options = OptionMap::of(&StdioOpts { stays_open: script.stdio_stays_open })?;
        // As it always was where nothing is out of the ordinary.
        let options = if script.stdio_stays_open { options.to_string() } else { String::new() };
        let stdio = script.assign("stdio", &format!("stdio_socket({options})"));
        then(script, stdio)
    }
}

/// Options of `stdio_socket`.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
struct StdioOpts {
    /// Others write to standard output after this socket: its end closes nothing
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    stays_open: bool,
}

/// A stream socket that reads standard input and writes standard output. Neither is touched before it is used. An option map
/// may be given.
fn stdio_socket() -> Handle<StreamSocket> {
    handle(sockets::endpoint::stdio::stdio_socket(false))
}

fn stdio_socket_with(opts: RhOpts<StdioOpts>) -> RhResult<Handle<StreamSocket>> {
    let StdioOpts { stays_open } = OptsReader::read(opts)?;
    Ok(handle(sockets::endpoint::stdio::stdio_socket(stays_open)))
}

pub(super) fn register(engine: &mut Engine) {
    register!(engine, stdio_socket);
    engine.register_native("stdio_socket", stdio_socket_with);
}
