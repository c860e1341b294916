//! In a session of messages, a side that is a byte stream is cut: into lines (text) or as the bytes arrive (binary).

use super::super::Plan;
use crate::{
    error::Result,
    overlays::{Overlay, chunks::StreamChunks, lines::LineChunks},
    spec::SocketKind,
};

/// Puts an overlay on the side that has bytes when the other one has messages.
pub fn pass(plan: &mut Plan) -> Result<()> {
    // A child that gets the connection itself has nothing cut.
    if plan.kind() == SocketKind::Stream || plan.hands_over() {
        return Ok(());
    }
    let text = plan.text;
    for stack in plan.stacks_mut() {
        if stack.kind() == Some(SocketKind::Stream) {
            let chunker = if text {
                Overlay::LineChunks(LineChunks { console: false })
            } else {
                Overlay::StreamChunks(StreamChunks)
            };
            stack.overlays.push(chunker);
        }
    }
    Ok(())
}
