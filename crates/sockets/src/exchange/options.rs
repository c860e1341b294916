//! How two sockets are joined: plain structs that the control plane fills.

use std::time::Duration;

/// For messages. The defaults are those of a scenario function without options.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExchangeOptions {
    /// Nothing goes from right to left.
    pub unidirectional: bool,
    /// Nothing goes from left to right.
    pub unidirectional_reverse: bool,
    /// The end of one direction ends the session.
    pub exit_on_eof: bool,
    /// The writer of a disabled direction stays open until the other direction has ended.
    pub late_drop: bool,
    /// Longest chunk from left to right, in bytes; `usize::MAX` leaves it to the reader.
    pub max_forward: usize,
    /// Longest chunk from right to left, in bytes.
    pub max_reverse: usize,
    /// How long the other direction may be silent before a socket that can end one direction only by Close is closed.
    /// None: an end goes on at once and nothing bounds the wait. `Duration::MAX`: for ever.
    pub linger: Option<Duration>,
    /// An error ends the session, not only its direction.
    pub end_on_error: bool,
    /// The session ends, as by draining, when no data came from either side for so long; a quarter later at most. None: never.
    pub idle: Option<Duration>,
}

impl Default for ExchangeOptions {
    fn default() -> Self {
        Self {
            unidirectional: false,
            unidirectional_reverse: false,
            exit_on_eof: false,
            late_drop: false,
            max_forward: usize::MAX,
            max_reverse: usize::MAX,
            linger: None,
            end_on_error: false,
            idle: None,
        }
    }
}

impl ExchangeOptions {
    /// Neither direction is switched off.
    pub(super) fn copies_both(&self) -> bool {
        !self.unidirectional && !self.unidirectional_reverse
    }
}

/// For bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ExchangeBytesOptions {
    /// Nothing goes from right to left.
    pub unidirectional: bool,
    /// Nothing goes from left to right.
    pub unidirectional_reverse: bool,
    /// The end of one direction ends the session; the other sink is dropped.
    pub exit_on_eof: bool,
    /// The writer of a disabled direction stays open until the other direction has ended.
    pub late_drop: bool,
    /// Most bytes per read from left to right, up to 256 KiB. None: sizes that follow the traffic.
    pub buffer_size_forward: Option<usize>,
    /// The same from right to left.
    pub buffer_size_reverse: Option<usize>,
}
