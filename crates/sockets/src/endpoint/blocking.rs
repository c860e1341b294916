//! Byte streams over calls that may block (files, inherited descriptors that cannot be polled).
//!
//! The object travels: to the thread that makes the call, with a buffer, and back with the result. So at most one
//! call runs at a time, nothing is shared, and dropping a stream never waits. Reading keeps at most two buffers (one
//! that is being given out, and after a full one the next that is being read), writing at most two (one that is being
//! written, one that fills up meanwhile). They are large, so that the hand-over costs little compared with the copy.

use crate::stream::{StreamRead, StreamWrite};
use std::{
    future::Future,
    io::{self, IoSlice},
    mem,
    pin::Pin,
    sync::{Arc, Condvar, Mutex, PoisonError, mpsc},
    task::{Context, Poll, ready},
    thread,
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    sync::oneshot,
};

/// Bytes for one blocking call: the hand-over (about 20 µs) is then small beside the call itself. Untouched pages of it
/// cost nothing.
const CHUNK: usize = 256 << 10;

/// Where blocking calls run.
pub enum Runner {
    /// The runtime's pool: for calls that end by themselves.
    Pool,
    /// A thread of its own, started by the first call: for calls that may last for ever, which in the pool would keep
    /// the runtime from ending and others from their turn.
    Thread { name: &'static str, calls: Option<mpsc::Sender<Box<dyn FnOnce() + Send>>> },
}

impl Runner {
    pub fn thread(name: &'static str) -> Self {
        Self::Thread { name, calls: None }
    }

    /// Starts `call`; its result arrives at the receiver.
    pub fn run<T: Send + 'static>(
        &mut self,
        call: impl FnOnce() -> T + Send + 'static,
    ) -> io::Result<oneshot::Receiver<T>> {
        let (result, receiver) = oneshot::channel();
        let call = move || drop(result.send(call())); // nobody waits any more: the result is not needed
        match self {
            Self::Pool => {
                let runtime = tokio::runtime::Handle::try_current().map_err(io::Error::other)?;
                runtime.spawn_blocking(call);
            }
            Self::Thread { name, calls } => {
                let calls = match calls {
                    Some(calls) => calls,
                    None => {
                        let (sender, receiver) = mpsc::channel::<Box<dyn FnOnce() + Send>>();
                        thread::Builder::new().name((*name).to_owned()).spawn(move || {
                            for call in receiver {
                                call();
                            }
                        })?;
                        calls.insert(sender)
                    }
                };
                calls.send(Box::new(call)).map_err(|_| lost())?;
            }
        }
        Ok(receiver)
    }
}

/// How many calls of writers have not ended.
static UNDER_WAY: (Mutex<usize>, Condvar) = (Mutex::new(0), Condvar::new());

/// Stays with a call of a writer until it has ended, or will never be made.
struct UnderWay;

impl UnderWay {
    fn start() -> Self {
        *UNDER_WAY.0.lock().unwrap_or_else(PoisonError::into_inner) += 1;
        Self
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        *UNDER_WAY.0.lock().unwrap_or_else(PoisonError::into_inner) -= 1;
        UNDER_WAY.1.notify_all();
    }
}

/// For a process that is about to end: waits until files and standard output have what their writers took. Sessions
/// that were cut off have dropped these without waiting. False when something is left after two seconds: nobody takes
/// it.
pub fn finish_writes() -> bool {
    /// As long as a session waits for its last writes.
    const LIMIT: Duration = Duration::from_secs(2);
    let left = UNDER_WAY.0.lock().unwrap_or_else(PoisonError::into_inner);
    let ended = UNDER_WAY.1.wait_timeout_while(left, LIMIT, |left| *left > 0);
    !ended.unwrap_or_else(PoisonError::into_inner).1.timed_out()
}

/// The thread that was to make the call has gone: the runtime is shutting down, or the call panicked.
fn lost() -> io::Error {
    io::Error::other("the thread for blocking calls has ended")
}

/// Gives errors their context (which file, which side).
pub type Wrap = Arc<dyn Fn(io::Error) -> io::Error + Send + Sync>;

/// What a blocking read gives back.
struct ReadDone<R> {
    source: R,
    buffer: Box<[u8]>,
    result: io::Result<usize>,
}

/// Read half over a blocking reader. Nothing is read before the first poll.
///
/// Pending: a read goes on in its thread, its bytes are kept. EOF and errors: EOF ever after. Drop midway: bytes that a
/// running call takes from the source are lost. It changes only the unfilled part of the buffer it is given.
pub struct BlockingRead<R> {
    runner: Runner,
    wrap: Wrap,
    /// Absent while a call runs, and after the end.
    source: Option<R>,
    call: Option<oneshot::Receiver<ReadDone<R>>>,
    /// Bytes `start..end` are to be given out.
    buffer: Box<[u8]>,
    start: usize,
    end: usize,
    /// The other buffer, while it is not away with a call.
    spare: Box<[u8]>,
}

impl<R: io::Read + Send + 'static> BlockingRead<R> {
    pub fn new(source: R, runner: Runner, wrap: Wrap) -> Self {
        Self {
            runner,
            wrap,
            source: Some(source),
            call: None,
            buffer: Box::default(),
            start: 0,
            end: 0,
            spare: Box::default(),
        }
    }

    fn start_call(&mut self) -> io::Result<()> {
        let Some(mut source) = self.source.take() else {
            return Ok(());
        };
        let mut buffer = mem::take(&mut self.spare);
        if buffer.is_empty() {
            buffer = vec![0; CHUNK].into_boxed_slice();
        }
        self.call = Some(self.runner.run(move || {
            let result = loop {
                match source.read(&mut buffer) {
                    Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                    result => break result,
                }
            };
            ReadDone { source, buffer, result }
        })?);
        Ok(())
    }

    /// Ready with bytes in the buffer, or with none at the end.
    fn poll_bytes(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.start < self.end {
            return Poll::Ready(Ok(()));
        }
        if self.call.is_none() {
            self.start_call().map_err(|e| (self.wrap)(e))?;
        }
        let Some(call) = &mut self.call else {
            return Poll::Ready(Ok(())); // the end was reached before
        };
        let done = ready!(Pin::new(call).poll(cx));
        self.call = None;
        let done = done.map_err(|_| (self.wrap)(lost()))?;
        self.spare = mem::replace(&mut self.buffer, done.buffer);
        (self.start, self.end) = (0, done.result.map_err(|e| (self.wrap)(e))?);
        if self.end == 0 {
            (self.buffer, self.spare) = Default::default();
        } else {
            self.source = Some(done.source);
            if self.end == self.buffer.len() {
                // Probably a large source: read on while these bytes are on their way.
                self.start_call().map_err(|e| (self.wrap)(e))?;
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl<R: io::Read + Send + Unpin + 'static> AsyncRead for BlockingRead<R> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_bytes(cx))?;
        let n = (self.end - self.start).min(buf.remaining());
        if let Some(bytes) = self.buffer.get(self.start..self.start + n) {
            buf.put_slice(bytes);
            self.start += n;
        }
        Poll::Ready(Ok(()))
    }
}

impl<R: io::Read + Send + Unpin + 'static> StreamRead for BlockingRead<R> {
    fn poll_readable(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_bytes(cx)
    }
}

/// A blocking sink.
pub trait BlockingSink: io::Write + Send + Unpin + 'static {
    /// Ends the direction; everything was written before.
    fn finish(self) -> io::Result<()>;
}

/// What a blocking write gives back.
struct WriteDone<W> {
    /// Absent when it was finished.
    sink: Option<W>,
    buffer: Vec<u8>,
    result: io::Result<()>,
}

/// Write half over a blocking writer.
///
/// Pending: both buffers are full; nothing of the slice was taken. Short writes: when the buffer fills up. Flush
/// waits until everything was written; a failed write is reported by the next call, whichever it is, and ever after
/// by `BrokenPipe`. Shutdown flushes and closes. Dropping does not wait: what was taken is still written behind its
/// back, as long as the process lives ([`finish_writes`]). It never changes the bytes it is lent.
pub struct BlockingWrite<W: BlockingSink> {
    runner: Runner,
    wrap: Wrap,
    /// Absent while a call runs, and after the end.
    sink: Option<W>,
    call: Option<oneshot::Receiver<WriteDone<W>>>,
    /// Bytes taken that no call has got yet.
    waiting: Vec<u8>,
    /// The other buffer, while it is not away with a call.
    spare: Vec<u8>,
    finished: bool,
}

impl<W: BlockingSink> BlockingWrite<W> {
    pub fn new(sink: W, runner: Runner, wrap: Wrap) -> Self {
        Self { runner, wrap, sink: Some(sink), call: None, waiting: Vec::new(), spare: Vec::new(), finished: false }
    }

    /// Ready when no call runs; with its error if it failed.
    fn poll_call(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Some(call) = &mut self.call else {
            return Poll::Ready(Ok(()));
        };
        let done = ready!(Pin::new(call).poll(cx));
        self.call = None;
        let done = done.map_err(|_| (self.wrap)(lost()))?;
        self.spare = done.buffer;
        done.result.map_err(|e| (self.wrap)(e))?;
        self.sink = done.sink;
        Poll::Ready(Ok(()))
    }

    /// Gives what waits to a call. Only while none runs.
    fn start_call(&mut self, finish: bool) -> io::Result<()> {
        let Some(mut sink) = self.sink.take() else {
            return Err((self.wrap)(io::ErrorKind::BrokenPipe.into()));
        };
        let mut buffer = mem::replace(&mut self.waiting, mem::take(&mut self.spare));
        let under_way = UnderWay::start();
        let call = self.runner.run(move || {
            let mut result = sink.write_all(&buffer).and_then(|()| sink.flush());
            buffer.clear();
            let mut sink = Some(sink);
            if finish && result.is_ok() {
                result = sink.take().map_or(Ok(()), BlockingSink::finish);
            }
            drop(under_way);
            WriteDone { sink, buffer, result }
        });
        self.call = Some(call.map_err(|e| (self.wrap)(e))?);
        Ok(())
    }

    fn poll_take<'a>(
        &mut self,
        cx: &mut Context<'_>,
        parts: impl IntoIterator<Item = &'a [u8]>,
    ) -> Poll<io::Result<usize>> {
        let idle = self.poll_call(cx)?.is_ready();
        if idle && self.sink.is_none() {
            return Poll::Ready(Err((self.wrap)(io::ErrorKind::BrokenPipe.into())));
        }
        if self.waiting.len() >= CHUNK {
            if !idle {
                return Poll::Pending;
            }
            self.start_call(false)?;
        }
        let mut taken = 0;
        for part in parts {
            let n = part.len().min(CHUNK.saturating_sub(self.waiting.len()));
            self.waiting.extend_from_slice(part.get(..n).unwrap_or_default());
            taken += n;
        }
        // Write while the next bytes are on their way, but not each little piece by itself.
        if self.call.is_none() && self.waiting.len() >= CHUNK / 4 {
            self.start_call(false)?;
        }
        Poll::Ready(Ok(taken))
    }
}

impl<W: BlockingSink> Drop for BlockingWrite<W> {
    fn drop(&mut self) {
        let rest = mem::take(&mut self.waiting);
        if rest.is_empty() {
            return;
        }
        let (sink, call) = (self.sink.take(), self.call.take());
        let under_way = UnderWay::start();
        let write_rest = move || {
            let _under_way = under_way;
            // A running call is ahead of this one: it ends first.
            let sink = sink.or_else(|| call?.blocking_recv().ok().filter(|done| done.result.is_ok())?.sink);
            if let Some(Err(e)) = sink.map(|mut sink| sink.write_all(&rest).and_then(|()| sink.flush())) {
                tracing::warn!("the end of the output is lost: {e}");
            }
        };
        if let Err(e) = self.runner.run(write_rest) {
            tracing::warn!("the end of the output is lost: {e}");
        }
    }
}

impl<W: BlockingSink> AsyncWrite for BlockingWrite<W> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_take(cx, [buf])
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.poll_take(cx, bufs.iter().map(|b| &**b))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            ready!(self.poll_call(cx))?;
            if self.waiting.is_empty() {
                return Poll::Ready(Ok(()));
            }
            self.start_call(false)?;
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            ready!(self.poll_call(cx))?;
            if self.finished {
                return Poll::Ready(Ok(()));
            }
            self.start_call(true)?;
            self.finished = true;
        }
    }
}

impl<W: BlockingSink> StreamWrite for BlockingWrite<W> {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::tcp::tests::BOUND;
    use std::sync::Mutex;
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        time::timeout,
    };

    fn bare() -> Wrap {
        Arc::new(|e| e)
    }

    /// Reads that are short now and then, and a failure at the end if one is wanted.
    struct Source {
        data: io::Cursor<Vec<u8>>,
        reads: usize,
        fails: bool,
    }

    impl io::Read for Source {
        fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
            self.reads += 1;
            let n = if self.reads.is_multiple_of(3) { 1000 } else { buf.len() };
            match io::Read::read(&mut self.data, &mut buf[..n])? {
                0 if self.fails => Err(io::Error::other("bad sector")),
                n => Ok(n),
            }
        }
    }

    fn pattern(len: usize) -> Vec<u8> {
        (0..len).map(|n| (n ^ n >> 8) as u8).collect()
    }

    #[tokio::test]
    async fn reads_all_in_order_by_pool_and_thread() {
        for runner in [Runner::Pool, Runner::thread("test")] {
            for fails in [false, true] {
                let data = pattern(2_000_003);
                let source = Source { data: io::Cursor::new(data.clone()), reads: 0, fails };
                let mut read = BlockingRead::new(
                    source,
                    match runner {
                        Runner::Pool => Runner::Pool,
                        Runner::Thread { .. } => Runner::thread("test"),
                    },
                    bare(),
                );
                let mut got = Vec::new();
                let result = timeout(BOUND, read.read_to_end(&mut got)).await.unwrap();
                assert_eq!(
                    result.map_err(|e| e.to_string()),
                    if fails { Err("bad sector".into()) } else { Ok(data.len()) }
                );
                assert!(got == data);
                assert_eq!(read.read(&mut [0; 8]).await.unwrap(), 0);
            }
        }
    }

    #[derive(Clone, Default)]
    struct Sink(Arc<Mutex<(Vec<u8>, bool)>>, Option<usize>);

    impl io::Write for Sink {
        fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
            let mut inner = self.0.lock().unwrap();
            if self.1.is_some_and(|limit| inner.0.len() >= limit) {
                return Err(io::ErrorKind::StorageFull.into());
            }
            inner.0.extend_from_slice(buf);
            Ok(buf.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl BlockingSink for Sink {
        fn finish(self) -> io::Result<()> {
            self.0.lock().unwrap().1 = true;
            Ok(())
        }
    }

    /// Takes nothing before it is told to.
    struct Gate(std::sync::mpsc::Receiver<()>, Sink);

    impl io::Write for Gate {
        fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
            self.0.recv().map_err(io::Error::other)?;
            self.1.write(buf)
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl BlockingSink for Gate {
        fn finish(self) -> io::Result<()> {
            self.1.finish()
        }
    }

    #[tokio::test]
    async fn what_was_taken_by_a_dropped_writer_can_be_waited_for() {
        let sink = Sink::default();
        let (open, gate) = std::sync::mpsc::channel();
        let mut write = BlockingWrite::new(Gate(gate, sink.clone()), Runner::thread("test"), bare());
        write.write_all(b"one").await.unwrap();
        assert!(std::future::poll_fn(|cx| Poll::Ready(Pin::new(&mut write).poll_flush(cx))).await.is_pending());
        write.write_all(b"two").await.unwrap();
        drop(write); // one call runs, another is still to come
        let opener = thread::spawn(move || [open.send(()), open.send(())]);
        assert!(finish_writes());
        assert_eq!(sink.0.lock().unwrap().0, b"onetwo");
        opener.join().unwrap()[1].unwrap();
    }

    #[tokio::test]
    async fn writes_all_in_order_flushes_and_finishes_once() {
        let sink = Sink::default();
        let mut write = BlockingWrite::new(sink.clone(), Runner::thread("test"), bare());
        let data = pattern(2_000_003);
        timeout(BOUND, async {
            write.write_all(b"").await.unwrap();
            write.write_all(&data[..7]).await.unwrap();
            write.flush().await.unwrap();
            assert_eq!(sink.0.lock().unwrap().0, data[..7], "flush waits for the write");
            write.write_all(&data[7..]).await.unwrap();
            write.shutdown().await.unwrap();
            write.shutdown().await.unwrap();
        })
        .await
        .unwrap();
        let (written, finished) = sink.0.lock().unwrap().clone();
        assert!(written == data && finished);
        assert_eq!(write.write(b"late").await.unwrap_err().kind(), io::ErrorKind::BrokenPipe);
    }

    #[tokio::test]
    async fn what_was_taken_is_written_even_if_the_stream_is_dropped() {
        for runner in [Runner::Pool, Runner::thread("test")] {
            let sink = Sink::default();
            let mut write = BlockingWrite::new(sink.clone(), runner, bare());
            let data = pattern(CHUNK + CHUNK / 2);
            timeout(BOUND, write.write_all(&data)).await.unwrap().unwrap();
            drop(write);
            let done = async {
                while sink.0.lock().unwrap().0.len() < data.len() {
                    tokio::task::yield_now().await;
                }
            };
            timeout(BOUND, done).await.unwrap();
            assert!(sink.0.lock().unwrap().0 == data);
        }
    }

    #[tokio::test]
    async fn a_failed_write_is_reported_and_ends_it() {
        for end in 0..3 {
            let mut write = BlockingWrite::new(Sink(Default::default(), Some(0)), Runner::Pool, bare());
            write.write_all(b"x").await.unwrap();
            let e = match end {
                0 => write.flush().await,
                1 => write.shutdown().await,
                _ => write.write_all(&pattern(3 * CHUNK)).await,
            };
            assert_eq!(e.unwrap_err().kind(), io::ErrorKind::StorageFull);
            assert_eq!(write.write(b"y").await.unwrap_err().kind(), io::ErrorKind::BrokenPipe);
        }
    }
}
