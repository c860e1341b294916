//! What whole scenarios cost once they run: allocations per message, memory per idle connection.
//!
//! A command line becomes a script and tasks as in the program; they run on one thread, and only what that thread
//! allocates and frees is counted. Clients are raw sockets on threads of their own, which check every byte that comes
//! back.

use clap::Parser as _;
use rhai::Dynamic;
use sockets::stop::Stop;
use std::{
    alloc::{GlobalAlloc, Layout, System},
    cell::Cell,
    ffi::OsString,
    io::{Read as _, Write as _},
    net::{TcpListener, TcpStream},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering::SeqCst},
        mpsc,
    },
    thread,
    time::Duration,
};
use websocat::{
    cli::Args,
    exec, plan,
    scenario::{Flow, Scenario, Take as _, TaskHandle, run, task},
};

/// Bounds a hang, not a duration.
const PATIENCE: Duration = Duration::from_secs(60);

struct Counting;
static ALLOCATIONS: AtomicUsize = AtomicUsize::new(0);
static LIVE_BYTES: AtomicUsize = AtomicUsize::new(0);
thread_local! {
    /// Set on the thread that runs the scenario.
    static COUNTED: Cell<bool> = const { Cell::new(false) };
}

fn counted() -> bool {
    COUNTED.try_with(Cell::get).unwrap_or(false)
}

#[allow(unsafe_code)] // the trait is unsafe
// SAFETY: everything goes to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if counted() {
            ALLOCATIONS.fetch_add(1, SeqCst);
            LIVE_BYTES.fetch_add(layout.size(), SeqCst);
        }
        // SAFETY: the caller's promise is handed on.
        unsafe { System.alloc(layout) }
    }
    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        if counted() {
            LIVE_BYTES.fetch_sub(layout.size(), SeqCst);
        }
        // SAFETY: `at` came from `alloc` above.
        unsafe { System.dealloc(at, layout) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

/// The counters are shared: one scenario at a time.
fn alone() -> MutexGuard<'static, ()> {
    static ONE: Mutex<()> = Mutex::new(());
    let guard = ONE.lock().unwrap_or_else(PoisonError::into_inner);
    LIVE_BYTES.store(0, SeqCst);
    guard
}

/// A running scenario whose left side listens on a free port.
struct Server {
    port: u16,
    stop: Stop,
    thread: thread::JoinHandle<()>,
}

impl Server {
    fn start(line: &[&str]) -> Self {
        let line = [&["websocat"], line].concat().into_iter().map(OsString::from);
        let args = Arc::new(Args::try_parse_from(plan::arguments(line)).unwrap());
        let mut planned = plan::parse(&args).unwrap();
        plan::rewrite(&mut planned).unwrap();
        // The port goes to the test where the script would do nothing.
        let script = plan::print(&planned).unwrap().replacen("dummy_task()", "tell_port(addr1)", 1);
        let (tell, port) = mpsc::channel();
        let stop = Stop::new();
        let its_stop = stop.clone();
        let thread = thread::spawn(move || {
            COUNTED.set(true);
            let mut engine = exec::engine();
            engine.register_fn("tell_port", move |addr: std::net::SocketAddr| -> TaskHandle {
                tell.send(addr.port()).unwrap();
                task(async { Ok(Flow::Done) })
            });
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let ast = engine.compile(&script).unwrap();
                let scenario = Scenario::new(engine, ast, its_stop, Some(1)).unwrap();
                let value: Dynamic = scenario.engine.eval_ast(&scenario.ast).unwrap();
                let task = value.cast::<TaskHandle>().take("task").unwrap();
                run(task).await.unwrap();
            });
        });
        Self { port: port.recv_timeout(PATIENCE).unwrap(), stop, thread }
    }

    fn finish(self) {
        self.stop.drain();
        self.thread.join().unwrap();
    }
}

/// A raw WebSocket client that checks echoes.
struct Client {
    tcp: TcpStream,
    buffer: Vec<u8>,
    filled: usize,
}

const REQUEST: &[u8] = b"GET /chat HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
    Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
    User-Agent: a client of usual length\r\n\r\n";

/// Printable, so that it is text too, and without the separator of lines.
fn payload(size: usize) -> Vec<u8> {
    (0..size).map(|i| b'a' + ((i * 7 + i / 251) % 26) as u8).collect()
}

/// One masked data frame.
fn frame(payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![0x81];
    match payload.len() {
        n @ 0..126 => frame.push(0x80 | n as u8),
        n @ 126..65_536 => {
            frame.push(0xfe);
            frame.extend((n as u16).to_be_bytes());
        }
        n => {
            frame.push(0xff);
            frame.extend((n as u64).to_be_bytes());
        }
    }
    let key = [0x12, 0x34, 0x56, 0x78];
    frame.extend(key);
    frame.extend(payload.iter().zip(key.iter().cycle()).map(|(byte, key)| byte ^ key));
    frame
}

impl Client {
    fn connect(port: u16) -> Self {
        let mut tcp = TcpStream::connect(("127.0.0.1", port)).unwrap();
        tcp.set_read_timeout(Some(PATIENCE)).unwrap();
        tcp.set_write_timeout(Some(PATIENCE)).unwrap();
        tcp.set_nodelay(true).unwrap();
        tcp.write_all(REQUEST).unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            tcp.read_exact(&mut byte).unwrap();
            head.extend(byte);
        }
        assert!(head.starts_with(b"HTTP/1.1 101 "), "{}", head.escape_ascii());
        Self { tcp, buffer: vec![0; 300_000], filled: 0 }
    }

    /// Sends `batch` messages together and takes as many bytes back; gives the number of messages they came in.
    fn echo(&mut self, frames: &[u8], payload: &[u8], batch: usize) -> usize {
        let mut to = self.tcp.try_clone().unwrap();
        thread::scope(|scope| {
            // What is more than the kernel's buffers hold needs somebody who reads meanwhile.
            if frames.len() > 100_000 {
                scope.spawn(move || to.write_all(frames).unwrap());
            } else {
                to.write_all(frames).unwrap();
            }
            self.expect(payload, batch * payload.len())
        })
    }

    fn expect(&mut self, payload: &[u8], total: usize) -> usize {
        let (mut seen, mut messages, mut left, mut at) = (0, 0, 0, 0);
        while seen < total || left > 0 {
            let bytes = &self.buffer[at..self.filled];
            if left > 0 && !bytes.is_empty() {
                let from = seen % payload.len();
                let n = left.min(bytes.len()).min(payload.len() - from);
                assert!(bytes[..n] == payload[from..from + n], "other bytes came back, {seen} bytes after the start");
                (seen, left, at) = (seen + n, left - n, at + n);
                continue;
            }
            // A ping comes after half a minute of silence, on a slow machine. It is passed over as soon as it is whole.
            let is_ping = bytes.first() == Some(&0x89);
            if let Some((header, length)) = header(bytes).filter(|(h, n)| !is_ping || bytes.len() >= h + n) {
                if is_ping {
                    at += header + length;
                    continue;
                }
                assert!(matches!(bytes[0] & 0x7f, 0..=2), "frame {:#x}", bytes[0]);
                messages += usize::from(bytes[0] & 0x80 != 0);
                (left, at) = (length, at + header);
                continue;
            }
            self.buffer.copy_within(at..self.filled, 0);
            self.filled -= at;
            at = 0;
            let n = self.tcp.read(&mut self.buffer[self.filled..]).unwrap();
            assert!(n > 0, "the server hung up");
            self.filled += n;
        }
        self.buffer.copy_within(at..self.filled, 0);
        self.filled -= at;
        messages
    }
}

/// Length of a frame's header and of its payload, if the header is there.
fn header(bytes: &[u8]) -> Option<(usize, usize)> {
    let big_endian = |bytes: &[u8]| bytes.iter().fold(0, |n, byte| n << 8 | usize::from(*byte));
    match bytes.get(1)? {
        126 => Some((4, big_endian(bytes.get(2..4)?))),
        127 => Some((10, big_endian(bytes.get(2..10)?))),
        n => Some((2, usize::from(*n))),
    }
}

/// A TCP server that sends everything back.
fn tcp_echo() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for peer in listener.incoming() {
            let mut peer = peer.unwrap();
            thread::spawn(move || {
                let mut buffer = vec![0; 100_000];
                while let Ok(n @ 1..) = peer.read(&mut buffer) {
                    if peer.write_all(&buffer[..n]).is_err() {
                        break;
                    }
                }
            });
        }
    });
    address.to_string()
}

/// Whether every message comes back as one message, or only the bytes do.
#[derive(Clone, Copy, PartialEq)]
enum Borders {
    Kept,
    Lost,
}

fn no_allocations(line: &[&str], borders: Borders) {
    let _alone = alone();
    let server = Server::start(line);
    let mut client = Client::connect(server.port);
    for (size, batch) in [(32, 1), (32, 64), (5000, 1), (5000, 64), (65_536, 1), (65_536, 64)] {
        let payload = payload(size);
        let frames = frame(&payload).repeat(batch);
        let rounds = (4_000_000 / frames.len()).clamp(2, 50);
        let mut run = |rounds| {
            let before = ALLOCATIONS.load(SeqCst);
            for _ in 0..rounds {
                let messages = client.echo(&frames, &payload, batch);
                assert!(borders == Borders::Lost || messages == batch, "{batch} messages became {messages}");
            }
            ALLOCATIONS.load(SeqCst) - before
        };
        run(rounds); // warm-up
        // How many bytes arrive together depends on timing, so that the pool may still grow once: one of the runs
        // must do without.
        let counts: Vec<_> = (0..6).map(|_| run(rounds)).collect();
        assert!(counts.contains(&0), "{line:?}, {size} bytes x {batch}: {counts:?} allocations in {rounds} rounds");
    }
    drop(client);
    server.finish();
}

#[test]
fn echo() {
    no_allocations(&["-b", "ws-l:127.0.0.1:0", "mirror:"], Borders::Kept);
}

#[test]
fn lines_into_a_mirror() {
    no_allocations(&["-t", "ws-l:127.0.0.1:0", "lines:mirror:"], Borders::Kept);
}

#[test]
fn lines_over_tcp() {
    let peer = tcp_echo();
    no_allocations(&["-t", "ws-l:127.0.0.1:0", &format!("lines:tcp:{peer}")], Borders::Kept);
}

#[test]
fn chunks_over_tcp() {
    let peer = tcp_echo();
    no_allocations(&["-b", "ws-l:127.0.0.1:0", &format!("tcp:{peer}")], Borders::Lost);
}

/// Lets this process have as many descriptors as it may: client, server and a back end of 400 connections are all in it.
#[cfg(unix)]
fn allow_descriptors() {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    setrlimit(Resource::Nofile, limit).unwrap();
}

#[cfg(not(unix))]
fn allow_descriptors() {}

/// Memory that one more idle connection takes, in bytes of the heap.
fn bytes_per_idle_connection(line: &[&str]) -> usize {
    const MANY: usize = 200;
    let _alone = alone();
    allow_descriptors();
    let server = Server::start(line);
    let payload = payload(100);
    let frames = frame(&payload);
    // Everything runs on one thread: when this client has its answer, all that was answered before is done with.
    let mut control = Client::connect(server.port);
    let mut settled = || {
        control.echo(&frames, &payload, 1);
        control.echo(&frames, &payload, 1);
        LIVE_BYTES.load(SeqCst)
    };
    let mut open = |clients: &mut Vec<TcpStream>| {
        for _ in 0..MANY {
            let mut client = Client::connect(server.port);
            client.echo(&frames, &payload, 1);
            clients.push(client.tcp);
        }
        settled()
    };
    let mut clients = vec![];
    // The first many also fill pools and tables that stay.
    let before = open(&mut clients);
    let after = open(&mut clients);
    drop((control, clients));
    server.finish();
    after.saturating_sub(before).div_ceil(MANY)
}

#[test]
fn an_idle_connection_keeps_little() {
    let peer = tcp_echo();
    // Near what they are, so that it shows when something comes along: 2126, 2969 and 3121 bytes when this was
    // written, of which 512 per kernel socket and its task are tokio's.
    for (line, bound) in [
        (&["-b", "ws-l:127.0.0.1:0", "mirror:"][..], 2368),
        (&["-b", "ws-l:127.0.0.1:0", &format!("tcp:{peer}")], 3200),
        (&["-t", "ws-l:127.0.0.1:0", &format!("lines:tcp:{peer}")], 3392),
    ] {
        let bytes = bytes_per_idle_connection(line);
        println!("{line:?}: {bytes} bytes per idle connection");
        assert!(bytes <= bound, "{line:?}: {bytes} bytes per idle connection are more than {bound}");
    }
}
