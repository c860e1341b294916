//! Tasks: making, ordering and waiting for them.

use crate::{
    register,
    scenario::{Flow, TaskHandle, task},
};
use rhai::Engine;

/// A task that is over at once.
fn dummy_task() -> TaskHandle {
    task(async { Ok(Flow::Done) })
}

pub(super) fn register(engine: &mut Engine) {
    register!(engine, dummy_task);
}
