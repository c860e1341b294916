//! `mock_stream_socket:`: a test peer that follows a script of reads and expected writes.

use crate::{
    error::{Error, Result},
    register,
    scenario::{Handle, RhResult, handle},
    spec::{About, EndpointSpec, Form, Script, SocketKind, Then, string_literal},
};
use rhai::Engine;
use sockets::{
    socket::StreamSocket,
    testing::{script::Script as MockScript, scripted},
};
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
        MockScript::parse(text).map_err(|e| Error::usage(e.to_string()))?;
        Ok(Self(text.to_owned()))
    }

    fn kind(&self) -> Option<SocketKind> {
        Some(SocketKind::Stream)
    }

    fn explain(&self, _: &About<'_>) -> String {
        "Plays the scripted test peer; anything else than the script says ends the program with status 101.".to_owned()
    }

    fn emit(&self, script: &mut Script, then: &mut Then<'_>) -> Result<()> {
        let mock = script.assign("mock", &format!("mock_stream_socket({})", string_literal(&self.0)));
        then(script, mock)
    }
}

/// A scripted test peer. When it is not used as its script says the program ends with status 101.
fn mock_stream_socket(content: &str) -> RhResult<Handle<StreamSocket>> {
    scripted(content).map(handle).map_err(|e| e.to_string().into())
}

pub(super) fn register(engine: &mut Engine) {
    register!(engine, mock_stream_socket);
}
