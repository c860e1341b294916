//! Sockets that exist without the operating system, or with little of it: one file each.

#[cfg_attr(not(unix), path = "async_fd_elsewhere.rs")]
pub mod async_fd;
mod blocking;
pub mod demo_packets;
pub mod empty;
pub mod file;
pub mod literal;
pub mod mirror_datagram;
pub mod mirror_stream;
pub mod pipe;
pub mod process;
pub mod random;
pub mod stdio;
pub mod zero;

pub use blocking::finish_writes;

use crate::stream::{StreamRead, StreamWrite};

/// For a process that is about to end, whatever way: leaves no children and socket files behind, and inherited descriptors
/// as they were.
pub fn before_exit() {
    process::end_children();
    crate::net::unix::remove_socket_files();
    async_fd::restore_all();
}

/// Takes everything and forgets it, at once.
impl StreamWrite for tokio::io::Sink {}
/// EOF at once.
impl StreamRead for tokio::io::Empty {}
