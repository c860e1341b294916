//! `http_reply`: an answer of the script's own making to a request that does not become a WebSocket.

use super::{headers, server::OutgoingResponse};
use crate::{
    register,
    scenario::{Handle, RhResult, handle},
};
use bytes::Bytes;
use http_body_util::Full;
use hyper::{
    Response, StatusCode,
    header::{self, HeaderName, HeaderValue},
};
use rhai::{Blob, Dynamic, Engine, Map};

/// What is said about the length of an answer, and how the connection goes on, is HTTP's own affair.
const RESERVED: [HeaderName; 4] =
    [header::CONTENT_LENGTH, header::TRANSFER_ENCODING, header::CONNECTION, header::UPGRADE];

/// An answer to a request, to be returned from the function that `http1_serve` calls: status from 200 to 599, headers as in
/// `ws_upgrade`, and a body that is a string or a blob. A string has Content-Type `text/plain; charset=utf-8` unless another
/// one is given. With a status from 400 on the request counts as refused, in the log and for the exit status. The client may
/// ask again on the same connection.
fn http_reply(status: i64, headers: Map, body: Dynamic) -> RhResult<Handle<OutgoingResponse>> {
    let code = u16::try_from(status).ok().filter(|code| (200..600).contains(code));
    let code = code.and_then(|code| StatusCode::from_u16(code).ok());
    let code = code.ok_or_else(|| format!("http_reply: status {status} is not between 200 and 599"))?;
    let mut fields = headers::custom_headers(headers)?;
    if let Some(name) = RESERVED.iter().find(|name| fields.contains_key(*name)) {
        return Err(format!("http_reply: header `{name}` is made by itself, from the body").into());
    }
    let body = body.flatten();
    let kind = body.type_name();
    let is_text = body.is_string();
    let bytes = if is_text { body.into_string().ok().map(String::into_bytes) } else { body.try_cast::<Blob>() };
    let bytes = bytes.ok_or_else(|| format!("http_reply: the body must be a string or a blob, not {kind}"))?;
    if !bytes.is_empty()
        && matches!(code, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED | StatusCode::RESET_CONTENT)
    {
        return Err(format!("http_reply: an answer with status {status} has no body (RFC 9110 15)").into());
    }
    if is_text && !bytes.is_empty() && !fields.contains_key(header::CONTENT_TYPE) {
        fields.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    }
    let mut response = Response::new(Full::new(Bytes::from(bytes)));
    *response.status_mut() = code;
    *response.headers_mut() = fields;
    let refused = code.is_client_error() || code.is_server_error();
    let refusal = refused.then(|| format!("refused with {code} by the script"));
    Ok(handle(OutgoingResponse { response, accepted: None, refusal }))
}

pub(super) fn register(engine: &mut Engine) {
    register!(engine, http_reply);
}
