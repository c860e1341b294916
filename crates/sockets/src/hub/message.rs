//! Messages of rooms: shared by all that they wait for, and counted once for as long as one of those has them.

use super::HubError;
use crate::datagram::Flags;
use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering::Relaxed},
};
use triomphe::{Arc as Shared, HeaderSlice};

/// What a message takes beside its bytes.
const OVERHEAD: usize = 64;
/// What it takes in the queue of each member that it waits for.
const ENTRY: usize = 40;

/// Memory of all messages of a hub.
pub struct Memory {
    used: AtomicUsize,
    limit: usize,
}

impl Memory {
    pub fn new(limit: usize) -> Arc<Self> {
        Arc::new(Self { used: AtomicUsize::new(0), limit })
    }

    /// Bytes of messages that somebody has yet to take.
    pub fn used(&self) -> usize {
        self.used.load(Relaxed)
    }

    pub fn limit(&self) -> usize {
        self.limit
    }

    pub fn is_exceeded(&self) -> bool {
        self.used() > self.limit
    }
}

impl From<&Memory> for HubError {
    fn from(memory: &Memory) -> Self {
        Self::NoMemory(memory.limit)
    }
}

/// What a message takes, given back with the last of those who have it.
struct Charge {
    memory: Arc<Memory>,
    bytes: AtomicUsize,
}

impl Charge {
    fn add(&self, bytes: usize) {
        self.bytes.fetch_add(bytes, Relaxed);
        self.memory.used.fetch_add(bytes, Relaxed);
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        self.memory.used.fetch_sub(*self.bytes.get_mut(), Relaxed);
    }
}

/// One message, shared by all that it waits for.
#[derive(Clone)]
pub struct Message {
    /// In one allocation.
    said: Shared<HeaderSlice<Charge, [u8]>>,
    /// Only TEXT and UTF8.
    pub flags: Flags,
}

impl Message {
    /// Both parts together.
    pub fn new(memory: &Arc<Memory>, parts: [&[u8]; 2], flags: Flags) -> Self {
        let charge = Charge { memory: memory.clone(), bytes: AtomicUsize::new(0) };
        let [front, back] = parts;
        charge.add(front.len() + back.len() + OVERHEAD);
        let said = if front.is_empty() {
            Shared::from_header_and_slice(charge, back)
        } else {
            let blank = std::iter::repeat_n(0, front.len() + back.len());
            let mut said = Shared::from_header_and_iter(charge, blank);
            if let Some(both) = Shared::get_mut(&mut said).and_then(|said| said.slice.split_at_mut_checked(front.len()))
            {
                both.0.copy_from_slice(front);
                both.1.copy_from_slice(back);
            }
            said
        };
        Self { said, flags }
    }

    pub fn bytes(&self) -> &[u8] {
        &self.said.slice
    }

    pub fn len(&self) -> usize {
        self.said.slice.len()
    }

    /// The part of its memory that one of those who have it is to blame for.
    pub fn share(&self) -> usize {
        self.said.header.bytes.load(Relaxed) / Shared::strong_count(&self.said).max(1)
    }

    /// It waits for so many members, and counts as doing so until all have it.
    pub fn waits_for(&self, members: usize) {
        self.said.header.add(members.saturating_mul(ENTRY));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_once_until_the_last_one_has_it() {
        let memory = Memory::new(300);
        let message = Message::new(&memory, [b"", &[7; 100]], Flags::NONE);
        assert_eq!((message.bytes(), message.len(), memory.used()), (&[7; 100][..], 100, 164));
        let others = vec![message.clone(); 3];
        message.waits_for(3);
        assert_eq!((memory.used(), memory.is_exceeded()), (284, false));
        assert_eq!(others.iter().map(Message::share).sum::<usize>() + message.share(), 284);
        let prefixed = Message::new(&memory, [b"who: ", b"text"], Flags::TEXT);
        assert_eq!((prefixed.bytes(), memory.used(), memory.is_exceeded()), (&b"who: text"[..], 284 + 73, true));
        drop((message, prefixed));
        assert_eq!(memory.used(), 284);
        drop(others);
        assert_eq!(memory.used(), 0);
    }
}
