//! Strings of the operating system, which need not be text: bytes on Unix, UTF-16 on Windows.
//!
//! Scripts are text: the planner writes such strings in base64, and the script function of their platform reads them.

#[cfg_attr(unix, path = "platform_string/unix.rs")]
#[cfg_attr(not(unix), path = "platform_string/windows.rs")]
mod os;

pub use os::{DECODER, from_bytes, from_unix_bytes, from_utf16le, suffix, to_bytes};
