//! UNIX sockets by path or abstract name, streams or SEQPACKET: what specifiers and functions of clients and listeners share.

use super::sockopts::PacketOpts;
use crate::{
    cli::Args,
    error::{Error, Result},
    spec::{Form, SocketKind},
};
use serde::{Deserialize, Serialize};
use sockets::net::unix::{BufferOptions, SeqpacketOptions, UnixAddress, UnixKind, UnixPlace};
use std::ffi::{OsStr, OsString};

/// Limit of a message that is sent, when a script says nothing.
pub const SCRIPT_MAX_SEND: usize = 655_360;
/// The same on the command line: what `defragment:` and length prefixes have, too.
const MAX_SEND: usize = 1 << 20;

/// In words, for `--explain`, without an article.
pub fn explain(address: &UnixAddress) -> String {
    let kind = match address.kind {
        UnixKind::Stream => "UNIX socket",
        UnixKind::Seqpacket => "UNIX SEQPACKET socket",
    };
    match &address.place {
        UnixPlace::Path(path) => format!("{kind} {}", path.display()),
        UnixPlace::Abstract(name) => format!("abstract {kind} `{}`", name.display()),
    }
}

#[derive(Clone, Copy, Debug, clap::Args)]
pub struct SeqpacketArgs {
    /// Longest message that is sent as one SEQPACKET packet, its parts joined
    #[arg(long, value_name = "BYTES", default_value_t = MAX_SEND)]
    pub seqpacket_max_send_datagram_size: usize,
}

impl Default for SeqpacketArgs {
    fn default() -> Self {
        Self { seqpacket_max_send_datagram_size: MAX_SEND }
    }
}

/// Forms are named `unix…`, `abstract…`, `seqpacket…`, `abstract-seqpacket…`.
pub fn address(form: &'static Form, value: &OsStr) -> Result<UnixAddress> {
    let kind = if form.name.contains("seqpacket") { UnixKind::Seqpacket } else { UnixKind::Stream };
    let is_abstract = form.name.starts_with("abstract");
    let what = if is_abstract { "name" } else { "path" };
    if value.is_empty() {
        return Err(Error::usage(format!("the {what} is missing; write {}{}", form.prefixes[0], form.value)));
    }
    if !is_abstract && value.as_encoded_bytes().contains(&0) {
        return Err(Error::usage("a path cannot contain a NUL byte"));
    }
    let place = if is_abstract { UnixPlace::Abstract(value.into()) } else { UnixPlace::Path(value.into()) };
    Ok(UnixAddress { kind, place })
}

pub fn socket_kind(kind: UnixKind) -> SocketKind {
    match kind {
        UnixKind::Stream => SocketKind::Stream,
        UnixKind::Seqpacket => SocketKind::Datagram,
    }
}

/// Path or name, and whether it is abstract.
pub fn parts(place: &UnixPlace) -> (&OsStr, bool) {
    match place {
        UnixPlace::Path(path) => (path.as_os_str(), false),
        UnixPlace::Abstract(name) => (name, true),
    }
}

pub fn place(path: OsString, is_abstract: bool) -> UnixPlace {
    if is_abstract { UnixPlace::Abstract(path) } else { UnixPlace::Path(path.into()) }
}

/// Messages that have no type of their own count as text: `-t`, also where it is the default and `-b` is not given.
pub fn is_text(args: &Args) -> bool {
    args.session.text || args.spec2.is_none() && !args.session.binary
}

/// Options of functions for SEQPACKET sockets, beside those of stream sockets.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(default)]
pub struct SeqpacketOpts {
    /// Messages that are read count as text
    pub text: bool,
    /// Longest message that is sent, in bytes; 655360 when absent
    pub max_send_datagram_size: Option<usize>,
}

impl SeqpacketOpts {
    /// They as `sockets` wants them. The send buffer grows with messages, unless the user says how large it is.
    pub fn options(self, buffers: BufferOpts) -> SeqpacketOptions {
        let max_send = self.max_send_datagram_size.unwrap_or(SCRIPT_MAX_SEND);
        SeqpacketOptions { text: self.text, max_send, grows: buffers.send_buffer_size.is_none() }
    }
}

/// Socket options that UNIX sockets know.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct BufferOpts {
    /// Receive buffer of the kernel, in bytes (SO_RCVBUF)
    #[serde(skip_serializing_if = "Option::is_none")]
    pub recv_buffer_size: Option<usize>,
    /// Send buffer of the kernel, in bytes (SO_SNDBUF)
    #[serde(skip_serializing_if = "Option::is_none")]
    pub send_buffer_size: Option<usize>,
}

impl BufferOpts {
    /// Those of the command line.
    pub fn of(packet: &PacketOpts) -> Self {
        Self { recv_buffer_size: packet.recv_buffer_size, send_buffer_size: packet.send_buffer_size }
    }

    /// They as `sockets` wants them.
    pub fn options(self) -> BufferOptions {
        BufferOptions { recv_buffer_size: self.recv_buffer_size, send_buffer_size: self.send_buffer_size }
    }
}
