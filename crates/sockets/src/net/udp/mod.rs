//! UDP: one socket as a message socket ([`socket`]), or one message socket per client ([`server`]).
//!
//! A datagram is a message. Received ones are never cut unless a smaller buffer was asked for, and then that is told;
//! written ones are joined up to a limit and leave as one. UDP has no end: reading never gives EOF, and EOF that is written
//! is not told to anybody. Whatever peers can cause at will is told at most once a second, with its number.

mod batch;
#[cfg_attr(target_os = "linux", path = "gso_linux.rs")]
#[cfg_attr(not(target_os = "linux"), path = "gso_elsewhere.rs")]
mod gso;
mod open;
#[cfg_attr(unix, path = "os_unix.rs")]
#[cfg_attr(not(unix), path = "os_elsewhere.rs")]
mod os;
mod outbox;
mod peers;
mod port;
pub mod server;
pub mod socket;
mod tally;
#[cfg(test)]
mod tests;
mod writer;

pub use open::{OpenError, UdpOptions, adopt, open, open_all};
pub use peers::PeerRules;

use std::net::SocketAddr;

/// Longest datagram that a buffer has to hold: the length field of UDP has 16 bits.
pub const LONGEST: usize = 65_535;

/// One datagram was received into a buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Received {
    /// Bytes in the buffer.
    pub len: usize,
    /// None where the system does not say.
    pub from: Option<SocketAddr>,
    /// The rest of it did not fit and is lost.
    pub cut: bool,
}

/// Why a message was not sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UdpError {
    #[error(
        "a message is longer than the {limit} bytes that one datagram may have; raise --udp-max-send-datagram-size"
    )]
    TooLong { limit: usize },
    #[error("the server has let this client go")]
    HungUp,
}

impl From<UdpError> for std::io::Error {
    fn from(error: UdpError) -> Self {
        let kind = match error {
            UdpError::TooLong { .. } => std::io::ErrorKind::InvalidData,
            UdpError::HungUp => std::io::ErrorKind::NotConnected,
        };
        Self::new(kind, error)
    }
}
