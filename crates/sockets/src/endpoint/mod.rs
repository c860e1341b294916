//! Sockets that exist without the operating system, or with little of it: one file each.

pub mod empty;
pub mod literal;
pub mod mirror_datagram;
pub mod mirror_stream;
pub mod random;
pub mod zero;
