//! `chunks:` and its native functions: each read of a byte stream is one binary message, written messages lose their borders.

use crate::{
    error::Result,
    spec::{Form, OverlaySpec, Script, SocketKind, Then, Var},
};
use rhai::Engine;

/// The overlay; binary mode puts it on byte streams by itself.
#[derive(Clone, Debug, Default)]
pub struct StreamChunks;

impl OverlaySpec for StreamChunks {
    const FORMS: &'static [Form] = &[Form {
        name: "chunks",
        prefixes: &["chunks:"],
        value: "",
        doc: "Makes a message of each piece that is read from a byte stream. Borders of messages that are written get lost.",
    }];

    fn parse(_: &'static Form) -> Result<Self> {
        Ok(Self)
    }

    fn takes(&self) -> Option<SocketKind> {
        Some(SocketKind::Stream)
    }

    fn gives(&self, _: SocketKind) -> SocketKind {
        SocketKind::Datagram
    }

    fn emit(&self, script: &mut Script, inner: Var, then: &mut Then<'_>) -> Result<()> {
        let chunks = script.assign("chunks", &format!("stream_chunks({inner})"));
        then(script, chunks)
    }
}

pub(super) fn register(_: &mut Engine) {}
