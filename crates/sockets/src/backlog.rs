//! What waits for a consumer that is slower than its producer, and what happens when too much of it waits.
//!
//! For whoever gives the same messages to several (tee) or one of several their own (broadcast, packets per client). Pure: no
//! sockets, no clock. A message that the consumer has begun to take is never torn, whatever the policy says.

use std::collections::VecDeque;

/// What happens to a consumer that does not keep up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SlowConsumer {
    /// The producer waits: nothing is lost, and the slowest consumer sets the pace for all.
    #[default]
    Block,
    /// The oldest messages that wait for it are dropped.
    DropOldest,
    /// It is let go.
    Disconnect,
}

/// A consumer was let go because it did not keep up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("it does not keep up: more than {limit} bytes waited for it")]
pub struct TooSlow {
    pub limit: usize,
}

impl From<TooSlow> for std::io::Error {
    fn from(error: TooSlow) -> Self {
        Self::new(std::io::ErrorKind::TimedOut, error)
    }
}

/// What became of a chunk that was offered.
#[derive(Debug, PartialEq, Eq)]
pub enum Offer<T> {
    /// It waits for its turn.
    Kept,
    /// The consumer does not get the message that it belongs to.
    Dropped(T),
    /// There is no room: to be offered again when the consumer has taken something.
    Full(T),
    /// The consumer is to be let go.
    Disconnect(TooSlow),
}

/// Chunks that wait for one consumer: up to `limit` bytes, and one chunk whatever its length.
#[derive(Debug)]
pub struct Backlog<T> {
    policy: SlowConsumer,
    limit: usize,
    /// Most chunks that wait, whatever their length.
    most: usize,
    queue: VecDeque<Waiting<T>>,
    /// Bytes in the queue.
    bytes: usize,
    /// The consumer is inside a message, whose rest is at the front of the queue, if it has come.
    begun: bool,
    /// The rest of the message that is coming in is not wanted.
    skips: bool,
    dropped: u64,
}

#[derive(Debug)]
struct Waiting<T> {
    chunk: T,
    len: usize,
    /// The last one of its message.
    ends: bool,
}

impl<T> Backlog<T> {
    /// `limit` in bytes.
    pub fn new(policy: SlowConsumer, limit: usize) -> Self {
        let (most, queue) = (usize::MAX, VecDeque::new());
        Self { policy, limit, most, queue, bytes: 0, begun: false, skips: false, dropped: 0 }
    }

    /// The same, where no more than so many chunks wait either: each costs some memory beside its bytes. 0 counts as 1.
    pub fn with_most(mut self, chunks: usize) -> Self {
        self.most = chunks.max(1);
        self
    }

    pub fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// What waits, from the oldest on.
    pub fn iter(&self) -> impl Iterator<Item = &T> {
        self.queue.iter().map(|waiting| &waiting.chunk)
    }

    /// Bytes that wait.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// There are some that [`Backlog::take_dropped`] would tell.
    pub fn has_dropped(&self) -> bool {
        self.dropped > 0
    }

    /// Messages that the consumer did not get, since the last call.
    pub fn take_dropped(&mut self) -> u64 {
        std::mem::take(&mut self.dropped)
    }

    /// The chunk that is coming in is not wanted: it belongs to a message of which an earlier chunk was dropped. Whoever
    /// passes chunks by the backlog while it is empty asks for each.
    pub fn skips(&mut self, ends: bool) -> bool {
        let skips = self.skips;
        self.skips &= !ends;
        skips
    }

    /// A chunk went to the consumer directly, while nothing waited.
    pub fn passed(&mut self, ends: bool) {
        debug_assert!(self.queue.is_empty());
        self.begun = !ends;
    }

    /// Puts a chunk of `len` bytes behind the others; `ends`: it is the last one of its message. Chunks that were dropped to
    /// make room go to `spare`.
    pub fn offer(&mut self, chunk: T, len: usize, ends: bool, spare: &mut dyn FnMut(T)) -> Offer<T> {
        if self.skips(ends) {
            return Offer::Dropped(chunk);
        }
        while !self.has_room(len) {
            match self.policy {
                SlowConsumer::Block => return Offer::Full(chunk),
                SlowConsumer::Disconnect => return Offer::Disconnect(TooSlow { limit: self.limit }),
                SlowConsumer::DropOldest => {}
            }
            if self.drop_oldest(spare) {
                continue;
            }
            let of_this_message = self.queue.iter().rposition(|waiting| waiting.ends).map_or(0, |i| i + 1);
            if self.begun && of_this_message == 0 {
                // The very message that is being taken: it cannot be torn.
                return Offer::Full(chunk);
            }
            self.cut(of_this_message, self.queue.len(), spare);
            self.dropped += 1;
            self.skips = !ends;
            return Offer::Dropped(chunk);
        }
        self.bytes += len;
        self.queue.push_back(Waiting { chunk, len, ends });
        Offer::Kept
    }

    /// The next chunk for the consumer.
    pub fn take(&mut self) -> Option<T> {
        let Waiting { chunk, len, ends } = self.queue.pop_front()?;
        self.bytes -= len;
        self.begun = !ends;
        Some(chunk)
    }

    /// Nothing is going on: an empty backlog gives its memory back.
    pub fn release(&mut self) {
        self.release_beyond(0);
    }

    /// The same, but room for so many chunks may stay, for those who get them one by one.
    pub fn release_beyond(&mut self, chunks: usize) {
        if self.queue.is_empty() && self.queue.capacity() > chunks {
            self.queue = VecDeque::new();
        }
    }

    /// A chunk of `len` bytes would be kept, at no cost for those that wait.
    pub fn has_room(&self, len: usize) -> bool {
        self.queue.is_empty() || self.queue.len() < self.most && self.bytes.saturating_add(len) <= self.limit
    }

    /// Drops the oldest whole message that the consumer has not begun.
    fn drop_oldest(&mut self, spare: &mut dyn FnMut(T)) -> bool {
        let mut ends = self.queue.iter().enumerate().filter(|(_, waiting)| waiting.ends).map(|(i, _)| i + 1);
        let from = if self.begun { ends.next() } else { Some(0) };
        let (Some(from), Some(to)) = (from, ends.next()) else { return false };
        self.cut(from, to, spare);
        self.dropped += 1;
        true
    }

    fn cut(&mut self, from: usize, to: usize, spare: &mut dyn FnMut(T)) {
        for waiting in self.queue.drain(from..to) {
            self.bytes -= waiting.len;
            spare(waiting.chunk);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Dice;

    /// Number of the message, of the chunk in it, whether it is the last one.
    type Chunk = (u32, u32, bool);

    /// The plainest thing that keeps the promises: whole messages in a list, chunk by chunk.
    #[derive(Default)]
    struct Model {
        waiting: Vec<(Chunk, usize)>,
        /// Message that the consumer has begun.
        begun: Option<u32>,
        unwanted: Option<u32>,
    }

    impl Model {
        fn bytes(&self) -> usize {
            self.waiting.iter().map(|(_, len)| len).sum()
        }

        fn offer(&mut self, chunk: Chunk, len: usize, limits: [usize; 2], policy: SlowConsumer) -> &'static str {
            let [limit, most] = limits;
            if self.unwanted == Some(chunk.0) {
                return "dropped";
            }
            while !self.waiting.is_empty() && (self.waiting.len() >= most || self.bytes() + len > limit) {
                match policy {
                    SlowConsumer::Block => return "full",
                    SlowConsumer::Disconnect => return "disconnect",
                    SlowConsumer::DropOldest => {}
                }
                let oldest = self.waiting.iter().map(|(c, _)| c.0).find(|m| self.begun != Some(*m) && *m != chunk.0);
                match oldest {
                    Some(oldest) => self.waiting.retain(|(c, _)| c.0 != oldest),
                    None if self.begun == Some(chunk.0) => return "full",
                    None => {
                        self.waiting.retain(|(c, _)| c.0 != chunk.0);
                        self.unwanted = Some(chunk.0);
                        return "dropped";
                    }
                }
            }
            self.waiting.push((chunk, len));
            "kept"
        }

        fn take(&mut self) -> Option<Chunk> {
            if self.waiting.is_empty() {
                return None;
            }
            let chunk = self.waiting.remove(0).0;
            self.begun = (!chunk.2).then_some(chunk.0);
            Some(chunk)
        }
    }

    #[test]
    fn does_what_the_model_does() {
        for seed in 0..300 {
            let mut dice = Dice::new(seed);
            let policy = [SlowConsumer::Block, SlowConsumer::DropOldest, SlowConsumer::Disconnect][seed as usize % 3];
            let limit = [0, 1, 10, 50][dice.below(4)];
            let most = [1, 3, usize::MAX][dice.below(3)];
            let (mut backlog, mut model) = (Backlog::new(policy, limit).with_most(most), Model::default());
            let (mut next, mut taken): (Chunk, Vec<Chunk>) = ((0, 0, false), Vec::new());
            for step in 0..400 {
                if dice.below(3) == 0 {
                    let chunk = backlog.take();
                    assert_eq!(chunk, model.take(), "seed {seed} step {step}");
                    taken.extend(chunk);
                    continue;
                }
                next.2 = dice.below(3) > 0;
                let len = dice.below(20);
                let wanted = model.offer(next, len, [limit, most], policy);
                let got = match backlog.offer(next, len, next.2, &mut |_| {}) {
                    Offer::Kept => "kept",
                    Offer::Dropped(_) => "dropped",
                    Offer::Full(_) => "full",
                    Offer::Disconnect(TooSlow { limit: said }) => {
                        assert_eq!(said, limit);
                        "disconnect"
                    }
                };
                assert_eq!((got, backlog.bytes()), (wanted, model.bytes()), "seed {seed} step {step}");
                match got {
                    "disconnect" => break,
                    "full" => continue,
                    _ => next = if next.2 { (next.0 + 1, 0, false) } else { (next.0, next.1 + 1, false) },
                }
            }
            taken.extend(std::iter::from_fn(|| backlog.take()));
            // What comes out is in order, whole but for the last message, and with Block complete.
            for pair in taken.windows(2) {
                let (a, b) = (pair[0], pair[1]);
                assert!(if a.2 { b.0 > a.0 && b.1 == 0 } else { (b.0, b.1) == (a.0, a.1 + 1) }, "{a:?} {b:?}");
                assert!(policy == SlowConsumer::DropOldest || b.0 - a.0 <= 1, "{a:?} {b:?}");
            }
        }
    }

    #[test]
    fn a_message_that_went_by_in_part_is_not_torn() {
        let mut backlog = Backlog::new(SlowConsumer::DropOldest, 4);
        backlog.passed(false);
        let mut spare = Vec::new();
        assert_eq!(backlog.offer("rest", 4, true, &mut |_| {}), Offer::Kept);
        assert_eq!(backlog.offer("next", 4, true, &mut |c| spare.push(c)), Offer::Dropped("next"));
        assert_eq!((backlog.take(), backlog.take_dropped(), backlog.take_dropped()), (Some("rest"), 1, 0));
        assert_eq!(backlog.offer("a", 3, true, &mut |_| {}), Offer::Kept);
        assert_eq!(backlog.offer("b", 3, true, &mut |c| spare.push(c)), Offer::Kept);
        assert_eq!((spare, backlog.take(), backlog.take()), (vec!["a"], Some("b"), None));
    }
}
