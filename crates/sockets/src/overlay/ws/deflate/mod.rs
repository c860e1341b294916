//! permessage-deflate (RFC 7692): messages are compressed one by one, between the frames and whoever sends or gets them.
//!
//! [`negotiation`] says what both ends agree on, [`Inflater`] and [`Deflater`] turn payloads into messages and back; they
//! stand beside the reader and the writer and do no I/O. zlib's states (inflating 80 KiB, deflating 370 KiB) come from a
//! capped pool per thread and only while a message is under way: an idle connection owns none, at most, where contexts are
//! kept, the windows themselves. A peer that stops in the middle of a compressed message pins one state.

mod deflater;
mod inflater;
pub mod negotiation;
#[cfg(test)]
mod tests;
mod zlib;

pub use deflater::Deflater;
pub use inflater::{Fed, InflateError, Inflater, Limits};
pub use negotiation::Agreed;

/// What every compressed message ends with and nobody sends: an empty stored block without its first bits (RFC 7692 7.2.1).
const TAIL: [u8; 4] = [0, 0, 0xff, 0xff];

/// How a writer compresses, beyond what was agreed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DeflateOptions {
    /// 1 (fast) to 9 (small); None: [`DEFAULT_LEVEL`].
    pub level: Option<u8>,
    /// Messages shorter than this are sent as they are; None: 64 bytes, or 256 where each message starts with an empty
    /// window, since little is saved there.
    pub threshold: Option<usize>,
}

/// The level where none is asked for.
pub const DEFAULT_LEVEL: u8 = 6;
const THRESHOLD_WITH_CONTEXT: usize = 64;
const THRESHOLD_WITHOUT: usize = 256;

/// Both machines of one end.
#[derive(Debug)]
pub struct Pair {
    pub inflater: Inflater,
    pub deflater: Deflater,
}

//= 7692-5-16
/// The machines for what was agreed; `server`: we are.
pub fn pair(agreed: Agreed, server: bool, options: DeflateOptions, limits: Limits) -> Pair {
    let Agreed { server_no_context_takeover, client_no_context_takeover, .. } = agreed;
    let of_server = (!server_no_context_takeover, agreed.server_max_window_bits);
    let of_client = (!client_no_context_takeover, agreed.client_max_window_bits);
    let (ours, theirs) = if server { (of_server, of_client) } else { (of_client, of_server) };
    Pair { inflater: Inflater::new(theirs.0, theirs.1, limits), deflater: Deflater::new(ours.0, ours.1, options) }
}

/// The end of what was said so far, as far back as a window goes.
#[derive(Debug, Default)]
struct History(Vec<u8>);

impl History {
    /// Adds bytes and forgets what is more than `window` bytes ago.
    fn push(&mut self, bytes: &[u8], window: usize) {
        let kept = bytes.get(bytes.len().saturating_sub(window)..).unwrap_or_default();
        let excess = (self.0.len() + kept.len()).saturating_sub(window);
        self.0.drain(..excess.min(self.0.len()));
        let need = self.0.len() + kept.len();
        if need > self.0.capacity() {
            // Never more than the window: this may be all that a connection owns.
            self.0.reserve_exact((2 * need).min(window) - self.0.len());
        }
        self.0.extend_from_slice(kept);
    }

    fn bytes(&self) -> &[u8] {
        &self.0
    }

    #[cfg(test)]
    fn capacity(&self) -> usize {
        self.0.capacity()
    }

    fn clear(&mut self) {
        self.0.clear();
    }
}
