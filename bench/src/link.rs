//! Connections of a transfer: TCP on this machine or UNIX stream sockets. They block.

use crate::{
    Result,
    arguments::Arguments,
    handshake::{self, PATIENCE},
};
use std::{
    fs,
    io::{self, ErrorKind, Read, Write},
    net,
    os::{fd::OwnedFd, unix::net as unix},
    path::PathBuf,
    thread,
    time::{Duration, Instant},
};

/// A connection.
pub enum Link {
    Tcp(net::TcpStream),
    Unix(unix::UnixStream),
}

impl Link {
    /// To the port of one argument, or the path of the other; retries while nothing listens there yet.
    pub fn dial(arguments: &Arguments, port: &str, path: &str) -> Result<Self> {
        let Some(path) = arguments.optional::<PathBuf>(path)? else {
            return handshake::dial(arguments.required(port)?).map(Self::Tcp);
        };
        let start = Instant::now();
        loop {
            match unix::UnixStream::connect(&path) {
                Ok(socket) => return Ok(Self::Unix(socket)),
                Err(e)
                    if matches!(e.kind(), ErrorKind::ConnectionRefused | ErrorKind::NotFound)
                        && start.elapsed() < PATIENCE =>
                {
                    thread::sleep(Duration::from_millis(2));
                }
                Err(e) => return Err(format!("cannot connect to {}: {e}", path.display()).into()),
            }
        }
    }

    /// For reads and writes alike; one that takes longer gives `WouldBlock`.
    pub fn set_timeouts(&self, timeout: Duration) -> io::Result<()> {
        match self {
            Self::Tcp(socket) => {
                socket.set_read_timeout(Some(timeout))?;
                socket.set_write_timeout(Some(timeout))
            }
            Self::Unix(socket) => {
                socket.set_read_timeout(Some(timeout))?;
                socket.set_write_timeout(Some(timeout))
            }
        }
    }

    /// WebSockets are over TCP here.
    pub fn tcp(&mut self) -> Result<&mut net::TcpStream> {
        match self {
            Self::Tcp(socket) => Ok(socket),
            Self::Unix(_) => Err(crate::USAGE.into()),
        }
    }
}

impl Read for Link {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(socket) => socket.read(buf),
            Self::Unix(socket) => socket.read(buf),
        }
    }
}

impl Write for Link {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(socket) => socket.write(buf),
            Self::Unix(socket) => socket.write(buf),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl From<Link> for OwnedFd {
    fn from(link: Link) -> Self {
        match link {
            Link::Tcp(socket) => socket.into(),
            Link::Unix(socket) => socket.into(),
        }
    }
}

pub enum Listener {
    Tcp(net::TcpListener),
    Unix(unix::UnixListener),
}

impl Listener {
    /// On the port of one argument, or the path of the other.
    pub fn bind(arguments: &Arguments, port: &str, path: &str) -> Result<Self> {
        match arguments.optional::<PathBuf>(path)? {
            None => Ok(Self::Tcp(net::TcpListener::bind(("127.0.0.1", arguments.required::<u16>(port)?))?)),
            Some(path) => {
                // One that an earlier run has left; if something else stands in the way, bind says so.
                let _ = fs::remove_file(&path);
                Ok(Self::Unix(unix::UnixListener::bind(path)?))
            }
        }
    }

    pub fn accept(&self) -> io::Result<Link> {
        match self {
            Self::Tcp(listener) => {
                let (socket, _) = listener.accept()?;
                socket.set_nodelay(true)?;
                Ok(Link::Tcp(socket))
            }
            Self::Unix(listener) => Ok(Link::Unix(listener.accept()?.0)),
        }
    }
}
