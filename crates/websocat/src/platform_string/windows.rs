//! Strings are UTF-16, which need not be valid.

use std::{
    ffi::{OsStr, OsString},
    os::windows::ffi::{OsStrExt as _, OsStringExt as _},
};

/// The script function that reads the base64 of [`to_bytes`].
pub const DECODER: &str = "osstr_base64_windows_utf16le";

/// The whole string, low bytes first.
pub fn to_bytes(text: &OsStr) -> Vec<u8> {
    text.encode_wide().flat_map(u16::to_le_bytes).collect()
}

pub fn from_unix_bytes(_: Vec<u8>) -> Result<OsString, &'static str> {
    Err("osstr_base64_unix_bytes exists on Unix only; on Windows use osstr_base64_windows_utf16le")
}

pub fn from_utf16le(bytes: Vec<u8>) -> Result<OsString, &'static str> {
    if !bytes.len().is_multiple_of(2) {
        return Err("UTF-16 has an even number of bytes");
    }
    let units: Vec<u16> = bytes.chunks_exact(2).map(|b| u16::from_le_bytes([b[0], b[1]])).collect();
    Ok(OsString::from_wide(&units))
}

/// Of the bytes in which Rust keeps it; only of those that are text, since others cannot be checked. None if they are none.
pub fn from_bytes(bytes: Vec<u8>) -> Option<OsString> {
    String::from_utf8(bytes).ok().map(OsString::from)
}

/// The last `len` bytes; there are as many. Only text can be cut: what is not text keeps an empty value, which no endpoint
/// with a value accepts.
pub fn suffix(text: &OsStr, len: usize) -> &OsStr {
    text.to_str().map_or(OsStr::new(""), |text| OsStr::new(&text[text.len() - len..]))
}
