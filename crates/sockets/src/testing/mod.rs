//! Test kit: scripted sockets, pairs in memory, the chopper, faults, a driver that finds lost wake-ups.
//!
//! [`scripted`] is also a real endpoint (`mock_stream_socket:`), so that this module is part of the product through the
//! feature `testing`. Nothing here touches the operating system.

pub mod chopper;
pub mod collect;
pub mod datagram_pair;
pub mod dice;
pub mod drive;
pub mod faults;
pub mod pair;
mod play;
pub mod script;
pub mod scripted;

pub use chopper::{PendingAt, Schedule, schedules};
pub use collect::{
    Chunk, Recorder, chunk_source, collect_chunks, collect_messages, collect_stream, messages, write_chunks,
};
pub use datagram_pair::datagram_pair;
pub use dice::Dice;
pub use drive::drive;
pub use pair::{Reset, pair};
pub use script::ScriptError;
pub use scripted::{MockMismatch, scripted};
