//! Forms of specifiers and the traits of endpoints and overlays.
//!
//! A form is data: parser, generated pages and tests read the same table. The traits are implemented once per file of
//! `endpoints/` and `overlays/`.

use super::{About, Script, Then, Var};
use crate::{
    endpoints::socket_args::Sockets,
    error::{Error, Kind, Result},
};
use std::{ffi::OsStr, fmt};

/// One documented way to write a specifier: aliases and documentation are data.
#[derive(Debug)]
pub struct Form {
    /// Unique name, also in documentation.
    pub name: &'static str,
    /// First one is the main one. Endpoints end in `:` or `://`.
    pub prefixes: &'static [&'static str],
    /// What follows the prefix, for help: `HOST:PORT`, `PATH`; empty when nothing may follow.
    pub value: &'static str,
    /// One sentence first.
    pub doc: &'static str,
}

/// What flows through a socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SocketKind {
    Stream,
    Datagram,
}

impl fmt::Display for SocketKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Stream => "byte stream",
            Self::Datagram => "datagram",
        })
    }
}

/// An endpoint: one file in `endpoints/`, one row in its list.
pub trait EndpointSpec: Clone + fmt::Debug + Sized {
    const FORMS: &'static [Form];
    /// `value` is all that follows the prefix.
    fn parse(form: &'static Form, value: &OsStr) -> Result<Self>;
    /// None where it depends on the rest of the stack and session (`mirror:`).
    fn kind(&self) -> Option<SocketKind>;
    /// Gives a socket per incoming connection.
    fn is_listener(&self) -> bool {
        false
    }
    /// There is only one of it in the process, or sharing it by opening it twice does harm.
    fn is_single(&self) -> bool {
        false
    }
    /// What it does, for `--explain`: a sentence or two without a subject.
    fn explain(&self, about: &About<'_>) -> String;
    /// Which socket options its sockets take.
    fn sockets(&self) -> Sockets {
        Sockets::default()
    }
    /// Writes the call that makes the socket; `then` writes what is done with it.
    fn emit(&self, script: &mut Script, then: &mut Then<'_>) -> Result<()>;
}

/// What an overlay wraps, and what it makes of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wraps {
    /// A byte stream, which stays one.
    Stream,
    /// A byte stream, of which messages are made.
    StreamIntoDatagrams,
    /// Messages, which stay messages.
    Datagrams,
    /// Either, which stays what it is.
    Either,
}

impl Wraps {
    /// Kind of socket that is wrapped; None: either.
    pub fn takes(self) -> Option<SocketKind> {
        match self {
            Self::Stream | Self::StreamIntoDatagrams => Some(SocketKind::Stream),
            Self::Datagrams => Some(SocketKind::Datagram),
            Self::Either => None,
        }
    }

    /// Kind of socket that comes of it, on top of `inner`.
    pub fn gives(self, inner: SocketKind) -> SocketKind {
        match self {
            Self::Stream => SocketKind::Stream,
            Self::StreamIntoDatagrams | Self::Datagrams => SocketKind::Datagram,
            Self::Either => inner,
        }
    }
}

/// An overlay: one file in `overlays/`, one row in its list.
pub trait OverlaySpec: Clone + Default + fmt::Debug {
    const FORMS: &'static [Form];
    const WRAPS: Wraps;
    /// To be said only where forms differ in more than their names.
    fn parse(_: &'static Form) -> Result<Self> {
        Ok(Self::default())
    }
    /// The form in which it is written; to be said only where there are several.
    fn form(&self) -> &'static Form {
        &Self::FORMS[0]
    }
    /// What it does, for `--explain`: a sentence or two without a subject.
    fn explain(&self, about: &About<'_>) -> String;
    /// Writes the call that wraps `inner`; to be said only where no rewriting pass puts something else in its place.
    fn emit(&self, _script: &mut Script, _inner: Var, _then: &mut Then<'_>) -> Result<()> {
        let prefix = self.form().prefixes.first().copied().unwrap_or_default();
        Err(Error::new(Kind::Start, format!("{prefix} was not replaced by its parts; this is a bug of the planner")))
    }
}
