//! `literal-base64:` and `literal_socket_base64`: fixed bytes, then EOF.

use crate::{
    error::{Error, Result},
    spec::{EndpointSpec, Form, Script, SocketKind, Then, string_literal},
};
use rhai::Engine;
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
        decode(text).map_err(Error::usage)?;
        Ok(Self(text.to_owned()))
    }

    fn kind(&self) -> Option<SocketKind> {
        Some(SocketKind::Stream)
    }

    fn emit(&self, script: &mut Script, then: &mut Then<'_>) -> Result<()> {
        let lit = script.assign("lit", &format!("literal_socket_base64({})", string_literal(&self.0)));
        then(script, lit)
    }
}

/// Standard alphabet, with or without padding; white space is left out.
pub fn decode(text: &str) -> Result<Vec<u8>, String> {
    use base64::{
        Engine as _,
        alphabet::STANDARD,
        engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
    };
    const LENIENT: GeneralPurpose = GeneralPurpose::new(
        &STANDARD,
        GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
    );
    let text: String = text.chars().filter(|c| !c.is_ascii_whitespace()).collect();
    LENIENT.decode(text).map_err(|e| format!("this is not base64: {e}"))
}

pub(super) fn register(_: &mut Engine) {}
