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
#[cfg(unix)]
#[cfg_attr(target_vendor = "apple", path = "listening_apple.rs")]
pub(crate) mod listening;
pub mod resolve;
#[cfg(unix)]
#[cfg_attr(target_vendor = "apple", path = "send_flags_apple.rs")]
mod send_flags;
pub mod sockopts;
pub mod tcp;
pub mod udp;
pub mod unix;
