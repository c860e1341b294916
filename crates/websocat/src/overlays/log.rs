//! `log:` and its native functions: every read and write of the socket below goes to stderr too.

use crate::{
    error::{Error, Kind, Result},
    register,
    scenario::{Handle, OptsReader, RhOpts, RhResult, Take, handle},
    spec::{About, Form, OptionMap, OverlaySpec, Script, SocketKind, Then, Var, Wraps},
};
use rhai::Engine;
use serde::{Deserialize, Serialize};
use sockets::{
    overlay::{datagram_log, stream_log, traffic_log},
    socket::{DatagramSocket, StreamSocket},
};
use std::sync::LazyLock;
use tokio::time::Instant;

/// The overlay.
#[derive(Clone, Debug, Default)]
pub struct Log {
    /// What it wraps; filled in by a rewriting pass.
    pub kind: Option<SocketKind>,
}

/// What the traffic log shows. Options of `stream_logger` and `datagram_logger`.
#[derive(Clone, Debug, Default, clap::Args, Serialize, Deserialize)]
#[serde(default)]
pub struct LogOpts {
    /// Traffic log also shows extra events and details
    #[arg(id = "log_verbose", long = "log-verbose")]
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub verbose: bool,
    /// Line prefix instead of READ
    #[arg(skip)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub read_prefix: Option<String>,
    /// Line prefix instead of WRITE
    #[arg(skip)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub write_prefix: Option<String>,
    /// Traffic log shows only chunk sizes
    #[arg(long = "log-omit-content")]
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub omit_content: bool,
    /// Traffic log prints bytes as hex instead of an escaped string
    #[arg(long = "log-hex")]
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub hex: bool,
    /// Traffic log lines begin with the time since program start
    #[arg(long = "log-timestamps")]
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub include_timestamps: bool,
}

/// Options of traffic logs as typed.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct LogArgs {
    #[command(flatten)]
    pub options: LogOpts,
    /// Put a log overlay at a sensible place by itself: above TLS, else above the socket
    #[arg(long)]
    pub log_traffic: bool,
}

impl OverlaySpec for Log {
    const FORMS: &'static [Form] =
        &[Form { name: "log", prefixes: &["log:"], value: "", doc: "Prints each read and write to stderr." }];
    const WRAPS: Wraps = Wraps::Either;

    fn explain(&self, _: &About<'_>) -> String {
        "Prints what passes here on standard error.".to_owned()
    }

    fn emit(&self, script: &mut Script, inner: Var, then: &mut Then<'_>) -> Result<()> {
        let function = match self.kind {
            Some(SocketKind::Stream) => "stream_logger",
            Some(SocketKind::Datagram) => "datagram_logger",
            None => {
                return Err(Error::new(Kind::Start, "log: does not know what it wraps; this is a bug of the planner"));
            }
        };
        let options = OptionMap::of(&script.args.overlays.log.options)?;
        let log = script.assign("log", &format!("{function}({options}, {inner})"));
        then(script, log)
    }
}

/// What time stamps count from: about the start of the program, when the functions were registered.
static START: LazyLock<Instant> = LazyLock::new(Instant::now);

impl From<LogOpts> for traffic_log::LogOptions {
    fn from(options: LogOpts) -> Self {
        Self {
            verbose: options.verbose,
            read_prefix: options.read_prefix,
            write_prefix: options.write_prefix,
            omit_content: options.omit_content,
            hex: options.hex,
            timestamps_since: options.include_timestamps.then(|| *START),
            ..Self::default()
        }
    }
}

/// Prints each read and write of a stream socket to stderr.
fn stream_logger(opts: RhOpts<LogOpts>, inner: Handle<StreamSocket>) -> RhResult<Handle<StreamSocket>> {
    let options = OptsReader::read::<LogOpts>(opts)?.into();
    Ok(handle(stream_log::stream_logger(inner.take("socket")?, &options)))
}

/// Prints each read and write of a datagram socket to stderr.
fn datagram_logger(opts: RhOpts<LogOpts>, inner: Handle<DatagramSocket>) -> RhResult<Handle<DatagramSocket>> {
    let options = OptsReader::read::<LogOpts>(opts)?.into();
    Ok(handle(datagram_log::datagram_logger(inner.take("socket")?, &options)))
}

pub(super) fn register(engine: &mut Engine) {
    LazyLock::force(&START);
    register!(engine, stream_logger, datagram_logger);
}
