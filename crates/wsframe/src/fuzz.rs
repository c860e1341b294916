//! Checks that hold for any input; fuzz targets pass it in, the tests below pass random and hand-made bytes.
//!
//! No allocation, so that fuzzers spend their time here and not in malloc. A broken promise is a failed assertion.

#![allow(clippy::indexing_slicing, clippy::panic)] // test code: here a panic is the result

use crate::{
    Decoder, Error, Header, MAX_CONTROL_PAYLOAD, MAX_HEADER, MaskRule, Next, Opcode, SendSequence, Sequence, Utf8Check,
    mask, parse_close, write_close,
};

/// Input beyond this is not looked at: frames of each length form fit.
const MAX_INPUT: usize = 4096;

/// What came out of a decoder, reduced to numbers that do not depend on how the input was cut.
#[derive(Debug, PartialEq, Eq)]
struct Outcome {
    /// FNV-1a over opcodes, payload bytes and ends of messages.
    digest: u64,
    /// Bytes that were never taken off.
    rest: usize,
    error: Option<Error>,
    mid_message: bool,
}

/// Decodes `wire`, which arrives `step` bytes at a time.
fn run(mut decoder: Decoder, wire: &[u8], step: usize, hold: usize) -> Outcome {
    let mut copy = [0; MAX_INPUT];
    let input = &mut copy[..wire.len()];
    input.copy_from_slice(wire);
    let mut digest = 0xcbf2_9ce4_8422_2325_u64;
    let mut note = |byte: u8| digest = (digest ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3);
    let (mut start, mut arrived, mut error) = (0, 0, None);
    'input: while arrived < input.len() {
        arrived = input.len().min(arrived + step);
        loop {
            match decoder.next(&mut input[start..arrived], hold) {
                Ok(Next::Chunk { header, len, opcode, fin, rsv1 }) => {
                    assert!(header + len > 0 && header <= MAX_HEADER && header + len <= arrived - start);
                    assert!(opcode != Opcode::Continuation);
                    assert!(!opcode.is_control() || (fin && !rsv1 && len <= MAX_CONTROL_PAYLOAD && header > 0));
                    for byte in &input[start + header..start + header + len] {
                        note(opcode as u8);
                        note(*byte);
                    }
                    if fin {
                        note(0x80 | u8::from(rsv1) << 6 | opcode as u8);
                    }
                    start += header + len;
                }
                Ok(Next::Need(n)) => {
                    assert!(n > arrived - start && n <= hold.max(MAX_CONTROL_PAYLOAD) + MAX_HEADER);
                    break;
                }
                Err(e) => {
                    assert_eq!(decoder.next(&mut input[start..arrived], hold), Err(e));
                    assert!(matches!(e.close_code(), 1002 | 1009));
                    error = Some(e);
                    break 'input;
                }
            }
            assert_eq!(input[arrived..], wire[arrived..]);
        }
    }
    assert_eq!(input[start..], wire[start..], "bytes that were not handed out are as they came");
    Outcome { digest, rest: input.len() - start, error, mid_message: decoder.mid_message() }
}

/// Any bytes are decoded without a panic, and alike however they are cut. The first four bytes choose the settings.
pub fn decoder(data: &[u8]) {
    let Some(([rule, flags, step, hold], wire)) = data.split_first_chunk() else { return };
    let wire = &wire[..wire.len().min(MAX_INPUT)];
    let rule = [MaskRule::Required, MaskRule::Forbidden, MaskRule::Any][*rule as usize % 3];
    let mut decoder = Decoder::new(rule).allow_rsv1(flags & 1 != 0);
    if flags & 2 != 0 {
        decoder = decoder.max_frame(300).max_message(500);
    }
    let hold = usize::from(*hold) * 8;
    let whole = run(decoder.clone(), wire, MAX_INPUT, hold);
    for step in [usize::from(*step) + 1, 1] {
        assert_eq!(run(decoder.clone(), wire, step, hold), whole, "cut every {step} bytes");
    }
}

/// What [`Header`] and [`mask`] make, the decoder reads back. The first eight bytes choose the frame.
pub fn frame(data: &[u8]) {
    let Some(([bits, k0, k1, k2, k3, cut, l0, l1], body)) = data.split_first_chunk() else { return };
    let opcodes = [Opcode::Text, Opcode::Binary, Opcode::Close, Opcode::Ping, Opcode::Pong];
    let opcode = opcodes[usize::from(bits & 7) % 5];
    let (fin, rsv1) = (bits & 8 != 0 || opcode.is_control(), bits & 16 != 0 && !opcode.is_control());
    let key = (bits & 32 != 0).then_some([*k0, *k1, *k2, *k3]);
    let longest = if opcode.is_control() { MAX_CONTROL_PAYLOAD } else { MAX_INPUT - MAX_HEADER };
    let body = &body[..body.len().min(longest)];

    let mut wire = [0; MAX_INPUT];
    let header = Header::new(opcode, fin, body.len(), key).with_rsv1(rsv1);
    assert_eq!(header.key(), key);
    let start = header.put(wire.first_chunk_mut().unwrap_or(&mut [0; MAX_HEADER]));
    assert_eq!(header.as_bytes(), &wire[..start]);
    let wire = &mut wire[..start + body.len()];
    wire[start..].copy_from_slice(body);
    if let Some(key) = key {
        let (a, b) = wire[start..].split_at_mut(body.len().min((*cut).into()));
        mask(b, key, a.len());
        mask(a, key, 0);
    }
    let rule = if key.is_some() { MaskRule::Required } else { MaskRule::Forbidden };
    let whole = Next::Chunk { header: start, len: body.len(), opcode, fin, rsv1 };
    assert_eq!(Decoder::new(rule).allow_rsv1(true).next(wire, MAX_INPUT), Ok(whole));
    assert_eq!(&wire[start..], body);

    // Lengths of any size, without the payload. Three bytes of header choose among 2^24 lengths, shifted up to 2^62.
    let shift = u32::from(l1 % 40).min(usize::BITS - 26);
    let len = (usize::from(*l0) << 16 | usize::from(*k0) << 8 | usize::from(*k1)) << shift;
    let header = Header::new(Opcode::Binary, true, len, key);
    let mut bytes = [0; MAX_HEADER + 1];
    let start = header.put(bytes.first_chunk_mut().unwrap_or(&mut [0; MAX_HEADER]));
    let expected = match len {
        0 => Next::Chunk { header: start, len: 0, opcode: Opcode::Binary, fin: true, rsv1: false },
        _ => Next::Need(start + len),
    };
    assert_eq!(Decoder::new(rule).next(&mut bytes[..start], usize::MAX), Ok(expected));
}

/// [`Sequence`] agrees with the rules written out, and accepts whatever [`SendSequence`] gives. One byte is one frame.
pub fn sequence(data: &[u8]) {
    let (mut receive, mut send, mut peer) = (Sequence::new(), SendSequence::new(), Sequence::new());
    let mut open = None;
    for byte in data {
        let fin = byte & 0x80 != 0;
        if let Ok(opcode) = Opcode::from_bits(*byte) {
            let expected = match opcode {
                Opcode::Close | Opcode::Ping | Opcode::Pong if fin => Ok(opcode),
                Opcode::Close | Opcode::Ping | Opcode::Pong => Err(Error::ControlFragmented),
                Opcode::Continuation => open.ok_or(Error::UnexpectedContinuation),
                Opcode::Text | Opcode::Binary if open.is_some() => Err(Error::InterruptedMessage),
                Opcode::Text | Opcode::Binary => Ok(opcode),
            };
            if let (Ok(message), false) = (expected, opcode.is_control()) {
                open = (!fin).then_some(message);
            }
            assert_eq!(receive.accept(opcode, fin), expected);
            assert_eq!(receive.mid_message(), open.is_some());
        }
        let opcode = send.next_opcode(byte & 1 != 0, fin);
        assert!(peer.accept(opcode, fin).is_ok());
        assert_eq!(peer.mid_message(), send.mid_message());
        assert_eq!(send.mid_message(), !fin);
    }
}

/// [`Utf8Check`] agrees with the standard library wherever the text is cut. The first two bytes choose where.
pub fn utf8(data: &[u8]) {
    let Some(([a, b], text)) = data.split_first_chunk() else { return };
    let expected = core::str::from_utf8(text);
    let (first, rest) = text.split_at(text.len().min((*a).into()));
    let (second, third) = rest.split_at(rest.len().min((*b).into()));
    let mut check = Utf8Check::new();
    let (mut fed, mut got) = (0, Ok(()));
    for part in [first, second, third] {
        let carried = check.carried();
        assert!(carried <= 3);
        got = check.feed(part).map_err(|e| {
            assert!(e.valid_up_to + e.error_len <= part.len());
            // A bad sequence that began in an earlier chunk starts with the bytes carried.
            if e.valid_up_to == 0 { fed - carried } else { fed + e.valid_up_to }
        });
        if got.is_err() {
            break;
        }
        fed += part.len();
    }
    if got.is_ok() {
        let carried = check.carried();
        got = check.finish().map_err(|_| fed - carried);
    }
    assert_eq!(got, expected.map(drop).map_err(|e| e.valid_up_to()));
}

/// Bodies of Close frames are judged without a panic, and what [`write_close`] makes is read back.
pub fn close(data: &[u8]) {
    if let Ok(Some(body)) = parse_close(data) {
        let mut out = [0; MAX_CONTROL_PAYLOAD];
        let len = write_close(body.code, body.reason, &mut out);
        assert_eq!(&out[..len], data);
    }
    if let Some((code, reason)) = data.split_first_chunk()
        && let Ok(reason) = core::str::from_utf8(reason)
    {
        let mut out = [0; MAX_CONTROL_PAYLOAD];
        let len = write_close(u16::from_be_bytes(*code), reason, &mut out);
        match parse_close(&out[..len]) {
            Ok(Some(body)) => assert!(reason.starts_with(body.reason) && body.code == u16::from_be_bytes(*code)),
            other => assert!(len == 0 && other == Ok(None)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec::Vec;

    /// xorshift64*: the same inputs in every run.
    struct Random(u64);

    impl Random {
        fn below(&mut self, bound: usize) -> usize {
            self.0 ^= self.0 >> 12;
            self.0 ^= self.0 << 25;
            self.0 ^= self.0 >> 27;
            (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) as usize % bound
        }

        fn bytes(&mut self, len: usize) -> Vec<u8> {
            (0..len).map(|_| self.below(256) as u8).collect()
        }
    }

    /// Mostly valid frames: random bytes alone are refused at the first header.
    fn frames(random: &mut Random, key: bool) -> Vec<u8> {
        let (mut wire, mut send) = (Vec::new(), SendSequence::new());
        for _ in 0..random.below(8) {
            let len = [0, 1, 3, 125, 126, 200, 700][random.below(7)];
            let fin = random.below(2) == 0;
            let (opcode, len) = match random.below(4) {
                0 => ([Opcode::Ping, Opcode::Pong, Opcode::Close][random.below(3)], len.min(125)),
                _ => (send.next_opcode(random.below(2) == 0, fin), len),
            };
            let key = key.then(|| [1, 2, 3, random.below(256) as u8]);
            wire.extend_from_slice(Header::new(opcode, fin, len, key).with_rsv1(random.below(20) == 0).as_bytes());
            wire.extend(random.bytes(len));
        }
        if random.below(3) == 0 && !wire.is_empty() {
            let at = random.below(wire.len());
            wire[at] ^= 1 << random.below(8);
        }
        wire
    }

    //= 6455-5.4-1 test
    //= 6455-6.2-1 test
    //= 6455-10.1-1 test
    //= 6455-10.7-1 test
    #[test]
    fn decoder_on_valid_damaged_and_random_input() {
        let mut random = Random(1);
        for _ in 0..3000 {
            let rule = random.below(3);
            let key = rule == 0 || rule == 2 && random.below(2) == 0;
            let mut data = random.bytes(4);
            data[0] = rule as u8;
            data.extend(frames(&mut random, key));
            decoder(&data);
            let len = random.below(60);
            decoder(&random.bytes(len));
        }
    }

    #[test]
    fn decoder_outcomes_tell_inputs_apart() {
        // Otherwise the comparison above would prove nothing.
        let run = |wire: &[u8]| run(Decoder::new(MaskRule::Forbidden), wire, 1, 0);
        let whole = run(b"\x82\x02ab");
        assert_eq!(whole, run(b"\x02\x01a\x80\x01b"));
        for other in
            [&b"\x82\x02aB"[..], b"\x81\x02ab", b"\x82\x01a\x82\x01b", b"\x02\x02ab", b"\x82\x03ab", b"\x89\x02ab"]
        {
            assert_ne!(whole, run(other));
        }
    }

    #[test]
    fn frames_of_every_kind() {
        let mut random = Random(2);
        for _ in 0..5000 {
            let len = 8 + [0, 1, 124, 125, 126, 127, 1000, 5000][random.below(8)] + random.below(3);
            frame(&random.bytes(len));
        }
    }

    #[test]
    fn sequences_of_random_frames() {
        let mut random = Random(3);
        for _ in 0..2000 {
            let len = random.below(50);
            sequence(&random.bytes(len));
        }
    }

    #[test]
    fn utf8_valid_damaged_and_random() {
        let mut random = Random(4);
        for _ in 0..20_000 {
            let mut data = random.bytes(2);
            for _ in 0..random.below(40) {
                let character = ["a", "é", "ж", "€", "\u{d7ff}", "\u{ffff}", "𝄞", "\u{10ffff}"][random.below(8)];
                data.extend(character.bytes());
            }
            if random.below(2) == 0 {
                let at = random.below(data.len());
                data[at] = random.below(256) as u8;
            }
            let len = data.len() - random.below(3);
            data[0] = random.below(data.len()) as u8; // a cut inside the text
            utf8(&data[..len]);
            let len = random.below(10);
            utf8(&random.bytes(len));
        }
    }

    #[test]
    fn close_bodies() {
        let mut random = Random(5);
        for _ in 0..5000 {
            let mut data = Vec::from([(3 + random.below(2)) as u8, random.below(256) as u8]);
            for _ in 0..random.below(140) {
                data.extend(["x", "é", "€", "𝄞"][random.below(4)].bytes());
            }
            close(&data);
            let len = random.below(10);
            close(&random.bytes(len));
        }
    }
}
