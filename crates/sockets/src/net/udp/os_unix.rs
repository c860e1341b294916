//! UDP on Unix. Receiving one datagram: `recvmsg`, which tells when something was cut off. Sending: what a full queue is.

use super::Received;
use rustix::{
    io::Errno,
    net::{RecvAncillaryBuffer, RecvFlags, ReturnFlags, recvmsg},
};
use std::{
    io::{self, IoSliceMut},
    net::SocketAddr,
};
use tokio::{io::Interest, net::UdpSocket};

/// Without waiting.
pub fn try_receive(socket: &UdpSocket, buf: &mut [u8]) -> io::Result<Received> {
    socket.try_io(Interest::READABLE, || {
        let mut control = RecvAncillaryBuffer::default();
        let got = recvmsg(socket, &mut [IoSliceMut::new(buf)], &mut control, RecvFlags::empty())?;
        let from = got.address.and_then(|address| SocketAddr::try_from(address).ok());
        Ok(Received { len: got.bytes, from, cut: got.flags.contains(ReturnFlags::TRUNC) })
    })
}

/// The queue of the interface was full, and the datagram is lost: macOS and the BSDs say so. Linux drops it in silence.
pub fn was_dropped(e: &io::Error) -> bool {
    Errno::from_io_error(e) == Some(Errno::NOBUFS)
}
