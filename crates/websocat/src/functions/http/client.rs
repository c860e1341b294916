//! The client's half of the opening handshake: `http1_client` and `ws_upgrade`.
//!
//! Makes the request, has the answer judged by `reply.rs` (RFC 6455 4.1) and gives the very same stream halves back;
//! nothing of HTTP stays in memory.

use super::{
    HALF_CLOSE, HALF_CLOSE_YES,
    carrier::{Carrier, TooMuch},
    compression::{self, CompressOpts},
    headers,
    limits::HeadOpts,
    refused,
    reply::{self, Agreed, Asked},
};
use crate::{
    error::{Error, Kind, Result, shown},
    register,
    scenario::{
        Callback, Flow, Handle, OptsReader, RhFn, RhOpts, RhResult, Scenario, Take, TaskHandle, handle, task, throw,
    },
};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Empty};
use hyper::{
    HeaderMap, Request, Response, StatusCode, Uri,
    body::Incoming,
    client::conn::http1::{self, Connection},
    header::{self, HeaderName, HeaderValue},
};
use rhai::{Engine, Map, NativeCallContext};
use serde::{Deserialize, Serialize};
use sockets::{info::SocketInfo, socket::StreamSocket};
use std::{
    future::{Future, poll_fn},
    pin::{Pin, pin},
    sync::Arc,
    time::Duration,
};

/// A socket on which HTTP/1 requests can be made.
pub struct Http1Client(StreamSocket, HeadOpts);

impl Http1Client {
    /// What is known of the socket below.
    pub fn info(&self) -> &sockets::info::SocketInfo {
        &self.0.info
    }
}

/// Options of `ws_upgrade`.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct UpgradeOpts {
    /// Request target: path and query, or an absolute URI.
    pub url: String,
    /// Value of Host; absent: the host of an absolute URI, or no Host.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// Take any reply with status 101.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub lax: bool,
    /// Send only Host and the custom headers.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub omit_headers: bool,
    /// Ask the other end to keep half-closes (`Websocat-Half-Close: 1`), if it is one of ours.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub half_close: bool,
    /// Time for the whole handshake, in milliseconds; no limit when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout_ms: Option<u64>,
}

/// Speaks the client side of HTTP/1 over a stream socket. Nothing is sent until a request is made.
fn http1_client(opts: RhOpts<HeadOpts>, inner: Handle<StreamSocket>) -> RhResult<Handle<Http1Client>> {
    let heads = OptsReader::read::<HeadOpts>(opts)?.check()?;
    Ok(handle(Http1Client(inner.take("socket")?, heads)))
}

/// Asks for a WebSocket and hands the byte stream that follows the answer to the callback; framing is up to `ws_wrap`.
///
/// Custom headers are a map from name to string or blob, or to an array of them for a name that comes several times. They
/// replace headers that would be sent otherwise, Host too.
fn ws_upgrade(
    ctx: NativeCallContext<'_>,
    opts: RhOpts<(UpgradeOpts, CompressOpts)>,
    custom_headers: Map,
    client: Handle<Http1Client>,
    continuation: RhFn<(Handle<StreamSocket>,)>,
) -> RhResult<TaskHandle> {
    let mut reader = OptsReader::new(opts)?;
    let options: UpgradeOpts = reader.take()?;
    let compress = reader.take::<CompressOpts>()?.check()?;
    reader.finish()?;
    let custom = headers::custom_headers(custom_headers)?;
    //= 6455-4.1-24
    //= 6455-4.1-25
    let key = Scenario::of(&ctx)?.random().websocket_key();
    let (request, asked) = request(&options, &compress, custom, &BASE64_STANDARD.encode(key)).map_err(throw)?;
    let limit = options.timeout_ms.map(Duration::from_millis);
    let continuation = Callback::new(&ctx, continuation)?;
    let Http1Client(socket, heads) = client.take("HTTP client")?;
    Ok(task(async move {
        let socket = upgrade(socket, heads, request, &asked, limit).await?;
        Ok(Flow::Then(continuation.task((handle(socket),))?))
    }))
}

/// The request, and what the reply will be measured by. It is a GET of HTTP/1.1 unless something else is said.
//= 6455-4.1-16
//= 6455-4.1-17
//= 6455-4.1-18
//= 6455-4.1-19
fn request(
    options: &UpgradeOpts,
    compress: &CompressOpts,
    custom: HeaderMap,
    key: &str,
) -> Result<(Request<Empty<Bytes>>, Asked)> {
    let bad = |what: &str, text: &str| {
        Error::new(Kind::Start, format!("WebSocket handshake: {what} `{}` cannot be sent", shown(text.as_bytes())))
    };
    let uri: Uri = options.url.parse().map_err(|_| bad("the URL", &options.url))?;
    let host = options.host.as_deref().or_else(|| uri.authority().map(|a| a.as_str()));
    let mut own: Vec<(HeaderName, HeaderValue)> = Vec::new();
    if !options.omit_headers {
        //= 6455-4.1-21
        //= 6455-4.1-22
        //= 6455-4.1-23
        //= 6455-4.1-28
        //= 6455-4.1-29
        own.push((header::CONNECTION, HeaderValue::from_static("Upgrade")));
        own.push((header::UPGRADE, HeaderValue::from_static("websocket")));
        own.push((header::SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13")));
        own.push((header::SEC_WEBSOCKET_KEY, HeaderValue::from_str(key).map_err(|_| bad("the key", key))?));
        //= 6455-4.1-33
        if let Some(offer) = compress.offer() {
            let value = HeaderValue::from_str(&offer).map_err(|_| bad("the offer", &offer))?;
            own.push((header::SEC_WEBSOCKET_EXTENSIONS, value));
        }
    }
    //= 6455-4.1-20
    if let Some(host) = host {
        own.push((header::HOST, HeaderValue::from_str(host).map_err(|_| bad("the host", host))?));
    }
    if options.half_close {
        own.push((HeaderName::from_static(HALF_CLOSE), HeaderValue::from_static(HALF_CLOSE_YES)));
    }
    let mut fields = HeaderMap::new();
    for (name, value) in own {
        if !custom.contains_key(&name) {
            fields.insert(name, value);
        }
    }
    // `extend` would replace; a name that comes several times keeps the order of its values.
    for (name, value) in &custom {
        //= 6455-4.1-34
        fields.append(name, value.clone());
    }
    let asked = Asked {
        accept: fields.get(header::SEC_WEBSOCKET_KEY).map(|key| headers::accept_value(key.as_bytes())),
        protocols: headers::elements(&fields, &header::SEC_WEBSOCKET_PROTOCOL).map(Into::into).collect(),
        extensions: compression::list(&fields),
        half_close: options.half_close,
        lax: options.lax,
    };
    let mut request = Request::new(Empty::new());
    *request.uri_mut() = uri;
    *request.headers_mut() = fields;
    Ok((request, asked))
}

/// Largest heads that fit into what is read until the final answer: interim answers (1xx) are skipped, but not for ever.
const MOST_ANSWERS: usize = 8;

/// Sends the request and judges the answer.
//= 6455-4.1-2
//= 6455-4.1-15
//= 6455-4.1-35 Dropped midway it closes the socket.
async fn upgrade(
    socket: StreamSocket,
    heads: HeadOpts,
    request: Request<Empty<Bytes>>,
    asked: &Asked,
    limit: Option<Duration>,
) -> Result<StreamSocket> {
    let peer = socket.info.describe();
    let handshake = exchange(socket, heads, request, asked);
    let result = match limit {
        None => handshake.await,
        Some(limit) => tokio::time::timeout(limit, handshake).await.unwrap_or_else(|_| {
            let text = format!("no answer within {limit:?}; --handshake-timeout sets this limit");
            Err(Error::new(Kind::HandshakeTimeout, text))
        }),
    };
    result.map_err(|e| e.context(format!("WebSocket handshake with {peer}")))
}

async fn exchange(
    socket: StreamSocket,
    heads: HeadOpts,
    request: Request<Empty<Bytes>>,
    asked: &Asked,
) -> Result<StreamSocket> {
    let (mut carrier, mut rest) = Carrier::open(socket)?;
    carrier.most = Some(heads.bytes().saturating_mul(MOST_ANSWERS));
    let mut http = http1::Builder::new();
    http.max_buf_size(heads.buffer()).max_header_size(heads.bytes());
    if let Some(fields) = heads.fields() {
        http.max_headers(fields);
    }
    let (mut sender, mut connection) = http.handshake(carrier).await.map_err(broken)?;
    let response = match drive(&mut connection, pin!(sender.send_request(request))).await {
        Ok(response) => response,
        Err(e) => {
            // hyper gives a request up when something comes before it was sent.
            let ended = refused::Ended {
                early: e.is_canceled(),
                unanswered: e.is_canceled() || e.is_incomplete_message() || e.is_closed(),
                encrypted: rest.info.tls_server_name.is_some(),
            };
            let error = broken(e);
            return Err(match refused::no_answer(connection.into_parts().io.start(), &ended) {
                Some(text) if error.kind == Kind::BrokenUpgrade => Error::new(error.kind, text),
                _ => error,
            });
        }
    };
    if response.status() != StatusCode::SWITCHING_PROTOCOLS {
        return Err(refused(&mut connection, response).await);
    }
    let (head, _) = response.into_parts();
    //= 6455-7.2.1-1
    //= 6455-7.1.7-6
    let agreed = reply::check(&head, asked)
        .map_err(|why| Error::new(Kind::BrokenUpgrade, format!("the server's answer is not right: {why}")))?;
    poll_fn(|cx| connection.poll_without_shutdown(cx)).await.map_err(broken)?;
    let parts = connection.into_parts();
    rest.info = with_agreed(rest.info, agreed);
    //= 6455-4.2.2-23
    Ok(parts.io.close(rest, parts.read_buf))
}

/// Polls the connection, without which nothing moves, and the future until that is ready.
async fn drive<F: Future>(connection: &mut Connection<Carrier, Empty<Bytes>>, mut future: Pin<&mut F>) -> F::Output {
    let mut over = false;
    poll_fn(|cx| {
        // An error of the connection reaches whoever waits for its answer.
        over = over || connection.poll_without_shutdown(cx).is_ready();
        future.as_mut().poll(cx)
    })
    .await
}

/// The error for a status other than 101, with the beginning of the body as far as it comes soon.
async fn refused(connection: &mut Connection<Carrier, Empty<Bytes>>, response: Response<Incoming>) -> Error {
    /// Enough for a line of text; error pages can be endless.
    const BODY_LIMIT: usize = 4096;
    /// A body that stalls must not keep the status from the user.
    const PATIENCE: Duration = Duration::from_secs(1);
    let (head, mut body) = response.into_parts();
    let mut text = Vec::new();
    let read = async {
        while let Some(Ok(frame)) = body.frame().await {
            if let Some(data) = frame.data_ref() {
                text.extend_from_slice(data.get(..BODY_LIMIT - text.len()).unwrap_or(data));
            }
            // Only the first line that has something in it is shown.
            if text.len() >= BODY_LIMIT || text.trim_ascii_start().contains(&b'\n') {
                break;
            }
        }
    };
    // Whatever came until then is what there is.
    let _ = tokio::time::timeout(PATIENCE, drive(connection, pin!(read))).await;
    Error::new(Kind::HttpStatus, refused::refusal(&head, &text))
}

fn with_agreed(info: Arc<SocketInfo>, agreed: Agreed) -> Arc<SocketInfo> {
    let mut info = Arc::unwrap_or_clone(info);
    info.subprotocol = agreed.subprotocol;
    info.extensions = agreed.extensions;
    info.deflate = agreed.deflate;
    info.half_close = agreed.half_close;
    Arc::new(info)
}

/// The error for an answer that is no HTTP, or none at all.
fn broken(error: hyper::Error) -> Error {
    let mut source: Option<&(dyn std::error::Error + 'static)> = Some(&error);
    while let Some(e) = source {
        let io = e.downcast_ref::<std::io::Error>().and_then(|e| e.get_ref());
        if io.is_some_and(|e| e.is::<TooMuch>()) {
            return Error::new(Kind::BrokenUpgrade, "the server sends interim answers without end");
        }
        if io.is_some_and(|e| e.is::<rustls::Error>()) {
            return Error::with_source(Kind::Tls, "TLS failed", error);
        }
        source = e.source();
    }
    if error.is_incomplete_message() || error.is_canceled() || error.is_closed() {
        return Error::new(Kind::BrokenUpgrade, "the server closed the connection without an answer");
    }
    if error.is_parse_too_large() {
        return Error::new(Kind::BrokenUpgrade, "the server's answer has too many or too long headers");
    }
    if error.is_parse() {
        return Error::with_source(Kind::BrokenUpgrade, "the server's answer is not HTTP/1", error);
    }
    Error::with_source(Kind::BrokenUpgrade, "no answer", error)
}

pub(super) fn register(engine: &mut Engine) {
    engine.register_type_with_name::<Handle<Http1Client>>("Http1Client");
    register!(engine, http1_client, ws_upgrade);
}
