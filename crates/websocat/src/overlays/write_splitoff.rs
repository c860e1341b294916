//! `write-splitoff:`: reads come from what it wraps, writes go to what `--write-splitoff` names.
//!
//! A rewriting pass turns it, with all that is below it, into an endpoint of both parts.

use crate::spec::{About, Form, OverlaySpec, Wraps};
use rhai::Engine;
use std::ffi::OsString;

/// The overlay.
#[derive(Clone, Debug, Default)]
pub struct WriteSplitoff;

/// Its other part and what becomes of the half that nobody uses.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct WriteSplitoffArgs {
    /// Write to this instead of the right side, or of what write-splitoff: stands on, which is then only read from
    #[arg(long, value_name = "SPEC")]
    pub write_splitoff: Option<OsString>,
    /// The side that is only read from is not told at once that nothing will be written to it
    #[arg(long)]
    pub write_splitoff_omit_shutdown: bool,
}

impl OverlaySpec for WriteSplitoff {
    const FORMS: &'static [Form] = &[Form {
        name: "write_splitoff",
        prefixes: &["write-splitoff:", "write-divert:", "wrdvrt:"],
        value: "",
        doc: "Reads from what it wraps and writes to what `--write-splitoff` names.",
    }];
    const WRAPS: Wraps = Wraps::Either;

    fn explain(&self, _: &About<'_>) -> String {
        "Only reads from what is below.".to_owned()
    }
}

/// Its functions belong to sockets in general.
pub(super) fn register(_: &mut Engine) {}
