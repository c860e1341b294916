//! Tasks: what scripts build and the executor runs.
//!
//! A task ends with an error, done, or with another task to go on with. The runner drops a finished stage before it starts
//! the next, so that nothing of a handshake stays alive during the transfer that follows it.

use super::{Handle, handle, nesting};
use crate::error::Error;
use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
};

/// What follows a stage.
pub enum Flow {
    Done,
    Then(Task),
}

/// One stage. Polled in too many others (`nesting`) it fails; dropped, it ends what it has begun.
pub struct Task {
    stage: Pin<Box<dyn Future<Output = Result<Flow, Error>> + Send>>,
    depth: u32,
}

pub type TaskHandle = Handle<Task>;

impl Task {
    /// A task around what the native function of the moment was given.
    pub fn new(stage: impl Future<Output = Result<Flow, Error>> + Send + 'static) -> Self {
        Self { stage: Box::pin(stage), depth: nesting::around() }
    }
}

impl Future for Task {
    type Output = Result<Flow, Error>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let depth = self.depth;
        match nesting::running(depth, || self.stage.as_mut().poll(cx)) {
            Ok(poll) => poll,
            Err(error) => Poll::Ready(Err(error)),
        }
    }
}

/// A task handle for scripts.
pub fn task(stage: impl Future<Output = Result<Flow, Error>> + Send + 'static) -> TaskHandle {
    handle(Task::new(stage))
}

/// Runs a task and all that follows it.
pub fn run(task: Task) -> Run {
    Run(task)
}

/// See [`run`].
pub struct Run(Task);

impl Future for Run {
    type Output = Result<(), Error>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        loop {
            match ready!(Pin::new(&mut self.0).poll(cx))? {
                Flow::Done => return Poll::Ready(Ok(())),
                Flow::Then(next) => self.0 = next,
            }
        }
    }
}
