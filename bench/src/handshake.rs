//! Opening handshakes over blocking sockets, in both roles, and connecting to a server that is still starting.

use crate::Result;
use base64::{Engine, prelude::BASE64_STANDARD};
use sha1::{Digest, Sha1};
use std::{
    io::{ErrorKind, Read, Write},
    net::TcpStream,
    thread,
    time::{Duration, Instant},
};

/// How long a server may take to listen, and any one read to return.
pub const PATIENCE: Duration = Duration::from_secs(10);

/// The sample of RFC 6455 1.3: one key for all, so that the reply is known.
pub const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
    Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n";
const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

/// Connects to a port of this machine; retries while nothing listens there yet.
pub fn dial(port: u16) -> Result<TcpStream> {
    let start = Instant::now();
    loop {
        match TcpStream::connect(("127.0.0.1", port)) {
            Ok(socket) => {
                socket.set_nodelay(true)?;
                socket.set_read_timeout(Some(PATIENCE))?;
                socket.set_write_timeout(Some(PATIENCE))?;
                return Ok(socket);
            }
            Err(e) if e.kind() == ErrorKind::ConnectionRefused && start.elapsed() < PATIENCE => {
                thread::sleep(Duration::from_millis(2));
            }
            Err(e) => return Err(format!("cannot connect to port {port}: {e}").into()),
        }
    }
}

/// Where the head ends, if `bytes` has all of it.
pub fn head_len(bytes: &[u8]) -> Option<usize> {
    bytes.windows(4).position(|window| window == b"\r\n\r\n").map(|at| at + 4)
}

fn read_head(socket: &mut TcpStream) -> Result<String> {
    let (mut head, mut buffer) = (Vec::new(), [0; 4096]);
    while head_len(&head).is_none() {
        match socket.read(&mut buffer)? {
            0 => return Err("the connection ended within the handshake".into()),
            n => head.extend_from_slice(&buffer[..n]),
        }
    }
    if head_len(&head) != Some(head.len()) {
        return Err("bytes came after the head of the handshake, too early".into());
    }
    Ok(String::from_utf8(head)?)
}

/// Whether a reply upgrades the connection and answers our key.
pub fn is_accepted(head: &str) -> bool {
    head.starts_with("HTTP/1.1 101") && field(head, "sec-websocket-accept") == Some(ACCEPT)
}

fn field<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    let fields = head.lines().filter_map(|line| line.split_once(':'));
    fields
        .map(|(key, value)| (key, value.trim()))
        .find(|(key, _)| key.eq_ignore_ascii_case(name))
        .map(|(_, value)| value)
}

/// Makes `socket` a WebSocket, as the client; with these extensions, if the server takes them.
pub fn client(socket: &mut TcpStream, extensions: Option<&str>) -> Result<()> {
    let Some(extensions) = extensions else {
        socket.write_all(REQUEST)?;
        let head = read_head(socket)?;
        return if is_accepted(&head) { Ok(()) } else { Err(format!("the server did not upgrade: {head}").into()) };
    };
    let lines = REQUEST.strip_suffix(b"\r\n").unwrap_or(REQUEST);
    socket.write_all(&[lines, format!("Sec-WebSocket-Extensions: {extensions}\r\n\r\n").as_bytes()].concat())?;
    let head = read_head(socket)?;
    let name = extensions.split(';').next().unwrap_or_default();
    match field(&head, "sec-websocket-extensions") {
        Some(taken) if is_accepted(&head) && taken.starts_with(name) => Ok(()),
        _ => Err(format!("the server did not upgrade, or without {name}: {head}").into()),
    }
}

/// The reply that upgrades a request.
pub fn reply(request: &str) -> Result<String> {
    let key = field(request, "sec-websocket-key").ok_or("a request without Sec-WebSocket-Key")?;
    let accept = BASE64_STANDARD.encode(Sha1::digest(format!("{key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11")));
    Ok(format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Accept: {accept}\r\n\r\n"
    ))
}

/// Makes `socket` a WebSocket, as the server.
pub fn server(socket: &mut TcpStream) -> Result<()> {
    let request = read_head(socket)?;
    Ok(socket.write_all(reply(&request)?.as_bytes())?)
}
