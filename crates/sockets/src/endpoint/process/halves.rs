//! The pipes of a child as halves of a stream socket: plain ones, and those of a supervised child, which tell its
//! supervisor what becomes of the session.

use super::bond::Bond;
use crate::stream::{StreamRead, StreamWrite};
use std::{
    future::Future as _,
    io::{self, IoSlice},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    process::{ChildStdin, ChildStdout},
    time::{Sleep, sleep},
};
use tokio_util::sync::WaitForCancellationFutureOwned;

/// What the child writes. Pending, EOF, drop: as with any pipe; EOF when the child and its descendants closed their ends.
pub(super) struct Output<R>(pub R);

impl<R: AsyncRead + Unpin> AsyncRead for Output<R> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buf)
    }
}

impl<R: AsyncRead + Unpin + Send> StreamRead for Output<R> {}

/// What the child reads. Short writes: when the pipe fills up. Shutdown closes it, as does dropping; writing afterwards, or
/// to a child that closed its input, gives `BrokenPipe`. It never changes the bytes it is lent.
pub(super) struct Input<W = ChildStdin>(pub Option<W>);

impl<W: AsyncWrite + Unpin> Input<W> {
    fn open(&mut self) -> io::Result<Pin<&mut W>> {
        self.0.as_mut().map(Pin::new).ok_or_else(|| io::ErrorKind::BrokenPipe.into())
    }
}

impl<W: AsyncWrite + Unpin> AsyncWrite for Input<W> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.open()?.poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.open()?.poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.0.as_ref().is_some_and(AsyncWrite::is_write_vectored)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.as_mut().map_or(Poll::Ready(Ok(())), |input| Pin::new(input).poll_flush(cx))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = self.as_mut().poll_flush(cx);
        if flushed.is_ready() {
            self.0 = None;
        }
        flushed
    }
}

impl<W: AsyncWrite + Unpin + Send> StreamWrite for Input<W> {}

/// Held by both halves of a supervised child: when the last one is gone, so is the session.
#[derive(Clone)]
pub(super) struct Tie(Arc<Last>);

struct Last(Arc<Bond>);

impl Tie {
    pub fn new(bond: Arc<Bond>) -> Self {
        Self(Arc::new(Last(bond)))
    }

    fn bond(&self) -> &Arc<Bond> {
        &self.0.0
    }
}

impl Drop for Last {
    fn drop(&mut self) {
        self.0.left_alone();
    }
}

/// How long the end of a child and the end of its output may lie apart: descendants may say something after it, and it may
/// close its output before it ends. Each word counts anew.
pub(super) const APART: Duration = Duration::from_secs(1);

/// What a supervised child writes.
///
/// Pending: as with any pipe. EOF: when the child has ended and all that it and its descendants said was read; descendants
/// that are silent for a second do not count. A child that closes its output and goes on gives EOF a second later. Drop
/// midway: loses nothing but what was not read; the child's end then ends the session at once.
pub(super) struct SupervisedOutput<R = ChildStdout> {
    inner: R,
    tie: Tie,
    exited: Pin<Box<WaitForCancellationFutureOwned>>,
    /// Runs when one of the two has ended and the other one has not.
    apart: Option<Pin<Box<Sleep>>>,
    /// The pipe has ended.
    at_end: bool,
    over: bool,
}

impl<R> SupervisedOutput<R> {
    pub fn new(inner: R, tie: Tie) -> Self {
        let exited = Box::pin(tie.bond().exited());
        Self { inner, tie, exited, apart: None, at_end: false, over: false }
    }

    fn poll_apart(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.apart.get_or_insert_with(|| Box::pin(sleep(APART))).as_mut().poll(cx)
    }
}

impl<R: AsyncRead + Unpin> AsyncRead for SupervisedOutput<R> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if this.over || buf.remaining() == 0 {
            return Poll::Ready(Ok(()));
        }
        if !this.at_end {
            let before = buf.filled().len();
            if let Poll::Ready(result) = Pin::new(&mut this.inner).poll_read(cx, buf) {
                result?;
                this.apart = None;
                if buf.filled().len() > before {
                    this.tie.bond().spoke();
                    return Poll::Ready(Ok(()));
                }
                this.at_end = true;
            }
        }
        let exited = this.tie.bond().has_exited() || this.exited.as_mut().poll(cx).is_ready();
        if !(exited && this.at_end) {
            if !exited && !this.at_end {
                return Poll::Pending;
            }
            ready!(this.poll_apart(cx));
        }
        (this.over, this.apart) = (true, None);
        if exited {
            this.tie.bond().output_ended_with_it()
        } else {
            this.tie.bond().unread()
        }
        Poll::Ready(Ok(()))
    }
}

impl<R: AsyncRead + Unpin + Send> StreamRead for SupervisedOutput<R> {}

impl<R> Drop for SupervisedOutput<R> {
    fn drop(&mut self) {
        self.tie.bond().unread();
    }
}

/// What a supervised child reads.
///
/// Pending and short writes: as [`Input`]. A child that closed its input, or has ended, takes everything and forgets it:
/// what it still says must not be lost by that. Shutdown closes the pipe and is the end in order; dropping without it means
/// that the session was cut. It never changes the bytes it is lent.
pub(super) struct SupervisedInput<W: AsyncWrite + Unpin = ChildStdin> {
    inner: Input<W>,
    tie: Tie,
    /// The child does not read any more.
    deaf: bool,
}

impl<W: AsyncWrite + Unpin> SupervisedInput<W> {
    pub fn new(input: W, tie: Tie) -> Self {
        Self { inner: Input(Some(input)), tie, deaf: false }
    }

    /// A broken pipe takes `len` bytes.
    fn taken(&mut self, result: io::Result<usize>, len: usize) -> io::Result<usize> {
        match result {
            Err(e) if e.kind() == io::ErrorKind::BrokenPipe && self.inner.0.is_some() => {
                tracing::debug!("a child does not read any more; what comes for it is thrown away");
                self.deaf = true;
                Ok(len)
            }
            result => result,
        }
    }
}

impl<W: AsyncWrite + Unpin> AsyncWrite for SupervisedInput<W> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        if self.deaf {
            return Poll::Ready(Ok(buf.len()));
        }
        let result = ready!(Pin::new(&mut self.inner).poll_write(cx, buf));
        Poll::Ready(self.taken(result, buf.len()))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let len = bufs.iter().map(|b| b.len()).sum();
        if self.deaf {
            return Poll::Ready(Ok(len));
        }
        let result = ready!(Pin::new(&mut self.inner).poll_write_vectored(cx, bufs));
        Poll::Ready(self.taken(result, len))
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.deaf { Poll::Ready(Ok(())) } else { Pin::new(&mut self.inner).poll_flush(cx) }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.deaf {
            ready!(Pin::new(&mut self.inner).poll_shutdown(cx))?;
        }
        self.inner.0 = None;
        self.deaf = false;
        self.tie.bond().input_ended();
        Poll::Ready(Ok(()))
    }
}

impl<W: AsyncWrite + Unpin + Send> StreamWrite for SupervisedInput<W> {}

impl<W: AsyncWrite + Unpin> Drop for SupervisedInput<W> {
    fn drop(&mut self) {
        if self.inner.0.is_some() && !self.tie.bond().has_left() {
            self.tie.bond().cut();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt, duplex},
        time::Instant,
    };

    fn bond() -> Arc<Bond> {
        Arc::new(Bond::new(false))
    }

    fn exits(bond: &Bond) {
        bond.report(Err(Arc::new(io::Error::other("no status in this test"))));
    }

    async fn rest(output: &mut SupervisedOutput<tokio::io::DuplexStream>) -> (String, u64) {
        let start = Instant::now();
        let mut said = String::new();
        output.read_to_string(&mut said).await.unwrap();
        (said, start.elapsed().as_millis() as u64)
    }

    #[tokio::test(start_paused = true)]
    async fn the_childs_end_ends_its_output_when_all_was_read() {
        let (ours, mut theirs) = duplex(100);
        let bond = bond();
        let mut output = SupervisedOutput::new(ours, Tie::new(bond.clone()));
        theirs.write_all(b"last words").await.unwrap();
        drop(theirs);
        exits(&bond);
        assert!(!bond.has_left());
        assert_eq!(rest(&mut output).await, ("last words".to_owned(), 0));
        assert!(bond.has_left());
        assert_eq!(rest(&mut output).await, (String::new(), 0));
    }

    #[tokio::test(start_paused = true)]
    async fn descendants_may_go_on_speaking_but_not_be_silent() {
        let (ours, mut theirs) = duplex(100);
        let bond = bond();
        let mut output = SupervisedOutput::new(ours, Tie::new(bond.clone()));
        exits(&bond);
        let speak = async {
            for _ in 0..5 {
                sleep(APART / 2).await;
                theirs.write_all(b"x").await.unwrap();
            }
        };
        let ((said, ms), ()) = tokio::join!(rest(&mut output), speak);
        assert_eq!((said.as_str(), ms), ("xxxxx", 3500));
        assert!(bond.has_left());
    }

    #[tokio::test(start_paused = true)]
    async fn a_child_that_closes_its_output_and_goes_on_has_ended_one_direction() {
        let (ours, theirs) = duplex(100);
        let bond = bond();
        let mut output = SupervisedOutput::new(ours, Tie::new(bond.clone()));
        drop(theirs);
        assert_eq!(rest(&mut output).await, (String::new(), 1000));
        assert!(!bond.has_left());
        exits(&bond);
        // Nobody would notice by reading.
        bond.gone_unread().await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_child_whose_output_nobody_reads_ends_the_session_by_its_end() {
        let bond = bond();
        drop(SupervisedOutput::new(tokio::io::empty(), Tie::new(bond.clone())));
        exits(&bond);
        bond.gone_unread().await;
    }

    #[tokio::test]
    async fn a_deaf_child_takes_everything() {
        let (ours, theirs) = duplex(10);
        let bond = bond();
        let mut input = SupervisedInput::new(ours, Tie::new(bond.clone()));
        drop(theirs);
        input.write_all(&[0; 1000]).await.unwrap();
        input.write_all(&[0; 1000]).await.unwrap();
        input.flush().await.unwrap();
        input.shutdown().await.unwrap();
        assert_eq!(input.write_all(b"x").await.unwrap_err().kind(), io::ErrorKind::BrokenPipe);
        drop(input);
        let news = bond.news();
        assert!(news.ended && !news.cut);
    }

    #[tokio::test]
    async fn an_input_that_is_dropped_open_means_a_cut() {
        let bond = bond();
        drop(SupervisedInput::new(tokio::io::sink(), Tie::new(bond.clone())));
        assert!(bond.news().cut);
    }
}
