//! UNIX sockets by path or abstract name, streams or SEQPACKET: what specifiers and functions of clients and listeners share.

use crate::{
    cli::Args,
    error::{Error, Result},
    spec::{Form, SocketKind},
};
use sockets::net::unix::{SeqpacketOptions, UnixAddress, UnixKind, UnixPlace};
use std::ffi::{OsStr, OsString};

/// Limit of a message that is sent, when a script says nothing.
const SCRIPT_MAX_SEND: usize = 655_360;
/// The same on the command line: what `defragment:` and length prefixes have, too.
const MAX_SEND: usize = 1 << 20;

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

/// What scripts say of SEQPACKET messages.
pub fn seqpacket_options(text: bool, max_send_datagram_size: Option<usize>) -> SeqpacketOptions {
    SeqpacketOptions { text, max_send: max_send_datagram_size.unwrap_or(SCRIPT_MAX_SEND) }
}
