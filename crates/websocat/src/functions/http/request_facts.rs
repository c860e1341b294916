//! What scripts may ask about a request: of the request itself, or of the socket that came out of its handshake.
//!
//! Header values are shown as text. Bytes that are not UTF-8 become U+FFFD, so that they compare equal to nothing that a
//! script can write down.

use super::server::IncomingRequest;
use crate::{
    register,
    scenario::{Handle, RhResult, kind_of},
};
use rhai::{Dynamic, Engine, Map};
use sockets::socket::{DatagramSocket, StreamSocket};
use std::sync::PoisonError;

/// The parts of a request, wherever they are kept.
trait Facts {
    fn method(&self) -> &str;
    fn uri(&self) -> String;
    /// Names in small letters.
    fn headers(&self) -> impl Iterator<Item = (&str, &[u8])>;
}

impl Facts for hyper::http::request::Parts {
    fn method(&self) -> &str {
        self.method.as_str()
    }
    fn uri(&self) -> String {
        self.uri.to_string()
    }
    fn headers(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes()))
    }
}

impl Facts for sockets::info::Request {
    fn method(&self) -> &str {
        self.method()
    }
    fn uri(&self) -> String {
        self.uri().to_owned()
    }
    fn headers(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.headers()
    }
}

/// What a fact is made of; a trait, since closures are not generic.
trait Question {
    type Answer;
    fn of(self, request: &impl Facts) -> Self::Answer;
}

/// Asks a request, or a socket that was upgraded by one. `function` is for messages.
fn ask<Q: Question>(function: &str, x: Dynamic, question: Q) -> RhResult<Q::Answer> {
    let x = x.flatten();
    let used = |what: &str| format!("{function}: this {what} was used up or taken away before");
    let unknown = || format!("{function}: this socket is not one that an HTTP request was made on");
    if let Some(h) = x.read_lock::<Handle<IncomingRequest>>() {
        let request = h.lock().unwrap_or_else(PoisonError::into_inner);
        return Ok(question.of(&request.as_ref().ok_or_else(|| used("request"))?.head));
    }
    if let Some(h) = x.read_lock::<Handle<StreamSocket>>() {
        let socket = h.lock().unwrap_or_else(PoisonError::into_inner);
        let request = &socket.as_ref().ok_or_else(|| used("socket"))?.info.request;
        return Ok(question.of(request.as_ref().ok_or_else(unknown)?));
    }
    if let Some(h) = x.read_lock::<Handle<DatagramSocket>>() {
        let socket = h.lock().unwrap_or_else(PoisonError::into_inner);
        let request = &socket.as_ref().ok_or_else(|| used("socket"))?.info.request;
        return Ok(question.of(request.as_ref().ok_or_else(unknown)?));
    }
    Err(format!("{function} takes a request or a socket, not {}", kind_of(&x)).into())
}

struct Method;
impl Question for Method {
    type Answer = String;
    fn of(self, request: &impl Facts) -> String {
        request.method().to_owned()
    }
}

struct Target;
impl Question for Target {
    type Answer = String;
    fn of(self, request: &impl Facts) -> String {
        request.uri()
    }
}

struct Header<'a>(&'a str);
impl Question for Header<'_> {
    type Answer = Option<String>;
    fn of(self, request: &impl Facts) -> Option<String> {
        let values = request.headers().filter(|(name, _)| name.eq_ignore_ascii_case(self.0));
        values.map(|(_, value)| String::from_utf8_lossy(value).into_owned()).reduce(|all, one| [all, one].join(", "))
    }
}

struct Headers;
impl Question for Headers {
    type Answer = Map;
    fn of(self, request: &impl Facts) -> Map {
        let names = request.headers().map(|(name, _)| name);
        names.filter_map(|name| Some((name.into(), Header(name).of(request)?.into()))).collect()
    }
}

/// Method of a request, such as `GET`. It takes the request that `http1_serve` gives, or a socket on which a server's
/// handshake was made.
fn request_method(x: Dynamic) -> RhResult<String> {
    ask("request_method", x, Method)
}

/// Target of a request as it was sent: path and query.
fn request_uri(x: Dynamic) -> RhResult<String> {
    ask("request_uri", x, Target)
}

/// Value of one header of a request, whose name may be written in any letter case; `()` if there is none. Those of several
/// fields of that name are joined by `, `.
fn request_header(x: Dynamic, name: &str) -> RhResult<Dynamic> {
    Ok(ask("request_header", x, Header(name))?.map_or(Dynamic::UNIT, Into::into))
}

/// All headers of a request as a map from name, in small letters, to value. A socket has forgotten those that every handshake
/// has: Connection, Upgrade, Sec-WebSocket-Key, Sec-WebSocket-Version.
fn request_headers(x: Dynamic) -> RhResult<Map> {
    ask("request_headers", x, Headers)
}

pub(super) fn register(engine: &mut Engine) {
    register!(engine, request_method, request_uri, request_header, request_headers);
}
