//! `ws-upgrade:`: a WebSocket server over any byte stream.
//!
//! A compound: a rewriting pass puts `ws-accept:` and `ws-lowlevel-server:` in its place, so it is never printed.

use crate::{
    error::{Error, Kind, Result},
    spec::{About, Form, OverlaySpec, Script, SocketKind, Then, Var},
};
use rhai::Engine;

/// The overlay.
#[derive(Clone, Debug, Default)]
pub struct WsServe;

impl OverlaySpec for WsServe {
    const FORMS: &'static [Form] = &[Form {
        name: "ws_upgrade",
        prefixes: &["ws-upgrade:", "upgrade-ws:", "ws-u:", "u-ws:"],
        value: "",
        doc: "WebSocket server over any byte stream: answers an upgrade request, then frames.",
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

    fn explain(&self, _: &About<'_>) -> String {
        "Serves a WebSocket.".to_owned()
    }

    fn emit(&self, _: &mut Script, _: Var, _: &mut Then<'_>) -> Result<()> {
        Err(Error::new(Kind::Start, "internal: ws-upgrade: was not expanded; this is a bug of the planner"))
    }
}

/// It has no function of its own.
pub(super) fn register(_: &mut Engine) {}
