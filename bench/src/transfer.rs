//! One direction at full speed through a server that joins two connections, source and sink both here.
//!
//! Source and sink are a thread each and block, as the two programs do that a server joins in earnest. One thread for
//! both would be what limits every fast server: such a thread is busy with its own ends, so that what the server leaves of
//! the processor cannot be used, and a server that does less would show no higher rate.

use crate::{
    Result,
    arguments::Arguments,
    check::{Content, Frames},
    cpu::Reading,
    handshake::{self, PATIENCE},
    link::{Link, Listener},
    ring::Ring,
};
use std::{
    io::{ErrorKind, Read, Write},
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    thread,
    time::{Duration, Instant},
};
use wsframe::MaskRule;

const WARM_UP: Duration = Duration::from_millis(500);
/// Bytes after which the content starts over.
const BLOCK: usize = 512 << 10;
/// Most bytes of one read.
const BUFFER: usize = 256 << 10;
/// Most bytes of one write.
const PIECE: usize = 128 << 10;
/// How often the sink looks whether the source has ended, once it has to.
const LOOK: Duration = Duration::from_millis(20);
/// What the source has sent is not known yet.
const UNKNOWN: u64 = u64::MAX;

struct Source<'a> {
    socket: Link,
    /// Sent over and over.
    wire: &'a [u8],
    /// Bytes of one message on the wire and of its payload: the source ends between messages only.
    frame: (u64, u64),
}

impl Source<'_> {
    /// Sends until told to end, then the rest of the message under way. Gives the bytes of payload sent.
    fn run(&mut self, end: &AtomicBool) -> Result<u64> {
        self.socket.set_timeouts(PATIENCE)?;
        let mut sent = 0_u64;
        loop {
            let unfinished = sent.next_multiple_of(self.frame.0) - sent;
            let left = if end.load(Ordering::Relaxed) { unfinished } else { u64::MAX };
            if left == 0 {
                return Ok(sent / self.frame.0 * self.frame.1);
            }
            let at = (sent % self.wire.len() as u64) as usize;
            let count = left.min((self.wire.len() - at).min(PIECE) as u64) as usize;
            match self.socket.write(&self.wire[at..at + count]) {
                Ok(n) => sent += n as u64,
                Err(e) => return Err(format!("the server takes nothing more: {e}").into()),
            }
        }
    }
}

enum Format {
    Bytes(Content, u64),
    Messages(Box<Frames>),
}

struct Sink<'a> {
    socket: Link,
    ring: &'a Ring,
    format: Format,
    buffer: Vec<u8>,
}

impl Sink<'_> {
    /// Whether anything came before the socket's time-out.
    fn receive(&mut self) -> Result<bool> {
        match self.socket.read(&mut self.buffer) {
            Ok(0) => return Err("the server ended the connection".into()),
            Ok(n) => match &mut self.format {
                Format::Bytes(content, bytes) => {
                    content.feed(&self.ring.payload, &self.buffer[..n])?;
                    *bytes += n as u64;
                }
                Format::Messages(frames) => {
                    frames.feed(&self.ring.payload, None, &mut self.buffer[..n])?;
                }
            },
            Err(e) if e.kind() == ErrorKind::WouldBlock => return Ok(false),
            Err(e) => return Err(e.into()),
        }
        Ok(true)
    }

    fn bytes(&self) -> u64 {
        match &self.format {
            Format::Bytes(_, bytes) => *bytes,
            Format::Messages(frames) => frames.bytes,
        }
    }

    /// Receives for the time of the measurement and prints its figures.
    fn measure(&mut self, pid: Option<i32>, seconds: Duration) -> Result<()> {
        self.socket.set_timeouts(PATIENCE)?;
        let start = Instant::now();
        let mut first: Option<(Reading, u64)> = None;
        loop {
            if !self.receive()? {
                return Err(format!("the server stalls, {} bytes arrived", self.bytes()).into());
            }
            let elapsed = start.elapsed();
            match &first {
                None if elapsed > WARM_UP => first = Some((Reading::take(pid)?, self.bytes())),
                Some((reading, count)) if elapsed > WARM_UP + seconds => {
                    let spent = reading.spent_until(&Reading::take(pid)?);
                    let done = (self.bytes() - count) as f64;
                    println!("gb_per_second {:.4}", done / spent.wall / 1e9);
                    if let Some(server) = spent.server {
                        println!("server_cpu_per_gib {:.4}", server / (done / (1 << 30) as f64));
                    }
                    return Ok(());
                }
                _ => {}
            }
        }
    }

    /// Receives what is under way, until all has come that was sent.
    fn finish(&mut self, sent: &AtomicU64) -> Result<()> {
        self.socket.set_timeouts(LOOK)?;
        let mut last = Instant::now();
        loop {
            let sent = sent.load(Ordering::Acquire);
            match self.bytes() {
                bytes if bytes == sent => return Ok(()),
                bytes if bytes > sent => return Err(format!("{bytes} bytes arrived, only {sent} were sent").into()),
                _ => {}
            }
            if self.receive()? {
                last = Instant::now();
            } else if last.elapsed() > PATIENCE {
                let of = if sent == UNKNOWN { "more".to_owned() } else { sent.to_string() };
                return Err(format!("the server stalls, {} of {of} bytes arrived", self.bytes()).into());
            }
        }
    }
}

pub fn run(arguments: &Arguments) -> Result<()> {
    let kind: String = arguments.required("kind")?;
    let direct = arguments.or("direct", false)?;
    let (pid, seconds) = (arguments.optional("pid")?, arguments.seconds()?);
    let (ws_source, ws_sink) = match kind.as_str() {
        "tcp-tcp" | "unix-unix" => (false, false),
        "ws-tcp" => (true, false),
        "tcp-ws" => (false, true),
        _ => return Err(crate::USAGE.into()),
    };
    let size: usize = arguments.or("size", 64 << 10)?;
    let mut ring = Ring::of_messages(size, (BLOCK / size).max(1));
    // Without a server between, the source speaks the sink's language.
    let masks = if direct { ws_sink } else { ws_source };
    let mut frame = if masks { (ring.masked_len() as u64, size as u64) } else { (1, 1) };
    if let Some(framing) = arguments.optional::<String>("framing")? {
        // A server that reads and writes the same framing sends what it was sent.
        ring.payload = ring.framed(&framing).filter(|_| !ws_source && !ws_sink).ok_or(crate::USAGE)?;
        let whole = (ring.payload.len() / (BLOCK / size).max(1)) as u64;
        frame = (whole, whole);
    }
    let ring = ring;

    let listener = Listener::bind(arguments, "listen", "listen-path")?;
    let [port, path] = if direct { ["listen", "listen-path"] } else { ["port", "path"] };
    let mut source = Link::dial(arguments, port, path)?;
    if ws_source && !direct {
        handshake::client(source.tcp()?, None)?;
    }
    let mut sink = listener.accept()?;
    if ws_sink && !direct {
        sink.tcp()?.set_read_timeout(Some(PATIENCE))?;
        handshake::server(sink.tcp()?)?;
    }
    let wire = if masks { &ring.masked } else { &ring.payload };

    let format = match ws_sink {
        true => Format::Messages(Box::new(Frames::new(MaskRule::Required, 0))),
        false => Format::Bytes(Content::new(0), 0),
    };
    let mut source = Source { socket: source, wire, frame };
    let mut sink = Sink { socket: sink, ring: &ring, format, buffer: vec![0; BUFFER] };
    let (end, sent) = (AtomicBool::new(false), AtomicU64::new(UNKNOWN));
    thread::scope(|scope| {
        let sending = scope.spawn(|| {
            let payload = source.run(&end).map_err(|e| e.to_string())?;
            sent.store(payload, Ordering::Release);
            Ok(())
        });
        let measured = sink.measure(pid, seconds);
        end.store(true, Ordering::Relaxed);
        // The figures stand; now all that was sent must arrive.
        let received = measured.and_then(|()| sink.finish(&sent));
        drop(sink); // so that a source that is stuck gets its end
        let sending: std::result::Result<(), String> = sending.join().map_err(|_| "the source panicked")?;
        match (sending, received) {
            (Ok(()), received) => received,
            (Err(e), Ok(())) => Err(e.into()),
            (Err(source), Err(sink)) => Err(format!("{source}; {sink}").into()),
        }
    })
}
