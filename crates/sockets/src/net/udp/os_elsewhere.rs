//! UDP outside Unix. Receiving one datagram where there is no `recvmsg`: on Windows a datagram that does not fit is an error
//! of its own. Sending: what a full queue is.

use super::Received;
use std::io;
use tokio::net::UdpSocket;

/// WSAEMSGSIZE
const TOO_LONG: i32 = 10040;
/// WSAENOBUFS
const NO_BUFFERS: i32 = 10055;

/// Without waiting.
pub fn try_receive(socket: &UdpSocket, buf: &mut [u8]) -> io::Result<Received> {
    match socket.try_recv_from(buf) {
        Ok((len, from)) => Ok(Received { len, from: Some(from), cut: false }),
        Err(e) if e.raw_os_error() == Some(TOO_LONG) => {
            Ok(Received { len: buf.len(), from: socket.peer_addr().ok(), cut: true })
        }
        Err(e) => Err(e),
    }
}

/// The queue of the interface was full, and the datagram is lost.
pub fn was_dropped(e: &io::Error) -> bool {
    e.raw_os_error() == Some(NO_BUFFERS)
}
