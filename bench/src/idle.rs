//! Memory of idle WebSockets: clients that have each echoed one message, then silence.

use crate::{Result, arguments::Arguments, check::Echoes, cpu, handshake, ring::Ring};
use std::{
    io::{Read, Write},
    net::TcpStream,
    ops::Range,
    thread,
    time::Duration,
};

/// Clients that are opened together: a server without TCP_NODELAY takes a delayed acknowledgement, 40 ms, for each
/// message.
const TOGETHER: usize = 50;

/// Opens clients with these numbers and has each echo one message.
fn open(port: u16, ring: &Ring, numbers: Range<usize>) -> Result<Vec<TcpStream>> {
    let mut sockets = Vec::new();
    for number in numbers.clone() {
        let mut socket = handshake::dial(port)?;
        handshake::client(&mut socket, None)?;
        let message = number % ring.messages() * ring.masked_len();
        socket.write_all(&ring.masked[message..message + ring.masked_len()])?;
        sockets.push(socket);
    }
    let mut buffer = vec![0; 128 << 10];
    for (number, socket) in numbers.zip(&mut sockets) {
        let mut echoes = Echoes::new(ring, number);
        loop {
            match socket.read(&mut buffer)? {
                0 => return Err("the server ended the connection".into()),
                n if echoes.feed(ring, &mut buffer[..n])? == 1 => break,
                _ => {}
            }
        }
    }
    Ok(sockets)
}

pub fn run(arguments: &Arguments) -> Result<()> {
    cpu::raise_file_limit();
    let (port, pid) = (arguments.required("port")?, arguments.required("pid")?);
    let (baseline, clients): (usize, usize) = (arguments.or("baseline", 100)?, arguments.or("clients", 2000)?);
    let silence = Duration::from_secs_f64(arguments.or("silence", 10.0)?);
    let ring = Ring::new(arguments.or("size", 64 << 10)?);
    let mut sockets = Vec::new();
    let mut settle = |until: usize| -> Result<u64> {
        while sockets.len() < until {
            let end = until.min(sockets.len() + TOGETHER);
            sockets.extend(open(port, &ring, sockets.len()..end)?);
        }
        thread::sleep(silence);
        cpu::private_memory(pid)
    };
    let few = settle(baseline)?;
    let many = settle(clients)?;
    println!("private_at_baseline {few}");
    println!("private_at_all {many}");
    println!("bytes_per_client {:.1}", (many as f64 - few as f64) / (clients - baseline) as f64);
    Ok(())
}
