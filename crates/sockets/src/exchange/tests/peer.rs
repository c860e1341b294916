//! A toy peer: says what it is told to say, records what it hears and when, stalls or fails on request.

use crate::{
    datagram::{DatagramRead, DatagramWrite, Flags},
    info::SocketInfo,
    socket::DatagramSocket,
};
use std::{
    collections::VecDeque,
    io,
    sync::{Arc, Mutex},
    task::{Context, Poll, Waker},
};
use tokio::time::Instant;

type Said = Result<(Vec<u8>, Flags), io::ErrorKind>;

struct State {
    start: Instant,
    says: VecDeque<Said>,
    /// Chunks that were handed out.
    taken: usize,
    longest: usize,
    /// Everything heard with the milliseconds since the start: chunks, `EOF`, `|` for a flush that had something to do.
    heard: Vec<(u64, String)>,
    unflushed: bool,
    flushes: usize,
    stalled: bool,
    fails_writing: Option<io::ErrorKind>,
    fails_flushing: Option<io::ErrorKind>,
    refuses: bool,
    borders: bool,
    parts: bool,
    /// Every second call is Pending first.
    stutter: bool,
    stutters: [bool; 4],
    /// Chunk and flags of a write that was Pending: the next call must bring the same.
    repeat: Option<(Vec<u8>, Flags)>,
    wakers: Vec<Waker>,
}

#[derive(Clone)]
pub struct Peer(Arc<Mutex<State>>);

pub struct Reader {
    peer: Peer,
    announced: Option<(Vec<u8>, Flags)>,
}

pub struct Writer(Peer);

impl Peer {
    /// A socket with message borders.
    pub fn new() -> Self {
        Self(Arc::new(Mutex::new(State {
            start: Instant::now(),
            says: VecDeque::new(),
            taken: 0,
            longest: 0,
            heard: Vec::new(),
            unflushed: false,
            flushes: 0,
            stalled: false,
            fails_writing: None,
            fails_flushing: None,
            refuses: false,
            borders: true,
            parts: false,
            stutter: false,
            stutters: [false; 4],
            repeat: None,
            wakers: Vec::new(),
        })))
    }

    /// A socket that is a byte stream below.
    pub fn bytes() -> Self {
        let peer = Self::new();
        peer.with(|s| s.borders = false);
        peer
    }

    pub fn stuttering() -> Self {
        let peer = Self::new();
        peer.with(|s| s.stutter = true);
        peer
    }

    fn with<T>(&self, f: impl FnOnce(&mut State) -> T) -> T {
        f(&mut self.0.lock().unwrap())
    }

    /// As `with`, and wakes the exchange.
    fn change(&self, f: impl FnOnce(&mut State)) {
        let wakers = self.with(|s| {
            f(s);
            std::mem::take(&mut s.wakers)
        });
        wakers.into_iter().for_each(Waker::wake);
    }

    pub fn socket(&self) -> DatagramSocket {
        self.socket_with(SocketInfo::default())
    }

    pub fn socket_with(&self, info: SocketInfo) -> DatagramSocket {
        DatagramSocket {
            read: Some(Box::new(Reader { peer: self.clone(), announced: None })),
            write: Some(Box::new(Writer(self.clone()))),
            info: Arc::new(info),
            ..DatagramSocket::default()
        }
    }

    pub fn says(&self, bytes: impl AsRef<[u8]>, flags: Flags) {
        self.change(|s| s.says.push_back(Ok((bytes.as_ref().to_vec(), flags))));
    }

    pub fn text(&self, text: &str) {
        self.says(text, Flags::TEXT);
    }

    pub fn ends(&self) {
        self.says("", Flags::EOF);
    }

    /// Close with a status code.
    pub fn leaves(&self, code: u16) {
        self.says(code.to_be_bytes(), Flags::EOF | Flags::GONE);
    }

    pub fn fails(&self, kind: io::ErrorKind) {
        self.change(|s| s.says.push_back(Err(kind)));
    }

    pub fn fails_writing(&self, kind: io::ErrorKind) {
        self.change(|s| s.fails_writing = Some(kind));
    }

    /// The next message.
    pub fn refuses_once(&self) {
        self.change(|s| s.refuses = true);
    }

    pub fn fails_flushing(&self, kind: io::ErrorKind) {
        self.change(|s| s.fails_flushing = Some(kind));
    }

    pub fn stall(&self, stalled: bool) {
        self.change(|s| s.stalled = stalled);
    }

    /// What was heard, without flushes.
    pub fn heard(&self) -> Vec<String> {
        self.with(|s| s.heard.iter().map(|(_, what)| what.clone()).filter(|what| what != "|").collect())
    }

    /// What was heard, with flushes.
    pub fn heard_with_flushes(&self) -> Vec<String> {
        self.with(|s| s.heard.iter().map(|(_, what)| what.clone()).collect())
    }

    /// When, in milliseconds.
    pub fn heard_at(&self, what: &str) -> Option<u64> {
        self.with(|s| s.heard.iter().find(|(_, heard)| heard == what).map(|(at, _)| *at))
    }

    pub fn taken(&self) -> usize {
        self.with(|s| s.taken)
    }

    pub fn longest(&self) -> usize {
        self.with(|s| s.longest)
    }

    pub fn flushes(&self) -> usize {
        self.with(|s| s.flushes)
    }

    pub fn gives_parts(&self) -> bool {
        self.with(|s| s.parts)
    }

    /// Halves that the exchange still owns.
    pub fn halves(&self) -> usize {
        Arc::strong_count(&self.0) - 1
    }
}

impl State {
    /// Pending at every second call of one kind.
    fn stutters(&mut self, kind: usize, cx: &mut Context<'_>) -> bool {
        self.stutters[kind] = self.stutter && !self.stutters[kind];
        if self.stutters[kind] {
            cx.waker().wake_by_ref();
        }
        self.stutters[kind]
    }

    fn record(&mut self, what: String) {
        let at = self.start.elapsed().as_millis() as u64;
        self.heard.push((at, what));
    }
}

impl DatagramRead for Reader {
    fn poll_chunk(&mut self, cx: &mut Context<'_>, max: usize) -> Poll<io::Result<Flags>> {
        if let Some((_, flags)) = self.announced {
            return Poll::Ready(Ok(flags));
        }
        let mut s = self.peer.0.lock().unwrap();
        if s.stutters(0, cx) {
            return Poll::Pending;
        }
        match s.says.pop_front() {
            None => {
                s.wakers.push(cx.waker().clone());
                Poll::Pending
            }
            Some(Err(kind)) => Poll::Ready(Err(kind.into())),
            Some(Ok((mut bytes, mut flags))) => {
                if bytes.len() > max.max(1) {
                    s.says.push_front(Ok((bytes.split_off(max.max(1)), flags)));
                    flags |= Flags::PARTIAL;
                }
                s.taken += 1;
                s.longest = s.longest.max(bytes.len());
                self.announced = Some((bytes, flags));
                Poll::Ready(Ok(flags))
            }
        }
    }

    fn chunk_mut(&mut self) -> &mut [u8] {
        self.announced.as_mut().map_or(&mut [], |(bytes, _)| bytes)
    }

    fn consume(&mut self) {
        self.announced = None;
    }

    fn for_each_inner(&mut self, _: &mut dyn FnMut(&mut dyn DatagramRead)) {}

    fn parts_suffice(&mut self) {
        self.peer.with(|s| s.parts = true);
    }
}

impl Writer {
    fn poll(&self, kind: usize, cx: &mut Context<'_>, fails: Option<io::ErrorKind>) -> Poll<io::Result<()>> {
        let mut s = self.0.0.lock().unwrap();
        if let Some(kind) = fails {
            return Poll::Ready(Err(kind.into()));
        }
        if s.stalled {
            s.wakers.push(cx.waker().clone());
            return Poll::Pending;
        }
        if s.stutters(kind, cx) { Poll::Pending } else { Poll::Ready(Ok(())) }
    }
}

impl DatagramWrite for Writer {
    fn poll_write(&mut self, cx: &mut Context<'_>, chunk: &mut [u8], flags: Flags) -> Poll<io::Result<()>> {
        let fails = self.0.with(|s| {
            // A masking writer that was Pending relies on this.
            if let Some(repeat) = s.repeat.take() {
                assert_eq!((&repeat.0[..], repeat.1), (&*chunk, flags), "not repeated with the same chunk");
                chunk.iter_mut().for_each(|b| *b ^= 0xff);
            }
            if std::mem::take(&mut s.refuses) { Some(io::ErrorKind::InvalidInput) } else { s.fails_writing }
        });
        match self.poll(1, cx, fails) {
            Poll::Pending => {
                chunk.iter_mut().for_each(|b| *b ^= 0xff);
                self.0.with(|s| s.repeat = Some((chunk.to_vec(), flags)));
                Poll::Pending
            }
            Poll::Ready(result) => Poll::Ready(result.map(|()| {
                let what = if flags.any(Flags::EOF) {
                    assert!(!flags.any(Flags::GONE), "who left is the session's business");
                    chunk.iter().fold("EOF ".to_owned(), |all, b| all + &format!("{b:02x}")).trim_end().to_owned()
                } else {
                    String::from_utf8_lossy(chunk).into_owned()
                };
                self.0.with(|s| {
                    s.unflushed = true;
                    s.record(what);
                });
            })),
        }
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let fails = self.0.with(|s| {
            s.flushes += 1;
            s.fails_flushing
        });
        self.poll(2, cx, fails).map_ok(|()| {
            self.0.with(|s| {
                if std::mem::take(&mut s.unflushed) {
                    s.record("|".to_owned());
                }
            })
        })
    }

    fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let fails = self.0.with(|s| s.fails_writing);
        self.poll(3, cx, fails).map_ok(|()| self.0.with(|s| s.record("shutdown".to_owned())))
    }

    fn keeps_borders(&self) -> bool {
        self.0.with(|s| s.borders)
    }

    fn transforms(&self) -> bool {
        true
    }
}
