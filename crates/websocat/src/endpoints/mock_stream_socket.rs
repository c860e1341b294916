//! `mock_stream_socket:`: a test peer that follows a script of reads and expected writes.

use crate::{
    error::{Error, Result},
    spec::{EndpointSpec, Form, Script, SocketKind, Then, string_literal},
};
use rhai::Engine;
use std::ffi::OsStr;

/// A scripted test peer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MockStreamSocket(String);

impl EndpointSpec for MockStreamSocket {
    const FORMS: &'static [Form] = &[Form {
        name: "mock_stream_socket",
        prefixes: &["mock_stream_socket:", "mock-stream-socket:", "mss:"],
        value: "SCRIPT",
        doc: "A scripted test peer: reads give what the script says, writes must be what it says, else the program ends \
              with status 101. Steps are joined by `|`: `R text` read, `W text` expected write, `X` read EOF, `D` expected \
              end of writing, `T n` wait n milliseconds.",
    }];

    fn parse(_: &'static Form, value: &OsStr) -> Result<Self> {
        let text = value.to_str().ok_or_else(|| Error::usage("the script is not UTF-8; write other bytes as \\xHH"))?;
        Ok(Self(text.to_owned()))
    }

    fn kind(&self) -> Option<SocketKind> {
        Some(SocketKind::Stream)
    }

    fn emit(&self, script: &mut Script, then: &mut Then<'_>) -> Result<()> {
        let mock = script.assign("mock", &format!("mock_stream_socket({})", string_literal(&self.0)));
        then(script, mock)
    }
}

pub(super) fn register(_: &mut Engine) {}
