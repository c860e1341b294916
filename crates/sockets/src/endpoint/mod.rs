//! Sockets that exist without the operating system, or with little of it: one file each.

mod blocking;
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

/// Takes everything and forgets it, at once.
impl StreamWrite for tokio::io::Sink {}
/// EOF at once.
impl StreamRead for tokio::io::Empty {}
