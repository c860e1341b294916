//! Two stacks as one socket: one is read from, the other one written to. Passes make it from `write-splitoff:` and
//! `--write-splitoff`; it has no prefix of its own.

use crate::{
    error::{Error, Kind, Result},
    spec::{About, EndpointSpec, Form, OptionMap, Script, SocketKind, Stack, Then, emit_together},
};
use std::ffi::OsStr;

/// Both parts carry the same kind of data.
#[derive(Clone, Debug)]
pub struct WriteSplitoff {
    pub read: Box<Stack>,
    pub write: Box<Stack>,
}

impl EndpointSpec for WriteSplitoff {
    const FORMS: &'static [Form] = &[];

    fn parse(_: &'static Form, _: &OsStr) -> Result<Self> {
        Err(Error::new(Kind::Start, "a socket of two parts has no specifier of its own"))
    }

    fn kind(&self) -> Option<SocketKind> {
        self.read.kind().or_else(|| self.write.kind())
    }

    fn explain(&self, _: &About<'_>) -> String {
        "Reads from the first and writes to the second of these:".to_owned()
    }

    fn emit(&self, script: &mut Script, then: &mut Then<'_>) -> Result<()> {
        let function = match self.kind() {
            Some(SocketKind::Stream) => "combine_read_and_write_bytestream",
            _ => "combine_read_and_write_datagram",
        };
        // The Close of a whole WebSocket would end what is to be read; its pings are answered without our writer.
        let keep_open = script.args.overlays.write_splitoff.write_splitoff_omit_shutdown || self.read.is_complete();
        emit_together(&[&self.read, &self.write], script, &mut |script, opened| {
            let [read, write] = opened else { return Err(Error::new(Kind::Start, "two parts make this socket")) };
            if self.kind() == Some(SocketKind::Datagram) && self.write.is_complete() {
                // Pings of a WebSocket want answers, and its Close has to be seen.
                let options = OptionMap::new().flag("keep_open", keep_open);
                let split = script.assign("split", &format!("divert_writes({options}, {read}, {write})"));
                return then(script, split);
            }
            let split = script.assign("split", &format!("{function}({read}, {write})"));
            script.line(&format!("{}({read});", if keep_open { "drop" } else { "shutdown_and_drop" }));
            script.line(&format!("drop({write});"));
            then(script, split)
        })
    }
}

pub(super) fn register(_: &mut rhai::Engine) {}
