//! Payloads of compressed messages become messages again (RFC 7692 6.2, 7.2.2), in pieces that fit a pooled buffer.
//!
//! Every message begins with a state from the pool, which is shown what the peer may refer to, and ends with one block more
//! than it has: a stream that is cut off within a block is found out at once and cannot spoil the next message. Output is
//! bounded by what has come in: see [`Limits`].

use super::{
    History,
    zlib::{Corrupt, Inflate, Lent},
};
use crate::buffer::Window;

/// What RFC 7692 7.2.2 has us append, and behind it an empty last block, by which the state tells that it was at the end
/// of a block.
const END: [u8; 9] = [0, 0, 0xff, 0xff, 1, 0, 0, 0xff, 0xff];

/// Last blocks that a message may have beyond one in [`RESTART_PER`] bytes: after each the window is shown to the state
/// anew, which costs some microseconds for two bytes of input.
const RESTARTS: u64 = 64;
const RESTART_PER: u64 = 256;

/// How large a message may become.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Inflated bytes per compressed byte.
    pub ratio: u64,
    /// Inflated bytes that are fine whatever the ratio.
    pub floor: u64,
    /// Inflated bytes of one message.
    pub message: u64,
}

impl Default for Limits {
    /// 1000 times, from 64 MiB on. DEFLATE can reach 1032, with nothing but a few repeated bytes: an empty picture or a
    /// file with a hole may be like that, and beyond the floor only bombs are met.
    fn default() -> Self {
        Self { ratio: 1000, floor: 64 << 20, message: u64::MAX }
    }
}

impl Limits {
    /// Whether a message may have become so many bytes, of so many compressed ones.
    fn check(&self, inflated: u64, compressed: u64) -> Result<(), InflateError> {
        if inflated > self.floor.max(compressed.saturating_mul(self.ratio)) {
            return Err(InflateError::Ratio(self.ratio));
        }
        if inflated > self.message {
            return Err(InflateError::TooLong(self.message));
        }
        Ok(())
    }
}

/// Why a compressed message is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InflateError {
    #[error("peer sent a compressed message that is not valid DEFLATE data")]
    Corrupt,
    #[error("peer sent a compressed message that inflates to more than {0} times its size")]
    Ratio(u64),
    #[error("peer sent a compressed message that inflates to more than {0} bytes, which is the limit")]
    TooLong(u64),
}

impl InflateError {
    /// The status code for the Close frame that ends the connection.
    pub fn close_code(self) -> u16 {
        match self {
            Self::Corrupt => 1007,
            Self::Ratio(_) | Self::TooLong(_) => 1009,
        }
    }
}

impl From<Corrupt> for InflateError {
    fn from(_: Corrupt) -> Self {
        Self::Corrupt
    }
}

/// What [`Inflater::feed`] did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fed {
    /// Bytes of the input that are done with.
    pub taken: usize,
    /// All of the input is inflated and, where it ends the message, the message is whole. Otherwise the output is full:
    /// take it, then feed the rest of the input, even if none is left.
    pub done: bool,
}

/// Inflates the messages of one direction.
#[derive(Debug)]
pub struct Inflater {
    context_takeover: bool,
    /// Bytes that the peer may refer back to.
    window: usize,
    limits: Limits,
    /// Only while a message is under way.
    state: Option<Lent<Inflate>>,
    /// With context takeover: the end of what the peer has said.
    history: History,
    out: Window,
    /// Of the message under way.
    received: u64,
    produced: u64,
    restarts: u64,
    /// The state has taken nothing since a block that called itself the last one, or since the message began.
    fresh: bool,
    /// Bytes of [`END`] that were fed.
    ending: usize,
    /// Of the last [`Fed`].
    done: bool,
}

impl Inflater {
    pub fn new(context_takeover: bool, window_bits: u8, limits: Limits) -> Self {
        Self {
            context_takeover,
            //= 7692-7.2.1-7
            window: 1 << window_bits.clamp(8, 15),
            limits,
            state: None,
            history: History::default(),
            out: Window::new(2),
            received: 0,
            produced: 0,
            restarts: 0,
            fresh: true,
            ending: 0,
            done: true,
        }
    }

    /// Inflates the next bytes of a message's payload until they are used up or there are `hold` bytes of output, or some
    /// more: the output is a whole buffer then. `fin`: the message ends with them. The output of the last call must
    /// have been consumed. After an error nothing more can be fed.
    //= 7692-6.2-1
    //= 7692-7.2.1-2
    //= 7692-7.2.1-3
    //= 7692-7.2.2-1
    pub fn feed(&mut self, input: &[u8], fin: bool, hold: usize) -> Result<Fed, InflateError> {
        let mut fed = Fed { taken: 0, done: false };
        let state = match &mut self.state {
            Some(state) => state,
            //= 7692-7.2.2-2
            //= 7692-7.2.2-3
            //= 7692-7.2.2-4
            //= 7692-7.2.2-5
            //= 7692-7.2.2-6
            //= 7692-7.2.2-7
            //= 7692-7.2.2-8
            //= 7692-7.2.2-9
            empty => empty.insert(Inflate::lend(self.history.bytes())?),
        }
        .state()?;
        let received = self.received + input.len() as u64;
        loop {
            let rest = input.get(fed.taken..).unwrap_or_default();
            let in_body = !rest.is_empty();
            // A message without any payload is no DEFLATE stream, but means only one thing; so is what is missing where the
            // last block ended in an earlier fragment.
            if !in_body && if fin { self.fresh && self.ending == 0 } else { self.out.room() > 0 } {
                fed.done = true;
                break;
            }
            if self.out.room() == 0 {
                if self.out.len() >= hold.max(1) {
                    break;
                }
                self.out.reserve(self.out.len() + 1);
            }
            let source = if in_body || !fin { rest } else { END.get(self.ending..).unwrap_or_default() };
            let step = state.run(source, self.out.spare_mut())?;
            self.out.advance(step.put);
            self.produced += step.put as u64;
            self.fresh &= step.taken == 0;
            if in_body {
                fed.taken += step.taken;
                self.received += step.taken as u64;
            } else {
                self.ending += step.taken;
            }
            self.limits.check(self.produced, received)?;
            if step.ended {
                // Some end messages with a last block and append nothing.
                let over = fin && fed.taken == input.len() && matches!(self.ending, 0 | 9);
                if over {
                    fed.done = true;
                    break;
                }
                //= 7692-7.2.1-4
                self.restarts += 1;
                if self.restarts > RESTARTS + received / RESTART_PER {
                    return Err(InflateError::Corrupt);
                }
                let history = self.context_takeover.then(|| self.history.bytes());
                state.restart(history, self.out.filled(), self.window)?;
                self.fresh = true;
            } else if step.taken == 0 && step.put == 0 {
                if fin {
                    // It wants more input and there is none: the message ends within a block.
                    return Err(InflateError::Corrupt);
                }
                fed.done = true;
                break;
            }
        }
        self.done = fed.done;
        self.remember(fin && fed.done)?;
        Ok(fed)
    }

    /// Keeps what the peer may refer to later; `over`: the message is whole.
    fn remember(&mut self, over: bool) -> Result<(), InflateError> {
        if self.context_takeover {
            self.history.push(self.out.filled(), self.window);
        }
        if over {
            self.state = None;
            (self.received, self.produced, self.restarts, self.ending) = (0, 0, 0, 0);
            self.fresh = true;
        } else if let Some(state) = self.state.as_mut().filter(|_| !self.context_takeover) {
            state.state()?.recent.push(self.out.filled(), self.window);
        }
        Ok(())
    }

    /// All that was fed is in the output.
    #[inline]
    pub fn is_done(&self) -> bool {
        self.done
    }

    /// Output that was not consumed yet.
    #[inline]
    pub fn output(&mut self) -> &mut [u8] {
        self.out.filled_mut()
    }

    /// The first `n` bytes of the output are done with.
    #[inline]
    pub fn consume(&mut self, n: usize) {
        self.out.skip(n);
        if self.out.is_empty() {
            self.out.release();
        }
    }

    /// Gives back all that is lent; nothing will be fed any more.
    pub fn end(&mut self) {
        self.consume(self.out.len());
        self.state = None;
        self.history = History::default();
    }

    /// A message has begun and has not ended.
    pub fn mid_message(&self) -> bool {
        self.state.is_some()
    }

    /// Bytes of memory that it owns while nothing is said.
    #[cfg(test)]
    pub(super) fn kept(&self) -> usize {
        assert!(self.state.is_none() && self.out.room() == 0);
        self.history.capacity()
    }
}
