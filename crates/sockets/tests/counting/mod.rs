//! The allocator of tests of costs: the system's one, with a count of allocations.
#![allow(dead_code)] // each test uses one of the counts

use std::{
    alloc::{GlobalAlloc, Layout, System},
    cell::Cell,
    sync::atomic::{AtomicUsize, Ordering::Relaxed},
};

static IN_PROCESS: AtomicUsize = AtomicUsize::new(0);
thread_local! {
    static ON_THREAD: Cell<usize> = const { Cell::new(0) };
    static LIVE: Cell<isize> = const { Cell::new(0) };
}

/// Allocations of all threads so far.
pub fn in_process() -> usize {
    IN_PROCESS.load(Relaxed)
}

/// Allocations of the calling thread so far.
pub fn on_this_thread() -> usize {
    ON_THREAD.get()
}

/// Bytes that the calling thread has allocated and not freed.
pub fn live_on_this_thread() -> isize {
    LIVE.get()
}

struct Counting;

#[allow(unsafe_code)] // the trait is unsafe
// SAFETY: everything goes to the system's allocator unchanged; counting touches no memory that it manages.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        IN_PROCESS.fetch_add(1, Relaxed);
        // A thread that is ending has no counter any more.
        let _ = ON_THREAD.try_with(|n| n.set(n.get() + 1));
        let _ = LIVE.try_with(|n| n.set(n.get() + layout.size() as isize));
        // SAFETY: the caller's promise is handed on.
        unsafe { System.alloc(layout) }
    }
    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        let _ = LIVE.try_with(|n| n.set(n.get() - layout.size() as isize));
        // SAFETY: `at` came from `alloc` above.
        unsafe { System.dealloc(at, layout) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;
