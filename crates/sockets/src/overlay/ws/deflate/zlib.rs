//! The only place that knows the compression library: its states, lent from a capped shelf per thread.
//!
//! A state that is lent is as new. It goes back to the shelf of whatever thread drops it, or is freed where that is full.

use super::History;
use std::cell::RefCell;
use zlib_rs::{DeflateFlush, InflateFlush, Status};

/// States that a worker keeps for reuse: 0.6 MiB of inflating ones.
const KEEP_INFLATE: usize = 8;
/// 1.5 MiB of deflating ones.
const KEEP_DEFLATE: usize = 4;

/// Boxes, because who lends one keeps it in few words.
#[allow(clippy::vec_box)]
struct Shelves {
    inflate: Vec<Box<Inflate>>,
    deflate: Vec<Box<Deflate>>,
}

thread_local! {
    static SHELVES: RefCell<Shelves> = const { RefCell::new(Shelves { inflate: Vec::new(), deflate: Vec::new() }) };
}

/// Raw DEFLATE that is not.
#[derive(Clone, Copy, Debug)]
pub struct Corrupt;

/// What one call did.
#[derive(Clone, Copy, Debug)]
pub struct Step {
    /// Bytes of the input that are done with.
    pub taken: usize,
    /// Bytes of the output that were written.
    pub put: usize,
    /// A block that calls itself the last one is over; what follows needs [`Inflate::restart`].
    pub ended: bool,
}

/// Something that stands on a shelf while nobody needs it.
pub trait Shelved: Sized {
    /// Puts it back.
    fn shelve(this: Box<Self>);
}

/// A state in use.
pub struct Lent<T: Shelved>(Option<Box<T>>);

impl<T: Shelved> Drop for Lent<T> {
    fn drop(&mut self) {
        if let Some(state) = self.0.take() {
            T::shelve(state);
        }
    }
}

impl<T: Shelved> Lent<T> {
    /// The state; it is there until it is dropped.
    pub fn state(&mut self) -> Result<&mut T, Corrupt> {
        self.0.as_deref_mut().ok_or(Corrupt)
    }
}

impl<T: Shelved> std::fmt::Debug for Lent<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Lent")
    }
}

/// Inflates, with any window that DEFLATE allows.
pub struct Inflate {
    inner: zlib_rs::Inflate,
    /// Output of earlier calls within a message, where the connection keeps no history of its own.
    pub recent: History,
}

impl Shelved for Inflate {
    fn shelve(mut this: Box<Self>) {
        this.recent.clear();
        // While a thread ends its shelf may be gone already: the state is then just freed.
        let _ = SHELVES.try_with(|s| {
            let shelf = &mut s.borrow_mut().inflate;
            if shelf.len() < KEEP_INFLATE {
                shelf.push(this);
            }
        });
    }
}

impl Inflate {
    /// A state that has seen `history`.
    pub fn lend(history: &[u8]) -> Result<Lent<Self>, Corrupt> {
        let shelved = SHELVES.try_with(|s| s.borrow_mut().inflate.pop()).ok().flatten();
        let fresh = || Box::new(Self { inner: zlib_rs::Inflate::new(false, 15), recent: History::default() });
        let mut state = shelved.unwrap_or_else(fresh);
        state.restart(Some(history), &[], history.len())?;
        Ok(Lent(Some(state)))
    }

    /// Begins a new sequence of blocks, which may refer to the last `window` bytes of `history`, or of what is recent, and
    /// of `output` after that.
    pub fn restart(&mut self, history: Option<&[u8]>, output: &[u8], window: usize) -> Result<(), Corrupt> {
        self.inner.reset(false);
        let last = |part: &[u8], most: usize| part.len() - part.len().min(most);
        let history = history.unwrap_or(self.recent.bytes());
        let output = output.get(last(output, window)..).unwrap_or_default();
        // No more than that: what is refused must not depend on how much of the output has been taken.
        let history = history.get(last(history, window - output.len())..).unwrap_or_default();
        for part in [history, output] {
            if !part.is_empty() {
                self.inner.set_dictionary(part).map_err(|_| Corrupt)?;
            }
        }
        Ok(())
    }

    pub fn run(&mut self, input: &[u8], output: &mut [u8]) -> Result<Step, Corrupt> {
        let (taken, put) = (self.inner.total_in(), self.inner.total_out());
        let status = self.inner.decompress(input, output, InflateFlush::NoFlush).map_err(|_| Corrupt)?;
        Ok(Step {
            taken: (self.inner.total_in() - taken) as usize,
            put: (self.inner.total_out() - put) as usize,
            ended: status == Status::StreamEnd,
        })
    }
}

/// Deflates at one level with one window.
pub struct Deflate {
    inner: zlib_rs::Deflate,
    level: u8,
    bits: u8,
}

impl Shelved for Deflate {
    fn shelve(this: Box<Self>) {
        // As for inflating states.
        let _ = SHELVES.try_with(|s| {
            let shelf = &mut s.borrow_mut().deflate;
            if shelf.len() == KEEP_DEFLATE {
                shelf.remove(0);
            }
            shelf.push(this);
        });
    }
}

impl Deflate {
    /// A state that has seen `history`; `bits` is 9 to 15, `level` 0 to 9.
    pub fn lend(level: u8, bits: u8, history: &[u8]) -> Result<Lent<Self>, Corrupt> {
        let shelved = SHELVES.try_with(|s| {
            let shelf = &mut s.borrow_mut().deflate;
            shelf.iter().rposition(|state| (state.level, state.bits) == (level, bits)).map(|at| shelf.remove(at))
        });
        let mut state = match shelved.ok().flatten() {
            Some(mut state) => {
                state.inner.reset();
                state
            }
            None => Box::new(Self { inner: zlib_rs::Deflate::new(level.into(), false, bits), level, bits }),
        };
        if !history.is_empty() {
            state.inner.set_dictionary(history).map_err(|_| Corrupt)?;
        }
        Ok(Lent(Some(state)))
    }

    /// Compresses, so that what is put says all that was taken and ends with a byte. When the output is full there may be
    /// more: call again with the rest of the input, which may be empty.
    pub fn run(&mut self, input: &[u8], output: &mut [u8]) -> Result<Step, Corrupt> {
        let (taken, put) = (self.inner.total_in(), self.inner.total_out());
        self.inner.compress(input, output, DeflateFlush::SyncFlush).map_err(|_| Corrupt)?;
        Ok(Step {
            taken: (self.inner.total_in() - taken) as usize,
            put: (self.inner.total_out() - put) as usize,
            ended: false,
        })
    }
}

/// How many states this thread keeps: inflating, deflating.
#[cfg(test)]
pub fn shelved() -> (usize, usize) {
    SHELVES.with(|s| (s.borrow().inflate.len(), s.borrow().deflate.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_worker_keeps_a_bounded_number_of_states() {
        let inflate: Vec<_> = (0..20).map(|_| Inflate::lend(&[]).unwrap()).collect();
        let deflate: Vec<_> = (0..20).map(|i| Deflate::lend(6, 9 + i % 3, &[]).unwrap()).collect();
        drop((inflate, deflate));
        assert_eq!(shelved(), (KEEP_INFLATE, KEEP_DEFLATE));
        // What fits is taken, and what does not is made.
        let state = Deflate::lend(6, 9 + 19 % 3, &[]).unwrap();
        assert_eq!(shelved().1, KEEP_DEFLATE - 1);
        let other = Deflate::lend(1, 15, &[]).unwrap();
        assert_eq!(shelved().1, KEEP_DEFLATE - 1);
        drop((state, other));
        assert_eq!(shelved().1, KEEP_DEFLATE);
    }
}
