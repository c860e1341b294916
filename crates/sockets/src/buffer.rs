//! Per-thread buffer pool and the window that readers and writers keep in a pooled buffer.
//!
//! A window owns memory only while it holds bytes: an idle connection costs a few words.

use std::{
    cell::RefCell,
    mem,
    sync::atomic::{AtomicUsize, Ordering::Relaxed},
};

/// Buffer sizes. The third holds a 64 KiB message with its header: reading more than one such message at a time costs
/// cache misses. The last is for larger messages and for stream copies, where fewer system calls pay.
pub const SIZES: [usize; 4] = [4 << 10, 16 << 10, 72 << 10, 256 << 10];
/// The largest of [`SIZES`].
pub const LARGEST: usize = 256 << 10;
/// Most buffers of each size that a worker keeps for reuse: 1.7 MiB in all.
const KEEP: [usize; 4] = [16, 16, 8, 3];
/// Buffers from this class on are counted while they are lent. Smaller ones are not worth an atomic operation each.
const COUNTED: u8 = 2;
/// Bytes lent in counted buffers from which on traffic gets no more of them: what some 900 consumers that stopped reading
/// can pin at 72 KiB each. Everybody else goes on with 16 KiB; only what cannot be split still gets what it needs.
const PRESSURE: usize = 64 << 20;

/// One shelf of free buffers per size.
type Shelves = [Vec<Box<[u8]>>; 4];

thread_local! {
    static POOL: RefCell<Shelves> = const { RefCell::new([const { Vec::new() }; 4]) };
}

/// Bytes in counted buffers outside the pools. Global, because a buffer may return to another worker.
static LENT: AtomicUsize = AtomicUsize::new(0);

fn take(class: u8) -> Box<[u8]> {
    let size = SIZES.get(usize::from(class)).copied().unwrap_or(LARGEST);
    if class >= COUNTED {
        LENT.fetch_add(size, Relaxed);
    }
    let reused = POOL.try_with(|p| p.borrow_mut().get_mut(usize::from(class))?.pop()).ok().flatten();
    reused.unwrap_or_else(|| vec![0; size].into_boxed_slice())
}

fn give_back(buf: Box<[u8]>) {
    let Some(class) = SIZES.iter().position(|s| *s == buf.len()) else {
        return; // the empty box of a window that owns nothing
    };
    if class >= usize::from(COUNTED) {
        LENT.fetch_sub(buf.len(), Relaxed);
    }
    // While a thread ends its pool may be gone already: the buffer is then just freed.
    let _ = POOL.try_with(|p| {
        if let (Some(shelf), Some(keep)) = (p.borrow_mut().get_mut(class), KEEP.get(class))
            && shelf.len() < *keep
        {
            shelf.push(buf);
        }
    });
}

/// The smallest class that holds `n` bytes, the largest if none does.
fn fitting(n: usize) -> u8 {
    SIZES.iter().take_while(|s| **s < n).count().min(SIZES.len() - 1) as u8
}

/// The class that traffic gets when it would like `class` and `lent` bytes are out.
fn affordable(class: u8, lent: usize) -> u8 {
    if lent < PRESSURE { class } else { class.min(COUNTED - 1) }
}

/// Large buffers are scarce, because many consumers are slow: who can should hand on parts instead of collecting.
pub fn under_pressure() -> bool {
    LENT.load(Relaxed) >= PRESSURE
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
        self.buf.get(self.start as usize..self.end as usize).unwrap_or_default()
    }

    #[inline]
    pub fn filled_mut(&mut self) -> &mut [u8] {
        self.buf.get_mut(self.start as usize..self.end as usize).unwrap_or_default()
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
    /// `need` must not exceed [`LARGEST`].
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
        let fits = fitting(need.max(len + 1));
        let liked = affordable(self.class, LENT.load(Relaxed));
        let class = if len == 0 { fits.max(liked) } else { fits };
        if SIZES.get(usize::from(class)).is_some_and(|s| *s <= self.buf.len()) {
            self.buf.copy_within(self.start as usize..self.end as usize, 0);
        } else {
            self.replace(take(class.max(liked)));
        }
        (self.start, self.end) = (0, len as u32);
    }

    /// Moves the bytes held to the front of `buf`, which is large enough, and gives the old one back.
    fn replace(&mut self, mut buf: Box<[u8]>) {
        debug_assert!(self.len() <= buf.len());
        if let Some(to) = buf.get_mut(..self.len()) {
            to.copy_from_slice(self.filled());
        }
        give_back(mem::replace(&mut self.buf, buf));
    }

    #[inline]
    pub fn spare_mut(&mut self) -> &mut [u8] {
        self.buf.get_mut(self.end as usize..).unwrap_or_default()
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
        debug_assert!(bytes.len() <= self.room());
        let Some(to) = self.spare_mut().get_mut(..bytes.len()) else {
            return;
        };
        to.copy_from_slice(bytes);
        self.end += bytes.len() as u32;
        self.high = self.high.max(self.end);
    }

    /// Nothing is left to do for now: gives an empty window's buffer back, moves a small rest into a small buffer.
    pub fn release(&mut self) {
        let cap = self.buf.len();
        if cap == 0 {
            return;
        }
        if self.high as usize <= cap / 16 && self.class > 1 {
            self.class -= 1; // never below 16 KiB: a smaller buffer saves no memory that is not shared anyway
        }
        let len = self.len();
        if len == 0 {
            give_back(mem::take(&mut self.buf));
        } else if len <= cap / 16 {
            self.replace(take(fitting(2 * len)));
        } else {
            return;
        }
        (self.start, self.end, self.high) = (0, len as u32, len as u32);
    }
}

impl std::fmt::Debug for Window {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Window").field("len", &self.len()).field("capacity", &self.buf.len()).finish()
    }
}

impl Drop for Window {
    fn drop(&mut self) {
        give_back(mem::take(&mut self.buf));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fill(window: &mut Window) -> usize {
        window.reserve(window.len() + 1);
        let n = window.spare_mut().len();
        window.spare_mut().fill(7);
        window.advance(n);
        n
    }

    #[test]
    fn owns_nothing_while_empty() {
        let mut w = Window::new(2);
        assert_eq!((w.buf.len(), w.room(), w.filled()), (0, 0, &[][..]));
        w.reserve(1);
        assert_eq!(w.buf.len(), SIZES[1]);
        w.release();
        assert_eq!(w.buf.len(), 0);
    }

    #[test]
    fn grows_with_traffic_up_to_its_limit() {
        let mut w = Window::new(2);
        for size in [SIZES[1], SIZES[2], SIZES[2]] {
            assert_eq!(fill(&mut w), size);
            w.skip(size);
            w.release();
        }
        // What must fit gets more than traffic may ask for.
        w.reserve(LARGEST);
        assert_eq!(w.buf.len(), LARGEST);
    }

    #[test]
    fn shrinks_when_little_is_left_of_the_traffic() {
        let mut w = Window::new(3);
        for _ in 0..3 {
            let n = fill(&mut w);
            w.skip(n);
            w.release();
        }
        for size in [SIZES[3], SIZES[2], SIZES[1], SIZES[1]] {
            w.reserve(1);
            assert_eq!(w.buf.len(), size);
            w.push(b"few");
            w.skip(3);
            w.release();
        }
    }

    #[test]
    fn a_small_rest_moves_to_a_small_buffer() {
        let mut w = Window::new(2);
        w.reserve(SIZES[2]);
        w.push(&[1; 60_000]);
        w.push(b"the rest");
        w.skip(60_000);
        w.release();
        assert_eq!((w.filled(), w.buf.len()), (&b"the rest"[..], SIZES[0]));
        // A large rest stays where it is.
        w.reserve(SIZES[2]);
        w.push(&[2; 60_000]);
        w.release();
        assert_eq!((w.len(), w.buf.len()), (60_008, SIZES[2]));
    }

    #[test]
    fn makes_room_without_losing_bytes() {
        let mut w = Window::new(1);
        w.reserve(10);
        w.push(b"0123456789");
        w.skip(4);
        w.reserve(SIZES[1]);
        assert_eq!((w.filled(), w.start, w.buf.len()), (&b"456789"[..], 0, SIZES[1]));
        w.reserve(SIZES[1] + 1);
        assert_eq!((w.filled(), w.buf.len()), (&b"456789"[..], SIZES[2]));
    }

    #[test]
    fn a_worker_keeps_a_bounded_number_of_buffers() {
        let many: Vec<_> = (0..100).map(|i| take((i % 4) as u8)).collect();
        many.into_iter().for_each(give_back);
        POOL.with(|p| assert_eq!(p.borrow().iter().map(Vec::len).collect::<Vec<_>>(), KEEP));
        let kept: usize = KEEP.iter().zip(SIZES).map(|(n, size)| n * size).sum();
        assert!(kept <= 7 << 18, "{kept}");
    }

    #[test]
    fn many_slow_consumers_leave_traffic_with_small_buffers() {
        assert_eq!([0, 1, 2, 3].map(|c| affordable(c, PRESSURE - 1)), [0, 1, 2, 3]);
        assert_eq!([0, 1, 2, 3].map(|c| affordable(c, PRESSURE)), [0, 1, 1, 1]);
    }

    #[test]
    fn classes_fit() {
        assert_eq!([0, 1, 4096, 4097, 16384, 72 << 10, (72 << 10) + 1, 1 << 30].map(fitting), [0, 0, 0, 1, 1, 2, 3, 3]);
    }
}
