//! `literal:` and `literal_socket`: fixed text, then EOF.

use crate::{
    error::{Error, Result},
    register,
    scenario::{Handle, handle},
    spec::{About, EndpointSpec, Form, Script, SocketKind, Then, bytes_in_words, string_literal},
};
use rhai::Engine;
use sockets::{endpoint::literal::literal, socket::StreamSocket};
use std::ffi::OsStr;

/// Text that is in the specifier itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Literal(String);

impl EndpointSpec for Literal {
    const FORMS: &'static [Form] = &[Form {
        name: "literal",
        prefixes: &["literal:"],
        value: "TEXT",
        doc: "Reads give the text, then EOF. What is written is discarded.",
    }];

    fn parse(_: &'static Form, value: &OsStr) -> Result<Self> {
        let text = value.to_str().ok_or_else(|| Error::usage("the text is not UTF-8; use literal-base64:"))?;
        Ok(Self(text.to_owned()))
    }

    fn kind(&self) -> Option<SocketKind> {
        Some(SocketKind::Stream)
    }

    fn explain(&self, _: &About<'_>) -> String {
        format!(
            "Gives a text of {}, then its end; what comes from the other side is discarded.",
            bytes_in_words(self.0.len() as u64)
        )
    }

    fn emit(&self, script: &mut Script, then: &mut Then<'_>) -> Result<()> {
        let lit = script.assign("lit", &format!("literal_socket({})", string_literal(&self.0)));
        then(script, lit)
    }
}

/// A stream socket that gives this text, then EOF; what is written is discarded.
fn literal_socket(data: &str) -> Handle<StreamSocket> {
    handle(super::named(literal(data.as_bytes().to_vec()), "literal:"))
}

pub(super) fn register(engine: &mut Engine) {
    register!(engine, literal_socket);
}
