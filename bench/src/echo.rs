//! Closed loop of echoes: each connection keeps a fixed number of messages in flight, every echo releases the next one.

use crate::{
    Result,
    arguments::Arguments,
    check::Echoes,
    cpu::Reading,
    handshake::{self, PATIENCE},
    ring::Ring,
};
use mio::{Events, Interest, Poll, Token, net::TcpStream};
use std::{
    io::{ErrorKind, Read, Write},
    rc::Rc,
    time::{Duration, Instant},
};

/// One read takes at most this; larger than what comes at once, so that a short read means an empty socket.
const BUFFER: usize = 512 << 10;
const WARM_UP: Duration = Duration::from_millis(500);

/// What one connection says and expects to hear again.
pub trait Traffic {
    /// All messages as they are sent, again and again.
    fn wire(&self) -> &[u8];
    /// Checks what came back; returns how many messages ended with it.
    fn feed(&mut self, bytes: &mut [u8]) -> Result<usize>;
    /// Bytes of the next messages to send, of which so many may now be on their way.
    fn release(&mut self, messages: usize) -> usize;
}

struct Plain {
    ring: Rc<Ring>,
    echoes: Echoes,
}

impl Traffic for Plain {
    fn wire(&self) -> &[u8] {
        &self.ring.masked
    }

    fn feed(&mut self, bytes: &mut [u8]) -> Result<usize> {
        self.echoes.feed(&self.ring, bytes)
    }

    fn release(&mut self, messages: usize) -> usize {
        messages * self.ring.masked_len()
    }
}

struct Client<T> {
    socket: TcpStream,
    traffic: T,
    /// Position in [`Traffic::wire`] of the next byte to send.
    at: usize,
    /// Bytes to send before the next echo is needed.
    owed: usize,
}

impl<T: Traffic> Client<T> {
    /// Reads all there is and sends what it allows; returns the messages that came back.
    fn drive(&mut self, buffer: &mut [u8]) -> Result<usize> {
        let mut ended = 0;
        loop {
            match self.socket.read(buffer) {
                Ok(0) => return Err("the server ended the connection".into()),
                Ok(n) => {
                    ended += self.traffic.feed(&mut buffer[..n])?;
                    if n < buffer.len() {
                        break;
                    }
                }
                Err(e) if e.kind() == ErrorKind::WouldBlock => break,
                Err(e) => return Err(e.into()),
            }
        }
        self.owed += self.traffic.release(ended);
        while self.owed > 0 {
            let wire = self.traffic.wire();
            let end = wire.len().min(self.at + self.owed);
            match self.socket.write(&wire[self.at..end]) {
                Ok(n) => {
                    self.at = (self.at + n) % wire.len();
                    self.owed -= n;
                }
                Err(e) if e.kind() == ErrorKind::WouldBlock => break,
                Err(e) => return Err(e.into()),
            }
        }
        Ok(ended)
    }
}

pub fn run(arguments: &Arguments) -> Result<()> {
    let size = arguments.required("size")?;
    let ring = Rc::new(Ring::new(size));
    drive(arguments, size, None, |number| {
        // Connections start at different messages: an echo on the wrong one is noticed.
        let first = number * 37 % ring.messages();
        (Plain { ring: ring.clone(), echoes: Echoes::new(&ring, first) }, first * ring.masked_len())
    })
}

/// Keeps connections busy and prints their rate; `make` gives each one, by its number, its traffic and where in that it
/// starts to send.
pub fn drive<T: Traffic>(
    arguments: &Arguments,
    size: usize,
    extensions: Option<&str>,
    make: impl Fn(usize) -> (T, usize),
) -> Result<()> {
    let (port, pid) = (arguments.required("port")?, arguments.optional("pid")?);
    let (connections, inflight): (usize, usize) = (arguments.required("connections")?, arguments.required("inflight")?);
    let seconds = arguments.seconds()?;
    let mut poll = Poll::new()?;
    let mut clients = Vec::new();
    for number in 0..connections {
        let mut socket = handshake::dial(port)?;
        handshake::client(&mut socket, extensions)?;
        socket.set_nonblocking(true)?;
        let mut socket = TcpStream::from_std(socket);
        poll.registry().register(&mut socket, Token(number), Interest::READABLE | Interest::WRITABLE)?;
        let (mut traffic, at) = make(number);
        let owed = traffic.release(inflight);
        clients.push(Client { socket, traffic, at, owed });
    }

    let mut buffer = vec![0; BUFFER];
    let mut events = Events::with_capacity(connections.max(64));
    let (start, mut last, mut messages) = (Instant::now(), Instant::now(), 0_u64);
    let mut first: Option<(Reading, u64)> = None;
    loop {
        poll.poll(&mut events, Some(Duration::from_millis(50)))?;
        let before = messages;
        for event in &events {
            if let Some(client) = clients.get_mut(event.token().0) {
                messages += client.drive(&mut buffer)? as u64;
            }
        }
        let now = Instant::now();
        if messages > before {
            last = now;
        } else if now - last > PATIENCE {
            return Err("the server stalls".into());
        }
        match &first {
            None if now - start > WARM_UP => first = Some((Reading::take(pid)?, messages)),
            Some((reading, count)) if now - start > WARM_UP + seconds => {
                let spent = reading.spent_until(&Reading::take(pid)?);
                let done = (messages - count) as f64;
                println!("rate {:.1}", done / spent.wall);
                if let Some(server) = spent.server {
                    println!("server_us_per_message {:.4}", server * 1e6 / done);
                    // Each way once.
                    println!("server_cpu_per_gib {:.4}", server / (done * size as f64 / (1 << 30) as f64));
                }
                return Ok(());
            }
            _ => {}
        }
    }
}
