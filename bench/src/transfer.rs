//! One direction at full speed through a server that joins two connections, source and sink both here.
//!
//! One thread drives both: it sends until the socket is full, reads until it is empty, then waits; with two cores the
//! server has one to itself. Bytes are sent by plain writes from the ring (sendfile from memory measured 2.5 × slower)
//! in pieces that the processor's second-level cache holds, together with what is read.

use crate::{
    Result,
    arguments::Arguments,
    check::{Content, Frames},
    cpu::Reading,
    handshake::{self, PATIENCE},
    link::{Link, Listener, Polled},
    ring::Ring,
};
use mio::{Events, Interest, Poll, Token};
use std::{
    io::{ErrorKind, Read, Write},
    time::{Duration, Instant},
};
use wsframe::MaskRule;

const WARM_UP: Duration = Duration::from_millis(500);
/// Bytes after which the content starts over.
const BLOCK: usize = 512 << 10;
const BUFFER: usize = 256 << 10;
/// Bytes of one write.
const PIECE: usize = 256 << 10;
const SOURCE: Token = Token(0);
const SINK: Token = Token(1);

struct Source<'a> {
    socket: Polled,
    /// Sent over and over.
    wire: &'a [u8],
    /// Bytes of one message on the wire and of its payload: the source ends between messages only.
    frame: (u64, u64),
    sent: u64,
    ready: bool,
}

impl Source<'_> {
    /// Sends up to `limit` bytes.
    fn send(&mut self, limit: u64) -> Result<()> {
        let at = (self.sent % self.wire.len() as u64) as usize;
        let count = limit.min((self.wire.len() - at).min(PIECE) as u64) as usize;
        match self.socket.write(&self.wire[at..at + count]) {
            Ok(n) => self.sent += n as u64,
            Err(e) if e.kind() == ErrorKind::WouldBlock => self.ready = false,
            Err(e) => return Err(format!("the server takes nothing more: {e}").into()),
        }
        Ok(())
    }

    /// Bytes that miss until the message under way is whole.
    fn unfinished(&self) -> u64 {
        self.sent.next_multiple_of(self.frame.0) - self.sent
    }

    /// Payload bytes sent, when no message is under way.
    fn payload(&self) -> u64 {
        self.sent / self.frame.0 * self.frame.1
    }
}

enum Format {
    Bytes(Content, u64),
    Messages(Box<Frames>),
}

struct Sink {
    socket: Polled,
    format: Format,
    buffer: Vec<u8>,
    ready: bool,
}

impl Sink {
    fn receive(&mut self, ring: &Ring) -> Result<()> {
        match self.socket.read(&mut self.buffer) {
            Ok(0) => return Err("the server ended the connection".into()),
            Ok(n) => match &mut self.format {
                Format::Bytes(content, bytes) => {
                    content.feed(&ring.payload, &self.buffer[..n])?;
                    *bytes += n as u64;
                }
                Format::Messages(frames) => {
                    frames.feed(&ring.payload, None, &mut self.buffer[..n])?;
                }
            },
            Err(e) if e.kind() == ErrorKind::WouldBlock => self.ready = false,
            Err(e) => return Err(e.into()),
        }
        Ok(())
    }

    fn bytes(&self) -> u64 {
        match &self.format {
            Format::Bytes(_, bytes) => *bytes,
            Format::Messages(frames) => frames.bytes,
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

    let mut poll = Poll::new()?;
    let mut source = Source { socket: source.nonblocking()?, wire, frame, sent: 0, ready: true };
    let format = match ws_sink {
        true => Format::Messages(Box::new(Frames::new(MaskRule::Required, 0))),
        false => Format::Bytes(Content::new(0), 0),
    };
    let mut sink = Sink { socket: sink.nonblocking()?, format, buffer: vec![0; BUFFER], ready: true };
    source.socket.register(poll.registry(), SOURCE, Interest::WRITABLE)?;
    sink.socket.register(poll.registry(), SINK, Interest::READABLE)?;

    let mut events = Events::with_capacity(8);
    let (start, mut last, mut received) = (Instant::now(), Instant::now(), 0);
    let mut first: Option<(Reading, u64)> = None;
    let mut ended = false;
    loop {
        let left = if ended { source.unfinished() } else { u64::MAX };
        if source.ready && left > 0 {
            source.send(left)?;
        }
        if sink.ready {
            sink.receive(&ring)?;
        }
        if !sink.ready && (!source.ready || left == 0) {
            poll.poll(&mut events, Some(Duration::from_millis(50)))?;
            for event in &events {
                match event.token() {
                    SOURCE => source.ready = true,
                    _ => sink.ready = true,
                }
            }
        }
        let now = Instant::now();
        if sink.bytes() > received {
            (received, last) = (sink.bytes(), now);
        } else if now - last > PATIENCE {
            return Err(format!("the server stalls, {received} bytes arrived, {} were sent", source.payload()).into());
        }
        match &first {
            _ if ended && source.unfinished() == 0 && received == source.payload() => return Ok(()),
            _ if ended => {}
            None if now - start > WARM_UP => first = Some((Reading::take(pid)?, received)),
            Some((reading, count)) if now - start > WARM_UP + seconds => {
                let spent = reading.spent_until(&Reading::take(pid)?);
                let done = (received - count) as f64;
                println!("gb_per_second {:.4}", done / spent.wall / 1e9);
                if let Some(server) = spent.server {
                    println!("server_cpu_per_gib {:.4}", server / (done / (1 << 30) as f64));
                }
                // The figures stand; now all that was sent must arrive.
                ended = true;
            }
            _ => {}
        }
    }
}
