//! Handshakes with a peer that says anything: requests to our server, answers to our client, cut anywhere.
//!
//! The functions of scripts are called as scripts call them, over a socket in memory and with a clock that jumps ahead when
//! nothing moves. What must hold is written out here once more, on bytes, so that it does not lean on the code it checks.

use crate::{
    error::{Error, Kind},
    exec,
    scenario::{Flow, Handle, Scenario, Take as _, TaskHandle, handle, run, script_error, task},
};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use rhai::{Dynamic, Map};
use sha1::{Digest as _, Sha1};
use sockets::{
    info::SocketInfo,
    socket::StreamSocket,
    stop::Stop,
    stream::{StreamRead, StreamWrite},
    testing::{PendingAt, Schedule},
};
use std::{
    io,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard},
    task::{Context, Poll, Waker},
    time::Duration,
};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, ReadBuf};

/// As one handshake takes some tens of microseconds per kilobyte, longer inputs only slow the search down.
const MAX_INPUT: usize = 4096;
/// What a peer sends that never stops.
const ENDLESS: usize = 100_000;
/// Most bytes that are read of one head: the limit of heads, and what one more read brings.
const HEAD_BOUND: usize = (64 << 10) + (16 << 10);

const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";

/// Options and the way of cutting, from the first three bytes.
#[derive(Clone, Copy)]
struct Choice {
    bits: u8,
    read: u8,
    write: u8,
}

impl Choice {
    const fn bit(self, n: u8) -> bool {
        self.bits >> n & 1 != 0
    }
    /// We are the client, and the input is what a server says.
    const fn client(self) -> bool {
        self.bit(0)
    }
    const fn lax(self) -> bool {
        self.bit(1)
    }
    const fn omit_headers(self) -> bool {
        self.bit(2)
    }
    const fn protocols(self) -> bool {
        self.bit(3)
    }
    const fn half_close(self) -> bool {
        self.bit(4)
    }
    /// The peer stays there after its bytes, and says nothing.
    const fn stays(self) -> bool {
        self.bit(5)
    }
    /// The peer says the same again and again. Rarely, since that takes long.
    const fn endless(self) -> bool {
        self.read > 250
    }
    /// Client: the peer does not wait for the request. Server: take the first subprotocol.
    const fn other(self) -> bool {
        self.bit(7)
    }

    fn schedule(self) -> Schedule {
        let pending = match self.write & 3 {
            0 => PendingAt::Never,
            1 => PendingAt::Each,
            2 => PendingAt::Every(2),
            _ => PendingAt::Nth(usize::from(self.write >> 4)),
        };
        Schedule { read: usize::from(self.read) + 1, write: usize::from(self.write >> 2) + 1, pending }
    }

    fn options(self) -> Map {
        let mut map = Map::new();
        let mut set = |name: &str, value: Dynamic| map.insert(name.into(), value);
        for (name, on) in
            [("lax", self.lax()), ("omit_headers", self.omit_headers()), ("half_close", self.half_close())]
        {
            set(name, on.into());
        }
        if self.client() {
            set("url", "/chat".into());
            set("host", "h".into());
            set("timeout_ms", 5000_i64.into());
        } else {
            set("protocol_choose_first", self.other().into());
            if self.protocols() {
                set("choose_protocol", "b".into());
                set("require_protocol", true.into());
            }
        }
        map
    }

    /// Custom headers of the client: a known key, so that the right answer is always the same.
    fn headers(self) -> Map {
        let mut map = Map::new();
        map.insert("Sec-WebSocket-Key".into(), KEY.into());
        if self.protocols() {
            map.insert("Sec-WebSocket-Protocol".into(), "a, b".into());
        }
        map
    }
}

/// A peer in memory: what it says, and what was said to it.
struct Peer {
    says: Vec<u8>,
    said: usize,
    /// It says nothing before it has heard something.
    waits: bool,
    ended: bool,
    heard: Vec<u8>,
    left: bool,
    /// What it had said by then: whatever is read afterwards is only read past.
    said_before: Option<usize>,
    reader: Option<Waker>,
}

type Shared = Arc<Mutex<Peer>>;

fn lock(peer: &Shared) -> MutexGuard<'_, Peer> {
    peer.lock().unwrap()
}

/// Our end of the connection to a [`Peer`]. Pending: while the peer waits or stays silent. EOF: when it has ended.
struct ToPeer(Shared);

impl AsyncRead for ToPeer {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let mut peer = lock(&self.0);
        if peer.waits || (peer.said == peer.says.len() && !peer.ended) {
            peer.reader = Some(cx.waker().clone());
            return Poll::Pending;
        }
        let n = buf.remaining().min(peer.says.len() - peer.said);
        buf.put_slice(&peer.says[peer.said..peer.said + n]);
        peer.said += n;
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for ToPeer {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        let mut peer = lock(&self.0);
        assert!(!peer.left, "written after the end");
        peer.heard.extend_from_slice(data);
        // A server answers when it has seen the head; one that answers earlier is tried as well.
        if peer.heard.ends_with(b"\r\n\r\n") {
            peer.waits = false;
            if let Some(reader) = peer.reader.take() {
                reader.wake();
            }
        }
        Poll::Ready(Ok(data.len()))
    }
    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut peer = lock(&self.0);
        peer.left = true;
        peer.said_before = peer.said_before.or(Some(peer.said));
        Poll::Ready(Ok(()))
    }
}

impl StreamRead for ToPeer {}
impl StreamWrite for ToPeer {}

/// What the script of a thread works with at the moment.
#[derive(Default)]
struct Case {
    choice: Option<Choice>,
    socket: Option<Handle<StreamSocket>>,
    upgraded: Option<StreamSocket>,
}

/// The script, ready to be run again and again.
struct Stage {
    runtime: tokio::runtime::Runtime,
    scenario: Arc<Scenario>,
    case: Arc<Mutex<Case>>,
}

const SCRIPT: &str = "
    if is_client() {
        ws_upgrade(options(), headers(), http1_client(#{}, socket()), |raw| keep(raw))
    } else {
        http1_serve(#{timeout_ms: 5000}, socket(), |rq, hup, fd| {
            ws_accept(options(), #{}, rq, hup, fd, |raw| keep(raw))
        })
    }";

impl Stage {
    fn new() -> Self {
        let case = Arc::new(Mutex::new(Case::default()));
        let mut engine = exec::engine();
        let now = case.clone();
        let choice = move || now.lock().unwrap().choice.unwrap();
        let c = choice.clone();
        engine.register_fn("is_client", move || c().client());
        let c = choice.clone();
        engine.register_fn("options", move || c().options());
        engine.register_fn("headers", move || choice().headers());
        let now = case.clone();
        engine.register_fn("socket", move || now.lock().unwrap().socket.clone().unwrap());
        let now = case.clone();
        engine.register_fn("keep", move |socket: Handle<StreamSocket>| -> TaskHandle {
            now.lock().unwrap().upgraded = socket.lock().unwrap().take();
            task(async { Ok(Flow::Done) })
        });
        let ast = engine.compile(SCRIPT).unwrap();
        let scenario = Scenario::new(engine, ast, Stop::new(), Some(1)).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        Self { runtime, scenario, case }
    }

    /// Runs one handshake; afterwards the socket is read to its end and written to, if there is one.
    fn play(&self, choice: Choice, says: &[u8], schedule: Schedule) -> Outcome {
        let peer = Arc::new(Mutex::new(Peer {
            says: says.to_vec(),
            said: 0,
            waits: choice.client() && !choice.other(),
            ended: !choice.stays(),
            heard: Vec::new(),
            left: false,
            said_before: None,
            reader: None,
        }));
        let socket = StreamSocket {
            read: Some(Box::new(ToPeer(peer.clone()))),
            write: Some(Box::new(ToPeer(peer.clone()))),
            info: Arc::new(SocketInfo { specifier: Some("peer:".into()), ..SocketInfo::default() }),
            ..StreamSocket::default()
        };
        *self.case.lock().unwrap() =
            Case { choice: Some(choice), socket: Some(handle(schedule.stream(socket))), upgraded: None };
        // Every time limit of a handshake is far below that: what is not over then hangs.
        let patience = Duration::from_secs(3600);
        let handshake = async {
            let made: TaskHandle = self.scenario.engine.eval_ast(&self.scenario.ast).map_err(script_error)?;
            run(made.take("task").map_err(script_error)?).await
        };
        let rest = async {
            let upgraded = self.case.lock().unwrap().upgraded.take()?;
            let answered = lock(&peer).heard.len();
            {
                let mut peer = lock(&peer);
                (peer.ended, peer.waits) = (true, false);
            }
            let (mut read, mut write) = (upgraded.read.unwrap(), upgraded.write.unwrap());
            let mut rest = Vec::new();
            read.read_to_end(&mut rest).await.unwrap();
            write.write_all(b"hello").await.unwrap();
            write.shutdown().await.unwrap();
            let peer = lock(&peer);
            assert!(peer.left && peer.heard[answered..] == *b"hello");
            Some(rest)
        };
        let (result, read, rest) = self.runtime.block_on(async {
            let result = tokio::time::timeout(patience, handshake).await.expect("the handshake hangs");
            let read = {
                let peer = lock(&peer);
                peer.said_before.unwrap_or(peer.said)
            };
            (result, read, tokio::time::timeout(patience, rest).await.expect("the socket hangs"))
        });
        *self.case.lock().unwrap() = Case::default();
        let mut heard = std::mem::take(&mut lock(&peer).heard);
        if rest.is_some() {
            heard.truncate(heard.len() - b"hello".len());
        }
        Outcome { error: result.err(), read, rest, heard }
    }
}

/// How a handshake ended.
struct Outcome {
    error: Option<Error>,
    /// Bytes taken from the peer until we ended our direction, or in all.
    read: usize,
    /// What the socket above had to read; None without an upgrade.
    rest: Option<Vec<u8>>,
    /// What the peer was told during the handshake.
    heard: Vec<u8>,
}

impl Outcome {
    /// An upgrade is the same however bytes were cut; dates pass. Of failures only that it is one: a head that comes in
    /// pieces is judged when it is whole, so that another fault, or the clock, may come first.
    fn upgrade(&self) -> Option<(&[u8], Vec<&[u8]>)> {
        let lines = self.heard.split(|byte| *byte == b'\n').filter(|line| !line.starts_with(b"date: "));
        self.rest.as_deref().map(|rest| (rest, lines.collect()))
    }
}

/// Where an empty line ends that follows another line, from the left.
fn empty_lines(bytes: &[u8]) -> impl DoubleEndedIterator<Item = usize> {
    let ends = |at: &usize| {
        let before = &bytes[..*at];
        before.ends_with(b"\n\r\n") || before.ends_with(b"\n\n")
    };
    (1..=bytes.len()).filter(ends).collect::<Vec<_>>().into_iter()
}

/// Values of a header field in these lines, without blanks around them.
fn fields<'a>(head: &'a [u8], name: &'a str) -> impl Iterator<Item = &'a [u8]> {
    head.split(|byte| *byte == b'\n').filter_map(move |line| {
        let (before, value) = line.split_at(line.iter().position(|byte| *byte == b':')?);
        before.eq_ignore_ascii_case(name.as_bytes()).then(|| value[1..].trim_ascii())
    })
}

/// Some request may have a body.
fn mentions_body(says: &[u8]) -> bool {
    // Beyond that it only repeats.
    let lower = says[..says.len().min(2 * MAX_INPUT)].to_ascii_lowercase();
    let has = |name: &[u8]| lower.windows(name.len()).any(|window| window == name);
    has(b"content-length") || has(b"transfer-encoding")
}

/// RFC 6455 4.2.2.
fn accept(key: &[u8]) -> Vec<u8> {
    let sum = Sha1::new().chain_update(key).chain_update("258EAFA5-E914-47DA-95CA-C5AB0DC85B11").finalize();
    BASE64_STANDARD.encode(sum).into_bytes()
}

/// What must hold for a handshake, whatever the peer said.
fn check(choice: Choice, says: &[u8], outcome: &Outcome) {
    if let Some(error) = &outcome.error {
        let text = error.to_string();
        let ours = matches!(error.kind, Kind::BrokenUpgrade | Kind::HttpStatus | Kind::HandshakeTimeout);
        assert!(ours, "a peer caused {:?}: {text}", error.kind);
        assert!(!text.is_empty() && text.len() < 8192 && !text.contains(char::is_control), "{text:?}");
        assert!(outcome.rest.is_none());
    }
    if empty_lines(&says[..says.len().min(HEAD_BOUND)]).next().is_none() {
        assert!(outcome.rest.is_none(), "upgraded without a head");
        assert!(outcome.read <= HEAD_BOUND, "{} bytes of an endless head were read", outcome.read);
    }
    let Some(rest) = &outcome.rest else {
        assert!(choice.client() || !outcome.heard.windows(14).any(|w| w.starts_with(b"HTTP/1.1 101 ")));
        return;
    };
    // Nothing is lost behind the head and nothing is left of it.
    assert!(says.ends_with(rest));
    let consumed = &says[..says.len() - rest.len()];
    if !choice.client() && choice.lax() && mentions_body(says) {
        // hyper reads past as much of a body as is there; only what accepts any request gets so far.
        return;
    }
    let mut ends = empty_lines(consumed).rev();
    assert_eq!(ends.next(), Some(consumed.len()), "cut off elsewhere than behind the head");
    let head = &consumed[ends.next().unwrap_or(0)..];

    if choice.client() {
        let line = head.trim_ascii_start();
        assert!(line.starts_with(b"HTTP/1.1 101") || choice.lax(), "{}", line.escape_ascii());
        if !choice.lax() {
            assert!(fields(head, "sec-websocket-accept").eq([&accept(KEY.as_bytes())[..]]));
        }
    } else {
        let heads: Vec<_> = empty_lines(&outcome.heard).collect();
        assert_eq!(heads.last(), Some(&outcome.heard.len()), "something follows the 101");
        let answer = &outcome.heard[..];
        let from = (0..answer.len()).rev().find(|at| answer[*at..].starts_with(b"HTTP/1.")).unwrap();
        let answer = &answer[from..];
        assert!(answer.starts_with(b"HTTP/1.1 101 ") || choice.lax(), "{}", answer.escape_ascii());
        let offered = || fields(head, "sec-websocket-protocol").flat_map(|list| list.split(|byte| *byte == b','));
        for chosen in fields(answer, "sec-websocket-protocol") {
            assert!(offered().any(|name| name.trim_ascii() == chosen), "{} was not offered", chosen.escape_ascii());
        }
        let told = fields(answer, "sec-websocket-accept").collect::<Vec<_>>();
        if choice.lax() || choice.omit_headers() {
            assert!(told.iter().all(|told| fields(head, "sec-websocket-key").any(|key| accept(key) == *told)));
        } else {
            // A body of an earlier request may have lines that look like a key.
            let key = fields(head, "sec-websocket-key").last().unwrap();
            assert_eq!(told, [&accept(key)[..]]);
            assert_eq!(BASE64_STANDARD.decode(key).unwrap().len(), 16);
        }
    }
}

/// A handshake with any peer ends in an error that is about the peer, or in an upgrade that is right: the accept value
/// fits the key, and the socket above gets exactly what follows the head, wherever the bytes are cut. No head is read
/// beyond the limit. The first three bytes choose role, options and cuts.
pub fn http_head(data: &[u8]) {
    thread_local! {
        static STAGE: Stage = Stage::new();
    }
    let Some(([bits, read, write], says)) = data.split_first_chunk() else { return };
    let choice = Choice { bits: *bits, read: *read, write: *write };
    let mut says = says[..says.len().min(MAX_INPUT)].to_vec();
    if choice.endless() && !says.is_empty() {
        says = says.iter().copied().cycle().take(ENDLESS).collect();
    }
    STAGE.with(|stage| {
        let whole = stage.play(choice, &says, Schedule::WHOLE);
        check(choice, &says, &whole);
        let cut = stage.play(choice, &says, choice.schedule());
        check(choice, &says, &cut);
        // Whether a connection goes on after a request with a body depends on how much of the body is there already, and
        // what becomes of an answer before the request on how much of the request is sent already.
        if if choice.client() { !choice.other() } else { !mentions_body(&says) } {
            assert_eq!(cut.upgrade(), whole.upgrade());
        }
    });
}
