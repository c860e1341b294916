//! Overlays: each wraps a socket and is one machine in one file.

pub mod chunks;
pub mod lines;
pub mod read_limiter;
mod terminal_escape;
pub mod ws;
