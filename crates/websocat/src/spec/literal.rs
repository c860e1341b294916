//! The one writer of script literals: whatever text, the script means exactly that text.

use std::ffi::OsStr;

/// A Rhai string literal. Plain where it can be, escaped where Rhai has an escape for it.
pub fn string_literal(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if c.is_control() => out.push_str(&format!("\\u{:04x}", c as u32)),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

/// An expression that gives a platform string: text where it is text, base64 of its bytes where it is not.
pub fn os_literal(text: &OsStr) -> String {
    match text.to_str() {
        Some(text) => format!("osstr_str({})", string_literal(text)),
        None => os_bytes(text),
    }
}

#[cfg(unix)]
fn os_bytes(text: &OsStr) -> String {
    use base64::Engine as _;
    use std::os::unix::ffi::OsStrExt as _;
    format!("osstr_base64_unix_bytes(\"{}\")", base64::prelude::BASE64_STANDARD.encode(text.as_bytes()))
}

#[cfg(windows)]
fn os_bytes(text: &OsStr) -> String {
    use base64::Engine as _;
    use std::os::windows::ffi::OsStrExt as _;
    let units: Vec<u8> = text.encode_wide().flat_map(u16::to_le_bytes).collect();
    format!("osstr_base64_windows_utf16le(\"{}\")", base64::prelude::BASE64_STANDARD.encode(units))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rhai_reads_back_what_was_written() {
        let engine = rhai::Engine::new_raw();
        for text in ["", "plain", "a\"b\\c", "line\nfeed\r\ttab", "${x} `y` {z}", "\0\u{1}\u{7f}\u{85}é🦀", "\\u0041"]
        {
            assert_eq!(engine.eval::<String>(&string_literal(text)).unwrap(), text);
        }
    }
}
