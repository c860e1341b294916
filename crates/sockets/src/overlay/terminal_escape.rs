//! Makes bytes harmless and visible on a terminal: control characters and bytes that are not UTF-8 become `\xNN`.
//!
//! Used by the line writer. Works on chunks of any size: a character that is cut by a chunk border is kept until the
//! rest of it comes. No allocation.

/// Most bytes of one UTF-8 character; each becomes four when escaped.
const LONGEST: usize = 4;

/// What to write next and how many bytes of the chunk it stands for.
pub(super) enum Piece {
    /// So many bytes of the chunk as they are.
    Plain(usize),
    /// These bytes instead of so many of the chunk (perhaps none, for what was kept of an earlier chunk).
    Instead(Escaped, usize),
}

/// Up to four escaped bytes, or a whole character that came in two chunks.
pub(super) struct Escaped {
    text: [u8; 4 * LONGEST],
    len: usize,
}

impl Escaped {
    fn bytes(bytes: &[u8]) -> Self {
        let mut this = Self { text: [0; 4 * LONGEST], len: 0 };
        for (place, byte) in this.text.chunks_exact_mut(4).zip(bytes) {
            let digit = |d: u8| b"0123456789abcdef".get(usize::from(d)).copied().unwrap_or(b'?');
            place.copy_from_slice(&[b'\\', b'x', digit(byte >> 4), digit(byte & 15)]);
            this.len += 4;
        }
        this
    }

    fn plain(bytes: &[u8]) -> Self {
        let mut this = Self { text: [0; 4 * LONGEST], len: bytes.len() };
        for (place, byte) in this.text.iter_mut().zip(bytes) {
            *place = *byte;
        }
        this
    }

    pub(super) fn as_bytes(&self) -> &[u8] {
        self.text.get(..self.len).unwrap_or_default()
    }
}

/// The beginning of a character that the last chunk ended with.
#[derive(Default)]
pub(super) struct Carry {
    bytes: [u8; LONGEST],
    len: usize,
}

impl Carry {
    fn filled(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or_default()
    }

    /// The next piece of `rest`, what is left of the chunk; `None` when nothing is left to write for it. `last`: the message
    /// ends with it. `allowed` is a control character that stays as it is. Nothing of the state that the piece depends on
    /// changes before [`Carry::wrote`].
    pub(super) fn next(&self, rest: &[u8], last: bool, allowed: Option<u8>) -> Option<Piece> {
        if self.len > 0 {
            let mut joined = [0; LONGEST];
            let mut n = 0;
            for (place, byte) in joined.iter_mut().zip(self.filled().iter().chain(rest)) {
                *place = *byte;
                n += 1;
            }
            let joined = joined.get(..n).unwrap_or_default();
            let first = joined.utf8_chunks().next()?;
            return if let Some(character) = first.valid().chars().next() {
                let bytes = joined.get(..character.len_utf8()).unwrap_or_default();
                let piece = if is_control(character) { Escaped::bytes(bytes) } else { Escaped::plain(bytes) };
                Some(Piece::Instead(piece, bytes.len() - self.len))
            } else if is_cut(first.invalid()) && first.invalid().len() == n && !last {
                None
            } else {
                let bad = first.invalid();
                Some(Piece::Instead(Escaped::bytes(bad), bad.len().saturating_sub(self.len)))
            };
        }
        let first = rest.utf8_chunks().next()?;
        let valid = first.valid();
        let allowed = allowed.filter(u8::is_ascii).map(char::from);
        let special = valid.char_indices().find(|(_, c)| is_control(*c) && Some(*c) != allowed);
        match special {
            Some((0, character)) => {
                let len = character.len_utf8();
                Some(Piece::Instead(Escaped::bytes(rest.get(..len).unwrap_or_default()), len))
            }
            Some((at, _)) => Some(Piece::Plain(at)),
            None if !valid.is_empty() => Some(Piece::Plain(valid.len())),
            None if is_cut(first.invalid()) && first.invalid().len() == rest.len() && !last => None,
            None => Some(Piece::Instead(Escaped::bytes(first.invalid()), first.invalid().len())),
        }
    }

    /// A piece went out: what was kept before is part of it.
    pub(super) fn wrote(&mut self) {
        self.len = 0;
    }

    /// `next` gave `None`: `rest` is the beginning of a character, or nothing.
    pub(super) fn keep(&mut self, rest: &[u8]) {
        for byte in rest {
            if let Some(place) = self.bytes.get_mut(self.len) {
                *place = *byte;
                self.len += 1;
            }
        }
    }
}

/// Tabs are harmless; everything else that Unicode calls a control character may move the cursor or worse.
fn is_control(c: char) -> bool {
    c.is_control() && c != '\t'
}

/// Not wrong so far: the rest of a character is missing.
fn is_cut(bytes: &[u8]) -> bool {
    std::str::from_utf8(bytes).is_err_and(|e| e.error_len().is_none())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn escape(chunks: &[&[u8]], allowed: Option<u8>) -> String {
        let (mut carry, mut out) = (Carry::default(), Vec::new());
        for (i, chunk) in chunks.iter().enumerate() {
            let mut rest = *chunk;
            while let Some(piece) = carry.next(rest, i + 1 == chunks.len(), allowed) {
                let n = match piece {
                    Piece::Plain(n) => {
                        out.extend(&rest[..n]);
                        n
                    }
                    Piece::Instead(text, n) => {
                        out.extend(text.as_bytes());
                        n
                    }
                };
                carry.wrote();
                rest = &rest[n..];
            }
            carry.keep(rest);
        }
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn control_characters_and_broken_utf8_become_visible() {
        let table: [(&[u8], &str); 6] = [
            (b"plain \ttext", "plain \ttext"),
            (b"\x1b[2J\r\0\x7f\n", r"\x1b[2J\x0d\x00\x7f\x0a"),
            ("äß€😀".as_bytes(), "äß€😀"),
            ("\u{9b}31m".as_bytes(), r"\xc2\x9b31m"),
            (b"a\xff\xfeb\xe2\x82", r"a\xff\xfeb\xe2\x82"),
            (b"", ""),
        ];
        for (input, expected) in table {
            assert_eq!(escape(&[input], None), expected);
        }
        assert_eq!(escape(&[b"a\nb\r"], Some(b'\n')), "a\nb\\x0d");
    }

    #[test]
    fn chunk_borders_change_nothing() {
        let input = "aß€😀\u{9b}".as_bytes();
        let input = [input, b"\xf0\x9f\x98A\xe2\x28\xff\xf0\x9f"].concat();
        let whole = escape(&[&input], None);
        for size in 1..input.len() {
            assert_eq!(escape(&input.chunks(size).collect::<Vec<_>>(), None), whole, "{size}");
        }
        assert_eq!(escape(&[&input, b""], None), whole);
    }
}
