//! Receiving one datagram on Unix: `recvmsg`, which tells when something was cut off.

use super::Received;
use rustix::net::{RecvAncillaryBuffer, RecvFlags, ReturnFlags, recvmsg};
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
