//! `ws://` and `wss://`: a WebSocket client by URL. Rewritten into `tcp:` with overlays before a script is printed.

use super::tcp_connect::TcpTarget;
use crate::{
    error::Result,
    spec::{About, EndpointSpec, Form, Script, SocketKind, Then, url::WsAddress},
};
use rhai::Engine;
use std::ffi::OsStr;

/// A WebSocket client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WsUrl {
    pub url: WsAddress,
}

const WSS: &str = "wss";

impl WsUrl {
    /// Where the connection below goes to.
    pub fn tcp_target(&self) -> TcpTarget {
        match self.url.socket_addr() {
            Some(addr) => TcpTarget::Address(addr),
            None => TcpTarget::Late(self.url.host_and_port()),
        }
    }
}

impl EndpointSpec for WsUrl {
    const FORMS: &'static [Form] = &[
        Form {
            name: "ws",
            prefixes: &["ws://"],
            value: "[USER:PASSWORD@]HOST[:PORT][/PATH]",
            doc: "Connects to a WebSocket server; port 80 unless one is given. User and password are sent as Basic \
                  authorization. Path and query may contain any character: what a URL may not contain is percent-encoded.",
        },
        Form {
            name: WSS,
            prefixes: &["wss://"],
            value: "[USER:PASSWORD@]HOST[:PORT][/PATH]",
            doc: "The same over TLS; port 443 unless one is given.",
        },
    ];

    fn parse(form: &'static Form, value: &OsStr) -> Result<Self> {
        Ok(Self { url: WsAddress::parse(form.name == WSS, value.as_encoded_bytes())? })
    }

    fn kind(&self) -> Option<SocketKind> {
        Some(SocketKind::Datagram)
    }

    fn explain(&self, _: &About<'_>) -> String {
        "Connects to the WebSocket of a URL.".to_owned()
    }

    fn emit(&self, _: &mut Script, _: &mut Then<'_>) -> Result<()> {
        Err(super::not_expanded(if self.url.tls { "wss://" } else { "ws://" }))
    }
}

/// It is made of functions of others.
pub(super) fn register(_: &mut Engine) {}
