//! `tee:` and its native function: several message sockets as one.
//!
//! A rewriting pass turns the overlay, with all that is below it and what `--tee` names, into an endpoint of all of them.

use crate::{
    cli::value::Size,
    register,
    scenario::{Handle, OptsReader, RhOpts, RhResult, Take, handle, kind_of},
    spec::{About, Form, OverlaySpec, Wraps},
};
use rhai::{Array, Engine};
use serde::{Deserialize, Serialize};
use sockets::{
    backlog::SlowConsumer,
    overlay::tee::{DEFAULT_BACKLOG, TeeHangups, TeeOptions},
    socket::DatagramSocket,
};
use std::ffi::OsString;

/// The overlay.
#[derive(Clone, Debug, Default)]
pub struct Tee;

/// The other sockets, and how all are joined.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct TeeArgs {
    /// Write to this, too, and read from it as well; repeat for more. Joins the right side unless tee: says what
    #[arg(long, value_name = "SPEC")]
    pub tee: Vec<OsString>,
    /// The failure of one of the joined sockets fails all, not only that of the last one
    #[arg(long)]
    pub tee_propagate_failures: bool,
    /// Bytes that may wait for a slow one of the joined sockets; 1m when absent
    #[arg(long, value_name = "SIZE", value_parser = Size::positive, requires = "slow")]
    pub tee_backlog: Option<Size>,
    #[command(flatten)]
    pub options: TeeOpts,
}

/// Options of `tee`, of which the command line has most.
#[derive(Clone, Debug, Default, clap::Args, Serialize, Deserialize)]
#[serde(default)]
pub struct TeeOpts {
    /// The first socket that cannot be written to fails the whole
    #[arg(skip)]
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub write_fail_all_if_one_fails: bool,
    /// The first socket that cannot be read from fails the whole
    #[arg(skip)]
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub read_fail_all_if_one_fails: bool,
    /// The end of one of the joined sockets ends reading, not only that of the last one
    #[arg(long = "tee-propagate-eof")]
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub propagate_eofs: bool,
    /// A message whose socket ends midway is finished as it is, instead of failing
    #[arg(long = "tee-tolerate-torn-msgs")]
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub tolerate_torn_msgs: bool,
    /// The hangup of any of the joined sockets counts
    #[arg(long = "tee-use-hangups", conflicts_with = "use_first_hangup")]
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub use_hangups: bool,
    /// The hangup of the first one of the joined sockets counts
    #[arg(long = "tee-use-first-hangup")]
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub use_first_hangup: bool,
    /// What happens when one of the joined sockets does not keep up: all wait for it, or the oldest messages are dropped for
    /// it, or it is let go; block when absent
    #[arg(long = "tee-slow", value_name = "POLICY")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub slow: Option<Slow>,
    /// Bytes that may wait for such a socket; 1 MiB when absent
    #[arg(skip)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_backlog: Option<usize>,
}

/// What happens to somebody who does not keep up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Slow {
    /// Everybody waits
    Block,
    /// It misses the oldest messages that wait for it
    DropOldest,
    /// It is left out from then on
    Disconnect,
}

impl From<Slow> for SlowConsumer {
    fn from(slow: Slow) -> Self {
        match slow {
            Slow::Block => Self::Block,
            Slow::DropOldest => Self::DropOldest,
            Slow::Disconnect => Self::Disconnect,
        }
    }
}

impl TeeArgs {
    /// Options that a script gets.
    pub fn script_options(&self) -> TeeOpts {
        let fail = self.tee_propagate_failures;
        TeeOpts {
            write_fail_all_if_one_fails: fail,
            read_fail_all_if_one_fails: fail,
            slow: self.options.slow.filter(|slow| *slow != Slow::Block),
            max_backlog: self
                .tee_backlog
                .and_then(|size| usize::try_from(size.0).ok())
                .filter(|n| *n != DEFAULT_BACKLOG),
            ..self.options.clone()
        }
    }

    /// Something was asked for that only a tee does.
    pub fn is_used(&self) -> bool {
        let TeeOpts { propagate_eofs, tolerate_torn_msgs, use_hangups, use_first_hangup, slow, .. } = self.options;
        let flags = [self.tee_propagate_failures, propagate_eofs, tolerate_torn_msgs, use_hangups, use_first_hangup];
        flags.contains(&true) || slow.is_some()
    }
}

impl OverlaySpec for Tee {
    const FORMS: &'static [Form] = &[Form {
        name: "tee",
        prefixes: &["tee:"],
        value: "",
        doc: "Joins what it wraps with what `--tee` names: messages are written to all of them and read from any.",
    }];
    const WRAPS: Wraps = Wraps::Datagrams;

    fn explain(&self, _: &About<'_>) -> String {
        "Joins what is below with others.".to_owned()
    }
}

/// Joins datagram sockets: what is written goes to all of them, messages that are read come from any. The first socket is the
/// main one. A socket that ends or fails is left out from then on.
fn tee(opts: RhOpts<TeeOpts>, sockets: Array) -> RhResult<Handle<DatagramSocket>> {
    let opts: TeeOpts = OptsReader::read(opts)?;
    let hangups = match (opts.use_hangups, opts.use_first_hangup) {
        (false, false) => TeeHangups::None,
        (true, false) => TeeHangups::Any,
        (false, true) => TeeHangups::First,
        (true, true) => return Err("of the options `use_hangups` and `use_first_hangup` only one can be set".into()),
    };
    if opts.max_backlog == Some(0) {
        return Err("option `max_backlog`: must be at least 1".into());
    }
    let options = TeeOptions {
        fail_writes: opts.write_fail_all_if_one_fails,
        fail_reads: opts.read_fail_all_if_one_fails,
        propagate_eofs: opts.propagate_eofs,
        tolerate_torn: opts.tolerate_torn_msgs,
        hangups,
        slow: opts.slow.map_or(SlowConsumer::Block, Into::into),
        max_backlog: opts.max_backlog.unwrap_or(DEFAULT_BACKLOG),
    };
    let mut nodes = Vec::with_capacity(sockets.len());
    for (i, socket) in sockets.into_iter().enumerate() {
        let socket = socket.flatten();
        let kind = kind_of(&socket);
        let Some(handle) = socket.read_lock::<Handle<DatagramSocket>>() else {
            let text = format!("item {} of the list must be a datagram socket, not {kind}", i + 1);
            return Err(text.into());
        };
        nodes.push(handle.take("socket")?);
    }
    Ok(handle(sockets::overlay::tee::tee(options, nodes).map_err(|e| e.to_string())?))
}

pub(super) fn register(engine: &mut Engine) {
    register!(engine, tee);
}
