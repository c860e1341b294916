//! Web pages of anywhere must not reach a process, a file or the terminal through a WebSocket server of this machine.

use super::super::Plan;
use crate::{error::Result, overlays::Overlay, spec::Stack};

/// Guards a whole WebSocket server whose other side is such a thing. `--allow-origin` says otherwise.
pub fn pass(plan: &mut Plan) -> Result<()> {
    let beside = plan.stacks().skip(2).any(Stack::is_private);
    let Plan { left, right, .. } = plan;
    let (left_is_private, right_is_private) = (left.is_private(), right.is_private());
    guard(left, right_is_private || beside);
    guard(right, left_is_private || beside);
    Ok(())
}

fn guard(stack: &mut Stack, other_is_private: bool) {
    for overlay in &mut stack.overlays {
        if let Overlay::WsAccept(accept) = overlay {
            accept.guarded = accept.complete && other_is_private;
        }
    }
}
