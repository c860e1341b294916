//! Pieces that talk to the operating system: connect, listen, resolve, descriptors, socket options.

pub mod accept;
pub mod connect;
mod error_numbers;
#[cfg(unix)]
pub mod inherited;
pub mod inherited_socket;
pub mod interface;
pub mod kernel_stream;
pub mod listen;
pub mod resolve;
pub mod sockopts;
pub mod tcp;
pub mod udp;
pub mod unix;
