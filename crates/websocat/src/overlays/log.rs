//! `log:`: every read and write of the socket below goes to stderr too.

use crate::{
    error::Result,
    spec::{Form, OverlaySpec, Script, SocketKind, Then, Var},
};
use rhai::Engine;

#[derive(Clone, Debug)]
pub struct Log;

impl OverlaySpec for Log {
    const FORMS: &'static [Form] =
        &[Form { name: "log", prefixes: &["log:"], value: "", doc: "Prints each read and write to stderr." }];

    fn parse(_: &'static Form) -> Result<Self> {
        Ok(Self)
    }

    fn takes(&self) -> Option<SocketKind> {
        None
    }

    fn gives(&self, inner: SocketKind) -> SocketKind {
        inner
    }

    fn emit(&self, script: &mut Script, inner: Var, then: &mut Then<'_>) -> Result<()> {
        let log = script.assign("log", &format!("stream_logger(#{{}}, {inner})"));
        then(script, log)
    }
}

pub(super) fn register(_: &mut Engine) {}
