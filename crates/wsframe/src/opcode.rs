//! What a frame is for: the four opcode bits of RFC 6455 5.2, restricted to the values that have a meaning.

use crate::Error;

/// What a frame is for (RFC 6455 5.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Opcode {
    /// Goes on with the message that an earlier frame began.
    Continuation = 0,
    /// Begins a message of UTF-8 text.
    Text = 1,
    /// Begins a message of any bytes.
    Binary = 2,
    /// The sender says nothing more; see [`parse_close`](crate::parse_close) for its body.
    Close = 8,
    /// Asks for a Pong with the same payload.
    Ping = 9,
    /// Answers a Ping, or comes unasked as a sign of life.
    Pong = 10,
}

impl Opcode {
    /// Close, Ping and Pong: at most 125 bytes, never in fragments, allowed between the fragments of a message.
    #[inline]
    pub const fn is_control(self) -> bool {
        self as u8 & 8 != 0
    }

    /// Reads the low four bits of a frame's first byte.
    #[inline]
    pub(crate) const fn from_bits(bits: u8) -> Result<Self, Error> {
        //= 6455-5.2-4
        Ok(match bits & 15 {
            0 => Self::Continuation,
            1 => Self::Text,
            2 => Self::Binary,
            8 => Self::Close,
            9 => Self::Ping,
            10 => Self::Pong,
            reserved => return Err(Error::ReservedOpcode(reserved)),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    //= 6455-5.2-4 test
    #[test]
    fn sixteen_values_of_which_six_have_a_meaning() {
        for bits in 0..16 {
            match Opcode::from_bits(bits) {
                Ok(opcode) => {
                    assert_eq!(opcode as u8, bits);
                    assert_eq!(opcode.is_control(), bits >= 8);
                }
                Err(e) => {
                    assert_eq!(e, Error::ReservedOpcode(bits));
                    assert!(matches!(bits, 3..=7 | 11..=15), "{bits}");
                }
            }
        }
    }
}
