//! What a client asks for: the server's checks of RFC 6455 4.2.1 and the answer that turns a request down.
//!
//! Without I/O. hyper has refused what is no HTTP: bare CR, NUL, blanks before a colon, lengths that contradict each other.
//! Nothing that the client sent is part of an answer.

use super::{headers, server::OutgoingResponse};
use bytes::Bytes;
use http_body_util::Full;
use hyper::{
    HeaderMap, Method, Response, StatusCode, Version,
    header::{self, HeaderName, HeaderValue},
    http::{request, uri::Authority},
};

/// Why a request does not become a WebSocket.
#[derive(Debug)]
pub(super) struct Refusal {
    pub status: StatusCode,
    /// One line for the client.
    pub why: &'static str,
    /// What only the log may say.
    pub detail: Option<String>,
}

impl Refusal {
    pub const fn new(status: StatusCode, why: &'static str) -> Self {
        Self { status, why, detail: None }
    }

    /// One line for the log.
    pub fn text(&self) -> String {
        let detail = self.detail.as_deref().map(|detail| format!(": {detail}")).unwrap_or_default();
        format!("refused with {}: {}{detail}", self.status, self.why)
    }
}

pub(super) const fn bad(why: &'static str) -> Refusal {
    Refusal::new(StatusCode::BAD_REQUEST, why)
}

/// The form of a request for a WebSocket.
//= 6455-4.2.1-1
//= 6455-4.1-43
pub(super) fn check(head: &request::Parts, key_is_optional: bool) -> Result<(), Refusal> {
    check_what_is_asked(head)?;
    check_upgrade(&head.headers)?;
    check_web_socket(&head.headers, key_is_optional)
}

/// The only value of a field that must not come twice.
fn one<'a>(fields: &'a HeaderMap, name: &HeaderName, why: &'static str) -> Result<Option<&'a [u8]>, Refusal> {
    headers::single(fields, name).map_err(|()| bad(why))
}

/// The first line, that no body follows, and the host.
fn check_what_is_asked(head: &request::Parts) -> Result<(), Refusal> {
    let fields = &head.headers;
    //= 6455-4.2.1-2
    if head.method != Method::GET {
        return Err(Refusal::new(StatusCode::METHOD_NOT_ALLOWED, "a WebSocket is asked for with GET"));
    }
    if head.version < Version::HTTP_11 {
        // nginx speaks HTTP/1.0 to what is behind it unless told otherwise.
        return Err(bad(
            "a WebSocket needs HTTP/1.1 (a proxy in front may have to be told, such as by proxy_http_version)",
        ));
    }
    let absolute = head.uri.scheme_str().is_none_or(|scheme| matches!(scheme, "http" | "https"));
    if !absolute || !head.uri.path().starts_with('/') {
        return Err(bad("what is asked for is neither a path nor an http URL"));
    }
    // What follows the head are frames; a body would be taken for them, or the other way round.
    let length = fields.get(header::CONTENT_LENGTH).is_some_and(|n| n.as_bytes() != b"0");
    if length || fields.contains_key(header::TRANSFER_ENCODING) {
        return Err(bad("a request for a WebSocket has no body"));
    }
    //= 6455-4.2.1-3
    let host = one(fields, &header::HOST, "more than one Host")?.ok_or(bad("no Host"))?;
    // Empty where the client knows no name (RFC 9112 3.2).
    let is_host = Authority::try_from(host).is_ok_and(|host| !host.as_str().contains('@'));
    if !host.is_empty() && !is_host {
        return Err(bad("Host is neither a name nor an address"));
    }
    Ok(())
}

/// Another protocol is to follow on the connection: WebSocket.
fn check_upgrade(fields: &HeaderMap) -> Result<(), Refusal> {
    //= 6455-4.2.1-4
    if !headers::has_token(fields, &header::UPGRADE, "websocket") {
        // Also what comes through a proxy that does not pass these headers on.
        let why = "this is a WebSocket server, and the request has no Upgrade: websocket";
        return Err(Refusal::new(StatusCode::UPGRADE_REQUIRED, why));
    }
    //= 6455-4.2.1-5
    if !headers::has_token(fields, &header::CONNECTION, "upgrade") {
        return Err(bad("Connection is not Upgrade"));
    }
    Ok(())
}

/// The headers that are WebSocket's own.
fn check_web_socket(fields: &HeaderMap, key_is_optional: bool) -> Result<(), Refusal> {
    //= 6455-4.2.1-7
    //= 6455-4.2.2-8
    //= 6455-4.3-2
    //= 6455-11.3.5-2
    match one(fields, &header::SEC_WEBSOCKET_VERSION, "more than one Sec-WebSocket-Version")? {
        Some(b"13") => {}
        None => return Err(bad("no Sec-WebSocket-Version")),
        Some(_) => {
            return Err(Refusal::new(StatusCode::UPGRADE_REQUIRED, "only WebSocket version 13 is spoken"));
        }
    }
    //= 6455-4.3-1
    if !headers::elements(fields, &header::SEC_WEBSOCKET_PROTOCOL).all(headers::is_token) {
        return Err(bad("Sec-WebSocket-Protocol is not a list of names"));
    }
    //= 6455-4.2.1-6
    //= 6455-11.3.1-1
    match one(fields, &header::SEC_WEBSOCKET_KEY, "more than one Sec-WebSocket-Key")? {
        Some(key) if headers::is_key(key) => Ok(()),
        None if key_is_optional => Ok(()),
        None => Err(bad("no Sec-WebSocket-Key")),
        Some(_) => Err(bad("Sec-WebSocket-Key is not base64 of 16 bytes")),
    }
}

/// The path that is asked for, with the query if `path` has one, is that of the service.
//= 6455-4.2.2-10
pub(super) fn check_path(head: &request::Parts, path: &str) -> Result<(), Refusal> {
    let asked = head.uri.path_and_query().map_or("/", |target| target.as_str());
    let asked = if path.contains('?') { asked } else { head.uri.path() };
    if asked == path { Ok(()) } else { Err(Refusal::new(StatusCode::NOT_FOUND, "there is no WebSocket at this path")) }
}

/// The answer that turns a request down, with one line of text.
//= 6455-10.7-4
pub(super) fn refuse(refusal: &Refusal) -> OutgoingResponse {
    let mut response = Response::new(Full::new(Bytes::from(format!("{}\n", refusal.why))));
    *response.status_mut() = refusal.status;
    let fields = response.headers_mut();
    fields.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    match refusal.status {
        StatusCode::METHOD_NOT_ALLOWED => {
            fields.insert(header::ALLOW, HeaderValue::from_static("GET"));
        }
        //= 6455-4.2.2-9
        //= 6455-4.4-2
        StatusCode::UPGRADE_REQUIRED => {
            fields.insert(header::SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"));
            fields.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
            fields.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
        }
        // There is room again when somebody has left, which nobody can foretell.
        StatusCode::SERVICE_UNAVAILABLE => {
            fields.insert(header::RETRY_AFTER, HeaderValue::from_static("5"));
            fields.insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        _ => {}
    }
    OutgoingResponse { response, accepted: None, refusal: Some(refusal.text()) }
}
