//! The program as a child, with everything it says, and clients that talk to it.

use std::{
    fs,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{TcpListener, TcpStream},
    process::{Child, Command, ExitStatus, Stdio},
    sync::{Once, mpsc},
    thread,
    time::{Duration, Instant},
};
use tokio::signal::unix::{SignalKind, signal};

/// Catches a hang; nothing here takes as long.
pub const PATIENCE: Duration = Duration::from_secs(60);

pub struct Program {
    child: Child,
    /// Lines of its standard output, where it listens.
    lines: Option<mpsc::Receiver<String>>,
    stderr: mpsc::Receiver<String>,
}

/// What is left of it.
#[derive(Debug)]
pub struct Over {
    pub status: ExitStatus,
    pub stderr: String,
}

impl Over {
    pub fn code(&self) -> Option<i32> {
        self.status.code()
    }
}

/// Where whoever runs the tests has them ignore signals (nohup, a job in the background), the program and its children would
/// inherit that. A signal with a handler is a usual one again for whatever is started.
fn heed_signals() {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:")).unwrap().trim();
    let ignored = u64::from_str_radix(ignored, 16).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let _guard = runtime.enter();
    for kind in [SignalKind::hangup(), SignalKind::interrupt(), SignalKind::quit(), SignalKind::terminate()] {
        if ignored & 1 << (kind.as_raw_value() - 1) != 0 {
            drop(signal(kind).unwrap());
        }
    }
}

/// The program with these arguments, ready to be spawned.
pub fn websocat(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_websocat"));
    command.args(args).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// Runs the program to its end with this standard input.
pub fn run(args: &[&str], stdin: &[u8]) -> (Over, Vec<u8>) {
    let mut program = Program::spawn(websocat(args).stdin(Stdio::piped()));
    let (mut input, mut output) = (program.child.stdin.take().unwrap(), program.child.stdout.take().unwrap());
    let stdin = stdin.to_vec();
    // A program that does not read all of it is no failure.
    thread::spawn(move || drop(input.write_all(&stdin)));
    let (done, wait) = mpsc::channel();
    thread::spawn(move || {
        let mut said = vec![];
        output.read_to_end(&mut said).unwrap();
        done.send(said)
    });
    let over = program.over();
    (over, wait.recv_timeout(PATIENCE).unwrap())
}

impl Program {
    pub fn spawn(command: &mut Command) -> Self {
        static ONCE: Once = Once::new();
        ONCE.call_once(heed_signals);
        // What it says shall not depend on who runs the tests.
        let mut child = command.env_remove("RUST_LOG").env_remove("NO_COLOR").spawn().expect("it starts");
        let (send, stderr) = mpsc::channel();
        if let Some(mut errors) = child.stderr.take() {
            thread::spawn(move || {
                let mut text = String::new();
                errors.read_to_string(&mut text).unwrap();
                send.send(text)
            });
        }
        Self { child, lines: None, stderr }
    }

    /// Starts one that listens on port 0, and gives the port.
    pub fn listen(args: &[&str]) -> (Self, u16) {
        let args = [args, &["--stdout-announce-listening-ports"]].concat();
        // What follows --exec-args belongs to the child.
        let args = match args.iter().position(|arg| *arg == "--exec-args") {
            Some(at) => [&args[args.len() - 1..], &args[..at], &args[at..args.len() - 1]].concat(),
            None => args,
        };
        let mut program = Self::spawn(&mut websocat(&args));
        let stdout = BufReader::new(program.child.stdout.take().unwrap());
        let (send, lines) = mpsc::channel();
        thread::spawn(move || stdout.lines().map_while(Result::ok).try_for_each(|line| send.send(line)));
        let line = lines.recv_timeout(PATIENCE).expect("it listens");
        let port = line.rsplit_once("port=").and_then(|(_, port)| port.parse().ok()).expect("a port is announced");
        program.lines = Some(lines);
        (program, port)
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    pub fn child(&mut self) -> &mut Child {
        &mut self.child
    }

    pub fn signal(&self, signal: rustix::process::Signal) {
        let pid = rustix::process::Pid::from_raw(i32::try_from(self.id()).unwrap()).unwrap();
        rustix::process::kill_process(pid, signal).unwrap();
    }

    /// Waits for its end.
    pub fn over(mut self) -> Over {
        let status = until("the program ends", || self.child.try_wait().unwrap());
        let stderr = self.stderr.recv_timeout(PATIENCE).unwrap_or_default();
        Over { status, stderr }
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // After its end both fail.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Looks again and again until there is something.
pub fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(start.elapsed() < PATIENCE, "not in time: {what}");
        thread::sleep(Duration::from_millis(5));
    }
}

/// A TCP client of the program.
pub fn connect(port: u16) -> TcpStream {
    let tcp = TcpStream::connect(("127.0.0.1", port)).unwrap();
    tcp.set_read_timeout(Some(PATIENCE)).unwrap();
    tcp
}

/// Closes with a reset.
pub fn reset(tcp: TcpStream) {
    socket2::SockRef::from(&tcp).set_linger(Some(Duration::ZERO)).unwrap();
}

/// One line, without its end.
pub fn line(tcp: &mut TcpStream) -> String {
    let mut line = vec![];
    let mut byte = [0];
    loop {
        assert_eq!(tcp.read(&mut byte).unwrap(), 1, "ended after {}", line.escape_ascii());
        if byte[0] == b'\n' {
            return String::from_utf8(line).unwrap();
        }
        line.push(byte[0]);
    }
}

/// All that is left.
pub fn rest(tcp: &mut TcpStream) -> String {
    let mut text = String::new();
    tcp.read_to_string(&mut text).unwrap();
    text
}

/// A WebSocket client of the program, after the handshake.
pub fn connect_ws(port: u16) -> TcpStream {
    let mut tcp = connect(port);
    let request = "GET / HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
                   Sec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==\r\n\r\n";
    tcp.write_all(request.as_bytes()).unwrap();
    assert!(line(&mut tcp).starts_with("HTTP/1.1 101"));
    while line(&mut tcp) != "\r" {}
    tcp
}

/// First byte and payload of the next frame, which is short.
pub fn frame(tcp: &mut TcpStream) -> (u8, Vec<u8>) {
    let mut head = [0; 2];
    tcp.read_exact(&mut head).unwrap();
    assert!(head[1] < 126);
    let mut payload = vec![0; head[1].into()];
    tcp.read_exact(&mut payload).unwrap();
    (head[0], payload)
}

/// Writes a short frame.
pub fn write_frame(tcp: &mut TcpStream, first: u8, payload: &[u8]) {
    let mut bytes = vec![first, 0x80 | u8::try_from(payload.len()).unwrap(), 0, 0, 0, 0];
    bytes.extend(payload);
    tcp.write_all(&bytes).unwrap();
}

/// Close with 1000.
pub const CLOSE: (u8, &[u8]) = (0x88, b"\x03\xe8");

/// A listener for the program to connect to, with its specifier.
pub fn server() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let specifier = format!("tcp:{}", listener.local_addr().unwrap());
    (listener, specifier)
}

/// The process exists and is no zombie.
pub fn runs(pid: u32) -> bool {
    let Ok(stat) = fs::read_to_string(format!("/proc/{pid}/stat")) else { return false };
    !stat.rsplit_once(')').unwrap().1.trim_start().starts_with(['Z', 'X'])
}

/// Waits until a process has ended.
pub fn gone(pid: u32) {
    until("a process has ended", || (!runs(pid)).then_some(()));
}
