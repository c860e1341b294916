//! Strings are bytes, mostly UTF-8.

use std::{
    ffi::{OsStr, OsString},
    os::unix::ffi::{OsStrExt as _, OsStringExt as _},
};

/// The script function that reads the base64 of [`to_bytes`].
pub const DECODER: &str = "osstr_base64_unix_bytes";

/// The whole string.
pub fn to_bytes(text: &OsStr) -> Vec<u8> {
    text.as_bytes().to_vec()
}

pub fn from_unix_bytes(bytes: Vec<u8>) -> Result<OsString, &'static str> {
    Ok(OsString::from_vec(bytes))
}

pub fn from_utf16le(_: Vec<u8>) -> Result<OsString, &'static str> {
    Err("osstr_base64_windows_utf16le exists on Windows only; here use osstr_base64_unix_bytes")
}

/// Of the bytes in which Rust keeps it; None if they cannot be one.
pub fn from_bytes(bytes: Vec<u8>) -> Option<OsString> {
    Some(OsString::from_vec(bytes))
}

/// The last `len` bytes; there are as many.
pub fn suffix(text: &OsStr, len: usize) -> &OsStr {
    OsStr::from_bytes(&text.as_bytes()[text.len() - len..])
}
