//! Flags of send(2) for a call that does not wait, whatever the socket does otherwise.

use rustix::net::SendFlags;

/// No waiting, and no SIGPIPE.
pub const NO_WAIT: SendFlags = SendFlags::DONTWAIT.union(SendFlags::NOSIGNAL);

/// Such a call waits all the same where the socket blocks.
pub const WAITS: bool = false;
