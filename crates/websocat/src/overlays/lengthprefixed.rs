//! `lengthprefixed:` and its native function: messages on a byte stream, each behind a header with its length.
//!
//! The planner gives the header's bits their places and prints them, so that a script says how the bytes look.

use crate::{
    cli::value::Size,
    error::Result,
    register,
    scenario::{Handle, OptsReader, RhOpts, RhResult, Take, handle},
    spec::{About, Form, OptionMap, OverlaySpec, Script, Then, Var, Wraps, bytes_in_words},
};
use rhai::Engine;
use serde::{Deserialize, Serialize};
use sockets::{
    overlay::length_prefixed::{self, Flag, HeaderError, HeaderFormat, LengthPrefixedOptions, MAX_HEADER_BYTES},
    socket::{DatagramSocket, StreamSocket},
};

/// The overlay.
#[derive(Clone, Debug, Default)]
pub struct LengthPrefixed {
    /// Longest message that the other side can take where it has to put messages together; a planner pass fills it in.
    pub readers_limit: Option<u64>,
}

/// Options of length prefixes as typed.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct LengthPrefixedArgs {
    /// Bytes of the length header of lengthprefixed:, 1 to 8; 4 when absent
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u8).range(1..=MAX_HEADER_BYTES as i64))]
    pub lengthprefixed_nbytes: Option<u8>,
    /// The length header is little-endian
    #[arg(long)]
    pub lengthprefixed_little_endian: bool,
    /// Parts of messages are sent as they come: the highest free header bit says that more follow
    #[arg(long)]
    pub lengthprefixed_continuations: bool,
    /// Close, ping and pong travel along: the next header bit marks them, and their first byte is the WebSocket opcode
    #[arg(long)]
    pub lengthprefixed_include_control: bool,
    /// The next header bit marks text messages
    #[arg(long)]
    pub lengthprefixed_tag_text: bool,
    /// What is read has no headers: each piece that comes is a message
    #[arg(long)]
    pub lengthprefixed_skip_read_direction: bool,
    /// What is written gets no headers
    #[arg(long)]
    pub lengthprefixed_skip_write_direction: bool,
    /// Longest message; 1m for writing when absent, and for reading what the other side can put together
    ///
    /// Without --lengthprefixed-continuations a message that comes in parts is held until it is whole. A longer one ends the
    /// session. What is read is handed on as it arrives, so that nothing limits it unless this option is given, or the
    /// other side has to hold it.
    #[arg(long, value_name = "SIZE", value_parser = Size::positive)]
    pub lengthprefixed_max_message_size: Option<Size>,
}

/// Bytes of a header unless told otherwise.
const NBYTES: u8 = 4;
/// Longest message that is written unless told otherwise.
const MAX_MESSAGE_SIZE: u64 = 1 << 20;

impl LengthPrefixedArgs {
    fn format(&self) -> Result<HeaderFormat, HeaderError> {
        HeaderFormat::with_flags(
            self.lengthprefixed_nbytes.unwrap_or(NBYTES).into(),
            self.lengthprefixed_little_endian,
            self.lengthprefixed_continuations,
            self.lengthprefixed_include_control,
            self.lengthprefixed_tag_text,
        )
    }

    fn max_written(&self) -> u64 {
        self.lengthprefixed_max_message_size.map_or(MAX_MESSAGE_SIZE, |size| size.0)
    }

    /// Longest message that a writer puts together; None if it does not.
    pub fn joins_up_to(&self) -> Option<u64> {
        let joins = !self.lengthprefixed_continuations && !self.lengthprefixed_skip_write_direction;
        let longest = self.format().map_or(u64::MAX, |format| format.mask);
        joins.then(|| self.max_written().min(longest))
    }
}

/// A 64-bit pattern. Scripts have signed numbers: those with the top bit set are negative there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "i64", into = "i64")]
pub struct Bits(pub u64);

impl From<i64> for Bits {
    fn from(number: i64) -> Self {
        Self(number as u64)
    }
}

impl From<Bits> for i64 {
    fn from(bits: Bits) -> Self {
        bits.0 as i64
    }
}

/// Options of `length_prefixed_chunks`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct LengthPrefixedOpts {
    /// Bytes of a header, 1 to 8.
    pub nbytes: usize,
    /// Largest length that a header can hold, 2^n - 1. The bits above it are for flags. `Bits` are 64; hexadecimal is best.
    pub length_mask: Bits,
    /// Longest message in bytes that is written; a longer one is an error. Without effect with `continuations`.
    pub max_message_size: usize,
    /// Longest message in bytes that is read, all its parts together; a longer one is an error. Absent: any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_read_size: Option<u64>,
    /// Headers are little-endian.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub little_endian: bool,
    /// What is read has no headers.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub skip_read_direction: bool,
    /// What is written gets no headers.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub skip_write_direction: bool,
    /// Header bit that says that more parts of the message follow. Absent: messages are put together.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub continuations: Option<Bits>,
    /// Header bit of control messages: Close, ping, pong. Absent: they are left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub controls: Option<Bits>,
    /// Header bit of text messages. Absent: what is read is binary.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tag_text: Option<Bits>,
}

impl LengthPrefixed {
    fn options(&self, args: &LengthPrefixedArgs) -> Result<LengthPrefixedOpts> {
        let format = args.format().map_err(|e| crate::error::Error::usage(format!("--lengthprefixed-nbytes: {e}")))?;
        let typed = args.lengthprefixed_max_message_size.map(|size| size.0);
        let bit = |bit: u64| (bit != 0).then_some(Bits(bit));
        Ok(LengthPrefixedOpts {
            nbytes: format.width(),
            length_mask: Bits(format.mask),
            max_message_size: usize::try_from(args.max_written()).unwrap_or(usize::MAX),
            max_read_size: [typed, self.readers_limit].into_iter().flatten().min(),
            little_endian: args.lengthprefixed_little_endian,
            skip_read_direction: args.lengthprefixed_skip_read_direction,
            skip_write_direction: args.lengthprefixed_skip_write_direction,
            continuations: bit(format.continuation),
            controls: bit(format.control),
            tag_text: bit(format.text),
        })
    }
}

impl OverlaySpec for LengthPrefixed {
    const FORMS: &'static [Form] = &[Form {
        name: "lengthprefixed",
        prefixes: &["lengthprefixed:"],
        value: "",
        doc: "Makes messages of a byte stream in which each has its length in front, and writes them like that. The header \
              has 4 bytes, most significant first, unless `--lengthprefixed-nbytes` or `--lengthprefixed-little-endian` say \
              otherwise. Messages that are read are binary, or what `--lengthprefixed-tag-text` says.",
    }];
    const WRAPS: Wraps = Wraps::StreamIntoDatagrams;

    fn explain(&self, about: &About<'_>) -> String {
        let args = &about.args.overlays.lengthprefixed;
        let bytes = args.lengthprefixed_nbytes.unwrap_or(NBYTES);
        let order = if args.lengthprefixed_little_endian { "little-endian" } else { "big-endian" };
        format!(
            "Puts the length of each message in front of it ({bytes} bytes, {order}); writes messages of up to {}.",
            bytes_in_words(args.max_written())
        )
    }

    fn emit(&self, script: &mut Script, inner: Var, then: &mut Then<'_>) -> Result<()> {
        let options = OptionMap::of(&self.options(&script.args.overlays.lengthprefixed)?)?;
        let options = options.as_bits(&["length_mask", "continuations", "controls", "tag_text"]);
        let chunks = script.assign("chunks", &format!("length_prefixed_chunks({options}, {inner})"));
        then(script, chunks)
    }
}

/// Makes messages of a byte stream in which each has its length in front; written messages get theirs.
fn length_prefixed_chunks(
    opts: RhOpts<LengthPrefixedOpts>,
    x: Handle<StreamSocket>,
) -> RhResult<Handle<DatagramSocket>> {
    let options: LengthPrefixedOpts = OptsReader::read(opts)?;
    let flags = [options.continuations, options.controls, options.tag_text];
    let format = HeaderFormat::new(
        (options.nbytes, options.little_endian),
        options.length_mask.0,
        flags.map(|bits| bits.unwrap_or_default().0),
    );
    let format = format.map_err(|e| {
        let option = match e {
            HeaderError::Width => "nbytes",
            HeaderError::Mask => "length_mask",
            HeaderError::Flag(Flag::Continuation) => "continuations",
            HeaderError::Flag(Flag::Control) => "controls",
            HeaderError::Flag(Flag::Text) => "tag_text",
        };
        format!("option `{option}`: {e}")
    })?;
    let options = LengthPrefixedOptions {
        format,
        max_written: options.max_message_size,
        max_read: options.max_read_size,
        skip_read_direction: options.skip_read_direction,
        skip_write_direction: options.skip_write_direction,
    };
    Ok(handle(length_prefixed::length_prefixed_chunks(x.take("socket")?, &options)))
}

pub(super) fn register(engine: &mut Engine) {
    register!(engine, length_prefixed_chunks);
}
