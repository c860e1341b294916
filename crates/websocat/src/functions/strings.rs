//! Text: of any value, of the operating system's strings, to the standard streams.
//!
//! Strings of the operating system are not changed on the way: what cannot be said in the wanted form is an error.

use crate::{
    error::{Error, Kind},
    platform_string, register,
    scenario::{RhResult, throw},
};
use rhai::{Blob, Dynamic, Engine, NativeCallContext};
use std::{
    ffi::OsString,
    fmt::Write as _,
    io::{self, Write},
};

/// Text of any value, for messages: strings and blobs come in quotes, what has no text gives the name of its type.
fn str(ctx: NativeCallContext<'_>, x: Dynamic) -> String {
    let mut text = String::new();
    describe(ctx.engine(), &x.flatten(), &mut text);
    text
}

fn describe(engine: &Engine, x: &Dynamic, out: &mut String) {
    if let Ok(items) = x.as_array_ref() {
        out.push('[');
        for (i, item) in items.iter().enumerate() {
            out.push_str(if i > 0 { ", " } else { "" });
            describe(engine, item, out);
        }
        out.push(']');
    } else if let Ok(map) = x.as_map_ref() {
        out.push_str("#{");
        for (i, (key, value)) in map.iter().enumerate() {
            // Writing to a String does not fail.
            let _ = write!(out, "{}{key:?}: ", if i > 0 { ", " } else { "" });
            describe(engine, value, out);
        }
        out.push('}');
    } else if let Some(blob) = x.read_lock::<Blob>() {
        let _ = write!(out, "b\"{}\"", blob.escape_ascii());
    } else if let Some(addr) = x.read_lock::<std::net::SocketAddr>() {
        let _ = write!(out, "{}", *addr);
    } else if let Some(text) = x.read_lock::<OsString>() {
        let _ = write!(out, "{:?}", *text);
    } else if x.is_unit() || x.is_bool() || x.is_int() || x.is_string() || x.is_char() || x.is_fnptr() {
        let _ = write!(out, "{x:?}");
    } else {
        out.push_str(engine.map_type_name(x.type_name()));
    }
}

/// The text that base64 text stands for. Fails unless its bytes are UTF-8.
fn b64str(x: &str) -> RhResult<String> {
    String::from_utf8(decode_base64(x)?).map_err(|_| NOT_UTF_8.into())
}

const NOT_UTF_8: &str = "the decoded bytes are not UTF-8; scripts have no other text";

/// Standard alphabet, with or without padding; white space is left out.
pub fn decode_base64(text: &str) -> Result<Vec<u8>, String> {
    use base64::{
        Engine as _,
        alphabet::STANDARD,
        engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
    };
    const LENIENT: GeneralPurpose = GeneralPurpose::new(
        &STANDARD,
        GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
    );
    let text: String = text.chars().filter(|c| !c.is_ascii_whitespace()).collect();
    LENIENT.decode(text).map_err(|e| format!("this is not base64: {e}"))
}

/// A string of the operating system (path, argument) from text.
fn osstr_str(x: &str) -> OsString {
    OsString::from(x)
}

/// A string of the operating system from base64 of its bytes. Fails on Windows.
fn osstr_base64_unix_bytes(x: &str) -> RhResult<OsString> {
    Ok(platform_string::from_unix_bytes(decode_base64(x)?)?)
}

/// A string of the operating system from base64 of UTF-16, low bytes first. Fails elsewhere than on Windows.
fn osstr_base64_windows_utf16le(x: &str) -> RhResult<OsString> {
    Ok(platform_string::from_utf16le(decode_base64(x)?)?)
}

/// A string of the operating system from base64 of how Rust keeps it in memory: its bytes on Unix. Elsewhere only UTF-8 is
/// accepted.
fn osstr_base64_unchecked_encoded_bytes(x: &str) -> RhResult<OsString> {
    platform_string::from_bytes(decode_base64(x)?).ok_or_else(|| NOT_UTF_8.into())
}

/// Prints text to standard output at once, without a newline. That nobody reads it any more is no error.
fn print_stdout(x: &str) -> RhResult<()> {
    print(io::stdout().lock(), x, "cannot write to standard output")
}

/// Prints text to standard error at once, without a newline.
fn print_stderr(x: &str) -> RhResult<()> {
    print(io::stderr().lock(), x, "cannot write to standard error")
}

fn print(mut to: impl Write, text: &str, failure: &str) -> RhResult<()> {
    match to.write_all(text.as_bytes()).and_then(|()| to.flush()) {
        Err(e) if e.kind() != io::ErrorKind::BrokenPipe => Err(throw(Error::with_source(Kind::File, failure, e))),
        _ => Ok(()),
    }
}

pub(super) fn register(engine: &mut Engine) {
    engine.register_type_with_name::<OsString>("OsString");
    register!(
        engine,
        str,
        b64str,
        osstr_str,
        osstr_base64_unix_bytes,
        osstr_base64_windows_utf16le,
        osstr_base64_unchecked_encoded_bytes,
        print_stdout,
        print_stderr,
    );
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::functions::testing::{eval_error, run_script};

    #[tokio::test]
    async fn text_of_values() {
        for (expression, text) in [
            ("5", "5"),
            ("true", "true"),
            ("()", "()"),
            ("\"a\\\"b\"", "\"a\\\"b\""),
            ("[1, \"x\", dummy_task()]", "[1, \"x\", Task]"),
            ("#{a: 1}", "#{\"a\": 1}"),
            ("make_socket_addr(\"::1\", 8)", "[::1]:8"),
            ("osstr_str(\"x\")", "\"x\""),
            ("dummy_stream_socket()", "StreamSocket"),
            ("pre_triggered_hangup_handle()", "Hangup"),
        ] {
            let out = run_script(&format!("note(str({expression})); dummy_task()")).await.unwrap();
            assert_eq!(out, text, "{expression}");
        }
        let out = run_script("let b = blob(2, 0x61); note(str(b)); dummy_task()").await.unwrap();
        assert_eq!(out, "b\"aa\"");
    }

    #[tokio::test]
    async fn base64() {
        assert_eq!(run_script("note(b64str(\"b2sK\")); dummy_task()").await.unwrap(), "ok\n");
        assert_eq!(decode_base64("b 2\ns").unwrap(), b"ok"[..].to_vec());
        assert_eq!(decode_base64("b2s=").unwrap(), b"ok");
        assert!(decode_base64("b2!").unwrap_err().contains("not base64"));
        assert!(eval_error("b64str(\"/w==\"); dummy_task()").contains("not UTF-8"));
    }

    #[cfg(unix)]
    #[test]
    fn platform_strings() {
        use std::os::unix::ffi::OsStrExt as _;
        assert_eq!(osstr_base64_unix_bytes("/w==").unwrap().as_bytes(), b"\xff");
        assert!(osstr_base64_windows_utf16le("bwBrAA==").unwrap_err().to_string().contains("Windows only"));
    }
}
