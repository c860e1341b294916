//! Many connections through a forwarder: memory of idle ones, and what many short ones leave.
//!
//! The back end is a process of its own, since a descriptor limit of 20,000 allows 9,500 pairs to the forwarder only if
//! nobody else has to hold both their ends.

use crate::{Result, arguments::Arguments, cpu, handshake, ring::Ring};
use mio::{
    Events, Interest, Poll, Token,
    net::{TcpListener, TcpStream},
};
use std::{
    collections::HashMap,
    env, fs,
    io::{ErrorKind, Read, Write},
    net,
    process::{Child, Command, Stdio},
    thread,
    time::Duration,
};

/// Pairs that are opened together.
const TOGETHER: usize = 50;
/// Connections before the first count: what the first ones need, a program may keep.
const FIRST: usize = 1000;
const LISTENER: Token = Token(usize::MAX);

/// The back end's process; it ends with this value.
struct Backend(Child);

impl Backend {
    fn start(port: u16) -> Result<Self> {
        let mut command = Command::new(env::current_exe()?);
        command.args(["pairs-backend", "--listen", &port.to_string()]).stdin(Stdio::null());
        let backend = Self(command.spawn()?);
        drop(handshake::dial(port)?);
        Ok(backend)
    }
}

impl Drop for Backend {
    fn drop(&mut self) {
        // It may have failed already; then its output says why.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Opens connections with these numbers and has each carry one message there and back.
fn open(port: u16, ring: &Ring, count: usize) -> Result<Vec<net::TcpStream>> {
    let size = ring.payload.len() / ring.messages();
    let mut sockets = Vec::new();
    for number in 0..count {
        let mut socket = handshake::dial(port)?;
        let at = number % ring.messages() * size;
        socket.write_all(&ring.payload[at..at + size])?;
        sockets.push(socket);
    }
    let mut buffer = vec![0; size];
    for (number, socket) in sockets.iter_mut().enumerate() {
        socket.read_exact(&mut buffer)?;
        let at = number % ring.messages() * size;
        if buffer != ring.payload[at..at + size] {
            return Err("something else came back".into());
        }
    }
    Ok(sockets)
}

/// Memory of idle pairs.
pub fn run(arguments: &Arguments) -> Result<()> {
    cpu::raise_file_limit();
    let (port, pid) = (arguments.required("port")?, arguments.required("pid")?);
    let _backend = Backend::start(arguments.required("listen")?)?;
    let (baseline, pairs): (usize, usize) = (arguments.or("baseline", 100)?, arguments.or("pairs", 9500)?);
    let silence = Duration::from_secs_f64(arguments.or("silence", 3.0)?);
    let ring = Ring::new(arguments.or("size", 64 << 10)?);
    let mut sockets = Vec::new();
    let mut settle = |until: usize| -> Result<u64> {
        while sockets.len() < until {
            sockets.extend(open(port, &ring, TOGETHER.min(until - sockets.len()))?);
        }
        thread::sleep(silence);
        cpu::private_memory(pid)
    };
    let few = settle(baseline)?;
    let many = settle(pairs)?;
    println!("private_at_baseline {few}");
    println!("private_at_all {many}");
    println!("bytes_per_pair {:.1}", (many as f64 - few as f64) / (pairs - baseline) as f64);
    Ok(())
}

/// What connections leave that come and go one after another.
pub fn sequence(arguments: &Arguments) -> Result<()> {
    let (port, pid): (u16, i32) = (arguments.required("port")?, arguments.required("pid")?);
    let _backend = Backend::start(arguments.required("listen")?)?;
    let count = arguments.or("count", 100_000)?;
    let some = |count| -> Result<(usize, u64)> {
        let mut reply = [0; 64];
        for n in 0..count {
            let mut socket = handshake::dial(port)?;
            socket.write_all(&[n as u8; 64])?;
            socket.read_exact(&mut reply)?;
            if reply != [n as u8; 64] {
                return Err("something else came back".into());
            }
        }
        thread::sleep(Duration::from_secs(1));
        Ok((fs::read_dir(format!("/proc/{pid}/fd"))?.count(), cpu::private_memory(pid)?))
    };
    let (descriptors, memory) = some(FIRST)?;
    let start = cpu::Reading::take(Some(pid))?;
    let (descriptors_after, memory_after) = some(count)?;
    let spent = start.spent_until(&cpu::Reading::take(Some(pid))?);
    println!("memory_left {}", memory_after as i64 - memory as i64);
    println!("descriptors_left {}", descriptors_after as i64 - descriptors as i64);
    println!("server_us_per_connection {:.2}", spent.server.unwrap_or_default() * 1e6 / count as f64);
    Ok(())
}

struct Connection {
    socket: TcpStream,
    /// Bytes that the socket did not take.
    left: Vec<u8>,
}

/// Sends everything back, and ends when the other end does.
pub fn backend(arguments: &Arguments) -> Result<()> {
    cpu::raise_file_limit();
    let mut poll = Poll::new()?;
    let port: u16 = arguments.required("listen")?;
    let mut listener = TcpListener::bind(([127, 0, 0, 1], port).into())?;
    poll.registry().register(&mut listener, LISTENER, Interest::READABLE)?;
    let (mut connections, mut next) = (HashMap::<Token, Connection>::new(), 0);
    let (mut events, mut buffer) = (Events::with_capacity(1024), vec![0; 256 << 10]);
    loop {
        poll.poll(&mut events, None)?;
        for event in &events {
            if event.token() == LISTENER {
                while let Some((mut socket, _)) = unless_blocked(listener.accept())? {
                    socket.set_nodelay(true)?;
                    next += 1;
                    poll.registry().register(&mut socket, Token(next), Interest::READABLE | Interest::WRITABLE)?;
                    connections.insert(Token(next), Connection { socket, left: Vec::new() });
                }
            } else if let Some(connection) = connections.get_mut(&event.token())
                && !connection.serve(&mut buffer)
            {
                connections.remove(&event.token());
            }
        }
    }
}

fn unless_blocked<T>(result: std::io::Result<T>) -> Result<Option<T>> {
    match result {
        Err(e) if e.kind() == ErrorKind::WouldBlock => Ok(None),
        result => Ok(Some(result?)),
    }
}

impl Connection {
    /// Moves what can be moved; false at the end.
    fn serve(&mut self, buffer: &mut [u8]) -> bool {
        loop {
            while !self.left.is_empty() {
                match self.socket.write(&self.left) {
                    Ok(n) => drop(self.left.drain(..n)),
                    Err(e) => return e.kind() == ErrorKind::WouldBlock,
                }
            }
            match self.socket.read(buffer) {
                Ok(0) => return false,
                Ok(n) => self.left.extend_from_slice(&buffer[..n]),
                Err(e) => return e.kind() == ErrorKind::WouldBlock,
            }
        }
    }
}
