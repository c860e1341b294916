//! Per-thread buffer pool and the window that readers and writers keep in a pooled buffer.
//!
//! A window owns memory only while it holds bytes: an idle connection costs a few words.

use std::{cell::RefCell, mem};

/// Buffer sizes. The third holds a 64 KiB message with its header: reading more than one such message at a time costs
/// cache misses. The last is for larger messages and for stream copies, where fewer system calls pay.
pub const SIZES: [usize; 4] = [4 << 10, 16 << 10, 72 << 10, 256 << 10];
/// Most buffers of each size that a thread keeps for reuse: 1.7 MiB in all.
const KEEP: [usize; 4] = [16, 16, 8, 3];

thread_local! {
    static POOL: RefCell<[Vec<Box<[u8]>>; 4]> = const { RefCell::new([const { Vec::new() }; 4]) };
}

fn take(class: usize) -> Box<[u8]> {
    let reused = POOL.try_with(|p| p.borrow_mut()[class].pop()).ok().flatten();
    reused.unwrap_or_else(|| vec![0; SIZES[class]].into_boxed_slice())
}

fn give_back(buf: Box<[u8]>) {
    let Some(class) = SIZES.iter().position(|s| *s == buf.len()) else {
        return;
    };
    // While a thread ends its pool may be gone already: the buffer is then just freed.
    let _ = POOL.try_with(|p| {
        let shelf = &mut p.borrow_mut()[class];
        if shelf.len() < KEEP[class] {
            shelf.push(buf);
        }
    });
}

/// Bytes `start..end` of a pooled buffer that is taken when first written to and given back by [`Window::release`] or drop.
pub struct Window {
    buf: Box<[u8]>,
    start: u32,
    end: u32,
    /// Size class to take next; follows the traffic.
    class: u8,
    /// Largest class that traffic alone may lead to; what must fit gets more.
    max: u8,
    /// Most bytes held since the buffer was taken.
    high: u32,
}

impl Window {
    /// An empty window without a buffer. It starts with 16 KiB; traffic that fills it leads up to `SIZES[max]`.
    pub fn new(max: u8) -> Self {
        Self { buf: Box::default(), start: 0, end: 0, class: 1, max, high: 0 }
    }

    #[inline]
    pub fn len(&self) -> usize {
        (self.end - self.start) as usize
    }

    #[inline]
    pub fn is_empty(&self) -> bool {
        self.start == self.end
    }

    #[inline]
    pub fn filled(&self) -> &[u8] {
        &self.buf[self.start as usize..self.end as usize]
    }

    #[inline]
    pub fn filled_mut(&mut self) -> &mut [u8] {
        &mut self.buf[self.start as usize..self.end as usize]
    }

    /// Bytes from the front are no longer needed.
    #[inline]
    pub fn skip(&mut self, n: usize) {
        debug_assert!(n <= self.len());
        self.start += n as u32;
        if self.start == self.end {
            (self.start, self.end) = (0, 0);
        }
    }

    /// Room behind the bytes held, without moving anything.
    #[inline]
    pub fn room(&self) -> usize {
        self.buf.len() - self.end as usize
    }

    /// Takes a buffer if there is none, moves bytes to its front or to a larger one until `need` bytes fit in all.
    /// `need` must not exceed the largest of [`SIZES`].
    #[inline]
    pub fn reserve(&mut self, need: usize) {
        let enough = self.start as usize + need <= self.buf.len();
        if !enough || self.buf.is_empty() || self.room() == 0 {
            self.rearrange(need);
        }
    }

    #[cold]
    fn rearrange(&mut self, need: usize) {
        let len = self.len();
        let fitting = SIZES.iter().position(|s| *s >= need.max(len + 1)).unwrap_or(SIZES.len() - 1);
        let class = if len == 0 { fitting.max(self.class as usize) } else { fitting };
        if SIZES[class] <= self.buf.len() {
            self.buf.copy_within(self.start as usize..self.end as usize, 0);
        } else {
            let mut larger = take(class.max(self.class as usize));
            larger[..len].copy_from_slice(self.filled());
            give_back(mem::replace(&mut self.buf, larger));
        }
        (self.start, self.end) = (0, len as u32);
    }

    #[inline]
    pub fn spare_mut(&mut self) -> &mut [u8] {
        &mut self.buf[self.end as usize..]
    }

    /// `n` bytes of [`Window::spare_mut`] were filled.
    #[inline]
    pub fn advance(&mut self, n: usize) {
        debug_assert!(n <= self.room());
        self.end += n as u32;
        self.high = self.high.max(self.end);
        if self.room() == 0 {
            self.grow();
        }
    }

    /// The traffic filled the buffer: take a larger one next time.
    #[cold]
    pub fn grow(&mut self) {
        self.class = (self.class + 1).min(self.max);
    }

    /// Appends what fits for sure: the caller has looked at [`Window::room`].
    #[inline]
    pub fn push(&mut self, bytes: &[u8]) {
        self.spare_mut()[..bytes.len()].copy_from_slice(bytes);
        self.end += bytes.len() as u32;
        self.high = self.high.max(self.end);
    }

    /// Nothing is left to do for now: gives an empty window's buffer back, moves a small rest into a small buffer.
    pub fn release(&mut self) {
        let Some(cap) = Some(self.buf.len()).filter(|n| *n > 0) else {
            return;
        };
        if self.high as usize <= cap / 16 && self.class > 1 {
            self.class -= 1; // never below 16 KiB: a smaller buffer saves no memory that is not shared anyway
        }
        let len = self.len();
        let smaller = SIZES.iter().position(|s| *s >= 2 * len).filter(|_| len <= cap / 16);
        if len == 0 {
            give_back(mem::take(&mut self.buf));
        } else if let Some(class) = smaller {
            let mut small = take(class);
            small[..len].copy_from_slice(self.filled());
            give_back(mem::replace(&mut self.buf, small));
        } else {
            return;
        }
        (self.start, self.end, self.high) = (0, len as u32, len as u32);
    }
}

impl Drop for Window {
    fn drop(&mut self) {
        give_back(mem::take(&mut self.buf));
    }
}
