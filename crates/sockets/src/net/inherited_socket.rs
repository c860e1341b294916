//! Sockets that this process was started with: named by number, or by what a service manager calls them (LISTEN_FDNAMES).
//!
//! Before one is taken over it is looked at: family, type, and whether it listens must be what is wanted, unless that is
//! forced. What is refused stays as it was. What is taken is closed on exec and non-blocking; numbers that were not
//! inherited, or were taken before, are refused, as they may be anything of our own.

mod names;
#[cfg_attr(not(unix), path = "inherited_socket/elsewhere.rs")]
#[cfg_attr(unix, path = "inherited_socket/unix.rs")]
mod os;

use socket2::Socket;
use std::{fmt, io};

pub use names::Names;

/// Which socket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Which {
    Number(i32),
    /// As LISTEN_FDNAMES has it.
    Name(String),
}

impl fmt::Display for Which {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(fd) => write!(f, "descriptor {fd}"),
            Self::Name(name) => write!(f, "descriptor `{name}`"),
        }
    }
}

/// What it has to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted {
    TcpListener,
    UnixListener,
    SeqpacketListener,
    /// Bound, of either IP version.
    Udp,
}

impl Wanted {
    /// Sockets that accept connections.
    pub fn listens(self) -> bool {
        self != Self::Udp
    }
}

impl fmt::Display for Wanted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::TcpListener => "listening TCP socket",
            Self::UnixListener => "listening UNIX stream socket",
            Self::SeqpacketListener => "listening UNIX SEQPACKET socket",
            Self::Udp => "UDP socket",
        })
    }
}

/// The socket cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum InheritedSocketError {
    #[error("descriptor {0} is not open: this program was not started with it")]
    NotOpen(i32),
    #[error("descriptor {0} was not inherited, or is in use or was used before")]
    NotInherited(i32),
    #[error("descriptor {fd} is not a {wanted}: it is no socket at all")]
    NotSocket { fd: i32, wanted: Wanted },
    #[error("descriptor {fd} is not a {wanted}: it is a {found}")]
    OtherKind { fd: i32, wanted: Wanted, found: String },
    #[error("descriptor {fd} is not a {wanted}: it does not listen")]
    NotListening { fd: i32, wanted: Wanted },
    #[error("no descriptor has a name here: {0} is not set")]
    NoVariable(&'static str),
    #[error("{variable} is `{value}`, which is no number")]
    BadVariable { variable: &'static str, value: String },
    #[error(
        "LISTEN_PID is {meant}, but this process is {own}: the descriptors in LISTEN_FDS are meant for another process"
    )]
    OtherProcess { meant: u32, own: u32 },
    #[error("no descriptor is called `{name}`; LISTEN_FDNAMES has {names}")]
    UnknownName { name: String, names: String },
    #[error("several descriptors are called `{name}`: {numbers}; say which by its number")]
    Ambiguous { name: String, numbers: String },
    #[error("cannot use descriptor {fd}: {source}")]
    Failed { fd: i32, source: io::Error },
    #[error("inherited sockets do not exist on this platform")]
    Unsupported,
}

/// A socket that was taken over.
#[derive(Debug)]
pub struct InheritedSocket {
    /// Non-blocking and closed on exec.
    pub socket: Socket,
    /// Its number when this process started.
    pub number: i32,
}

/// Takes the socket over. `force`: whatever it is.
pub fn take(which: &Which, wanted: Wanted, force: bool) -> Result<InheritedSocket, InheritedSocketError> {
    let number = match which {
        Which::Number(number) => *number,
        Which::Name(name) => Names::of_environment().find(name, std::process::id())?,
    };
    let socket = os::take(number, wanted, force)?;
    Ok(InheritedSocket { socket, number })
}
