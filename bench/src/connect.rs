//! Connect, upgrade, close: whole lives of WebSockets that say nothing, some at a time.

use crate::{
    Result,
    arguments::Arguments,
    cpu::{self, Reading},
    handshake::{self, PATIENCE, head_len, is_accepted},
};
use mio::{Events, Interest, Poll, Token, net::TcpStream};
use socket2::{Domain, Protocol, SockAddr, Socket, Type};
use std::{
    io::{ErrorKind, Read, Write},
    net::{Ipv4Addr, SocketAddrV4},
    time::{Duration, Instant},
};
use wsframe::{Decoder, Header, MaskRule, Next, Opcode, mask};

const WARM_UP: Duration = Duration::from_millis(500);
/// Client addresses, used in turns: ports that wait out the end of their connection do not run out.
const ADDRESSES: u32 = 200;

#[derive(PartialEq)]
enum Phase {
    Connecting,
    Upgrading,
    Closing,
}

struct Life {
    socket: TcpStream,
    phase: Phase,
    input: Vec<u8>,
}

impl Life {
    fn start(poll: &Poll, token: Token, port: u16, number: u64) -> Result<Self> {
        let socket = Socket::new(Domain::IPV4, Type::STREAM.nonblocking(), Some(Protocol::TCP))?;
        socket.set_tcp_nodelay(true)?;
        cpu::bind_without_port(&socket)?;
        let address = Ipv4Addr::from_bits(Ipv4Addr::LOCALHOST.to_bits() + number as u32 % ADDRESSES);
        socket.bind(&SockAddr::from(SocketAddrV4::new(address, 0)))?;
        match socket.connect(&SockAddr::from(SocketAddrV4::new(Ipv4Addr::LOCALHOST, port))) {
            Ok(()) => {}
            Err(e) if e.raw_os_error() == Some(libc::EINPROGRESS) => {}
            Err(e) => return Err(format!("cannot connect: {e}").into()),
        }
        let mut socket = TcpStream::from_std(socket.into());
        poll.registry().register(&mut socket, token, Interest::READABLE | Interest::WRITABLE)?;
        let mut life = Self { socket, phase: Phase::Connecting, input: Vec::new() };
        // On loopback the connection stands by now, which spares a wake-up.
        life.request()?;
        Ok(life)
    }

    /// Sends the request if the connection stands.
    fn request(&mut self) -> Result<()> {
        match self.socket.write(handshake::REQUEST) {
            Ok(n) if n == handshake::REQUEST.len() => self.phase = Phase::Upgrading,
            Ok(_) => return Err("a new connection did not take the whole request".into()),
            Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::NotConnected) => {}
            Err(e) => return Err(format!("cannot connect: {e}").into()),
        }
        Ok(())
    }

    /// Goes as far as it can; returns true when the server's Close has come.
    fn drive(&mut self) -> Result<bool> {
        if self.phase == Phase::Connecting {
            self.request()?;
            if self.phase == Phase::Connecting {
                return Ok(false);
            }
        }
        let mut buffer = [0; 4096];
        let mut short = false;
        // A short read means an empty socket: what comes later wakes us.
        while !short {
            match self.socket.read(&mut buffer) {
                Ok(0) => return Err("the server ended the connection without Close".into()),
                Ok(n) => {
                    self.input.extend_from_slice(&buffer[..n]);
                    short = n < buffer.len();
                }
                Err(e) if e.kind() == ErrorKind::WouldBlock => break,
                Err(e) => return Err(e.into()),
            }
            if self.phase == Phase::Upgrading
                && let Some(end) = head_len(&self.input)
            {
                if !is_accepted(std::str::from_utf8(&self.input[..end])?) {
                    return Err("the server did not upgrade".into());
                }
                self.input.drain(..end);
                self.phase = Phase::Closing;
                let key = [1, 2, 3, 4];
                let mut close = [Header::new(Opcode::Close, true, 2, Some(key)).as_bytes(), &[3, 232]].concat();
                let body = close.len() - 2;
                mask(&mut close[body..], key, 0);
                self.socket.write_all(&close)?;
            }
            if self.phase == Phase::Closing {
                match Decoder::new(MaskRule::Forbidden).next(&mut self.input, 0)? {
                    Next::Chunk { opcode: Opcode::Close, .. } => return Ok(true),
                    Next::Chunk { opcode, .. } => return Err(format!("{opcode:?} instead of Close").into()),
                    Next::Need(_) => {}
                }
            }
        }
        Ok(false)
    }
}

pub fn run(arguments: &Arguments) -> Result<()> {
    let (port, pid, seconds) = (arguments.required("port")?, arguments.optional("pid")?, arguments.seconds()?);
    let parallel: usize = arguments.or("parallel", 32)?;
    drop(handshake::dial(port)?);
    let mut poll = Poll::new()?;
    let (mut started, mut finished) = (0, 0_u64);
    let mut lives = Vec::new();
    for slot in 0..parallel {
        lives.push(Life::start(&poll, Token(slot), port, started)?);
        started += 1;
    }
    let mut events = Events::with_capacity(parallel.max(64));
    let (start, mut last) = (Instant::now(), Instant::now());
    let mut first: Option<(Reading, u64)> = None;
    loop {
        poll.poll(&mut events, Some(Duration::from_millis(50)))?;
        let before = finished;
        for event in &events {
            let Some(life) = lives.get_mut(event.token().0) else { continue };
            if life.drive()? {
                *life = Life::start(&poll, event.token(), port, started)?;
                started += 1;
                finished += 1;
            }
        }
        let now = Instant::now();
        if finished > before {
            last = now;
        } else if now - last > PATIENCE {
            return Err("the server stalls".into());
        }
        match &first {
            None if now - start > WARM_UP => first = Some((Reading::take(pid)?, finished)),
            Some((reading, count)) if now - start > WARM_UP + seconds => {
                let spent = reading.spent_until(&Reading::take(pid)?);
                let done = (finished - count) as f64;
                println!("rate {:.1}", done / spent.wall);
                if let Some(server) = spent.server {
                    println!("server_us_per_connection {:.2}", server * 1e6 / done);
                }
                return Ok(());
            }
            _ => {}
        }
    }
}
