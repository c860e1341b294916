//! Writes whose end waits in the kernel for the bytes that follow at once (MSG_MORE, tcp(7)).
//!
//! TCP_NODELAY sends the short packet behind the full ones of every write; where a frame is a few bytes longer than a
//! packet, that makes two packets of each. The kernel lets go by itself after 200 ms.

use super::KernelStream;
use rustix::net::{SendAncillaryBuffer, SendFlags, sendmsg, sockopt::set_tcp_cork};
use std::io::{self, IoSlice};

pub fn write(tcp: &KernelStream, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
    Ok(sendmsg(tcp, bufs, &mut SendAncillaryBuffer::default(), SendFlags::MORE)?)
}

/// Sends what waits. The option was never set: taking it back is what pushes.
pub fn let_go(tcp: &KernelStream) -> io::Result<()> {
    Ok(set_tcp_cork(tcp, false)?)
}
