//! `defragment:` and its native function: fragments of a written message are held until the message is whole.

use crate::{
    error::Result,
    register,
    scenario::{Handle, OptsReader, RhOpts, RhResult, Take, handle},
    spec::{Form, OptionMap, OverlaySpec, Script, SocketKind, Then, Var},
};
use rhai::Engine;
use serde::{Deserialize, Serialize};
use sockets::{
    overlay::defragment::{self, DEFAULT_LIMIT},
    socket::DatagramSocket,
};

/// Only the write direction is changed.
#[derive(Clone, Debug, Default)]
pub struct Defragment;

/// Options of `defragment_writes`.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct DefragmentOpts {
    /// Longest message in bytes that is put together, 655360 when absent; a longer one is an error.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_send_datagram_size: Option<usize>,
}

/// What the overlay allows (the function alone allows less, as upstream): more than applications send, and little enough
/// that a peer cannot take the machine's memory with a few connections.
const OVERLAY_LIMIT: usize = 64 << 20;

impl OverlaySpec for Defragment {
    const FORMS: &'static [Form] = &[Form {
        name: "defragment",
        prefixes: &["defragment:"],
        value: "",
        doc: "Puts fragments of written messages together, so that each message is written at once.",
    }];

    fn parse(_: &'static Form) -> Result<Self> {
        Ok(Self)
    }

    fn takes(&self) -> Option<SocketKind> {
        Some(SocketKind::Datagram)
    }

    fn gives(&self, _: SocketKind) -> SocketKind {
        SocketKind::Datagram
    }

    fn emit(&self, script: &mut Script, inner: Var, then: &mut Then<'_>) -> Result<()> {
        let options = OptionMap::of(&DefragmentOpts { max_send_datagram_size: Some(OVERLAY_LIMIT) })?;
        let whole = script.assign("whole", &format!("defragment_writes({options}, {inner})"));
        then(script, whole)
    }
}

/// Collects fragments of written messages and passes on whole messages.
fn defragment_writes(opts: RhOpts<DefragmentOpts>, inner: Handle<DatagramSocket>) -> RhResult<Handle<DatagramSocket>> {
    let options: DefragmentOpts = OptsReader::read(opts)?;
    let limit = options.max_send_datagram_size.unwrap_or(DEFAULT_LIMIT);
    Ok(handle(defragment::defragment_writes(inner.take("socket")?, limit)))
}

pub(super) fn register(engine: &mut Engine) {
    register!(engine, defragment_writes);
}
