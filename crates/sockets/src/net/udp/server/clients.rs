//! The table of a UDP server's clients, without I/O or clock: who is known, who is stalest, whose time is over.
//!
//! Times are those that the caller gives. A datagram of a known client costs one look-up and moves it to the end of the
//! list of the stale; timers are looked at only when the earliest one fires, and wound up again for whoever was active.

use std::{
    cmp::Reverse,
    collections::{BinaryHeap, HashMap},
    net::SocketAddr,
    time::Duration,
};

/// Where a client is: which of the server's sockets heard it, and its address.
pub(super) type Key = (usize, SocketAddr);

/// Name of a client for as long as it is in the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Id {
    slot: u32,
    /// Which client of this slot: no two in the life of the table have the same number, but for four thousand millions.
    generation: u32,
}

/// No slot.
const NONE: u32 = u32::MAX;

/// Limits of a table.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// At least 1.
    pub max_clients: usize,
    /// A client is let go after so long a silence.
    pub timeout: Option<Duration>,
}

/// A client and what the server keeps of it.
struct Slot<T> {
    generation: u32,
    client: Option<(Key, T)>,
    /// Last sign of life, as time since the server's start.
    active: Duration,
    /// Neighbours in the list from the stalest to the freshest.
    staler: u32,
    fresher: u32,
}

pub(super) struct Clients<T> {
    limits: Limits,
    next_generation: u32,
    ids: HashMap<Key, u32>,
    slots: Vec<Slot<T>>,
    free: Vec<u32>,
    stalest: u32,
    freshest: u32,
    /// One entry for each client, never later than its time is over.
    timers: BinaryHeap<Reverse<(Duration, Id)>>,
}

impl<T> Clients<T> {
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            next_generation: 0,
            ids: HashMap::new(),
            slots: Vec::new(),
            free: Vec::new(),
            stalest: NONE,
            freshest: NONE,
            timers: BinaryHeap::new(),
        }
    }

    pub fn len(&self) -> usize {
        self.ids.len()
    }

    /// The client of a datagram that came `now`, if it is known.
    pub fn handle_datagram(&mut self, key: &Key, now: Duration) -> Option<(Id, &T)> {
        let slot = *self.ids.get(key)?;
        self.unlink(slot);
        self.link(slot);
        let entry = self.slots.get_mut(slot as usize)?;
        entry.active = now;
        let id = Id { slot, generation: entry.generation };
        entry.client.as_ref().map(|(_, client)| (id, client))
    }

    /// Puts a new client in, which must not be known. The stalest ones make room and are given to `evicted`.
    pub fn insert(&mut self, key: Key, now: Duration, make: impl FnOnce(Id) -> T, mut evicted: impl FnMut(T)) -> Id {
        while self.ids.len() >= self.limits.max_clients.max(1) {
            let slot = self.stalest;
            match self.slots.get(slot as usize).map(|s| Id { slot, generation: s.generation }) {
                Some(id) => self.remove(id).map(&mut evicted),
                None => break,
            };
        }
        let slot = self.free.pop().unwrap_or_else(|| {
            self.slots.push(Slot { generation: 0, client: None, active: now, staler: NONE, fresher: NONE });
            (self.slots.len() - 1) as u32
        });
        let id = Id { slot, generation: self.next_generation };
        self.next_generation = self.next_generation.wrapping_add(1);
        let client = make(id);
        if let Some(entry) = self.slots.get_mut(slot as usize) {
            (entry.generation, entry.client, entry.active) = (id.generation, Some((key, client)), now);
        }
        self.ids.insert(key, slot);
        self.link(slot);
        if let Some(timeout) = self.limits.timeout {
            // Clients that left before their time leave timers behind.
            if self.timers.len() > 2 * self.ids.len() + 64 {
                let slots = &self.slots;
                self.timers.retain(|Reverse((_, id))| is_current(slots, *id));
            }
            self.timers.push(Reverse((now.saturating_add(timeout), id)));
        }
        id
    }

    /// Takes a client out, unless it has been before.
    pub fn remove(&mut self, id: Id) -> Option<T> {
        if !is_current(&self.slots, id) {
            return None;
        }
        self.unlink(id.slot);
        let entry = self.slots.get_mut(id.slot as usize)?;
        let (key, client) = entry.client.take()?;
        self.ids.remove(&key);
        self.free.push(id.slot);
        if self.ids.is_empty() {
            // A crowd that has gone leaves no memory behind.
            (self.ids, self.slots, self.free) = Default::default();
            self.timers = BinaryHeap::new();
        }
        Some(client)
    }

    /// When to look at timers next.
    pub fn next_timer(&self) -> Option<Duration> {
        self.timers.peek().map(|Reverse((at, _))| *at)
    }

    /// Takes out whose time is over `now`. `last_sent` says when something was last sent to a client, which counts as life.
    pub fn handle_time(&mut self, now: Duration, last_sent: impl Fn(&T) -> Duration, mut expired: impl FnMut(T)) {
        let Some(timeout) = self.limits.timeout else { return };
        while let Some(Reverse((at, id))) = self.timers.peek().copied()
            && at <= now
        {
            self.timers.pop();
            let entry = self.slots.get(id.slot as usize).filter(|s| s.generation == id.generation);
            let Some((entry, (_, client))) = entry.and_then(|s| Some((s, s.client.as_ref()?))) else {
                continue;
            };
            let over = entry.active.max(last_sent(client)).saturating_add(timeout);
            if over > now {
                self.timers.push(Reverse((over, id)));
            } else if let Some(client) = self.remove(id) {
                expired(client);
            }
        }
    }

    fn unlink(&mut self, slot: u32) {
        let Some((staler, fresher)) = self.slots.get(slot as usize).map(|s| (s.staler, s.fresher)) else {
            return;
        };
        match self.slots.get_mut(staler as usize) {
            Some(s) => s.fresher = fresher,
            None => self.stalest = fresher,
        }
        match self.slots.get_mut(fresher as usize) {
            Some(s) => s.staler = staler,
            None => self.freshest = staler,
        }
    }

    /// Puts it at the fresh end.
    fn link(&mut self, slot: u32) {
        let staler = std::mem::replace(&mut self.freshest, slot);
        match self.slots.get_mut(staler as usize) {
            Some(s) => s.fresher = slot,
            None => self.stalest = slot,
        }
        if let Some(s) = self.slots.get_mut(slot as usize) {
            (s.staler, s.fresher) = (staler, NONE);
        }
    }
}

fn is_current<T>(slots: &[Slot<T>], id: Id) -> bool {
    slots.get(id.slot as usize).is_some_and(|s| s.generation == id.generation && s.client.is_some())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Dice;

    fn key(n: usize) -> Key {
        (n % 2, ([127, 0, 0, 1], n as u16).into())
    }

    /// The plainest thing that keeps the promises: a list from the stalest to the freshest.
    #[derive(Default)]
    struct Model(Vec<(usize, Duration, Duration)>);

    impl Model {
        fn over(&mut self, now: Duration, timeout: Duration) -> Vec<usize> {
            let is_over = |(_, active, sent): &(usize, Duration, Duration)| *active.max(sent) + timeout <= now;
            let over = self.0.iter().filter(|c| is_over(c)).map(|c| c.0).collect();
            self.0.retain(|c| !is_over(c));
            over
        }
    }

    #[test]
    fn does_what_the_model_does() {
        for seed in 0..200 {
            let mut dice = Dice::new(seed);
            let timeout = Duration::from_millis(100);
            let limits = Limits { max_clients: 1 + dice.below(6), timeout: (seed % 3 > 0).then_some(timeout) };
            let mut clients: Clients<usize> = Clients::new(limits);
            let mut ids = HashMap::new();
            let mut model = Model::default();
            let sent = std::cell::RefCell::new(HashMap::new());
            let mut now = Duration::ZERO;
            for step in 0..500 {
                now += Duration::from_millis(dice.below(25) as u64);
                let n = dice.below(9);
                let what = format!("seed {seed} step {step}");
                match dice.below(8) {
                    0 if limits.timeout.is_some() => {
                        let mut over = Vec::new();
                        clients.handle_time(
                            now,
                            |n| sent.borrow().get(n).copied().unwrap_or_default(),
                            |n| over.push(n),
                        );
                        let mut expected = model.over(now, timeout);
                        over.sort_unstable();
                        expected.sort_unstable();
                        assert_eq!(over, expected, "{what}");
                    }
                    1 => {
                        let known = model.0.iter().position(|c| c.0 == n);
                        let removed = ids.get(&n).and_then(|id| clients.remove(*id));
                        assert_eq!(removed, known.map(|i| model.0.remove(i).0), "{what}");
                    }
                    2 => {
                        if let Some(c) = model.0.iter_mut().find(|c| c.0 == n) {
                            c.2 = now;
                            sent.borrow_mut().insert(n, now);
                        }
                    }
                    _ => {
                        let known = model.0.iter().position(|c| c.0 == n);
                        let found = clients.handle_datagram(&key(n), now).map(|(id, n)| (id, *n));
                        assert_eq!(found, known.map(|_| (ids[&n], n)), "{what}");
                        if let Some(i) = known {
                            let client = model.0.remove(i);
                            model.0.push((n, now, client.2));
                        } else {
                            let mut evicted = Vec::new();
                            sent.borrow_mut().remove(&n);
                            let id = clients.insert(key(n), now, |_| n, |n| evicted.push(n));
                            ids.insert(n, id);
                            let room = limits.max_clients - 1;
                            let surplus = model.0.len().saturating_sub(room);
                            let expected: Vec<_> = model.0.drain(..surplus).map(|c| c.0).collect();
                            assert_eq!(evicted, expected, "{what}");
                            model.0.push((n, now, Duration::ZERO));
                        }
                    }
                }
                assert_eq!(clients.len(), model.0.len(), "{what}");
                let first = model.0.iter().map(|c| c.1.max(c.2) + timeout).min();
                let next = clients.next_timer();
                let in_time = first.is_none_or(|first| next.is_some_and(|next| next <= first));
                assert!(limits.timeout.is_none() || in_time, "{what}: no timer comes late");
            }
        }
    }

    #[test]
    fn timers_of_those_who_left_do_not_pile_up() {
        let limits = Limits { max_clients: 4, timeout: Some(Duration::from_secs(3600)) };
        let mut clients = Clients::new(limits);
        clients.insert(key(1), Duration::ZERO, |_| (), drop);
        for _ in 0..10_000 {
            let id = clients.insert(key(2), Duration::ZERO, |_| (), drop);
            clients.remove(id);
        }
        assert!(clients.timers.len() < 200, "{}", clients.timers.len());
        assert!(clients.slots.len() <= 2);
    }
}
