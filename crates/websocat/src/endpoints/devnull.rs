//! `devnull:` and `dummy_stream_socket`: a byte stream with nothing behind it.

use crate::{
    error::Result,
    register,
    scenario::{Handle, handle},
    spec::{About, EndpointSpec, Form, Script, SocketKind, Then},
};
use rhai::Engine;
use sockets::{endpoint::empty::empty_stream, socket::StreamSocket};
use std::ffi::OsStr;

/// A byte stream that ends at once and swallows everything.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DummyStream;

impl EndpointSpec for DummyStream {
    const FORMS: &'static [Form] = &[Form {
        name: "devnull",
        prefixes: &["devnull:", "dummy-stream:"],
        value: "",
        doc: "A byte stream: reads give EOF at once, what is written is discarded.",
    }];

    fn parse(form: &'static Form, value: &OsStr) -> Result<Self> {
        super::no_value(form, value)?;
        Ok(Self)
    }

    fn kind(&self) -> Option<SocketKind> {
        Some(SocketKind::Stream)
    }

    fn explain(&self, about: &About<'_>) -> String {
        super::empty::explain("bytes", about)
    }

    fn emit(&self, script: &mut Script, then: &mut Then<'_>) -> Result<()> {
        let dummy = script.assign("dummy", "dummy_stream_socket()");
        super::empty::hang_up(script, &dummy);
        then(script, dummy)
    }
}

/// A stream socket: reads give EOF at once, what is written is discarded.
fn dummy_stream_socket() -> Handle<StreamSocket> {
    handle(super::named(empty_stream(), "devnull:"))
}

pub(super) fn register(engine: &mut Engine) {
    register!(engine, dummy_stream_socket);
}
