//! What can be wrong with received frames, who is at fault, and with which status code to close (RFC 6455 7.4.1).
//!
//! One Copy enum for the whole crate: it costs nothing on the way up, and the layer that owns the connection adds what this
//! one cannot know (the peer's address, the option that would help).

use crate::close::close_code_name;
use core::fmt;

/// Why a connection cannot go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Error {
    /// RSV1, RSV2 or RSV3 is set and no extension gives it a meaning there.
    ReservedBits,
    /// The opcode (3 to 7, 11 to 15) is reserved for later versions.
    ReservedOpcode(u8),
    /// A client sent a frame without a masking key.
    MaskMissing,
    /// A server sent a frame with a masking key.
    MaskPresent,
    /// A length is written in more bytes than it needs.
    LengthNotMinimal,
    /// A 64-bit length has its top bit set.
    LengthTooLarge,
    /// A control frame has no FIN bit.
    ControlFragmented,
    /// A control frame carries more than 125 bytes.
    ControlTooLong,
    /// A continuation frame came while no message was open.
    UnexpectedContinuation,
    /// A message began before the one under way had ended.
    InterruptedMessage,
    /// The body of a Close frame is a single byte: too short for a status code.
    CloseBody,
    /// The status code of a Close frame is one that must not be sent.
    CloseCode(u16),
    /// The reason in a Close frame is not UTF-8.
    CloseReasonUtf8,
    /// A text message is not UTF-8.
    InvalidUtf8,
    /// A frame is longer than [`Decoder::max_frame`](crate::Decoder::max_frame) allows.
    FrameTooLong,
    /// A message is longer than [`Decoder::max_message`](crate::Decoder::max_message) allows.
    MessageTooLong,
}

/// Whose doing an [`Error`] is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fault {
    /// The peer broke RFC 6455.
    Peer,
    /// The peer kept to the RFC, but we were told not to take so much.
    Limit,
}

impl Error {
    /// The status code for the Close frame that ends the connection: 1002, 1007 or 1009.
    //= 6455-7.4.1-1
    pub const fn close_code(self) -> u16 {
        match self {
            Self::CloseReasonUtf8 | Self::InvalidUtf8 => 1007,
            Self::FrameTooLong | Self::MessageTooLong => 1009,
            _ => 1002,
        }
    }

    /// Whose doing this is.
    pub const fn fault(self) -> Fault {
        match self {
            Self::FrameTooLong | Self::MessageTooLong => Fault::Limit,
            _ => Fault::Peer,
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match *self {
            Self::ReservedBits => "peer sent a frame with reserved bits that no agreed extension uses there",
            Self::ReservedOpcode(opcode) => return write!(f, "peer sent a frame with the reserved opcode {opcode}"),
            Self::MaskMissing => "peer sent a frame without a mask, which clients must use",
            Self::MaskPresent => "peer sent a frame with a mask, which servers must not use",
            Self::LengthNotMinimal => "peer wrote a frame length in more bytes than it needs",
            Self::LengthTooLarge => "peer announced a frame of 2^63 bytes or more",
            Self::ControlFragmented => "peer sent a control frame in fragments",
            Self::ControlTooLong => "peer sent a control frame of more than 125 bytes",
            Self::UnexpectedContinuation => "peer sent a continuation frame, but there is no message to go on with",
            Self::InterruptedMessage => "peer began a message before the one under way had ended",
            Self::CloseBody => "peer sent a Close frame with only half of a status code",
            Self::CloseCode(code) => {
                let name = close_code_name(code);
                return write!(f, "peer sent a Close frame with status code {code} ({name}), which must not be sent");
            }
            Self::CloseReasonUtf8 => "peer sent a Close frame with a reason that is not UTF-8",
            Self::InvalidUtf8 => "peer sent a text message that is not UTF-8",
            Self::FrameTooLong => "peer sent a frame longer than the limit",
            Self::MessageTooLong => "peer sent a message longer than the limit",
        })
    }
}

impl core::error::Error for Error {}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{collections::BTreeSet, string::ToString};

    //= 6455-7.4.1-1 test
    #[test]
    fn each_error_has_its_own_words_a_code_and_a_fault() {
        use Error::*;
        let all = [
            (ReservedBits, 1002),
            (ReservedOpcode(3), 1002),
            (MaskMissing, 1002),
            (MaskPresent, 1002),
            (LengthNotMinimal, 1002),
            (LengthTooLarge, 1002),
            (ControlFragmented, 1002),
            (ControlTooLong, 1002),
            (UnexpectedContinuation, 1002),
            (InterruptedMessage, 1002),
            (CloseBody, 1002),
            (CloseCode(1005), 1002),
            (CloseReasonUtf8, 1007),
            (InvalidUtf8, 1007),
            (FrameTooLong, 1009),
            (MessageTooLong, 1009),
        ];
        for (error, code) in all {
            assert_eq!(error.close_code(), code, "{error}");
            assert!(crate::may_send(code));
            assert_eq!(error.fault(), if code == 1009 { Fault::Limit } else { Fault::Peer });
        }
        let texts: BTreeSet<_> = all.iter().map(|(e, _)| e.to_string()).collect();
        assert_eq!(texts.len(), all.len());
        assert_eq!(
            CloseCode(1005).to_string(),
            "peer sent a Close frame with status code 1005 (no status received), which must not be sent"
        );
    }

    #[test]
    fn an_error_is_two_registers_at_most() {
        assert!(size_of::<Error>() <= 4);
        assert!(size_of::<Result<crate::Next, Error>>() <= 32);
    }
}
