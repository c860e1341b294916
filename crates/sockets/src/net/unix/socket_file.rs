//! The file of a UNIX socket: made way for, given its permissions, removed at the end.
//!
//! Only sockets are removed, and only those that nobody serves. Between bind(2) and listen(2) nobody can connect: that is
//! when the permissions are set. At the end the file is removed if it still is the one that was made; while our socket lives
//! no other file can have its number, so it goes before the socket is closed.

use super::{UnixAddress, UnixError, UnixPlace};
use rustix::{
    fs::{FileType, Mode, chmod, fchmod, lstat, unlink},
    io::Errno,
};
use socket2::Socket;
use std::{
    io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError, Weak},
    time::Duration,
};

pub(super) const ACTION: &str = "listen on";
const PERMISSIONS: u32 = 0o7777;

/// A socket that is bound refuses connections until it listens: whoever is about to serve without waiting for a turn gets
/// this often such a while.
const LOOKS: u32 = 4;
const BETWEEN_LOOKS: Duration = Duration::from_millis(50);

/// Removes the file at `address` if it is a socket that nobody serves. For whoever has the [`Turn`] there.
///
/// [`Turn`]: super::turn::Turn
pub(super) fn remove_stale(address: &UnixAddress) -> Result<(), UnixError> {
    let UnixPlace::Path(path) = &address.place else { return Ok(()) };
    let to = address.system()?;
    let failed = |hint| address.failed(ACTION, hint);
    let found = match looked_at(path) {
        Ok(Some(found)) => found,
        Ok(None) => return Err(UnixError::NotSocket { address: Box::new(address.clone()) }),
        Err(Errno::NOENT) => return Ok(()),
        Err(e) => return Err(failed("")(e.into())),
    };
    let served = || UnixError::Served { address: Box::new(address.clone()) };
    for look in 0..LOOKS {
        if look > 0 {
            std::thread::sleep(BETWEEN_LOOKS);
        }
        match address.socket(ACTION)?.connect(&to).err() {
            Some(e) if e.kind() == io::ErrorKind::ConnectionRefused => {}
            Some(e) if e.kind() == io::ErrorKind::NotFound => return Ok(()),
            Some(e) if e.kind() == io::ErrorKind::PermissionDenied => {
                return Err(failed(": somebody may serve it, which cannot be found out")(e));
            }
            // A full queue (where the system tells, on Linux) or another kind of socket is somebody's, too.
            None | Some(_) => return Err(served()),
        }
    }
    match looked_at(path) {
        Err(Errno::NOENT) => return Ok(()),
        // Somebody else was faster, and is about to serve.
        Ok(now) if now != Some(found) => return Err(served()),
        _ => {}
    }
    match unlink(path) {
        Ok(()) | Err(Errno::NOENT) => Ok(()),
        Err(e) => Err(failed("; the socket file that nobody serves cannot be removed")(e.into())),
    }
}

/// Device and number of a file.
type Identity = (u64, u64);

/// Which socket file is there, and when it was last changed: a file that nobody has open leaves its number to the next one
/// that is made. None: it is something else.
fn looked_at(path: &Path) -> rustix::io::Result<Option<(Identity, (i64, i64))>> {
    let stat = lstat(path)?;
    let is_socket = FileType::from_raw_mode(stat.st_mode) == FileType::Socket;
    #[allow(clippy::unnecessary_cast)] // their types differ between systems
    let found = ((stat.st_dev as u64, stat.st_ino as u64), (stat.st_ctime as i64, stat.st_ctime_nsec as i64));
    Ok(is_socket.then_some(found))
}

/// Which socket file is there.
fn identity(path: &Path) -> rustix::io::Result<Option<Identity>> {
    looked_at(path).map(|found| found.map(|(identity, _)| identity))
}

/// A socket file that was made here.
pub(super) struct SocketFile {
    path: PathBuf,
    identity: Identity,
}

/// Those to be removed at the end.
static FILES: Mutex<Vec<Weak<SocketFile>>> = Mutex::new(Vec::new());

/// Removes the files of all listeners that are to be removed. For a process that is about to end.
pub fn remove_socket_files() {
    let files: Vec<_> = FILES.lock().unwrap_or_else(PoisonError::into_inner).drain(..).collect();
    files.iter().filter_map(Weak::upgrade).for_each(|file| file.remove());
}

impl SocketFile {
    /// Binds, with these permissions. None: an abstract name, which is no file. The socket does not listen yet.
    pub fn bind(socket: &Socket, address: &UnixAddress, mode: Option<u32>) -> Result<Option<Arc<Self>>, UnixError> {
        let failed = |hint| address.failed(ACTION, hint);
        let to = address.system()?;
        let UnixPlace::Path(path) = &address.place else {
            socket.bind(&to).map_err(failed(""))?;
            return Ok(None);
        };
        let mode = mode.map(|mode| Mode::from_raw_mode((mode & PERMISSIONS) as _));
        if let Some(mode) = mode {
            // On Linux the file gets at most these; elsewhere it means nothing.
            let _ = fchmod(socket, mode);
        }
        socket.bind(&to).map_err(|e| {
            let exists = e.kind() == io::ErrorKind::AddrInUse;
            failed(if exists { "; --unlink removes a socket file that nobody serves any more" } else { "" })(e)
        })?;
        let identity = identity(path).map_err(|e| failed("")(e.into()))?;
        let Some(identity) = identity else {
            return Err(UnixError::NotSocket { address: Box::new(address.clone()) });
        };
        let file = Arc::new(Self { path: path.clone(), identity });
        if let Some(mode) = mode {
            let is_so = lstat(path).is_ok_and(|stat| Mode::from_raw_mode(stat.st_mode) == mode);
            let changed = if is_so { Ok(()) } else { chmod(path, mode) };
            changed.map_err(|e| {
                file.remove();
                failed("; the permissions of its file cannot be set")(e.into())
            })?;
        }
        Ok(Some(file))
    }

    /// It is removed with the last owner, and at the end of the process.
    pub fn remove_at_end(self: Arc<Self>) -> RemovedAtEnd {
        FILES.lock().unwrap_or_else(PoisonError::into_inner).push(Arc::downgrade(&self));
        RemovedAtEnd(self)
    }

    /// Unless somebody else has made another one in its place. Before the socket is closed.
    pub fn remove(&self) {
        if identity(&self.path) == Ok(Some(self.identity))
            && let Err(error) = unlink(&self.path)
        {
            tracing::warn!(%error, "cannot remove the socket file {}", self.path.display());
        }
    }
}

/// Removes the file when dropped.
pub(super) struct RemovedAtEnd(Arc<SocketFile>);

impl Drop for RemovedAtEnd {
    fn drop(&mut self) {
        self.0.remove();
        FILES
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .retain(|file| !Weak::ptr_eq(file, &Arc::downgrade(&self.0)));
    }
}
