//! `ws-upgrade:`: a WebSocket server over any byte stream.
//!
//! A compound: a rewriting pass puts `ws-accept:` and `ws-lowlevel-server:` in its place, so it is never printed.

use crate::spec::{About, Form, OverlaySpec, Wraps};
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
    const WRAPS: Wraps = Wraps::StreamIntoDatagrams;

    fn explain(&self, _: &About<'_>) -> String {
        "Serves a WebSocket.".to_owned()
    }
}

/// It has no function of its own.
pub(super) fn register(_: &mut Engine) {}
