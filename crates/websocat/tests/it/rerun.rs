//! Twelve common command lines, run as such and run again from the script that `--dump-spec` prints: the same exit
//! status, the same output, the same bytes at the peers.
//!
//! The lines are those of `tests/plan/*.args` with other addresses. The program is the built binary; its peers are raw
//! sockets on threads that wait for what they expect, never for time.

use super::program::Output;
use base64::Engine as _;
use rustix::process::{Pid, Signal, kill_process};
use sha1::Digest as _;
use std::{
    fs,
    io::{Read, Write as _},
    net::{TcpListener, TcpStream},
    path::Path,
    process::{Command, Stdio},
    sync::mpsc,
    thread,
    time::Duration,
};

/// Bounds a hang, not a duration.
const PATIENCE: Duration = Duration::from_secs(60);

/// What a peer does with its connection; it gives all bytes that it got.
type Play = fn(&mut Peer);

/// How a run is set up and what makes it end.
#[derive(Clone, Copy, Default)]
struct Scene {
    /// Name in `tests/plan`.
    line: &'static str,
    /// What stands in the line, and what stands there in this test; `{peer}` is the address of the peer that listens.
    replace: &'static [(&'static str, &'static str)],
    stdin: &'static str,
    /// Serves the program's connection.
    server: Option<Play>,
    /// Connects to the program, which is told to end when this is done.
    client: Option<Play>,
    /// Before it is told to end, this must be in its output.
    output: &'static str,
}

#[derive(Debug, PartialEq)]
struct Outcome {
    status: Option<i32>,
    stdout: String,
    /// What the program's files contain.
    file: Option<String>,
    /// Bytes at the peers.
    server: String,
    client: String,
}

/// One connection and all that came over it.
struct Peer {
    tcp: TcpStream,
    got: Vec<u8>,
    /// Bytes of it that were understood.
    at: usize,
}

impl Peer {
    fn new(tcp: TcpStream) -> Self {
        tcp.set_read_timeout(Some(PATIENCE)).unwrap();
        Self { tcp, got: vec![], at: 0 }
    }

    /// False at the end of the stream.
    fn more(&mut self) -> bool {
        let mut buffer = [0; 4096];
        let n = self.tcp.read(&mut buffer).unwrap_or_else(|e| panic!("{e}, so far: {}", self.got.escape_ascii()));
        self.got.extend(&buffer[..n]);
        n > 0
    }

    fn need(&mut self, until: usize) {
        while self.got.len() < until {
            assert!(self.more(), "the stream ended early: {}", self.got.escape_ascii());
        }
    }

    fn until_the_end(&mut self) {
        while self.more() {}
    }

    fn say(&mut self, bytes: &[u8]) {
        self.tcp.write_all(bytes).unwrap();
    }

    /// An HTTP head.
    fn head(&mut self) -> String {
        loop {
            if let Some(end) = self.got.windows(4).position(|w| w == b"\r\n\r\n") {
                self.at = end + 4;
                return String::from_utf8(self.got[..end].to_vec()).unwrap();
            }
            self.need(self.got.len() + 1);
        }
    }

    /// The next frame: first byte and payload, unmasked.
    fn frame(&mut self) -> (u8, Vec<u8>) {
        self.need(self.at + 2);
        let (first, second) = (self.got[self.at], self.got[self.at + 1]);
        let length = usize::from(second & 0x7f);
        assert!(length < 126, "longer than anything here");
        let key = if second & 0x80 == 0 { 0 } else { 4 };
        let start = self.at + 2 + key;
        self.need(start + length);
        let key: Vec<u8> = self.got[start - key..start].to_vec();
        let payload = self.got[start..start + length].iter().enumerate();
        let payload = payload.map(|(i, b)| b ^ key.get(i % 4).copied().unwrap_or(0)).collect();
        self.at = start + length;
        (first, payload)
    }

    fn expect(&mut self, first: u8, payload: &[u8]) {
        let (got, bytes) = self.frame();
        assert_eq!((got, &*bytes), (first, payload), "{}", bytes.escape_ascii());
    }

    /// Asks for a WebSocket.
    fn ask(&mut self) {
        self.say(
            b"GET /chat HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
              Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
        );
        let head = self.head();
        assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
    }

    /// Takes a request for a WebSocket.
    fn accept(&mut self, more: &str) {
        let head = self.head();
        let key = head.lines().find_map(|line| line.strip_prefix("sec-websocket-key: ")).unwrap();
        let digest = sha1::Sha1::digest(format!("{key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11"));
        let accept = base64::engine::general_purpose::STANDARD.encode(digest);
        let answer = format!(
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Accept: {accept}\r\n{more}\r\n"
        );
        self.say(answer.as_bytes());
    }
}

/// A masked frame of a client; the key of zeros leaves the payload readable.
fn masked(first: u8, payload: &[u8]) -> Vec<u8> {
    [&[first, 0x80 | payload.len() as u8, 0, 0, 0, 0], payload].concat()
}

fn unmasked(first: u8, payload: &[u8]) -> Vec<u8> {
    [&[first, payload.len() as u8], payload].concat()
}

const TEXT: u8 = 0x81;
const BINARY: u8 = 0x82;
const CLOSE: u8 = 0x88;
const NORMAL: &[u8] = &[3, 0xe8];

/// Says one thing to a WebSocket server, hears it back after `before`, closes.
fn talk(peer: &mut Peer, kind: u8, before: &[&str]) {
    peer.ask();
    for message in before {
        peer.expect(kind, message.as_bytes());
    }
    peer.say(&masked(kind, b"hello"));
    peer.expect(kind, b"hello");
    peer.say(&masked(CLOSE, NORMAL));
    peer.expect(CLOSE, NORMAL);
    peer.until_the_end();
}

/// TCP server that answers when the other side has said all.
fn answer_at_the_end(peer: &mut Peer) {
    peer.until_the_end();
    peer.say(b"got it");
}

/// Whatever a test ends with: no process stays behind, and no thread of a peer waits for it.
struct Running {
    pid: Pid,
    listens: std::net::SocketAddr,
    ended: bool,
}

impl Drop for Running {
    fn drop(&mut self) {
        if !self.ended {
            let _ = kill_process(self.pid, Signal::KILL);
            let _ = TcpStream::connect(self.listens);
        }
    }
}

fn run(scene: &Scene, arguments: &[String], listener: &TcpListener, file: &Path) -> Outcome {
    thread::scope(|scope| {
        let server = scene.server.map(|play| {
            scope.spawn(move || {
                let mut peer = Peer::new(listener.accept().unwrap().0);
                play(&mut peer);
                peer.got
            })
        });
        let mut child = Command::new(env!("CARGO_BIN_EXE_websocat"))
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let pid = Pid::from_child(&child);
        let mut running = Running { pid, listens: listener.local_addr().unwrap(), ended: false };
        let mut stdin = child.stdin.take().unwrap();
        stdin.write_all(scene.stdin.as_bytes()).unwrap();
        // A terminal or pipe that stays open, unless the end of the input is what ends the program.
        let stdin = scene.client.is_some().then_some(stdin);
        let stdout = Output::follow(child.stdout.take().unwrap());
        let stderr = Output::follow(child.stderr.take().unwrap());
        let (tell, status) = mpsc::channel();
        let waiter = thread::spawn(move || tell.send(child.wait().unwrap()));
        let give_up = |why: &str| -> ! {
            panic!("{why}: {arguments:?}\n{}\n{}", stdout.text(), stderr.text());
        };
        let client = scene.client.map(|play| {
            let Some(text) = stdout.wait_for("port=", "\n") else { give_up("it does not listen") };
            let port = text.split("port=").nth(1).unwrap().lines().next().unwrap().parse().unwrap();
            let mut peer = Peer::new(TcpStream::connect(("127.0.0.1", port)).unwrap());
            play(&mut peer);
            if stdout.wait_for(scene.output, "").is_none() {
                give_up("its output is missing");
            }
            kill_process(pid, Signal::TERM).unwrap();
            peer.got
        });
        let Ok(status) = status.recv_timeout(PATIENCE) else { give_up("it does not end") };
        running.ended = true;
        waiter.join().unwrap().unwrap();
        drop(stdin);
        stdout.end();
        // The only things that differ between two runs of the same: a free port, the time.
        let plain = |text: &str| -> String {
            let lines = text.lines().filter(|line| !line.starts_with("date: "));
            lines.map(|line| line.split_once("port=").map_or(line, |(before, _)| before).to_owned() + "\n").collect()
        };
        let bytes = |bytes: Option<Vec<u8>>| plain(&String::from_utf8_lossy(&bytes.unwrap_or_default()));
        Outcome {
            status: status.code(),
            stdout: plain(&stdout.text()),
            file: fs::read_to_string(file).ok(),
            server: bytes(server.map(|thread| thread.join().unwrap())),
            client: bytes(client),
        }
    })
}

/// Runs a scene both ways and gives what came of it.
fn both_ways(scene: Scene) -> Outcome {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    // One for both runs: its port is in the requests.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let plan = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/plan").join(scene.line).with_extension("args");
    let line = scene.replace.iter().fold(fs::read_to_string(plan).unwrap(), |line, (from, to)| {
        assert!(line.contains(from), "{from} is not in {line}");
        line.replace(from, to)
    });
    let port = listener.local_addr().unwrap().port().to_string();
    let line = line.replace("{peer}", &address).replace("{port}", &port).replace("{file}", file.to_str().unwrap());
    let line: Vec<String> = line.lines().map(str::to_owned).collect();

    let front = |options: &[&str], line: &[String]| -> Vec<String> {
        options.iter().map(ToString::to_string).chain(line.iter().cloned()).collect()
    };
    let announce: &[&str] = if scene.client.is_some() { &["--stdout-announce-listening-ports"] } else { &[] };
    let line = front(announce, &line);
    let direct = run(&scene, &front(&["--random-seed", "7"], &line), &listener, &file);

    let _ = fs::remove_file(&file);
    let script = folder.path().join("script.rhai");
    let dump = Command::new(env!("CARGO_BIN_EXE_websocat")).args(front(&["--dump-spec"], &line)).output().unwrap();
    assert!(dump.status.success(), "{}", String::from_utf8_lossy(&dump.stderr));
    fs::write(&script, &dump.stdout).unwrap();
    let script = script.to_str().unwrap().to_owned();
    let again = run(&scene, &front(&["--random-seed", "7", "-x"], &[script]), &listener, &file);
    assert_eq!(direct, again, "{} as a command line and as a script", scene.line);
    direct
}

#[test]
fn ws_url() {
    let outcome = both_ways(Scene {
        line: "ws_url",
        replace: &[("127.0.0.1:1234", "{peer}")],
        stdin: "hi\nyou\n",
        server: Some(|peer| {
            peer.accept("");
            peer.expect(TEXT, b"hi");
            peer.expect(TEXT, b"you");
            peer.say(&unmasked(TEXT, b"both"));
            peer.say(&unmasked(CLOSE, NORMAL));
            peer.until_the_end();
        }),
        ..Scene::default()
    });
    assert_eq!((outcome.status, &*outcome.stdout), (Some(0), "both\n"));
}

#[test]
fn receive_only() {
    let outcome = both_ways(Scene {
        line: "receive_only",
        replace: &[("127.0.0.1:1234", "{peer}")],
        server: Some(|peer| {
            peer.accept("");
            peer.say(&unmasked(TEXT, b"one"));
            peer.say(&unmasked(BINARY, b"two"));
            peer.say(&unmasked(CLOSE, &[3, 0xf3, b'o', b'h']));
            peer.until_the_end();
        }),
        ..Scene::default()
    });
    assert_eq!((outcome.status, &*outcome.stdout), (Some(31), "one\ntwo\n"));
}

#[test]
fn headers_and_protocol() {
    let outcome = both_ways(Scene {
        line: "headers_and_protocol",
        replace: &[("127.0.0.1:1234", "{peer}")],
        server: Some(|peer| {
            peer.accept("Sec-WebSocket-Protocol: chat\r\n");
            peer.say(&unmasked(CLOSE, NORMAL));
            peer.until_the_end();
        }),
        ..Scene::default()
    });
    assert_eq!(outcome.status, Some(0));
    for part in
        ["GET /x?y HTTP/1.1\n", "authorization: Basic dXNlcjpwYSBzcw==\n", "x-token: a\"b\n", "x-token: second\n"]
    {
        assert!(outcome.server.to_lowercase().contains(&part.to_lowercase()), "{part} in {}", outcome.server);
    }
}

#[test]
fn timeouts() {
    let outcome = both_ways(Scene { line: "timeouts", replace: &[("/tmp/x", "{file}")], ..Scene::default() });
    assert_eq!((outcome.status, outcome.file.as_deref()), (Some(0), Some("abc")));
}

#[test]
fn cmd_text() {
    let outcome = both_ways(Scene {
        line: "cmd_text",
        replace: &[("0.0.0.0:8080", "127.0.0.1:0")],
        client: Some(|peer| talk(peer, TEXT, &["hi"])),
        ..Scene::default()
    });
    assert_eq!(outcome.status, Some(0));
}

#[test]
fn exec_per_client() {
    let outcome = both_ways(Scene {
        line: "exec_per_client",
        replace: &[("127.0.0.1:8080", "127.0.0.1:0")],
        client: Some(|peer| talk(peer, TEXT, &[])),
        ..Scene::default()
    });
    assert_eq!(outcome.status, Some(0));
}

#[test]
fn server() {
    let outcome = both_ways(Scene {
        line: "server",
        replace: &[("1234", "127.0.0.1:0")],
        stdin: "from stdin\n",
        client: Some(|peer| {
            peer.ask();
            peer.expect(TEXT, b"from stdin");
            peer.say(&masked(TEXT, b"to stdout"));
            peer.say(&masked(CLOSE, NORMAL));
            peer.expect(CLOSE, NORMAL);
            peer.until_the_end();
        }),
        output: "to stdout\n",
        ..Scene::default()
    });
    assert_eq!(outcome.status, Some(0));
    assert!(outcome.stdout.ends_with("to stdout\n"), "{}", outcome.stdout);
}

#[test]
fn ws_echo() {
    let outcome = both_ways(Scene {
        line: "ws_echo",
        replace: &[("127.0.0.1:8080", "127.0.0.1:0")],
        client: Some(|peer| talk(peer, BINARY, &[])),
        ..Scene::default()
    });
    assert_eq!(outcome.status, Some(0));
}

#[test]
fn ws_to_tcp() {
    let outcome = both_ways(Scene {
        line: "ws_to_tcp",
        replace: &[("127.0.0.1:8080", "127.0.0.1:0"), ("127.0.0.1:22", "{peer}")],
        server: Some(|peer| {
            peer.need(5);
            peer.say(b"hello");
            peer.until_the_end();
        }),
        client: Some(|peer| talk(peer, BINARY, &[])),
        ..Scene::default()
    });
    assert_eq!((outcome.status, &*outcome.server), (Some(0), "hello\n"));
}

#[test]
fn tcp_forward() {
    let outcome = both_ways(Scene {
        line: "tcp_forward",
        replace: &[("127.0.0.1:8080", "127.0.0.1:0"), ("127.0.0.1:80", "{peer}")],
        server: Some(answer_at_the_end),
        client: Some(|peer| {
            peer.say(b"request");
            peer.tcp.shutdown(std::net::Shutdown::Write).unwrap();
            peer.until_the_end();
        }),
        ..Scene::default()
    });
    assert_eq!((outcome.status, &*outcome.server, &*outcome.client), (Some(0), "request\n", "got it\n"));
}

#[test]
fn late_resolve() {
    let outcome = both_ways(Scene {
        line: "late_resolve",
        replace: &[("127.0.0.1:8080", "127.0.0.1:0"), ("localhost:80", "localhost:{port}")],
        server: Some(answer_at_the_end),
        client: Some(|peer| {
            peer.say(b"request");
            peer.tcp.shutdown(std::net::Shutdown::Write).unwrap();
            peer.until_the_end();
        }),
        ..Scene::default()
    });
    assert_eq!((outcome.status, &*outcome.server, &*outcome.client), (Some(0), "request\n", "got it\n"));
}

#[test]
fn low_level() {
    let outcome = both_ways(Scene {
        line: "low_level",
        replace: &[("127.0.0.1:1\n", "127.0.0.1:0\n"), ("127.0.0.1:2", "{peer}")],
        server: Some(|peer| {
            peer.expect(TEXT, b"hello");
            peer.say(&unmasked(TEXT, b"hello"));
            peer.expect(CLOSE, NORMAL);
            peer.say(&unmasked(CLOSE, NORMAL));
            peer.until_the_end();
        }),
        client: Some(|peer| {
            peer.say(&masked(TEXT, b"hello"));
            peer.expect(TEXT, b"hello");
            peer.say(&masked(CLOSE, NORMAL));
            peer.expect(CLOSE, NORMAL);
            peer.until_the_end();
        }),
        ..Scene::default()
    });
    assert_eq!(outcome.status, Some(0));
}
