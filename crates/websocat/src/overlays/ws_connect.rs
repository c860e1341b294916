//! `ws-connect:`: a WebSocket client over any byte stream.
//!
//! A compound: a rewriting pass puts `ws-request:` and `ws-lowlevel-client:` in its place, so it is never printed.

use crate::{
    error::{Error, Kind, Result},
    spec::{About, Form, OverlaySpec, Script, SocketKind, Then, Var},
};
use rhai::Engine;

/// The overlay.
#[derive(Clone, Debug, Default)]
pub struct WsConnect;

impl OverlaySpec for WsConnect {
    const FORMS: &'static [Form] = &[Form {
        name: "ws_connect",
        prefixes: &["ws-connect:", "connect-ws:", "ws-c:", "c-ws:"],
        value: "",
        doc: "WebSocket client over any byte stream: upgrade request, then frames. --ws-c-uri gives the URI.",
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
        "Asks for a WebSocket.".to_owned()
    }

    fn emit(&self, _: &mut Script, _: Var, _: &mut Then<'_>) -> Result<()> {
        Err(Error::new(Kind::Start, "internal: ws-connect: was not expanded; this is a bug of the planner"))
    }
}

/// It has no function of its own.
pub(super) fn register(_: &mut Engine) {}
