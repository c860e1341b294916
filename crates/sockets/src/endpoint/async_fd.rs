//! A descriptor that this process was started with, as a byte stream socket (`async-fd:`).
//!
//! It belongs to the socket from then on: when both halves are gone its number names /dev/null, so that whoever has the other
//! end of a pipe sees the end. 0 to 2 are only copied. O_NONBLOCK, which whoever shares the description would see too, is
//! set only on what can be polled in no other way (`net/inherited.rs`), and taken away again at the end, also at that of the
//! process ([`restore_all`]). Numbers that were not inherited are refused: they may be anything of our own.

use super::{
    blocking::{BlockingRead, BlockingWrite, Runner},
    file::{Nothing, WriteOnly},
};
use crate::{
    info::SocketInfo,
    net::{
        inherited::{self, Direction, Inherited, PolledFd},
        listening::listens,
    },
    socket::StreamSocket,
    stream::{BoxStreamRead, BoxStreamWrite, StreamRead, StreamWrite},
};
use rustix::{
    fd::{BorrowedFd, OwnedFd},
    fs::{Mode, OFlags, fcntl_getfl, fcntl_setfl},
    io::{Errno, FdFlags, dup2, fcntl_dupfd_cloexec, fcntl_getfd, fcntl_setfd},
};
use std::{
    io::{self, IoSlice},
    os::fd::{AsRawFd as _, FromRawFd as _, RawFd},
    pin::Pin,
    sync::{Arc, Mutex, PoisonError, Weak},
    task::{Context, Poll, ready},
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    sync::oneshot,
};

/// The lowest number that is taken over: 0 to 2 must never become something else.
const ABOVE_STDIO: RawFd = 3;

/// A descriptor cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum AsyncFdError {
    #[error("descriptor {0} is not open")]
    NotOpen(i64),
    #[error("descriptor {0} was not inherited, or is in use or was used before")]
    NotInherited(i64),
    #[error("descriptor {0} cannot be polled (a regular file?); --async-fd-force uses it all the same")]
    NotPollable(i64),
    /// Nothing would ever come of it.
    #[error("descriptor {0} is a listening socket: it can be neither read nor written")]
    Listens(i64),
    #[error("cannot use descriptor {fd}: {source}")]
    Failed { fd: i64, source: io::Error },
}

/// A read or write of an inherited descriptor that is no socket has failed: it is a file as others are. What becomes of
/// connections is another matter.
#[derive(Debug, thiserror::Error)]
pub enum AsyncFdIoError {
    #[error("cannot read descriptor {fd}: {source}")]
    Read { fd: RawFd, source: io::Error },
    #[error("cannot write descriptor {fd}: {source}")]
    Write { fd: RawFd, source: io::Error },
}

impl From<AsyncFdIoError> for io::Error {
    fn from(e: AsyncFdIoError) -> Self {
        let (AsyncFdIoError::Read { source, .. } | AsyncFdIoError::Write { source, .. }) = &e;
        Self::new(source.kind(), e)
    }
}

/// The descriptor as a socket, inside a runtime. `force`: what cannot be polled gets threads that may block.
///
/// One that is only open for reading takes and forgets what is written; reading from one that is only open for writing ends
/// with the writing.
pub fn async_fd_socket(fd: i64, force: bool) -> Result<StreamSocket, AsyncFdError> {
    let failed = |source: io::Error| AsyncFdError::Failed { fd, source };
    let taken = Arc::new(Taken::new(fd)?);
    let own = taken.fd().map_err(failed)?;
    let socket = kind_of_socket(own).map_err(failed)?;
    if socket == Some(Socket::Listening) {
        return Err(AsyncFdError::Listens(fd));
    }
    let named = if socket.is_some() { None } else { RawFd::try_from(fd).ok() };
    let access = fcntl_getfl(own).map_err(|e| failed(e.into()))? & OFlags::ACCMODE;
    let copy = || fcntl_dupfd_cloexec(own, ABOVE_STDIO).map_err(|e| failed(e.into()));
    let (open, closed) = oneshot::channel();
    let write: BoxStreamWrite = if access == OFlags::RDONLY {
        Box::new(Nothing)
    } else {
        let inner: BoxStreamWrite = match way(&taken, copy()?, Direction::Output).map_err(failed)? {
            Inherited::Polled(fd) => Box::new(fd),
            Inherited::Blocking(_) if !force => return Err(AsyncFdError::NotPollable(fd)),
            Inherited::Blocking(fd) => Box::new(BlockingWrite::new(fd, Runner::thread("async-fd"), Arc::new(|e| e))),
        };
        Box::new(FdWrite { inner, named, open: Some(open), _taken: taken.clone() })
    };
    let read: BoxStreamRead = if access == OFlags::WRONLY {
        Box::new(WriteOnly::until(closed))
    } else {
        let inner: BoxStreamRead = match way(&taken, copy()?, Direction::Input).map_err(failed)? {
            Inherited::Polled(fd) => Box::new(fd),
            Inherited::Blocking(_) if !force => return Err(AsyncFdError::NotPollable(fd)),
            Inherited::Blocking(fd) => Box::new(BlockingRead::new(fd, Runner::thread("async-fd"), Arc::new(|e| e))),
        };
        Box::new(FdRead { inner, named, _taken: taken.clone() })
    };
    let specifier = Some(format!("async-fd:{fd}").into());
    let write_only = access == OFlags::WRONLY;
    let info = Arc::new(SocketInfo { specifier, fd: Some(own.as_raw_fd()), write_only, ..Default::default() });
    Ok(StreamSocket { read: Some(read), write: Some(write), info, ..Default::default() })
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Socket {
    Listening,
    Other,
}

/// None: it is no socket.
fn kind_of_socket(fd: &OwnedFd) -> io::Result<Option<Socket>> {
    match listens(fd) {
        Ok(Some(true)) => Ok(Some(Socket::Listening)),
        // Where that cannot be known the first call will tell.
        Ok(Some(false) | None) => Ok(Some(Socket::Other)),
        Err(Errno::NOTSOCK) => Ok(None),
        Err(e) => Err(e.into()),
    }
}

/// Polled if that is possible somehow.
fn way(taken: &Arc<Taken>, copy: OwnedFd, direction: Direction) -> io::Result<Inherited> {
    match inherited::open(copy, direction)? {
        Inherited::Polled(fd) => Ok(Inherited::Polled(fd)),
        Inherited::Blocking(fd) if fd.is_storage() => Ok(Inherited::Blocking(fd)),
        Inherited::Blocking(fd) => match PolledFd::non_blocking(fd.try_clone()?, direction) {
            Ok(polled) => {
                taken.make_non_blocking()?;
                Ok(Inherited::Polled(polled))
            }
            Err(error) if inherited::cannot_be_polled(&error) => Ok(Inherited::Blocking(fd)),
            Err(error) => Err(error),
        },
    }
}

/// The inherited number, while a half of its socket lives.
struct Taken {
    /// Absent once it is being dropped.
    fd: Option<OwnedFd>,
    /// It was taken over, rather than copied.
    owned: bool,
    /// Flags as they were, if they were changed.
    before: Mutex<Option<OFlags>>,
}

/// Those whose flags were changed.
static CHANGED: Mutex<Vec<Weak<Taken>>> = Mutex::new(Vec::new());

/// Gives descriptors back the flags that they had. For a process that is about to end.
pub fn restore_all() {
    let changed: Vec<_> = CHANGED.lock().unwrap_or_else(PoisonError::into_inner).drain(..).collect();
    changed.iter().filter_map(Weak::upgrade).for_each(|taken| taken.restore());
}

impl Taken {
    #[allow(unsafe_code)] // a number that a user says
    fn new(fd: i64) -> Result<Self, AsyncFdError> {
        let raw = RawFd::try_from(fd).ok().filter(|n| *n >= 0).ok_or(AsyncFdError::NotOpen(fd))?;
        let failed = |e: Errno| match e {
            Errno::BADF => AsyncFdError::NotOpen(fd),
            e => AsyncFdError::Failed { fd, source: e.into() },
        };
        // SAFETY: the number is used for calls that say EBADF when it is not open; -1 was refused above.
        let borrowed = unsafe { BorrowedFd::borrow_raw(raw) };
        let flags = fcntl_getfd(borrowed).map_err(failed)?;
        let owned = raw >= ABOVE_STDIO;
        let fd = if owned {
            // Everything that this process opens itself is closed on exec, and so is what was taken over before.
            if flags.contains(FdFlags::CLOEXEC) {
                return Err(AsyncFdError::NotInherited(fd));
            }
            fcntl_setfd(borrowed, flags | FdFlags::CLOEXEC).map_err(failed)?;
            // SAFETY: an inherited number that nobody else here knows: whoever asks for it next is refused by the flag.
            unsafe { OwnedFd::from_raw_fd(raw) }
        } else {
            fcntl_dupfd_cloexec(borrowed, ABOVE_STDIO).map_err(failed)?
        };
        Ok(Self { fd: Some(fd), owned, before: Mutex::new(None) })
    }

    /// The descriptor, as long as this lives.
    fn fd(&self) -> io::Result<&OwnedFd> {
        self.fd.as_ref().ok_or_else(|| io::ErrorKind::NotConnected.into())
    }

    fn make_non_blocking(self: &Arc<Self>) -> io::Result<()> {
        let flags = fcntl_getfl(self.fd()?)?;
        if !flags.contains(OFlags::NONBLOCK) {
            *self.before.lock().unwrap_or_else(PoisonError::into_inner) = Some(flags);
            CHANGED.lock().unwrap_or_else(PoisonError::into_inner).push(Arc::downgrade(self));
            fcntl_setfl(self.fd()?, flags | OFlags::NONBLOCK)?;
        }
        Ok(())
    }

    fn restore(&self) {
        if let Some(flags) = self.before.lock().unwrap_or_else(PoisonError::into_inner).take()
            && let Some(fd) = &self.fd
            && let Err(error) = fcntl_setfl(fd, flags)
        {
            tracing::warn!(%error, "cannot make descriptor {} blocking again", fd.as_raw_fd());
        }
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        self.restore();
        CHANGED.lock().unwrap_or_else(PoisonError::into_inner).retain(|taken| taken.strong_count() > 0);
        let Some(mut fd) = self.fd.take().filter(|_| self.owned) else { return };
        // The number stays taken: it must not become something else that is asked for by it.
        let null = rustix::fs::open("/dev/null", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty());
        let replaced = null.and_then(|null| dup2(null, &mut fd)).and_then(|()| fcntl_setfd(&fd, FdFlags::CLOEXEC));
        if replaced.is_ok() {
            std::mem::forget(fd);
        }
    }
}

/// As the half below.
struct FdRead {
    inner: BoxStreamRead,
    /// The number that errors name.
    named: Option<RawFd>,
    _taken: Arc<Taken>,
}

impl FdRead {
    fn explain(&self, source: io::Error) -> io::Error {
        match self.named {
            Some(fd) => AsyncFdIoError::Read { fd, source }.into(),
            None => source,
        }
    }
}

impl AsyncRead for FdRead {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.inner).poll_read(cx, buf).map_err(|e| self.explain(e))
    }
}

impl StreamRead for FdRead {
    fn poll_readable(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.inner.poll_readable(cx).map_err(|e| self.explain(e))
    }
}

/// As the half below, but that shutdown only flushes: the other direction has the same description.
struct FdWrite {
    inner: BoxStreamWrite,
    /// The number that errors name.
    named: Option<RawFd>,
    /// Lets the read half know when this one has ended.
    open: Option<oneshot::Sender<()>>,
    _taken: Arc<Taken>,
}

impl FdWrite {
    fn explain(&self, source: io::Error) -> io::Error {
        match self.named {
            Some(fd) => AsyncFdIoError::Write { fd, source }.into(),
            None => source,
        }
    }
}

impl AsyncWrite for FdWrite {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut *self.inner).poll_write(cx, buf).map_err(|e| self.explain(e))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut *self.inner).poll_write_vectored(cx, bufs).map_err(|e| self.explain(e))
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.inner).poll_flush(cx).map_err(|e| self.explain(e))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.as_mut().poll_flush(cx))?;
        self.open = None;
        Poll::Ready(Ok(()))
    }
}

impl StreamWrite for FdWrite {}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;
    use crate::net::tcp::tests::BOUND;
    use rustix::{
        event::{EventfdFlags, eventfd},
        fd::AsFd,
    };
    use std::os::fd::IntoRawFd as _;
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        time::timeout,
    };

    /// As if this process had been started with it.
    fn inherit(fd: OwnedFd) -> i64 {
        fcntl_setfd(&fd, FdFlags::empty()).unwrap();
        fd.into_raw_fd().into()
    }

    fn is_non_blocking(fd: impl AsFd) -> bool {
        fcntl_getfl(fd).unwrap().contains(OFlags::NONBLOCK)
    }

    fn error(fd: i64, force: bool) -> String {
        async_fd_socket(fd, force).err().unwrap().to_string()
    }

    #[tokio::test]
    async fn a_pipe_carries_bytes_and_ends_with_its_socket() {
        let (read, write) = rustix::pipe::pipe().unwrap();
        let (mirror, kept) = (write.try_clone().unwrap(), read.try_clone().unwrap());
        let (read, write) = (inherit(read), inherit(write));
        let mut input = async_fd_socket(read, false).unwrap();
        let mut output = async_fd_socket(write, false).unwrap();
        assert!(!is_non_blocking(&mirror) && !is_non_blocking(&kept), "nobody else is disturbed");
        assert_eq!(
            error(write, true),
            format!("descriptor {write} was not inherited, or is in use or was used before")
        );
        let to = output.write.as_mut().unwrap();
        to.write_all(b"hello").await.unwrap();
        to.shutdown().await.unwrap();
        // Only written: reading ends with the writing.
        assert_eq!(output.read.as_mut().unwrap().read(&mut [0; 4]).await.unwrap(), 0);
        drop((output, mirror));
        let mut got = String::new();
        timeout(BOUND, input.read.as_mut().unwrap().read_to_string(&mut got)).await.unwrap().unwrap();
        assert_eq!(got, "hello");
        input.write.as_mut().unwrap().write_all(b"forgotten").await.unwrap();
        assert!(error(write, true).contains("was used before"), "the number did not become something else");
    }

    #[tokio::test]
    async fn what_can_only_be_polled_non_blocking_blocks_again_afterwards() {
        for all in [false, true] {
            let event = eventfd(0, EventfdFlags::CLOEXEC).unwrap();
            let kept = event.try_clone().unwrap();
            let mut socket = async_fd_socket(inherit(event), false).unwrap();
            assert!(is_non_blocking(&kept));
            socket.write.as_mut().unwrap().write_all(&7u64.to_ne_bytes()).await.unwrap();
            let mut count = [0; 8];
            timeout(BOUND, socket.read.as_mut().unwrap().read_exact(&mut count)).await.unwrap().unwrap();
            assert_eq!(u64::from_ne_bytes(count), 7);
            if all {
                restore_all();
                assert!(!is_non_blocking(&kept));
            }
            socket.write = None;
            assert_ne!(is_non_blocking(&kept), all, "the other half lives");
            drop(socket);
            assert!(!is_non_blocking(&kept));
        }
        // Whoever had it so before keeps it so.
        let event = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK).unwrap();
        let kept = event.try_clone().unwrap();
        drop(async_fd_socket(inherit(event), false).unwrap());
        assert!(is_non_blocking(&kept));
    }

    #[tokio::test]
    async fn regular_files_need_force() {
        let file = tempfile::tempfile().unwrap();
        let refused = inherit(file.try_clone().unwrap().into());
        assert!(error(refused, false).contains("--async-fd-force"));
        let mut socket = async_fd_socket(inherit(file.try_clone().unwrap().into()), true).unwrap();
        let write = socket.write.as_mut().unwrap();
        write.write_all(b"words").await.unwrap();
        timeout(BOUND, write.shutdown()).await.unwrap().unwrap();
        rustix::fs::seek(&file, rustix::fs::SeekFrom::Start(0)).unwrap();
        let mut got = String::new();
        timeout(BOUND, socket.read.as_mut().unwrap().read_to_string(&mut got)).await.unwrap().unwrap();
        assert_eq!(got, "words");
    }

    #[tokio::test]
    async fn wrong_numbers_are_refused() {
        for fd in [-1, 1_000_000, i64::MAX] {
            assert_eq!(error(fd, true), format!("descriptor {fd} is not open"));
        }
        let own = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).unwrap();
        let number = own.0.as_raw_fd();
        assert!(error(number.into(), true).contains("was not inherited"));
    }
}
