//! Several stacks of messages as one socket. Passes make it from `tee:` and `--tee`; it has no prefix of its own.

use crate::{
    error::{Error, Kind, Result},
    spec::{About, EndpointSpec, Form, OptionMap, Script, SocketKind, Stack, Then, emit_together},
};
use std::ffi::OsStr;

/// The first one is the main one.
#[derive(Clone, Debug)]
pub struct Tee {
    pub nodes: Vec<Stack>,
}

impl EndpointSpec for Tee {
    const FORMS: &'static [Form] = &[];

    fn parse(_: &'static Form, _: &OsStr) -> Result<Self> {
        Err(Error::new(Kind::Start, "joined sockets have no specifier of their own"))
    }

    fn kind(&self) -> Option<SocketKind> {
        Some(SocketKind::Datagram)
    }

    fn explain(&self, _: &About<'_>) -> String {
        "Joins several connections as one: what is written goes to each of them, and what any of them says is read:"
            .to_owned()
    }

    fn emit(&self, script: &mut Script, then: &mut Then<'_>) -> Result<()> {
        let options = OptionMap::of(&script.args.overlays.tee.script_options())?;
        emit_together(&self.nodes.iter().collect::<Vec<_>>(), script, &mut |script, opened| {
            let tee = script.assign("tee", &format!("tee({options}, [{}])", opened.join(", ")));
            then(script, tee)
        })
    }
}

pub(super) fn register(_: &mut rhai::Engine) {}
