//! Overlays: each wraps a socket and is one machine in one file.

pub mod read_limiter;
pub mod ws;
