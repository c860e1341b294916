//! Filters as the control plane puts them in the way: halves swapped, a copier for each, one exchange. Whatever is cut and
//! held up on the way, what comes out is what went in.

use super::{CopyPackets, ExchangeOptions, ExchangePackets};
use crate::{
    datagram::Flags,
    endpoint::mirror_datagram::{MirrorDatagramOptions, mirror_datagram},
    socket::DatagramSocket,
    stop::Stop,
    testing::{Chunk, Dice, Recorder, Schedule, chunk_source, drive, messages, schedules},
};
use std::{future::Future, mem::swap, pin::Pin, task::Poll};

fn some_messages(dice: &mut Dice) -> Vec<Chunk> {
    let count = dice.below(40);
    let mut chunks = vec![];
    for n in 0..count {
        let kind = if n % 3 == 0 { Flags::TEXT } else { Flags::NONE };
        for _ in 0..dice.below(3) {
            chunks.push((vec![n as u8; dice.below(6)], kind | Flags::PARTIAL));
        }
        chunks.push((vec![n as u8; 1 + dice.below(3)], kind));
    }
    chunks.push((b"\x03\xe8bye".to_vec(), Flags::EOF));
    chunks
}

#[test]
fn what_passes_filters_stays_what_it_is() {
    for seed in 0..80 {
        let mut dice = Dice::new(seed);
        let mut cut = |socket| schedules().nth(dice.below(330)).unwrap_or(Schedule::WHOLE).datagram(socket);
        let mirrors = |_| mirror_datagram(MirrorDatagramOptions::default());
        let mut filters: Vec<_> = (0..seed as usize % 3).map(mirrors).map(&mut cut).collect();
        let mut reverse: Vec<_> = (0..seed as usize / 3 % 3).map(mirrors).map(&mut cut).collect();
        let mut dice = Dice::new(seed + 1000);
        let (sent, back) = (some_messages(&mut dice), some_messages(&mut dice));
        let recorders = [Recorder::new(), Recorder::new()];
        let end = |chunks: &[Chunk], recorder: &Recorder| DatagramSocket {
            read: Some(chunk_source(chunks.to_vec())),
            write: Some(recorder.datagrams()),
            ..DatagramSocket::default()
        };
        let (left, mut right) = (end(&sent, &recorders[0]), end(&back, &recorders[1]));
        for filter in filters.iter_mut().rev() {
            swap(&mut right.write, &mut filter.write);
        }
        for filter in &mut reverse {
            swap(&mut right.read, &mut filter.read);
        }
        let max = 1 + dice.below(9);
        let copiers = filters.into_iter().chain(reverse);
        let mut copiers: Vec<_> = copiers.map(|f| CopyPackets::new(f.read.unwrap(), f.write.unwrap(), max)).collect();
        let mut exchange = ExchangePackets::new(left, right, ExchangeOptions::default(), Stop::new());
        drive(std::future::poll_fn(|cx| {
            let mut pending = Pin::new(&mut exchange).poll(cx).map(Result::unwrap).is_pending();
            copiers.retain_mut(|copier| match Pin::new(copier).poll(cx) {
                Poll::Ready(outcome) => {
                    outcome.unwrap();
                    false
                }
                Poll::Pending => true,
            });
            pending |= !copiers.is_empty();
            if pending { Poll::Pending } else { Poll::Ready(()) }
        }));
        assert_eq!(recorders[1].messages(), messages(&sent), "seed {seed}");
        assert_eq!(recorders[0].messages(), messages(&back), "seed {seed}");
        assert!(recorders.iter().all(|recorder| recorder.is_flushed() && recorder.is_shut()), "seed {seed}");
    }
}
