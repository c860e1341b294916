//! Verification of what arrives, byte by byte, at the cost of a comparison.

use crate::{Result, ring::Ring};
use wsframe::{Decoder, MaskRule, Next, Opcode};

/// Compares bytes with a sequence that starts over at its end.
pub struct Content {
    at: usize,
}

impl Content {
    pub fn new(at: usize) -> Self {
        Self { at }
    }

    pub fn feed(&mut self, expected: &[u8], mut bytes: &[u8]) -> Result<()> {
        while !bytes.is_empty() {
            let n = bytes.len().min(expected.len() - self.at);
            let (now, later) = bytes.split_at(n);
            if now != &expected[self.at..self.at + n] {
                return Err("wrong payload".into());
            }
            self.at = (self.at + n) % expected.len();
            bytes = later;
        }
        Ok(())
    }
}

/// Takes frames apart, however messages were cut into them.
pub struct Frames {
    decoder: Decoder,
    content: Content,
    /// Bytes of a header or short frame that is not whole yet.
    rest: Vec<u8>,
    /// Payload bytes of data messages seen.
    pub bytes: u64,
    /// Bytes of the message that is under way.
    message: usize,
}

impl Frames {
    /// Expects the payload of a ring from `at` on.
    pub fn new(rule: MaskRule, at: usize) -> Self {
        Self { decoder: Decoder::new(rule), content: Content::new(at), rest: Vec::new(), bytes: 0, message: 0 }
    }

    /// Returns how many messages ended; with `size`, each must have that many bytes.
    pub fn feed(&mut self, payload: &[u8], size: Option<usize>, bytes: &mut [u8]) -> Result<usize> {
        if self.rest.is_empty() {
            return self.walk(payload, size, bytes);
        }
        let mut whole = std::mem::take(&mut self.rest);
        whole.extend_from_slice(bytes);
        self.walk(payload, size, &mut whole)
    }

    fn walk(&mut self, payload: &[u8], size: Option<usize>, bytes: &mut [u8]) -> Result<usize> {
        let (mut start, mut ended) = (0, 0);
        while let Next::Chunk { header, len, opcode, fin, .. } = self.decoder.next(&mut bytes[start..], 0)? {
            let chunk = &bytes[start + header..start + header + len];
            start += header + len;
            match opcode {
                Opcode::Binary => {
                    self.content.feed(payload, chunk)?;
                    self.bytes += len as u64;
                    self.message += len;
                    if fin {
                        if size.is_some_and(|size| size != self.message) {
                            return Err(format!("a message of {} bytes", self.message).into());
                        }
                        self.message = 0;
                        ended += 1;
                    }
                }
                Opcode::Ping | Opcode::Pong => {}
                other => return Err(format!("{other:?} came where only binary messages were expected").into()),
            }
        }
        self.rest.extend_from_slice(&bytes[start..]);
        Ok(ended)
    }
}

/// Verifies the echoes of one connection.
///
/// A server that sends each message as one frame sends exactly the bytes of [`Ring::plain`]: one comparison per read.
/// One that cuts messages into several frames is found out at the first difference and decoded from the start of that
/// message.
pub enum Echoes {
    Plain { at: usize },
    Framed(Box<Frames>),
}

impl Echoes {
    /// Expects the messages from number `first` on.
    pub fn new(ring: &Ring, first: usize) -> Self {
        Self::Plain { at: first % ring.messages() * ring.plain_len() }
    }

    /// Returns how many messages ended within `bytes`.
    pub fn feed(&mut self, ring: &Ring, bytes: &mut [u8]) -> Result<usize> {
        let (mut ended, mut seen, frame) = (0, 0, ring.plain_len());
        while let Self::Plain { at } = self {
            let n = (bytes.len() - seen).min(ring.plain.len() - *at);
            if n == 0 {
                return Ok(ended);
            }
            if bytes[seen..seen + n] == ring.plain[*at..*at + n] {
                ended += (*at + n) / frame - *at / frame;
                *at = (*at + n) % ring.plain.len();
                seen += n;
            } else {
                let message = *at / frame;
                let mut frames = Frames::new(MaskRule::Forbidden, message * ring.size);
                // What came of this message before was equal, so it can be taken from the ring.
                frames.feed(&ring.payload, Some(ring.size), &mut ring.plain[message * frame..*at].to_vec())?;
                *self = Self::Framed(Box::new(frames));
            }
        }
        match self {
            Self::Framed(frames) => Ok(ended + frames.feed(&ring.payload, Some(ring.size), &mut bytes[seen..])?),
            Self::Plain { .. } => Ok(ended),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use wsframe::Header;

    /// Feeds `wire` in pieces of every size; returns the messages counted.
    fn echoes(ring: &Ring, wire: &[u8]) -> Vec<Option<usize>> {
        let count = |step| {
            let mut echoes = Echoes::new(ring, 0);
            wire.to_vec().chunks_mut(step).try_fold(0, |n, piece| Some(n + echoes.feed(ring, piece).ok()?))
        };
        let mut counts: Vec<_> = (1..=wire.len()).map(count).collect();
        counts.dedup();
        counts
    }

    #[test]
    fn echoes_are_counted_however_they_are_cut() {
        let ring = Ring::of_messages(50, 8);
        let mut wire = [&ring.plain[..], &ring.plain[..60]].concat();
        assert_eq!(echoes(&ring, &wire), [Some(9)]);
        wire[300] ^= 1;
        assert_eq!(echoes(&ring, &wire), [None]);
    }

    #[test]
    fn fragments_and_pings_are_understood() {
        let ring = Ring::of_messages(50, 8);
        let mut wire = ring.plain[..52 * 2].to_vec();
        wire.extend_from_slice(Header::new(Opcode::Binary, false, 20, None).as_bytes());
        wire.extend_from_slice(&ring.payload[100..120]);
        wire.extend_from_slice(Header::new(Opcode::Ping, true, 0, None).as_bytes());
        wire.extend_from_slice(Header::new(Opcode::Continuation, true, 30, None).as_bytes());
        wire.extend_from_slice(&ring.payload[120..150]);
        wire.extend_from_slice(&ring.plain[52 * 3..52 * 4]);
        assert_eq!(echoes(&ring, &wire), [Some(4)]);
    }

    #[test]
    fn masked_echoes_are_refused() {
        let ring = Ring::of_messages(50, 8);
        assert_eq!(echoes(&ring, &ring.masked[..200]).last(), Some(&None));
    }
}
