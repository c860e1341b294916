//! How deep values of a script are nested in each other: tasks that hold tasks, sockets around sockets, functions that hold
//! either.
//!
//! What is inside of something else is polled and dropped from within it, on one stack, so that a loop which wraps its own
//! result would end the whole program. Each native function is called through [`native_call`], which knows how deep the values
//! are that it is given: what it makes is one deeper, up to [`MAX_NESTING`]. What tasks hand to functions is as deep as the
//! task. Tasks that come into being while others wait for them are counted as they run.

use super::{Handle, RhResult, Task};
use crate::error::{Error, Kind};
use rhai::{Array, Dynamic, FnPtr, Map};
use sockets::{
    datagram::{BoxDatagramRead, BoxDatagramWrite},
    hangup::Hangup,
    socket::{DatagramSocket, StreamSocket},
    stream::{BoxStreamRead, BoxStreamWrite},
};
use std::{any::Any, cell::Cell};

/// Values inside of each other. Command lines need a dozen. The greediest ones take some 8 KiB of stack each in builds without
/// optimisation, a quarter of that in others; there are 2 MiB, of which a function that is called inside needs its part.
pub const MAX_NESTING: u32 = 100;

/// Items of a list, and what else is in it, that are looked at; more are no trap that somebody falls into by mistake.
const LOOKED_AT: u32 = 10_000;

/// What this thread is doing.
#[derive(Clone, Copy, Default)]
struct Frame {
    /// Of what the function or task of the moment holds.
    holds: u32,
    /// Of the deepest value that it made.
    made: u32,
    /// Tasks that are being polled, each by the one before.
    running: u32,
    /// It is a native function: what is taken out of handles then goes into what it makes.
    native: bool,
}

thread_local! {
    static FRAME: Cell<Frame> = const { Cell::new(Frame { holds: 0, made: 0, running: 0, native: false }) };
}

/// The depth of a value if it is one of the handles that scripts have.
macro_rules! depth_of_handle {
    (|$T:ident| $handle:expr) => {
        'found: {
            depth_of_handle!(@ 'found, $T, $handle, Task StreamSocket DatagramSocket Hangup BoxStreamRead BoxStreamWrite
                BoxDatagramRead BoxDatagramWrite);
            0
        }
    };
    (@ $found:lifetime, $T:ident, $handle:expr, $($kind:ident)+) => {
        $({
            type $T = $kind;
            if let Some(handle) = $handle {
                break $found handle.depth();
            }
        })+
    };
}

/// Puts the outer frame back, whatever way the call ends.
struct Restore(Frame);

impl Drop for Restore {
    fn drop(&mut self) {
        FRAME.set(self.0);
    }
}

/// The depth of a new value around what the function or task of the moment holds.
pub fn around() -> u32 {
    let mut frame = FRAME.get();
    let depth = frame.holds.saturating_add(1);
    frame.made = frame.made.max(depth);
    FRAME.set(frame);
    depth
}

/// The depth of what the function or task of the moment holds.
pub(super) fn held() -> u32 {
    FRAME.get().holds
}

/// What the function or task of the moment makes will hold something as deep as this, which is not among its arguments.
pub fn holds(depth: u32) {
    let mut frame = FRAME.get();
    frame.holds = frame.holds.max(depth);
    FRAME.set(frame);
}

/// Something as deep as this was taken out of its handle.
pub(super) fn taken(depth: u32) {
    if FRAME.get().native {
        holds(depth);
    }
}

/// Runs a native function of this name that was given values of this depth.
pub(super) fn native_call<R>(name: &str, given: u32, function: impl FnOnce() -> RhResult<R>) -> RhResult<R> {
    let too_deep = || {
        Err(format!("{name}: more than {MAX_NESTING} tasks, sockets or functions are inside of each other here").into())
    };
    if given > MAX_NESTING {
        return too_deep();
    }
    let outer = FRAME.get();
    let _restore = Restore(outer);
    FRAME.set(Frame { holds: given, made: 0, native: true, ..outer });
    let result = function()?;
    if FRAME.get().made > MAX_NESTING { too_deep() } else { Ok(result) }
}

/// Polls a task of this depth; fails when too many wait for it.
pub(super) fn running<R>(depth: u32, poll: impl FnOnce() -> R) -> Result<R, Error> {
    let outer = FRAME.get();
    if outer.running >= MAX_NESTING {
        let text = format!(
            "script: more than {MAX_NESTING} tasks wait for each other (a task that waits for one like itself?)"
        );
        return Err(Error::new(Kind::Start, text));
    }
    let _restore = Restore(outer);
    // What it makes stands in its place.
    FRAME.set(Frame { holds: depth.saturating_sub(1), made: 0, running: outer.running + 1, native: false });
    Ok(poll())
}

/// The depth of an argument of a native function.
pub(super) fn depth_of_argument(x: &dyn Any) -> u32 {
    let left = &mut { LOOKED_AT };
    if let Some(value) = x.downcast_ref::<Dynamic>() {
        depth_of(value, 0, left)
    } else if let Some(array) = x.downcast_ref::<Array>() {
        deepest(array, 0, left)
    } else if let Some(map) = x.downcast_ref::<Map>() {
        deepest(map.values(), 0, left)
    } else if let Some(function) = x.downcast_ref::<FnPtr>() {
        deepest(function.curry(), 0, left)
    } else {
        depth_of_handle!(|T| x.downcast_ref::<Handle<T>>())
    }
}

/// The depth of the deepest handle in a value that is `levels` deep in others. Closures may well hold themselves.
fn depth_of(value: &Dynamic, levels: u32, left: &mut u32) -> u32 {
    // A variable that is being written to is the object of the call.
    if *left == 0 || levels > MAX_NESTING || value.is_shared() && value.is_locked() {
        return 0;
    }
    *left -= 1;
    if let Some(array) = value.read_lock::<Array>() {
        return deepest(&*array, levels + 1, left);
    }
    if let Some(map) = value.read_lock::<Map>() {
        return deepest(map.values(), levels + 1, left);
    }
    if let Some(function) = value.read_lock::<FnPtr>() {
        return deepest(function.curry(), levels + 1, left);
    }
    depth_of_handle!(|T| value.read_lock::<Handle<T>>())
}

fn deepest<'a>(values: impl IntoIterator<Item = &'a Dynamic>, levels: u32, left: &mut u32) -> u32 {
    values.into_iter().map(|value| depth_of(value, levels, left)).max().unwrap_or(0)
}

#[cfg(test)]
mod tests;
