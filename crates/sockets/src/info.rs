//! What is known about a socket beyond its bytes: the only record that logs, processes, metrics and scripts read.
//!
//! Endpoints fill it, overlays inherit it and add what they negotiated. It is shared, small, and set before transfer; only
//! how the connection ended is written later.

use std::{fmt, net::SocketAddr, sync::OnceLock};

/// One end of a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    Ip(SocketAddr),
    /// Path, abstract name or anything else, ready to be shown.
    Named(Box<str>),
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ip(addr) => addr.fmt(f),
            Self::Named(name) => f.write_str(name),
        }
    }
}

/// How a WebSocket ended, as seen from here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ending {
    /// The peer sent Close; no code when its body was empty.
    Close { code: Option<u16>, reason: Box<str> },
    /// The connection ended without Close.
    Abrupt,
    /// No sign of life from the peer for too long.
    Silent,
}

/// Head of the request that opened a WebSocket.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Request {
    pub method: Box<str>,
    pub uri: Box<str>,
    pub headers: Vec<(Box<str>, Box<[u8]>)>,
}

#[derive(Clone, Debug, Default)]
pub struct SocketInfo {
    /// What the user wrote, or as near as is known: `tcp:127.0.0.1:80`, `stdio:`.
    pub specifier: Option<Box<str>>,
    pub local: Option<Address>,
    pub peer: Option<Address>,
    pub request: Option<Box<Request>>,
    /// Sec-WebSocket-Protocol that both sides agreed on.
    pub subprotocol: Option<Box<str>>,
    /// Sec-WebSocket-Extensions that both sides agreed on, as on the wire.
    pub extensions: Option<Box<str>>,
    /// Both ends keep half-closes (`Websocat-Half-Close: 1` asked and answered).
    pub half_close: bool,
    /// Server name that TLS verified.
    pub tls_server_name: Option<Box<str>>,
    /// Raw descriptor of the kernel socket, where there is one (`--exec-dup2`).
    pub fd: Option<i32>,
    /// Written once by the WebSocket overlay when its read half ends.
    pub ending: OnceLock<Ending>,
}

impl SocketInfo {
    /// For messages: specifier and peer, as far as they are known.
    pub fn describe(&self) -> String {
        match (&self.specifier, &self.peer) {
            (Some(s), Some(p)) if !s.contains(&p.to_string()) => format!("{s} ({p})"),
            (Some(s), _) => s.to_string(),
            (None, Some(p)) => p.to_string(),
            (None, None) => "socket".to_owned(),
        }
    }
}
