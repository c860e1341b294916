//! `ws-connect:`: a WebSocket client over any byte stream.
//!
//! A compound: a rewriting pass puts `ws-request:` and `ws-lowlevel-client:` in its place, so it is never printed.

use crate::spec::{About, Form, OverlaySpec, Wraps};
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
    const WRAPS: Wraps = Wraps::StreamIntoDatagrams;

    fn explain(&self, _: &About<'_>) -> String {
        "Asks for a WebSocket.".to_owned()
    }
}

/// It has no function of its own.
pub(super) fn register(_: &mut Engine) {}
