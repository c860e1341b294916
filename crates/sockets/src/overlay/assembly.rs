//! Joins the chunks of a message for sinks that need it whole: `defragment:`, and length prefixes without continuations.
//!
//! Up to the largest pooled size the bytes wait in a pooled buffer, which is given back with the message: neither an idle
//! connection owns memory nor does a message cost an allocation. Messages that come whole are not copied.

use crate::buffer::{LARGEST, Window};
use std::mem;

/// A message is longer than its limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TooLong;

/// What a chunk led to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fed {
    /// It is a message by itself, and was not copied.
    Whole,
    /// It is kept; more is needed.
    Kept,
    /// It was the last one: [`Assembly::joined_mut`] is the message until [`Assembly::forget`].
    Joined,
}

/// The beginning of a message, or nothing.
pub(crate) struct Assembly {
    limit: usize,
    window: Window,
    /// Holds the message instead of the window when it is longer than pooled buffers are.
    long: Vec<u8>,
    /// Some chunks of a message came, the last did not.
    midway: bool,
    /// The last chunk is in, too.
    complete: bool,
    too_long: bool,
}

impl Assembly {
    /// `limit` in bytes for one message, also for one that comes whole.
    pub fn new(limit: usize) -> Self {
        Self { limit, window: Window::new(3), long: Vec::new(), midway: false, complete: false, too_long: false }
    }

    pub fn limit(&self) -> usize {
        self.limit
    }

    /// Takes the next data chunk. After `Joined` it does not look at what it is given, so that whoever waits for the sink may
    /// repeat the call. After an error the rest of that message fails too.
    #[inline]
    pub fn feed(&mut self, chunk: &[u8], last: bool) -> Result<Fed, TooLong> {
        if last && !self.midway && chunk.len() <= self.limit {
            return Ok(Fed::Whole);
        }
        self.feed_part(chunk, last)
    }

    fn feed_part(&mut self, chunk: &[u8], last: bool) -> Result<Fed, TooLong> {
        if self.complete {
            return Ok(Fed::Joined);
        }
        self.too_long |= chunk.len() > self.limit.saturating_sub(self.len());
        if self.too_long {
            self.forget();
            (self.midway, self.too_long) = (!last, !last);
            return Err(TooLong);
        }
        self.push(chunk);
        (self.midway, self.complete) = (true, last);
        Ok(if last { Fed::Joined } else { Fed::Kept })
    }

    fn push(&mut self, chunk: &[u8]) {
        let len = self.window.len() + chunk.len();
        if self.long.is_empty() && len <= LARGEST {
            if !chunk.is_empty() {
                self.window.reserve(len);
                self.window.push(chunk);
            }
            return;
        }
        if self.long.is_empty() {
            self.long.extend_from_slice(self.window.filled());
            self.window.skip(self.window.len());
            self.window.release();
        }
        self.long.extend_from_slice(chunk);
    }

    /// Bytes that wait.
    pub fn len(&self) -> usize {
        self.window.len() + self.long.len()
    }

    /// What waits.
    pub fn joined(&self) -> &[u8] {
        if self.long.is_empty() { self.window.filled() } else { &self.long }
    }

    /// What waits, to be changed.
    pub fn joined_mut(&mut self) -> &mut [u8] {
        if self.long.is_empty() { self.window.filled_mut() } else { &mut self.long }
    }

    /// The message is done with; memory is given back.
    pub fn forget(&mut self) {
        (self.midway, self.complete, self.too_long) = (false, false, false);
        self.window.skip(self.window.len());
        self.window.release();
        if !self.long.is_empty() {
            drop(mem::take(&mut self.long));
        }
    }

    /// The input has ended: a message that is not whole must not pass for a whole one.
    pub fn drop_torn(&mut self) {
        // What was too long has been refused already.
        if self.midway && !self.too_long {
            tracing::warn!(bytes = self.len(), "the input ended inside a message, which is dropped");
        }
        self.forget();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_of_every_size_class_are_joined_and_nothing_is_kept() {
        let mut assembly = Assembly::new(1 << 20);
        for len in [2, 5000, 60_000, LARGEST, LARGEST + 1, 1 << 20] {
            let message: Vec<u8> = (0..len).map(|i| (i * 7) as u8).collect();
            for parts in [2, 3, 7] {
                let chunks: Vec<_> = message.chunks(len.div_ceil(parts)).collect();
                for (i, chunk) in chunks.iter().enumerate() {
                    let last = i + 1 == chunks.len();
                    assert_eq!(assembly.feed(chunk, last), Ok(if last { Fed::Joined } else { Fed::Kept }));
                }
                // As somebody does who waits for the sink.
                assert_eq!(assembly.feed(chunks[chunks.len() - 1], true), Ok(Fed::Joined));
                assert!(assembly.joined_mut() == message, "{len} in {parts}");
                assembly.forget();
                assert_eq!((assembly.len(), assembly.window.room(), assembly.long.capacity()), (0, 0, 0));
            }
        }
    }

    #[test]
    fn all_of_a_message_over_the_limit_fails_and_the_next_one_does_not() {
        let mut assembly = Assembly::new(5);
        assert_eq!(assembly.feed(b"123456", true), Err(TooLong));
        assert_eq!(assembly.feed(b"123", false), Ok(Fed::Kept));
        assert_eq!(assembly.feed(b"456", false), Err(TooLong));
        assert_eq!(assembly.feed(b"", false), Err(TooLong));
        assert_eq!(assembly.feed(b"7", true), Err(TooLong));
        assert_eq!(assembly.feed(b"12345", true), Ok(Fed::Whole));
        assert_eq!(assembly.feed(b"", false), Ok(Fed::Kept));
        assert_eq!(assembly.feed(b"12345", true), Ok(Fed::Joined));
        assert_eq!(assembly.joined_mut(), b"12345");
        // Its end may never come.
        assembly.forget();
        assert_eq!(assembly.feed(b"123456", false), Err(TooLong));
        assembly.drop_torn();
        assert_eq!(assembly.feed(b"1", true), Ok(Fed::Whole));
    }
}
