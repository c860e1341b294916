//! Handles: how scripts hold sockets, halves, tasks and hangups. Each can be used once.

use super::RhResult;
use std::sync::{Arc, Mutex, PoisonError};

/// A value that a script passes around and that one function call takes out.
pub type Handle<T> = Arc<Mutex<Option<T>>>;

pub fn handle<T>(value: T) -> Handle<T> {
    Arc::new(Mutex::new(Some(value)))
}

/// A handle without a value, for parts that a socket does not have.
pub fn missing<T>() -> Handle<T> {
    Arc::new(Mutex::new(None))
}

/// Taking values out of handles.
pub trait Take<T> {
    /// The value, or a script error that names what is missing (`what`: "socket", "task").
    fn take(&self, what: &str) -> RhResult<T>;
}

impl<T> Take<T> for Handle<T> {
    fn take(&self, what: &str) -> RhResult<T> {
        let value = self.lock().unwrap_or_else(PoisonError::into_inner).take();
        value.ok_or_else(|| format!("this {what} was used up or taken away before").into())
    }
}
