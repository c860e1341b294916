//! Inherited descriptors outside Unix: there are none.

use crate::socket::StreamSocket;

/// A descriptor cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("cannot use descriptor {0}: inherited descriptors exist on Unix only")]
pub struct AsyncFdError(i64);

/// There is none without a descriptor.
#[derive(Debug, thiserror::Error)]
pub enum AsyncFdIoError {}

/// Always an error.
pub fn async_fd_socket(fd: i64, _: bool) -> Result<StreamSocket, AsyncFdError> {
    Err(AsyncFdError(fd))
}

/// Nothing was changed.
pub fn restore_all() {}
