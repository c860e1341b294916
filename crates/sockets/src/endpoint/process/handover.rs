//! Descriptors that a child gets under numbers of its own choice, and a child that takes the place of this process.
//!
//! Copies are made when they are asked for, so that nothing depends on what becomes of the original. In the child they are
//! put in place between fork and exec, by system calls alone.

use rustix::{
    fd::{AsFd, BorrowedFd, OwnedFd},
    fs::{OFlags, fcntl_getfl, fcntl_setfl},
    io::{Errno, fcntl_dupfd_cloexec},
};
use std::{
    collections::BTreeSet,
    ffi::OsString,
    io,
    mem::ManuallyDrop,
    os::{
        fd::{AsRawFd, FromRawFd, RawFd},
        unix::process::CommandExt,
    },
    process::Command,
};

/// Numbers that one descriptor may be given to a child under, as Websocat 4 has it.
pub const MOST_TARGETS: usize = 16;
/// The lowest number of copies: 0 to 2 must never become something else.
const ABOVE_STDIO: RawFd = 3;

/// A descriptor cannot be handed to a child.
#[derive(Debug, thiserror::Error)]
pub enum HandoverError {
    #[error("there is no descriptor {0} to hand to a child")]
    NotOpen(i64),
    #[error("{0} is not a number that a child can have a descriptor under")]
    Target(i64),
    #[error("a child can get a descriptor under {MOST_TARGETS} numbers at most")]
    TooMany,
    #[error("cannot hand descriptor {fd} to a child: {source}")]
    Failed { fd: i64, source: io::Error },
}

/// One descriptor for a child.
#[derive(Debug)]
pub struct Handed {
    fd: OwnedFd,
    targets: Vec<RawFd>,
    /// O_NONBLOCK is taken away: programs that get a socket this way do not expect it.
    blocking: bool,
}

impl Handed {
    /// Copies `fd`; the child will have it as each of `targets`.
    #[allow(unsafe_code)] // a number that a script says
    pub fn new(fd: i64, targets: &[i64], blocking: bool) -> Result<Self, HandoverError> {
        let raw = RawFd::try_from(fd).ok().filter(|n| *n >= 0).ok_or(HandoverError::NotOpen(fd))?;
        if targets.len() > MOST_TARGETS {
            return Err(HandoverError::TooMany);
        }
        let number = |n: &i64| RawFd::try_from(*n).ok().filter(|n| *n >= 0).ok_or(HandoverError::Target(*n));
        let targets = targets.iter().map(number).collect::<Result<_, _>>()?;
        // SAFETY: the number is used for this one call, which says EBADF when it is not open; -1 was refused above.
        let borrowed = unsafe { BorrowedFd::borrow_raw(raw) };
        let fd = fcntl_dupfd_cloexec(borrowed, ABOVE_STDIO).map_err(|e| match e {
            Errno::BADF => HandoverError::NotOpen(fd),
            e => HandoverError::Failed { fd, source: e.into() },
        })?;
        Ok(Self { fd, targets, blocking })
    }
}

/// What has to live until the child was started, or could not be. Dropping it after a failure gives the descriptors back
/// as they were.
#[derive(Debug)]
#[must_use]
pub struct Prepared {
    _reserved: Vec<OwnedFd>,
    made_blocking: Vec<(OwnedFd, OFlags)>,
}

impl Prepared {
    /// The child runs: it has the descriptors now.
    pub fn started(mut self) {
        self.made_blocking.clear();
    }
}

impl Drop for Prepared {
    fn drop(&mut self) {
        for (fd, flags) in &self.made_blocking {
            if let Err(error) = fcntl_setfl(fd, *flags) {
                tracing::debug!(%error, "cannot make a descriptor non-blocking again");
            }
        }
    }
}

/// Makes `command` start with these descriptors in place.
pub fn prepare(command: &mut Command, handed: Vec<Handed>) -> io::Result<Prepared> {
    let null = rustix::fs::open("/dev/null", OFlags::RDWR | OFlags::CLOEXEC, rustix::fs::Mode::empty())?;
    // Numbers that are free get something, so that neither our copies nor the pipe by which the child reports that it cannot
    // run its program have a number that is about to be overwritten.
    let mut reserved = vec![];
    let targets: BTreeSet<RawFd> = handed.iter().flat_map(|h| h.targets.iter().copied()).collect();
    for target in targets {
        let fd = fcntl_dupfd_cloexec(&null, target).map_err(|e| beyond(target, e))?;
        if fd.as_raw_fd() == target {
            reserved.push(fd);
        }
    }
    let (mut copies, mut made_blocking) = (vec![], vec![]);
    for Handed { fd, targets, blocking } in handed {
        let copy = fcntl_dupfd_cloexec(&fd, ABOVE_STDIO)?;
        let flags = fcntl_getfl(&copy)?;
        if blocking && flags.contains(OFlags::NONBLOCK) {
            fcntl_setfl(&copy, flags - OFlags::NONBLOCK)?;
            made_blocking.push((fd, flags));
        }
        copies.push((copy, targets));
    }
    put_in_place(command, copies);
    Ok(Prepared { _reserved: reserved, made_blocking })
}

fn beyond(target: RawFd, e: Errno) -> io::Error {
    match e {
        Errno::INVAL | Errno::MFILE => io::Error::other(format!("descriptor number {target} is beyond the limit: {e}")),
        e => e.into(),
    }
}

#[allow(unsafe_code)] // between fork and exec only system calls are allowed
fn put_in_place(command: &mut Command, copies: Vec<(OwnedFd, Vec<RawFd>)>) {
    let place = move || {
        for (copy, targets) in &copies {
            for target in targets {
                duplicate(copy.as_fd(), *target)?;
            }
        }
        Ok(())
    };
    // SAFETY: the closure runs in the child after fork. It makes dup2 system calls and compares numbers; it neither
    // allocates nor locks nor touches what other threads may have been changing.
    unsafe { command.pre_exec(place) };
}

/// `target` becomes a copy of `fd` that stays open across exec. The two differ: `prepare` saw to it.
#[allow(unsafe_code)] // dup2 wants to own what it replaces
fn duplicate(fd: BorrowedFd<'_>, target: RawFd) -> io::Result<()> {
    // SAFETY: the number belongs to this process alone, the forked child or one that is about to become another program; it
    // is not closed here.
    let mut target = ManuallyDrop::new(unsafe { OwnedFd::from_raw_fd(target) });
    Ok(rustix::io::dup2(fd, &mut target)?)
}

/// Runs `command` in place of this process. Comes back only if that fails; standard error is what it was then.
pub fn replace_process(mut command: Command, handed: Vec<Handed>) -> (OsString, io::Error) {
    let program = command.get_program().to_owned();
    let kept = fcntl_dupfd_cloexec(rustix::stdio::stderr(), ABOVE_STDIO);
    let error = match prepare(&mut command, handed) {
        Ok(prepared) => {
            let error = command.exec();
            drop(prepared);
            error
        }
        Err(e) => e,
    };
    if let Ok(kept) = kept {
        // Without it the message cannot be told to anybody either.
        let _ = rustix::stdio::dup2_stderr(kept);
    }
    (program, error)
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;
    use crate::{endpoint::process::Child, net::tcp::tests::BOUND};
    use std::{
        io::{Read, Write},
        os::unix::net::UnixStream,
        process::Stdio,
    };
    use tokio::time::timeout;

    /// The shell's words go to the socket that it has as descriptor 7 and 9.
    async fn says(line: &str, blocking: bool) -> String {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        ours.set_nonblocking(true).unwrap();
        let mut command = Command::new("sh");
        command.args(["-c", line]).stdin(Stdio::null()).stdout(Stdio::null());
        let handed = Handed::new(ours.as_raw_fd().into(), &[7, 9], blocking).unwrap();
        let prepared = prepare(&mut command, vec![handed]).unwrap();
        let child = Child::spawn(command).unwrap();
        prepared.started();
        drop(ours);
        timeout(BOUND, child.wait()).await.unwrap().unwrap();
        let mut said = String::new();
        theirs.read_to_string(&mut said).unwrap();
        said
    }

    #[tokio::test]
    async fn the_child_has_them_under_their_numbers() {
        // Each is a copy of its own.
        assert_eq!(says("echo a >&7; echo b >&9", true).await, "a\nb\n");
    }

    #[tokio::test]
    async fn they_block_unless_told_otherwise() {
        for (blocking, nonblocking) in [(true, false), (false, true)] {
            let flags = says("grep flags /proc/self/fdinfo/7 >&7", blocking).await;
            let bits = i32::from_str_radix(flags.split_whitespace().nth(1).unwrap(), 8).unwrap();
            assert_eq!(bits & 0o4000 != 0, nonblocking, "{flags}");
        }
    }

    #[tokio::test]
    async fn a_failed_start_leaves_the_descriptor_as_it_was() {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        ours.set_nonblocking(true).unwrap();
        let mut command = Command::new("/nonexistent/program");
        let handed = Handed::new(ours.as_raw_fd().into(), &[0, 1, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12], true).unwrap();
        let prepared = prepare(&mut command, vec![handed]).unwrap();
        assert!(!fcntl_getfl(&ours).unwrap().contains(OFlags::NONBLOCK));
        assert!(Child::spawn(command).is_err(), "the report did not go elsewhere");
        drop(prepared);
        assert!(fcntl_getfl(&ours).unwrap().contains(OFlags::NONBLOCK));
        (&ours).write_all(b"x").unwrap();
        drop(ours);
        let mut said = String::new();
        theirs.read_to_string(&mut said).unwrap();
        assert_eq!(said, "x", "nothing else was written to it");
    }

    #[test]
    fn nonsense_is_refused() {
        let says = |fd, targets: &[i64]| Handed::new(fd, targets, true).unwrap_err().to_string();
        assert_eq!(says(-1, &[0]), "there is no descriptor -1 to hand to a child");
        assert_eq!(says(1_000_000, &[0]), "there is no descriptor 1000000 to hand to a child");
        assert!(says(0, &[-1]).starts_with("-1 is not a number"));
        assert!(says(0, &[5; 17]).contains("16 numbers at most"));
    }
}
