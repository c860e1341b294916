//! How UNIX sockets are made, on every platform.

use std::time::Duration;

/// Buffers of the kernel, in bytes. On Linux only the sender's one counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BufferOptions {
    /// SO_RCVBUF
    pub recv_buffer_size: Option<usize>,
    /// SO_SNDBUF
    pub send_buffer_size: Option<usize>,
}

/// How to connect.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UnixConnectOptions {
    /// Bounds the wait for a place in the listener's queue. None: for ever, as the system does.
    pub timeout: Option<Duration>,
    pub buffers: BufferOptions,
}

/// How to listen.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UnixListenOptions {
    /// Removes a socket file that nobody serves before, and its own file at the end.
    pub unlink: bool,
    /// Permission bits of the socket file, whatever the umask. None: what the umask leaves.
    pub mode: Option<u32>,
    /// Connections that may wait to be accepted; the system's usual number if absent.
    pub backlog: Option<u32>,
    /// Of each connection.
    pub buffers: BufferOptions,
}

/// How SEQPACKET sockets carry messages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SeqpacketOptions {
    /// What is read counts as text.
    pub text: bool,
    /// Longest message in bytes that is sent, its parts joined.
    pub max_send: usize,
    /// A message for which the send buffer of the kernel is too small makes that larger.
    pub grows: bool,
}
