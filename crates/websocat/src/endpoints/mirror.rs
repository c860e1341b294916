//! `mirror:` with `bytemirror_socket` and `packetmirror_socket`: gives back what it is given.

use crate::{
    error::{Error, Kind, Result},
    spec::{EndpointSpec, Form, OptionMap, Script, SocketKind, Then},
};
use rhai::Engine;
use serde::{Deserialize, Serialize};
use std::ffi::OsStr;

/// An echo. Bytes or messages: that follows from what it is connected with, and a planner pass fills it in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mirror {
    pub kind: Option<SocketKind>,
}

/// Bytes on the way at most: one full read of the other side.
const BUFFER: usize = 64 << 10;

/// Options of `bytemirror_socket`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ByteMirrorOpts {
    /// Bytes on the way at most
    max_buf_size: usize,
}

/// Options of `packetmirror_socket`: none so far.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct PacketMirrorOpts {}

impl EndpointSpec for Mirror {
    const FORMS: &'static [Form] = &[Form {
        name: "mirror",
        prefixes: &["mirror:"],
        value: "",
        doc: "Reads give what was written. Bytes or messages, as the other side and the overlays want it.",
    }];

    fn parse(form: &'static Form, value: &OsStr) -> Result<Self> {
        super::no_value(form, value)?;
        Ok(Self { kind: None })
    }

    fn kind(&self) -> Option<SocketKind> {
        self.kind
    }

    fn emit(&self, script: &mut Script, then: &mut Then<'_>) -> Result<()> {
        let call = match self.kind {
            Some(SocketKind::Stream) => {
                format!("bytemirror_socket({})", OptionMap::of(&ByteMirrorOpts { max_buf_size: BUFFER })?)
            }
            Some(SocketKind::Datagram) => "packetmirror_socket(#{})".to_owned(),
            None => {
                let text = "mirror: bytes or messages? Put an overlay such as chunks: or lines: on top to decide";
                return Err(Error::new(Kind::Start, text));
            }
        };
        let mirror = script.assign("mirror", &call);
        then(script, mirror)
    }
}

pub(super) fn register(_: &mut Engine) {}
