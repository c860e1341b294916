//! Linux: a descriptor's file is opened once more through /proc; epoll refuses what it cannot poll.

use rustix::{
    fd::OwnedFd,
    fs::{Mode, OFlags, Stat, major, minor, open},
    io::Errno,
};
use std::{io, os::fd::AsRawFd};

/// A description of our own for the same file. It may fail: no /proc, another user's pipe, a named pipe without readers.
pub fn reopen(fd: &OwnedFd, mode: OFlags) -> Option<OwnedFd> {
    let path = format!("/proc/self/fd/{}", fd.as_raw_fd());
    let flags = mode | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    open(path, flags, Mode::empty()).ok()
}

/// Opening /dev/ptmx again would make another terminal.
pub fn is_multiplexer(stat: &Stat) -> bool {
    (major(stat.st_rdev), minor(stat.st_rdev)) == (5, 2)
}

/// Registering it failed because of what it is.
pub fn cannot_be_polled(e: &io::Error) -> bool {
    Errno::from_io_error(e) == Some(Errno::PERM)
}
