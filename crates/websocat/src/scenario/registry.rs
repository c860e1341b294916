//! The registry: names under which parts of one scenario find each other.
//!
//! A rendezvous without a buffer: whoever sends waits until somebody takes. A name exists while somebody waits at it.
//! Several that take compete, in the order in which they came.

use rhai::Dynamic;
use sockets::socket::{DatagramSocket, StreamSocket};
use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};
use tokio::sync::oneshot;

use super::Handle;

/// What somebody takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted {
    Anything,
    Stream,
    Datagram,
}

impl Wanted {
    fn admits(self, item: &Dynamic) -> bool {
        match self {
            Self::Anything => true,
            Self::Stream => item.read_lock::<Handle<StreamSocket>>().is_some(),
            Self::Datagram => item.read_lock::<Handle<DatagramSocket>>().is_some(),
        }
    }
}

/// Whoever listens there takes something else.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", match .0 {
    Wanted::Stream => "who listens there takes byte streams, not messages (lines: and chunks: make messages of bytes; \
                       registry-datagram-listen: takes them)",
    Wanted::Datagram => "who listens there takes messages, not byte streams (put lines: or chunks: on the stream, or \
                         use registry-stream-listen:)",
    Wanted::Anything => "nobody takes this",
})]
pub struct WrongKind(pub Wanted);

/// Names and who waits at them; clones share them.
#[derive(Clone, Default)]
pub struct Registry(Arc<Mutex<Names>>);

#[derive(Default)]
struct Names {
    waiting: HashMap<Box<str>, Waiting>,
    ids: u64,
    /// Numbers of senders at a name that are worth a warning the next time; those below were told. Names are the script's.
    next_warning: HashMap<Box<str>, usize>,
}

/// So many that wait at one name are worth a warning, and then ten times as many each.
const MANY: usize = 100;

/// What somebody is told who has to wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Queue {
    /// How many wait there, himself included.
    pub len: usize,
    /// They have become so many that the user ought to know.
    pub is_long: bool,
}

/// Who waits at a name; usually all of them do the same.
#[derive(Default)]
struct Waiting {
    senders: VecDeque<Sender>,
    takers: VecDeque<Taker>,
}

struct Sender {
    id: u64,
    item: Dynamic,
    taken: oneshot::Sender<Result<(), WrongKind>>,
}

struct Taker {
    id: u64,
    wanted: Wanted,
    to: oneshot::Sender<Dynamic>,
}

/// Somebody who waits, while he does: dropped, he waits no more.
struct Place<'a> {
    registry: &'a Registry,
    name: &'a str,
    id: u64,
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let mut names = self.registry.names();
        if let Some(waiting) = names.waiting.get_mut(self.name) {
            waiting.senders.retain(|sender| sender.id != self.id);
            waiting.takers.retain(|taker| taker.id != self.id);
            names.forget_if_unused(self.name);
        }
    }
}

impl Names {
    fn forget_if_unused(&mut self, name: &str) {
        if self.waiting.get(name).is_some_and(|w| w.senders.is_empty() && w.takers.is_empty()) {
            self.waiting.remove(name);
        }
    }

    /// Looks at how many send to this name.
    fn queue(&mut self, name: &str) -> Queue {
        let len = self.waiting.get(name).map_or(0, |waiting| waiting.senders.len());
        let mut is_long = false;
        if len >= MANY {
            let next = self.next_warning.entry(name.into()).or_insert(MANY);
            is_long = len >= *next;
            if is_long {
                *next = next.saturating_mul(10);
            }
        }
        Queue { len, is_long }
    }

    fn next_id(&mut self) -> u64 {
        self.ids += 1;
        self.ids
    }
}

impl Registry {
    fn names(&self) -> MutexGuard<'_, Names> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Gives something to whoever takes at this name, and waits until somebody does; `waits` is called if nobody is there.
    pub async fn send(&self, name: &str, item: Dynamic, waits: impl FnOnce(Queue)) -> Result<(), WrongKind> {
        let (place, taken, queue) = {
            let mut names = self.names();
            let mut item = item;
            let waiting = names.waiting.entry(name.into()).or_default();
            while let Some(taker) = waiting.takers.front() {
                if !taker.wanted.admits(&item) {
                    return Err(WrongKind(taker.wanted));
                }
                // He may be gone in this very moment: then it is for the next one.
                let Some(taker) = waiting.takers.pop_front() else { break };
                match taker.to.send(item) {
                    Ok(()) => {
                        names.forget_if_unused(name);
                        return Ok(());
                    }
                    Err(back) => item = back,
                }
            }
            let id = names.next_id();
            let (taken, receiver) = oneshot::channel();
            names.waiting.entry(name.into()).or_default().senders.push_back(Sender { id, item, taken });
            (Place { registry: self, name, id }, receiver, names.queue(name))
        };
        waits(queue);
        let result = taken.await;
        drop(place);
        // The other end is dropped only by `place`.
        result.unwrap_or(Ok(()))
    }

    /// Takes the next thing that is sent to this name; what is not wanted is refused.
    pub async fn take(&self, name: &str, wanted: Wanted) -> Dynamic {
        loop {
            let (place, item) = {
                let mut names = self.names();
                let waiting = names.waiting.entry(name.into()).or_default();
                while let Some(sender) = waiting.senders.pop_front() {
                    let admitted = wanted.admits(&sender.item);
                    let told = sender.taken.send(if admitted { Ok(()) } else { Err(WrongKind(wanted)) });
                    // Who is gone has taken what he had with him.
                    if admitted && told.is_ok() {
                        names.forget_if_unused(name);
                        return sender.item;
                    }
                }
                let id = names.next_id();
                let (to, receiver) = oneshot::channel();
                names.waiting.entry(name.into()).or_default().takers.push_back(Taker { id, wanted, to });
                (Place { registry: self, name, id }, receiver)
            };
            let item = item.await;
            drop(place);
            if let Ok(item) = item {
                return item;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::handle;
    use std::{
        collections::BTreeMap,
        future::{Future, poll_fn},
        pin::{Pin, pin},
        task::Poll,
    };

    async fn is_pending(future: &mut Pin<&mut impl Future>) -> bool {
        poll_fn(|cx| Poll::Ready(future.as_mut().poll(cx).is_pending())).await
    }

    #[tokio::test]
    async fn who_comes_first_waits() {
        let registry = Registry::default();
        let mut told = false;
        {
            let mut send = pin!(registry.send("x", 1.into(), |_| told = true));
            assert!(is_pending(&mut send).await);
            assert_eq!(registry.take("x", Wanted::Anything).await.as_int(), Ok(1));
            send.await.unwrap();
        }
        assert!(told);
        let mut take = pin!(registry.take("x", Wanted::Anything));
        assert!(is_pending(&mut take).await);
        registry.send("x", 2.into(), |_| panic!("somebody takes")).await.unwrap();
        assert_eq!(take.await.as_int(), Ok(2));
        assert!(registry.names().waiting.is_empty());
    }

    #[tokio::test]
    async fn who_leaves_is_forgotten() {
        let registry = Registry::default();
        {
            let mut send = pin!(registry.send("", 1.into(), |_| {}));
            let mut take = pin!(registry.take("other", Wanted::Stream));
            assert!(is_pending(&mut send).await && is_pending(&mut take).await);
            assert_eq!(registry.names().waiting.len(), 2);
        }
        assert!(registry.names().waiting.is_empty());
        let mut take = pin!(registry.take("", Wanted::Anything));
        assert!(is_pending(&mut take).await);
        registry.send("", 2.into(), |_| {}).await.unwrap();
        assert_eq!(take.await.as_int(), Ok(2));
    }

    #[tokio::test]
    async fn a_long_queue_is_told_of_once() {
        let registry = Registry::default();
        let told = std::cell::RefCell::new(vec![]);
        for _ in 0..3 {
            let mut senders: Vec<_> =
                (0..250).map(|n| Box::pin(registry.send("x", n.into(), |q| told.borrow_mut().push(q)))).collect();
            for sender in &mut senders {
                assert!(poll_fn(|cx| Poll::Ready(sender.as_mut().poll(cx).is_pending())).await);
            }
        }
        let told = told.into_inner();
        assert_eq!((told[0], told.len()), (Queue { len: 1, is_long: false }, 750));
        let long: Vec<_> = told.iter().filter(|queue| queue.is_long).map(|queue| queue.len).collect();
        assert_eq!(long, [100]);
        // Ten times as many are worth another warning.
        let mut names = registry.names();
        names.waiting.entry("x".into()).or_default().senders.extend((0..1000).map(|id| Sender {
            id,
            item: ().into(),
            taken: oneshot::channel().0,
        }));
        assert_eq!(names.queue("x"), Queue { len: 1000, is_long: true });
        assert!(!names.queue("x").is_long);
    }

    #[tokio::test]
    async fn wrong_kinds_are_refused_and_waited_on() {
        let registry = Registry::default();
        let stream = || Dynamic::from(handle(StreamSocket::default()));
        let messages = || Dynamic::from(handle(DatagramSocket::default()));
        let mut take = pin!(registry.take("x", Wanted::Stream));
        assert!(is_pending(&mut take).await);
        assert_eq!(registry.send("x", messages(), |_| {}).await, Err(WrongKind(Wanted::Stream)));
        registry.send("x", stream(), |_| {}).await.unwrap();
        assert!(!take.await.is_unit());
        let mut send = pin!(registry.send("x", stream(), |_| {}));
        assert!(is_pending(&mut send).await);
        let mut take = pin!(registry.take("x", Wanted::Datagram));
        assert!(is_pending(&mut take).await);
        assert_eq!(send.await, Err(WrongKind(Wanted::Datagram)));
        registry.send("x", messages(), |_| {}).await.unwrap();
        assert!(!take.await.is_unit());
    }

    /// Senders and takers come and go at random: each number that was sent arrives once, those of one sender in order.
    #[tokio::test]
    async fn everything_arrives_once_and_in_order() {
        for seed in 0..50 {
            let mut dice = sockets::testing::Dice::new(seed);
            let registry = Registry::default();
            let mut tasks = tokio::task::JoinSet::new();
            let (senders, each) = (1 + dice.below(4) as i64, 20);
            for sender in 0..senders {
                let (registry, rests) = (registry.clone(), dice.below(3));
                tasks.spawn(async move {
                    for n in 0..each {
                        registry.send("x", (sender * 1000 + n).into(), |_| {}).await.unwrap();
                        for _ in 0..rests {
                            tokio::task::yield_now().await;
                        }
                    }
                    vec![]
                });
            }
            let mut left = senders * each;
            while left > 0 {
                let share = (1 + dice.below(30) as i64).min(left);
                left -= share;
                let registry = registry.clone();
                tasks.spawn(async move {
                    let mut got = vec![];
                    for _ in 0..share {
                        got.push(registry.take("x", Wanted::Anything).await.as_int().unwrap());
                    }
                    got
                });
            }
            let mut count = BTreeMap::new();
            while let Some(got) = tasks.join_next().await {
                let got = got.unwrap();
                for sender in 0..senders {
                    let of_sender: Vec<_> = got.iter().filter(|n| **n / 1000 == sender).collect();
                    assert!(of_sender.is_sorted(), "seed {seed}: {got:?}");
                }
                got.into_iter().for_each(|n| *count.entry(n).or_insert(0) += 1);
            }
            assert_eq!(count.len() as i64, senders * each, "seed {seed}");
            assert!(count.values().all(|n| *n == 1) && registry.names().waiting.is_empty());
        }
    }
}
