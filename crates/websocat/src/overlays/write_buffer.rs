//! `write_buffer:` and its native function: small writes are gathered until a flush.

use crate::{
    error::Result,
    spec::{Form, OverlaySpec, Script, SocketKind, Then, Var},
};
use rhai::Engine;

/// The overlay.
#[derive(Clone, Debug, Default)]
pub struct WriteBuffer;

/// Bytes that are gathered at most, as upstream.
const CAPACITY: usize = 8192;

impl OverlaySpec for WriteBuffer {
    const FORMS: &'static [Form] = &[Form {
        name: "write_buffer",
        prefixes: &["write_buffer:"],
        value: "",
        doc: "Gathers small writes and passes them on together when told to flush.",
    }];

    fn parse(_: &'static Form) -> Result<Self> {
        Ok(Self)
    }

    fn takes(&self) -> Option<SocketKind> {
        Some(SocketKind::Stream)
    }

    fn gives(&self, _: SocketKind) -> SocketKind {
        SocketKind::Stream
    }

    fn emit(&self, script: &mut Script, inner: Var, then: &mut Then<'_>) -> Result<()> {
        script.line(&format!("put_write_part({inner}, write_buffer(take_write_part({inner}), {CAPACITY}));"));
        then(script, inner)
    }
}

pub(super) fn register(_: &mut Engine) {}
