//! Forms of specifiers and the traits of endpoints and overlays.
//!
//! A form is data: parser, generated pages and tests read the same table. The traits are implemented once per file of
//! `endpoints/` and `overlays/`.

use super::{Script, Then, Var};
use crate::{endpoints::socket_args::Sockets, error::Result};
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
    /// Which socket options its sockets take.
    fn sockets(&self) -> Sockets {
        Sockets::default()
    }
    /// Writes the call that makes the socket; `then` writes what is done with it.
    fn emit(&self, script: &mut Script, then: &mut Then<'_>) -> Result<()>;
}

/// An overlay: one file in `overlays/`, one row in its list.
pub trait OverlaySpec: Clone + fmt::Debug + Sized {
    const FORMS: &'static [Form];
    fn parse(form: &'static Form) -> Result<Self>;
    /// The form in which it is written; to be said only where there are several.
    fn form(&self) -> &'static Form {
        &Self::FORMS[0]
    }
    /// Kind of socket that it wraps; None: either.
    fn takes(&self) -> Option<SocketKind>;
    /// Kind of socket that it gives, on top of `inner`.
    fn gives(&self, inner: SocketKind) -> SocketKind;
    /// Writes the call that wraps `inner`.
    fn emit(&self, script: &mut Script, inner: Var, then: &mut Then<'_>) -> Result<()>;
}
