//! Errors of sockets that have no `io::ErrorKind` of their own: they are known by the number that the system gives them.

#[cfg_attr(unix, path = "error_numbers/unix.rs")]
#[cfg_attr(not(unix), path = "error_numbers/windows.rs")]
mod os;

use std::io;

/// What was taken for a socket is none.
pub fn is_no_socket(e: &io::Error) -> bool {
    e.raw_os_error() == Some(os::NO_SOCKET)
}

/// The machine does not have this IP version at all.
pub fn is_unsupported_family(e: &io::Error) -> bool {
    e.raw_os_error() == Some(os::UNSUPPORTED_FAMILY)
}
