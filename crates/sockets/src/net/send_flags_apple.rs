//! Flags of send(2) on Apple's systems: there is none against SIGPIPE, which Rust's start-up has the process ignore, and the
//! kernel heeds the one against waiting in recv(2) only.

use rustix::net::SendFlags;

/// No SIGPIPE; no waiting either where the socket does not block.
pub const NO_WAIT: SendFlags = SendFlags::DONTWAIT;

/// Such a call waits all the same where the socket blocks.
pub const WAITS: bool = true;
