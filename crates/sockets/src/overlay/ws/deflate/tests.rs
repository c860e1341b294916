//! Both machines against each other, against the samples of RFC 7692 7.2.3, and against the library used directly.

use super::{negotiation::Agreed, zlib::shelved, *};
use zlib_rs::{DeflateFlush, InflateFlush};

const PLAIN: Agreed = Agreed {
    server_no_context_takeover: false,
    client_no_context_takeover: false,
    server_max_window_bits: 15,
    client_max_window_bits: 15,
};

fn deflater(context_takeover: bool, bits: u8) -> Deflater {
    Deflater::new(context_takeover, bits, DeflateOptions { level: None, threshold: Some(1) })
}

fn inflater(context_takeover: bool, bits: u8) -> Inflater {
    Inflater::new(context_takeover, bits, Limits::default())
}

/// Payloads of the frames of one message, sent as these chunks; None: it goes as it is.
fn deflate(deflater: &mut Deflater, chunks: &[&[u8]]) -> Option<Vec<Vec<u8>>> {
    let (mut frames, mut plain) = (Vec::new(), false);
    for (i, chunk) in chunks.iter().enumerate() {
        let fin = i + 1 == chunks.len();
        if !deflater.begin(chunk, fin) {
            plain = true;
            continue;
        }
        assert!(!plain);
        let mut last = false;
        while let Some(is_last) = deflater.next_frame(chunk, fin).unwrap() {
            assert!(!last);
            last = is_last;
            frames.push(deflater.payload().to_vec());
        }
        assert!(last || !fin && chunk.is_empty());
        assert!(!deflater.is_midway());
    }
    assert!(!plain || frames.is_empty());
    (!plain).then_some(frames)
}

/// One message out of the payloads of its frames; output is taken `hold` bytes at a time.
fn inflate(inflater: &mut Inflater, frames: &[&[u8]], hold: usize) -> Result<Vec<u8>, InflateError> {
    let mut message = Vec::new();
    for (i, frame) in frames.iter().enumerate() {
        let fin = i + 1 == frames.len();
        let mut rest = *frame;
        loop {
            let fed = inflater.feed(rest, fin, hold)?;
            rest = &rest[fed.taken..];
            message.extend_from_slice(inflater.output());
            assert!(fed.done || inflater.output().len() >= hold);
            let len = inflater.output().len();
            inflater.consume(len);
            if fed.done {
                assert!(rest.is_empty());
                break;
            }
        }
    }
    assert!(!inflater.mid_message());
    Ok(message)
}

/// A raw DEFLATE stream, ended by this flush.
fn raw(data: &[u8], flush: DeflateFlush) -> Vec<u8> {
    let mut out = vec![0; data.len() + 100];
    let mut state = zlib_rs::Deflate::new(6, false, 15);
    state.compress(data, &mut out, flush).unwrap();
    out.truncate(state.total_out() as usize);
    out
}

/// Text with repeats near and far, and bytes that do not compress.
fn data(len: usize, noise: usize) -> Vec<u8> {
    let mut state = 1u32;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        state >> 16
    };
    let mut data = Vec::new();
    while data.len() < len {
        data.extend_from_slice(
            format!("{{\"id\": {}, \"name\": \"item {}\"}}, ", next() % 1000, next() % 50).as_bytes(),
        );
        data.extend((0..noise).map(|_| next() as u8));
    }
    data.truncate(len);
    data
}

//= 7692-7.2.1-2 test
//= 7692-7.2.1-3 test
//= 7692-7.2.1-4 test
//= 7692-7.2.2-1 test
//= 7692-7.2.3-1 test
#[test]
fn samples_of_rfc_7692_section_7_2_3() {
    let cases: [(&[&[u8]], &[u8]); 10] = [
        (&[&[0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00]], b"Hello"),
        (&[&[0xf2, 0x48, 0xcd], &[0xc9, 0xc9, 0x07, 0x00]], b"Hello"),
        (&[&[0x00, 0x05, 0x00, 0xfa, 0xff, 0x48, 0x65, 0x6c, 0x6c, 0x6f, 0x00]], b"Hello"),
        (&[&[0xf3, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00, 0x00]], b"Hello"),
        (&[&[0xf2, 0x48, 0x05, 0x00, 0x00, 0x00, 0xff, 0xff, 0xca, 0xc9, 0xc9, 0x07, 0x00]], b"Hello"),
        (&[&[0x00]], b""),
        (&[&[0x02, 0x00]], b""),
        (&[&[]], b""),
        // The end of a message of unknown size.
        (&[&[0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00, 0x00, 0x00, 0xff, 0xff], &[0x00]], b"Hello"),
        // A last block, and nothing behind it.
        (&[&[0xf3, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00]], b"Hello"),
    ];
    for takeover in [false, true] {
        for (frames, message) in cases {
            let mut inflater = inflater(takeover, 15);
            for _ in 0..3 {
                assert_eq!(inflate(&mut inflater, frames, 1).unwrap(), message, "{frames:x?}");
            }
        }
    }
    // With context takeover, the second Hello refers to the first.
    let mut with = inflater(true, 15);
    assert_eq!(inflate(&mut with, &[&[0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00]], 99).unwrap(), b"Hello");
    assert_eq!(inflate(&mut with, &[&[0xf2, 0x00, 0x11, 0x00, 0x00]], 99).unwrap(), b"Hello");
}

//= 7692-5-16 test
//= 7692-6.2-1 test
//= 7692-7.2.1-1 test
//= 7692-7.2.1-6 test
//= 7692-7.2.2-3 test
//= 7692-7.2.2-5 test
//= 7692-7.2.2-6 test
//= 7692-7.2.2-8 test
#[test]
fn messages_survive_however_they_are_cut() {
    let long = data(400_000, 3);
    let messages: [&[&[u8]]; 9] = [
        &[&long[..1000]],
        &[&long[..1000]],
        &[&long[..500], &long[500..501], b"", &long[501..1000]],
        &[&long[..70_000], b""],
        &[&long],
        &[&long[..200_000], &long[200_000..]],
        &[&[7; 300]],
        &[&[0; 1 << 20]],
        &[&long[300_000..310_000]],
    ];
    for (takeover, bits) in [(false, 15), (true, 15), (true, 9), (false, 12)] {
        let (mut deflater, mut inflater) = (deflater(takeover, bits), inflater(takeover, bits));
        for (i, chunks) in messages.iter().enumerate() {
            let frames = deflate(&mut deflater, chunks).unwrap();
            if i % 2 == 1 {
                deflater.rest();
            }
            let whole = frames.concat();
            // As it was sent, whole, and cut to fragments that end anywhere.
            let message = chunks.concat();
            let as_sent: Vec<&[u8]> = frames.iter().map(Vec::as_slice).collect();
            let cut = |n: usize| whole.chunks(n).collect::<Vec<_>>();
            let fragments = match i % 4 {
                0 => as_sent,
                1 => cut(usize::MAX),
                2 => cut(1),
                _ => cut(1000),
            };
            let hold = [1, 100_000, usize::MAX][i % 3].min(crate::buffer::LARGEST);
            assert!(inflate(&mut inflater, &fragments, hold).unwrap() == message, "{takeover} {bits} {i}");
            // Only from here on: the message is larger than any buffer.
            assert!(frames.iter().all(|frame| frame.len() <= crate::buffer::LARGEST));
        }
    }
}

//= 7692-6.1-2 test
//= 7692-6.2-2 test
#[test]
fn what_does_not_shrink_goes_as_it_is_and_spoils_no_context() {
    let (mut noise, text) = (vec![0; 2000], data(2000, 0));
    rand_core::Rng::fill_bytes(&mut <rand_pcg::Pcg32 as rand_core::SeedableRng>::seed_from_u64(3), &mut noise);
    for takeover in [false, true] {
        let (mut deflater, mut inflater) = (deflater(takeover, 15), inflater(takeover, 15));
        let mut sizes = Vec::new();
        let messages = [&text, &noise].into_iter().chain([&text; 9]);
        for message in messages {
            match deflate(&mut deflater, &[message]) {
                None => sizes.push(None),
                Some(frames) => {
                    assert!(inflate(&mut inflater, &[&frames.concat()], 1).unwrap() == *message);
                    sizes.push(Some(frames.concat().len()));
                }
            }
        }
        // What was done in vain is made up for before the next try.
        assert!(sizes[1..9].iter().all(Option::is_none));
        let [Some(first), .., Some(_), Some(last)] = sizes[..] else { panic!("{sizes:?}") };
        assert_eq!(last < first / 10, takeover, "{first} {last}");
        // A larger message is tried at once, whatever went wrong before.
        assert!(deflate(&mut deflater, &[&noise]).is_none());
        assert!(deflate(&mut deflater, &[&data(20_000, 0)]).is_some());
    }
    // Noise of any length.
    let mut deflater = deflater(false, 15);
    let mut noise = vec![0; 400_000];
    rand_core::Rng::fill_bytes(&mut <rand_pcg::Pcg32 as rand_core::SeedableRng>::seed_from_u64(1), &mut noise);
    assert!(deflate(&mut deflater, &[&noise]).is_none());
    assert!(deflate(&mut deflater, &[&noise[..50_000], &noise[50_000..]]).is_none());
    // The threshold is a length, and the first chunk counts.
    let mut deflater = Deflater::new(true, 15, DeflateOptions { level: Some(1), threshold: Some(100) });
    assert!(deflate(&mut deflater, &[&[1; 99]]).is_none());
    assert!(deflate(&mut deflater, &[&[1; 99], &[1; 1000]]).is_none());
    assert!(deflate(&mut deflater, &[&[1; 100]]).is_some());
}

//= 7692-7.2.1-8 test
//= 7692-7.2.1-9 test
//= 7692-7.2.1-11 test
//= 7692-7.2.1-12 test
#[test]
fn contexts_are_kept_or_not() {
    let text = data(3000, 0);
    let mut kept = deflater(true, 15);
    let mut empty = deflater(false, 15);
    let first = deflate(&mut kept, &[&text]).unwrap();
    assert_eq!(deflate(&mut empty, &[&text]).unwrap(), first);
    assert_eq!(deflate(&mut empty, &[&text]).unwrap(), first, "each message starts with an empty window");
    let second = deflate(&mut kept, &[&text]).unwrap();
    assert!(second.concat().len() < 60, "{}", second.concat().len());
    // The state was given back: what was said is still known.
    kept.rest();
    let third = deflate(&mut kept, &[&text]).unwrap();
    assert!(third.concat().len() < 60, "{}", third.concat().len());
    // An inflater that keeps no context cannot read that, and says so.
    let mut inflater = inflater(false, 15);
    assert_eq!(inflate(&mut inflater, &[&first.concat()], 1).unwrap(), text);
    assert_eq!(inflate(&mut inflater, &[&second.concat()], 1), Err(InflateError::Corrupt));
}

//= 7692-7.2.1-7 test
//= 7692-7.2.1-13 test
//= 7692-7.2.1-15 test
//= 7692-7.2.2-7 test
//= 7692-7.2.2-9 test
#[test]
fn windows_are_as_small_as_agreed() {
    // Blocks that come again farther away than a small window reaches, and just within one of 32 KiB.
    let mut noise = vec![0; 32_000];
    rand_core::Rng::fill_bytes(&mut <rand_pcg::Pcg32 as rand_core::SeedableRng>::seed_from_u64(2), &mut noise);
    let far: Vec<u8> = noise.iter().map(|b| b & 0x3f).collect::<Vec<_>>().repeat(2);
    for bits in 9..=15 {
        let mut deflater = deflater(true, bits);
        let mut state = zlib_rs::Inflate::new(false, bits);
        let mut sizes = Vec::new();
        for _ in 0..2 {
            let mut payload = deflate(&mut deflater, &[&far]).unwrap().concat();
            deflater.rest();
            sizes.push(payload.len());
            payload.extend(TAIL);
            let mut out = Vec::new();
            // In pieces, so that the library has nothing but its window to look back to.
            for piece in payload.chunks(64) {
                let mut room = [0; 4096];
                let (mut rest, mut seen) = (piece, state.total_in());
                loop {
                    let before = state.total_out();
                    state.decompress(rest, &mut room, InflateFlush::NoFlush).unwrap();
                    let put = (state.total_out() - before) as usize;
                    out.extend_from_slice(&room[..put]);
                    rest = &rest[(state.total_in() - seen) as usize..];
                    seen = state.total_in();
                    if put < room.len() && rest.is_empty() {
                        break;
                    }
                }
            }
            assert!(out == far, "{bits}");
        }
        assert_eq!(sizes[0] < 30_000, bits == 15, "{bits}: {sizes:?}");
    }
    // What refers farther back than agreed is refused.
    let mut wide = deflater(true, 15);
    let mut narrow = inflater(true, 9);
    let [first, second] = [0, 1].map(|_| deflate(&mut wide, &[&data(3000, 0)]).unwrap().concat());
    assert!(inflate(&mut narrow, &[&first], 1).is_ok());
    assert_eq!(inflate(&mut narrow, &[&second], 1), Err(InflateError::Corrupt));
}

#[test]
fn a_message_may_inflate_to_the_limit_and_no_further() {
    let payload = |len: usize| {
        let mut payload = raw(&vec![b'x'; len], DeflateFlush::SyncFlush);
        payload.truncate(payload.len() - TAIL.len());
        payload
    };
    // Exactly so many times its size, and one byte more in as much.
    let exact = |len: &usize| len.is_multiple_of(payload(*len).len()) && payload(*len + 1).len() == payload(*len).len();
    let len = (300_000..).find(exact).unwrap();
    let ratio = (len / payload(len).len()) as u64;
    assert!(ratio > 500);
    for (len, outcome) in [(len, Ok(len)), (len + 1, Err(InflateError::Ratio(ratio)))] {
        for hold in [1, 262_000] {
            let mut inflater = Inflater::new(false, 15, Limits { ratio, floor: 0, message: u64::MAX });
            assert_eq!(inflate(&mut inflater, &[&payload(len)], hold).map(|message| message.len()), outcome);
        }
    }
    let (bytes, raw, len) = (vec![b'x'; len], payload(len), len as u64);
    let none = Limits { ratio: 0, floor: u64::MAX, message: u64::MAX };
    let bomb = Limits { ratio: 1000, floor: 64 << 20, message: u64::MAX };
    assert_eq!(Limits::default(), bomb);
    // As any zlib writes it: more than 1000 times, and nothing bad.
    let (hole, packed) = (2_000_000, payload(2_000_000));
    assert!(packed.len() * 1000 < hole);
    assert_eq!(inflate(&mut Inflater::new(false, 15, bomb), &[&packed], 262_000).map(|m| m.len()), Ok(hole));
    for (limits, outcome) in [
        (Limits { floor: len, ..none }, Ok(())),
        (Limits { floor: len - 1, ..none }, Err(InflateError::Ratio(0))),
        (Limits { message: len, ..none }, Ok(())),
        (Limits { message: len - 1, ..none }, Err(InflateError::TooLong(len - 1))),
    ] {
        for hold in [1, 262_000] {
            for frames in [vec![&raw[..]], raw.chunks(1).collect()] {
                let mut inflater = Inflater::new(false, 15, limits);
                let got = inflate(&mut inflater, &frames, hold).map(|message| assert!(message == bytes));
                assert_eq!(got, outcome, "{limits:?}");
            }
        }
    }
    assert_eq!([InflateError::Ratio(1), InflateError::TooLong(1)].map(InflateError::close_code), [1009, 1009]);
    // What we write we can read: nothing but zeros in a large message.
    let (mut deflater, mut inflater) = (deflater(false, 15), inflater(false, 15));
    let zeros = vec![0; crate::buffer::LARGEST];
    let chunks = vec![&zeros[..]; 40];
    let frames = deflate(&mut deflater, &chunks).unwrap();
    let frames: Vec<&[u8]> = frames.iter().map(Vec::as_slice).collect();
    assert_eq!(inflate(&mut inflater, &frames, 1).unwrap().len(), 40 * zeros.len());
}

#[test]
fn corrupt_messages_are_refused() {
    let text = data(2000, 0);
    let mut good = raw(&text, DeflateFlush::SyncFlush);
    good.truncate(good.len() - TAIL.len());
    assert_eq!(inflate(&mut inflater(false, 15), &[&good], 1).unwrap(), text);
    // Cut off anywhere: the end is missed.
    for len in 1..good.len() - 1 {
        assert_eq!(inflate(&mut inflater(true, 15), &[&good[..len]], 1), Err(InflateError::Corrupt), "{len}");
    }
    for bad in [&[0x06][..], &[0xff], &[0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00, 0x07], b"Hello, world"] {
        assert_eq!(inflate(&mut inflater(false, 15), &[bad], 1), Err(InflateError::Corrupt), "{bad:x?}");
    }
    assert_eq!(InflateError::Corrupt.close_code(), 1007);
}

#[test]
fn last_blocks_within_a_message_are_no_end() {
    // Messages made of streams that each call themselves the last, and one that refers back over such a border.
    let (one, two) = (data(40_000, 1), data(5000, 0));
    for takeover in [false, true] {
        let mut inflater = inflater(takeover, 15);
        for _ in 0..3 {
            let payload = [raw(&one, DeflateFlush::Finish), raw(&two, DeflateFlush::Finish), vec![0]].concat();
            let frames: Vec<_> = payload.chunks(777).collect();
            assert!(inflate(&mut inflater, &frames, 1).unwrap() == [&one[..], &two].concat());
        }
    }
    let mut state = zlib_rs::Deflate::new(6, false, 15);
    state.set_dictionary(&one[8000..]).unwrap();
    let mut back = vec![0; 10_000];
    state.compress(&one[20_000..25_000], &mut back, DeflateFlush::SyncFlush).unwrap();
    back.truncate(state.total_out() as usize - TAIL.len());
    assert!(back.len() < 200, "{}", back.len());
    for hold in [1, 100_000] {
        let payload = [raw(&one, DeflateFlush::Finish), back.clone()].concat();
        let message = inflate(&mut inflater(false, 15), &[&payload], hold).unwrap();
        assert!(message == [&one[..], &one[20_000..25_000]].concat());
    }
    // The last block may end before the last fragment, which has nothing left to say then.
    let last = raw(&two, DeflateFlush::Finish);
    for takeover in [false, true] {
        let mut inflater = inflater(takeover, 15);
        for frames in [&[&last[..], b""] as &[&[u8]], &[&last[..9], &last[9..], b"", b""], &[&last, b"\0"]] {
            assert!(inflate(&mut inflater, frames, 1).unwrap() == two, "{takeover} {}", frames.len());
        }
    }
    // Each costs time, so that not any number is taken: two bytes make an empty one.
    let empty = [3, 0];
    let many = |n: usize| [empty.repeat(n), vec![0]].concat();
    assert_eq!(inflate(&mut inflater(false, 15), &[&many(64)], 1).unwrap(), b"");
    assert_eq!(inflate(&mut inflater(false, 15), &[&many(65)], 1), Err(InflateError::Corrupt));
}

//= 7692-7.2.2-2 test
//= 7692-7.2.2-4 test
#[test]
fn between_messages_no_state_is_held() {
    let Pair { mut inflater, mut deflater } =
        pair(PLAIN, true, DeflateOptions { level: Some(6), threshold: Some(1) }, Limits::default());
    let text = data(100_000, 0);
    let frames = deflate(&mut deflater, &[&text]).unwrap();
    deflater.rest();
    let (kept_inflate, kept_deflate) = shelved();
    assert!(kept_inflate <= 8 && kept_deflate >= 1);
    // Two fragments of which one has come: one state is out.
    let whole = frames.concat();
    inflater.feed(&whole[..10], false, 1).unwrap();
    assert!(inflater.mid_message());
    let out = shelved().0;
    assert_eq!(inflate(&mut inflater, &[&whole[10..]], 1).unwrap(), text);
    assert_eq!(shelved().0, out + 1);
    assert_eq!(shelved().1, kept_deflate);
    // Contexts were agreed on: that, and nothing else, is kept.
    assert_eq!((inflater.kept(), deflater.kept()), (32_768, 32_768));
    inflater.end();
    assert_eq!(inflater.kept(), 0);
    let none = Agreed { server_no_context_takeover: true, client_no_context_takeover: true, ..PLAIN };
    let Pair { mut inflater, mut deflater } = pair(none, false, DeflateOptions::default(), Limits::default());
    let frames = deflate(&mut deflater, &[&text]).unwrap();
    assert_eq!(inflate(&mut inflater, &[&frames.concat()], 1).unwrap(), text);
    assert_eq!((inflater.kept(), deflater.kept()), (0, 0));
    // Neither while the last frame waits for the stream.
    let kept_deflate = shelved().1;
    assert!(deflater.begin(&text, true));
    while deflater.next_frame(&text, true).unwrap() == Some(false) {
        assert_eq!(shelved().1, kept_deflate - 1);
    }
    assert!(deflater.is_midway());
    assert_eq!(shelved().1, kept_deflate);
}

#[test]
fn roles_take_their_own_parameters() {
    let agreed = Agreed { server_no_context_takeover: true, client_max_window_bits: 9, ..PLAIN };
    let text = data(3000, 0);
    let sizes = |server| {
        let Pair { mut deflater, .. } = pair(agreed, server, DeflateOptions::default(), Limits::default());
        [0, 1].map(|_| deflate(&mut deflater, &[&text]).unwrap().concat().len())
    };
    let [[a, b], [c, d]] = [true, false].map(sizes);
    assert!(a == b && d < c && d > 300, "{a} {b} {c} {d}");
}

#[test]
fn history_keeps_the_last_window_and_no_more_memory() {
    let mut history = History::default();
    let mut all = Vec::new();
    for i in 0..200u32 {
        let bytes: Vec<u8> = (0..i * 7 % 600).map(|n| (n + i) as u8).collect();
        all.extend_from_slice(&bytes);
        history.push(&bytes, 512);
        assert_eq!(history.bytes(), &all[all.len().saturating_sub(512)..]);
        assert!(history.0.capacity() <= 512);
    }
}
