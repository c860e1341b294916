//! Memory that waiting datagrams of a UDP server may take, for each client and for all of them.
//!
//! Whoever sends to the server decides how much waits; how much may is decided here. Each datagram counts with its record:
//! what is in the queues, and in the batches that readers have taken over until they are done with them.

use super::client::remember;
use std::{
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
    },
    task::{Context, Waker},
};

/// What may wait for one client. One datagram always may.
#[derive(Clone, Copy, Debug)]
pub(super) struct QueueLimits {
    pub datagrams: usize,
    /// Of datagrams with their records.
    pub bytes: usize,
}

/// Bytes that wait for all clients of a server. Only the server's task takes, readers give back.
pub(super) struct Room {
    limit: usize,
    used: AtomicUsize,
    /// The server waits for some.
    wanted: AtomicBool,
    server: Mutex<Option<Waker>>,
}

impl Room {
    pub fn new(limit: usize) -> Self {
        Self { limit, used: AtomicUsize::new(0), wanted: AtomicBool::new(false), server: Mutex::default() }
    }

    /// Whether there is room for so many bytes more. Whatever the limit, there is for the first ones.
    pub fn has(&self, bytes: usize) -> bool {
        let used = self.used.load(SeqCst);
        used == 0 || used.saturating_add(bytes) <= self.limit
    }

    pub fn take(&self, bytes: usize) {
        self.used.fetch_add(bytes, SeqCst);
    }

    /// The server wants to know when some is given back: to be called before looking whether there is enough.
    pub fn watch(&self, cx: &Context<'_>) {
        remember(&mut self.server.lock().unwrap_or_else(PoisonError::into_inner), cx);
        self.wanted.store(true, SeqCst);
    }

    /// It waits no longer.
    pub fn unwatch(&self) {
        self.wanted.store(false, SeqCst);
    }

    pub fn give_back(&self, bytes: usize) {
        self.used.fetch_sub(bytes, SeqCst);
        if self.wanted.load(SeqCst) && self.wanted.swap(false, SeqCst) {
            let server = self.server.lock().unwrap_or_else(PoisonError::into_inner).take();
            server.into_iter().for_each(Waker::wake);
        }
    }

    #[cfg(test)]
    pub fn used(&self) -> usize {
        self.used.load(SeqCst)
    }
}
