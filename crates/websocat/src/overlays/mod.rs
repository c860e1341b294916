//! The list of overlays. Everything about one overlay lives in its own file; this file only lists them.

use crate::{
    cli::value::{Duration, Size},
    error::Result,
    functions::http::{HEAD_LIMIT, HEADERS_LIMIT, HeadOpts, MOST_HEADERS},
    spec::{About, Form, OverlaySpec, Script, Then, Var, Wraps, bytes_in_words},
};

pub mod chunks;
pub mod defragment;
pub mod lengthprefixed;
pub mod lines;
pub mod log;
pub mod read_chunk_limiter;
pub mod reuse;
pub mod tee;
#[cfg(test)]
mod tests;
pub mod tls;
pub mod write_buffer;
pub mod write_chunk_limiter;
pub mod write_splitoff;
pub mod ws_accept;
pub mod ws_connect;
pub mod ws_framer;
pub mod ws_request;
pub mod ws_serve;

overlays! {
    chunks::StreamChunks,
    defragment::Defragment,
    lengthprefixed::LengthPrefixed,
    lines::LineChunks,
    log::Log,
    read_chunk_limiter::ReadChunkLimiter,
    reuse::ReuseRaw,
    tee::Tee,
    tls::Tls,
    write_buffer::WriteBuffer,
    write_chunk_limiter::WriteChunkLimiter,
    write_splitoff::WriteSplitoff,
    ws_accept::WsAccept,
    ws_connect::WsConnect,
    ws_framer::WsFramer,
    ws_request::WsRequest,
    ws_serve::WsServe,
}

/// Command line options that belong to one overlay each.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct OverlayArgs {
    #[command(flatten, next_help_heading = "Text framing")]
    pub lines: lines::LineArgs,
    #[command(flatten)]
    pub defragment: defragment::DefragmentArgs,
    #[command(flatten, next_help_heading = "Length prefixes")]
    pub lengthprefixed: lengthprefixed::LengthPrefixedArgs,
    #[command(flatten, next_help_heading = "Traffic log")]
    pub log: log::LogArgs,
    #[command(flatten, next_help_heading = "Many sockets as one")]
    pub write_splitoff: write_splitoff::WriteSplitoffArgs,
    #[command(flatten)]
    pub tee: tee::TeeArgs,
    #[command(flatten)]
    pub reuse: reuse::ReuseArgs,
    #[command(flatten, next_help_heading = "WebSocket")]
    pub ws_request: ws_request::RequestArgs,
    #[command(flatten)]
    pub ws_accept: ws_accept::AcceptArgs,
    #[command(flatten)]
    pub ws_framer: ws_framer::FramerArgs,
    #[command(flatten)]
    pub compress: ws_framer::CompressArgs,
    #[command(flatten)]
    pub handshake: HandshakeArgs,
    #[command(flatten, next_help_heading = "TLS")]
    pub tls: tls::TlsArgs,
    #[command(flatten, next_help_heading = "Tests")]
    pub read_limiter: read_chunk_limiter::ReadLimiterArgs,
    #[command(flatten)]
    pub write_limiter: write_chunk_limiter::WriteLimiterArgs,
}

/// What TLS and HTTP handshakes have in common.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct HandshakeArgs {
    /// Time that a TLS handshake, and then a whole WebSocket handshake, may take; 10s when absent
    #[arg(long, value_name = "DURATION")]
    pub handshake_timeout: Option<Duration>,
    /// Most bytes of an HTTP head that is received; 64k when absent
    #[arg(long, value_name = "SIZE", value_parser = head_size)]
    pub max_header_bytes: Option<Size>,
    /// Most header fields of an HTTP head that is received; 100 when absent
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=i64::from(MOST_HEADERS)))]
    pub max_headers: Option<u16>,
    /// Accept WebSocket handshakes with missing or wrong headers, as client and as server
    #[arg(long)]
    pub ws_dont_check_headers: bool,
    /// WebSocket handshakes without the usual headers: only Host and your own in requests, only your own in answers
    #[arg(long)]
    pub ws_omit_headers: bool,
}

/// Sizes of heads that can be asked for; more than the largest is no limit at all.
fn head_size(text: &str) -> Result<Size, String> {
    let size = Size::positive(text)?;
    if u32::try_from(size.0).is_ok() { Ok(size) } else { Err("must be less than 4g".to_owned()) }
}

impl HandshakeArgs {
    /// Script options that limit heads.
    pub fn heads(&self) -> HeadOpts {
        let max_header_bytes = self.max_header_bytes.map(|size| u32::try_from(size.0).unwrap_or(u32::MAX));
        HeadOpts {
            max_header_bytes: max_header_bytes.filter(|n| *n != HEAD_LIMIT),
            max_headers: self.max_headers.filter(|n| *n != HEADERS_LIMIT),
        }
    }

    /// The same in words, for `--explain`.
    pub fn heads_in_words(&self) -> String {
        let bytes = self.max_header_bytes.map_or(u64::from(HEAD_LIMIT), |size| size.0);
        let fields = self.max_headers.unwrap_or(HEADERS_LIMIT);
        format!(", with at most {fields} headers of {} in all", bytes_in_words(bytes))
    }

    /// Value of the script option `timeout_ms`; None is no limit.
    pub fn timeout_ms(&self) -> Option<u64> {
        let Some(timeout) = self.handshake_timeout else { return Some(DEFAULT_HANDSHAKE_TIMEOUT_MS) };
        // Both 0 and `inf` are no limit.
        timeout.limit_millis()
    }
}

/// Long enough for two round trips with retransmissions, short enough for a script that waits.
const DEFAULT_HANDSHAKE_TIMEOUT_MS: u64 = 10_000;

impl OverlayArgs {
    /// Options were typed that only text framing looks at.
    pub fn has_separator_options(&self) -> bool {
        let lines = &self.lines;
        lines.separator.is_some()
            || lines.separator_n.is_some()
            || lines.null_terminated
            || lines.separator_inline
            || lines.separator_inhibit_substitution
            || lines.separator_trim_cr
    }
}

impl Overlay {
    /// The first of the forms in which it is written, for messages.
    pub fn prefix(&self) -> &'static str {
        self.form().prefixes.first().copied().unwrap_or_default()
    }
}

/// Builds the enum, the prefix table, the dispatch and the registration from the list above.
macro_rules! overlays {
    ($($(#[$cfg:meta])* $module:ident :: $Variant:ident,)*) => {
        /// One layer of a specifier stack.
        #[derive(Clone, Debug)]
        pub enum Overlay {
            $( $(#[$cfg])* $Variant($module::$Variant), )*
        }

        type Parse = fn(&'static Form) -> Result<Overlay>;

        /// All forms of all overlays with their parsers.
        pub const TABLE: &[(&[Form], Parse)] = &[
            $( $(#[$cfg])* ($module::$Variant::FORMS, |form| {
                Ok(Overlay::$Variant($module::$Variant::parse(form)?))
            }), )*
        ];

        impl Overlay {
            /// The form in which it is written.
            pub fn form(&self) -> &'static Form {
                match self { $( $(#[$cfg])* Self::$Variant(x) => x.form(), )* }
            }
            /// What it wraps, and what it makes of it.
            pub fn wraps(&self) -> Wraps {
                match self { $( $(#[$cfg])* Self::$Variant(_) => $module::$Variant::WRAPS, )* }
            }
            pub fn explain(&self, about: &About<'_>) -> String {
                match self { $( $(#[$cfg])* Self::$Variant(x) => x.explain(about), )* }
            }
            pub fn emit(&self, script: &mut Script, inner: Var, then: &mut Then<'_>) -> Result<()> {
                match self { $( $(#[$cfg])* Self::$Variant(x) => x.emit(script, inner, then), )* }
            }
        }

        /// Makes the native functions of all overlays known to a script engine.
        pub fn register(engine: &mut rhai::Engine) {
            $( $(#[$cfg])* $module::register(engine); )*
        }
    };
}
use overlays;
