//! Messages become payloads of compressed frames (RFC 7692 6.1, 7.2.1): chunk by chunk, each flushed, so that nothing waits.
//!
//! A message's first chunk decides: if it does not get smaller, the message goes as it is, and for a while nothing more is
//! tried, so that data which cannot be compressed costs little. The state is lent from the pool until the message ends
//! or the writer flushes; with context takeover a later one is shown the last bytes that were said.

use super::{
    DEFAULT_LEVEL, DeflateOptions, History, TAIL, THRESHOLD_WITH_CONTEXT, THRESHOLD_WITHOUT,
    negotiation::{MAX_BITS, MIN_BITS},
    zlib::{Corrupt, Deflate, Lent},
};
use crate::buffer::{LARGEST, SIZES, Window};

/// Most bytes of one frame: longer chunks that compress badly become several.
const FRAME: usize = LARGEST;
/// The state reads ahead by so much at most: when a frame is full, this much more must have been taken to call it smaller.
const AHEAD: usize = 96 << 10;
/// For each byte that was compressed in vain so many are sent without trying.
const VAIN: usize = 8;
/// Most bytes that are sent without trying.
const MOST_VAIN: usize = 4 << 20;

/// What the message under way is sent as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Message {
    /// There is none.
    Between,
    Plain,
    Compressed,
}

/// Deflates the messages of one direction.
#[derive(Debug)]
pub struct Deflater {
    level: u8,
    bits: u8,
    context_takeover: bool,
    threshold: usize,
    /// Knows what is in `history`.
    state: Option<Lent<Deflate>>,
    /// With context takeover: the end of what was said in compressed messages.
    history: History,
    out: Window,
    message: Message,
    /// Bytes of the chunk under way that the state has taken.
    taken: usize,
    /// All of the chunk is in `out`.
    complete: bool,
    /// Bytes at the front of `out` that are the frame to send.
    frame: usize,
    /// Frames are still to be made of the chunk.
    midway: bool,
    /// Bytes to send without trying to compress them.
    vain: usize,
}

impl Deflater {
    pub fn new(context_takeover: bool, window_bits: u8, options: DeflateOptions) -> Self {
        let usual = if context_takeover { THRESHOLD_WITH_CONTEXT } else { THRESHOLD_WITHOUT };
        Self {
            level: options.level.unwrap_or(DEFAULT_LEVEL).min(9),
            bits: window_bits.clamp(MIN_BITS, MAX_BITS),
            context_takeover,
            // An empty message cannot become shorter.
            threshold: options.threshold.unwrap_or(usual).max(1),
            state: None,
            history: History::default(),
            out: Window::new(2),
            message: Message::Between,
            taken: 0,
            complete: false,
            frame: 0,
            midway: false,
            vain: 0,
        }
    }

    /// A chunk was begun and [`Deflater::next_frame`] has not said None.
    #[inline]
    pub fn is_midway(&self) -> bool {
        self.midway
    }

    /// Begins a chunk; `fin`: the message ends with it. False: it is to be sent as it is. True: it is to be sent in the
    /// frames that [`Deflater::next_frame`] makes of it.
    pub fn begin(&mut self, chunk: &[u8], fin: bool) -> bool {
        match self.message {
            Message::Compressed => self.start_chunk(),
            //= 7692-6.1-2
            Message::Between => {
                self.message = Message::Plain;
                if self.is_worth_trying(chunk) {
                    self.try_message(chunk, fin);
                }
            }
            Message::Plain => {}
        }
        if fin && self.message == Message::Plain {
            self.message = Message::Between;
        }
        self.midway
    }

    fn start_chunk(&mut self) {
        (self.midway, self.taken, self.complete, self.frame) = (true, 0, false, 0);
    }

    fn is_worth_trying(&mut self, chunk: &[u8]) -> bool {
        if chunk.len() < self.threshold {
            return false;
        }
        let wait = self.vain > chunk.len();
        self.vain = self.vain.saturating_sub(chunk.len());
        !wait
    }

    /// Compresses a message's first chunk, which has to become smaller by that.
    fn try_message(&mut self, chunk: &[u8], fin: bool) {
        self.start_chunk();
        let most = FRAME.min(if fin { chunk.len() + TAIL.len() - 1 } else { chunk.len() });
        let filled = self.fill(chunk, most).is_ok();
        if filled && (self.complete || most == FRAME && self.taken > FRAME + AHEAD) {
            self.message = Message::Compressed;
            return;
        }
        // What the state has seen of this message the peer never will.
        self.state = None;
        self.out.skip(self.out.len());
        self.out.release();
        self.midway = false;
        self.vain = chunk.len().saturating_mul(VAIN).min(MOST_VAIN);
    }

    /// Compresses on until the chunk is done with or `out` holds `most` bytes.
    fn fill(&mut self, chunk: &[u8], most: usize) -> Result<(), Corrupt> {
        let state = match &mut self.state {
            Some(state) => state,
            //= 7692-7.2.1-8
            //= 7692-7.2.1-9
            //= 7692-7.2.1-11
            //= 7692-7.2.1-12
            //= 7692-7.2.1-13
            //= 7692-7.2.1-15
            empty => empty.insert(Deflate::lend(self.level, self.bits, self.history.bytes())?),
        }
        .state()?;
        while !self.complete && self.out.len() < most {
            if self.out.room() == 0 {
                let usual = most.min(SIZES[2]);
                self.out.reserve(if self.out.len() < usual { usual } else { most });
            }
            let room = self.out.room().min(most - self.out.len());
            let spare = self.out.spare_mut().get_mut(..room).unwrap_or_default();
            let step = state.run(chunk.get(self.taken..).unwrap_or_default(), spare)?;
            self.out.advance(step.put);
            self.taken += step.taken;
            self.complete = step.put < room;
        }
        Ok(())
    }

    /// Makes the next frame of the chunk that was begun, in [`Deflater::payload`]; it must be sent before the next call.
    /// True: it is the chunk's last one. None: the chunk is done with.
    pub fn next_frame(&mut self, chunk: &[u8], fin: bool) -> Result<Option<bool>, Corrupt> {
        if self.complete && self.frame > 0 {
            self.finish_chunk(fin);
            return Ok(None);
        }
        self.out.skip(self.frame);
        self.frame = 0;
        self.fill(chunk, FRAME)?;
        if !self.complete {
            // The last bytes may be part of the tail.
            self.frame = self.out.len() - TAIL.len();
            return Ok(Some(false));
        }
        if self.context_takeover {
            self.history.push(chunk, 1 << self.bits);
        } else if fin {
            // The last frame may wait for ever for a peer that does not read.
            self.state = None;
        }
        //= 7692-7.2.1-1
        //= 7692-7.2.1-6
        self.frame = self.out.len() - if fin { TAIL.len().min(self.out.len()) } else { 0 };
        if self.frame == 0 && !fin {
            // Nothing was said, and nothing need be sent for it.
            self.finish_chunk(fin);
            return Ok(None);
        }
        if self.frame == 0 {
            //= 7692-7.2.3-1
            // The message ends without more data: what is left of an empty stored block.
            self.out.skip(self.out.len());
            self.out.reserve(1);
            self.out.push(&[0]);
            self.frame = 1;
        }
        Ok(Some(true))
    }

    fn finish_chunk(&mut self, fin: bool) {
        self.midway = false;
        self.out.skip(self.out.len());
        self.out.release();
        if fin {
            self.message = Message::Between;
            self.vain = 0;
            if !self.context_takeover {
                self.state = None;
            }
        }
    }

    /// The frame's payload; it may be masked in place.
    pub fn payload(&mut self) -> &mut [u8] {
        self.out.filled_mut().get_mut(..self.frame).unwrap_or_default()
    }

    /// There is nothing to do for now: gives the state back, unless a chunk is under way.
    #[inline]
    pub fn rest(&mut self) {
        if !self.midway {
            self.state = None;
        }
    }

    /// Bytes of memory that it owns while nothing is said.
    #[cfg(test)]
    pub(super) fn kept(&self) -> usize {
        assert!(self.state.is_none() && self.out.room() == 0);
        self.history.capacity()
    }
}
