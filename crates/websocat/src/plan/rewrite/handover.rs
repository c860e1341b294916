//! `--exec-dup2`: the child on the right gets the left connection itself, so that overlays do not apply.

use super::super::{Plan, lint};
use crate::{
    endpoints::Endpoint,
    error::{Error, Result},
};

/// Refuses what cannot be handed over, and leaves away what would not be used.
pub fn pass(plan: &mut Plan) -> Result<()> {
    if plan.args.endpoints.process.exec_dup2.is_none() {
        return Ok(());
    }
    let is_process = |endpoint: &Endpoint| matches!(endpoint, Endpoint::Process(_));
    if !is_process(&plan.right.endpoint) || is_process(&plan.left.endpoint) {
        return Err(Error::usage("--exec-dup2 needs cmd: or exec: on the right side, and something else on the left"));
    }
    if !(plan.left.overlays.is_empty() && plan.right.overlays.is_empty()) {
        plan.found(&lint::BARE_HANDOVER, "--exec-dup2: overlays are ignored; the child gets the bare connection, and what they have read of it is lost");
    }
    plan.right.overlays.clear();
    Ok(())
}
