//! Clients that come, read, write and leave at random, against the plainest model: each message is one client's, whole and in
//! order, unless that client left in the middle of it.

use super::*;
use crate::{
    datagram::{BoxDatagramRead, BoxDatagramWrite},
    testing::{Chunk, Dice, Recorder, Schedule, chunk_source, drive, schedules, write_chunks},
};

const PART: Flags = Flags::PARTIAL;

/// Polls once and drops what would be woken: whoever is polled at random needs no wake-ups.
fn cx() -> Context<'static> {
    Context::from_waker(Waker::noop())
}

fn some_schedule(dice: &mut Dice) -> Schedule {
    schedules().nth(dice.below(330)).unwrap_or(Schedule::WHOLE)
}

/// A client that writes: `at` is the message it is at and the chunk of it that comes next.
struct Writer {
    half: BoxDatagramWrite,
    id: u8,
    at: (u8, u8),
    /// Chunks of that message.
    chunks: u8,
    /// The last write was Pending.
    waits: bool,
}

impl Writer {
    fn chunk(&self) -> Chunk {
        let part = if self.at.1 + 1 < self.chunks { PART } else { Flags::NONE };
        (vec![self.id, self.at.0, self.at.1], Flags::TEXT | part)
    }
}

/// What a client said: whole messages, and how many chunks of one more, of which the last may not have been taken.
#[derive(Default)]
struct Said {
    whole: Vec<Vec<u8>>,
    torn: Option<(Vec<u8>, Vec<u8>)>,
}

fn bytes_of(id: u8, message: u8, chunks: u8) -> Vec<u8> {
    (0..chunks).flat_map(|chunk| [id, message, chunk]).collect()
}

#[test]
fn whatever_writers_do_messages_arrive_whole() {
    for seed in 0..150 {
        let mut dice = Dice::new(seed);
        let recorder = Recorder::new();
        let write = Some(some_schedule(&mut dice).datagram_write_half(recorder.datagrams()));
        let reuser = Reuser::with(DatagramSocket { write, ..DatagramSocket::default() }, TornMessage::Finish);
        let (mut clients, mut said): (Vec<Writer>, Vec<Said>) = (vec![], vec![]);
        for _ in 0..400 {
            if said.len() < 12 && (clients.is_empty() || dice.below(20) == 0) {
                let half = reuser.client().write.unwrap();
                let chunks = 1 + dice.below(4) as u8;
                clients.push(Writer { half, id: said.len() as u8, at: (0, 0), chunks, waits: false });
                said.push(Said::default());
            }
            if clients.is_empty() {
                break;
            }
            let i = dice.below(clients.len());
            let client = &mut clients[i];
            match dice.below(12) {
                0 => {
                    let Writer { id, at: (message, chunk), waits, .. } = *client;
                    if chunk > 0 || waits {
                        let least = bytes_of(id, message, chunk);
                        said[usize::from(id)].torn = Some((least, bytes_of(id, message, chunk + u8::from(waits))));
                    }
                    clients.remove(i);
                }
                1 if !client.waits => {
                    if let Poll::Ready(outcome) = client.half.poll_flush(&mut cx()) {
                        outcome.unwrap();
                    }
                }
                _ => {
                    let (mut bytes, flags) = client.chunk();
                    let taken = client.half.poll_write(&mut cx(), &mut bytes, flags);
                    client.waits = taken.is_pending();
                    if client.waits {
                        continue;
                    }
                    if flags.any(PART) {
                        client.at.1 += 1;
                        continue;
                    }
                    let whole = bytes_of(client.id, client.at.0, client.chunks);
                    said[usize::from(client.id)].whole.push(whole);
                    client.at = (client.at.0 + 1, 0);
                    client.chunks = 1 + dice.below(4) as u8;
                }
            }
        }
        for client in clients {
            let Writer { id, at: (message, chunk), waits, .. } = client;
            if chunk > 0 || waits {
                let least = bytes_of(id, message, chunk);
                said[usize::from(id)].torn = Some((least, bytes_of(id, message, chunk + u8::from(waits))));
            }
        }
        // The last one finds everything in order.
        let end = (b"end".to_vec(), Flags::TEXT);
        drive(write_chunks(&mut *reuser.client().write.unwrap(), std::slice::from_ref(&end))).unwrap();
        let got = recorder.messages();
        assert_eq!(got.last(), Some(&end), "seed {seed}");
        assert!(recorder.is_flushed() && !recorder.is_shut());
        for (id, said) in said.into_iter().enumerate() {
            let of_client: Vec<_> = got[..got.len() - 1].iter().filter(|(bytes, _)| bytes[0] == id as u8).collect();
            let whole: Vec<_> = of_client.iter().take(said.whole.len()).map(|(bytes, _)| bytes.clone()).collect();
            assert_eq!(whole, said.whole, "seed {seed} client {id}");
            let rest: Vec<_> = of_client.iter().skip(said.whole.len()).map(|(bytes, _)| bytes).collect();
            match (&rest[..], &said.torn) {
                ([], None) => {}
                ([], Some((least, _))) => assert!(least.is_empty(), "seed {seed} client {id}: a part got lost"),
                ([rest], Some((least, most))) => assert!([least, most].contains(rest), "seed {seed} client {id}"),
                (rest, torn) => panic!("seed {seed} client {id}: {rest:?} where {torn:?} was said"),
            }
        }
    }
}

#[test]
fn a_torn_message_ends_all_writing_unless_allowed() {
    for seed in 0..60 {
        let mut dice = Dice::new(seed);
        let recorder = Recorder::new();
        let write = Some(some_schedule(&mut dice).datagram_write_half(recorder.datagrams()));
        let reuser = Reuser::new(DatagramSocket { write, ..DatagramSocket::default() });
        let whole = dice.below(4);
        drive(async {
            for n in 0..whole {
                // Each client leaves after a whole message: that is no harm.
                let mut client = reuser.client().write.unwrap();
                for part in [PART, Flags::NONE] {
                    let mut bytes = [n as u8];
                    poll_fn(|cx| client.poll_write(cx, &mut bytes, part)).await.unwrap();
                }
            }
            let mut leaves = reuser.client().write.unwrap();
            poll_fn(|cx| leaves.poll_write(cx, &mut b"half".to_owned(), PART)).await.unwrap();
        });
        for _ in 0..3 {
            let mut client = reuser.client().write.unwrap();
            assert!(drive(poll_fn(|cx| client.poll_write(cx, &mut b"late".to_owned(), Flags::NONE))).is_err());
        }
        let chunks = recorder.chunks();
        let end = chunks.iter().position(|(_, flags)| flags.any(Flags::EOF)).unwrap();
        assert_eq!((end, chunks.len()), (2 * whole + 1, 2 * whole + 2), "seed {seed}: nothing after the end");
        assert!(recorder.is_shut());
    }
}

#[test]
fn whatever_readers_do_each_message_is_one_clients() {
    for seed in 0..150 {
        let mut dice = Dice::new(seed);
        let sent: Vec<(u8, u8)> = (0..40).map(|n| (n, 1 + dice.below(4) as u8)).collect();
        let chunks = sent.iter().flat_map(|&(n, parts)| {
            (0..parts).map(move |part| (vec![n, part], if part + 1 < parts { PART } else { Flags::NONE }))
        });
        let read = Some(some_schedule(&mut dice).datagram_read_half(chunk_source(chunks.collect())));
        let reuser = Reuser::new(DatagramSocket { read, ..DatagramSocket::default() });
        let mut clients: Vec<(u32, BoxDatagramRead)> = vec![];
        // Bytes in the order of their arrival, with who got them; who left inside a message.
        let (mut got, mut left, mut next): (Vec<(u32, u8)>, Vec<u32>, u32) = (vec![], vec![], 0);
        let mut midway = std::collections::BTreeSet::new();
        let mut over = false;
        while !over {
            if clients.is_empty() || dice.below(30) == 0 {
                clients.push((next, reuser.client().read.unwrap()));
                next += 1;
            }
            let i = dice.below(clients.len());
            let (id, reader) = &mut clients[i];
            match dice.below(25) {
                0 => {
                    if midway.remove(id) {
                        left.push(*id);
                    }
                    clients.remove(i);
                }
                // Looks, and does not take.
                1 => drop(reader.poll_chunk(&mut cx(), 9)),
                _ => {
                    let Poll::Ready(flags) = reader.poll_chunk(&mut cx(), 9) else { continue };
                    let flags = flags.unwrap();
                    over = flags.any(Flags::EOF);
                    got.extend(reader.chunk_mut().iter().map(|byte| (*id, *byte)));
                    reader.consume();
                    if flags.any(PART) {
                        midway.insert(*id)
                    } else {
                        midway.remove(id)
                    };
                }
            }
        }
        // Message by message: whole, or the beginning of it if its client left.
        let mut rest = &got[..];
        for &(n, parts) in &sent {
            let whole: Vec<u8> = (0..parts).flat_map(|part| [n, part]).collect();
            let Some(&(id, _)) = rest.first() else { panic!("seed {seed}: message {n} is missing") };
            let len = whole.iter().zip(rest).take_while(|(byte, got)| got.1 == **byte && got.0 == id).count();
            assert!(len > 0, "seed {seed}: message {n} is missing");
            assert!(len == whole.len() || left.contains(&id), "seed {seed}: message {n} is torn");
            rest = &rest[len..];
        }
        assert!(rest.is_empty(), "seed {seed}");
    }
}
