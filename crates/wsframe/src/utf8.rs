//! Text messages are UTF-8 (RFC 6455 5.6, 8.1), checked while they pass: each chunk once, at memory speed, without
//! joining chunks.
//!
//! A character may be cut by the end of a chunk: up to 3 bytes are carried over. Bytes are refused as soon as no
//! continuation could make them valid (RFC 3629: overlong forms, surrogates, values above U+10FFFF), also when the bad byte
//! is the last of its chunk.

use crate::Error;
use core::fmt;

/// Bytes that are not UTF-8, and where they lie in the chunk that was fed.
///
/// To replace instead of refusing: keep the first `valid_up_to` bytes of the chunk, put one U+FFFD, leave out
/// `error_len` bytes, go on with the rest. The check is ready for that.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InvalidUtf8 {
    /// Bytes of this chunk that go before the bad ones. 0 when the bad ones began in an earlier chunk.
    pub valid_up_to: usize,
    /// Bytes of this chunk that belong to the bad sequence. 0 when only carried bytes do: the chunk, or the end of the
    /// message, does not go on with the character they began.
    pub error_len: usize,
}

impl fmt::Display for InvalidUtf8 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Error::InvalidUtf8.fmt(f)
    }
}

impl core::error::Error for InvalidUtf8 {}

impl From<InvalidUtf8> for Error {
    fn from(_: InvalidUtf8) -> Self {
        Self::InvalidUtf8
    }
}

/// Validator of one direction's text messages.
///
/// ```
/// use wsframe::Utf8Check;
/// let mut check = Utf8Check::new();
/// check.feed(b"caf\xc3")?; // half an é
/// assert_eq!(check.carried(), 1);
/// check.feed(b"\xa9")?;
/// check.finish()?;
///
/// let e = check.feed(b"ok \xff").unwrap_err();
/// assert_eq!((e.valid_up_to, e.error_len), (3, 1));
/// # Ok::<(), wsframe::InvalidUtf8>(())
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct Utf8Check {
    /// The first `len` bytes are the beginning of a character that can still become valid.
    carry: [u8; 3],
    /// 0 <= len <= 3
    len: u8,
}

impl Utf8Check {
    /// At the beginning of a message.
    pub const fn new() -> Self {
        Self { carry: [0; 3], len: 0 }
    }

    /// How many bytes at the end of what was fed are an unfinished character: 0 to 3.
    #[inline]
    pub const fn carried(&self) -> usize {
        self.len as usize
    }

    /// Takes the next bytes of the message. After an error the check carries nothing.
    #[inline]
    pub fn feed(&mut self, bytes: &[u8]) -> Result<(), InvalidUtf8> {
        //= 6455-5.6-1
        //= 6455-8.1-1
        if self.len == 0 {
            return self.feed_whole(bytes, 0);
        }
        let used = self.complete(bytes)?;
        match bytes.get(used..) {
            Some(rest) if !rest.is_empty() => self.feed_whole(rest, used),
            _ => Ok(()),
        }
    }

    /// Ends the message, which must not stop inside a character; the next byte fed begins a new one.
    #[inline]
    pub fn finish(&mut self) -> Result<(), InvalidUtf8> {
        //= 6455-5.6-1
        if core::mem::take(&mut self.len) == 0 { Ok(()) } else { Err(InvalidUtf8 { valid_up_to: 0, error_len: 0 }) }
    }

    /// Checks bytes that begin with a character; `before` bytes of the chunk went ahead of them.
    #[inline]
    fn feed_whole(&mut self, bytes: &[u8], before: usize) -> Result<(), InvalidUtf8> {
        let Some((body, tail)) = bytes.split_at_checked(bytes.len() - unfinished(bytes)) else { return Ok(()) };
        if simdutf8::basic::from_utf8(body).is_err() {
            return Err(locate(body, before));
        }
        if tail.is_empty() {
            return Ok(());
        }
        self.complete(tail).map(drop).map_err(|e| InvalidUtf8 { valid_up_to: before + body.len(), ..e })
    }

    /// Adds bytes to the carried ones until they are a character; returns how many it took. If there are too few, carries
    /// them too.
    #[cold]
    fn complete(&mut self, bytes: &[u8]) -> Result<usize, InvalidUtf8> {
        let carried = self.carried();
        let mut character = [0; 4];
        for (to, from) in character.iter_mut().zip(self.carry.iter().take(carried).chain(bytes)) {
            *to = *from;
        }
        let have = character.len().min(carried + bytes.len());
        self.len = 0;
        for end in carried + 1..=have {
            let Some(begun) = character.get(..end) else { break };
            match core::str::from_utf8(begun) {
                Ok(_) => return Ok(end - carried),
                // The bytes before the last could still become a character, so that the last is the impossible one. It
                // is bad itself only where it stands alone; after others it begins something else.
                Err(e) if e.error_len().is_some() => {
                    return Err(InvalidUtf8 {
                        valid_up_to: 0,
                        error_len: (end - carried - 1).max(usize::from(end == 1)),
                    });
                }
                Err(_) => {}
            }
        }
        let [a, b, c, _] = character;
        self.carry = [a, b, c];
        self.len = have.min(3) as u8;
        Ok(bytes.len())
    }
}

/// How many bytes at the end begin a character that would need more; at most 3.
#[inline]
fn unfinished(bytes: &[u8]) -> usize {
    for (i, b) in bytes.iter().rev().take(3).enumerate() {
        let width = match b {
            0x80..=0xbf => continue, // inside a character: look for its beginning
            0xc0..=0xdf => 2,
            0xe0..=0xef => 3,
            0xf0.. => 4,
            _ => 1,
        };
        return if width > i + 1 { i + 1 } else { 0 };
    }
    0
}

/// Finds what the fast validator only noticed.
#[cold]
fn locate(body: &[u8], before: usize) -> InvalidUtf8 {
    match core::str::from_utf8(body) {
        Err(e) => {
            let left = body.len() - e.valid_up_to();
            InvalidUtf8 { valid_up_to: before + e.valid_up_to(), error_len: e.error_len().unwrap_or(left) }
        }
        // The two validators would have to disagree. Refusing is the safe side.
        Ok(_) => InvalidUtf8 { valid_up_to: before + body.len(), error_len: 0 },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{string::String, vec, vec::Vec};

    /// Sequences at every border of the tables in RFC 3629, valid and not.
    fn edges() -> Vec<Vec<u8>> {
        let mut all = vec![Vec::new()];
        let interesting: [u8; 21] = [
            0x00, 0x41, 0x7f, 0x80, 0x8f, 0x90, 0x9f, 0xa0, 0xbf, 0xc0, 0xc1, 0xc2, 0xdf, 0xe0, 0xe1, 0xed, 0xef, 0xf0,
            0xf1, 0xf4, 0xf5,
        ];
        for a in interesting {
            all.push(vec![a]);
            for b in interesting {
                all.push(vec![a, b]);
                for c in interesting {
                    all.push(vec![a, b, c]);
                }
            }
        }
        for a in [0xe2, 0xf0, 0xf1, 0xf4, 0xf5, 0xff] {
            for b in [0x7f, 0x80, 0x8f, 0x90, 0xbf, 0xc0] {
                for c in [0x41, 0x80, 0xbf] {
                    for d in [0x41, 0x80, 0xbf, 0xc3] {
                        all.push(vec![a, b, c, d]);
                        all.push(vec![a, b, c, d, 0x80]);
                    }
                }
            }
        }
        all
    }

    /// The same as the standard library would say with all bytes in one slice.
    fn check(parts: &[&[u8]]) -> Result<(), InvalidUtf8> {
        let mut check = Utf8Check::new();
        for part in parts {
            check.feed(part)?;
        }
        check.finish()
    }

    //= 6455-5.6-1 test
    //= 6455-8.1-1 test
    #[test]
    fn agrees_with_the_standard_library_however_cut() {
        for text in edges() {
            let expected = core::str::from_utf8(&text).is_ok();
            for i in 0..=text.len() {
                for j in i..=text.len() {
                    let got = check(&[&text[..i], &text[i..j], &text[j..]]).is_ok();
                    assert_eq!(got, expected, "{text:x?} cut at {i} and {j}");
                }
            }
        }
    }

    //= 6455-8.1-1 test
    #[test]
    fn long_chunks_with_an_edge_anywhere() {
        // Longer than 64 bytes, where the vector code begins.
        for edge in edges().iter().filter(|e| e.len() != 3) {
            for lead in [0, 1, 60, 62, 63, 64, 65, 127] {
                let mut text = "ж".repeat(lead / 2).into_bytes();
                text.resize(lead, b'a');
                text.extend(edge);
                text.extend(b"tail".repeat(20));
                let expected = core::str::from_utf8(&text);
                let got = check(&[&text]);
                assert_eq!(got.is_ok(), expected.is_ok(), "{edge:x?} at {lead}");
                if let (Err(e), Err(expected)) = (got, expected) {
                    assert_eq!((e.valid_up_to, Some(e.error_len)), (expected.valid_up_to(), expected.error_len()));
                }
            }
        }
    }

    //= 6455-8.1-1 test
    #[test]
    fn fails_at_the_first_impossible_byte() {
        // Fed byte by byte: the number is the index of the byte at which it must fail.
        let cases: [(&[u8], usize); 14] = [
            (&[0x80], 0),
            (&[0xc0], 0),
            (&[0xc1], 0),
            (&[0xf5], 0),
            (&[0xff], 0),
            (&[0xc3, 0x41], 1),
            (&[0xe0, 0x80], 1),
            (&[0xe0, 0x9f], 1),
            (&[0xed, 0xa0], 1),
            (&[0xf0, 0x8f], 1),
            (&[0xf4, 0x90], 1),
            (&[0xe2, 0x82, 0x41], 2),
            (&[0xf0, 0x9d, 0x84, 0x41], 3),
            (&[b'a', 0xc3, 0xa9, 0xf4, 0x90], 4),
        ];
        for (text, bad) in cases {
            let mut bytewise = Utf8Check::new();
            for (i, b) in text.iter().enumerate() {
                assert_eq!(bytewise.feed(&[*b]).is_err(), i == bad, "{text:x?} at {i}");
            }
            let mut whole = Utf8Check::new();
            assert!(whole.feed(&text[..bad]).is_ok());
            assert!(Utf8Check::new().feed(text).is_err(), "{text:x?}");
        }
    }

    #[test]
    fn carries_at_most_three_bytes_and_none_after_an_error() {
        let mut check = Utf8Check::new();
        for (i, b) in "𝄞".bytes().enumerate() {
            assert_eq!(check.carried(), i);
            assert_eq!(check.feed(&[]), Ok(()));
            check.feed(&[b]).unwrap();
        }
        assert_eq!(check.carried(), 0);
        check.feed(&[0xf0, 0x9d]).unwrap();
        assert_eq!(check.finish(), Err(InvalidUtf8 { valid_up_to: 0, error_len: 0 }));
        assert_eq!(check.finish(), Ok(()));
        check.feed(&[0xf0, 0x9d]).unwrap();
        assert_eq!(check.feed(b"abc"), Err(InvalidUtf8 { valid_up_to: 0, error_len: 0 }));
        assert_eq!((check.carried(), check.feed(b"abc"), check.finish()), (0, Ok(()), Ok(())));
        assert_eq!(Error::from(InvalidUtf8 { valid_up_to: 0, error_len: 0 }), Error::InvalidUtf8);
    }

    /// What the words at [`InvalidUtf8`] tell a caller to do.
    fn replace(parts: &[&[u8]]) -> String {
        let (mut check, mut out, mut held) = (Utf8Check::new(), Vec::new(), Vec::new());
        for part in parts {
            let mut rest = *part;
            loop {
                match check.feed(rest) {
                    Ok(()) => {
                        held.extend_from_slice(rest);
                        out.extend(held.drain(..held.len() - check.carried()));
                        break;
                    }
                    Err(e) => {
                        if e.valid_up_to > 0 {
                            out.append(&mut held);
                        }
                        held.clear();
                        out.extend_from_slice(&rest[..e.valid_up_to]);
                        out.extend("\u{fffd}".bytes());
                        rest = &rest[e.valid_up_to + e.error_len..];
                    }
                }
            }
        }
        if check.finish().is_err() {
            out.extend("\u{fffd}".bytes());
        }
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn positions_allow_replacing_bad_bytes() {
        for text in edges() {
            let expected = String::from_utf8_lossy(&text);
            for i in 0..=text.len() {
                for j in i..=text.len() {
                    let got = replace(&[&text[..i], &text[i..j], &text[j..]]);
                    assert_eq!(got, expected, "{text:x?} cut at {i} and {j}");
                }
            }
        }
    }
}
