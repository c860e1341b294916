//! Looking into values of scripts: lists, maps and closures, and the handles that are in them.
//!
//! Rhai drops what is inside of something else on one stack, too, and knows no limit for closures that hold closures. Nothing
//! gets deeper without a variable being read, so that this is where they are looked at; a look costs a few steps, however large
//! the value is. Closures may well hold themselves.

use super::MAX_NESTING;
use crate::scenario::{Handle, Task};
use rhai::{Array, Dynamic, Engine, FnPtr, Map};
use sockets::{
    datagram::{BoxDatagramRead, BoxDatagramWrite},
    hangup::Hangup,
    socket::{DatagramSocket, StreamSocket},
    stream::{BoxStreamRead, BoxStreamWrite},
};
use std::any::Any;

/// Items of a list, and what else is in it, that are looked at; more are no trap that somebody falls into by mistake.
const IN_ARGUMENTS: u32 = 10_000;
/// The same for variables, which are read far more often: enough for a chain that is too long with seven others beside each.
const IN_VARIABLES: u32 = 8 * MAX_NESTING;
/// Items at each end of a list in a variable.
const AT_ENDS: usize = 4;
/// Lists, maps and closures around a handle that take as much stack to drop as one more handle.
const LEVELS_PER_HANDLE: u32 = 4;

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

/// The depth of an argument of a native function.
pub(in crate::scenario) fn depth_of_argument(x: &dyn Any) -> u32 {
    let mut look = Look { left: IN_ARGUMENTS, each: usize::MAX, depth: 0, too_deep: false };
    if let Some(value) = x.downcast_ref::<Dynamic>() {
        look.at(value, Inside::default());
    } else if let Some(list) = x.downcast_ref::<Array>() {
        look.at_list(list, Inside::default());
    } else if let Some(map) = x.downcast_ref::<Map>() {
        look.at_all(map.values(), Inside::default());
    } else if let Some(function) = x.downcast_ref::<FnPtr>() {
        look.at_all(function.curry(), Inside::default());
    } else {
        return depth_of_handle!(|T| x.downcast_ref::<Handle<T>>());
    }
    if look.too_deep { MAX_NESTING + 1 } else { look.depth }
}

/// Makes it an error to read a variable whose value is too deep.
#[allow(deprecated)] // It is not, as Rhai says: it may change, which would not compile.
pub(in crate::scenario) fn look_at_variables(engine: &mut Engine) {
    engine.on_var(|name, index, context| {
        let mut variables = context.scope().iter_raw();
        let found = match index.checked_sub(1) {
            Some(later) => variables.nth(later),
            None => variables.find(|(other, ..)| *other == name),
        };
        match found {
            Some((.., value)) if is_too_deep(value) => {
                Err(format!("{name}: more than {MAX_NESTING} lists, maps or functions are inside of each other here")
                    .into())
            }
            _ => Ok(None),
        }
    });
}

fn is_too_deep(value: &Dynamic) -> bool {
    let mut look = Look { left: IN_VARIABLES, each: AT_ENDS, depth: 0, too_deep: false };
    look.at(value, Inside::default());
    look.too_deep
}

/// Where in a value something is.
#[derive(Clone, Copy, Default)]
struct Inside<'a> {
    levels: u32,
    /// The innermost value around it that several may have.
    shared: Option<&'a Shared<'a>>,
}

struct Shared<'a> {
    address: usize,
    around: Option<&'a Shared<'a>>,
}

struct Look {
    /// Values that may yet be looked at.
    left: u32,
    /// Items at each end of lists that are.
    each: usize,
    /// Of the deepest handle, and what is around it.
    depth: u32,
    /// Lists, maps and closures alone are too many.
    too_deep: bool,
}

impl Look {
    fn at(&mut self, value: &Dynamic, inside: Inside<'_>) {
        // A variable that is being written to is the object of the call.
        if self.left == 0 || self.too_deep || value.is_shared() && value.is_locked() {
            return;
        }
        self.left -= 1;
        if let Some(list) = value.read_lock::<Array>() {
            self.into(value, std::ptr::from_ref(&*list).addr(), inside, |look, inside| look.at_list(&list, inside));
        } else if let Some(map) = value.read_lock::<Map>() {
            self.into(value, std::ptr::from_ref(&*map).addr(), inside, |look, inside| look.at_map(&map, inside));
        } else if let Some(function) = value.read_lock::<FnPtr>() {
            let address = std::ptr::from_ref(&*function).addr();
            self.into(value, address, inside, |look, inside| look.at_all(function.curry(), inside));
        } else {
            let depth = depth_of_handle!(|T| value.read_lock::<Handle<T>>());
            if depth > 0 {
                self.depth = self.depth.max(depth.saturating_add(inside.levels / LEVELS_PER_HANDLE));
            }
        }
    }

    /// Looks into a value, which stands at this address, unless it is inside of itself.
    fn into(&mut self, value: &Dynamic, address: usize, inside: Inside<'_>, go_on: impl FnOnce(&mut Self, Inside<'_>)) {
        let levels = inside.levels + 1;
        if !value.is_shared() {
            self.too_deep |= levels > MAX_NESTING;
            return go_on(self, Inside { levels, ..inside });
        }
        let mut around = inside.shared;
        while let Some(shared) = around {
            if shared.address == address {
                return;
            }
            around = shared.around;
        }
        self.too_deep |= levels > MAX_NESTING;
        go_on(self, Inside { levels, shared: Some(&Shared { address, around: inside.shared }) });
    }

    fn at_list(&mut self, list: &Array, inside: Inside<'_>) {
        let last = list.len().saturating_sub(self.each).max(self.each);
        self.at_all(list.iter().take(self.each), inside);
        self.at_all(list.get(last..).unwrap_or_default(), inside);
    }

    fn at_map(&mut self, map: &Map, inside: Inside<'_>) {
        self.at_all(map.values().take(self.each.saturating_mul(2)), inside);
    }

    fn at_all<'a>(&mut self, values: impl IntoIterator<Item = &'a Dynamic>, inside: Inside<'_>) {
        values.into_iter().for_each(|value| self.at(value, inside));
    }
}
