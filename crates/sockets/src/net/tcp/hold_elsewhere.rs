//! Without MSG_MORE nothing is held back.

use std::io::{self, IoSlice};
use tokio::net::TcpStream;

pub fn write(tcp: &TcpStream, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
    socket2::SockRef::from(tcp).send_vectored(bufs)
}

pub fn let_go(_: &TcpStream) -> io::Result<()> {
    Ok(())
}
