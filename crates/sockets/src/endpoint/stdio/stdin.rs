//! Standard input as the read half of a stream.
//!
//! Opened at the first read: a session that never reads does not touch it. What the system can poll is polled
//! (`net/inherited.rs`), everything else is read by a thread (`blocking.rs`).

use super::{StdioError, os};
use crate::stream::{BoxStreamRead, StreamRead};
use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};
use tokio::io::{AsyncRead, ReadBuf};

type Open = Box<dyn FnOnce() -> io::Result<BoxStreamRead> + Send>;

enum State {
    Unopened(Open),
    Open(BoxStreamRead),
    /// EOF or an error was given out. A terminal would go on after control-D: for us it does not.
    Ended,
}

/// Reads standard input, beginning with the first poll.
///
/// Pending: woken when there is input, nothing is lost. EOF and errors: EOF ever after. Drop midway: where a thread reads
/// (regular files, devices), bytes that it is just taking are lost; it ends after that read. It changes only the unfilled
/// part of the buffer it is given.
pub struct StdinRead(State);

impl StdinRead {
    pub fn new() -> Self {
        Self::from_open(Box::new(os::open_stdin))
    }

    pub(super) fn from_open(open: Open) -> Self {
        Self(State::Unopened(open))
    }

    /// The source, opened if need be; none after the end.
    fn opened(&mut self) -> io::Result<Option<&mut BoxStreamRead>> {
        if matches!(self.0, State::Unopened(_))
            && let State::Unopened(open) = std::mem::replace(&mut self.0, State::Ended)
        {
            self.0 = State::Open(open().map_err(StdioError::Read)?);
        }
        Ok(if let State::Open(source) = &mut self.0 { Some(source) } else { None })
    }

    fn failed(&mut self, e: io::Error) -> io::Error {
        self.0 = State::Ended;
        StdioError::Read(e).into()
    }
}

impl Default for StdinRead {
    fn default() -> Self {
        Self::new()
    }
}

impl AsyncRead for StdinRead {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let Some(source) = self.opened()? else {
            return Poll::Ready(Ok(()));
        };
        let result = ready!(Pin::new(&mut **source).poll_read(cx, buf));
        if result.is_ok() && buf.filled().len() == before && buf.remaining() > 0 {
            self.0 = State::Ended;
        }
        Poll::Ready(result.map_err(|e| self.failed(e)))
    }
}

impl StreamRead for StdinRead {
    fn poll_readable(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Some(source) = self.opened()? else {
            return Poll::Ready(Ok(()));
        };
        let result = ready!(source.poll_readable(cx));
        Poll::Ready(result.map_err(|e| self.failed(e)))
    }
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;
    use crate::net::tcp::tests::BOUND;
    use std::{
        fs::File,
        io::{Read, Seek, Write},
        os::fd::OwnedFd,
    };
    use tokio::{io::AsyncReadExt, time::timeout};

    fn stdin_of(fd: impl Into<OwnedFd>) -> StdinRead {
        let fd = fd.into();
        StdinRead::from_open(Box::new(|| os::open_input(fd)))
    }

    #[tokio::test]
    async fn reads_a_pipe_to_its_end_and_stays_there() {
        let (read, write) = rustix::pipe::pipe().unwrap();
        let mut input = stdin_of(read);
        let mut write = File::from(write);
        write.write_all(b"abc").unwrap();
        let mut buf = [0; 16];
        assert_eq!(timeout(BOUND, input.read(&mut buf)).await.unwrap().unwrap(), 3);
        let waiting = tokio::spawn(async move {
            let mut rest = String::new();
            input.read_to_string(&mut rest).await.unwrap();
            assert_eq!(input.read(&mut [0; 4]).await.unwrap(), 0);
            rest
        });
        tokio::task::yield_now().await;
        write.write_all(b"def").unwrap();
        drop(write);
        assert_eq!(timeout(BOUND, waiting).await.unwrap().unwrap(), "def");
    }

    #[tokio::test]
    async fn reads_a_regular_file_but_not_before_it_is_polled() {
        let data: Vec<u8> = (0..1_000_000u32).map(|n| (n >> 4) as u8).collect();
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&data).unwrap();
        file.rewind().unwrap();
        let shared = file.try_clone().unwrap();
        drop(stdin_of(shared.try_clone().unwrap()));
        assert_eq!(file.stream_position().unwrap(), 0, "an unread socket consumes nothing");
        let mut got = Vec::new();
        timeout(BOUND, stdin_of(shared).read_to_end(&mut got)).await.unwrap().unwrap();
        assert!(got == data);
        assert_eq!(file.read(&mut [0; 1]).unwrap(), 0);
    }

    #[tokio::test]
    async fn errors_name_the_side() {
        let mut input = stdin_of(File::open("/").unwrap());
        let e = timeout(BOUND, input.read(&mut [0; 4])).await.unwrap().unwrap_err();
        assert_eq!(e.kind(), io::ErrorKind::IsADirectory);
        assert!(e.to_string().starts_with("cannot read standard input: "), "{e}");
        assert_eq!(input.read(&mut [0; 4]).await.unwrap(), 0);
    }
}
