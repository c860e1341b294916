//! `async-fd:` and `async_fd`: a descriptor that this program was started with.

use crate::{
    error::{Error, Kind, Result},
    register,
    scenario::{Handle, RhResult, handle, throw},
    spec::{About, EndpointSpec, Form, Script, SocketKind, Then},
};
use rhai::Engine;
use sockets::{endpoint::async_fd::async_fd_socket, socket::StreamSocket};
use std::ffi::OsStr;

/// An inherited descriptor, for both directions if it is open for both.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AsyncFd {
    pub fd: i32,
}

#[derive(Clone, Debug, Default, clap::Args)]
pub struct AsyncFdArgs {
    /// async-fd: also takes descriptors that cannot be polled, such as regular files
    #[arg(long)]
    pub async_fd_force: bool,
}

impl EndpointSpec for AsyncFd {
    const FORMS: &'static [Form] = &[Form {
        name: "async-fd",
        prefixes: &["async-fd:", "open-fd:"],
        value: "FD",
        doc: "Reads and writes a descriptor that this program was started with, such as a pipe, a socket or a terminal (Unix). \
              It is closed with the session. The end of the data that is written is not passed on before that.",
    }];

    fn parse(form: &'static Form, value: &OsStr) -> Result<Self> {
        let fd =
            value.to_str().filter(|text| text.bytes().all(|b| b.is_ascii_digit())).and_then(|text| text.parse().ok());
        let bad =
            || Error::usage(format!("`{}` is not a descriptor number; write {}3", value.display(), form.prefixes[0]));
        fd.map(|fd| Self { fd }).ok_or_else(bad)
    }

    fn kind(&self) -> Option<SocketKind> {
        Some(SocketKind::Stream)
    }

    fn is_single(&self) -> bool {
        true
    }

    fn explain(&self, _: &About<'_>) -> String {
        format!("Reads and writes descriptor {}, which was inherited.", self.fd)
    }

    fn emit(&self, script: &mut Script, then: &mut Then<'_>) -> Result<()> {
        let force = script.args.endpoints.async_fd.async_fd_force;
        let fd = script.assign("fd", &format!("async_fd({}, {force})", self.fd));
        then(script, fd)
    }
}

/// A descriptor that this program was started with, as a stream socket; it belongs to the socket from then on. With `force`
/// also one that cannot be polled. Fails elsewhere than on Unix.
fn async_fd(fd: i64, force: bool) -> RhResult<Handle<StreamSocket>> {
    async_fd_socket(fd, force).map(handle).map_err(|e| throw(Error::with_source(Kind::File, e.to_string(), e)))
}

pub(super) fn register(engine: &mut Engine) {
    register!(engine, async_fd);
}
