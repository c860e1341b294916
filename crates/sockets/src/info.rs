//! What is known about a socket beyond its bytes: the only record that logs, processes, metrics and scripts read.
//!
//! Endpoints fill it, overlays inherit it and add what they negotiated. It is shared, small, and set before transfer; only
//! how the connection ended is written later.

use crate::{endpoint::process::Bond, overlay::ws::deflate::Agreed, owners::Owners};
use std::{
    fmt,
    net::SocketAddr,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU8, Ordering::AcqRel, Ordering::Acquire, Ordering::Release},
    },
};

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
    /// The peer answered our own Close with the unusual code that we gave.
    Answered,
    /// The connection ended without Close.
    Abrupt,
    /// No sign of life from the peer for too long.
    Silent,
}

/// Head of the request that opened a WebSocket, in one piece of memory: it stays as long as the connection, and a browser
/// sends a dozen headers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Request {
    /// `METHOD URI` and `name: value`, each ended by a newline.
    lines: Box<[u8]>,
}

impl Request {
    /// Nothing of it may contain a newline, and method and name no blank or colon: HTTP sees to that.
    pub fn new<'a>(method: &str, uri: &str, headers: impl Iterator<Item = (&'a str, &'a [u8])>) -> Self {
        let mut lines = Vec::new();
        for part in [method, " ", uri, "\n"] {
            lines.extend_from_slice(part.as_bytes());
        }
        for (name, value) in headers {
            for part in [name.as_bytes(), b": ", value, b"\n"] {
                lines.extend_from_slice(part);
            }
        }
        Self { lines: lines.into() }
    }

    fn lines(&self) -> impl Iterator<Item = &[u8]> {
        self.lines.split(|byte| *byte == b'\n')
    }

    /// Method and URI.
    fn first(&self) -> (&str, &str) {
        let line = self.lines().next().unwrap_or_default();
        std::str::from_utf8(line).unwrap_or_default().split_once(' ').unwrap_or_default()
    }

    pub fn method(&self) -> &str {
        self.first().0
    }

    /// The request target as it was sent.
    pub fn uri(&self) -> &str {
        self.first().1
    }

    /// Names in small letters with their values, in the order of the request.
    pub fn headers(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.lines().skip(1).filter_map(|line| {
            let colon = line.iter().position(|byte| *byte == b':')?;
            Some((std::str::from_utf8(line.get(..colon)?).ok()?, line.get(colon + 2..)?))
        })
    }
}

/// What is known of a socket beside its bytes: for messages, for the exchange, for the exit status.
#[derive(Clone, Debug, Default)]
pub struct SocketInfo {
    /// What the user wrote, or as near as is known: `tcp:127.0.0.1:80`, `stdio:`.
    pub specifier: Option<Box<str>>,
    pub local: Option<Address>,
    pub peer: Option<Address>,
    pub request: Option<Request>,
    /// Sec-WebSocket-Protocol that both sides agreed on.
    pub subprotocol: Option<Box<str>>,
    /// Sec-WebSocket-Extensions that both sides agreed on, as on the wire.
    pub extensions: Option<Box<str>>,
    /// permessage-deflate, if it is among `extensions`: WebSocket framing compresses accordingly.
    pub deflate: Option<Agreed>,
    /// Both ends keep half-closes (`Websocat-Half-Close: 1` asked and answered).
    pub half_close: bool,
    /// Its listener serves as many connections as it may: this one is there only to be told so.
    pub busy: bool,
    /// Nothing ever comes from it: its read half only waits for the end of the writing.
    pub write_only: bool,
    /// Server name that TLS verified.
    pub tls_server_name: Option<Box<str>>,
    /// Raw descriptor of the kernel socket, where there is one (`--exec-dup2`).
    pub fd: Option<i32>,
    /// The supervised child that it leads to.
    pub child: Option<Arc<Bond>>,
    /// Written once by the WebSocket overlay when its read half ends.
    pub ending: OnceLock<Ending>,
    /// Whose its halves are, if not its own.
    pub owners: Owners,
    /// What was found out when it ended.
    pub outcome: Outcome,
}

/// What the copying of a socket's data came to, for whoever judges a session of several parts. A clone of it knows nothing:
/// it belongs to another socket.
#[derive(Debug, Default)]
pub struct Outcome {
    /// The marks below, in one byte: each connection has several of these.
    bits: AtomicU8,
}

const TOLD: u8 = 1;
const READ_TO_END: u8 = 2;
const SPOKE: u8 = 4;
const UNHEARD: u8 = 8;

impl Clone for Outcome {
    fn clone(&self) -> Self {
        Self::default()
    }
}

impl Outcome {
    /// Its output was read to its end, which was in order.
    pub fn set_read_to_end(&self) {
        self.bits.fetch_or(READ_TO_END, AcqRel);
    }

    pub fn is_read_to_end(&self) -> bool {
        self.bits.load(Acquire) & READ_TO_END != 0
    }

    /// Something other than its end was read from it (only where somebody asks: `exchange::Heard`).
    pub fn set_spoke(&self) {
        self.bits.fetch_or(SPOKE, Release);
    }

    /// Whether something was read since the last call.
    pub fn take_spoke(&self) -> bool {
        self.bits.fetch_and(!SPOKE, AcqRel) & SPOKE != 0
    }

    /// Nobody reads it any more, or there is nothing more to read.
    pub fn set_unheard(&self) {
        self.bits.fetch_or(UNHEARD, Release);
    }

    pub fn is_unheard(&self) -> bool {
        self.bits.load(Acquire) & UNHEARD != 0
    }
}

impl SocketInfo {
    /// The child that it leads to has ended and all that it said was read.
    pub fn child_has_left(&self) -> bool {
        self.child.as_ref().is_some_and(|child| child.has_left())
    }

    /// How it ended, for the first one who asks: of several that copy its data one has to judge.
    pub fn ending_to_tell(&self) -> Option<&Ending> {
        self.ending.get().filter(|_| self.outcome.bits.fetch_or(TOLD, AcqRel) & TOLD == 0)
    }

    /// For messages: specifier and peer, as far as they are known.
    pub fn describe(&self) -> String {
        // Once for each connection of a listener: nothing is formatted twice.
        let Some(peer) = &self.peer else {
            return self.specifier.as_deref().unwrap_or("socket").to_owned();
        };
        let peer = peer.to_string();
        match self.specifier.as_deref() {
            Some(specifier) if specifier.contains(&peer) => specifier.to_owned(),
            Some(specifier) => [specifier, " (", &peer, ")"].concat(),
            None => peer,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_give_back_what_they_were_made_of() {
        let headers: [(&str, &[u8]); 4] =
            [("host", b"h:80"), ("x-empty", b""), ("cookie", b"a=b: c"), ("cookie", b"\xff ")];
        let request = Request::new("GET", "/x?y:z", headers.into_iter());
        assert_eq!((request.method(), request.uri()), ("GET", "/x?y:z"));
        assert_eq!(request.headers().collect::<Vec<_>>(), headers);
        assert_eq!(request.lines.len(), "GET /x?y:z\nhost: h:80\nx-empty: \ncookie: a=b: c\ncookie: \n".len() + 2);
        let nothing = Request::default();
        assert_eq!((nothing.method(), nothing.uri(), nothing.headers().count()), ("", "", 0));
    }
}
