//! Addresses and sockets as the system wants them.

use super::{BufferOptions, UnixAddress, UnixError, UnixKind, UnixPlace};
use crate::net::sockopts::{OptionError, RouteOptions};
use socket2::{Domain, SockAddr, Socket, Type};
use std::{
    ffi::{OsStr, OsString},
    io,
    os::unix::ffi::{OsStrExt as _, OsStringExt as _},
};

/// Most bytes of a path: `sun_path` has 108 on Linux and 104 elsewhere, the last one of which is NUL.
const MAX_PATH: usize = if cfg!(any(target_os = "linux", target_os = "android")) { 107 } else { 103 };
/// What ECONNREFUSED says: BSD's kernels do so of a full queue, too.
pub(super) const WHY_REFUSED: &str = if cfg!(any(target_os = "linux", target_os = "android")) {
    "; nobody listens there (any more)"
} else {
    "; nobody listens there (any more), or its queue is full"
};
/// Most bytes of an abstract name, which begins with NUL.
const MAX_NAME: usize = 107;

impl UnixAddress {
    pub(super) fn failed(&self, action: &'static str, hint: &'static str) -> impl FnOnce(io::Error) -> UnixError {
        let address = Box::new(self.clone());
        move |source| UnixError::Failed { action, address, source, hint }
    }

    /// As system calls want it.
    pub(super) fn system(&self) -> Result<SockAddr, UnixError> {
        let checked = |bytes: &OsStr, limit, what, advice| match bytes.len() {
            len if len > limit => Err(UnixError::TooLong { address: Box::new(self.clone()), what, len, limit, advice }),
            _ => Ok(()),
        };
        let address = match &self.place {
            UnixPlace::Path(path) => {
                let advice = "start in a directory nearer to it and give a shorter path, or use a symbolic link";
                checked(path.as_os_str(), MAX_PATH, "the path", advice)?;
                SockAddr::unix(path)
            }
            UnixPlace::Abstract(_) if !cfg!(any(target_os = "linux", target_os = "android")) => {
                return Err(UnixError::Unsupported("abstract socket names (Linux only)"));
            }
            UnixPlace::Abstract(name) => {
                checked(name, MAX_NAME, "the abstract name", "give it a shorter one")?;
                SockAddr::unix(OsString::from_vec([b"\0", name.as_bytes()].concat()))
            }
        };
        address.map_err(self.failed("use", ""))
    }

    /// A new socket of its kind, non-blocking.
    pub(super) fn socket(&self, action: &'static str) -> Result<Socket, UnixError> {
        let kind = match self.kind {
            UnixKind::Stream => Type::STREAM,
            UnixKind::Seqpacket => Type::SEQPACKET,
        };
        let made = Socket::new(Domain::UNIX, kind, None);
        let socket = match made {
            Err(e) if self.kind == UnixKind::Seqpacket && not_supported(&e) => {
                return Err(UnixError::Unsupported("SEQPACKET sockets"));
            }
            made => made.map_err(self.failed(action, ""))?,
        };
        socket.set_nonblocking(true).map_err(self.failed(action, ""))?;
        Ok(socket)
    }
}

impl BufferOptions {
    pub(super) fn apply(self, socket: &Socket) -> Result<(), OptionError> {
        let Self { recv_buffer_size, send_buffer_size } = self;
        RouteOptions { recv_buffer_size, send_buffer_size, ..RouteOptions::default() }.apply(socket, false)
    }
}

fn not_supported(e: &io::Error) -> bool {
    use rustix::io::Errno;
    [Errno::PROTONOSUPPORT, Errno::SOCKTNOSUPPORT, Errno::PROTOTYPE]
        .iter()
        .any(|errno| e.raw_os_error() == Some(errno.raw_os_error()))
}
