//! A turn at the socket files of a directory: whoever makes way for its file and binds does so while no other one does.
//!
//! Without it two that start at once both find the same dead file, both remove what is there and both bind: the first one is
//! then served to nobody. The lock is flock(2) on the directory itself, so that no file of its own is left behind, and it
//! ends with its holder, whatever way that ends.

use rustix::{
    fd::OwnedFd,
    fs::{FlockOperation, Mode, OFlags, flock, open},
    io::Errno,
};
use std::{
    fmt, io,
    path::Path,
    thread::sleep,
    time::{Duration, Instant},
};

/// A holder needs a few system calls, and a fifth of a second if it finds a dead file: enough for several before us. Whoever
/// may read the directory can keep it locked, so that it is no reason not to start.
const PATIENCE: Duration = Duration::from_secs(2);
/// Between two attempts. flock(2) that waits could not be bounded.
const PAUSE: Duration = Duration::from_millis(5);

/// Ends when it is dropped.
pub(super) struct Turn {
    _directory: Option<OwnedFd>,
}

impl Turn {
    /// Waits for it, blocking the thread for at most two seconds. Where the directory cannot be locked, or somebody else keeps
    /// it locked for that long, the turn is had without a lock, which is told.
    pub fn take(path: &Path, address: impl fmt::Display) -> Self {
        let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let without = |error: io::Error| {
            tracing::warn!(%error, "cannot lock {}: do not start two for {address} at once", directory.display());
            Self { _directory: None }
        };
        let file = match open(directory, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty()) {
            Ok(file) => file,
            // Whoever binds there says what is wrong.
            Err(Errno::NOENT | Errno::NOTDIR) => return Self { _directory: None },
            Err(e) => return without(e.into()),
        };
        let start = Instant::now();
        loop {
            match flock(&file, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => return Self { _directory: Some(file) },
                Err(Errno::INTR) => {}
                Err(Errno::WOULDBLOCK) if start.elapsed() < PATIENCE => sleep(PAUSE),
                Err(Errno::WOULDBLOCK) => {
                    let kept = format!("somebody else has kept it locked for {PATIENCE:?}");
                    return without(io::Error::new(io::ErrorKind::TimedOut, kept));
                }
                Err(e) => return without(e.into()),
            }
        }
    }
}
