//! Files: read, write, append.
//!
//! Reading gives a writer that discards, writing gives a reader that ends with the writing: nothing comes from the
//! file, and that is no reason to end a session that fills it. Calls run in the runtime's pool in pieces of 256 KiB,
//! the next piece being read or gathered while the last is on its way (`blocking`): even a file that is in memory
//! costs a copy of milliseconds for a large message, and one that is not (disk, network) would stop a single-threaded
//! runtime. What is no regular file (pipe, terminal, device) may block for ever and gets a thread of its own.

use super::blocking::{BlockingRead, BlockingSink, BlockingWrite, Runner, Wrap};
use crate::{
    info::SocketInfo,
    socket::StreamSocket,
    stream::{StreamRead, StreamWrite},
};
use std::{
    ffi::OsString,
    fmt,
    fs::{self, File, OpenOptions},
    future::Future as _,
    io::{self, IoSlice},
    path::{Path, PathBuf},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::{SystemTime, UNIX_EPOCH},
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    sync::oneshot,
};

/// Fresh names that are tried when the wanted one is taken: the time, then the time and a random number.
const RENAME_TRIES: usize = 11;

/// How to open a file. By default it is read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FileOptions {
    /// Write it, from the start, instead of what it held.
    pub write: bool,
    /// Write at its end.
    pub append: bool,
    /// With `write`: an existing file is an error.
    pub no_overwrite: bool,
    /// With `write`: if it exists take `stem.SECONDS.ext` or `stem.SECONDS.RANDOM.ext` instead.
    pub auto_rename: bool,
}

/// What failed with a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileOperation {
    Open,
    Create,
    Read,
    Write,
}

impl fmt::Display for FileOperation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Open => "open",
            Self::Create => "create",
            Self::Read => "read",
            Self::Write => "write",
        })
    }
}

/// A file could not be opened, read or written.
#[derive(Debug, thiserror::Error)]
#[error("cannot {operation} file {}: {source}", path.display())]
pub struct FileError {
    pub path: PathBuf,
    pub operation: FileOperation,
    pub source: io::Error,
}

impl From<FileError> for io::Error {
    fn from(e: FileError) -> Self {
        Self::new(e.source.kind(), e)
    }
}

/// Opens a file as a socket. Errors in transfer come as `io::Error` with a [`FileError`] inside; a full disk at the
/// latest at flush or shutdown. Dropping the future while it opens leaves at most an empty new file.
pub async fn file_socket(path: &Path, options: FileOptions) -> Result<StreamSocket, FileError> {
    let writes = options.write || options.append;
    let operation = if writes { FileOperation::Create } else { FileOperation::Open };
    let failed = |source| FileError { path: path.to_owned(), operation, source };

    let target = path.to_owned();
    let mut runner = Runner::Pool;
    let special = call(&mut runner, move || fs::metadata(target).is_ok_and(|m| !m.is_file() && !m.is_dir()));
    if special.await.map_err(failed)? {
        runner = Runner::thread("file");
    }
    let target = path.to_owned();
    let opened = call(&mut runner, move || if writes { create(target, options) } else { open(target) });
    let (file, path) = opened.await.map_err(failed)?.map_err(failed)?;

    let name = match (options.append, writes) {
        (true, _) => "appendfile",
        (false, true) => "writefile",
        (false, false) => "readfile",
    };
    let specifier = Some(format!("{name}:{}", path.display()).into());
    let info = Arc::new(SocketInfo { specifier, fd: descriptor(&file), write_only: writes, ..Default::default() });
    let operation = if writes { FileOperation::Write } else { FileOperation::Read };
    let wrap: Wrap = Arc::new(move |source| FileError { path: path.clone(), operation, source }.into());
    Ok(if writes {
        let (open, closed) = oneshot::channel();
        let write = FileWrite { inner: BlockingWrite::new(file, runner, wrap), open: Some(open) };
        let read = WriteOnly::until(closed);
        StreamSocket { read: Some(Box::new(read)), write: Some(Box::new(write)), info, ..Default::default() }
    } else {
        let read = BlockingRead::new(file, runner, wrap);
        StreamSocket { read: Some(Box::new(read)), write: Some(Box::new(Nothing)), info, ..Default::default() }
    })
}

/// Runs a blocking call and waits for it without blocking.
async fn call<T: Send + 'static>(runner: &mut Runner, call: impl FnOnce() -> T + Send + 'static) -> io::Result<T> {
    runner.run(call)?.await.map_err(|_| io::Error::other("the runtime is shutting down"))
}

#[cfg(unix)]
fn descriptor(file: &File) -> Option<i32> {
    use std::os::fd::AsRawFd;
    Some(file.as_raw_fd())
}

#[cfg(not(unix))]
fn descriptor(_: &File) -> Option<i32> {
    None
}

fn open(path: PathBuf) -> io::Result<(File, PathBuf)> {
    let file = File::open(&path)?;
    // Opening a directory succeeds on Unix, only reading from it would fail.
    if file.metadata()?.is_dir() { Err(io::ErrorKind::IsADirectory.into()) } else { Ok((file, path)) }
}

fn create(path: PathBuf, options: FileOptions) -> io::Result<(File, PathBuf)> {
    let mut how = OpenOptions::new();
    if options.append {
        how.append(true).create(true);
    } else if options.no_overwrite || options.auto_rename {
        how.write(true).create_new(true);
    } else {
        how.write(true).create(true).truncate(true);
    }
    let taken = match how.open(&path) {
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists && options.auto_rename && !options.append => e,
        result => return result.map(|file| (file, path)),
    };
    for attempt in 0..RENAME_TRIES {
        let fresh = fresh_name(&path, SystemTime::now(), (attempt > 0).then(random).transpose()?);
        match how.open(&fresh) {
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {}
            result => {
                let file = result?;
                tracing::info!("{} exists, writing to {}", path.display(), fresh.display());
                return Ok((file, fresh));
            }
        }
    }
    Err(taken)
}

fn random() -> io::Result<u64> {
    getrandom::u64().map_err(|e| io::Error::other(e.to_string()))
}

/// `stem.SECONDS.ext` or `stem.SECONDS.RANDOM.ext`; the extension is what follows the last dot of the file name.
fn fresh_name(path: &Path, now: SystemTime, random: Option<u64>) -> PathBuf {
    let seconds = now.duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs());
    let mut name = OsString::from(path.file_stem().unwrap_or_default());
    name.push(format!(".{seconds}"));
    if let Some(random) = random {
        name.push(format!(".{random:016x}"));
    }
    if let Some(extension) = path.extension() {
        name.push(".");
        name.push(extension);
    }
    path.with_file_name(name)
}

impl BlockingSink for File {
    /// Closes the file; the data is the system's by now.
    fn finish(self) -> io::Result<()> {
        Ok(())
    }
}

/// Write half of a file, as [`BlockingWrite`]; lets the read half know when it has ended.
struct FileWrite {
    inner: BlockingWrite<File>,
    open: Option<oneshot::Sender<()>>,
}

impl AsyncWrite for FileWrite {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(Pin::new(&mut self.inner).poll_shutdown(cx))?;
        self.open = None;
        Poll::Ready(Ok(()))
    }
}

impl StreamWrite for FileWrite {}

/// Read half of a file that is only written.
///
/// Pending: the write half is there and was not shut down. EOF: after that. Drop midway: changes nothing.
pub(super) struct WriteOnly {
    /// Absent after it came.
    closed: Option<oneshot::Receiver<()>>,
}

impl WriteOnly {
    /// The end comes when the other end of `closed` is dropped.
    pub fn until(closed: oneshot::Receiver<()>) -> Self {
        Self { closed: Some(closed) }
    }
}

impl AsyncRead for WriteOnly {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, _: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        self.poll_readable(cx)
    }
}

impl StreamRead for WriteOnly {
    fn poll_readable(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if let Some(closed) = &mut self.closed {
            // An error is how it comes: nothing is ever sent.
            let _ = ready!(Pin::new(closed).poll(cx));
            self.closed = None;
        }
        Poll::Ready(Ok(()))
    }
}

/// The write half of a file that is only read: discards what is written, never waits.
pub(super) struct Nothing;

impl AsyncWrite for Nothing {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Poll::Ready(Ok(buf.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

impl StreamWrite for Nothing {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::tcp::tests::BOUND;
    use std::time::Duration;
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        time::timeout,
    };

    const WRITE: FileOptions = FileOptions { write: true, append: false, no_overwrite: false, auto_rename: false };

    async fn put(path: &Path, options: FileOptions, data: &[u8]) -> Result<StreamSocket, FileError> {
        let mut socket = timeout(BOUND, file_socket(path, options)).await.unwrap()?;
        let write = socket.write.as_mut().unwrap();
        timeout(BOUND, write.write_all(data)).await.unwrap().unwrap();
        timeout(BOUND, write.shutdown()).await.unwrap().unwrap();
        assert_eq!(socket.read.as_mut().unwrap().read(&mut [0; 4]).await.unwrap(), 0);
        Ok(socket)
    }

    #[tokio::test]
    async fn the_read_half_ends_with_the_writing() {
        let dir = tempfile::tempdir().unwrap();
        for drops in [false, true] {
            let mut socket = file_socket(&dir.path().join("f"), WRITE).await.unwrap();
            let (mut read, mut write) = (socket.read.take().unwrap(), socket.write.take().unwrap());
            assert!(std::future::poll_fn(|cx| Poll::Ready(read.poll_readable(cx))).await.is_pending());
            let end = async move {
                write.write_all(b"x").await.unwrap();
                if !drops {
                    write.shutdown().await.unwrap();
                }
                // Kept until here, so that it is the shutdown that ends the reader in the first round.
                (!drops).then_some(write)
            };
            let mut buffer = [0; 4];
            let (n, _write) = timeout(BOUND, async { tokio::join!(read.read(&mut buffer), end) }).await.unwrap();
            assert_eq!(n.unwrap(), 0);
            assert_eq!(read.read(&mut buffer).await.unwrap(), 0);
        }
    }

    #[tokio::test]
    async fn writes_replaces_appends_and_reads() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("f.bin");
        let data: Vec<u8> = (0..3_000_000u32).map(|n| (n >> 4) as u8).collect();
        put(&path, WRITE, b"old and longer than nothing").await.unwrap();
        put(&path, WRITE, &data).await.unwrap();
        put(&path, FileOptions { append: true, ..Default::default() }, b"end").await.unwrap();
        let mut socket = file_socket(&path, FileOptions::default()).await.unwrap();
        assert!(socket.info.specifier.as_ref().unwrap().starts_with("readfile:"));
        let mut got = Vec::new();
        timeout(BOUND, socket.read.as_mut().unwrap().read_to_end(&mut got)).await.unwrap().unwrap();
        assert!(got.starts_with(&data) && got.ends_with(b"end") && got.len() == data.len() + 3);
        let write = socket.write.as_mut().unwrap();
        write.write_all(b"discarded").await.unwrap();
        write.shutdown().await.unwrap();
    }

    #[tokio::test]
    async fn existing_files_are_kept_when_asked() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("f.txt");
        put(&path, WRITE, b"first").await.unwrap();
        let e = put(&path, FileOptions { no_overwrite: true, ..WRITE }, b"").await.err().unwrap();
        assert_eq!((e.operation, e.source.kind()), (FileOperation::Create, io::ErrorKind::AlreadyExists));
        for n in 2..5 {
            let socket = put(&path, FileOptions { auto_rename: true, ..WRITE }, b"more").await.unwrap();
            assert!(!socket.info.specifier.as_ref().unwrap().ends_with("/f.txt"));
            assert_eq!(fs::read_dir(dir.path()).unwrap().count(), n);
        }
        assert_eq!(fs::read(&path).unwrap(), b"first");
        for entry in fs::read_dir(dir.path()).unwrap() {
            let name = entry.unwrap().file_name().into_string().unwrap();
            assert!(name.starts_with("f.") && name.ends_with(".txt"), "{name}");
        }
    }

    #[test]
    fn fresh_names_keep_the_last_extension() {
        let now = UNIX_EPOCH + Duration::from_secs(1234);
        let name = |path, random| fresh_name(Path::new(path), now, random).to_str().unwrap().replace('\\', "/");
        assert_eq!(name("d/a.b.txt", None), "d/a.b.1234.txt");
        assert_eq!(name("a", None), "a.1234");
        assert_eq!(name("d.x/a.txt", Some(0xAB)), "d.x/a.1234.00000000000000ab.txt");
    }

    #[tokio::test]
    async fn errors_name_path_and_operation() {
        let dir = tempfile::tempdir().unwrap();
        let missing = dir.path().join("missing");
        let e = file_socket(&missing, FileOptions::default()).await.err().unwrap();
        assert!(e.to_string().starts_with(&format!("cannot open file {}: ", missing.display())), "{e}");
        let e = file_socket(dir.path(), FileOptions::default()).await.err().unwrap();
        assert!(e.source.kind() == io::ErrorKind::IsADirectory || cfg!(windows), "{e}");
        let e = file_socket(&missing.join("x"), WRITE).await.err().unwrap();
        assert_eq!((e.operation, e.source.kind()), (FileOperation::Create, io::ErrorKind::NotFound));
    }

    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn a_full_disk_is_an_error_that_arrives() {
        let mut write = file_socket(Path::new("/dev/full"), WRITE).await.unwrap().write.unwrap();
        write.write_all(b"x").await.unwrap();
        let e = timeout(BOUND, write.shutdown()).await.unwrap().unwrap_err();
        assert_eq!(e.kind(), io::ErrorKind::StorageFull);
        let inner: &FileError = e.get_ref().unwrap().downcast_ref().unwrap();
        assert_eq!((inner.operation, inner.path.as_path()), (FileOperation::Write, Path::new("/dev/full")));
    }

    #[cfg(unix)]
    #[tokio::test]
    async fn a_named_pipe_does_not_block_the_runtime() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("fifo");
        assert!(std::process::Command::new("mkfifo").arg(&path).status().unwrap().success());
        let read = file_socket(&path, FileOptions::default());
        let write = put(&path, WRITE, b"through the pipe");
        let (mut socket, _) = timeout(BOUND, async { tokio::try_join!(read, write) }).await.unwrap().unwrap();
        let mut got = String::new();
        timeout(BOUND, socket.read.as_mut().unwrap().read_to_string(&mut got)).await.unwrap().unwrap();
        assert_eq!(got, "through the pipe");
    }
}
