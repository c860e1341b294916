//! Sockets that exist without the operating system, or with little of it: one file each.

pub mod empty;
pub mod literal;
pub mod mirror_datagram;
pub mod mirror_stream;
pub mod random;
pub mod zero;

use crate::stream::{StreamRead, StreamWrite};

/// Takes everything and forgets it, at once.
impl StreamWrite for tokio::io::Sink {}
/// EOF at once.
impl StreamRead for tokio::io::Empty {}
