//! The server's half of the opening handshake: `ws_accept` judges a request by RFC 6455 4.2 and makes the answer.
//!
//! Nothing that the client sent is trusted: a wrong request gets a refusal with one line of text, and the connection
//! stays usable. The I/O is in `server.rs`.

use super::{
    HALF_CLOSE, HALF_CLOSE_YES, headers,
    reply::Agreed,
    server::{IncomingRequest, OutgoingResponse},
};
use crate::{
    error::{Error, Kind},
    register,
    scenario::{Callback, Handle, OptsReader, RhFn, RhOpts, RhResult, Take, handle, throw},
};
use bytes::Bytes;
use http_body_util::Full;
use hyper::{
    HeaderMap, Method, Response, StatusCode, Version,
    header::{self, HeaderName, HeaderValue},
    http::request,
};
use rhai::{Engine, Map, NativeCallContext};
use serde::{Deserialize, Serialize};
use sockets::{hangup::Hangup, info, socket::StreamSocket};
use std::sync::PoisonError;

/// Options of `ws_accept`.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct AcceptOpts {
    /// Accept any request.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub lax: bool,
    /// Answer with the custom headers only; the request needs no key.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub omit_headers: bool,
    /// Subprotocol to answer with when the client offers it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub choose_protocol: Option<String>,
    /// Refuse clients that do not offer it.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub require_protocol: bool,
    /// Answer with the first subprotocol that the client offers, unless it offers the one to choose.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub protocol_choose_first: bool,
    /// Agree to keep half-closes when the other end asks for it (`Websocat-Half-Close: 1`).
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub half_close: bool,
}

/// How a connection goes on after its 101.
pub(super) struct Accepted {
    pub next: Callback,
    pub hangup: Option<Hangup>,
    pub request: info::Request,
    pub agreed: Agreed,
}

/// Why a request does not become a WebSocket.
#[derive(Debug)]
struct Refusal {
    status: StatusCode,
    why: &'static str,
}

const fn bad(why: &'static str) -> Refusal {
    Refusal { status: StatusCode::BAD_REQUEST, why }
}

/// Answers a request for a WebSocket; the byte stream that follows the answer goes to the callback, framing is up to
/// `ws_wrap`. A request that is not right is refused with status 400, 405 or 426, and the connection can be used again.
///
/// Custom headers as in `ws_upgrade`.
fn ws_accept(
    ctx: NativeCallContext<'_>,
    opts: RhOpts<AcceptOpts>,
    custom_headers: Map,
    rq: Handle<IncomingRequest>,
    close_handle: Handle<Hangup>,
    _fd: i64,
    continuation: RhFn<(Handle<StreamSocket>,)>,
) -> RhResult<Handle<OutgoingResponse>> {
    let options: AcceptOpts = OptsReader::read(opts)?;
    if options.require_protocol && options.choose_protocol.is_none() {
        return Err("option `require_protocol` needs `choose_protocol`".into());
    }
    let custom = headers::custom_headers(custom_headers)?;
    let next = Callback::new(&ctx, continuation)?;
    let IncomingRequest { head, info } = rq.take("request")?;
    let agreed = match check(&head, &options) {
        Ok(agreed) => agreed,
        Err(refusal) => {
            tracing::info!("{}: refused with {}: {}", info.describe(), refusal.status, refusal.why);
            return Ok(handle(refuse(&refusal)));
        }
    };
    let response = switch(&head, &options, &agreed, &custom).map_err(throw)?;
    // The socket's hangup goes to the WebSocket; a socket without one has an empty handle.
    let hangup = close_handle.lock().unwrap_or_else(PoisonError::into_inner).take();
    let accepted = Accepted { next, hangup, request: record(&head), agreed };
    Ok(handle(OutgoingResponse { response, accepted: Some(accepted), refusal: None }))
}

/// Judges a request.
fn check(head: &request::Parts, options: &AcceptOpts) -> Result<Agreed, Refusal> {
    let fields = &head.headers;
    if !options.lax {
        check_form(head, options.omit_headers)?;
    }
    // What is no token cannot be answered with: the name would come out changed.
    let mut offered = headers::elements(fields, &header::SEC_WEBSOCKET_PROTOCOL).filter(|name| headers::is_token(name));
    let subprotocol = choose(&mut offered, options)?;
    Ok(Agreed {
        subprotocol: subprotocol.map(|p| String::from_utf8_lossy(p).into()),
        extensions: None,
        half_close: options.half_close && fields.get(HALF_CLOSE).is_some_and(|v| v == HALF_CLOSE_YES),
    })
}

/// RFC 6455 4.2.1.
fn check_form(head: &request::Parts, key_is_optional: bool) -> Result<(), Refusal> {
    let fields = &head.headers;
    let one = |name: &HeaderName, why| headers::single(fields, name).map_err(|()| bad(why));
    // 6455-4.2.1-2
    if head.method != Method::GET {
        return Err(Refusal { status: StatusCode::METHOD_NOT_ALLOWED, why: "a WebSocket is asked for with GET" });
    }
    if head.version < Version::HTTP_11 {
        return Err(bad("a WebSocket needs HTTP/1.1"));
    }
    // What follows the head are frames; a body would be taken for them, or the other way round.
    let length = fields.get(header::CONTENT_LENGTH).is_some_and(|n| n.as_bytes() != b"0");
    if length || fields.contains_key(header::TRANSFER_ENCODING) {
        return Err(bad("a request for a WebSocket has no body"));
    }
    // 6455-4.2.1-3
    one(&header::HOST, "more than one Host")?.ok_or(bad("no Host"))?;
    // 6455-4.2.1-4
    if !headers::has_token(fields, &header::UPGRADE, "websocket") {
        return Err(bad("this is a WebSocket server, and the request has no Upgrade: websocket"));
    }
    // 6455-4.2.1-5
    if !headers::has_token(fields, &header::CONNECTION, "upgrade") {
        return Err(bad("Connection is not Upgrade"));
    }
    // 6455-4.2.1-7, 6455-4.2.2-8, 6455-11.3.5-2
    match one(&header::SEC_WEBSOCKET_VERSION, "more than one Sec-WebSocket-Version")? {
        Some(b"13") => {}
        None => return Err(bad("no Sec-WebSocket-Version")),
        Some(_) => {
            return Err(Refusal { status: StatusCode::UPGRADE_REQUIRED, why: "only WebSocket version 13 is spoken" });
        }
    }
    // 6455-4.2.1-6, 6455-11.3.1-1
    match one(&header::SEC_WEBSOCKET_KEY, "more than one Sec-WebSocket-Key")? {
        Some(key) if headers::is_key(key) => Ok(()),
        None if key_is_optional => Ok(()),
        None => Err(bad("no Sec-WebSocket-Key")),
        Some(_) => Err(bad("Sec-WebSocket-Key is not base64 of 16 bytes")),
    }
}

/// The subprotocol to answer with, of those that are offered.
fn choose<'a>(offered: &mut dyn Iterator<Item = &'a [u8]>, options: &AcceptOpts) -> Result<Option<&'a [u8]>, Refusal> {
    let wanted = options.choose_protocol.as_deref().map(str::as_bytes);
    let mut first = None;
    for protocol in offered {
        if Some(protocol) == wanted {
            return Ok(Some(protocol));
        }
        first = first.or(Some(protocol));
    }
    match first {
        Some(first) if options.protocol_choose_first => Ok(Some(first)),
        _ if options.require_protocol => Err(bad("the subprotocol of this server is not offered")),
        _ => Ok(None),
    }
}

/// The answer that turns a request down, with one line of text.
fn refuse(refusal: &Refusal) -> OutgoingResponse {
    let mut response = Response::new(Full::new(Bytes::from(format!("{}\n", refusal.why))));
    *response.status_mut() = refusal.status;
    let fields = response.headers_mut();
    fields.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    match refusal.status {
        StatusCode::METHOD_NOT_ALLOWED => {
            fields.insert(header::ALLOW, HeaderValue::from_static("GET"));
        }
        // 6455-4.2.2-9, 6455-4.4-2
        StatusCode::UPGRADE_REQUIRED => {
            fields.insert(header::SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"));
            fields.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
            fields.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
        }
        _ => {}
    }
    OutgoingResponse { response, accepted: None, refusal: Some(refusal.why.to_owned()) }
}

/// The 101 (RFC 6455 4.2.2).
fn switch(
    head: &request::Parts,
    options: &AcceptOpts,
    agreed: &Agreed,
    custom: &HeaderMap,
) -> Result<Response<Full<Bytes>>, Error> {
    let mut response = Response::new(Full::default());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let fields = response.headers_mut();
    let text =
        |text: &str| HeaderValue::from_str(text).map_err(|e| Error::with_source(Kind::Start, "WebSocket handshake", e));
    if !options.omit_headers {
        fields.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
        fields.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
        if let Some(key) = head.headers.get(header::SEC_WEBSOCKET_KEY) {
            fields.insert(header::SEC_WEBSOCKET_ACCEPT, text(&headers::accept_value(key.as_bytes()))?);
        }
        if let Some(protocol) = &agreed.subprotocol {
            fields.insert(header::SEC_WEBSOCKET_PROTOCOL, text(protocol)?);
        }
        if agreed.half_close {
            fields.insert(HALF_CLOSE, HeaderValue::from_static(HALF_CLOSE_YES));
        }
    }
    for name in custom.keys() {
        fields.remove(name);
    }
    for (name, value) in custom {
        fields.append(name, value.clone());
    }
    Ok(response)
}

/// Headers that every handshake has and that say nothing afterwards.
const HANDSHAKE_ONLY: [HeaderName; 4] =
    [header::CONNECTION, header::UPGRADE, header::SEC_WEBSOCKET_KEY, header::SEC_WEBSOCKET_VERSION];

/// What is remembered of a request, as long as the connection lives.
fn record(head: &request::Parts) -> info::Request {
    let telling = head.headers.iter().filter(|(name, _)| !HANDSHAKE_ONLY.contains(name));
    let headers = telling.map(|(name, value)| (name.as_str(), value.as_bytes()));
    info::Request::new(head.method.as_str(), &head.uri.to_string(), headers)
}

pub(super) fn register(engine: &mut Engine) {
    register!(engine, ws_accept);
}
