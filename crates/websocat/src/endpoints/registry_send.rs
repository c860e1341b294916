//! `registry-send:`: the left socket itself goes to a listener of the registry, of whichever kind it is.
//!
//! It is no socket: there is no exchange, and nothing can be put on top. The function is in `functions/`.

use super::registry_stream::registry_name;
use crate::{
    error::{Error, Result},
    spec::{About, EndpointSpec, Form, Script, SocketKind, Then, Var, string_literal},
};
use std::ffi::OsStr;

/// Whom the left socket goes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RegistrySend {
    pub name: String,
}

impl RegistrySend {
    /// The call that hands a socket over.
    pub fn call(&self, socket: &Var) -> String {
        format!("registry_send({}, {socket})", string_literal(&self.name))
    }
}

impl EndpointSpec for RegistrySend {
    const FORMS: &'static [Form] = &[Form {
        name: "registry-send",
        prefixes: &["registry-send:", "regsend:"],
        value: "NAME",
        doc: "On the right only: hands the left socket itself to `registry-stream-listen:` or \
              `registry-datagram-listen:` of that name, and waits until there is one.",
    }];

    fn parse(_: &'static Form, value: &OsStr) -> Result<Self> {
        Ok(Self { name: registry_name(value)? })
    }

    /// Neither: whatever the left side is.
    fn kind(&self) -> Option<SocketKind> {
        None
    }

    fn explain(&self, _: &About<'_>) -> String {
        format!("Hands the connection over to who listens at the name `{}` within this program.", self.name)
    }

    fn emit(&self, _: &mut Script, _: &mut Then<'_>) -> Result<()> {
        Err(Error::usage("registry-send: is no socket; it can only be the right side"))
    }
}

pub(super) fn register(_: &mut rhai::Engine) {}
