//! `ws-listen:`: a WebSocket server on TCP. Rewritten into `tcp-listen:` with overlays before a script is printed.

use super::listen_address::{FORMAT, ListenAddress};
use crate::{
    error::Result,
    spec::{About, EndpointSpec, Form, Script, SocketKind, Then},
};
use rhai::Engine;
use std::ffi::OsStr;

/// A WebSocket server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WsListen {
    pub address: ListenAddress,
}

impl EndpointSpec for WsListen {
    const FORMS: &'static [Form] = &[Form {
        name: "ws-listen",
        prefixes: &["ws-listen:", "ws-l:", "l-ws:", "listen-ws:"],
        value: FORMAT,
        doc: "Serves WebSockets over TCP. A bare port listens on the loopback addresses only.",
    }];

    fn parse(_: &'static Form, value: &OsStr) -> Result<Self> {
        Ok(Self { address: ListenAddress::parse(value)? })
    }

    fn kind(&self) -> Option<SocketKind> {
        Some(SocketKind::Datagram)
    }

    fn is_listener(&self) -> bool {
        true
    }

    fn explain(&self, _: &About<'_>) -> String {
        format!("Serves WebSockets on {}.", self.address.explain())
    }

    fn emit(&self, _: &mut Script, _: &mut Then<'_>) -> Result<()> {
        Err(super::not_expanded("ws-listen:"))
    }
}

/// It is made of functions of others.
pub(super) fn register(_: &mut Engine) {}
