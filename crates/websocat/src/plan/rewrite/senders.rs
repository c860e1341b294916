//! `registry-send:` takes the left side as it is: it stands on the right, and alone.

use super::super::Plan;
use crate::{
    endpoints::Endpoint,
    error::{Error, Result},
    spec::Stack,
};

/// Refuses it anywhere else.
pub fn pass(plan: &mut Plan) -> Result<()> {
    let sends = |stack: &Stack| matches!(stack.endpoint, Endpoint::RegistrySend(_));
    if plan.stacks().enumerate().any(|(i, stack)| i != 1 && sends(stack)) {
        return Err(Error::usage("registry-send: can only be the right side"));
    }
    if !sends(&plan.right) {
        return Ok(());
    }
    if !plan.right.overlays.is_empty() {
        return Err(Error::usage("nothing can stand in front of registry-send:; put overlays on the left side"));
    }
    if plan.stacks().count() > 2 {
        let text = "--filter, --filter-reverse, --write-splitoff and --tee are for the one who listens, not for registry-send:";
        return Err(Error::usage(text));
    }
    Ok(())
}
