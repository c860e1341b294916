//! Descriptors that were inherited (standard input and output) and may be shared with other processes.
//!
//! O_NONBLOCK belongs to the open file description, which a shell and its other children share: setting it would break
//! them. So it never is. Pipes and terminals are opened once more through /proc (Linux), which gives a description of our
//! own; sockets take MSG_DONTWAIT with each call (where the kernel heeds it); everything else (regular files, devices, what
//! cannot be opened again) is left to a thread that may block.

#[cfg_attr(not(any(target_os = "linux", target_os = "android")), path = "inherited/elsewhere.rs")]
#[cfg_attr(any(target_os = "linux", target_os = "android"), path = "inherited/linux.rs")]
mod os;

pub use os::cannot_be_polled;

use super::send_flags;
use crate::stream::{StreamRead, StreamWrite};
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    fd::{AsFd, BorrowedFd, OwnedFd},
    fs::{FileType, OFlags, fcntl_getfl, fstat},
    io::{Errno, read, write, writev},
    net::{RecvFlags, recv, send},
};
use std::{
    io::{self, IoSlice},
    pin::Pin,
    task::{Context, Poll, ready},
    thread,
    time::Duration,
};
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf, unix::AsyncFd};

/// How a descriptor can be used without changing it.
pub enum Inherited {
    Polled(PolledFd),
    Blocking(BlockingFd),
}

/// What the descriptor is used for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    Input,
    Output,
}

/// Finds the best way for `fd`, a duplicate that may share its description. Call inside a runtime.
pub fn open(fd: OwnedFd, direction: Direction) -> io::Result<Inherited> {
    let stat = fstat(&fd)?;
    let kind = FileType::from_raw_mode(stat.st_mode);
    let mode = match direction {
        Direction::Input => OFlags::RDONLY,
        Direction::Output => OFlags::WRONLY,
    };
    let flags = fcntl_getfl(&fd)? & OFlags::ACCMODE;
    let permitted = flags == mode || flags == OFlags::RDWR;
    let reopened = match kind {
        FileType::Socket if direction == Direction::Output && send_flags::WAITS => {
            return Ok(Inherited::Blocking(BlockingFd { fd, kind }));
        }
        FileType::Socket => return PolledFd::new(fd, direction, true).map(Inherited::Polled),
        // Looked at afterwards, so that no writer can leave unseen in between.
        FileType::Fifo if permitted => {
            os::reopen(&fd, mode).filter(|_| direction == Direction::Output || !has_ended(&fd))
        }
        FileType::CharacterDevice if permitted && rustix::termios::isatty(&fd) && !os::is_multiplexer(&stat) => {
            os::reopen(&fd, mode)
        }
        _ => None,
    };
    // A device without poll refuses the registration: then a thread does as well.
    let polled = reopened.and_then(|own| PolledFd::new(own, direction, false).ok());
    Ok(polled.map_or(Inherited::Blocking(BlockingFd { fd, kind }), Inherited::Polled))
}

/// Nothing is left in the pipe and nobody writes to it. A named one that is opened again would wait for new writers.
fn has_ended(fd: &OwnedFd) -> bool {
    let mut pipe = [PollFd::new(fd, PollFlags::IN)];
    let polled = poll(&mut pipe, Some(&Timespec::default()));
    polled.is_ok() && pipe.iter().all(|p| p.revents() == PollFlags::HUP)
}

/// A pipe or terminal with a description of our own, or a shared socket.
///
/// Pending: woken when the kernel says so; nothing of the bytes is taken. Short writes: as the kernel gives them. EOF: as
/// the kernel gives it (a terminal may go on after it). Shutdown ends the direction of a socket, unless standard error is
/// the same one (a log socket); the rest is for the caller. Drop closes this descriptor only.
pub struct PolledFd {
    fd: AsyncFd<OwnedFd>,
    socket: bool,
}

impl PolledFd {
    #[allow(unsafe_code)] // a descriptor that is registered must stay open
    fn new(fd: OwnedFd, direction: Direction, socket: bool) -> io::Result<Self> {
        let interest = if direction == Direction::Input { Interest::READABLE } else { Interest::WRITABLE };
        // SAFETY: the OwnedFd moves into the AsyncFd, which is never taken apart here: it names the same open description
        // until it is dropped, after the AsyncFd deregistered it.
        let fd = unsafe { AsyncFd::register_with_interest(fd, interest) }?;
        Ok(Self { fd, socket })
    }

    /// For a descriptor whose description may become non-blocking, or is. An error if it cannot be polled.
    pub fn non_blocking(fd: OwnedFd, direction: Direction) -> io::Result<Self> {
        Self::new(fd, direction, false)
    }

    fn poll_output(
        &self,
        cx: &mut Context<'_>,
        mut output: impl FnMut(BorrowedFd<'_>) -> rustix::io::Result<usize>,
    ) -> Poll<io::Result<usize>> {
        loop {
            let mut guard = ready!(self.fd.poll_write_ready(cx))?;
            match guard.try_io(|fd| Ok(output(fd.get_ref().as_fd())?)) {
                Ok(Err(e)) if e.kind() == io::ErrorKind::Interrupted => {}
                Ok(result) => return Poll::Ready(result),
                Err(_not_ready) => {}
            }
        }
    }
}

impl AsyncRead for PolledFd {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        loop {
            let mut guard = ready!(self.fd.poll_read_ready(cx))?;
            let room = buf.initialize_unfilled();
            let result = guard.try_io(|fd| {
                Ok(if self.socket {
                    recv(fd.get_ref(), room, RecvFlags::DONTWAIT)?.0
                } else {
                    read(fd.get_ref(), room)?
                })
            });
            match result {
                Ok(Ok(n)) => {
                    buf.advance(n);
                    return Poll::Ready(Ok(()));
                }
                Ok(Err(e)) if e.kind() == io::ErrorKind::Interrupted => {}
                Ok(Err(e)) => return Poll::Ready(Err(e)),
                Err(_not_ready) => {}
            }
        }
    }
}

impl StreamRead for PolledFd {
    fn poll_readable(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.fd.poll_read_ready(cx).map_ok(drop)
    }
}

impl AsyncWrite for PolledFd {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        if self.socket {
            self.poll_output(cx, |fd| send(fd, buf, send_flags::NO_WAIT))
        } else {
            self.poll_output(cx, |fd| write(fd, buf))
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if self.socket {
            let first = bufs.iter().find(|b| !b.is_empty()).map_or(&[][..], |b| &**b);
            self.poll_write(cx, first)
        } else {
            self.poll_output(cx, |fd| writev(fd, bufs))
        }
    }

    fn is_write_vectored(&self) -> bool {
        !self.socket
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(if self.socket { end_output(self.fd.get_ref().as_fd()) } else { Ok(()) })
    }
}

impl StreamWrite for PolledFd {}

/// Half-closes a socket, unless standard error is the same one.
fn end_output(socket: BorrowedFd<'_>) -> io::Result<()> {
    if is_stderr(socket) {
        return Ok(());
    }
    match rustix::net::shutdown(socket, rustix::net::Shutdown::Write) {
        Err(Errno::NOTCONN) => Ok(()), // over already
        result => Ok(result?),
    }
}

/// Both are the same file or socket.
fn is_stderr(fd: BorrowedFd<'_>) -> bool {
    match (fstat(fd), fstat(rustix::stdio::stderr())) {
        (Ok(a), Ok(b)) => (a.st_dev, a.st_ino) == (b.st_dev, b.st_ino),
        _ => false,
    }
}

/// Anything else: calls block. If somebody else made the description non-blocking they wait all the same.
pub struct BlockingFd {
    fd: OwnedFd,
    kind: FileType,
}

/// Between looks at something that poll(2) knows nothing of.
const LOOK: Duration = Duration::from_millis(10);

impl BlockingFd {
    /// Another descriptor of the same description.
    pub fn try_clone(&self) -> io::Result<OwnedFd> {
        self.fd.try_clone()
    }

    /// It keeps bytes, and reading it has an end without anybody doing something. kqueue takes those, but does not tell of
    /// their end.
    pub fn is_storage(&self) -> bool {
        matches!(self.kind, FileType::RegularFile | FileType::Directory | FileType::BlockDevice)
    }

    /// Ends the direction of a socket; of anything else this closes one descriptor of perhaps many.
    pub fn end_output(self) -> io::Result<()> {
        if self.kind == FileType::Socket { end_output(self.fd.as_fd()) } else { Ok(()) }
    }

    fn wait<T>(&self, events: PollFlags, mut call: impl FnMut(&OwnedFd) -> rustix::io::Result<T>) -> io::Result<T> {
        loop {
            match call(&self.fd) {
                Err(Errno::AGAIN) => {}
                result => return Ok(result?),
            }
            let mut waited = [PollFd::new(&self.fd, events)];
            match poll(&mut waited, None) {
                Err(Errno::INTR) => {}
                // Some terminals and devices of macOS; a descriptor that is not open lets the call fail.
                Ok(_) if waited.iter().any(|p| p.revents().contains(PollFlags::NVAL)) => thread::sleep(LOOK),
                result => drop(result?),
            }
        }
    }
}

impl io::Read for BlockingFd {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.wait(PollFlags::IN, |fd| read(fd, &mut *buf))
    }
}

impl io::Write for BlockingFd {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.wait(PollFlags::OUT, |fd| write(fd, buf))
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::tcp::tests::BOUND;
    use std::{fs::File, io::Write, os::unix::net::UnixStream};
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        time::timeout,
    };

    fn polled(fd: OwnedFd, direction: Direction) -> PolledFd {
        match open(fd, direction).unwrap() {
            Inherited::Polled(polled) => polled,
            Inherited::Blocking(_) => panic!("would need a thread"),
        }
    }

    fn is_nonblocking(fd: impl AsFd) -> bool {
        fcntl_getfl(fd).unwrap().contains(OFlags::NONBLOCK)
    }

    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn pipes_are_polled_and_stay_blocking_for_others() {
        let (read, write) = rustix::pipe::pipe().unwrap();
        let mut input = polled(read.try_clone().unwrap(), Direction::Input);
        let mut output = polled(write.try_clone().unwrap(), Direction::Output);
        assert!(!is_nonblocking(&read) && !is_nonblocking(&write));
        drop(write);
        let data = vec![7; 1 << 20];
        let (_, got) = timeout(BOUND, async {
            tokio::join!(
                async {
                    output.write_all(&data).await.unwrap();
                    drop(output);
                },
                async {
                    let mut got = Vec::new();
                    input.read_to_end(&mut got).await.unwrap();
                    got
                }
            )
        })
        .await
        .unwrap();
        assert!(got == data);
    }

    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn a_named_pipe_whose_writer_left_has_ended() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("pipe");
        rustix::fs::mknodat(rustix::fs::CWD, &path, FileType::Fifo, rustix::fs::Mode::RWXU, 0).unwrap();
        for said in [&b"words"[..], b""] {
            let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
            let read = rustix::fs::open(&path, flags, rustix::fs::Mode::empty()).unwrap();
            let mut write = File::options().write(true).open(&path).unwrap();
            Write::write_all(&mut write, said).unwrap();
            drop(write);
            let mut got = Vec::new();
            match open(read, Direction::Input).unwrap() {
                Inherited::Polled(mut pipe) => timeout(BOUND, pipe.read_to_end(&mut got)).await.unwrap().unwrap(),
                Inherited::Blocking(mut pipe) => io::Read::read_to_end(&mut pipe, &mut got).unwrap(),
            };
            assert_eq!(got, said);
        }
    }

    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn a_pipe_whose_reader_left_gives_broken_pipe() {
        let (read, write) = rustix::pipe::pipe().unwrap();
        let mut output = polled(write.try_clone().unwrap(), Direction::Output);
        drop(read);
        let e = timeout(BOUND, output.write_all(b"x")).await.unwrap().unwrap_err();
        assert_eq!(e.kind(), io::ErrorKind::BrokenPipe);
        // And when it has left before.
        let mut output = polled(write, Direction::Output);
        let e = timeout(BOUND, output.write_all(b"x")).await.unwrap().unwrap_err();
        assert_eq!(e.kind(), io::ErrorKind::BrokenPipe);
    }

    #[tokio::test]
    async fn sockets_are_polled_stay_blocking_and_half_close() {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let mut input = polled(ours.try_clone().unwrap().into(), Direction::Input);
        let mut output = polled(ours.try_clone().unwrap().into(), Direction::Output);
        assert!(!is_nonblocking(&ours));
        theirs.set_nonblocking(true).unwrap();
        let mut theirs = tokio::net::UnixStream::from_std(theirs).unwrap();
        let echo = async {
            let mut got = Vec::new();
            theirs.read_to_end(&mut got).await.unwrap();
            theirs.write_all(&got).await.unwrap();
            theirs.shutdown().await.unwrap();
        };
        let talk = async {
            output.write_all(b"hello").await.unwrap();
            output.shutdown().await.unwrap();
            output.shutdown().await.unwrap();
            let mut got = Vec::new();
            input.read_to_end(&mut got).await.unwrap();
            assert_eq!(got, b"hello");
        };
        timeout(BOUND, async { tokio::join!(echo, talk) }).await.unwrap();
    }

    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn terminals_are_opened_again() {
        use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
        let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        grantpt(&master).unwrap();
        unlockpt(&master).unwrap();
        let name = ptsname(&master, Vec::new()).unwrap();
        let slave = rustix::fs::open(name, OFlags::RDWR | OFlags::NOCTTY, rustix::fs::Mode::empty()).unwrap();
        let mut input = polled(slave.try_clone().unwrap(), Direction::Input);
        assert!(!is_nonblocking(&slave));
        let master = File::from(master);
        (&master).write_all(b"typed\n\x04").unwrap();
        let mut buf = [0; 64];
        assert_eq!(timeout(BOUND, input.read(&mut buf)).await.unwrap().unwrap(), 6);
        assert_eq!(timeout(BOUND, input.read(&mut buf)).await.unwrap().unwrap(), 0, "control-D");
        assert!(matches!(open(master.into(), Direction::Input).unwrap(), Inherited::Blocking(_)));
    }

    #[test]
    fn the_end_of_a_blocking_socket_is_told() {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        let shared = ours.try_clone().unwrap();
        let mut output = BlockingFd { fd: ours.into(), kind: FileType::Socket };
        output.write_all(b"all").unwrap();
        output.end_output().unwrap();
        theirs.set_read_timeout(Some(BOUND)).unwrap();
        let mut got = String::new();
        io::Read::read_to_string(&mut theirs, &mut got).unwrap();
        assert_eq!(got, "all");
        // The other direction goes on.
        theirs.write_all(b"x").unwrap();
        shared.set_read_timeout(Some(BOUND)).unwrap();
        io::Read::read_exact(&mut &shared, &mut [0]).unwrap();
    }

    #[tokio::test]
    async fn files_and_devices_need_a_thread() {
        for path in ["/dev/null", "/dev/zero", "/etc/passwd"] {
            let file = File::open(path).unwrap();
            assert!(matches!(open(file.into(), Direction::Input).unwrap(), Inherited::Blocking(_)), "{path}");
        }
    }
}
