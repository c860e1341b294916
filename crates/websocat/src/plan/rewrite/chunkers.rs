//! In a session of messages, a side or filter that is a byte stream is cut: into lines (text) or as the bytes arrive (binary).

use super::super::Plan;
use crate::{error::Result, spec::SocketKind};

/// Puts an overlay on what has bytes when others have messages.
pub fn pass(plan: &mut Plan) -> Result<()> {
    // A child that gets the connection itself has nothing cut.
    if plan.kind() == SocketKind::Datagram && !plan.hands_over() {
        let text = plan.text;
        plan.stacks_mut().into_iter().for_each(|stack| stack.cut(text));
    }
    Ok(())
}
