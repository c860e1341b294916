//! Overlays: each wraps a socket and is one machine in one file.

pub mod ws;
pub mod read_limiter;
