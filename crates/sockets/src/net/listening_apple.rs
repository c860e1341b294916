//! Apple's systems do not tell whether a socket listens: they have SO_ACCEPTCONN by name only.

use rustix::{fd::AsFd, io, net::sockopt::socket_type};

/// None: it cannot be known. ENOTSOCK: it is no socket.
pub fn listens(socket: impl AsFd) -> io::Result<Option<bool>> {
    socket_type(socket).map(|_| None)
}
