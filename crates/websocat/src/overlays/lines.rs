//! `lines:` and its native function: a byte stream cut at separators, each piece one text message.
//!
//! Over a real stdio the planner asks for console rules (`binary: "auto"`): there a binary message keeps its bytes when
//! stdout is a file or pipe, and a terminal gets escapes instead of what would confuse it.

use crate::{
    error::Result,
    register,
    scenario::{Handle, OptsReader, RhOpts, RhResult, Take, handle},
    spec::{About, Form, OptionMap, OverlaySpec, Script, Then, Var, Wraps},
};
use rhai::Engine;
use serde::{Deserialize, Serialize};
use sockets::{
    overlay::lines::{self, BinaryOutput, LinesOptions, MAX_SEPARATOR_N},
    socket::{DatagramSocket, StreamSocket},
};

/// The overlay; text mode puts it on byte streams by itself.
#[derive(Clone, Debug, Default)]
pub struct LineChunks {
    /// Over a real stdio.
    pub console: bool,
}

/// Options of text framing as typed.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct LineArgs {
    /// Byte value that ends a text message on byte stream sides; 10 (newline) when absent
    #[arg(long, value_name = "BYTE", conflicts_with = "null_terminated")]
    pub separator: Option<u8>,
    /// How many separator bytes in a row end a message; 1 when absent
    #[arg(long, value_name = "N", value_parser = separator_count)]
    pub separator_n: Option<usize>,
    /// Leave separator bytes inside outgoing messages as they are, and do not trim them at the edges
    #[arg(long)]
    pub separator_inhibit_substitution: bool,
    /// Keep the separator bytes at the end of each message
    #[arg(long)]
    pub separator_inline: bool,
    /// Drop the carriage return of lines that end in CR LF
    ///
    /// That is one in front of the separator, in what is read from byte streams; with --separator-n one in front of each.
    #[arg(long, conflicts_with = "separator_inline")]
    pub separator_trim_cr: bool,
    /// Messages end in a zero byte instead of a newline
    #[arg(long, short = '0')]
    pub null_terminated: bool,
}

fn separator_count(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(n @ 1..=MAX_SEPARATOR_N) => Ok(n),
        _ => Err(format!("must be a number from 1 to {MAX_SEPARATOR_N}")),
    }
}

/// Byte that replaces separators inside messages unless the user forbids it: a space.
const SUBSTITUTE: u8 = b' ';

/// Options of `line_chunks`.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct LineOpts {
    /// Byte that ends a message; 10 (newline) when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub separator: Option<u8>,
    /// How many of them in a row end a message; 1 when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub separator_n: Option<usize>,
    /// Byte that replaces separators inside written messages; also trims them at the edges. Absent: bytes are unchanged.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub substitute: Option<u8>,
    /// Keep the separators at the end of each message that is read.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub inline: bool,
    /// Drop a carriage return in front of the separator of each message that is read; of several in a row each may have one.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub trim_cr: bool,
    /// What happens to binary messages: `raw` writes them unchanged, with a separator behind them; `escape` writes `\xNN`
    /// for what is not text; `auto` escapes on a terminal only. Absent: they are treated like text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub binary: Option<BinaryMessages>,
}

/// What a line sink does with binary messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum BinaryMessages {
    Raw,
    Escape,
    Auto,
}

impl LineChunks {
    fn options(&self, args: &LineArgs) -> LineOpts {
        LineOpts {
            separator: if args.null_terminated { Some(0) } else { args.separator.filter(|byte| *byte != b'\n') },
            separator_n: args.separator_n.filter(|n| *n != 1),
            substitute: (!args.separator_inhibit_substitution).then_some(SUBSTITUTE),
            inline: args.separator_inline,
            trim_cr: args.separator_trim_cr,
            binary: self.console.then_some(BinaryMessages::Auto),
        }
    }
}

impl OverlaySpec for LineChunks {
    const FORMS: &'static [Form] = &[Form {
        name: "lines",
        prefixes: &["lines:"],
        value: "",
        doc: "Cuts a byte stream into lines, each one a text message. Separators inside messages that are written are \
              replaced by spaces, so that one message stays one line.",
    }];
    const WRAPS: Wraps = Wraps::StreamIntoDatagrams;

    fn explain(&self, about: &About<'_>) -> String {
        let args = &about.args.overlays.lines;
        let byte = if args.null_terminated { 0 } else { args.separator.unwrap_or(b'\n') };
        let separator = match (byte, args.separator_n.unwrap_or(1)) {
            (b'\n', 1) => return "Makes a text message of each line, and writes each message as a line.".to_owned(),
            (0, 1) => "a zero byte".to_owned(),
            (byte, 1) => format!("byte {byte}"),
            (byte, n) => format!("{n} times byte {byte}"),
        };
        format!("Makes a text message of everything up to {separator}, and ends each message that it writes with that.")
    }

    fn emit(&self, script: &mut Script, inner: Var, then: &mut Then<'_>) -> Result<()> {
        let options = OptionMap::of(&self.options(&script.args.overlays.lines))?;
        let lines = script.assign("lines", &format!("line_chunks({options}, {inner})"));
        then(script, lines)
    }
}

/// Cuts a byte stream into lines, each one a text message; a written message becomes a line.
fn line_chunks(opts: RhOpts<LineOpts>, x: Handle<StreamSocket>) -> RhResult<Handle<DatagramSocket>> {
    let options: LineOpts = OptsReader::read(opts)?;
    let defaults = LinesOptions::default();
    let n = options.separator_n.unwrap_or(defaults.n);
    if !(1..=MAX_SEPARATOR_N).contains(&n) {
        return Err(format!("option `separator_n`: must be from 1 to {MAX_SEPARATOR_N}").into());
    }
    let options = LinesOptions {
        separator: options.separator.unwrap_or(defaults.separator),
        n,
        substitute: options.substitute,
        inline: options.inline,
        trim_cr: options.trim_cr,
        binary: match options.binary {
            None => BinaryOutput::AsText,
            Some(BinaryMessages::Raw) => BinaryOutput::Raw,
            Some(BinaryMessages::Escape) => BinaryOutput::Escape,
            Some(BinaryMessages::Auto) => BinaryOutput::for_stdout(),
        },
    };
    Ok(handle(lines::line_chunks(x.take("socket")?, &options)))
}

pub(super) fn register(engine: &mut Engine) {
    register!(engine, line_chunks);
}
