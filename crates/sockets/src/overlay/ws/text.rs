//! Text messages are UTF-8 (RFC 6455 5.6, 8.1): what is done with one that is not, and the check as bytes arrive.
//!
//! Checked is what lies in the read buffer, each byte once: whole frames when they are decoded, and a frame of which only
//! the beginning has come as soon as the stream has nothing more for now. So a peer hears of the first bad byte, not of
//! the frame's end.

use std::{cmp, mem};
use wsframe::{Decoder, InvalidUtf8, Utf8Check, mask};

/// What happens to text that is not UTF-8, in both directions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TextInvalid {
    /// It ends the connection; a peer that sent it gets Close 1007.
    Fail,
    /// Each bad sequence becomes U+FFFD.
    Lossy,
    /// It is not looked at.
    #[default]
    Pass,
}

/// Judge of the text messages that come in.
#[derive(Debug, Default)]
pub struct TextCheck {
    utf8: Utf8Check,
    /// Bytes of the frame at the front of the buffer that were judged before the frame was whole.
    ahead: u32,
}

impl TextCheck {
    /// The next chunk of a text message, decoded. `fin`: the message ends with it.
    #[inline]
    pub fn feed(&mut self, chunk: &[u8], fin: bool) -> Result<(), InvalidUtf8> {
        //= 6455-5.6-1
        //= 6455-8.1-1
        let ahead = mem::take(&mut self.ahead) as usize;
        self.utf8.feed(chunk.get(ahead..).unwrap_or_default())?;
        if fin { self.utf8.finish() } else { Ok(()) }
    }

    /// The buffer holds the beginning of a frame, still masked: judges what has come of it, if it is text.
    #[cold]
    pub fn feed_ahead(&mut self, decoder: &Decoder, buffer: &[u8]) -> Result<(), InvalidUtf8> {
        //= 6455-8.1-1
        let Some((header, key)) = decoder.partial_text(buffer) else { return Ok(()) };
        let payload = buffer.get(header..).unwrap_or_default();
        let mut copy = [0; 512];
        while let Some(rest) = payload.get(self.ahead as usize..).filter(|rest| !rest.is_empty()) {
            let n = cmp::min(rest.len(), copy.len());
            let (Some(copy), Some(rest)) = (copy.get_mut(..n), rest.get(..n)) else { return Ok(()) };
            copy.copy_from_slice(rest);
            if let Some(key) = key {
                mask(copy, key, self.ahead as usize);
            }
            self.utf8.feed(copy)?;
            self.ahead += n as u32; // the window is never that large
        }
        Ok(())
    }
}
