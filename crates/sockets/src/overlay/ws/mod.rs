//! WebSocket framing over a byte stream (RFC 6455 5 to 7): a [`StreamSocket`] becomes a [`DatagramSocket`].
//!
//! Stands above the opening handshake and below everything that deals in messages. [`WsReader`] lends payloads where they
//! lie in its read buffer, [`WsWriter`] puts headers in front and gathers small frames; each is polled by whoever owns it,
//! together or in two tasks. What one must tell the other (a pong owed, an answer to Close, who has ended) goes through the
//! control block they share. Pings are answered and Close frames are written here; when a session ends is for the exchange.
//!
//! With the default options frames mean what they mean to low-level scripts: Close is handed on and not answered by itself,
//! its body is not looked into. `answer_close` and its fellows are what a complete WebSocket switches on.

mod control;
pub mod deflate;
pub mod extension;
mod keepalive;
mod lossy;
mod patience;
mod reader;
mod sweep;
#[cfg(test)]
mod tests;
mod text;
mod writer;

pub use keepalive::KeepaliveOptions;
pub use lossy::{LossyReader, LossyWriter};
pub(crate) use patience::ANSWER;
pub use reader::{HOLD, WsReader};
pub use text::TextInvalid;
pub use writer::WsWriter;

use crate::{
    datagram::{BoxDatagramRead, BoxDatagramWrite},
    random::MaskKeys,
    socket::{DatagramSocket, StreamSocket},
};
use control::{CloseReason, Control, Rules};
use deflate::{DeflateOptions, Limits};
use keepalive::Pulse;
use std::{
    hash::{BuildHasher, RandomState},
    io,
    sync::Arc,
};
use wsframe::Decoder;

/// RFC 6455 7.4.1: a message violates our policy.
const POLICY_VIOLATION: u16 = 1008;

/// Which end of the connection we are: clients mask what they send.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Role {
    #[default]
    Client,
    Server,
}

/// How one WebSocket behaves. The defaults are those of the scenario function `ws_wrap` without options.
#[derive(Debug, Default)]
pub struct WsOptions {
    pub role: Role,
    /// Accept frames whether they are masked or not.
    pub ignore_masks: bool,
    /// Accepted for old scripts. Without effect here: it is the exchange that flushes, once per batch of messages.
    pub no_flush_after_each_message: bool,
    /// `-n`: no Close frame ever leaves: not at the end, not as an answer, not after an error.
    pub no_close_frame: bool,
    /// Shut down the stream's write side as well when our direction ends.
    pub shutdown_socket_on_eof: bool,
    /// Pings to answer; further ones are handed on as chunks with `Flags::PING`. None: answer all.
    pub max_ping_replies: Option<usize>,
    /// Answer a Close that has a status code at once, and tell by `Flags::GONE` that the peer is leaving. Also refuse Close
    /// bodies that RFC 6455 does not allow, and finish the stream once Close went both ways.
    pub answer_close: bool,
    /// Status code of the Close sent at a plain end of our direction. None, or a code that may not be sent: empty body.
    pub close_code: Option<u16>,
    /// Reason beside it, cut to 123 bytes.
    pub close_reason: Option<Box<str>>,
    /// An end of the stream without Close is `Ending::Abrupt` and `Flags::GONE` instead of a plain EOF.
    pub require_close: bool,
    /// A plain end of our direction sends an empty Close, which tells the peer (ours too) that we go on reading. Switched on
    /// as well by `SocketInfo::half_close`.
    pub half_close: bool,
    /// What happens to text messages that are not UTF-8, in both directions (RFC 6455 8.1).
    pub text_invalid: TextInvalid,
    /// Pongs, and pings that are not answered, end here instead of being handed on as chunks.
    pub own_control: bool,
    /// How to compress, where `SocketInfo::deflate` says that permessage-deflate was agreed on.
    pub deflate: DeflateOptions,
    /// How large a compressed message may become.
    pub inflate_limits: Limits,
    /// Longest frame, in bytes as they come, and longest message, compressed or inflated, that are accepted; longer ones
    /// end with Close 1009.
    pub max_frame: Option<u64>,
    pub max_message: Option<u64>,
    /// Pings and pongs that may come per second, and so many at once; more end with Close 1008. None: any number.
    pub max_control_rate: Option<u32>,
    /// Pings of our own, and how long the peer may be silent.
    pub keepalive: KeepaliveOptions,
    /// Where a client's masking keys come from; the default is the system's secure source.
    pub keys: MaskKeys,
}

/// What can go wrong here beyond [`wsframe::Error`], which names the peer's breaches of the framing rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WsError {
    #[error("the connection ended in the middle of a WebSocket message")]
    TornMessage,
    #[error("a ping or pong of {0} bytes cannot be sent: a WebSocket control frame carries at most 125")]
    ControlTooLong(usize),
    #[error("a text message to be sent is not UTF-8: send binary messages (--binary), or choose with --text-invalid")]
    TextNotUtf8,
    #[error("the peer sent more than {0} pings and pongs in a second (--max-control-rate)")]
    ControlRate(u32),
    #[error("no sign of life from the peer (--ping-timeout)")]
    Silent,
    #[error("the peer takes nothing any more of what was sent to it, not even our Close")]
    Unread,
    #[error("a message to be sent cannot be compressed: the compression library refuses its own state")]
    NotCompressed,
}

impl From<WsError> for io::Error {
    fn from(e: WsError) -> Self {
        let kind = match e {
            WsError::TornMessage => io::ErrorKind::UnexpectedEof,
            WsError::ControlRate(_) => io::ErrorKind::InvalidData,
            WsError::Silent | WsError::Unread => io::ErrorKind::TimedOut,
            WsError::ControlTooLong(_) | WsError::TextNotUtf8 => io::ErrorKind::InvalidInput,
            WsError::NotCompressed => io::ErrorKind::Other,
        };
        Self::new(kind, e)
    }
}

/// Frames `socket`, after its opening handshake. A half that is absent stays so; hangup, link and info go through.
///
/// Bytes that came together with the handshake must be put before the read half by the caller.
pub fn ws_wrap(options: WsOptions, socket: StreamSocket) -> DatagramSocket {
    let StreamSocket { read, write, hangup, link, info } = socket;
    let rules = Rules {
        no_close_frame: options.no_close_frame,
        shutdown_socket_on_eof: options.shutdown_socket_on_eof,
        answer_close: options.answer_close,
        require_close: options.require_close,
        // An empty Close is the sign of a half-close.
        close_code: options.close_code.filter(|_| !options.half_close && !info.half_close),
        text: options.text_invalid,
        own_control: options.own_control,
        close_reason: options.close_reason.map(|reason| Box::new(CloseReason(reason))),
        client: options.role == Role::Client,
    };
    // What a message is limited to it must not exceed by inflating either.
    let most = options.max_message.unwrap_or(u64::MAX).min(options.inflate_limits.message);
    let limits = Limits { message: most, ..options.inflate_limits };
    let deflate =
        info.deflate.map(|agreed| deflate::pair(agreed, options.role == Role::Server, options.deflate, limits));
    let (inflater, deflater) = deflate.map(|pair| (pair.inflater, pair.deflater)).unzip();
    let control =
        Arc::new(Control::new(rules, info.clone(), link.clone(), options.max_ping_replies, options.max_control_rate));
    if read.is_some() && write.is_some() {
        let nonce = RandomState::new().hash_one(Arc::as_ptr(&control)) as u32;
        if let Some((pulse, step)) = Pulse::new(options.keepalive, nonce) {
            control.keep_alive(pulse);
            sweep::watch(&control, step);
        }
    }
    let read = read.map(|inner| -> BoxDatagramRead {
        let rule = match options.role {
            _ if options.ignore_masks => wsframe::MaskRule::Any,
            Role::Client => wsframe::MaskRule::Forbidden,
            Role::Server => wsframe::MaskRule::Required,
        };
        let decoder = Decoder::new(rule)
            //= 6455-9.1-6
            .allow_rsv1(inflater.is_some())
            .max_frame(options.max_frame.unwrap_or(u64::MAX))
            .max_message(options.max_message.unwrap_or(u64::MAX));
        let reader = WsReader::new(inner, decoder, inflater.map(Box::new), control.clone());
        if options.text_invalid == TextInvalid::Lossy { Box::new(LossyReader::new(reader)) } else { Box::new(reader) }
    });
    let write = write.map(|inner| -> BoxDatagramWrite {
        let keys = (options.role == Role::Client).then_some(options.keys);
        let writer = WsWriter::new(inner, keys, deflater.map(Box::new), control);
        if options.text_invalid == TextInvalid::Lossy { Box::new(LossyWriter::new(writer)) } else { Box::new(writer) }
    });
    DatagramSocket { read, write, hangup, link, info }
}
