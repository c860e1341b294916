//! Checks that hold for any input; fuzz targets and the tests below pass it in. A broken promise is a failed assertion.
//!
//! Input is cut short so that one run stays in the range of a millisecond.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)] // test code: here a panic is the result

mod deflate;
pub(crate) mod length_prefixed;

pub use deflate::{deflater, extensions, inflater};
pub use length_prefixed::length_prefixed;

use crate::{
    datagram::Flags,
    endpoint::literal::literal,
    overlay::lines::{LineReader, LineWriter, LinesOptions},
    testing::{
        PendingAt, Recorder, Schedule, collect_chunks, drive, messages,
        script::{Script, ScriptStep},
        write_chunks,
    },
};

const MAX_INPUT: usize = 600;

/// `lines:` written out: a line ends where `n` separators in a row do, with a carriage return in front of each if those are
/// dropped.
fn split(bytes: &[u8], options: &LinesOptions) -> Vec<Vec<u8>> {
    let trims = options.trim_cr && !options.inline;
    let (mut lines, mut rest, mut len) = (Vec::new(), bytes, 0);
    while len < rest.len() {
        let mut end = len;
        for nth in 0..options.n {
            // The carriage return in front of the first one is found afterwards.
            let cr = nth > 0 && trims && options.separator != b'\r' && rest.get(end) == Some(&b'\r');
            end += usize::from(cr);
            if rest.get(end) != Some(&options.separator) {
                end = usize::MAX;
                break;
            }
            end += 1;
        }
        if end == usize::MAX {
            len += 1;
            continue;
        }
        let content = if trims && rest[..len].ends_with(b"\r") { len - 1 } else { len };
        lines.push(rest[..if options.inline { end } else { content }].to_vec());
        (rest, len) = (&rest[end..], 0);
    }
    if !rest.is_empty() {
        lines.push(rest.to_vec());
    }
    lines
}

/// Lines are read as the rule says, and messages written are as many lines, wherever bytes are cut and whenever
/// sockets make wait. The first six bytes choose options and cuts.
pub fn lines(data: &[u8]) {
    let Some(([bits, read, write, pending, max, cut], body)) = data.split_first_chunk() else { return };
    let body = &body[..body.len().min(MAX_INPUT)];
    let options = LinesOptions {
        separator: if bits & 1 == 0 { b'\n' } else { 0 },
        n: 1 + usize::from(bits >> 1 & 3),
        inline: bits & 8 != 0,
        trim_cr: bits & 32 != 0,
        substitute: Some(b' '),
        ..LinesOptions::default()
    };
    let pending = match pending % 4 {
        0 => PendingAt::Never,
        1 => PendingAt::Each,
        2 => PendingAt::Every(2 + usize::from(pending >> 2)),
        _ => PendingAt::Nth(usize::from(pending >> 2)),
    };
    let schedule = Schedule { read: usize::from(*read) + 1, write: usize::from(*write) + 1, pending };
    let read_back = |bytes: &[u8], options: &LinesOptions| {
        let mut reader = LineReader::new(schedule.read_half(literal(bytes.to_vec()).read.unwrap()), options);
        if bits & 16 != 0 {
            crate::datagram::DatagramRead::parts_suffice(&mut reader);
        }
        let mut chunks = messages(&drive(collect_chunks(&mut reader, usize::from(*max) + 1)).unwrap());
        assert_eq!(chunks.pop(), Some((vec![], Flags::EOF)));
        assert!(chunks.iter().all(|chunk| chunk.1 == Flags::TEXT));
        chunks.into_iter().map(|chunk| chunk.0).collect::<Vec<_>>()
    };
    assert_eq!(read_back(body, &options), split(body, &options));

    // 0xff ends a message here, so that separators can stand inside.
    let whole: Vec<_> = body.split(|byte| *byte == 0xff).map(|message| (message.to_vec(), Flags::TEXT)).collect();
    let mut parts = Vec::new();
    for (message, flags) in &whole {
        let (first, rest) = message.split_at(message.len().min((*cut).into()));
        parts.extend([(first.to_vec(), *flags | Flags::PARTIAL), (rest.to_vec(), *flags)]);
    }
    let write = |schedule: Schedule, chunks: &[_]| {
        let recorder = Recorder::new();
        drive(write_chunks(&mut LineWriter::new(schedule.write_half(recorder.stream()), &options), chunks)).unwrap();
        recorder.bytes()
    };
    let written = write(Schedule::WHOLE, &whole);
    assert_eq!(write(schedule, &parts), written);
    let plain = LinesOptions { inline: false, trim_cr: false, ..options.clone() };
    assert_eq!(read_back(&written, &plain).len(), whole.len(), "as many lines as messages");
}

/// Mock scripts are read or refused with a message; any bytes can be said in them.
pub fn mock(data: &[u8]) {
    let data = &data[..data.len().min(MAX_INPUT)];
    // Parsed, not played: a socket that is dropped before its script is through panics, as it should.
    if let Ok(text) = str::from_utf8(data)
        && let Err(e) = Script::parse(text)
    {
        assert!(e.to_string().contains("mock script, byte "));
    }
    if data.is_empty() {
        return; // an empty text is no step
    }
    let escaped: String = data.iter().map(|byte| format!("\\x{byte:02X}")).collect();
    let script = Script::parse(&format!("R {escaped}|W {escaped}|X")).unwrap();
    let bytes = || data.iter().copied().collect();
    assert_eq!(script.steps, [ScriptStep::Read(bytes()), ScriptStep::Write(bytes()), ScriptStep::ReadEof]);
}

#[cfg(test)]
mod tests {
    use rand_core::{Rng as _, SeedableRng as _};

    /// Bytes that are mostly separators and letters: random ones have few lines.
    fn inputs(count: usize, mut check: impl FnMut(&[u8])) {
        let mut random = rand_pcg::Pcg32::seed_from_u64(1);
        for _ in 0..count {
            let mut data = vec![0; (random.next_u32() % 60) as usize];
            random.fill_bytes(&mut data);
            for byte in data.iter_mut().skip(6) {
                *byte = b"\n\n\0\0ab R|WXx\\\xff1\r"[usize::from(*byte) % 16];
            }
            check(&data);
        }
    }

    #[test]
    fn lines() {
        inputs(3000, super::lines);
    }

    #[test]
    fn mock() {
        inputs(3000, super::mock);
        inputs(3000, |data| super::mock(data.get(6..).unwrap_or_default()));
    }

    /// As [`inputs`], without regard to what the bytes mean.
    fn bytes(count: usize, alphabet: &[u8], check: fn(&[u8])) {
        let mut random = rand_pcg::Pcg32::seed_from_u64(2);
        for _ in 0..count {
            let mut data = vec![0; (random.next_u32() % 90) as usize];
            random.fill_bytes(&mut data);
            for byte in data.iter_mut().skip(5) {
                *byte = alphabet[usize::from(*byte) % alphabet.len()];
            }
            check(&data);
        }
    }

    #[test]
    fn length_prefixed() {
        // Flags, small lengths and types of control messages; text and controls among the messages to write.
        bytes(6000, b"\x00\x01\x02\x03\x04\x05\x06\x08\x09\x0a\x1f\x20\x40\x80\xa0\xc0\xff", super::length_prefixed);
    }

    #[test]
    fn inflater() {
        // Headers of stored, fixed and dynamic blocks among what they may have.
        bytes(2000, b"\x00\x01\x02\x03\x04\x05\xf2\x48\xcd\xc9\xc9\x07\x00\x00\xff\xff\xfe\xaa\x55", super::inflater);
    }

    #[test]
    fn deflater() {
        bytes(300, b"abcabcab\xfe\xfe\xff\x00\x01\x02", super::deflater);
    }

    #[test]
    fn extensions() {
        const WORDS: [&str; 12] = [
            "permessage-deflate",
            "; server_max_window_bits",
            "; client_max_window_bits",
            "; server_no_context_takeover",
            "; client_no_context_takeover",
            "=8",
            "=15",
            "=\"1\\0\"",
            ", ",
            "\n",
            "x",
            ";",
        ];
        let mut random = rand_pcg::Pcg32::seed_from_u64(3);
        for _ in 0..3000 {
            let mut data = vec![random.next_u32() as u8];
            data.extend_from_slice(WORDS[0].as_bytes());
            for _ in 0..random.next_u32() % 8 {
                data.extend_from_slice(WORDS[random.next_u32() as usize % WORDS.len()].as_bytes());
            }
            super::extensions(&data);
        }
    }
}
