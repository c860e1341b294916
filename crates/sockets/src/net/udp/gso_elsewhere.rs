//! Several datagrams by one call, where there is no such call.

use std::{io, net::SocketAddr};
use tokio::net::UdpSocket;

/// Nothing is collected.
pub const MOST: usize = 1;

pub fn try_send_run(_: &UdpSocket, _: &[u8], _: u16, _: Option<SocketAddr>) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

pub fn is_not_possible(_: &io::Error) -> bool {
    true
}
