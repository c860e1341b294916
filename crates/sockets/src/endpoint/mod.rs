//! Sockets that exist without the operating system, or with little of it: one file each.

mod blocking;
pub mod file;
pub mod mirror_datagram;
pub mod mirror_stream;
pub mod process;
pub mod stdio;
