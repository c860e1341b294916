//! Socket to socket, TCP or UNIX, inside the kernel: `splice(2)` through a pipe, for byte exchanges with nothing
//! between the two.
//!
//! Pipes of 1 MiB come from a per-worker pool and go back when nothing is in them, so an idle connection owns none. Where
//! pipes cannot be made (descriptors or the user's pipe quota used up) the caller goes on with a plain copy.

use crate::{
    copy::StreamCopy,
    exchange::Failed,
    net::kernel_stream::KernelStream,
    stream::{BoxStreamRead, BoxStreamWrite, wrote},
};
use rustix::{
    io::{Errno, write},
    net::{RecvFlags, recv},
    pipe::{PipeFlags, SpliceFlags, fcntl_getpipe_size, fcntl_setpipe_size, pipe_with, splice},
};
use std::{
    cell::RefCell,
    io,
    os::fd::OwnedFd,
    pin::Pin,
    task::{Context, Poll, ready},
};
use tokio::io::Interest;

/// Capacity asked for; the kernel's usual limit for ordinary users.
const CAPACITY: usize = 1 << 20;
/// Below this the kernel has run into the user's quota, and copying through a buffer is faster.
const LEAST: usize = 64 << 10;
/// Most pipes that a worker keeps for reuse. An empty pipe costs two descriptors and hardly any memory.
const KEEP: usize = 16;

/// Read end, write end.
type Ends = (OwnedFd, OwnedFd);

thread_local! {
    static POOL: RefCell<Vec<Ends>> = const { RefCell::new(Vec::new()) };
}

/// A pipe from the pool; it goes back there unless bytes are left in it.
struct Pipe {
    ends: Option<Ends>,
    held: usize,
}

impl Pipe {
    fn take() -> io::Result<Self> {
        let pooled = POOL.try_with(|p| p.borrow_mut().pop()).ok().flatten();
        let ends = match pooled {
            Some(ends) => ends,
            None => {
                let ends = pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK)?;
                // Refused when over the quota: what counts is the size that it has now.
                let size = fcntl_setpipe_size(&ends.1, CAPACITY).or_else(|_| fcntl_getpipe_size(&ends.1))?;
                if size < LEAST {
                    return Err(io::ErrorKind::OutOfMemory.into());
                }
                ends
            }
        };
        Ok(Self { ends: Some(ends), held: 0 })
    }
}

impl Drop for Pipe {
    fn drop(&mut self) {
        let Some(ends) = self.ends.take().filter(|_| self.held == 0) else {
            return;
        };
        // While a thread ends its pool may be gone already: the pipe is then just closed.
        let _ = POOL.try_with(|p| {
            let mut pool = p.borrow_mut();
            if pool.len() < KEEP {
                pool.push(ends);
            }
        });
    }
}

pub(crate) enum Spliced {
    /// The end of the stream arrived and was handed on.
    Ended,
    /// The kernel refuses. Nothing is lost: go on with [`SpliceCopy::into_copy`].
    Unsupported,
}

/// One direction between two sockets of the kernel.
///
/// Pending: readable or writable is awaited, what was read waits in the pipe. EOF: the sink is shut down. Drop midway:
/// loses what is in the pipe.
pub struct SpliceCopy {
    from: BoxStreamRead,
    to: BoxStreamWrite,
    pipe: Option<Pipe>,
    /// Most bytes per call.
    limit: usize,
    eof: bool,
}

/// What remains after [`SpliceCopy::new`] refused: the halves as they came.
pub(crate) type Halves = (BoxStreamRead, BoxStreamWrite);

impl SpliceCopy {
    /// Gives the halves back when one of the two is not simply a socket of the kernel.
    pub(crate) fn new(from: BoxStreamRead, to: BoxStreamWrite, limit: Option<usize>) -> Result<Self, Halves> {
        if from.kernel().is_none() || to.kernel().is_none() {
            return Err((from, to));
        }
        let limit = limit.map_or(CAPACITY, |n| n.clamp(1, CAPACITY));
        Ok(Self { from, to, pipe: None, limit, eof: false })
    }

    /// Goes on through a buffer, with the same bound per call.
    pub(crate) fn into_copy(self) -> StreamCopy {
        let size = Some(self.limit).filter(|n| *n < CAPACITY);
        StreamCopy::new(self.from, self.to, size)
    }

    /// Writes what is in the pipe.
    fn poll_empty(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while let Some(Pipe { ends: Some((read, _)), held }) = self.pipe.as_mut().filter(|p| p.held > 0) {
            let to = kernel(self.to.kernel().map(|socket| &**socket))?;
            ready!(to.poll_write_ready(cx))?;
            match to.try_io(Interest::WRITABLE, || Ok(splice(&*read, None, to, None, *held, FLAGS)?)) {
                Ok(n) => *held = held.saturating_sub(wrote(n)?),
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => {}
                Err(e) => return Poll::Ready(Err(e)),
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Fills the empty pipe. `Ok(false)`: it cannot be done this way.
    fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<bool>> {
        loop {
            let from = kernel(self.from.kernel().map(|socket| &**socket))?;
            if from.poll_read_ready(cx)?.is_pending() {
                self.pipe = None;
                return Poll::Pending;
            }
            if self.pipe.is_none() {
                match Pipe::take() {
                    Ok(pipe) => self.pipe = Some(pipe),
                    Err(error) => {
                        tracing::debug!(%error, "no pipe for splicing, copying instead");
                        return Poll::Ready(Ok(false));
                    }
                }
            }
            let Some(Pipe { ends: Some((_, into)), held }) = &mut self.pipe else {
                return Poll::Ready(Ok(false));
            };
            // The pipe is empty, so that WouldBlock can only mean the socket.
            let limit = self.limit;
            let fill = || match splice(from, None, &*into, None, limit, FLAGS) {
                Ok(0) | Err(Errno::AGAIN) => pass_mark(from, into, limit),
                result => result,
            };
            match from.try_io(Interest::READABLE, || Ok(fill()?)) {
                Ok(n) => {
                    (*held, self.eof) = (n, n == 0);
                    return Poll::Ready(Ok(true));
                }
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => {}
                Err(e) if [Errno::INVAL, Errno::NOSYS].iter().any(|n| e.raw_os_error() == Some(n.raw_os_error())) => {
                    return Poll::Ready(Ok(false));
                }
                Err(e) => return Poll::Ready(Err(e)),
            }
        }
    }

    pub(crate) fn poll_splice(&mut self, cx: &mut Context<'_>) -> Poll<Result<Spliced, Failed>> {
        // Bounded by tokio's budget, which `poll_read_ready` and `poll_write_ready` use up.
        loop {
            ready!(self.poll_empty(cx)).map_err(Failed::sink)?;
            if self.eof {
                self.pipe = None;
                ready!(Pin::new(&mut *self.to).poll_shutdown(cx)).map_err(Failed::sink)?;
                return Poll::Ready(Ok(Spliced::Ended));
            }
            if !ready!(self.poll_fill(cx)).map_err(Failed::source)? {
                return Poll::Ready(Ok(Spliced::Unsupported));
            }
        }
    }

    /// The source is broken: offers all that it still has to the sink, without waiting and without an end.
    pub(crate) fn offer_all(&mut self, cx: &mut Context<'_>) {
        loop {
            match self.poll_empty(cx) {
                Poll::Ready(Ok(())) if !self.eof => {}
                _ => return, // the session has failed already
            }
            if !matches!(self.poll_fill(cx), Poll::Ready(Ok(true))) {
                return;
            }
        }
    }

    /// Offers what was read already to the sink, without waiting.
    pub(crate) fn offer_rest(&mut self, cx: &mut Context<'_>) {
        let _ = self.poll_empty(cx); // the session has failed already
    }
}

/// Reads what splicing does not get past: the kernel stops it in front of a byte that was sent as urgent, for ever, and
/// after a FIN takes that for the end. An ordinary read takes the byte along (SO_OOBINLINE) or skips it. `pipe` is empty.
fn pass_mark(from: &KernelStream, pipe: &OwnedFd, limit: usize) -> rustix::io::Result<usize> {
    // What usually comes back is EAGAIN, or the end, once more. Less than a pipe always takes at once.
    let mut few = [0; 512];
    let most = limit.min(few.len());
    let room = few.get_mut(..most).unwrap_or_default();
    let (n, _) = recv(from, &mut *room, RecvFlags::DONTWAIT)?;
    match room.get(..n) {
        Some(read) if n > 0 => write(pipe, read),
        _ => Ok(0),
    }
}

const FLAGS: SpliceFlags = SpliceFlags::MOVE.union(SpliceFlags::NONBLOCK);

fn kernel(socket: Option<&KernelStream>) -> io::Result<&KernelStream> {
    socket.ok_or_else(|| io::ErrorKind::Unsupported.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pooled() -> usize {
        POOL.with(|p| p.borrow().len())
    }

    #[test]
    fn empty_pipes_return_to_the_pool_and_others_do_not() {
        let mut many: Vec<_> = (0..KEEP + 4).map(|_| Pipe::take().unwrap()).collect();
        assert_eq!(pooled(), 0);
        many.iter_mut().take(2).for_each(|p| p.held = 1);
        drop(many);
        assert_eq!(pooled(), KEEP);
        drop(Pipe::take().unwrap());
        assert_eq!(pooled(), KEEP);
    }
}
