//! How much the kernel still has to send (SIOCOUTQ: tcp(7), unix(7)): what the peer has not acknowledged, or not read.

use super::KernelStream;
use rustix::ioctl::{Getter, ioctl};

/// Bytes; None if the kernel does not say.
#[allow(unsafe_code)] // rustix has no call of its own for this one
pub fn unsent(socket: &KernelStream) -> Option<usize> {
    // SAFETY: TIOCOUTQ, which is SIOCOUTQ, writes one int and reads nothing.
    let bytes = unsafe { ioctl(socket, Getter::<{ libc::TIOCOUTQ as _ }, libc::c_int>::new()) };
    bytes.ok().and_then(|bytes| usize::try_from(bytes).ok())
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    #[tokio::test]
    async fn what_nobody_has_read_is_counted() {
        let (ours, theirs) = std::os::unix::net::UnixStream::pair().unwrap();
        ours.set_nonblocking(true).unwrap();
        let ours = tokio::net::UnixStream::from_std(ours).unwrap();
        let socket = crate::net::kernel_stream::KernelStream::from(ours);
        assert_eq!(super::unsent(&socket), Some(0));
        (&*socket2::SockRef::from(&socket)).write_all(&[0; 1000]).unwrap();
        assert!(super::unsent(&socket) >= Some(1000));
        std::io::Read::read_exact(&mut &theirs, &mut [0; 1000]).unwrap();
        assert_eq!(super::unsent(&socket), Some(0));
    }
}
