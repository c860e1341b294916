//! `lengthprefixed:` against a model of the format written out byte by byte: any bytes are read, any messages written, as the
//! model says, and what is written is read back.

use crate::{
    datagram::{DatagramRead, Flags},
    endpoint::literal::literal,
    overlay::length_prefixed::{
        HeaderFormat, LengthPrefixedError, LengthPrefixedOptions, LengthPrefixedReader, LengthPrefixedWriter,
    },
    testing::{Chunk, PendingAt, Recorder, Schedule, drive, messages, write_chunks},
};
use std::future::poll_fn;

const MAX_INPUT: usize = 600;
/// As the reader has it, with headers and types of all pieces.
const MAX_CONTROL: u128 = 65_536;

/// The format as its description has it: flags from the top bit down, the length below.
#[derive(Clone, Copy, Debug)]
pub struct Model {
    pub nbytes: usize,
    pub little_endian: bool,
    pub continuations: bool,
    pub control: bool,
    pub text: bool,
}

impl Model {
    /// The options whose number is `bits`, 0 to 127.
    pub fn numbered(bits: u8) -> Self {
        Self {
            nbytes: 1 + usize::from(bits & 7),
            little_endian: bits & 8 != 0,
            continuations: bits & 16 != 0,
            control: bits & 32 != 0,
            text: bits & 64 != 0,
        }
    }

    /// Values of the three flags, 0 for one that is not used, and the first number that is no length.
    fn values(self) -> ([u128; 3], u128) {
        let mut top = 1 << (8 * self.nbytes);
        let flags = [self.continuations, self.control, self.text].map(|used| {
            if used {
                top /= 2;
            }
            if used { top } else { 0 }
        });
        (flags, top)
    }

    /// The longest length.
    pub fn longest(self) -> usize {
        usize::try_from(self.values().1 - 1).unwrap_or(usize::MAX)
    }

    pub fn options(self, max_written: usize, max_read: Option<u64>) -> LengthPrefixedOptions {
        let format =
            HeaderFormat::with_flags(self.nbytes, self.little_endian, self.continuations, self.control, self.text);
        LengthPrefixedOptions {
            format: format.unwrap(),
            max_written,
            max_read,
            skip_read_direction: false,
            skip_write_direction: false,
        }
    }

    /// A header.
    pub fn header(self, more: bool, control: bool, text: bool, len: usize) -> Vec<u8> {
        let ([c, k, t], _) = self.values();
        let value = len as u128 + if more { c } else { 0 } + if control { k } else { 0 } + if text { t } else { 0 };
        let mut bytes: Vec<u8> = (0..self.nbytes).map(|i| (value / 256u128.pow(i as u32) % 256) as u8).collect();
        if !self.little_endian {
            bytes.reverse();
        }
        bytes
    }

    /// What a writer makes of these chunks, up to the first message that is too long.
    pub fn write(self, chunks: &[Chunk], max_written: usize) -> (Vec<u8>, Option<LengthPrefixedError>) {
        let (mut wire, mut message, mut closed) = (Vec::new(), None, false);
        for (bytes, flags) in chunks {
            if flags.any(Flags::CONTROL) {
                if self.control && !closed {
                    let opcode = if flags.any(Flags::EOF) { 8 } else { 9 + u8::from(flags.any(Flags::PONG)) };
                    wire.extend(self.header(false, true, false, bytes.len() + 1));
                    wire.push(opcode);
                    wire.extend(bytes);
                    closed = opcode == 8;
                }
                continue;
            }
            let (text, joined) = message.get_or_insert_with(|| (flags.any(Flags::TEXT), Vec::new()));
            let last = !flags.any(Flags::PARTIAL);
            if self.continuations {
                let mut parts = bytes.chunks(self.longest()).peekable();
                if bytes.is_empty() {
                    wire.extend(self.header(!last, false, *text, 0));
                }
                while let Some(part) = parts.next() {
                    wire.extend(self.header(!last || parts.peek().is_some(), false, *text, part.len()));
                    wire.extend(part);
                }
            } else {
                joined.extend(bytes);
                let limit = max_written.min(self.longest());
                if joined.len() > limit {
                    return (wire, Some(LengthPrefixedError::TooLong { limit }));
                }
                if last {
                    wire.extend(self.header(false, false, *text, joined.len()));
                    wire.extend(&*joined);
                }
            }
            if last {
                message = None;
            }
        }
        if self.control && !closed {
            wire.extend(self.header(false, true, false, 1));
            wire.push(8);
        }
        (wire, None)
    }

    /// What a reader makes of these bytes: messages, and what ended them if that was no end in order.
    pub fn read(self, mut wire: &[u8], limit: u64) -> (Vec<Chunk>, Option<LengthPrefixedError>) {
        use LengthPrefixedError as E;
        let ([continuation, control, text], lengths) = self.values();
        let mut chunks: Vec<Chunk> = Vec::new();
        let (mut message, mut midway) = (0u128, false);
        // Type, body and bytes on the wire of a control message in pieces.
        let mut pieces: Option<(u8, Vec<u8>, u128)> = None;
        let error = loop {
            if wire.is_empty() && !midway && pieces.is_none() {
                chunks.push((Vec::new(), Flags::EOF));
                break None;
            }
            if wire.len() < self.nbytes {
                break Some(E::Torn);
            }
            let (header, rest) = wire.split_at(self.nbytes);
            let digits = |value: u128, byte: &u8| value * 256 + u128::from(*byte);
            let value =
                if self.little_endian { header.iter().rev().fold(0, digits) } else { header.iter().fold(0, digits) };
            let len = value % lengths;
            let more = continuation > 0 && value / continuation % 2 == 1;
            if control > 0 && value / control % 2 == 1 {
                let used = pieces.as_ref().map_or(0, |p| p.2) + self.nbytes as u128 + len;
                match () {
                    () if len == 0 => break Some(E::ControlWithoutType),
                    () if used > MAX_CONTROL => break Some(E::ControlTooLong { limit: MAX_CONTROL as usize }),
                    () if (rest.len() as u128) < len => break Some(E::Torn),
                    () if !(8..=10).contains(&rest[0]) => break Some(E::ControlType(rest[0])),
                    () if pieces.as_ref().is_some_and(|p| p.0 != rest[0]) => break Some(E::ControlInterrupted),
                    () => {}
                }
                let (body, behind) = rest[1..].split_at(len as usize - 1);
                let (opcode, whole, size) = pieces.get_or_insert((rest[0], Vec::new(), 0));
                whole.extend(body);
                *size = used;
                wire = behind;
                if !more {
                    let flags = match opcode {
                        9 => Flags::PING,
                        10 => Flags::PONG,
                        _ if whole.len() >= 2 => Flags::EOF | Flags::GONE,
                        _ => Flags::EOF,
                    };
                    chunks.push((std::mem::take(whole), flags));
                    pieces = None;
                    if flags.any(Flags::EOF) {
                        break None;
                    }
                }
                continue;
            }
            if pieces.is_some() {
                break Some(E::ControlInterrupted);
            }
            message += len;
            if message > limit.into() {
                let len = u64::try_from(message).unwrap_or(u64::MAX);
                break Some(E::Announced { len, limit });
            }
            if (rest.len() as u128) < len {
                break Some(E::Torn);
            }
            let (body, behind) = rest.split_at(len as usize);
            let is_text = text > 0 && value / text % 2 == 1;
            let flags = if is_text { Flags::TEXT } else { Flags::NONE };
            chunks.push((body.to_vec(), if more { flags | Flags::PARTIAL } else { flags }));
            (wire, midway) = (behind, more);
            if !more {
                message = 0;
            }
        };
        (whole_ones(&chunks), error)
    }
}

/// Messages without one that is not whole: how much of that is handed on before an error depends on how it was cut.
fn whole_ones(chunks: &[Chunk]) -> Vec<Chunk> {
    let mut messages = messages(chunks);
    messages.retain(|message| !message.1.any(Flags::PARTIAL));
    messages
}

/// What our reader makes of these bytes; see [`Model::read`].
pub fn read(
    options: &LengthPrefixedOptions,
    wire: &[u8],
    schedule: Schedule,
    (max, parts): (usize, bool),
) -> (Vec<Chunk>, Option<LengthPrefixedError>) {
    let inner = schedule.read_half(literal(wire.to_vec()).read.unwrap());
    let mut reader = LengthPrefixedReader::new(inner, options);
    if parts {
        reader.parts_suffice();
    }
    let (mut chunks, mut error) = (Vec::new(), None);
    drive(async {
        loop {
            match poll_fn(|cx| reader.poll_chunk(cx, max)).await {
                Ok(flags) => {
                    let chunk = reader.chunk_mut().to_vec();
                    assert!(chunk.len() <= max || flags.any(Flags::CONTROL));
                    chunks.push((chunk, flags - Flags::MORE));
                    reader.consume();
                    if flags.any(Flags::EOF) {
                        break;
                    }
                }
                Err(e) => {
                    error = e.get_ref().and_then(|e| e.downcast_ref()).copied();
                    assert!(error.is_some(), "{e}");
                    break;
                }
            }
        }
        // Nothing more comes, again and again.
        for _ in 0..2 {
            assert!(matches!(poll_fn(|cx| reader.poll_chunk(cx, max)).await, Ok(Flags::EOF)));
            assert_eq!(reader.chunk_mut(), []);
            reader.consume();
        }
    });
    (whole_ones(&chunks), error)
}

/// What our writer makes of these chunks; see [`Model::write`].
pub fn written(
    options: &LengthPrefixedOptions,
    chunks: &[Chunk],
    schedule: Schedule,
) -> (Vec<u8>, Option<LengthPrefixedError>) {
    let recorder = Recorder::new();
    let mut writer = LengthPrefixedWriter::new(schedule.write_half(recorder.stream()), options);
    let outcome = drive(write_chunks(&mut writer, chunks));
    assert!(outcome.is_err() || recorder.is_shut());
    let error = outcome.err().map(|e| *e.get_ref().and_then(|e| e.downcast_ref()).unwrap());
    if error.is_some() {
        // What was taken before is not lost.
        drive(poll_fn(|cx| crate::datagram::DatagramWrite::poll_flush(&mut writer, cx))).unwrap();
    }
    (recorder.bytes(), error)
}

/// The chunks that `body` describes: a byte says what comes, the next one how long it is.
fn chunks_of(mut body: &[u8]) -> Vec<Chunk> {
    let mut chunks = Vec::new();
    while let [kind, len, rest @ ..] = body {
        let (bytes, behind) = rest.split_at(rest.len().min(usize::from(*len) % 80));
        body = behind;
        let flags = match kind % 8 {
            0 => Flags::NONE,
            1 => Flags::TEXT,
            2 => Flags::PARTIAL,
            3 => Flags::PARTIAL | Flags::TEXT,
            4 => Flags::TEXT | Flags::MORE,
            5 => Flags::PING,
            6 => Flags::PONG,
            _ if kind % 32 == 31 => Flags::EOF,
            _ => Flags::MORE,
        };
        let control = flags.any(Flags::CONTROL);
        // What every header can express; what it cannot is another test's matter.
        chunks.push((bytes[..bytes.len().min(if control { 20 } else { 80 })].to_vec(), flags));
        if flags.any(Flags::EOF) {
            break;
        }
    }
    chunks
}

/// Any bytes are read as the model reads them, any chunks written as it writes them, and what was written is read back,
/// wherever bytes are cut and whenever sockets make wait. The first seven bytes choose options, limits and cuts.
pub fn length_prefixed(data: &[u8]) {
    let Some(([bits, read_size, write_size, pending, max, limit, parts], body)) = data.split_first_chunk() else {
        return;
    };
    let body = &body[..body.len().min(MAX_INPUT)];
    let model = Model::numbered(*bits);
    let pending = match pending % 4 {
        0 => PendingAt::Never,
        1 => PendingAt::Each,
        2 => PendingAt::Every(2 + usize::from(pending >> 2)),
        _ => PendingAt::Nth(usize::from(pending >> 2)),
    };
    let schedule = Schedule { read: usize::from(*read_size) + 1, write: usize::from(*write_size) + 1, pending };
    let taken = (usize::from(*max) + 1, parts % 2 == 1);
    let limit = Some(u64::from(*limit)).filter(|limit| *limit > 0);

    let options = model.options(usize::MAX, limit);
    let expected = model.read(body, limit.unwrap_or(u64::MAX));
    assert_eq!(read(&options, body, schedule, taken), expected, "{model:?}");

    let chunks = chunks_of(body);
    let max_written = limit.map_or(usize::MAX, |limit| limit as usize);
    let options = model.options(max_written, None);
    let (wire, error) = model.write(&chunks, max_written);
    assert_eq!(written(&options, &chunks, schedule), (wire.clone(), error), "{model:?}");

    let (messages, torn) = read(&options, &wire, schedule, taken);
    if error.is_none() {
        let unfinished =
            chunks.iter().rev().find(|c| !c.1.any(Flags::CONTROL)).is_some_and(|c| c.1.any(Flags::PARTIAL));
        // A message in fragments that never ended; where there are control messages, one of them says that it is over.
        let tears = unfinished && model.continuations && !model.control;
        assert_eq!(torn, tears.then_some(LengthPrefixedError::Torn));
        let meant = as_read(model, &chunks);
        assert_eq!(messages[..messages.len() - usize::from(torn.is_none())], meant, "{model:?}");
    }
}

/// The messages that a reader finds in what was written of these chunks, without the EOF.
fn as_read(model: Model, chunks: &[Chunk]) -> Vec<Chunk> {
    let mut whole = whole_ones(chunks);
    whole.retain(|(_, flags)| !flags.any(Flags::CONTROL) || model.control && !flags.any(Flags::EOF));
    for message in &mut whole {
        let flags = message.1 - Flags::MORE;
        message.1 = if model.text { flags } else { flags - Flags::TEXT };
    }
    whole
}
