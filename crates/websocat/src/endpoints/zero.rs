//! `zero:` and `zero_socket`: endless zero bytes.

use crate::{
    error::Result,
    register,
    scenario::{Handle, handle},
    spec::{About, EndpointSpec, Form, Script, SocketKind, Then},
};
use rhai::Engine;
use sockets::{endpoint::zero::zero, socket::StreamSocket};
use std::ffi::OsStr;

/// An endless source of zero bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Zero;

impl EndpointSpec for Zero {
    const FORMS: &'static [Form] = &[Form {
        name: "zero",
        prefixes: &["zero:"],
        value: "",
        doc: "Reads give zero bytes without end. What is written is discarded.",
    }];

    fn parse(form: &'static Form, value: &OsStr) -> Result<Self> {
        super::no_value(form, value)?;
        Ok(Self)
    }

    fn kind(&self) -> Option<SocketKind> {
        Some(SocketKind::Stream)
    }

    fn explain(&self, _: &About<'_>) -> String {
        "Gives zero bytes without end; what comes from the other side is discarded.".to_owned()
    }

    fn emit(&self, script: &mut Script, then: &mut Then<'_>) -> Result<()> {
        let zero = script.assign("zero", "zero_socket()");
        then(script, zero)
    }
}

/// A stream socket that gives zero bytes without end; what is written is discarded.
fn zero_socket() -> Handle<StreamSocket> {
    handle(super::named(zero(), "zero:"))
}

pub(super) fn register(engine: &mut Engine) {
    register!(engine, zero_socket);
}
