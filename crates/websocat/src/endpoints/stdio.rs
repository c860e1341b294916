//! `stdio:` and `stdio_socket`: standard input and output as one byte stream.

use crate::{
    error::Result,
    spec::{EndpointSpec, Form, Script, SocketKind, Then},
};
use rhai::Engine;
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

pub(super) fn register(_: &mut Engine) {}
