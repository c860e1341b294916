//! The server's half of HTTP/1: `http1_serve`, a connection whose requests a script answers.
//!
//! Requests are answered one after the other until one of them is upgraded, the client leaves, too many were refused, or the
//! time is over, which is for all of them together: a client cannot stay by asking again and again. After an upgrade the socket goes on to that request's continuation, and all that hyper had is freed.

use super::{
    accept::Accepted,
    carrier::{Carrier, Rest},
    limits::HeadOpts,
    refused,
    request::{Refusal, refuse},
};
use crate::{
    error::{Error, Kind, Result},
    register,
    scenario::{
        Callback, Flow, Handle, OptsReader, RhFn, RhOpts, RhResult, Scenario, Take, TaskHandle, handle, moved,
        script_error, task,
    },
};
use bytes::Bytes;
use http_body_util::Full;
use hyper::{
    Request, Response, StatusCode,
    body::Incoming,
    header::{self, HeaderValue},
    http::request,
    server::conn::http1,
    service::Service,
};
use rhai::{Engine, NativeCallContext};
use serde::{Deserialize, Serialize};
use sockets::{
    hangup::Hangup,
    info::{self, SocketInfo},
    socket::StreamSocket,
    stop::Stop,
};
use std::{
    convert::Infallible,
    future::{Future as _, Ready, poll_fn, ready},
    io,
    pin::{Pin, pin},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::Poll,
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWrite as _},
    time::sleep,
};

/// Options of `http1_serve`.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct ServeOpts {
    /// Time until a request is upgraded, in milliseconds, also if others were refused before; no limit when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeout_ms: Option<u64>,
}

/// The head of a request, in the hands of a script.
pub struct IncomingRequest {
    pub(super) head: request::Parts,
    /// What is known of the connection that it came on.
    pub(super) info: Arc<SocketInfo>,
}

impl IncomingRequest {
    /// What is known of the connection that it came on.
    pub fn info(&self) -> &SocketInfo {
        &self.info
    }
}

/// What a script answers.
pub struct OutgoingResponse {
    pub(super) response: Response<Full<Bytes>>,
    /// What happens to the socket afterwards; None: it stays with HTTP.
    pub(super) accepted: Option<Accepted>,
    /// How and why the request was turned down, for the log and the exit status.
    pub(super) refusal: Option<String>,
}

/// Speaks the server side of HTTP/1 over a stream socket. The callback gets each request, the socket's hangup (first request
/// only) and its descriptor (-1 when it has none), and gives the response.
fn http1_serve(
    ctx: NativeCallContext<'_>,
    opts: RhOpts<(ServeOpts, HeadOpts)>,
    inner: Handle<StreamSocket>,
    continuation: RhFn<((Handle<IncomingRequest>, Handle<Hangup>, i64), Handle<OutgoingResponse>)>,
) -> RhResult<TaskHandle> {
    let mut reader = OptsReader::new(opts)?;
    let options: ServeOpts = reader.take()?;
    let heads = reader.take::<HeadOpts>()?.check()?;
    reader.finish()?;
    let callback = Callback::new(&ctx, continuation)?;
    let stop = callback.stop().clone();
    let listened = !stop.is_top_level();
    let socket = inner.take("socket")?;
    let finisher = Scenario::of(&ctx)?.finishers.enter();
    Ok(task(async move {
        let _finisher = finisher;
        let peer = if listened { String::new() } else { socket.info.describe() };
        let limit = options.timeout_ms.map(Duration::from_millis);
        match serve(socket, callback, limit, heads, stop).await {
            Ok(Some((socket, next))) => Ok(Flow::Then(next.task((handle(socket),))?)),
            Ok(None) => Ok(Flow::Done),
            // A listener says itself whose connection it was.
            Err(e) if listened => Err(e.context("HTTP request")),
            Err(e) => Err(e.context(format!("HTTP request from {peer}"))),
        }
    }))
}

/// What the connection's requests have led to so far.
#[derive(Default)]
struct Progress {
    requests: u64,
    accepted: Option<Accepted>,
    /// The last one.
    refusal: Option<Error>,
    /// The script did not answer.
    failure: Option<Error>,
}

/// Refused or failed requests after which a connection is closed: enough for a client that tries other versions or credentials.
const MOST_REFUSALS: u64 = 10;

/// Answers requests by calling the script.
struct Responder {
    callback: Callback,
    stop: Stop,
    info: Arc<SocketInfo>,
    hangup: Arc<Mutex<Option<Hangup>>>,
    progress: Arc<Mutex<Progress>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Service<Request<Incoming>> for Responder {
    type Response = Response<Full<Bytes>>;
    type Error = Infallible;
    type Future = Ready<Result<Self::Response, Infallible>>;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        // The body, if there is one, is read past by hyper as far as that is little.
        let (mut head, _) = request.into_parts();
        // What hyper keeps there would keep its upgrade machinery alive; the socket is taken back in another way.
        head.extensions.clear();
        let answer = match self.busy() {
            Some(refusal) => Ok(refuse(&refusal)),
            None => self.ask(head),
        };
        let mut progress = lock(&self.progress);
        progress.requests += 1;
        let mut response = match answer {
            Ok(OutgoingResponse { response, accepted, refusal }) => {
                progress.accepted = accepted;
                progress.refusal = refusal.map(|text| self.tell(text));
                response
            }
            Err(e) => {
                // Told at once, not when the client gives up; the client may ask again.
                progress.failure = Some(e.context(format!("HTTP request from {}", self.info.describe())).log());
                let mut response = Response::new(Full::default());
                *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
                response
            }
        };
        if progress.requests >= MOST_REFUSALS && progress.accepted.is_none() {
            let fields = response.headers_mut();
            // Upgrade is never sent without being named here (RFC 9110 7.8).
            let value = if fields.contains_key(header::UPGRADE) { "upgrade, close" } else { "close" };
            fields.insert(header::CONNECTION, HeaderValue::from_static(value));
        }
        ready(Ok(response))
    }
}

impl Responder {
    /// Nobody new is served, whatever is asked for.
    fn busy(&self) -> Option<Refusal> {
        let busy = |why| Some(Refusal::new(StatusCode::SERVICE_UNAVAILABLE, why));
        match (self.stop.is_draining(), self.info.busy) {
            (true, _) => busy("this server is being stopped"),
            (false, true) => busy("this server has as many connections as it may"),
            (false, false) => None,
        }
    }

    /// What the script answers.
    fn ask(&self, head: request::Parts) -> Result<OutgoingResponse> {
        let request = handle(IncomingRequest { head, info: self.info.clone() });
        let hangup = moved(lock(&self.hangup).take());
        let fd = i64::from(self.info.fd.unwrap_or(-1));
        let answer = self.callback.call::<Handle<OutgoingResponse>>((request, hangup.clone(), fd));
        // A request that was not accepted leaves the hangup to the next one.
        if let Some(unused) = lock(&hangup).take() {
            *lock(&self.hangup) = Some(unused);
        }
        answer.and_then(|answer| answer.take("response").map_err(script_error))
    }

    /// The error for a refusal. Of a listener's connections it is told at once: the client may stay and ask again.
    fn tell(&self, text: String) -> Error {
        let error = Error::new(Kind::BrokenUpgrade, text);
        if self.stop.is_top_level() {
            return error;
        }
        if !self.info.busy {
            // The listener has told about these, not about each of them.
            tracing::warn!("{}: {error}", self.info.describe());
        }
        error.told()
    }
}

/// Serves until an upgrade, whose socket and continuation it gives, or until the connection is over.
async fn serve(
    socket: StreamSocket,
    callback: Callback,
    limit: Option<Duration>,
    heads: HeadOpts,
    stop: Stop,
) -> Result<Option<(StreamSocket, Callback)>> {
    let (carrier, Rest { hangup, link, info }) = Carrier::open(socket)?;
    let progress = Arc::new(Mutex::new(Progress::default()));
    let hangup = Arc::new(Mutex::new(hangup));
    let responder = Responder {
        callback,
        stop: stop.clone(),
        info: info.clone(),
        hangup: hangup.clone(),
        progress: progress.clone(),
    };
    let mut http = http1::Builder::new();
    http.max_buf_size(heads.buffer()).max_header_size(heads.bytes());
    if let Some(fields) = heads.fields() {
        http.max_headers(fields);
    }
    // A client may end its direction right behind the request and still wants the answer.
    http.half_close(true);
    // Time is limited below, for all of it together.
    http.header_read_timeout(None);
    let mut connection = http.serve_connection(carrier, responder);
    let listened = !stop.is_top_level();

    let mut timer = pin!(limit.map(sleep));
    let mut drained = pin!(stop.drained());
    let mut draining = false;
    let end = poll_fn(|cx| {
        if !draining && drained.as_mut().poll(cx).is_ready() {
            draining = true;
            Pin::new(&mut connection).graceful_shutdown();
            // A request that is on its way is still answered, one that stays away is not waited for.
            timer.set(Some(sleep(PATIENCE)));
        }
        if let Poll::Ready(end) = connection.poll_without_shutdown(cx) {
            return Poll::Ready(Ok(end));
        }
        timer.as_mut().as_pin_mut().map_or(Poll::Pending, |timer| timer.poll(cx).map(Err))
    })
    .await;

    let mut progress = std::mem::take(&mut *lock(&progress));
    let parts = connection.into_parts();
    let mut carrier = parts.io;
    drop(parts.service); // shares the socket's record, which then need not be copied
    if let (Some(accepted), Ok(Ok(()))) = (progress.accepted.take(), &end) {
        let rest = Rest { hangup: accepted.hangup, link, info: with_request(info, accepted.request, accepted.agreed) };
        return Ok(Some((carrier.close(rest, parts.read_buf), accepted.next)));
    }
    let answered = match &end {
        Ok(Ok(())) => progress.requests > 0,
        Ok(Err(_)) => true,
        // Its time is over, whatever came before.
        Err(_) => false,
    };
    //= 6455-7.2.2-1
    if !matches!(tokio::time::timeout(PATIENCE, part(&mut carrier, answered)).await, Ok(Ok(()))) {
        tracing::debug!("the client did not take the end of the answer, or goes on sending");
    }
    if let Some(failure) = progress.failure {
        return Err(failure);
    }
    match (progress.refusal, end) {
        (Some(refusal), _) => Err(refusal),
        (None, Ok(Ok(()))) if progress.requests > 0 || draining => Ok(None),
        (None, Ok(Ok(()))) if listened => {
            // Health checks and port scanners do just that.
            tracing::debug!("{}: the client left before it sent a request", info.describe());
            Ok(None)
        }
        (None, Ok(Ok(()))) => Err(Error::new(Kind::BrokenUpgrade, "the client left before it sent a request")),
        (None, Err(())) if draining => Ok(None),
        (None, Err(())) => {
            let limit = limit.unwrap_or_default();
            let text = format!("none within {limit:?}; --handshake-timeout sets this limit");
            Err(Error::new(Kind::HandshakeTimeout, text))
        }
        (None, Ok(Err(e))) => Err(broken(e, carrier.start())),
    }
}

/// Whoever does not take the last answer in this time, or has not sent its request by then when all is to end, never will.
const PATIENCE: Duration = Duration::from_secs(1);
/// Most bytes that are read past before a connection is closed: several heads of the usual limit.
const MOST_IGNORED: u64 = 1 << 20;

/// Ends our direction and, behind an answer, reads on until the client ends its own: a connection that is closed while bytes
/// wait there is reset, which takes the answer away from a client that has not read it yet.
async fn part(carrier: &mut Carrier, answered: bool) -> io::Result<()> {
    poll_fn(|cx| Pin::new(&mut carrier.write).poll_shutdown(cx)).await?;
    if answered {
        tokio::io::copy(&mut (&mut carrier.read).take(MOST_IGNORED), &mut tokio::io::sink()).await?;
    }
    Ok(())
}

fn broken(error: hyper::Error, start: &[u8]) -> Error {
    if let Some(what) = refused::other_protocol(start) {
        return Error::new(Kind::BrokenUpgrade, what);
    }
    if error.is_incomplete_message() {
        return Error::new(Kind::BrokenUpgrade, "the client left in the middle of it");
    }
    if error.is_parse_too_large() {
        return Error::new(Kind::BrokenUpgrade, "it has too many or too long headers");
    }
    let what = if error.is_parse() { "it is not HTTP/1" } else { "the connection failed" };
    Error::with_source(Kind::BrokenUpgrade, what, error)
}

fn with_request(info: Arc<SocketInfo>, request: info::Request, agreed: super::reply::Agreed) -> Arc<SocketInfo> {
    let mut info = Arc::unwrap_or_clone(info);
    info.request = Some(request);
    info.subprotocol = agreed.subprotocol;
    info.extensions = agreed.extensions;
    info.deflate = agreed.deflate;
    info.half_close = agreed.half_close;
    Arc::new(info)
}

pub(super) fn register(engine: &mut Engine) {
    engine.register_type_with_name::<Handle<IncomingRequest>>("IncomingRequest");
    engine.register_type_with_name::<Handle<OutgoingResponse>>("OutgoingResponse");
    register!(engine, http1_serve);
}
