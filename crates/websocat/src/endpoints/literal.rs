//! `literal:` and `literal_socket`: fixed text, then EOF.

use crate::{
    error::{Error, Result},
    spec::{EndpointSpec, Form, Script, SocketKind, Then, string_literal},
};
use rhai::Engine;
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

    fn emit(&self, script: &mut Script, then: &mut Then<'_>) -> Result<()> {
        let lit = script.assign("lit", &format!("literal_socket({})", string_literal(&self.0)));
        then(script, lit)
    }
}

pub(super) fn register(_: &mut Engine) {}
