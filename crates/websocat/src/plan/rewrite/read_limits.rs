//! Length prefixes know beforehand how long a message will be: where the next stack has to put messages together, one that is
//! too long for it is refused at its header instead of when memory is used up to the limit.

use super::super::Plan;
use crate::{cli::Args, error::Result, overlays::Overlay, spec::Stack};
use std::iter::once;

/// Gives each `lengthprefixed:` the limit of whatever its messages are written to.
pub fn pass(plan: &mut Plan) -> Result<()> {
    let limit = |stack: &Stack| joins_up_to(stack, &plan.args);
    // What a side or filter says goes to the next filter of its direction, and at last to the other side.
    let forward: Vec<_> = plan.filters.iter().chain(once(&plan.right)).map(limit).collect();
    let reverse: Vec<_> = plan.reverse_filters.iter().chain(once(&plan.left)).map(limit).collect();
    let (left, right) = (once(&mut plan.left), once(&mut plan.right));
    let forward = left.chain(&mut plan.filters).zip(forward);
    let reverse = right.chain(&mut plan.reverse_filters).zip(reverse);
    for (stack, limit) in forward.chain(reverse) {
        stack.each(&mut |stack| {
            for overlay in &mut stack.overlays {
                if let Overlay::LengthPrefixed(prefixed) = overlay {
                    prefixed.readers_limit = limit;
                }
            }
            Ok(())
        })?;
    }
    Ok(())
}

/// The smallest limit of what holds written messages until they are whole.
fn joins_up_to(stack: &Stack, args: &Args) -> Option<u64> {
    let limits = stack.overlays.iter().filter_map(|overlay| match overlay {
        Overlay::Defragment(_) => Some(args.overlays.defragment.limit()),
        Overlay::LengthPrefixed(_) => args.overlays.lengthprefixed.joins_up_to(),
        _ => None,
    });
    limits.chain(stack.endpoint.parts().into_iter().filter_map(|part| joins_up_to(part, args))).min()
}
