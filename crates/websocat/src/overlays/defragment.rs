//! `defragment:` and its native function: fragments of a written message are held until the message is whole.

use crate::{
    cli::value::Size,
    error::Result,
    register,
    scenario::{Handle, OptsReader, RhOpts, RhResult, Take, handle},
    spec::{About, Form, OptionMap, OverlaySpec, Script, Then, Var, Wraps, bytes_in_words},
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

/// Options of joined messages as typed.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct DefragmentArgs {
    /// Longest message that defragment: puts together; 64m when absent
    #[arg(long, value_name = "SIZE", value_parser = Size::positive)]
    pub defragment_max_size: Option<Size>,
}

impl DefragmentArgs {
    /// Longest message that the overlay passes.
    pub fn limit(&self) -> u64 {
        self.defragment_max_size.map_or(OVERLAY_LIMIT, |size| size.0)
    }
}

/// What the overlay allows (the function alone allows less, as upstream): more than applications send, and little enough
/// that a peer cannot take the machine's memory with a few connections.
const OVERLAY_LIMIT: u64 = 64 << 20;

impl OverlaySpec for Defragment {
    const FORMS: &'static [Form] = &[Form {
        name: "defragment",
        prefixes: &["defragment:"],
        value: "",
        doc: "Puts fragments of written messages together, so that each message is written at once.",
    }];
    const WRAPS: Wraps = Wraps::Datagrams;

    fn explain(&self, about: &About<'_>) -> String {
        let limit = bytes_in_words(about.args.overlays.defragment.limit());
        format!("Puts messages that come in parts together, up to {limit}.")
    }

    fn emit(&self, script: &mut Script, inner: Var, then: &mut Then<'_>) -> Result<()> {
        let limit = usize::try_from(script.args.overlays.defragment.limit()).unwrap_or(usize::MAX);
        let options =
            OptionMap::of(&DefragmentOpts { max_send_datagram_size: Some(limit).filter(|n| *n != DEFAULT_LIMIT) })?;
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
