//! `stdio:` and `stdio_socket`: standard input and output as one byte stream.

use crate::{
    error::Result,
    register,
    scenario::{Handle, handle},
    spec::{EndpointSpec, Form, Script, SocketKind, Then},
};
use rhai::Engine;
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

    fn emit(&self, script: &mut Script, then: &mut Then<'_>) -> Result<()> {
        let stdio = script.assign("stdio", "stdio_socket()");
        then(script, stdio)
    }
}

/// A stream socket that reads standard input and writes standard output. Neither is touched before it is used.
fn stdio_socket() -> Handle<StreamSocket> {
    handle(sockets::endpoint::stdio::stdio_socket())
}

pub(super) fn register(engine: &mut Engine) {
    register!(engine, stdio_socket);
}
