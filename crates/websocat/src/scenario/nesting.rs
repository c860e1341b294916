//! How deep values of a script are nested in each other: tasks that hold tasks, sockets around sockets, functions that hold
//! either.
//!
//! What is inside of something else is polled and dropped from within it, on one stack, so that a loop which wraps its own
//! result would end the whole program. Each native function is called through [`native_call`], which knows how deep the values
//! are that it is given: what it makes is one deeper, up to [`MAX_NESTING`]. What tasks hand to functions is as deep as the
//! task. Tasks that come into being while others wait for them are counted as they run. What lists, maps and closures make of
//! each other is looked at in `values`.

use super::RhResult;
use crate::error::{Error, Kind};
use std::cell::Cell;

/// Values inside of each other. Command lines need a dozen. The greediest ones take some 8 KiB of stack each in builds without
/// optimisation, a quarter of that in others; there are 2 MiB, of which a function that is called inside needs its part.
pub const MAX_NESTING: u32 = 100;

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

mod values;
pub(super) use values::{depth_of_argument, look_at_variables};

#[cfg(test)]
mod tests;
