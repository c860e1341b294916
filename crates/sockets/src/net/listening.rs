//! Whether a socket listens, as the kernel has it (SO_ACCEPTCONN).

use rustix::{fd::AsFd, io, net::sockopt::socket_acceptconn};

/// None: it cannot be known. ENOTSOCK: it is no socket.
pub fn listens(socket: impl AsFd) -> io::Result<Option<bool>> {
    socket_acceptconn(socket).map(Some)
}
