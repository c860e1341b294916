//! Options of message compression (permessage-deflate, RFC 7692) as typed, and what they mean for one WebSocket.
//!
//! Both handshakes and the framing take them from here; the pass `plan/rewrite/compression.rs` decides for which WebSocket.

use crate::{
    cli::value::Size,
    functions::http::{CompressOpts, WINDOW_BITS},
};
use sockets::overlay::ws::deflate::DEFAULT_LEVEL;

/// Compression options as typed.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct CompressArgs {
    /// Compress WebSocket messages (permessage-deflate) if the other end does, too
    ///
    /// Servers accept it anyway, and so do clients of ws:// and wss:// in text mode with standard input and
    /// output.
    #[arg(long, conflicts_with = "no_compress")]
    pub compress: bool,
    /// Neither offer nor accept compression of WebSocket messages
    #[arg(long)]
    pub no_compress: bool,
    /// How hard to compress: 1 (fast) to 9 (small); 6 when absent
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u8).range(1..=9), conflicts_with = "no_compress")]
    pub compress_level: Option<u8>,
    /// Send shorter messages as they are; 256 bytes when absent, 64 with --compress-context
    #[arg(long, value_name = "SIZE", conflicts_with = "no_compress")]
    pub compress_threshold: Option<Size>,
    /// Compress each message with those before it in mind: smaller, but up to 64 KiB of memory per connection
    #[arg(long, conflicts_with = "no_compress")]
    pub compress_context: bool,
    /// Largest window of compression both ways: 2^BITS bytes, 9 to 15
    #[arg(
        long,
        value_name = "BITS",
        value_parser = clap::value_parser!(u8).range(WINDOW_BITS),
        conflicts_with = "no_compress"
    )]
    pub compress_window_bits: Option<u8>,
}

impl CompressArgs {
    /// Something about compression was asked for.
    pub fn is_wanted(&self) -> bool {
        self.compress
            || self.compress_context
            || self.compress_level.is_some()
            || self.compress_threshold.is_some()
            || self.compress_window_bits.is_some()
    }

    /// Script options of a handshake that offers or accepts it; `context`: memory does not matter here.
    pub fn handshake_options(&self, context: bool) -> CompressOpts {
        CompressOpts {
            compress: true,
            compress_context: self.compress_context || context,
            compress_window_bits: self.compress_window_bits.filter(|bits| i64::from(*bits) != *WINDOW_BITS.end()),
        }
    }

    /// Value of the script option `compress_level`.
    pub fn level(&self) -> Option<u8> {
        self.compress_level.filter(|level| *level != DEFAULT_LEVEL)
    }

    /// Value of the script option `compress_threshold`.
    pub fn threshold(&self) -> Option<usize> {
        self.compress_threshold.map(|size| usize::try_from(size.0).unwrap_or(usize::MAX))
    }
}
