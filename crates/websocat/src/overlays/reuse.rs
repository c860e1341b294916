//! `reuse-raw:`: many clients share one message socket, which the first of them opens.
//!
//! Its calls stand around those that make the inner socket, because those run for the first client only: a rewriting pass
//! therefore turns it, with all that is below it, into an endpoint of its own. The functions are in `functions/`.

use crate::spec::{About, Form, OverlaySpec, Wraps};
use rhai::Engine;

/// The overlay.
#[derive(Clone, Debug, Default)]
pub struct ReuseRaw;

/// What happens when a client leaves in the middle of a message.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct ReuseArgs {
    /// A message whose sender leaves in its middle is finished as it is, instead of ending the shared connection
    #[arg(long)]
    pub reuser_tolerate_torn_msgs: bool,
}

impl OverlaySpec for ReuseRaw {
    const FORMS: &'static [Form] = &[Form {
        name: "reuse_raw",
        prefixes: &["reuse-raw:", "raw-reuse:"],
        value: "",
        doc: "Lets many clients share one inner connection: what they write goes there in turn, and each message that \
              comes from there goes to one of them.",
    }];
    const WRAPS: Wraps = Wraps::Datagrams;

    fn explain(&self, _: &About<'_>) -> String {
        "Shares what is below among all clients.".to_owned()
    }
}

/// It has no function of its own.
pub(super) fn register(_: &mut Engine) {}
