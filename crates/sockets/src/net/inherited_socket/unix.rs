//! Looking at an inherited descriptor and taking it over.

use super::{InheritedSocketError, Wanted};
use crate::net::listening::listens;
use rustix::{
    fd::{BorrowedFd, OwnedFd},
    io::{Errno, FdFlags, fcntl_dupfd_cloexec, fcntl_getfd, fcntl_setfd},
    net::{AddressFamily, SocketType, getsockname, sockopt::socket_type},
};
use socket2::Socket;
use std::{
    os::fd::{FromRawFd as _, RawFd},
    sync::{Mutex, PoisonError},
};

/// The lowest number that is taken over: 0 to 2 must never become something else, and are only copied.
const ABOVE_STDIO: RawFd = 3;

#[allow(unsafe_code)] // a number that a user says
pub fn take(fd: i32, wanted: Wanted, force: bool) -> Result<Socket, InheritedSocketError> {
    let failed = |e: Errno| match e {
        Errno::BADF => InheritedSocketError::NotOpen(fd),
        e => InheritedSocketError::Failed { fd, source: e.into() },
    };
    if fd < 0 {
        return Err(InheritedSocketError::NotOpen(fd));
    }
    // Looking at the flag and setting it are one step for all threads.
    static ONE: Mutex<()> = Mutex::new(());
    let _one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
    // SAFETY: the number is used for calls that say EBADF when it is not open; -1 was refused above.
    let borrowed = unsafe { BorrowedFd::borrow_raw(fd) };
    let flags = fcntl_getfd(borrowed).map_err(failed)?;
    // Everything that this process opens itself is closed on exec, and so is what was taken over before.
    if fd >= ABOVE_STDIO && flags.contains(FdFlags::CLOEXEC) {
        return Err(InheritedSocketError::NotInherited(fd));
    }
    if !force {
        check(borrowed, fd, wanted)?;
    }
    let owned = if fd >= ABOVE_STDIO {
        fcntl_setfd(borrowed, flags | FdFlags::CLOEXEC).map_err(failed)?;
        // SAFETY: an inherited number that nobody else here knows: whoever asks for it next is refused by the flag.
        unsafe { OwnedFd::from_raw_fd(fd) }
    } else {
        fcntl_dupfd_cloexec(borrowed, ABOVE_STDIO).map_err(failed)?
    };
    let socket = Socket::from(owned);
    socket.set_nonblocking(true).map_err(|source| InheritedSocketError::Failed { fd, source })?;
    Ok(socket)
}

fn check(socket: BorrowedFd<'_>, fd: i32, wanted: Wanted) -> Result<(), InheritedSocketError> {
    let failed = |e: Errno| match e {
        Errno::NOTSOCK => InheritedSocketError::NotSocket { fd, wanted },
        e => InheritedSocketError::Failed { fd, source: e.into() },
    };
    let kind = socket_type(socket).map_err(failed)?;
    let family = getsockname(socket).map_err(failed)?.address_family();
    let is_ip = family == AddressFamily::INET || family == AddressFamily::INET6;
    let fits = match wanted {
        Wanted::TcpListener => is_ip && kind == SocketType::STREAM,
        Wanted::Udp => is_ip && kind == SocketType::DGRAM,
        Wanted::UnixListener => family == AddressFamily::UNIX && kind == SocketType::STREAM,
        Wanted::SeqpacketListener => family == AddressFamily::UNIX && kind == SocketType::SEQPACKET,
    };
    if !fits {
        return Err(InheritedSocketError::OtherKind { fd, wanted, found: describe(family, kind) });
    }
    // Where that cannot be known accepting will tell.
    if wanted.listens() && listens(socket).map_err(failed)? == Some(false) {
        return Err(InheritedSocketError::NotListening { fd, wanted });
    }
    Ok(())
}

fn describe(family: AddressFamily, kind: SocketType) -> String {
    let is_ip = family == AddressFamily::INET || family == AddressFamily::INET6;
    let name = match kind {
        SocketType::STREAM if is_ip => "TCP socket",
        SocketType::DGRAM if is_ip => "UDP socket",
        SocketType::STREAM if family == AddressFamily::UNIX => "UNIX stream socket",
        SocketType::SEQPACKET if family == AddressFamily::UNIX => "UNIX SEQPACKET socket",
        SocketType::DGRAM if family == AddressFamily::UNIX => "UNIX datagram socket",
        _ => return format!("socket of family {} and type {}", family.as_raw(), kind.as_raw()),
    };
    name.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use socket2::{Domain, Type};
    use std::os::fd::{AsRawFd as _, IntoRawFd as _};

    /// As if this process had been started with it.
    fn inherit(fd: impl Into<OwnedFd>) -> i32 {
        let fd = fd.into();
        fcntl_setfd(&fd, FdFlags::empty()).unwrap();
        fd.into_raw_fd()
    }

    fn error(fd: i32, wanted: Wanted) -> String {
        take(fd, wanted, false).unwrap_err().to_string()
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn only_what_is_wanted_is_taken() {
        use socket2::SockAddr;
        use std::net::SocketAddr;

        fn bound(domain: Domain, kind: Type, listens: bool) -> Socket {
            let socket = Socket::new(domain, kind, None).unwrap();
            let any: SocketAddr = "127.0.0.1:0".parse().unwrap();
            // A UNIX socket without a name is given one by the system.
            let address = if domain == Domain::UNIX { SockAddr::unix("").unwrap() } else { any.into() };
            socket.bind(&address).unwrap();
            if listens {
                socket.listen(1).unwrap();
            }
            socket
        }

        let all = [
            (Wanted::TcpListener, Domain::IPV4, Type::STREAM),
            (Wanted::UnixListener, Domain::UNIX, Type::STREAM),
            (Wanted::SeqpacketListener, Domain::UNIX, Type::SEQPACKET),
            (Wanted::Udp, Domain::IPV4, Type::DGRAM),
        ];
        for (is, domain, kind) in all {
            let fd = inherit(bound(domain, kind, is.listens()));
            for (wanted, ..) in all.iter().filter(|(other, ..)| *other != is) {
                let e = error(fd, *wanted);
                assert!(e.starts_with(&format!("descriptor {fd} is not a {wanted}: it is a ")), "{e}");
            }
            let taken = take(fd, is, false).unwrap();
            assert_eq!(taken.as_raw_fd(), fd);
            assert!(taken.nonblocking().unwrap() && fcntl_getfd(&taken).unwrap().contains(FdFlags::CLOEXEC));
            assert_eq!(error(fd, is), format!("descriptor {fd} was not inherited, or is in use or was used before"));
            if is.listens() {
                let deaf = inherit(bound(domain, kind, false));
                assert_eq!(error(deaf, is), format!("descriptor {deaf} is not a {is}: it does not listen"));
            }
        }
    }

    #[test]
    fn force_takes_anything_and_refusal_changes_nothing() {
        let file = inherit(tempfile::tempfile().unwrap());
        assert_eq!(error(file, Wanted::Udp), format!("descriptor {file} is not a UDP socket: it is no socket at all"));
        let (ours, _theirs) = Socket::pair(Domain::UNIX, Type::STREAM, None).unwrap();
        let fd = inherit(ours);
        error(fd, Wanted::TcpListener);
        // SAFETY: it was made above and is open.
        #[allow(unsafe_code)]
        let kept = unsafe { BorrowedFd::borrow_raw(fd) };
        assert!(!fcntl_getfd(kept).unwrap().contains(FdFlags::CLOEXEC));
        assert!(!rustix::fs::fcntl_getfl(kept).unwrap().contains(rustix::fs::OFlags::NONBLOCK));
        assert_eq!(take(fd, Wanted::TcpListener, true).unwrap().as_raw_fd(), fd);
        for fd in [-1, i32::MIN, 1_000_000] {
            assert!(error(fd, Wanted::Udp).contains(" is not open"), "{fd}");
        }
    }
}
