//! Standard output as the write half of a stream.
//!
//! Opened at the first write. What the system can poll is polled (`net/inherited.rs`), everything else is written by a
//! thread (`blocking.rs`).

use super::{StdioError, os};
use crate::stream::{BoxStreamWrite, StreamWrite};
use std::{
    io::{self, IoSlice},
    pin::Pin,
    task::{Context, Poll, ready},
};
use tokio::io::AsyncWrite;

type Open = Box<dyn FnOnce() -> io::Result<BoxStreamWrite> + Send>;
type Close = Box<dyn FnOnce() -> io::Result<()> + Send>;

enum State {
    Unopened(Open),
    Open(BoxStreamWrite),
    Closed,
}

/// Writes standard output. What the downstream reader sees is the end of its input when this half is shut down: then
/// /dev/null takes the place of descriptor 1 (outside Unix it stays open until the process ends).
///
/// Pending: nothing of the slice was taken. Short writes: as the kernel or the buffer of the thread gives them. Flush waits
/// until the system has everything. A closed pipe gives `BrokenPipe`. Shutdown may be repeated; dropping does not shut
/// down. It never changes the bytes it is lent.
pub struct StdoutWrite {
    state: State,
    close: Option<Close>,
}

impl StdoutWrite {
    pub fn new() -> Self {
        Self::from_open(Box::new(os::open_stdout), Box::new(os::close_stdout))
    }

    /// Its shutdown ends nothing: standard output is for others, too.
    pub fn that_stays_open() -> Self {
        Self::from_open(Box::new(os::open_stdout), Box::new(|| Ok(())))
    }

    pub(super) fn from_open(open: Open, close: Close) -> Self {
        Self { state: State::Unopened(open), close: Some(close) }
    }

    fn opened(&mut self) -> io::Result<&mut BoxStreamWrite> {
        if matches!(self.state, State::Unopened(_))
            && let State::Unopened(open) = std::mem::replace(&mut self.state, State::Closed)
        {
            self.state = State::Open(open().map_err(StdioError::Write)?);
        }
        match &mut self.state {
            State::Open(sink) => Ok(sink),
            _ => Err(StdioError::Write(io::ErrorKind::BrokenPipe.into()).into()),
        }
    }
}

impl Default for StdoutWrite {
    fn default() -> Self {
        Self::new()
    }
}

fn failed(e: io::Error) -> io::Error {
    StdioError::Write(e).into()
}

impl AsyncWrite for StdoutWrite {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut **self.opened()?).poll_write(cx, buf).map_err(failed)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut **self.opened()?).poll_write_vectored(cx, bufs).map_err(failed)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.state {
            State::Open(sink) => Pin::new(&mut **sink).poll_flush(cx).map_err(failed),
            _ => Poll::Ready(Ok(())), // nothing was taken
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.close.is_none() {
            return Poll::Ready(Ok(()));
        }
        // Opened even if nothing was written: a socket has to be told the end.
        let result = match self.opened() {
            Ok(sink) => ready!(Pin::new(&mut **sink).poll_shutdown(cx)).map_err(failed),
            Err(e) => Err(e),
        };
        self.state = State::Closed;
        let closed = self.close.take().map_or(Ok(()), |close| close()).map_err(failed);
        Poll::Ready(result.and(closed))
    }
}

impl StreamWrite for StdoutWrite {}

#[cfg(all(test, unix))]
mod tests {
    use super::*;
    use crate::net::tcp::tests::BOUND;
    use std::{
        fs::File,
        io::{Read, Seek},
        os::fd::OwnedFd,
    };
    use tokio::{io::AsyncWriteExt, time::timeout};

    /// Stands for descriptor `fd`, which is closed at shutdown.
    fn stdout_of(fd: impl Into<OwnedFd>) -> StdoutWrite {
        let fd = fd.into();
        let duplicate = fd.try_clone().unwrap();
        StdoutWrite::from_open(
            Box::new(|| os::open_output(duplicate)),
            Box::new(|| {
                drop(fd);
                Ok(())
            }),
        )
    }

    #[tokio::test]
    async fn shutdown_ends_the_input_of_the_reader_downstream() {
        for written in [&b""[..], b"some output"] {
            let (read, write) = rustix::pipe::pipe().unwrap();
            let mut output = stdout_of(write);
            timeout(BOUND, async {
                output.write_all(written).await.unwrap();
                output.flush().await.unwrap();
                output.shutdown().await.unwrap();
                output.shutdown().await.unwrap();
            })
            .await
            .unwrap();
            let read = tokio::task::spawn_blocking(|| {
                let mut got = Vec::new();
                File::from(read).read_to_end(&mut got).map(|_| got)
            });
            assert_eq!(timeout(BOUND, read).await.unwrap().unwrap().unwrap(), written);
            assert_eq!(output.write(b"late").await.unwrap_err().kind(), io::ErrorKind::BrokenPipe);
        }
    }

    #[tokio::test]
    async fn a_regular_file_has_everything_after_flush() {
        let mut file = tempfile::tempfile().unwrap();
        let mut output = stdout_of(file.try_clone().unwrap());
        let data: Vec<u8> = (0..1_000_000u32).map(|n| (n >> 4) as u8).collect();
        timeout(BOUND, output.write_all(&data)).await.unwrap().unwrap();
        timeout(BOUND, output.flush()).await.unwrap().unwrap();
        let mut got = Vec::new();
        file.rewind().unwrap();
        file.read_to_end(&mut got).unwrap();
        assert!(got == data);
    }

    #[tokio::test]
    async fn errors_name_the_side_and_keep_their_kind() {
        let (read, write) = rustix::pipe::pipe().unwrap();
        drop(read);
        let mut output = stdout_of(write);
        let e = timeout(BOUND, async {
            output.write_all(b"x").await?;
            output.flush().await
        });
        let e = e.await.unwrap().unwrap_err();
        assert_eq!(e.kind(), io::ErrorKind::BrokenPipe);
        assert!(e.to_string().starts_with("cannot write to standard output: "), "{e}");
        assert!(matches!(e.get_ref().unwrap().downcast_ref(), Some(StdioError::Write(_))));
    }

    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn a_full_disk_is_an_error() {
        let mut output = stdout_of(File::options().write(true).open("/dev/full").unwrap());
        let e = timeout(BOUND, async {
            output.write_all(b"x").await?;
            output.shutdown().await
        });
        assert_eq!(e.await.unwrap().unwrap_err().kind(), io::ErrorKind::StorageFull);
    }
}
