//! The server's half of the opening handshake: `ws_accept` judges a request by RFC 6455 4.2 and makes the answer.
//!
//! Nothing that the client sent is trusted: a wrong request gets a refusal with one line of text, and the connection
//! stays usable. The checks are in `request.rs` and `origin.rs`, the I/O is in `server.rs`.

use super::{
    HALF_CLOSE, HALF_CLOSE_YES,
    compression::CompressOpts,
    headers,
    origin::{self, AllowedOrigins},
    reply::Agreed,
    request::{self, Refusal, bad},
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
    HeaderMap, Response, StatusCode,
    header::{self, HeaderName, HeaderValue},
    http::request::Parts,
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
    /// Origins of web pages that may use the server, such as `https://example.org`; `same`: that of the request's Host;
    /// `null`: pages without an origin; `*`: all. Requests without Origin pass. Absent: all pass.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub allow_origins: Option<Vec<String>>,
    /// The only path that is served, others get 404; with a query if it has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub restrict_uri: Option<String>,
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

/// Answers a request for a WebSocket; the byte stream that follows the answer goes to the callback, framing is up to
/// `ws_wrap`. A request that is not right is refused with status 400, 403, 404, 405 or 426, and the client may ask again.
///
/// Custom headers as in `ws_upgrade`.
fn ws_accept(
    ctx: NativeCallContext<'_>,
    opts: RhOpts<(AcceptOpts, CompressOpts)>,
    custom_headers: Map,
    rq: Handle<IncomingRequest>,
    close_handle: Handle<Hangup>,
    _fd: i64,
    continuation: RhFn<(Handle<StreamSocket>,)>,
) -> RhResult<Handle<OutgoingResponse>> {
    let mut reader = OptsReader::new(opts)?;
    let options: AcceptOpts = reader.take()?;
    let compress = reader.take::<CompressOpts>()?.check()?;
    reader.finish()?;
    if options.require_protocol && options.choose_protocol.is_none() {
        return Err("option `require_protocol` needs `choose_protocol`".into());
    }
    let allowed = options.allow_origins.as_deref().map(AllowedOrigins::parse).transpose();
    let allowed = allowed.map_err(|e| format!("option `allow_origins`: {e}"))?;
    let custom = headers::custom_headers(custom_headers)?;
    headers::check_reply_headers(&custom)?;
    let next = Callback::new(&ctx, continuation)?;
    let IncomingRequest { head, .. } = rq.take("request")?;
    let mut agreed = match check(&head, &options, allowed.as_ref()) {
        Ok(agreed) => agreed,
        Err(refusal) => return Ok(handle(request::refuse(&refusal))),
    };
    match compress.answer(&head.headers) {
        // What a custom header says is not ours to keep.
        Ok(Some((text, deflate)))
            if !options.omit_headers && !custom.contains_key(header::SEC_WEBSOCKET_EXTENSIONS) =>
        {
            (agreed.extensions, agreed.deflate) = (Some(text.into()), Some(deflate));
        }
        Err(why) if !options.lax => return Ok(handle(request::refuse(&bad(why)))),
        _ => {}
    }
    let response = switch(&head, &options, &agreed, &custom).map_err(throw)?;
    // The socket's hangup goes to the WebSocket; a socket without one has an empty handle.
    let hangup = close_handle.lock().unwrap_or_else(PoisonError::into_inner).take();
    let accepted = Accepted { next, hangup, request: record(&head), agreed };
    Ok(handle(OutgoingResponse { response, accepted: Some(accepted), refusal: None }))
}

/// Judges a request.
//= 6455-4.2.2-1
fn check(head: &Parts, options: &AcceptOpts, allowed: Option<&AllowedOrigins>) -> Result<Agreed, Refusal> {
    let fields = &head.headers;
    // At other paths there is nothing, whatever is asked for.
    if let Some(path) = &options.restrict_uri {
        request::check_path(head, path)?;
    }
    if !options.lax {
        request::check(head, options.omit_headers)?;
    }
    // Whose pages may come in is no question of form.
    if let Some(allowed) = allowed {
        origin::check(head, allowed)?;
    }
    // What is no token cannot be answered with: the name would come out changed.
    let mut offered = headers::elements(fields, &header::SEC_WEBSOCKET_PROTOCOL).filter(|name| headers::is_token(name));
    let subprotocol = choose(&mut offered, options)?;
    Ok(Agreed {
        subprotocol: subprotocol.map(|p| String::from_utf8_lossy(p).into()),
        extensions: None,
        deflate: None,
        half_close: options.half_close && fields.get(HALF_CLOSE).is_some_and(|v| v == HALF_CLOSE_YES),
    })
}

/// The subprotocol to answer with, of those that are offered.
//= 6455-4.2.2-11
//= 6455-4.2.2-12
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

/// The 101 (RFC 6455 4.2.2).
//= 6455-4.2.2-16
//= 6455-4.2.2-17
fn switch(
    head: &Parts,
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
        //= 6455-4.2.2-18
        //= 6455-4.2.2-19
        fields.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
        fields.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
        //= 6455-4.2.2-20
        if let Some(key) = head.headers.get(header::SEC_WEBSOCKET_KEY) {
            fields.insert(header::SEC_WEBSOCKET_ACCEPT, text(&headers::accept_value(key.as_bytes()))?);
        }
        //= 6455-4.2.2-21
        if let Some(protocol) = &agreed.subprotocol {
            fields.insert(header::SEC_WEBSOCKET_PROTOCOL, text(protocol)?);
        }
        //= 6455-4.2.2-22
        if let Some(extensions) = &agreed.extensions {
            fields.insert(header::SEC_WEBSOCKET_EXTENSIONS, text(extensions)?);
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
//= 6455-4.2.1-11
fn record(head: &Parts) -> info::Request {
    let telling = head.headers.iter().filter(|(name, _)| !HANDSHAKE_ONLY.contains(name));
    let headers = telling.map(|(name, value)| (name.as_str(), value.as_bytes()));
    info::Request::new(head.method.as_str(), &head.uri.to_string(), headers)
}

pub(super) fn register(engine: &mut Engine) {
    register!(engine, ws_accept);
}
