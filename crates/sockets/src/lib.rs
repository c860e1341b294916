//! Data plane: everything that carries bytes and messages, and nothing that knows of command lines or scripts.
//!
//! - [`stream`] and [`datagram`] are the contracts of the two kinds of socket, [`socket`] puts halves together.
//! - [`buffer`] is the pool that lends memory to connections that have something to say.
//! - [`overlay`] wraps sockets, one machine per file; [`endpoint`] makes sockets that need no system call of their own.
//! - [`hub`] has rooms of many sockets, where each hears all others.
//! - [`exchange`] moves messages between two sockets, [`copy`] bytes, [`splice`] bytes inside the kernel.
//! - [`net`] holds the pieces that differ between operating systems.
//! - [`testing`] has scripted sockets, a pair in memory and the chopper that cuts reads and writes to pieces.

#![cfg_attr(not(test), deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic))]

pub mod backlog;
pub mod buffer;
pub mod copy;
pub mod datagram;
pub mod endpoint;
pub mod exchange;
#[cfg(any(test, feature = "fuzz"))]
#[doc(hidden)]
pub mod fuzz;
pub mod gather;
pub mod hangup;
pub mod hub;
pub mod info;
pub mod net;
pub mod overlay;
pub mod owners;
pub mod random;
pub mod socket;
#[cfg_attr(not(target_os = "linux"), path = "splice_elsewhere.rs")]
pub mod splice;
pub mod split;
pub mod stop;
pub mod stream;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
mod wakers;
