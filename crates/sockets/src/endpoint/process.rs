//! Child processes: their pipes as a socket, their end as a future.
//!
//! A task of the runtime waits for each child from the start, so that none stays a zombie, whatever becomes of its handle.
//! Nothing is killed yet when a session ends: the child sees the end of its input.

#[cfg(unix)]
pub mod unix;

use crate::{
    info::SocketInfo,
    socket::StreamSocket,
    stream::{BoxStreamRead, StreamRead, StreamWrite},
};
use std::{
    ffi::{OsStr, OsString},
    future::Future,
    io::{self, IoSlice},
    path::PathBuf,
    pin::Pin,
    process::{Command, ExitStatus},
    sync::Arc,
    task::{Context, Poll},
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    process::{ChildStderr, ChildStdin, ChildStdout},
    sync::watch,
};

/// A child that could not be started.
#[derive(Debug, thiserror::Error)]
pub enum SpawnError {
    #[error("cannot start `{}`: {source}", program.display())]
    Failed { program: OsString, source: io::Error },
    /// The system reports a missing directory just as a missing program.
    #[error("cannot start `{}`: working directory {}: {source}", program.display(), directory.display())]
    Directory { program: OsString, directory: PathBuf, source: io::Error },
}

impl From<SpawnError> for io::Error {
    fn from(e: SpawnError) -> Self {
        let (SpawnError::Failed { source, .. } | SpawnError::Directory { source, .. }) = &e;
        Self::new(source.kind(), e)
    }
}

/// A command line for the shell: `sh -c`, on Windows `cmd /C` with the text as it is.
#[cfg(not(windows))]
pub fn shell(command_line: &OsStr) -> Command {
    let mut command = Command::new("sh");
    command.arg("-c").arg(command_line);
    command
}

#[cfg(windows)]
pub fn shell(command_line: &OsStr) -> Command {
    use std::os::windows::process::CommandExt;
    let mut command = Command::new("cmd");
    command.arg("/C").raw_arg(command_line);
    command
}

/// A running child, or one that has ended. Dropping it leaves the child running.
pub struct Child {
    program: OsString,
    id: Option<u32>,
    stdin: Option<ChildStdin>,
    stdout: Option<ChildStdout>,
    stderr: Option<ChildStderr>,
    /// Filled once, by the task that waits.
    status: watch::Receiver<Option<Result<ExitStatus, Arc<io::Error>>>>,
}

impl Child {
    /// Starts `command`, inside a runtime. Streams that it does not mention are inherited.
    pub fn spawn(command: Command) -> Result<Self, SpawnError> {
        let program = command.get_program().to_owned();
        let directory = command.get_current_dir().map(PathBuf::from);
        let mut child = match tokio::process::Command::from(command).spawn() {
            Ok(child) => child,
            Err(source) => {
                let missing = directory.and_then(|d| std::fs::metadata(&d).err().map(|e| (d, e)));
                return Err(match missing {
                    Some((directory, source)) => SpawnError::Directory { program, directory, source },
                    None => SpawnError::Failed { program, source },
                });
            }
        };
        let (report, status) = watch::channel(None);
        let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let id = child.id();
        let name = program.clone();
        tokio::spawn(async move {
            let status = child.wait().await;
            match &status {
                Ok(status) => tracing::debug!("`{}` ended: {status}", name.display()),
                Err(e) => tracing::warn!("cannot wait for `{}`: {e}", name.display()),
            }
            report.send_replace(Some(status.map_err(Arc::new)));
        });
        Ok(Self { program, id, stdin, stdout, stderr, status })
    }

    /// Process number, while it is known.
    pub fn id(&self) -> Option<u32> {
        self.id
    }

    /// Its output as read half, its input as write half, taken out. What is not piped, or was taken before, is missing.
    pub fn socket(&mut self, mut info: SocketInfo) -> StreamSocket {
        info.specifier.get_or_insert_with(|| format!("exec:{}", self.program.display()).into());
        StreamSocket {
            read: self.stdout.take().map(|out| Box::new(Output(out)) as _),
            write: self.stdin.take().map(|input| Box::new(Input(Some(input))) as _),
            info: Arc::new(info),
            ..Default::default()
        }
    }

    /// Its standard error, if piped and not taken before.
    pub fn take_stderr(&mut self) -> Option<BoxStreamRead> {
        self.stderr.take().map(|err| Box::new(Output(err)) as _)
    }

    /// Resolves when the child has ended. It holds nothing of the handle and may be called any number of times.
    pub fn wait(&self) -> impl Future<Output = io::Result<ExitStatus>> + Send + use<> {
        let mut status = self.status.clone();
        async move {
            let lost = || io::Error::other("the runtime is shutting down");
            let ended = status.wait_for(Option::is_some).await.map_err(|_| lost())?;
            match &*ended {
                Some(Ok(status)) => Ok(*status),
                Some(Err(e)) => Err(io::Error::new(e.kind(), e.clone())),
                None => Err(lost()),
            }
        }
    }
}

/// What the child writes. Pending, EOF, drop: as with any pipe; EOF when the child and its descendants closed their ends.
struct Output<R>(R);

impl<R: AsyncRead + Unpin> AsyncRead for Output<R> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buf)
    }
}

impl<R: AsyncRead + Unpin + Send> StreamRead for Output<R> {}

/// What the child reads. Short writes: when the pipe fills up. Shutdown closes it, as does dropping; writing afterwards, or
/// to a child that closed its input, gives `BrokenPipe`. It never changes the bytes it is lent.
struct Input(Option<ChildStdin>);

impl Input {
    fn open(&mut self) -> io::Result<Pin<&mut ChildStdin>> {
        self.0.as_mut().map(Pin::new).ok_or_else(|| io::ErrorKind::BrokenPipe.into())
    }
}

impl AsyncWrite for Input {
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

impl StreamWrite for Input {}

#[cfg(all(test, unix))]
mod tests {
    use super::*;
    use crate::net::tcp::tests::BOUND;
    use std::process::Stdio;
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        time::timeout,
    };

    fn piped(mut command: Command) -> Command {
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        command
    }

    #[tokio::test]
    async fn carries_bytes_and_the_end_of_input() {
        let mut child = Child::spawn(piped(Command::new("cat"))).unwrap();
        let mut socket = child.socket(SocketInfo::default());
        assert_eq!(socket.info.specifier.as_deref(), Some("exec:cat"));
        let data: Vec<u8> = (0..500_000u32).map(|n| (n >> 4) as u8).collect();
        let (read, write) = (socket.read.as_mut().unwrap(), socket.write.as_mut().unwrap());
        let mut got = Vec::new();
        timeout(BOUND, async {
            let send = async {
                write.write_all(&data).await.unwrap();
                write.shutdown().await.unwrap();
                write.shutdown().await.unwrap();
            };
            tokio::join!(send, read.read_to_end(&mut got)).1.unwrap();
        })
        .await
        .unwrap();
        assert!(got == data);
        assert!(timeout(BOUND, child.wait()).await.unwrap().unwrap().success());
        assert!(child.wait().await.unwrap().success(), "may be asked again");
        let again = child.socket(SocketInfo::default());
        assert!(again.read.is_none() && again.write.is_none());
    }

    #[tokio::test]
    async fn parts_that_are_not_piped_are_missing_and_the_status_arrives() {
        let mut command = shell("echo oops >&2; exit 7".as_ref());
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = Child::spawn(command).unwrap();
        let socket = child.socket(SocketInfo::default());
        assert!(socket.read.is_none() && socket.write.is_none());
        let mut said = String::new();
        timeout(BOUND, child.take_stderr().unwrap().read_to_string(&mut said)).await.unwrap().unwrap();
        assert_eq!(said, "oops\n");
        assert!(child.take_stderr().is_none());
        assert_eq!(timeout(BOUND, child.wait()).await.unwrap().unwrap().code(), Some(7));
    }

    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn a_dropped_handle_leaves_no_zombie() {
        let mut child = Child::spawn(piped(Command::new("cat"))).unwrap();
        let (id, socket) = (child.id().unwrap(), child.socket(SocketInfo::default()));
        drop((child, socket));
        let gone = async {
            while std::path::Path::new(&format!("/proc/{id}")).exists() {
                tokio::task::yield_now().await;
            }
        };
        timeout(BOUND, gone).await.unwrap();
    }

    #[tokio::test]
    async fn writing_to_a_child_that_left_is_a_broken_pipe() {
        let mut child = Child::spawn(piped(Command::new("true"))).unwrap();
        let mut socket = child.socket(SocketInfo::default());
        timeout(BOUND, child.wait()).await.unwrap().unwrap();
        let write = socket.write.as_mut().unwrap();
        // A child that another test starts at this moment has the pipe open until it runs its program.
        let refused = async {
            loop {
                match write.write_all(b"x").await {
                    Ok(()) => tokio::task::yield_now().await,
                    Err(e) => return e,
                }
            }
        };
        assert_eq!(timeout(BOUND, refused).await.unwrap().kind(), io::ErrorKind::BrokenPipe);
    }

    #[tokio::test]
    async fn errors_name_the_program_and_a_missing_directory() {
        let e = Child::spawn(Command::new("/nonexistent/program")).err().unwrap();
        assert!(e.to_string().starts_with("cannot start `/nonexistent/program`: "), "{e}");
        assert_eq!(io::Error::from(e).kind(), io::ErrorKind::NotFound);
        let mut command = Command::new("true");
        command.current_dir("/nonexistent");
        let e = Child::spawn(command).err().unwrap();
        assert!(e.to_string().contains("working directory /nonexistent: "), "{e}");
    }
}
