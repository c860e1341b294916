//! Lines directly on standard input and output show binary messages as they are, and escaped on a terminal.

use super::super::Plan;
use crate::{error::Result, overlays::Overlay};

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
