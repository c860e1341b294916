//! Connections that nobody answers, as Linux lets one have them without a network: its full queues are silent.

use super::commands::{fails_after, play};
use socket2::{Domain, Socket, Type};

/// An address where SYN after SYN is thrown away: nobody accepts, and the queue is full. With what keeps it so.
pub(super) fn nobody_answers() -> (std::net::SocketAddr, Vec<Socket>) {
    let new = || Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    let listener = new();
    listener.bind(&std::net::SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
    listener.listen(0).unwrap();
    let address = listener.local_addr().unwrap();
    let mut sockets = vec![listener];
    for _ in 0..4 {
        let socket = new();
        socket.set_nonblocking(true).unwrap();
        // In progress, for ever for most of them.
        let _ = socket.connect(&address);
        sockets.push(socket);
    }
    (address.as_socket().unwrap(), sockets)
}

#[test]
fn connections_that_nobody_accepts_have_their_time() {
    let (address, _sockets) = nobody_answers();
    let specifier = format!("tcp:{address}").leak();
    play(&[
        fails_after(30_000, 22, vec!["-b", specifier, "mss:"].leak()),
        fails_after(300, 22, vec!["-b", "--connect-timeout", "300ms", specifier, "mss:"].leak()),
    ]);
}
