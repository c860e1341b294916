//! Standard input and output: lines directly on them show binary messages as they are, and escaped on a terminal; who shares
//! them does not close them for others.

use super::super::Plan;
use crate::{endpoints::Endpoint, error::Result, overlays::Overlay};

/// Marks lines that stand directly on a real stdio.
pub fn pass(plan: &mut Plan) -> Result<()> {
    plan.each_stack(|stack| {
        if stack.endpoint.is_stdio()
            && let Some(Overlay::LineChunks(lines)) = stack.overlays.iter_mut().find(|o| !matches!(o, Overlay::Log(_)))
        {
            lines.console = true;
        }
        Ok(())
    })
}

/// Many connections that each open standard input and output must leave them open.
pub fn share(plan: &mut Plan) -> Result<()> {
    let many = plan.left.is_multi() && !plan.args.session.oneshot;
    let each = plan.right.reaches_stdio() && !matches!(plan.right.endpoint, Endpoint::Reuser(_));
    plan.shares_stdio |= many && each;
    Ok(())
}
