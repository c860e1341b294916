//! The header of a length-prefixed message: an integer of 1 to 8 bytes whose top bits are flags and whose rest is a length.
//!
//! Nothing here does I/O. [`HeaderFormat::decode`] takes any bytes; [`HeaderFormat::encode`] cuts nothing off, its caller
//! keeps lengths within the mask.

use crate::gather::Head;
use wsframe::MAX_HEADER;

/// Most bytes of a header: what a `u64` has.
pub const MAX_HEADER_BYTES: usize = 8;

/// A flag bit that a header may have, in the order in which they take the top bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flag {
    Continuation,
    Control,
    Text,
}

/// Why headers cannot look like this.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HeaderError {
    #[error("a header has 1 to {MAX_HEADER_BYTES} bytes")]
    Width,
    #[error("the length mask must be 2^n - 1, at least 1, and fit into the header")]
    Mask,
    #[error("the bit for {0:?} must be a single bit of the header, above the length and different from the others")]
    Flag(Flag),
}

/// How the headers of one stream look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeaderFormat {
    nbytes: u8,
    little_endian: bool,
    /// The longest length.
    pub mask: u64,
    /// Single bits, or 0 when there is no such flag.
    pub continuation: u64,
    pub control: u64,
    pub text: u64,
}

impl HeaderFormat {
    /// Checks that flags and length have places of their own. A flag of 0 is absent.
    pub fn new(
        (nbytes, little_endian): (usize, bool),
        mask: u64,
        [continuation, control, text]: [u64; 3],
    ) -> Result<Self, HeaderError> {
        let Some(bits) = nbytes.checked_mul(8).filter(|bits| (8..=64).contains(bits)) else {
            return Err(HeaderError::Width);
        };
        let all = u64::MAX >> (64 - bits);
        if mask == 0 || mask & mask.wrapping_add(1) != 0 || mask & !all != 0 {
            return Err(HeaderError::Mask);
        }
        let mut taken = mask;
        for (flag, bit) in [(Flag::Continuation, continuation), (Flag::Control, control), (Flag::Text, text)] {
            if bit != 0 && (!bit.is_power_of_two() || bit & (taken | !all) != 0) {
                return Err(HeaderError::Flag(flag));
            }
            taken |= bit;
        }
        Ok(Self { nbytes: nbytes as u8, little_endian, mask, continuation, control, text })
    }

    /// Flags take the top bits, in the order of [`Flag`], the length the rest.
    pub fn with_flags(
        nbytes: usize,
        little_endian: bool,
        continuations: bool,
        control: bool,
        text: bool,
    ) -> Result<Self, HeaderError> {
        let Some(bits) = nbytes.checked_mul(8).filter(|bits| (8..=64).contains(bits)) else {
            return Err(HeaderError::Width);
        };
        let mut free = bits;
        let flags = [continuations, control, text].map(|wanted| {
            free -= usize::from(wanted);
            if wanted { 1 << free } else { 0 }
        });
        Self::new((nbytes, little_endian), u64::MAX >> (64 - free), flags)
    }

    /// Bytes of a header.
    #[inline]
    pub fn width(&self) -> usize {
        self.nbytes.into()
    }

    /// Flags and length at the front of `bytes`; None if there are too few.
    #[inline]
    pub fn decode(&self, bytes: &[u8]) -> Option<u64> {
        let width = self.width();
        // Most headers have more behind them: then one load does.
        if let Some(first) = bytes.first_chunk::<MAX_HEADER_BYTES>() {
            let unused = 64 - 8 * width as u32;
            return Some(match self.little_endian {
                true => u64::from_le_bytes(*first) << unused >> unused,
                false => u64::from_be_bytes(*first) >> unused,
            });
        }
        let bytes = bytes.get(..width)?;
        let shift = |value: u64, byte: &u8| value << 8 | u64::from(*byte);
        Some(if self.little_endian { bytes.iter().rev().fold(0, shift) } else { bytes.iter().fold(0, shift) })
    }

    /// Flags or-ed with the length as a header.
    #[inline]
    pub fn encode(&self, value: u64) -> LengthHeader {
        let width = self.width();
        let value = if self.little_endian { value.to_le_bytes() } else { (value << (64 - 8 * width)).to_be_bytes() };
        let mut bytes = [0; MAX_HEADER_BYTES + 1];
        if let Some(to) = bytes.first_chunk_mut() {
            *to = value;
        }
        LengthHeader { bytes, len: self.nbytes }
    }
}

/// A header as bytes, with the type of the message behind it if that is a control message.
#[derive(Clone, Copy, Debug)]
pub struct LengthHeader {
    bytes: [u8; MAX_HEADER_BYTES + 1],
    len: u8,
}

impl LengthHeader {
    /// Appends the type of a control message.
    pub fn with_type(mut self, opcode: u8) -> Self {
        if let Some(to) = self.bytes.get_mut(usize::from(self.len)) {
            *to = opcode;
            self.len += 1;
        }
        self
    }
}

impl Head for LengthHeader {
    #[inline]
    fn put(&self, to: &mut [u8; MAX_HEADER]) -> usize {
        // Two copies of what was stored just like that: the processor need not wait for the stores.
        let ([number @ .., last], Some(front)) = (self.bytes, to.first_chunk_mut::<MAX_HEADER_BYTES>()) else {
            return 0;
        };
        *front = number;
        to[MAX_HEADER_BYTES] = last;
        self.len.into()
    }

    #[inline]
    fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..usize::from(self.len)).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_take_the_top_bits_in_their_order() {
        let table: [(usize, [bool; 3], u64, [u64; 3]); 7] = [
            (4, [false; 3], 0xffff_ffff, [0; 3]),
            (2, [true; 3], 0x1fff, [0x8000, 0x4000, 0x2000]),
            (2, [false, true, true], 0x3fff, [0, 0x8000, 0x4000]),
            (2, [true, false, true], 0x3fff, [0x8000, 0, 0x4000]),
            (1, [true; 3], 0x1f, [0x80, 0x40, 0x20]),
            (8, [false; 3], u64::MAX, [0; 3]),
            (8, [true, false, false], u64::MAX >> 1, [1 << 63, 0, 0]),
        ];
        for (nbytes, [continuations, control, text], mask, flags) in table {
            let format = HeaderFormat::with_flags(nbytes, false, continuations, control, text).unwrap();
            assert_eq!((format.mask, [format.continuation, format.control, format.text]), (mask, flags));
        }
    }

    #[test]
    fn bytes_of_every_width_and_order() {
        for nbytes in 1..=8 {
            for little_endian in [false, true] {
                let format = HeaderFormat::with_flags(nbytes, little_endian, false, false, false).unwrap();
                for value in [0, 1, 0x7f, 0x0102_0304_0506_0708 & format.mask, format.mask] {
                    let header = format.encode(value);
                    let all = if little_endian { value.to_le_bytes() } else { value.to_be_bytes() };
                    let expected = if little_endian { &all[..nbytes] } else { &all[8 - nbytes..] };
                    assert_eq!(header.as_bytes(), expected);
                    for behind in [0, 3, 9] {
                        let bytes = [expected, &vec![0xee; behind]].concat();
                        assert_eq!(format.decode(&bytes), Some(value), "{nbytes} {behind}");
                    }
                    assert_eq!(format.decode(&expected[1..]), None);
                    assert_eq!(header.with_type(9).as_bytes(), [expected, &[9]].concat());
                }
            }
        }
    }

    #[test]
    fn formats_that_cannot_be_are_refused() {
        let new = |nbytes, mask, flags| HeaderFormat::new((nbytes, false), mask, flags).map(|_| ());
        for nbytes in [0, 9, usize::MAX] {
            assert_eq!(new(nbytes, 1, [0; 3]), Err(HeaderError::Width));
            assert_eq!(HeaderFormat::with_flags(nbytes, false, true, true, true), Err(HeaderError::Width));
        }
        for mask in [0, 2, 0xfe, 0x1ff, 5] {
            assert_eq!(new(1, mask, [0; 3]), Err(HeaderError::Mask), "{mask}");
        }
        for flags in [[0x180, 0, 0], [0x100, 0, 0], [0x40, 0, 0], [0x03, 0, 0]] {
            assert_eq!(new(1, 0x7f, flags), Err(HeaderError::Flag(Flag::Continuation)), "{flags:?}");
        }
        assert_eq!(new(1, 0x1f, [0x80, 0x80, 0]), Err(HeaderError::Flag(Flag::Control)));
        assert_eq!(new(1, 0x1f, [0x80, 0x40, 0x10]), Err(HeaderError::Flag(Flag::Text)));
        // Bits that are neither flags nor length are allowed: they are written as 0 and not looked at.
        assert_eq!(new(2, 0xff, [0x8000, 0, 0x100]), Ok(()));
    }
}
