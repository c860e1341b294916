//! Peers that mean harm, or are just broken: each may cost itself its connection, and nothing beyond that.
//!
//! Every case states what the memory, the descriptors or the time of the program may become. Where time is what matters it
//! is tokio's paused clock and sockets in memory (`clock.rs`); the rest runs the real program as a child and looks at it
//! through /proc, which is why those files are for Linux only. Real time is only ever an upper bound.

#[cfg(target_os = "linux")]
mod client;
mod clock;
#[cfg(target_os = "linux")]
mod crowds;
#[cfg(target_os = "linux")]
mod ends;
#[cfg(target_os = "linux")]
mod floods;
#[cfg(target_os = "linux")]
mod rooms;
#[cfg(target_os = "linux")]
mod server;
