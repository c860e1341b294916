//! Pieces that talk to the operating system: connect, listen, resolve, descriptors, socket options.

pub mod connect;
#[cfg(unix)]
pub mod inherited;
pub mod inherited_socket;
pub mod listen;
pub mod resolve;
pub mod sockopts;
pub mod tcp;
