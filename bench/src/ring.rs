//! Messages made in advance: sending is one write from here, verifying one comparison with here.

use wsframe::{Header, Opcode, mask};

/// As many different messages as fit here, which the processor's caches hold with room for the server's own.
const RING: usize = 512 << 10;

/// xorshift64*: content and masking keys, the same in every run.
pub struct Random(u64);

impl Random {
    pub fn new() -> Self {
        Self(0x9e37_79b9_7f4a_7c15)
    }

    pub fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    pub fn bytes(&mut self, len: usize) -> Vec<u8> {
        let mut bytes: Vec<u8> = (0..len.div_ceil(8)).flat_map(|_| self.next().to_le_bytes()).collect();
        bytes.truncate(len);
        bytes
    }

    fn key(&mut self) -> [u8; 4] {
        ((self.next() >> 32) as u32).to_le_bytes()
    }
}

/// A sequence of different binary messages of one size, which starts over at its end.
pub struct Ring {
    pub size: usize,
    /// The messages' payloads, one after the other.
    pub payload: Vec<u8>,
    /// The messages as a client sends them: one masked frame each.
    pub masked: Vec<u8>,
    /// The messages as most servers send them: one frame each.
    pub plain: Vec<u8>,
}

impl Ring {
    pub fn new(size: usize) -> Self {
        Self::of_messages(size, (RING / size.max(1)).clamp(8, 4096))
    }

    pub fn of_messages(size: usize, messages: usize) -> Self {
        let mut random = Random::new();
        let payload = random.bytes(size * messages);
        let (mut masked, mut plain) = (Vec::new(), Vec::new());
        for message in payload.chunks_exact(size) {
            plain.extend_from_slice(Header::new(Opcode::Binary, true, size, None).as_bytes());
            plain.extend_from_slice(message);
            let key = random.key();
            masked.extend_from_slice(Header::new(Opcode::Binary, true, size, Some(key)).as_bytes());
            let start = masked.len();
            masked.extend_from_slice(message);
            mask(&mut masked[start..], key, 0);
        }
        Self { size, payload, masked, plain }
    }

    /// The messages as they are on a byte stream: each behind its length, or a line.
    pub fn framed(&self, framing: &str) -> Option<Vec<u8>> {
        let mut framed = Vec::with_capacity(self.payload.len() + 4 * self.messages());
        for message in self.payload.chunks_exact(self.size) {
            match framing {
                "length-prefixed" => {
                    framed.extend_from_slice(&(self.size as u32).to_be_bytes());
                    framed.extend_from_slice(message);
                }
                "lines" => {
                    framed.extend(message.iter().map(|byte| if *byte == b'\n' { b' ' } else { *byte }));
                    framed.push(b'\n');
                }
                _ => return None,
            }
        }
        Some(framed)
    }

    pub fn messages(&self) -> usize {
        self.payload.len() / self.size
    }

    /// Bytes of one message with its header, masked.
    pub fn masked_len(&self) -> usize {
        self.masked.len() / self.messages()
    }

    /// Bytes of one message with its header, not masked.
    pub fn plain_len(&self) -> usize {
        self.plain.len() / self.messages()
    }
}
