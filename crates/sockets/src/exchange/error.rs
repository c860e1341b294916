//! What went wrong in an exchange, and on which of its four halves.
//!
//! The error names directions, not sockets: whoever started the exchange knows the sockets' names and adds them.

use std::{fmt, io};

/// One of the two sockets of an exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    Left,
    Right,
}

impl Side {
    pub const fn other(self) -> Self {
        match self {
            Self::Left => Self::Right,
            Self::Right => Self::Left,
        }
    }

    pub(crate) fn of<T>(self, [left, right]: &[T; 2]) -> &T {
        match self {
            Self::Left => left,
            Self::Right => right,
        }
    }

    pub(crate) fn of_mut<T>(self, [left, right]: &mut [T; 2]) -> &mut T {
        match self {
            Self::Left => left,
            Self::Right => right,
        }
    }
}

impl fmt::Display for Side {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Left => "left",
            Self::Right => "right",
        })
    }
}

/// Where bytes go: forward is from left to right.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    Forward,
    Reverse,
}

impl Direction {
    pub const fn other(self) -> Self {
        match self {
            Self::Forward => Self::Reverse,
            Self::Reverse => Self::Forward,
        }
    }

    /// The socket that is read.
    pub const fn source(self) -> Side {
        match self {
            Self::Forward => Side::Left,
            Self::Reverse => Side::Right,
        }
    }

    /// The direction that reads from `side`.
    pub const fn reading(side: Side) -> Self {
        match side {
            Side::Left => Self::Forward,
            Side::Right => Self::Reverse,
        }
    }
}

impl fmt::Display for Direction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Forward => "forward",
            Self::Reverse => "reverse",
        })
    }
}

/// The half of a direction that failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    Source,
    Sink,
}

/// A half and its error, before it is known which direction it belongs to.
#[derive(Debug)]
pub(crate) struct Failed {
    pub part: Part,
    pub error: io::Error,
}

impl Failed {
    pub fn source(error: io::Error) -> Self {
        Self { part: Part::Source, error }
    }

    pub fn sink(error: io::Error) -> Self {
        Self { part: Part::Sink, error }
    }
}

/// The first error of an exchange.
#[derive(Debug, thiserror::Error)]
#[error("{} the {} side failed in the {direction} direction", if *part == Part::Source { "reading from" } else { "writing to" }, self.side())]
pub struct ExchangeError {
    pub direction: Direction,
    pub part: Part,
    #[source]
    pub error: io::Error,
}

impl ExchangeError {
    /// The socket that failed. A mirrored socket stands on both sides.
    pub fn side(&self) -> Side {
        match self.part {
            Part::Source => self.direction.source(),
            Part::Sink => self.direction.source().other(),
        }
    }

    pub(crate) fn reset(side: Side, error: io::Error) -> Self {
        let error = if error.kind() == io::ErrorKind::ConnectionReset {
            error
        } else {
            io::Error::new(io::ErrorKind::ConnectionReset, error)
        };
        Self { direction: Direction::reading(side), part: Part::Source, error }
    }

    /// The other side is closed by a reset as well.
    pub(crate) fn handed_on(mut self) -> Self {
        self.error = io::Error::new(self.error.kind(), HandedOn(self.error));
        self
    }
}

/// A reset that became one of the other socket, which is closed like that as soon as nobody has a half of it any more. Says
/// nothing but what the error says that it stands around.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct HandedOn(io::Error);

impl From<ExchangeError> for io::Error {
    fn from(e: ExchangeError) -> Self {
        Self::new(e.error.kind(), e)
    }
}

/// The peer of a TCP socket threw the connection away. A broken pipe is the same on a kernel socket: the reset came after
/// the peer's end of stream. And so are the errors with which keepalive and TCP_USER_TIMEOUT give a vanished peer up: what
/// was last known of the way to it, if anything.
pub(crate) fn is_reset(error: &io::Error, has_link: bool) -> bool {
    match error.kind() {
        io::ErrorKind::ConnectionReset | io::ErrorKind::ConnectionAborted => true,
        io::ErrorKind::BrokenPipe
        | io::ErrorKind::TimedOut
        | io::ErrorKind::HostUnreachable
        | io::ErrorKind::NetworkUnreachable => has_link,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_the_half_and_keeps_the_source() {
        let cause = || io::Error::from(io::ErrorKind::BrokenPipe);
        let e = ExchangeError { direction: Direction::Forward, part: Part::Sink, error: cause() };
        assert_eq!(e.side(), Side::Right);
        assert_eq!(e.to_string(), "writing to the right side failed in the forward direction");
        let e = io::Error::from(ExchangeError { direction: Direction::Reverse, part: Part::Source, error: cause() });
        assert_eq!(e.kind(), io::ErrorKind::BrokenPipe);
        assert_eq!(e.to_string(), "reading from the right side failed in the reverse direction");
        let source = e.get_ref().and_then(|e| e.source()).and_then(|e| e.downcast_ref::<io::Error>());
        assert_eq!(source.map(io::Error::kind), Some(io::ErrorKind::BrokenPipe));
    }

    #[test]
    fn what_was_handed_on_reads_as_before() {
        let e = ExchangeError::reset(Side::Left, io::Error::other("cut")).handed_on();
        assert_eq!((e.error.kind(), e.error.to_string()), (io::ErrorKind::ConnectionReset, "cut".into()));
        assert!(e.error.get_ref().is_some_and(|e| e.is::<HandedOn>()));
    }

    #[test]
    fn a_broken_pipe_is_a_reset_of_kernel_sockets_only() {
        let pipe = io::Error::from(io::ErrorKind::BrokenPipe);
        assert!(is_reset(&pipe, true) && !is_reset(&pipe, false));
        assert!(is_reset(&io::ErrorKind::ConnectionReset.into(), false));
        assert!(!is_reset(&io::ErrorKind::InvalidData.into(), true));
    }
}
