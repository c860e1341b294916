//! UNIX sockets: streams and SEQPACKET, by path or by abstract name.
//!
//! - `connect`, `listen`: of either kind. `socket_file`: what a listener does about its file, when it has its `turn`.
//!   `seqpacket`: message halves.
//!
//! Platforms without them refuse by name (`unix/elsewhere.rs`); abstract names exist on Linux only, SEQPACKET is for the
//! kernel to refuse.

#[cfg(unix)]
mod connect;
#[cfg(not(unix))]
mod elsewhere;
#[cfg(unix)]
mod listen;
mod options;
#[cfg(unix)]
mod seqpacket;
#[cfg(unix)]
mod socket_file;
#[cfg(unix)]
mod system;
#[cfg(unix)]
mod turn;

#[cfg(unix)]
pub use connect::connect;
#[cfg(not(unix))]
pub use elsewhere::{UnixListener, connect, remove_socket_files, seqpacket_socket};
#[cfg(unix)]
pub use listen::UnixListener;
pub use options::{BufferOptions, SeqpacketOptions, UnixConnectOptions, UnixListenOptions};
#[cfg(unix)]
pub use seqpacket::{SeqpacketError, SeqpacketRead, SeqpacketWrite, seqpacket_socket};
#[cfg(unix)]
pub use socket_file::remove_socket_files;

use super::sockopts::OptionError;
use std::{ffi::OsString, fmt, io, path::PathBuf, time::Duration};

/// What flows through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UnixKind {
    Stream,
    Seqpacket,
}

/// Where a UNIX socket is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UnixPlace {
    Path(PathBuf),
    /// In the abstract namespace of Linux: any bytes, without the NUL in front.
    Abstract(OsString),
}

/// A place with the kind of socket there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnixAddress {
    pub kind: UnixKind,
    pub place: UnixPlace,
}

impl fmt::Display for UnixAddress {
    /// As a specifier that connects there, without what could change lines or directions.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (prefix, name) = match (&self.place, self.kind) {
            (UnixPlace::Path(path), UnixKind::Stream) => ("unix", path.as_os_str()),
            (UnixPlace::Path(path), UnixKind::Seqpacket) => ("seqpacket", path.as_os_str()),
            (UnixPlace::Abstract(name), UnixKind::Stream) => ("abstract", name.as_os_str()),
            (UnixPlace::Abstract(name), UnixKind::Seqpacket) => ("abstract-seqpacket", name.as_os_str()),
        };
        write!(f, "{prefix}:")?;
        name.to_string_lossy().chars().try_for_each(|c| match c.is_control() {
            true => write!(f, "{}", c.escape_default()),
            false => write!(f, "{c}"),
        })
    }
}

/// There is no connection, or no listener.
#[derive(Debug, thiserror::Error)]
pub enum UnixError {
    #[error("cannot {action} {address}: {source}{hint}")]
    Failed { action: &'static str, address: Box<UnixAddress>, source: io::Error, hint: &'static str },
    #[error("cannot use {address}: it has {len} bytes, but {what} of a socket may have at most {limit}; {advice}")]
    TooLong { address: Box<UnixAddress>, what: &'static str, len: usize, limit: usize, advice: &'static str },
    #[error("cannot connect to {address}: its queue of waiting connections stayed full for {limit:?}")]
    TimedOut { address: Box<UnixAddress>, limit: Duration },
    #[error("cannot listen on {address}: somebody serves it already")]
    Served { address: Box<UnixAddress> },
    #[error("cannot listen on {address}: there is something that is not a socket, which --unlink does not remove")]
    NotSocket { address: Box<UnixAddress> },
    #[error("cannot use {address}: {source}")]
    Option { address: Box<UnixAddress>, source: OptionError },
    #[error("{0} do not exist on this platform")]
    Unsupported(&'static str),
}

impl From<UnixError> for io::Error {
    fn from(e: UnixError) -> Self {
        let kind = match &e {
            UnixError::Failed { source, .. } => source.kind(),
            UnixError::TooLong { .. } => io::ErrorKind::InvalidInput,
            UnixError::TimedOut { .. } => io::ErrorKind::TimedOut,
            UnixError::Served { .. } => io::ErrorKind::AddrInUse,
            UnixError::NotSocket { .. } => io::ErrorKind::AlreadyExists,
            UnixError::Option { source: OptionError::Refused { source, .. }, .. } => source.kind(),
            UnixError::Unsupported(_) | UnixError::Option { .. } => io::ErrorKind::Unsupported,
        };
        Self::new(kind, e)
    }
}
