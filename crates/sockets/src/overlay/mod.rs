//! Overlays: each wraps a socket and is one machine in one file.

pub(crate) mod assembly;
pub mod chunks;
pub mod datagram_log;
pub mod defragment;
pub mod length_prefixed;
pub mod lines;
pub mod rate_limit;
pub mod read_limiter;
pub mod reuse;
pub mod split_off;
pub mod stream_log;
pub mod tee;
mod terminal_escape;
pub mod traffic_log;
pub mod write_buffer;
pub mod write_limiter;
pub mod ws;

#[cfg(test)]
mod chopper_tests;
