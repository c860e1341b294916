//! Handles: how scripts hold sockets, halves, tasks and hangups. Each can be used once.

use super::{RhResult, nesting};
use std::{
    ops::Deref,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU32, Ordering::Relaxed},
    },
};

/// A value that a script passes around and that one function call takes out. Clones share it.
pub struct Handle<T>(Arc<Held<T>>);

struct Held<T> {
    value: Mutex<Option<T>>,
    /// How many others are inside of it, each in the one before (`nesting`).
    depth: AtomicU32,
}

/// Something new around what the native function of the moment was given.
pub fn handle<T>(value: T) -> Handle<T> {
    Handle::new(Some(value), nesting::around())
}

/// Something new from outside, with nothing in it that the script has made, whatever the task of the moment holds.
pub fn fresh<T>(value: T) -> Handle<T> {
    Handle::new(Some(value), 1)
}

/// A part of what the native function of the moment was given, not deeper than that.
pub fn moved<T>(value: Option<T>) -> Handle<T> {
    Handle::new(value, nesting::held())
}

/// A handle without a value, for parts that a socket does not have.
pub fn missing<T>() -> Handle<T> {
    Handle::new(None, 0)
}

impl<T> Handle<T> {
    fn new(value: Option<T>, depth: u32) -> Self {
        Self(Arc::new(Held { value: Mutex::new(value), depth: AtomicU32::new(depth) }))
    }

    /// Whether both are the same one.
    pub fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    pub(super) fn depth(&self) -> u32 {
        self.0.depth.load(Relaxed)
    }

    /// Something that the native function of the moment was given was put into its value.
    pub fn deepen(&self) {
        self.0.depth.fetch_max(nesting::held(), Relaxed);
    }
}

impl<T> Clone for Handle<T> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<T> Deref for Handle<T> {
    type Target = Mutex<Option<T>>;

    fn deref(&self) -> &Self::Target {
        &self.0.value
    }
}

/// Taking values out of handles.
pub trait Take<T> {
    /// The value, or a script error that names what is missing (`what`: "socket", "task").
    fn take(&self, what: &str) -> RhResult<T>;
}

impl<T> Take<T> for Handle<T> {
    fn take(&self, what: &str) -> RhResult<T> {
        let value = self.lock().unwrap_or_else(PoisonError::into_inner).take();
        nesting::taken(self.depth());
        value.ok_or_else(|| format!("this {what} was used up or taken away before").into())
    }
}
