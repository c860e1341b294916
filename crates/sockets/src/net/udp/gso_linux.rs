//! Sending several datagrams of one length by one call on Linux (UDP_SEGMENT, generic segmentation offload): the kernel
//! takes them through its layers as one and cuts them apart at the end, which costs a fraction.

use socket2::SockAddr;
use std::{
    io,
    mem::{self, size_of},
    net::SocketAddr,
    os::fd::AsRawFd,
};
use tokio::{io::Interest, net::UdpSocket};

/// Datagrams of one call; the limit of kernels before 6.9.
pub const MOST: usize = 64;

/// Space for one control message with a `u16`, aligned as its header has to be.
#[repr(C)]
union Control {
    header: libc::cmsghdr,
    bytes: [u8; 32],
}

/// Sends `run` cut into datagrams of `size` bytes, the last one maybe shorter. Without waiting, all or nothing.
#[allow(unsafe_code)]
pub fn try_send_run(socket: &UdpSocket, run: &[u8], size: u16, to: Option<SocketAddr>) -> io::Result<()> {
    let to = to.map(SockAddr::from);
    socket.try_io(Interest::WRITABLE, || {
        let mut part = libc::iovec { iov_base: run.as_ptr().cast_mut().cast(), iov_len: run.len() };
        let mut control = Control { bytes: [0; 32] };
        // SAFETY: all zeros is a header without address, buffers and control data.
        let mut header: libc::msghdr = unsafe { mem::zeroed() };
        (header.msg_iov, header.msg_iovlen) = (&raw mut part, 1);
        if let Some(to) = &to {
            (header.msg_name, header.msg_namelen) = (to.as_ptr().cast_mut().cast(), to.len());
        }
        header.msg_control = (&raw mut control).cast();
        // SAFETY: the control buffer is aligned for its header and holds CMSG_SPACE of a u16, which is 24 bytes at most; the
        // pointers that the macros give stay inside of it. sendmsg reads the run, the address and the control data, which
        // all live across the call, and writes nothing.
        let sent = unsafe {
            let len = size_of::<u16>() as u32;
            header.msg_controllen = libc::CMSG_SPACE(len) as _;
            let message = libc::CMSG_FIRSTHDR(&raw const header);
            (*message).cmsg_level = libc::SOL_UDP;
            (*message).cmsg_type = libc::UDP_SEGMENT;
            (*message).cmsg_len = libc::CMSG_LEN(len) as _;
            libc::CMSG_DATA(message).cast::<u16>().write_unaligned(size);
            libc::sendmsg(socket.as_raw_fd(), &raw const header, 0)
        };
        if sent < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
    })
}

/// The error says that such a call is not possible here or for such datagrams; one by one they may well be sent.
pub fn is_not_possible(e: &io::Error) -> bool {
    // No such feature; longer than the way allows; no checksums by the device; not with this socket.
    let codes = [libc::EINVAL, libc::EMSGSIZE, libc::EIO, libc::EOPNOTSUPP, libc::ENOPROTOOPT];
    e.raw_os_error().is_some_and(|code| codes.contains(&code))
}
