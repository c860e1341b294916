//! permessage-deflate against anything: what a peer calls compressed, what it says of extensions, and our two machines
//! against each other.

use super::MAX_INPUT;
use crate::overlay::ws::{
    HOLD,
    deflate::{
        DeflateOptions, Deflater, InflateError, Inflater, Limits,
        negotiation::{self, Wish},
    },
    extension,
};

/// The buffer that output is collected in before a limit is looked at, while `hold` is small.
const BUFFER: usize = 72 << 10;

/// Messages out of the payloads of their frames, up to the first error; `fin` comes with each frame.
fn inflate<'a>(
    inflater: &mut Inflater,
    frames: impl Iterator<Item = (&'a [u8], bool)>,
    hold: usize,
    most: usize,
) -> (Vec<Vec<u8>>, Option<InflateError>) {
    let (mut messages, mut message) = (Vec::new(), Vec::new());
    for (mut frame, fin) in frames {
        loop {
            let fed = match inflater.feed(frame, fin, hold) {
                Ok(fed) => fed,
                Err(e) => {
                    assert!([1007, 1009].contains(&e.close_code()) && !e.to_string().is_empty());
                    return (messages, Some(e));
                }
            };
            frame = &frame[fed.taken..];
            let len = inflater.output().len();
            message.extend_from_slice(inflater.output());
            assert!(fed.done || len >= hold, "neither done nor full");
            assert!(message.len() <= most, "a message of {} bytes is beyond the limit", message.len());
            inflater.consume(len);
            if fed.done {
                assert!(frame.is_empty());
                break;
            }
        }
        if fin {
            assert!(!inflater.mid_message());
            messages.push(std::mem::take(&mut message));
        }
    }
    (messages, None)
}

/// Any bytes as compressed messages: the same messages wherever frames are cut, as far as they are not corrupt, and no
/// message is larger than the limits allow. The first four bytes choose options and cuts, 0xfe ends a message.
pub fn inflater(data: &[u8]) {
    let Some(([bits, cut, hold, most], body)) = data.split_first_chunk() else { return };
    let body = &body[..body.len().min(MAX_INPUT)];
    let new = |limits| Inflater::new(bits & 1 != 0, 8 + (bits >> 1 & 7), limits);
    let whole = || body.split(|byte| *byte == 0xfe).map(|message| (message, true));
    let pieces = || {
        whole().flat_map(|(message, _)| {
            let (first, rest) = message.split_at(message.len().min(usize::from(*cut)));
            let pieces = rest.chunks(usize::from(cut >> 4) + 1);
            let last = pieces.len();
            std::iter::once((first, last == 0)).chain(pieces.enumerate().map(move |(i, piece)| (piece, i + 1 == last)))
        })
    };
    let expected = inflate(&mut new(Limits::default()), whole(), HOLD, usize::MAX);
    // Inputs of this length do not reach the limits by default, which would be met earlier or later than here.
    assert!(matches!(expected.1, None | Some(InflateError::Corrupt)));
    // Not `assert_eq`, which would print it all.
    let cut_up = inflate(&mut new(Limits::default()), pieces(), usize::from(*hold) << 4, usize::MAX);
    assert!(cut_up == expected, "cut up: {:?}, whole: {:?}", cut_up.1, expected.1);

    let tight = Limits { ratio: 1 + u64::from(*most), floor: 1000, message: 20_000 };
    inflate(&mut new(tight), pieces(), usize::from(*hold) << 4, 20_000 + BUFFER);
}

/// What is compressed is inflated to what it was, however messages are parted and whatever they repeat. The first five
/// bytes choose options and cuts; in the rest 0xff ends a message and 0xfe has the message so far said again.
pub fn deflater(data: &[u8]) {
    let Some(([bits, level, repeats, cut, rest], body)) = data.split_first_chunk() else { return };
    let body = &body[..body.len().min(MAX_INPUT)];
    let (takeover, window) = (bits & 1 != 0, 9 + (bits >> 1 & 7) % 7);
    let options = DeflateOptions { level: Some(level % 10), threshold: (bits & 16 != 0).then_some(1) };
    let mut deflater = Deflater::new(takeover, window, options);
    let mut inflater = Inflater::new(takeover, window, Limits::default());
    for message in body.split(|byte| *byte == 0xff) {
        let mut text = Vec::new();
        for part in message.split(|byte| *byte == 0xfe) {
            text.extend_from_slice(part);
            text = text.repeat(1 + usize::from(repeats % 4));
            text.truncate(300_000);
        }
        // Chunks, and frames of those that are compressed.
        let size = (usize::from(*cut) << (bits >> 5)).max(1 + text.len() / 50);
        let mut chunks: Vec<_> = text.chunks(size).collect();
        if chunks.is_empty() {
            chunks.push(&[]);
        }
        let (mut frames, mut plain) = (Vec::new(), false);
        let count = chunks.len();
        for (i, chunk) in chunks.into_iter().enumerate() {
            let fin = i + 1 == count;
            if deflater.begin(chunk, fin) {
                assert!(!plain, "compressed in the middle");
                while let Some(last) = deflater.next_frame(chunk, fin).unwrap() {
                    frames.push((deflater.payload().to_vec(), last && fin));
                }
            } else {
                assert!(frames.is_empty(), "no longer compressed in the middle");
                plain = true;
            }
            assert!(!deflater.is_midway());
            if i % 8 == usize::from(*rest) % 8 {
                deflater.rest();
            }
        }
        if plain {
            continue;
        }
        assert!(
            frames
                .iter()
                .rev()
                .map(|frame| frame.1)
                .eq(std::iter::once(true).chain(std::iter::repeat_n(false, frames.len() - 1)))
        );
        let frames = frames.iter().map(|(frame, fin)| (&frame[..], *fin));
        assert!(inflate(&mut inflater, frames, usize::from(*cut) + 1, usize::MAX) == (vec![text], None));
    }
}

/// Any bytes as Sec-WebSocket-Extensions, as an offer and as an answer: judged without panic, and what our server answers
/// our client takes, with the same meaning. A line feed parts offer and answer.
pub fn extensions(data: &[u8]) {
    let Some((bits, text)) = data.split_first() else { return };
    let mut sides = text.splitn(2, |byte| *byte == b'\n').map(|side| extension::parse(side));
    let (offer, answer) = (sides.next(), sides.next());
    let Some(Ok(offer)) = offer else { return };
    let wish = Wish { context_takeover: bits & 1 != 0, window_bits: 9 + (bits >> 1) % 7 };
    if let Some((text, agreed)) = negotiation::accept(&offer, wish) {
        let answer = extension::parse(text.as_bytes()).unwrap();
        match negotiation::check(&offer, &answer) {
            Ok(taken) => {
                let taken = taken.unwrap();
                assert_eq!(taken.server_max_window_bits, agreed.server_max_window_bits, "{text}");
                assert_eq!(taken.server_no_context_takeover, agreed.server_no_context_takeover, "{text}");
                // A client may bind itself to less than it was told.
                assert!(taken.client_max_window_bits <= agreed.client_max_window_bits, "{text}");
                assert!(taken.client_no_context_takeover || !agreed.client_no_context_takeover, "{text}");
            }
            // The one window that this client does not have.
            Err(e) => assert!(agreed.client_max_window_bits == 8, "{e}: {text}"),
        }
    }
    if let Some(Ok(answer)) = answer
        && let Err(e) = negotiation::check(&offer, &answer)
    {
        assert!(!e.is_empty());
    }
    // What we ask for our own server takes.
    let ours = negotiation::offer(wish);
    assert!(negotiation::accept(&extension::parse(ours.as_bytes()).unwrap(), wish).is_some());
}
