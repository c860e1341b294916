//! Arguments as somebody would type them in a shell, for the head of a script that came from a command line.

use std::{ffi::OsStr, fmt::Write as _};

/// The words with blanks between, quoted where a POSIX shell needs it; on one line whatever they contain.
pub fn shell_words<'a>(words: impl IntoIterator<Item = &'a OsStr>) -> String {
    let words: Vec<String> = words.into_iter().map(quoted).collect();
    words.join(" ")
}

fn quoted(word: &OsStr) -> String {
    match word.to_str() {
        Some(text) if !text.is_empty() && text.bytes().all(is_plain) => text.to_owned(),
        Some(text) if !text.contains(char::is_control) => format!("'{}'", text.replace('\'', r"'\''")),
        _ => dollar_quoted(word.as_encoded_bytes()),
    }
}

fn is_plain(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"_@%+=:,./-".contains(&byte)
}

/// `$'…'`, which has escapes for every byte.
fn dollar_quoted(bytes: &[u8]) -> String {
    let mut out = "$'".to_owned();
    for &byte in bytes {
        // Writing to a String cannot fail.
        let _ = match byte {
            b'\'' | b'\\' => write!(out, "\\{}", char::from(byte)),
            b'\n' => write!(out, "\\n"),
            b' '..=b'~' => write!(out, "{}", char::from(byte)),
            _ => write!(out, "\\x{byte:02x}"),
        };
    }
    out + "'"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_quoted_where_a_shell_needs_it() {
        let words = ["websocat", "-b", "ws-l:[::1]:80", "cmd:echo it's", "", "a\nb\\'", "tcp:h:1"];
        let line = shell_words(words.iter().map(OsStr::new));
        assert_eq!(line, r"websocat -b 'ws-l:[::1]:80' 'cmd:echo it'\''s' '' $'a\nb\\\'' tcp:h:1");
    }
}
