//! Length prefixes know beforehand how long a message will be: where the other side has to put messages together, one that is
//! too long for it is refused at its header instead of when memory is used up to the limit.

use super::super::Plan;
use crate::{cli::Args, endpoints::Endpoint, error::Result, overlays::Overlay, spec::Stack};

/// Gives each `lengthprefixed:` the limit of the other side.
pub fn pass(plan: &mut Plan) -> Result<()> {
    let args = plan.args.clone();
    let limits = [joins_up_to(&plan.right, &args), joins_up_to(&plan.left, &args)];
    for (stack, limit) in plan.stacks_mut().into_iter().zip(limits) {
        limit_reads(stack, limit);
    }
    Ok(())
}

/// The smallest limit of what holds written messages until they are whole.
fn joins_up_to(stack: &Stack, args: &Args) -> Option<u64> {
    let shared = if let Endpoint::Reuser(reuser) = &stack.endpoint { joins_up_to(&reuser.inner, args) } else { None };
    let limits = stack.overlays.iter().filter_map(|overlay| match overlay {
        Overlay::Defragment(_) => Some(args.overlays.defragment.limit()),
        Overlay::LengthPrefixed(_) => args.overlays.lengthprefixed.joins_up_to(),
        _ => None,
    });
    limits.chain(shared).min()
}

fn limit_reads(stack: &mut Stack, limit: Option<u64>) {
    if let Endpoint::Reuser(reuser) = &mut stack.endpoint {
        limit_reads(&mut reuser.inner, limit);
    }
    for overlay in &mut stack.overlays {
        if let Overlay::LengthPrefixed(prefixed) = overlay {
            prefixed.readers_limit = limit;
        }
    }
}
