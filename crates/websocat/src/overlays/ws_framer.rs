//! `ws-lowlevel-client:`, `ws-lowlevel-server:` and their native functions: WebSocket framing without HTTP (RFC 6455 5).
//!
//! The machine is `sockets::overlay::ws`. Alone it behaves as in Websocat 4; as part of a whole WebSocket (`complete`)
//! it prints the options that are right by default.

mod args;
mod compression;

pub use compression::CompressArgs;

use crate::{
    error::Result,
    register,
    scenario::{Handle, OptsReader, RhOpts, RhResult, Scenario, Take, handle, missing},
    spec::{About, Form, OptionMap, OverlaySpec, Script, Then, Var, Wraps},
};
use rhai::{Engine, NativeCallContext};
use serde::{Deserialize, Serialize};
use sockets::{
    datagram::{BoxDatagramRead, BoxDatagramWrite},
    overlay::{
        traffic_log::LogSink,
        ws::{self, KeepaliveOptions, Role, TextInvalid, WsOptions, deflate::DeflateOptions},
    },
    random::MaskKeys,
    socket::{DatagramSocket, StreamSocket},
    stream::{BoxStreamRead, BoxStreamWrite},
};
use std::{io::IsTerminal as _, time::Duration};

pub use args::{FramerArgs, InvalidText};

/// The overlay.
#[derive(Clone, Debug, Default)]
pub struct WsFramer {
    /// Masks what it writes and expects unmasked frames; the server role is the other way round.
    pub client: bool,
    /// Part of a whole WebSocket that a pass expanded: handles Close as users expect, not as upstream.
    pub complete: bool,
    /// The handshake below offers or accepts permessage-deflate.
    pub compress: bool,
}

/// Options of `ws_wrap`.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct WrapOpts {
    /// Role: a client masks what it writes and expects unmasked frames, a server the other way round.
    pub client: bool,
    /// Accept frames whose masking does not fit the role.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub ignore_masks: bool,
    /// Do not flush after each message.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub no_flush_after_each_message: bool,
    /// Never send Close, neither at the end of data nor as an answer.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub no_close_frame: bool,
    /// Also end the write direction of the socket below when there is nothing more to write.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub shutdown_socket_on_eof: bool,
    /// Accepted for old scripts; writes are gathered without a buffer overlay.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub no_auto_buffer_wrap: bool,
    /// Pings that are answered at most; further ones are handed on. All when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_ping_replies: Option<usize>,
    /// Answer Close with Close.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub answer_close: bool,
    /// Status code of the Close at a plain end of data; absent: Close without code.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub close_code: Option<u16>,
    /// Reason beside `close_code`, at most 123 bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub close_reason: Option<String>,
    /// An end of the socket below without Close is an abrupt end, not a half-close.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub require_close: bool,
    /// How hard to compress where permessage-deflate was agreed on: 1 (fast) to 9 (small); 6 when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub compress_level: Option<u8>,
    /// Messages shorter than this are not compressed. Absent: 256 bytes, or 64 where earlier messages may be referred to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub compress_threshold: Option<usize>,
    /// Text that is not UTF-8: `fail` ends the connection, `lossy` repairs it, `pass` does not look; `pass` when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text_invalid: Option<InvalidText>,
    /// Pongs, and pings that are not answered, are not handed on.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub own_control: bool,
    /// Milliseconds of silence of the peer after which it is sent a ping; absent: never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ping_interval_ms: Option<u64>,
    /// Milliseconds of silence of the peer after which the connection ends; absent: never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ping_timeout_ms: Option<u64>,
    /// Neither of both if standard input is a terminal.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub no_pings_at_prompt: bool,
    /// Pings that are sent at most; absent: any number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_sent_pings: Option<u32>,
    /// Print how long each ping took to be answered on standard error.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub print_ping_rtts: bool,
    /// Pings and pongs that the peer may send per second; absent: any number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_control_rate: Option<u32>,
    /// Longest frame in bytes that is accepted; absent: any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_frame_length: Option<u64>,
    /// Longest message in bytes that is accepted, as it comes and inflated; absent: any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_message_length: Option<u64>,
}

impl WrapOpts {
    fn keepalive(&self) -> RhResult<KeepaliveOptions> {
        let off = self.no_pings_at_prompt && std::io::stdin().is_terminal();
        let time = |ms: Option<u64>| ms.filter(|_| !off).map(Duration::from_millis);
        if let (Some(interval), Some(timeout)) = (self.ping_interval_ms, self.ping_timeout_ms)
            && timeout <= interval
        {
            return Err("option `ping_timeout_ms`: must be longer than `ping_interval_ms`".into());
        }
        Ok(KeepaliveOptions {
            ping_interval: time(self.ping_interval_ms),
            ping_timeout: time(self.ping_timeout_ms),
            max_sent_pings: self.max_sent_pings,
            rtts: self.print_ping_rtts.then(LogSink::stderr),
        })
    }
}

const CLIENT: &Form = &WsFramer::FORMS[0];
const SERVER: &Form = &WsFramer::FORMS[1];

impl OverlaySpec for WsFramer {
    const FORMS: &'static [Form] = &[
        Form {
            name: "ws_lowlevel_client",
            prefixes: &["ws-lowlevel-client:", "ws-ll-client:", "ws-ll-c:"],
            value: "",
            doc: "WebSocket frames over a byte stream in the client role, without HTTP. Pings are answered; Close gives EOF.",
        },
        Form {
            name: "ws_lowlevel_server",
            prefixes: &["ws-lowlevel-server:", "ws-ll-server:", "ws-ll-s:"],
            value: "",
            doc: "WebSocket frames over a byte stream in the server role, without HTTP. Pings are answered; Close gives EOF.",
        },
    ];
    const WRAPS: Wraps = Wraps::StreamIntoDatagrams;

    fn parse(form: &'static Form) -> Result<Self> {
        Ok(Self { client: form.name == CLIENT.name, complete: false, compress: false })
    }

    fn form(&self) -> &'static Form {
        if self.client { CLIENT } else { SERVER }
    }

    fn explain(&self, about: &About<'_>) -> String {
        about.args.overlays.ws_framer.explain(self.client, self.complete, about.console)
    }

    fn emit(&self, script: &mut Script, inner: Var, then: &mut Then<'_>) -> Result<()> {
        let args = &script.args.overlays.ws_framer;
        let compress = self.compress.then_some(&script.args.overlays.compress);
        let options = WrapOpts {
            compress_level: compress.and_then(|args| args.level()),
            compress_threshold: compress.and_then(|args| args.threshold()),
            ..args.options(self.client, self.complete, script.console)?
        };
        let ws = script.assign("ws", &format!("ws_wrap({}, {inner})", OptionMap::of(&options)?));
        then(script, ws)
    }
}

/// WebSocket framing over a byte stream: messages on one side, frames on the other. Pings are answered.
fn ws_wrap(
    ctx: NativeCallContext<'_>,
    opts: RhOpts<WrapOpts>,
    inner: Handle<StreamSocket>,
) -> RhResult<Handle<DatagramSocket>> {
    let options: WrapOpts = OptsReader::read(opts)?;
    if let Some(code) = options.close_code
        && !wsframe::may_send(code)
    {
        return Err(format!("option `close_code`: {code} may not be sent in a Close frame (RFC 6455 7.4)").into());
    }
    if let Some(reason) = &options.close_reason {
        args::close_reason(reason).map_err(|e| format!("option `close_reason`: {e}"))?;
    }
    if let Some(level) = options.compress_level
        && !(1..=9).contains(&level)
    {
        return Err(format!("option `compress_level`: {level} is not a level; 1 to 9 are").into());
    }
    let options = WsOptions {
        role: role(options.client),
        ignore_masks: options.ignore_masks,
        keepalive: options.keepalive()?,
        max_frame: options.max_frame_length,
        max_message: options.max_message_length,
        max_control_rate: options.max_control_rate.filter(|n| *n > 0),
        close_reason: options.close_reason.map(Into::into),
        no_flush_after_each_message: options.no_flush_after_each_message,
        no_close_frame: options.no_close_frame,
        shutdown_socket_on_eof: options.shutdown_socket_on_eof,
        max_ping_replies: options.max_ping_replies,
        answer_close: options.answer_close,
        close_code: options.close_code,
        require_close: options.require_close,
        deflate: DeflateOptions { level: options.compress_level, threshold: options.compress_threshold },
        text_invalid: options.text_invalid.map(TextInvalid::from).unwrap_or_default(),
        own_control: options.own_control,
        keys: keys(&ctx, options.client)?,
        ..WsOptions::default()
    };
    Ok(handle(ws::ws_wrap(options, inner.take("socket")?)))
}

/// Options of `ws_encoder`.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct EncoderOpts {
    /// Mask frames, as clients have to.
    pub masked: bool,
    /// Do not flush after each message.
    #[serde(default)]
    pub no_flush_after_each_message: bool,
    /// Never send Close.
    #[serde(default)]
    pub no_close_frame: bool,
    /// Also end the stream when there is nothing more to write.
    #[serde(default)]
    pub shutdown_socket_on_eof: bool,
}

/// Turns messages into WebSocket frames.
fn ws_encoder(
    ctx: NativeCallContext<'_>,
    opts: RhOpts<EncoderOpts>,
    inner: Handle<BoxStreamWrite>,
) -> RhResult<Handle<BoxDatagramWrite>> {
    let options: EncoderOpts = OptsReader::read(opts)?;
    let options = WsOptions {
        role: role(options.masked),
        no_flush_after_each_message: options.no_flush_after_each_message,
        no_close_frame: options.no_close_frame,
        shutdown_socket_on_eof: options.shutdown_socket_on_eof,
        keys: keys(&ctx, options.masked)?,
        ..WsOptions::default()
    };
    let socket = StreamSocket { write: Some(inner.take("writer")?), ..StreamSocket::default() };
    Ok(ws::ws_wrap(options, socket).write.map_or_else(missing, handle))
}

/// Options of `ws_decoder`.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct DecoderOpts {
    /// Only masked frames are right, as servers have it.
    pub require_masked: bool,
    /// Only frames without mask are right, as clients have it.
    pub require_unmasked: bool,
}

/// Turns WebSocket frames into messages. Pings are not answered but handed on.
fn ws_decoder(opts: RhOpts<DecoderOpts>, inner: Handle<BoxStreamRead>) -> RhResult<Handle<BoxDatagramRead>> {
    let options: DecoderOpts = OptsReader::read(opts)?;
    if options.require_masked && options.require_unmasked {
        return Err("options `require_masked` and `require_unmasked` leave no frame that is right".into());
    }
    let options = WsOptions {
        role: role(!options.require_masked),
        ignore_masks: !options.require_masked && !options.require_unmasked,
        max_ping_replies: Some(0),
        ..WsOptions::default()
    };
    let socket = StreamSocket { read: Some(inner.take("reader")?), ..StreamSocket::default() };
    Ok(ws::ws_wrap(options, socket).read.map_or_else(missing, handle))
}

fn role(client: bool) -> Role {
    if client { Role::Client } else { Role::Server }
}

/// Servers must not take part in the documented sequence of generators.
fn keys(ctx: &NativeCallContext<'_>, masks: bool) -> RhResult<MaskKeys> {
    Ok(if masks { Scenario::of(ctx)?.random().mask_keys() } else { MaskKeys::default() })
}

pub(super) fn register(engine: &mut Engine) {
    register!(engine, ws_wrap, ws_encoder, ws_decoder);
}
