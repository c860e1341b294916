//! Tasks: what scripts build and the executor runs.
//!
//! A task ends with an error, done, or with another task to go on with. The runner drops a finished stage before it starts
//! the next, so that nothing of a handshake stays alive during the transfer that follows it.

use super::{Handle, handle};
use crate::error::Error;
use std::{future::Future, pin::Pin};

/// What follows a stage.
pub enum Flow {
    Done,
    Then(Task),
}

pub type Task = Pin<Box<dyn Future<Output = Result<Flow, Error>> + Send>>;
pub type TaskHandle = Handle<Task>;

/// A task handle for scripts.
pub fn task(stage: impl Future<Output = Result<Flow, Error>> + Send + 'static) -> TaskHandle {
    handle(Box::pin(stage) as Task)
}

/// Runs a task and all that follows it.
pub async fn run(mut task: Task) -> Result<(), Error> {
    loop {
        match task.as_mut().await? {
            Flow::Done => return Ok(()),
            Flow::Then(next) => task = next,
        }
    }
}
