//! An echo server that does as little as one can, to find the generator's ceiling: one thread, no checks, no fragments.
//!
//! Each reply lies where its request lay: unmasked in place, a shorter header written right before the payload.
//! Replies to what one read brought leave in one write.

use crate::{Result, arguments::Arguments, handshake};
use mio::{
    Events, Interest, Poll, Token,
    net::{TcpListener, TcpStream},
};
use std::{
    collections::HashMap,
    io::{self, ErrorKind, Read, Write},
};
use wsframe::{Header, Opcode, mask};

const LISTENER: Token = Token(usize::MAX);
const BUFFER: usize = 512 << 10;

struct Connection {
    socket: TcpStream,
    upgraded: bool,
    /// Bytes of a request that is not whole yet.
    input: Vec<u8>,
    /// Bytes that the socket did not take.
    output: Vec<u8>,
}

/// Length of the header and of the payload of the frame at the start of `bytes`, if both are whole.
fn whole(bytes: &[u8]) -> Option<(usize, usize)> {
    let (header, len) = match bytes.get(1)? & 127 {
        126 => (8, usize::from(u16::from_be_bytes(bytes.get(2..4)?.try_into().ok()?))),
        127 => (14, u64::from_be_bytes(bytes.get(2..10)?.try_into().ok()?) as usize),
        len => (6, usize::from(len)),
    };
    (bytes.len() >= header + len).then_some((header, len))
}

/// Turns whole frames into replies, packed together; returns where replies begin, where they end, where the rest
/// begins and whether a Close was among them.
fn answer(bytes: &mut [u8]) -> (usize, usize, usize, bool) {
    let (mut start, mut end, mut at, mut closed) = (0, 0, 0, false);
    while let Some((header, len)) = whole(&bytes[at..]) {
        let payload = at + header;
        let key = [bytes[payload - 4], bytes[payload - 3], bytes[payload - 2], bytes[payload - 1]];
        mask(&mut bytes[payload..payload + len], key, 0);
        let opcode = if bytes[at] & 15 == Opcode::Close as u8 { Opcode::Close } else { Opcode::Binary };
        closed |= opcode == Opcode::Close;
        let reply = Header::new(opcode, true, len, None);
        let reply = reply.as_bytes();
        if at == 0 {
            // The first stays in place: large messages come alone and are never moved.
            start = payload - reply.len();
            bytes[start..payload].copy_from_slice(reply);
        } else {
            bytes[end..end + reply.len()].copy_from_slice(reply);
            bytes.copy_within(payload..payload + len, end + reply.len());
        }
        at = payload + len;
        end = if start == payload - reply.len() && end == 0 { at } else { end + reply.len() + len };
    }
    (start, end, at, closed)
}

impl Connection {
    fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        let mut sent = 0;
        while sent < bytes.len() {
            match self.socket.write(&bytes[sent..]) {
                Ok(n) => sent += n,
                Err(e) if e.kind() == ErrorKind::WouldBlock => break,
                Err(e) => return Err(e),
            }
        }
        self.output.extend_from_slice(&bytes[sent..]);
        Ok(())
    }

    /// Answers all there is; returns false when the connection is over.
    fn drive(&mut self, buffer: &mut [u8]) -> Result<bool> {
        loop {
            if !self.output.is_empty() {
                let output = std::mem::take(&mut self.output);
                self.send(&output)?;
                if !self.output.is_empty() {
                    return Ok(true);
                }
            }
            let before = self.input.len();
            buffer[..before].copy_from_slice(&self.input);
            let n = match self.socket.read(&mut buffer[before..]) {
                Ok(0) => return Ok(false),
                Ok(n) => n,
                Err(e) if e.kind() == ErrorKind::WouldBlock => return Ok(true),
                Err(e) => return Err(e.into()),
            };
            self.input.clear();
            let bytes = &mut buffer[..before + n];
            if self.upgraded {
                let (start, end, rest, closed) = answer(bytes);
                self.input.extend_from_slice(&bytes[rest..]);
                self.send(&bytes[start..end])?;
                if closed {
                    return Ok(false);
                }
            } else if handshake::head_len(bytes).is_some() {
                let reply = handshake::reply(std::str::from_utf8(bytes)?)?;
                self.upgraded = true;
                self.send(reply.as_bytes())?;
            } else {
                self.input.extend_from_slice(bytes);
            }
            if before + n < buffer.len() && self.output.is_empty() {
                return Ok(true);
            }
        }
    }
}

/// Takes in every client that waits.
fn accept_all(
    listener: &TcpListener,
    poll: &Poll,
    connections: &mut HashMap<usize, Connection>,
    next: &mut usize,
) -> Result<()> {
    loop {
        match listener.accept() {
            Ok((mut socket, _)) => {
                socket.set_nodelay(true)?;
                poll.registry().register(&mut socket, Token(*next), Interest::READABLE | Interest::WRITABLE)?;
                let connection = Connection { socket, upgraded: false, input: Vec::new(), output: Vec::new() };
                connections.insert(*next, connection);
                *next += 1;
            }
            Err(e) if e.kind() == ErrorKind::WouldBlock => return Ok(()),
            Err(e) => return Err(e.into()),
        }
    }
}

pub fn run(arguments: &Arguments) -> Result<()> {
    let port: u16 = arguments.required("port")?;
    let mut poll = Poll::new()?;
    let mut listener = TcpListener::bind(([127, 0, 0, 1], port).into())?;
    poll.registry().register(&mut listener, LISTENER, Interest::READABLE)?;
    let (mut connections, mut next) = (HashMap::new(), 0);
    let (mut events, mut buffer) = (Events::with_capacity(1024), vec![0; BUFFER]);
    loop {
        poll.poll(&mut events, None)?;
        for event in &events {
            let token = event.token();
            if token == LISTENER {
                accept_all(&listener, &poll, &mut connections, &mut next)?;
            }
            if let Some(connection) = connections.get_mut(&token.0)
                && !connection.drive(&mut buffer).unwrap_or(false)
            {
                connections.remove(&token.0);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ring::Ring;

    #[test]
    fn replies_are_the_plain_frames() {
        for size in [0, 1, 32, 125, 126, 1000, 70_000] {
            let ring = Ring::of_messages(size.max(1), 8);
            let mut bytes = ring.masked.clone();
            bytes.extend_from_slice(&ring.masked[..ring.masked_len() - 1]);
            let (start, end, rest, closed) = answer(&mut bytes);
            assert_eq!((rest, closed), (ring.masked.len(), false));
            assert!(bytes[start..end] == ring.plain, "size {size}");
            assert_eq!(bytes[rest..], ring.masked[..ring.masked_len() - 1]);
        }
    }
}
