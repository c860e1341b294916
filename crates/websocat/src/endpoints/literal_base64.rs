//! `literal-base64:` and `literal_socket_base64`: fixed bytes, then EOF.

use crate::{
    error::{Error, Result},
    functions::decode_base64,
    register,
    scenario::{Handle, RhResult, handle},
    spec::{About, EndpointSpec, Form, Script, SocketKind, Then, string_literal},
};
use rhai::Engine;
use sockets::{endpoint::literal::literal, socket::StreamSocket};
use std::ffi::OsStr;

/// Bytes that are in the specifier itself, as base64 text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LiteralBase64(String);

impl EndpointSpec for LiteralBase64 {
    const FORMS: &'static [Form] = &[Form {
        name: "literal-base64",
        prefixes: &["literal-base64:"],
        value: "BASE64",
        doc: "Reads give the decoded bytes, then EOF. What is written is discarded.",
    }];

    fn parse(_: &'static Form, value: &OsStr) -> Result<Self> {
        let text = value.to_str().ok_or_else(|| Error::usage("this is not base64: it is not even UTF-8"))?;
        decode_base64(text).map_err(Error::usage)?;
        Ok(Self(text.to_owned()))
    }

    fn kind(&self) -> Option<SocketKind> {
        Some(SocketKind::Stream)
    }

    fn explain(&self, _: &About<'_>) -> String {
        "Gives the bytes of a base64 text, then their end; what comes from the other side is discarded.".to_owned()
    }

    fn emit(&self, script: &mut Script, then: &mut Then<'_>) -> Result<()> {
        let lit = script.assign("lit", &format!("literal_socket_base64({})", string_literal(&self.0)));
        then(script, lit)
    }
}

/// A stream socket that gives the bytes that this base64 text stands for, then EOF; what is written is discarded.
fn literal_socket_base64(data: &str) -> RhResult<Handle<StreamSocket>> {
    Ok(handle(super::named(literal(decode_base64(data)?), "literal-base64:")))
}

pub(super) fn register(engine: &mut Engine) {
    register!(engine, literal_socket_base64);
}
