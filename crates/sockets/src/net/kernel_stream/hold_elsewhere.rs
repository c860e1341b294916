//! Without MSG_MORE nothing is held back.

use super::KernelStream;
use std::io::{self, IoSlice};

pub fn write(tcp: &KernelStream, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
    socket2::SockRef::from(tcp).send_vectored(bufs)
}

pub fn let_go(_: &KernelStream) -> io::Result<()> {
    Ok(())
}
