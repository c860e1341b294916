//! Closed loop of compressed echoes: text of 1 KiB that looks like JSON, each message compressed for itself.
//!
//! As in `echo.rs`, each connection keeps a fixed number of messages in flight. What a server sends back is inflated and
//! compared the first time; since it compresses each message for itself, the next echo of the same message has to be the
//! same bytes or is inflated again, so that checking costs next to nothing.

use crate::{
    Result,
    arguments::Arguments,
    echo::{self, Traffic},
    ring::Random,
};
use std::rc::Rc;
use wsframe::{Decoder, Header, MaskRule, Next, Opcode, mask};
use zlib_rs::{Deflate, DeflateFlush, Inflate, InflateFlush};

/// What is asked for: no side may refer to earlier messages.
const OFFER: &str = "permessage-deflate; server_no_context_takeover; client_no_context_takeover";
/// What every compressed message ends with and nobody sends (RFC 7692 7.2.1).
const TAIL: [u8; 4] = [0, 0, 0xff, 0xff];
const MESSAGES: usize = 512;

/// Messages made in advance.
struct Messages {
    plain: Vec<Vec<u8>>,
    /// Masked frames, one after the other, and where each begins; one more place is their end.
    wire: Vec<u8>,
    places: Vec<usize>,
}

impl Messages {
    fn new(size: usize) -> Result<Self> {
        let mut random = Random::new();
        let (mut plain, mut wire, mut places) = (Vec::new(), Vec::new(), vec![0]);
        for _ in 0..MESSAGES {
            let text = json(&mut random, size);
            let mut payload = vec![0; size + 100];
            let mut state = Deflate::new(6, false, 15);
            state.compress(&text, &mut payload, DeflateFlush::SyncFlush).map_err(|e| format!("{e:?}"))?;
            payload.truncate(state.total_out() as usize - TAIL.len());
            let key = (random.next() as u32).to_le_bytes();
            wire.extend_from_slice(
                Header::new(Opcode::Text, true, payload.len(), Some(key)).with_rsv1(true).as_bytes(),
            );
            mask(&mut payload, key, 0);
            wire.extend_from_slice(&payload);
            places.push(wire.len());
            plain.push(text);
        }
        Ok(Self { plain, wire, places })
    }
}

/// So many bytes of records with names that repeat and values that do not.
fn json(random: &mut Random, size: usize) -> Vec<u8> {
    const WORDS: [&str; 8] = ["alpha", "bravo", "charlie", "delta", "echo", "foxtrot", "golf", "hotel"];
    let mut text = Vec::new();
    while text.len() < size {
        let (number, word) = (random.next(), WORDS[random.next() as usize % WORDS.len()]);
        let record = format!(
            "{{\"id\":{},\"user\":\"{word}{}\",\"price\":{}.{},\"active\":{},\"tags\":[\"{word}\",\"x{}\"]}},",
            number >> 40,
            number % 1000,
            number % 997,
            number % 89,
            number % 2 == 0,
            number >> 50
        );
        text.extend_from_slice(record.as_bytes());
    }
    text.truncate(size);
    text
}

/// One connection: sends from the shared messages, checks what comes back.
struct Compressed {
    messages: Rc<Messages>,
    decoder: Decoder,
    /// Bytes of a frame that is not whole yet.
    rest: Vec<u8>,
    /// Payloads as they came back last time, and were right.
    right: Vec<Vec<u8>>,
    /// Message whose echo comes next.
    next: usize,
    /// Message that the next echo releases.
    release: usize,
}

impl Compressed {
    fn check(&mut self, payload: &[u8], rsv1: bool) -> Result<()> {
        let (Some(plain), Some(right)) = (self.messages.plain.get(self.next), self.right.get_mut(self.next)) else {
            return Err("no such message".into());
        };
        if !rsv1 {
            return Err("the server does not compress".into());
        }
        if right != payload {
            let mut text = vec![0; plain.len() + 1];
            let mut state = Inflate::new(false, 15);
            let whole = [payload, &TAIL].concat();
            state.decompress(&whole, &mut text, InflateFlush::NoFlush).map_err(|e| format!("{e:?}"))?;
            text.truncate(state.total_out() as usize);
            if text != *plain {
                return Err("wrong payload".into());
            }
            *right = payload.to_vec();
        }
        self.next = (self.next + 1) % MESSAGES;
        Ok(())
    }
}

impl Traffic for Compressed {
    fn wire(&self) -> &[u8] {
        &self.messages.wire
    }

    fn feed(&mut self, bytes: &mut [u8]) -> Result<usize> {
        let mut whole = std::mem::take(&mut self.rest);
        whole.extend_from_slice(bytes);
        let (mut at, mut ended) = (0, 0);
        loop {
            match self.decoder.next(&mut whole[at..], usize::MAX)? {
                Next::Need(_) => break,
                Next::Chunk { header, len, opcode: Opcode::Text, fin: true, rsv1 } => {
                    let payload = whole[at + header..at + header + len].to_vec();
                    self.check(&payload, rsv1)?;
                    at += header + len;
                    ended += 1;
                }
                Next::Chunk { opcode, .. } => return Err(format!("{opcode:?}, or a part of it, came back").into()),
            }
        }
        self.rest.extend_from_slice(&whole[at..]);
        Ok(ended)
    }

    fn release(&mut self, messages: usize) -> usize {
        let places = &self.messages.places;
        let mut bytes = 0;
        for _ in 0..messages {
            bytes += places[self.release + 1] - places[self.release];
            self.release = (self.release + 1) % MESSAGES;
        }
        bytes
    }
}

pub fn run(arguments: &Arguments) -> Result<()> {
    let size = arguments.required("size")?;
    let messages = Rc::new(Messages::new(size)?);
    echo::drive(arguments, size, Some(OFFER), |number| {
        // Connections start at different messages.
        let first = number * 37 % MESSAGES;
        let traffic = Compressed {
            messages: messages.clone(),
            decoder: Decoder::new(MaskRule::Forbidden).allow_rsv1(true),
            rest: Vec::new(),
            right: vec![Vec::new(); MESSAGES],
            next: first,
            release: first,
        };
        (traffic, messages.places[first])
    })
}
