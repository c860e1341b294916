//! Moving bytes and messages between sockets, and what the end of a session means.
//!
//! How a WebSocket ended is read from the sockets' info after the exchange: a Close with a code that is no normal end, or no
//! Close where one was required, fails the task.

use super::process::child_status;
use crate::{
    error::{Error, Kind, shown},
    register,
    scenario::{Flow, Handle, OptsReader, RhOpts, RhResult, Scenario, Take, Task, TaskHandle, stop_for, task},
};
use rhai::{Dynamic, Engine, NativeCallContext};
use serde::Deserialize;
use sockets::{
    copy::{CopyBytes, ExchangeBytes},
    datagram::{BoxDatagramRead, BoxDatagramWrite},
    endpoint::{async_fd::AsyncFdIoError, file::FileError, stdio::StdioError},
    exchange::{
        CopyPackets, ExchangeBytesOptions, ExchangeError, ExchangeOptions, ExchangePackets, Heard, Part, Side, Silence,
    },
    info::{Ending, SocketInfo},
    overlay::{
        length_prefixed::LengthPrefixedError,
        ws::{WsError, deflate::InflateError},
    },
    owners::Half,
    socket::{DatagramSocket, StreamSocket},
    stream::{BoxStreamRead, BoxStreamWrite},
};
use std::{
    error,
    future::{Future, poll_fn},
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

/// Options of `exchange_bytes`.
#[derive(Default, Deserialize)]
#[serde(default)]
struct ExchangeBytesOpts {
    /// Only from s1 to s2
    unidirectional: bool,
    /// Only from s2 to s1
    unidirectional_reverse: bool,
    /// One side's EOF ends both directions
    exit_on_eof: bool,
    /// The writer of the unused direction stays open until the other one has ended
    unidirectional_late_drop: bool,
    /// Bytes per read from s1 at most; absent: follows the traffic
    buffer_size_forward: Option<usize>,
    /// Bytes per read from s2 at most; absent: follows the traffic
    buffer_size_reverse: Option<usize>,
}

/// Options of `exchange_packets`.
#[derive(Default, Deserialize)]
#[serde(default)]
struct ExchangePacketsOpts {
    /// Only from s1 to s2
    unidirectional: bool,
    /// Only from s2 to s1
    unidirectional_reverse: bool,
    /// One side's EOF ends both directions
    exit_on_eof: bool,
    /// The writer of the unused direction stays open until the other one has ended
    unidirectional_late_drop: bool,
    /// Longest piece of a message from s1 to s2, in bytes; absent: follows the traffic
    buffer_size_forward: Option<usize>,
    /// Longest piece of a message from s2 to s1, in bytes; absent: follows the traffic
    buffer_size_reverse: Option<usize>,
    /// Milliseconds of silence after which a WebSocket is closed once the other side has ended; -1: never
    linger_ms: Option<i64>,
    /// An error ends the session and tells the other side, instead of stopping its own direction only
    end_on_error: bool,
    /// Milliseconds without data from either side after which the session ends; absent: never
    idle_ms: Option<u64>,
}

/// A task that copies bytes both ways between two stream sockets until both directions have ended.
fn exchange_bytes(
    ctx: NativeCallContext<'_>,
    opts: RhOpts<ExchangeBytesOpts>,
    s1: Handle<StreamSocket>,
    s2: Handle<StreamSocket>,
) -> RhResult<TaskHandle> {
    let opts: ExchangeBytesOpts = OptsReader::read(opts)?;
    let options = ExchangeBytesOptions {
        unidirectional: opts.unidirectional,
        unidirectional_reverse: opts.unidirectional_reverse,
        exit_on_eof: opts.exit_on_eof,
        late_drop: opts.unidirectional_late_drop,
        buffer_size_forward: size("buffer_size_forward", opts.buffer_size_forward)?,
        buffer_size_reverse: size("buffer_size_reverse", opts.buffer_size_reverse)?,
    };
    let (left, right) = (s1.take("socket")?, s2.take("socket")?);
    let known = Known::of(&left.info, &right.info);
    tracing::info!("connected: {}", joined(&left.info, &right.info));
    let scenario = Scenario::of(&ctx)?;
    let mut exchange = ExchangeBytes::new(left, right, options, stop_for(&scenario));
    let finisher = scenario.finishers.enter();
    Ok(task(async move {
        let _finisher = finisher;
        // By reference: awaited by value it would be in this future twice.
        match (&mut exchange).await.err().and_then(|e| failure(e, &known)) {
            Some(error) => Err(error),
            None => {
                known.read_to_end();
                Ok(after_children(&known.infos))
            }
        }
    }))
}

/// A task that copies messages both ways between two datagram sockets until both directions have ended.
fn exchange_packets(
    ctx: NativeCallContext<'_>,
    opts: RhOpts<ExchangePacketsOpts>,
    s1: Handle<DatagramSocket>,
    s2: Handle<DatagramSocket>,
) -> RhResult<TaskHandle> {
    let opts: ExchangePacketsOpts = OptsReader::read(opts)?;
    let options = ExchangeOptions {
        unidirectional: opts.unidirectional,
        unidirectional_reverse: opts.unidirectional_reverse,
        exit_on_eof: opts.exit_on_eof,
        late_drop: opts.unidirectional_late_drop,
        max_forward: size("buffer_size_forward", opts.buffer_size_forward)?.unwrap_or(usize::MAX),
        max_reverse: size("buffer_size_reverse", opts.buffer_size_reverse)?.unwrap_or(usize::MAX),
        linger: opts.linger_ms.map(linger).transpose()?,
        end_on_error: opts.end_on_error,
        idle: opts.idle_ms.map(Duration::from_millis),
    };
    let (left, mut right) = (s1.take("socket")?, s2.take("socket")?);
    let known = Known::of(&left.info, &right.info);
    tracing::info!("connected: {}", joined(&left.info, &right.info));
    let [reader, writer] = [Half::Read, Half::Write].map(|half| right.info.owner(half, false).info);
    if !Arc::ptr_eq(&reader, &writer) {
        // Some filter's copier writes to the socket that is read here.
        right.read = right.read.map(|read| Box::new(Heard::new(read, reader)) as BoxDatagramRead);
    }
    let scenario = Scenario::of(&ctx)?;
    let stop = stop_for(&scenario);
    // Listeners tell whose session it was, and filters whether it was a failure at all.
    let tells = stop.is_top_level();
    let exchange = ExchangePackets::new(left, right, options, stop);
    let mut messages = Messages { exchange, known, tells, told: None };
    let finisher = scenario.finishers.enter();
    Ok(task(async move {
        let _finisher = finisher;
        match poll_fn(|cx| messages.poll_failure(cx)).await {
            Some(error) => Err(error),
            None => {
                let known = &messages.known;
                known.read_to_end();
                known.all().try_for_each(|info| ending(info)).map(|()| after_children(&known.infos))
            }
        }
    }))
}

/// What a session connects, for whoever wants to see that it has begun. Standard streams go without saying.
fn joined(left: &SocketInfo, right: &SocketInfo) -> String {
    let sides = [left, right].into_iter().filter(|info| info.specifier.as_deref() != Some("stdio:"));
    sides.map(side).collect::<Vec<_>>().join(" and ")
}

/// A socket with what was agreed on it.
fn side(info: &SocketInfo) -> String {
    let mut text = info.describe();
    if let Some(request) = &info.request {
        text.push_str(&format!(", {}", path_in_words(request.uri())));
    }
    if let Some(name) = &info.subprotocol {
        text.push_str(&format!(", subprotocol {}", shown(name.as_bytes())));
    }
    if info.deflate.is_some() {
        text.push_str(", compressed");
    }
    text
}

/// The path of a request. Its query may be a secret, such as a token, and so may what stands in front of a host.
fn path_in_words(uri: &str) -> String {
    let path = match uri.split_once("://") {
        Some((scheme, rest)) if !scheme.contains(['/', '?']) => rest.find(['/', '?']).map_or("/", |at| &rest[at..]),
        _ => uri,
    };
    match path.split_once('?') {
        Some((path, _)) => shown(path.as_bytes()) + "?…",
        None => shown(path.as_bytes()),
    }
}

/// An exchange of messages with what is known of its sockets.
struct Messages {
    exchange: ExchangePackets,
    known: Known,
    /// A failure is told when it happens, not when the peers have had their time for good-byes.
    tells: bool,
    /// It has happened, and what there was to tell of it. What comes of the good-byes is no failure of its own.
    told: Option<Option<Box<Error>>>,
}

impl Messages {
    /// The failure, when it is over. An `async` function would take more memory, of which every connection has its share.
    fn poll_failure(&mut self, cx: &mut Context<'_>) -> Poll<Option<Error>> {
        let Poll::Ready(result) = Pin::new(&mut self.exchange).poll(cx) else {
            if self.tells
                && self.told.is_none()
                && let Some(e) = self.exchange.take_failure()
            {
                self.told = Some(failure(e, &self.known).map(|error| Box::new(error.log())));
            }
            return Poll::Pending;
        };
        Poll::Ready(match self.told.take() {
            Some(error) => error.map(|error| *error),
            None => result.err().and_then(|e| failure(e, &self.known)),
        })
    }
}

/// What is known of two sockets, and whose their halves are if not their own.
struct Known {
    infos: [Arc<SocketInfo>; 2],
    /// Of each side that of its reader and that of its writer.
    lenders: Option<Box<[[Arc<SocketInfo>; 2]; 2]>>,
}

impl Known {
    fn of(left: &Arc<SocketInfo>, right: &Arc<SocketInfo>) -> Self {
        let infos = [left.clone(), right.clone()];
        let halves = [Half::Read, Half::Write];
        let lent = infos.iter().any(|info| halves.iter().any(|half| info.lender(*half).is_some()));
        let lenders =
            lent.then(|| Box::new(infos.each_ref().map(|info| halves.map(|half| info.owner(half, false).info))));
        Self { infos, lenders }
    }

    /// Two halves, of which only that is known.
    fn halves(reader: Arc<SocketInfo>, writer: Arc<SocketInfo>) -> Self {
        Self { infos: [reader, writer], lenders: None }
    }

    fn half(&self, side: Side, part: Part) -> &Arc<SocketInfo> {
        let [left, right] = &self.infos;
        let [[left_reader, left_writer], [right_reader, right_writer]] = match &self.lenders {
            Some(lenders) => lenders.each_ref().map(<[_; 2]>::each_ref),
            None => [[left; 2], [right; 2]],
        };
        match (side, part) {
            (Side::Left, Part::Source) => left_reader,
            (Side::Left, Part::Sink) => left_writer,
            (Side::Right, Part::Source) => right_reader,
            (Side::Right, Part::Sink) => right_writer,
        }
    }

    /// The sockets and the lenders of halves.
    fn all(&self) -> impl Iterator<Item = &Arc<SocketInfo>> {
        self.infos.iter().chain(self.lenders.iter().flat_map(|lenders| lenders.iter().flatten()))
    }

    /// Both sources have ended in order.
    fn read_to_end(&self) {
        for side in [Side::Left, Side::Right] {
            self.half(side, Part::Source).outcome.set_read_to_end();
        }
    }
}

/// Something that does not take any more was written to.
#[derive(Debug, thiserror::Error)]
#[error("{error}")]
pub(super) struct PipeClosed {
    pub to: Arc<SocketInfo>,
    #[source]
    error: io::Error,
}

/// What follows a session that went well: the ends of children whose exit status is its status.
fn after_children(infos: &[Arc<SocketInfo>; 2]) -> Flow {
    let children = infos.iter().filter_map(|info| info.child.clone()).filter(|child| child.status_counts());
    let children: Vec<_> = children.collect();
    if children.is_empty() {
        return Flow::Done;
    }
    Flow::Then(Task::new(async move {
        let mut result = Ok(Flow::Done);
        for child in children {
            result = result.and(child_status(child.ended().await).map(|()| Flow::Done));
        }
        result
    }))
}

/// A task that copies bytes from a reader to a writer until EOF, then shuts the writer down. `bufsize` bounds one read.
fn copy_bytes(
    ctx: NativeCallContext<'_>,
    bufsize: i64,
    from: Handle<BoxStreamRead>,
    to: Handle<BoxStreamWrite>,
) -> RhResult<TaskHandle> {
    let size = copy_size(bufsize)?;
    copying(&ctx, CopyBytes::new(from.take("reader")?, to.take("writer")?, Some(size)))
}

/// A task that copies messages from a reader to a writer until EOF, which it hands on. `bufsize` bounds a piece of a message.
fn copy_packets(
    ctx: NativeCallContext<'_>,
    bufsize: i64,
    from: Handle<BoxDatagramRead>,
    to: Handle<BoxDatagramWrite>,
) -> RhResult<TaskHandle> {
    let size = copy_size(bufsize)?;
    copying(&ctx, CopyPackets::new(from.take("reader")?, to.take("writer")?, size))
}

/// The task of a copy. It ends with its source: when all is to end it has the time of a session in progress.
fn copying(
    ctx: &NativeCallContext<'_>,
    copy: impl Future<Output = Result<(), ExchangeError>> + Send + 'static,
) -> RhResult<TaskHandle> {
    let finisher = Scenario::of(ctx)?.finishers.enter();
    Ok(task(async move {
        let _finisher = finisher;
        copy.await.err().and_then(|e| failure(e, &unknown())).map_or(Ok(Flow::Done), Err)
    }))
}

/// Halves alone do not know what they belong to.
fn unknown() -> Known {
    Known::halves(Arc::default(), Arc::default())
}

/// One part of the way through filters: what a socket's reader gives goes to its own writer. One of these halves is that of
/// another socket.
pub(super) struct Relay {
    pub task: Task,
    /// It moves no messages.
    pub bytes: bool,
    /// The socket that was given.
    pub through: Arc<SocketInfo>,
    pub reader: Arc<SocketInfo>,
    pub writer: Arc<SocketInfo>,
}

/// Makes one of a socket of either kind. `size` bounds a piece. `linger`: a Close frame waits for so long a silence of those
/// that it is for.
pub(super) fn relay(size: usize, linger: Option<Duration>, socket: &Dynamic) -> Option<RhResult<Relay>> {
    if let Some(h) = socket.read_lock::<Handle<StreamSocket>>() {
        return Some(h.take("socket").and_then(|StreamSocket { read, write, hangup, link, info }| {
            let copy = CopyBytes::new(read.ok_or_else(lacks_half)?, write.ok_or_else(lacks_half)?, Some(size));
            Ok(Relay::new(copy, true, info, (hangup, link)))
        }));
    }
    let h = socket.read_lock::<Handle<DatagramSocket>>()?;
    Some(h.take("socket").and_then(|DatagramSocket { read, write, hangup, link, info }| {
        let [reader, writer] = [Half::Read, Half::Write].map(|half| info.owner(half, false).info);
        let read = Box::new(Heard::new(read.ok_or_else(lacks_half)?, reader));
        let mut copy = CopyPackets::new(read, write.ok_or_else(lacks_half)?, size);
        if let Some(linger) = linger.filter(|linger| !linger.is_zero() && !writer.half_close) {
            copy = copy.lingering(Silence::new(writer, linger));
        }
        Ok(Relay::new(copy, false, info, (hangup, link)))
    }))
}

fn lacks_half() -> Box<rhai::EvalAltResult> {
    "this socket has no reader or no writer, or they were taken away before".into()
}

impl Relay {
    /// `rest` is kept as long as the data moves: letting go of a hangup may end what it belongs to.
    fn new(
        copy: impl Future<Output = Result<(), ExchangeError>> + Send + 'static,
        bytes: bool,
        through: Arc<SocketInfo>,
        rest: impl Send + 'static,
    ) -> Self {
        let [reader, writer] = [Half::Read, Half::Write].map(|half| through.owner(half, false).info);
        let known = Known::halves(reader.clone(), writer.clone());
        let task = Task::new(async move {
            let _rest = rest;
            match copy.await.err().and_then(|e| failure(e, &known)) {
                Some(error) => Err(error),
                None => {
                    let [reader, _] = &known.infos;
                    reader.outcome.set_read_to_end();
                    ending(reader).map(|()| Flow::Done)
                }
            }
        });
        Self { task, bytes, through, reader, writer }
    }
}

pub(super) fn linger(ms: i64) -> RhResult<Duration> {
    match ms {
        -1 => Ok(Duration::MAX),
        ms => u64::try_from(ms).map(Duration::from_millis).map_err(|_| {
            format!("option `linger_ms`: {ms} is neither a time in milliseconds nor -1 (without end)").into()
        }),
    }
}

fn size(option: &str, size: Option<usize>) -> RhResult<Option<usize>> {
    match size {
        Some(0) => Err(format!("option `{option}`: a buffer has at least one byte").into()),
        size => Ok(size),
    }
}

pub(super) fn copy_size(size: i64) -> RhResult<usize> {
    usize::try_from(size)
        .ok()
        .filter(|n| *n > 0)
        .ok_or_else(|| format!("{size}: a buffer has at least one byte").into())
}

/// The error of a session; None when a reader of our output has simply left.
//= 6455-7.1.7-2
//= 6455-7.1.7-4
fn failure(e: ExchangeError, known: &Known) -> Option<Error> {
    let info = known.half(e.side(), e.part);
    // A WebSocket that had to end with Close and did not, whatever it was that cut it.
    let abrupt = matches!(info.ending.get(), Some(Ending::Abrupt)) && info.ending_to_tell().is_some();
    let kind = status(&e.error).unwrap_or(if abrupt { Kind::NoClose } else { Kind::Transfer });
    if kind == Kind::File {
        if e.part == Part::Sink && e.error.kind() == io::ErrorKind::BrokenPipe {
            tracing::debug!("nobody reads our output any more: {}", e.error);
            return None;
        }
        // These errors name the file or stream themselves.
        return Some(Error::with_source(kind, e.error.to_string(), e.error));
    }
    let verb = if e.part == Part::Source { "reading from" } else { "writing to" };
    let what = format!("{verb} {} failed", info.describe());
    if e.part == Part::Sink && e.error.kind() == io::ErrorKind::BrokenPipe {
        return Some(Error::with_source(kind, what, PipeClosed { to: info.clone(), error: e.error }));
    }
    Some(Error::with_source(kind, what, e.error))
}

/// What an error says about itself: our own one, or one of the framing rules.
fn status(e: &(dyn error::Error + 'static)) -> Option<Kind> {
    let mut next = Some(e);
    while let Some(e) = next {
        if let Some(own) = e.downcast_ref::<Error>() {
            return Some(own.kind);
        }
        let is_file = e.is::<StdioError>() || e.is::<FileError>() || e.is::<AsyncFdIoError>();
        if is_file {
            return Some(Kind::File);
        }
        if e.downcast_ref::<wsframe::Error>().is_some() || e.downcast_ref::<InflateError>().is_some() {
            return Some(Kind::Framing);
        }
        if e.downcast_ref::<LengthPrefixedError>().is_some_and(|e| !e.is_ours()) {
            return Some(Kind::Framing);
        }
        match e.downcast_ref() {
            Some(WsError::TextNotUtf8 | WsError::ControlRate(_)) => return Some(Kind::Framing),
            Some(WsError::Silent | WsError::Unread) => return Some(Kind::Keepalive),
            _ => {}
        }
        // An io::Error answers `source()` with the source of what it wraps.
        next = match e.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
            Some(inner) => Some(inner),
            None => e.source(),
        };
    }
    None
}

/// How the WebSocket below ended, if it was one.
pub(super) fn ending(info: &SocketInfo) -> Result<(), Error> {
    let (code, reason) = match info.ending_to_tell() {
        None | Some(Ending::Answered) => return Ok(()),
        Some(Ending::Abrupt) => {
            let text = format!("{}: the connection ended without a WebSocket Close", info.describe());
            return Err(Error::new(Kind::NoClose, text));
        }
        Some(Ending::Silent) => {
            let text = format!("{}: no sign of life from the peer", info.describe());
            return Err(Error::new(Kind::Keepalive, text));
        }
        Some(Ending::Close { code, reason }) => (*code, reason),
    };
    let mut text = format!("{}: closed by the peer", info.describe());
    match code {
        None => text.push_str(" without a code"),
        Some(code) => {
            text.push_str(&format!(": {code}"));
            // What the others mean only the two applications know.
            if code < 3000 {
                text.push_str(&format!(" ({})", wsframe::close_code_name(code)));
            }
        }
    }
    if !reason.is_empty() {
        text.push_str(&format!(": {}", shown(reason.as_bytes())));
    }
    if matches!(code, None | Some(1000 | 1001)) {
        tracing::info!("{text}");
        return Ok(());
    }
    Err(Error::new(Kind::CloseCode, text))
}

pub(super) fn register(engine: &mut Engine) {
    register!(engine, exchange_bytes, exchange_packets, copy_bytes, copy_packets);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::functions::testing::{eval_error, run_script};
    use sockets::{endpoint::file::FileOperation, exchange::Direction};

    #[tokio::test]
    async fn bytes_go_both_ways() {
        let script = r#"exchange_bytes(#{buffer_size_forward: 2}, mock_stream_socket("R hello|X|W world|D"),
            mock_stream_socket("W hello|D|R world|X"))"#;
        assert!(run_script(script).await.is_ok());
    }

    #[tokio::test]
    async fn errors_count() {
        let script = r#"exchange_bytes(#{}, mock_stream_socket("N peer|ER"), bytemirror_socket(#{max_buf_size: 10}))"#;
        let (e, _) = run_script(script).await.unwrap_err();
        assert_eq!(e.kind, Kind::Transfer);
        assert!(e.to_string().contains("reading from mock_stream_socket:N peer failed"), "{e}");
    }

    #[tokio::test]
    async fn one_way() {
        let script = r#"exchange_bytes(#{unidirectional: true}, mock_stream_socket("R hello|X"), mock_stream_socket("W hello|D"))"#;
        assert!(run_script(script).await.is_ok());
    }

    fn error_of(side: Direction, part: Part, error: io::Error, specifier: &str) -> Option<Error> {
        let named = Arc::new(SocketInfo { specifier: Some(specifier.into()), ..SocketInfo::default() });
        failure(ExchangeError { direction: side, part, error }, &Known::halves(Arc::default(), named))
    }

    //= 6455-7.1.7-2 test
    //= 6455-7.1.7-4 test
    #[test]
    fn kinds_of_failures() {
        let pipe = || io::Error::from(io::ErrorKind::BrokenPipe);
        let stdout = || StdioError::Write(pipe()).into();
        assert!(error_of(Direction::Forward, Part::Sink, stdout(), "stdio:").is_none());
        let e = error_of(Direction::Reverse, Part::Source, StdioError::Read(pipe()).into(), "stdio:").unwrap();
        assert!(e.kind == Kind::File && e.to_string().starts_with("cannot read standard input"), "{e}");
        let e = error_of(Direction::Forward, Part::Sink, pipe(), "tcp:h:1").unwrap();
        assert_eq!(e.kind, Kind::Transfer);
        assert!(e.to_string().starts_with("writing to tcp:h:1 failed: "), "{e}");
        let source = io::Error::from(io::ErrorKind::StorageFull);
        let full = FileError { path: "f".into(), operation: FileOperation::Write, source };
        let e = error_of(Direction::Forward, Part::Sink, full.into(), "writefile:f").unwrap();
        assert!(e.kind == Kind::File && e.to_string().starts_with("cannot write file f"), "{e}");
        let e = error_of(Direction::Forward, Part::Sink, WsError::TextNotUtf8.into(), "ws://h/").unwrap();
        assert!(e.exit_code() == 3 && e.to_string().contains("--text-invalid"), "{e}");
        let own = io::Error::other(Error::new(Kind::Mismatch, "x"));
        assert_eq!(error_of(Direction::Reverse, Part::Source, own, "x").unwrap().kind, Kind::Mismatch);
    }

    #[test]
    fn sessions_begin_with_what_they_connect() {
        let request = sockets::info::Request::new("GET", "/a\u{1b}", [].into_iter());
        let ws = SocketInfo {
            specifier: Some("tcp-l:h:1".into()),
            request: Some(request),
            subprotocol: Some("v1".into()),
            ..SocketInfo::default()
        };
        let named = |name: &str| SocketInfo { specifier: Some(name.into()), ..SocketInfo::default() };
        assert_eq!(joined(&ws, &named("stdio:")), "tcp-l:h:1, /a\\u{1b}, subprotocol v1");
        assert_eq!(joined(&named("stdio:"), &named("tcp:h:1")), "tcp:h:1");
        assert_eq!(joined(&named("tcp-l:h:2"), &named("tcp:h:1")), "tcp-l:h:2 and tcp:h:1");
        for (uri, path) in [
            ("/a?token=b", "/a?…"),
            ("http://me:word@h/a?b", "/a?…"),
            ("http://me:word@h", "/"),
            ("http://me:word@h?b", "?…"),
            ("/a/http://b", "/a/http://b"),
            ("*", "*"),
        ] {
            assert_eq!(path_in_words(uri), path);
        }
        assert!(path_in_words(&"/a".repeat(5000)).len() < 250);
    }

    #[test]
    fn endings_of_websockets() {
        let with = |ending: Ending| {
            let info = SocketInfo { specifier: Some("ws://h/".into()), ..SocketInfo::default() };
            info.ending.set(ending).unwrap();
            super::ending(&info)
        };
        let close = |code, reason: &str| with(Ending::Close { code, reason: reason.into() });
        assert!(close(None, "").is_ok() && close(Some(1000), "x").is_ok() && close(Some(1001), "").is_ok());
        let e = close(Some(1008), "no\u{1b}[2J").unwrap_err();
        assert_eq!(e.to_string(), "ws://h/: closed by the peer: 1008 (policy violation): no\\u{1b}[2J");
        assert_eq!(e.exit_code(), 31);
        assert!(close(Some(4999), "").unwrap_err().to_string().ends_with("4999"));
        assert!(with(Ending::Answered).is_ok());
        assert_eq!(with(Ending::Abrupt).unwrap_err().exit_code(), 30);
        assert_eq!(with(Ending::Silent).unwrap_err().exit_code(), 32);
        assert!(super::ending(&SocketInfo::default()).is_ok());
    }

    #[tokio::test]
    async fn wrong_options() {
        for (script, part) in [
            ("exchange_bytes(#{unidirectional: 5}, null_stream_socket(), null_stream_socket())", "`unidirectional`"),
            (
                "exchange_bytes(#{buffer_size_forward: 0}, null_stream_socket(), null_stream_socket())",
                "buffer_size_forward",
            ),
            ("exchange_packets(#{linger_ms: \"x\"}, null_datagram_socket(), null_datagram_socket())", "`linger_ms`"),
            ("exchange_packets(#{linger_ms: -2}, null_datagram_socket(), null_datagram_socket())", "`linger_ms`"),
            ("exchange_packets(#{nope: 1}, null_datagram_socket(), null_datagram_socket())", "unknown option `nope`"),
            ("exchange_packets(5, null_datagram_socket(), null_datagram_socket())", "options must be a map"),
            ("let s = null_stream_socket(); copy_bytes(0, take_read_part(s), take_write_part(s))", "no reader"),
            (
                "let m = mock_stream_socket(\"\"); copy_bytes(0, take_read_part(m), take_write_part(m))",
                "at least one byte",
            ),
        ] {
            let e = eval_error(script);
            assert!(e.contains(part), "{script}: {e}");
        }
    }
}
