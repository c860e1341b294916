//! The one writer of script literals: whatever text, the script means exactly that text.

use crate::platform_string;
use base64::{Engine as _, prelude::BASE64_STANDARD};
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
        None => {
            let bytes = BASE64_STANDARD.encode(platform_string::to_bytes(text));
            format!("{}(\"{bytes}\")", platform_string::DECODER)
        }
    }
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
