//! Standard input and output as a byte stream socket.
//!
//! Neither is touched before it is used: a session that does not read leaves standard input to others. Inherited
//! descriptors are never made non-blocking (`net::inherited`). Errors say which side they are about.

#[cfg_attr(unix, path = "os_unix.rs")]
#[cfg_attr(not(unix), path = "os_elsewhere.rs")]
mod os;
pub mod stdin;
pub mod stdout;

pub use stdin::StdinRead;
pub use stdout::StdoutWrite;

use crate::{info::SocketInfo, socket::StreamSocket};
use std::{io, sync::Arc};

/// Standard input or output failed. As an `io::Error` it keeps the kind, so that a closed pipe stays `BrokenPipe`.
#[derive(Debug, thiserror::Error)]
pub enum StdioError {
    #[error("cannot read standard input: {0}")]
    Read(#[source] io::Error),
    #[error("cannot write to standard output: {0}")]
    Write(#[source] io::Error),
}

impl From<StdioError> for io::Error {
    fn from(e: StdioError) -> Self {
        let kind = match &e {
            StdioError::Read(source) | StdioError::Write(source) => source.kind(),
        };
        Self::new(kind, e)
    }
}

/// Standard input and output of this process. Poll it inside a runtime.
pub fn stdio_socket() -> StreamSocket {
    StreamSocket {
        read: Some(Box::new(StdinRead::new())),
        write: Some(Box::new(StdoutWrite::new())),
        hangup: None,
        link: None,
        info: Arc::new(SocketInfo { specifier: Some("stdio:".into()), ..Default::default() }),
    }
}
