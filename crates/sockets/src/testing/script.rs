//! The language of `mock_stream_socket:`: text to steps, spec section 22.
//!
//! Commands stand between `|`, blanks before a command do not count. `R text` data to be read, `W text` data that must be
//! written, `ZR n` and `ZW n` the same with n zero bytes, `I n` any n written bytes, `X` end of reading, `D` shutdown of
//! writing, `ER` and `EW` an error, `T n` a pause of n milliseconds, `Q` no checks from here on, `N text` a name.
//! Letters may be small except E and T. One run of blanks after the letters is skipped. Numbers are decimal or `x1F`.
//! Escapes in texts: `\n \r \t \0 \\ \|`, `\xHH`; any other escaped character is itself.

use std::{collections::VecDeque, time::Duration};

/// Why a script is not one; `at` is the offset in bytes.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ScriptError {
    #[error("mock script, byte {at}: no command starts with {found:?}; there are R W ZR ZW I X D ER EW T Q N")]
    UnknownCommand { at: usize, found: String },
    #[error("mock script, byte {at}: {found:?} is not a number; write decimal digits or x and hexadecimal ones")]
    BadNumber { at: usize, found: String },
    #[error("mock script, byte {at}: {command} takes no argument")]
    UnexpectedArgument { at: usize, command: &'static str },
    #[error("mock script, byte {at}: unfinished escape sequence")]
    UnfinishedEscape { at: usize },
    #[error("mock script, byte {at}: \\x needs two hexadecimal digits")]
    BadHexEscape { at: usize },
}

/// One thing that must happen; counts and texts shrink while parts of them happen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ScriptStep {
    Read(VecDeque<u8>),
    ReadZeros(u64),
    ReadEof,
    ReadError,
    Write(VecDeque<u8>),
    WriteZeros(u64),
    Ignore(u64),
    Shutdown,
    WriteError,
    Pause(Duration),
    StopChecking,
}

/// A script taken apart.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Script {
    pub name: Option<String>,
    pub steps: VecDeque<ScriptStep>,
}

impl Script {
    /// Fails at the first thing that is not in the language. Commands of blanks only are skipped.
    pub fn parse(text: &str) -> Result<Self, ScriptError> {
        let mut cursor = Cursor { bytes: text.as_bytes(), at: 0 };
        let mut script = Self::default();
        loop {
            cursor.skip_blanks();
            match cursor.peek() {
                None => return Ok(script),
                Some(b'|') => cursor.at += 1,
                Some(_) => cursor.command(&mut script)?,
            }
        }
    }
}

struct Cursor<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Cursor<'_> {
    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    fn skip_blanks(&mut self) {
        while self.peek().is_some_and(|b| b.is_ascii_whitespace()) {
            self.at += 1;
        }
    }

    fn command(&mut self, script: &mut Script) -> Result<(), ScriptError> {
        let first = self.peek().unwrap_or(0);
        let second = self.bytes.get(self.at + 1).copied().unwrap_or(0).to_ascii_uppercase();
        let (letters, two) = match (first, second) {
            (b'z' | b'Z', b'R' | b'W') | (b'E', b'R' | b'W') => ((first.to_ascii_uppercase(), second), true),
            (b'T', _) => ((b'T', 0), false),
            (b'e' | b't' | b'E' | b'z' | b'Z', _) => return Err(self.unknown()),
            _ => ((first.to_ascii_uppercase(), 0), false),
        };
        let start = self.at;
        self.at += 1 + usize::from(two);
        self.skip_blanks();
        let step = match letters {
            (b'R', _) => ScriptStep::Read(self.text()?.into()),
            (b'W', _) => ScriptStep::Write(self.text()?.into()),
            (b'Z', b'R') => ScriptStep::ReadZeros(self.number()?),
            (b'Z', _) => ScriptStep::WriteZeros(self.number()?),
            (b'I', _) => ScriptStep::Ignore(self.number()?),
            (b'T', _) => ScriptStep::Pause(Duration::from_millis(self.number()?)),
            (b'X', _) => self.bare("X", ScriptStep::ReadEof)?,
            (b'D', _) => self.bare("D", ScriptStep::Shutdown)?,
            (b'E', b'R') => self.bare("ER", ScriptStep::ReadError)?,
            (b'E', _) => self.bare("EW", ScriptStep::WriteError)?,
            (b'Q', _) => self.bare("Q", ScriptStep::StopChecking)?,
            (b'N', _) => {
                script.name = Some(String::from_utf8_lossy(&self.text()?).into_owned());
                return Ok(());
            }
            _ => {
                self.at = start;
                return Err(self.unknown());
            }
        };
        let nothing = match &step {
            ScriptStep::Read(text) | ScriptStep::Write(text) => text.is_empty(),
            ScriptStep::ReadZeros(n) | ScriptStep::WriteZeros(n) | ScriptStep::Ignore(n) => *n == 0,
            _ => false,
        };
        // A read of nothing would be taken for the end of the stream, a write of nothing can never be seen.
        if !nothing {
            script.steps.push_back(step);
        }
        Ok(())
    }

    fn unknown(&self) -> ScriptError {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        let word = rest.split(|b| *b == b'|' || b.is_ascii_whitespace()).next().unwrap_or_default();
        let found = String::from_utf8_lossy(word).chars().take(16).collect();
        ScriptError::UnknownCommand { at: self.at, found }
    }

    /// The rest of the command must be blank.
    fn bare(&mut self, command: &'static str, step: ScriptStep) -> Result<ScriptStep, ScriptError> {
        match self.peek() {
            None | Some(b'|') => Ok(step),
            Some(_) => Err(ScriptError::UnexpectedArgument { at: self.at, command }),
        }
    }

    fn number(&mut self) -> Result<u64, ScriptError> {
        let at = self.at;
        let rest = self.bytes.get(at..).unwrap_or_default();
        let len = rest.iter().position(|b| *b == b'|').unwrap_or(rest.len());
        self.at += len;
        let found = String::from_utf8_lossy(rest.get(..len).unwrap_or_default()).trim_end().to_owned();
        let (digits, radix) = match found.strip_prefix(['x', 'X']) {
            Some(hex) => (hex, 16),
            None => (&*found, 10),
        };
        let digits = if digits.starts_with('+') { "" } else { digits };
        u64::from_str_radix(digits, radix).map_err(|_| ScriptError::BadNumber { at, found })
    }

    fn text(&mut self) -> Result<Vec<u8>, ScriptError> {
        let mut text = Vec::new();
        while let Some(byte) = self.peek().filter(|b| *b != b'|') {
            self.at += 1;
            text.push(if byte == b'\\' { self.escape()? } else { byte });
        }
        Ok(text)
    }

    fn escape(&mut self) -> Result<u8, ScriptError> {
        let at = self.at - 1;
        let byte = self.peek().ok_or(ScriptError::UnfinishedEscape { at })?;
        self.at += 1;
        Ok(match byte {
            b'n' => b'\n',
            b'r' => b'\r',
            b't' => b'\t',
            b'0' => 0,
            b'x' => {
                let digits = self.bytes.get(self.at..self.at + 2).unwrap_or_default();
                let value = digits
                    .iter()
                    .try_fold(0, |value, digit| Some(value << 4 | char::from(*digit).to_digit(16)?))
                    .filter(|_| digits.len() == 2)
                    .ok_or(ScriptError::BadHexEscape { at })?;
                self.at += 2;
                value as u8
            }
            other => other,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn steps(text: &str) -> Vec<ScriptStep> {
        Script::parse(text).unwrap().steps.into()
    }

    fn bytes(text: &[u8]) -> VecDeque<u8> {
        text.to_vec().into()
    }

    #[test]
    fn every_command_is_understood() {
        let script = Script::parse("N it|R a b |w q|ZR 10|zw x1F|I 3|X|d |ER|EW| T 5|T5|Q").unwrap();
        assert_eq!(script.name.as_deref(), Some("it"));
        let expected = [
            ScriptStep::Read(bytes(b"a b ")),
            ScriptStep::Write(bytes(b"q")),
            ScriptStep::ReadZeros(10),
            ScriptStep::WriteZeros(31),
            ScriptStep::Ignore(3),
            ScriptStep::ReadEof,
            ScriptStep::Shutdown,
            ScriptStep::ReadError,
            ScriptStep::WriteError,
            ScriptStep::Pause(Duration::from_millis(5)),
            ScriptStep::Pause(Duration::from_millis(5)),
            ScriptStep::StopChecking,
        ];
        assert_eq!(Vec::from(script.steps), expected);
    }

    #[test]
    fn escapes_and_blanks() {
        assert_eq!(steps(r"R \n\r\t\0\\\|\x1fF\q"), [ScriptStep::Read(bytes(b"\n\r\t\0\\|\x1fFq"))]);
        assert_eq!(steps("  R    a "), [ScriptStep::Read(bytes(b"a "))]);
        assert_eq!(steps(r"R\ a"), [ScriptStep::Read(bytes(b" a"))]);
        assert_eq!(steps("Rä"), [ScriptStep::Read(bytes("ä".as_bytes()))]);
        assert_eq!(steps(" | |"), []);
    }

    #[test]
    fn errors_say_where() {
        let unknown = |at, found: &str| Err(ScriptError::UnknownCommand { at, found: found.into() });
        let number = |at, found: &str| Err(ScriptError::BadNumber { at, found: found.into() });
        for (text, expected) in [
            ("R a|Y b", unknown(4, "Y")),
            ("t 5", unknown(0, "t")),
            ("er", unknown(0, "er")),
            ("E", unknown(0, "E")),
            ("Z 5", unknown(0, "Z")),
            ("ZR", number(2, "")),
            ("ZR 1g|X", number(3, "1g")),
            ("I +5", number(2, "+5")),
            ("X y", Err(ScriptError::UnexpectedArgument { at: 2, command: "X" })),
            ("R a\\", Err(ScriptError::UnfinishedEscape { at: 3 })),
            ("R \\x1", Err(ScriptError::BadHexEscape { at: 2 })),
            ("R \\xgg", Err(ScriptError::BadHexEscape { at: 2 })),
        ] {
            assert_eq!(Script::parse(text).map(|_| ()), expected, "{text}");
        }
    }
}
