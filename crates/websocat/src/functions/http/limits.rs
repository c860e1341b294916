//! How large a head may be: for requests and for answers, by the options of `http1_serve` and `http1_client`.
//!
//! hyper keeps both limits exactly; its buffer is never much larger than the first.

use serde::{Deserialize, Serialize};

/// Most bytes of a head; larger ones are attacks or accidents (browsers stay below 16 KiB).
pub const HEAD_LIMIT: u32 = 64 << 10;
/// Most header fields in a head.
pub const HEADERS_LIMIT: u16 = 100;
/// No more than the map of fields can hold.
pub const MOST_HEADERS: u16 = 10_000;
/// The least buffer that hyper takes.
const LEAST_BUFFER: usize = 8 << 10;

/// Size of heads; the same for requests and for answers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct HeadOpts {
    /// Most bytes of a head, with the empty line; 65536 when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_header_bytes: Option<u32>,
    /// Most header fields in a head; 100 when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_headers: Option<u16>,
}

impl HeadOpts {
    /// Values that can be kept.
    pub(super) fn check(self) -> Result<Self, String> {
        match self.max_headers {
            Some(n) if n > MOST_HEADERS => Err(format!("option `max_headers`: {n} is more than {MOST_HEADERS}")),
            _ => Ok(self),
        }
    }

    pub(super) fn bytes(self) -> usize {
        self.max_header_bytes.unwrap_or(HEAD_LIMIT) as usize
    }

    /// None: hyper's own limit, which is the same as ours and needs no memory.
    pub(super) fn fields(self) -> Option<usize> {
        self.max_headers.filter(|n| *n != HEADERS_LIMIT).map(usize::from)
    }

    pub(super) fn buffer(self) -> usize {
        self.bytes().max(LEAST_BUFFER)
    }
}
