//! Child processes: their pipes as a socket, their end as a future.
//!
//! A task of the runtime waits for each child from the start, so that none stays a zombie, whatever becomes of its handle.
//! A plain child is left alone when its session ends: it sees the end of its input. A supervised one ends the session when
//! it ends, and is told to end when the session has (`ending.rs` has the times, `children.rs` those who are left when this
//! process ends).

mod bond;
mod children;
mod ending;
mod halves;
#[cfg(unix)]
pub mod handover;
#[cfg(unix)]
#[cfg_attr(target_os = "linux", path = "process/living_linux.rs")]
#[cfg_attr(not(target_os = "linux"), path = "process/living_elsewhere.rs")]
mod living;
#[cfg_attr(unix, path = "process/os_unix.rs")]
#[cfg_attr(not(unix), path = "process/os_elsewhere.rs")]
mod os;
#[cfg(unix)]
pub mod signal_mask;
mod supervisor;
#[cfg(unix)]
pub mod unix;

pub use bond::Bond;
pub use children::{children_ended, end_children};
pub use supervisor::Supervision;

use crate::{hangup::Hangup, info::SocketInfo, socket::StreamSocket, stream::BoxStreamRead};
use halves::{Input, Output, SupervisedInput, SupervisedOutput, Tie};
use std::{
    ffi::{OsStr, OsString},
    future::Future,
    io,
    path::PathBuf,
    process::{Command, ExitStatus},
    sync::Arc,
};
use tokio::process::{ChildStderr, ChildStdin, ChildStdout};

/// A child that could not be started.
#[derive(Debug, thiserror::Error)]
pub enum SpawnError {
    #[error("cannot start `{}`: {source}", program.display())]
    Failed { program: OsString, source: io::Error },
    /// The system reports a missing directory just as a missing program.
    #[error("cannot start `{}`: working directory {} (--exec-chdir): {source}", program.display(), directory.display())]
    Directory { program: OsString, directory: PathBuf, source: io::Error },
    /// The system does not let it be who it shall be; `identity` says which part of that.
    #[error("cannot start `{}`: {identity}: {source}", program.display())]
    Identity { program: OsString, identity: String, source: io::Error },
}

impl SpawnError {
    /// Finds out which of both is missing.
    fn new(program: OsString, directory: Option<PathBuf>, source: io::Error) -> Self {
        let missing = directory.and_then(|d| std::fs::metadata(&d).err().map(|e| (d, e)));
        match missing {
            Some((directory, source)) => Self::Directory { program, directory, source },
            None => Self::Failed { program, source },
        }
    }
}

impl From<SpawnError> for io::Error {
    fn from(e: SpawnError) -> Self {
        let (SpawnError::Failed { source, .. }
        | SpawnError::Directory { source, .. }
        | SpawnError::Identity { source, .. }) = &e;
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

/// A running child, or one that has ended. Dropping it leaves the child running, unless a session was to end it.
pub struct Child {
    program: OsString,
    id: Option<u32>,
    stdin: Option<ChildStdin>,
    stdout: Option<ChildStdout>,
    stderr: Option<ChildStderr>,
    bond: Arc<Bond>,
    supervised: bool,
}

impl Child {
    /// Starts `command`, inside a runtime. Streams that it does not mention are inherited.
    pub fn spawn(command: Command) -> Result<Self, SpawnError> {
        Self::start(command, None)
    }

    /// The same for a child that is looked after: it ends with its session, and its session with it.
    pub fn spawn_supervised(command: Command, supervision: Supervision) -> Result<Self, SpawnError> {
        Self::start(command, Some(supervision))
    }

    fn start(mut command: Command, supervision: Option<Supervision>) -> Result<Self, SpawnError> {
        let leads = supervision.is_some() && os::lead_group(&mut command);
        let program = command.get_program().to_owned();
        let directory = command.get_current_dir().map(PathBuf::from);
        let mut child = match tokio::process::Command::from(command).spawn() {
            Ok(child) => child,
            Err(source) => return Err(SpawnError::new(program, directory, source)),
        };
        let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let id = child.id();
        let bond = Arc::new(Bond::new(supervision.is_some_and(|s| s.status_counts)));
        match supervision {
            Some(supervision) => {
                let listed = children::Listed::new(child, program.clone(), leads);
                tokio::spawn(supervisor::supervise(listed, supervision, bond.clone()));
            }
            None => {
                tokio::spawn(wait_for(child, program.clone(), bond.clone()));
            }
        }
        Ok(Self { program, id, stdin, stdout, stderr, bond, supervised: supervision.is_some() })
    }

    /// Process number, while it is known.
    pub fn id(&self) -> Option<u32> {
        self.id
    }

    /// Its output as read half, its input as write half, taken out. What is not piped, or was taken before, is missing.
    pub fn socket(&mut self, mut info: SocketInfo) -> StreamSocket {
        info.specifier.get_or_insert_with(|| format!("exec:{}", self.program.display()).into());
        let (output, input) = (self.stdout.take(), self.stdin.take());
        if !self.supervised || output.is_none() && input.is_none() {
            return StreamSocket {
                read: output.map(|out| Box::new(Output(out)) as _),
                write: input.map(|input| Box::new(Input(Some(input))) as _),
                info: Arc::new(info),
                ..Default::default()
            };
        }
        info.child = Some(self.bond.clone());
        let tie = Tie::new(self.bond.clone());
        if output.is_none() {
            self.bond.unread();
        }
        let bond = self.bond.clone();
        StreamSocket {
            read: output.map(|out| Box::new(SupervisedOutput::new(out, tie.clone())) as _),
            write: input.map(|input| Box::new(SupervisedInput::new(input, tie)) as _),
            hangup: Some(Hangup::new(async move { bond.gone_unread().await })),
            info: Arc::new(info),
            ..Default::default()
        }
    }

    /// Its standard error, if piped and not taken before.
    pub fn take_stderr(&mut self) -> Option<BoxStreamRead> {
        self.stderr.take().map(|err| Box::new(Output(err)) as _)
    }

    /// Kills the child, if it has not ended; returns at once. A supervised one takes its process group with it.
    pub fn kill(&self) {
        self.bond.kill();
    }

    /// Its exit status is that of the session.
    pub fn status_counts(&self) -> bool {
        self.bond.status_counts()
    }

    /// Resolves when the child has ended. It holds nothing of the handle and may be called any number of times.
    pub fn wait(&self) -> impl Future<Output = io::Result<ExitStatus>> + Send + use<> {
        let bond = self.bond.clone();
        async move { bond.ended().await }
    }
}

/// Waits for a plain child.
async fn wait_for(mut child: tokio::process::Child, program: OsString, bond: Arc<Bond>) {
    let status = loop {
        tokio::select! {
            status = child.wait() => break status,
            () = bond.said() => {
                // It is not reaped yet, so that its number is still its own.
                if bond.is_to_be_killed()
                    && let Err(e) = child.start_kill()
                {
                    tracing::warn!("cannot kill `{}`: {e}", program.display());
                }
            }
        }
    };
    match &status {
        Ok(status) => tracing::debug!("`{}` ended: {status}", program.display()),
        Err(e) => tracing::warn!("cannot wait for `{}`: {e}", program.display()),
    }
    bond.report(status.map_err(Arc::new));
}

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
    async fn children_are_killed_on_demand() {
        use std::os::unix::process::ExitStatusExt as _;
        for supervised in [false, true] {
            let command = piped(Command::new("cat"));
            let supervision = Supervision { grace: None, status_counts: false };
            let child =
                if supervised { Child::spawn_supervised(command, supervision) } else { Child::spawn(command) }.unwrap();
            child.kill();
            child.kill();
            assert_eq!(timeout(BOUND, child.wait()).await.unwrap().unwrap().signal(), Some(9), "{supervised}");
            child.kill();
        }
    }

    #[tokio::test]
    async fn errors_name_the_program_and_a_missing_directory() {
        let e = Child::spawn(Command::new("/nonexistent/program")).err().unwrap();
        assert!(e.to_string().starts_with("cannot start `/nonexistent/program`: "), "{e}");
        assert_eq!(io::Error::from(e).kind(), io::ErrorKind::NotFound);
        let mut command = Command::new("true");
        command.current_dir("/nonexistent");
        let e = Child::spawn(command).err().unwrap();
        assert!(e.to_string().contains("working directory /nonexistent (--exec-chdir): "), "{e}");
    }
}
