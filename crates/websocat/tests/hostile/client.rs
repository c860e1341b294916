//! A raw WebSocket client that may say anything.

use super::server::{PATIENCE, Server};
use std::{
    io::{self, Read as _, Write as _},
    net::TcpStream,
};

const REQUEST: &[u8] = b"GET /chat HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
    Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";

pub const CONTINUATION: u8 = 0;
pub const BINARY: u8 = 2;
pub const CLOSE: u8 = 8;
pub const PING: u8 = 9;
pub const PONG: u8 = 10;
pub const FIN: u8 = 0x80;

const KEY: [u8; 4] = [0x12, 0x34, 0x56, 0x78];

/// A connection that has said nothing yet.
pub fn tcp(server: &Server) -> TcpStream {
    let tcp = TcpStream::connect(("127.0.0.1", server.port)).unwrap();
    tcp.set_read_timeout(Some(PATIENCE)).unwrap();
    tcp.set_write_timeout(Some(PATIENCE)).unwrap();
    tcp.set_nodelay(true).unwrap();
    tcp
}

/// One masked frame. `first` is the opcode with or without [`FIN`].
pub fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = header(first, payload.len() as u64);
    frame.extend(payload.iter().zip(KEY.iter().cycle()).map(|(byte, key)| byte ^ key));
    frame
}

/// Its header alone.
pub fn header(first: u8, length: u64) -> Vec<u8> {
    let mut header = vec![first];
    match length {
        n @ 0..126 => header.push(0x80 | n as u8),
        n @ 126..65_536 => {
            header.push(0xfe);
            header.extend((n as u16).to_be_bytes());
        }
        n => {
            header.push(0xff);
            header.extend(n.to_be_bytes());
        }
    }
    header.extend(KEY);
    header
}

pub struct Client {
    pub tcp: TcpStream,
    buffer: Vec<u8>,
    at: usize,
    filled: usize,
}

impl Client {
    pub fn connect(server: &Server) -> Self {
        Self::open(server, "")
    }

    pub fn raw(tcp: TcpStream) -> Self {
        Self { tcp, buffer: vec![0; 64 << 10], at: 0, filled: 0 }
    }

    /// With more lines in the request.
    pub fn open(server: &Server, lines: &str) -> Self {
        let mut client = Self::raw(tcp(server));
        client.request(lines);
        let head = client.head().unwrap();
        assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
        client
    }

    /// A connection that has asked and not looked at the answer.
    pub fn asked(server: &Server) -> Self {
        let mut client = Self::raw(tcp(server));
        client.request("");
        client
    }

    fn request(&mut self, lines: &str) {
        self.send(&[REQUEST, lines.as_bytes(), b"\r\n"].concat());
    }

    /// The answer to the request.
    pub fn head(&mut self) -> io::Result<String> {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            self.fill(1)?;
            head.push(self.buffer[self.at]);
            self.at += 1;
        }
        Ok(String::from_utf8(head).unwrap())
    }

    pub fn send(&mut self, bytes: &[u8]) {
        self.tcp.write_all(bytes).unwrap();
    }

    /// Sends as much as the other side takes; gives how much that was, `bytes.len()` if all. It has had enough when it took
    /// nothing for a while: too short a while would make the case weaker, not wrong.
    pub fn stuff(&mut self, bytes: &[u8]) -> usize {
        self.tcp.set_write_timeout(Some(std::time::Duration::from_millis(500))).unwrap();
        let mut sent = 0;
        while sent < bytes.len() {
            match self.tcp.write(&bytes[sent..]) {
                Ok(n) => sent += n,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) if matches!(e.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => break,
                Err(e) if matches!(e.kind(), io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe) => break,
                Err(e) => panic!("{e}"),
            }
        }
        self.tcp.set_write_timeout(Some(PATIENCE)).unwrap();
        sent
    }

    /// Makes sure that so many bytes are there.
    fn fill(&mut self, count: usize) -> io::Result<()> {
        while self.filled - self.at < count {
            self.buffer.copy_within(self.at..self.filled, 0);
            self.filled -= self.at;
            self.at = 0;
            if self.buffer.len() < count {
                self.buffer.resize(count, 0);
            }
            match self.tcp.read(&mut self.buffer[self.filled..])? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                n => self.filled += n,
            }
        }
        Ok(())
    }

    /// The next frame: its first byte and its payload. An end of the connection is an error.
    pub fn next(&mut self) -> io::Result<(u8, Vec<u8>)> {
        self.fill(2)?;
        let length = usize::from(self.buffer[self.at + 1]);
        let wide = match length {
            126 => 2,
            127 => 8,
            _ => 0,
        };
        self.fill(2 + wide)?;
        let head = &self.buffer[self.at..self.at + 2 + wide];
        let first = head[0];
        let length = head[2..].iter().fold(if wide == 0 { length } else { 0 }, |n, byte| n << 8 | usize::from(*byte));
        self.at += 2 + wide;
        self.fill(length)?;
        let payload = self.buffer[self.at..self.at + length].to_vec();
        self.at += length;
        Ok((first, payload))
    }

    /// Payload bytes of data frames, so many of them; between them pongs are passed over, and pings, which the server sends
    /// after half a minute of silence.
    pub fn data(&mut self, count: usize) -> Vec<u8> {
        let mut data = Vec::with_capacity(count);
        while data.len() < count {
            let (first, payload) = self.next().unwrap();
            match first & 0x0f {
                0..=2 => data.extend(payload),
                PING | PONG => {}
                other => panic!("opcode {other} with {payload:x?} after {} bytes of data", data.len()),
            }
        }
        assert_eq!(data.len(), count);
        data
    }

    /// Sends a message and gets it back: the connection works.
    pub fn echo(&mut self) {
        self.send(&frame(FIN | BINARY, b"still there?"));
        assert_eq!(self.data(12), b"still there?");
    }

    /// The status code of the Close that comes next, apart from pongs, and then the end of the connection.
    pub fn closed(&mut self) -> u16 {
        loop {
            let (first, payload) = self.next().unwrap();
            match first {
                0x89 | 0x8a => continue,
                0x88 => {
                    assert_eq!(self.fill(1).unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
                    return u16::from_be_bytes([payload[0], payload[1]]);
                }
                _ => panic!("{first:x} {payload:x?} instead of a Close"),
            }
        }
    }

    /// The connection ends, one way or another, after whatever still comes.
    pub fn ended(&mut self) {
        let mut rest = [0; 64 << 10];
        loop {
            match self.tcp.read(&mut rest) {
                Ok(0) => return,
                Ok(_) => {}
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) if e.kind() == io::ErrorKind::ConnectionReset => return,
                Err(e) => panic!("the connection does not end: {e}"),
            }
        }
    }

    /// Ends the connection by a reset.
    pub fn reset(self) {
        socket2::SockRef::from(&self.tcp).set_linger(Some(std::time::Duration::ZERO)).unwrap();
    }
}

/// The program serves a client who means well.
pub fn assert_serves(server: &Server) {
    Client::connect(server).echo();
}
