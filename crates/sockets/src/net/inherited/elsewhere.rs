//! Unix without Linux's /proc: no file is opened once more, since opening /dev/fd/N only duplicates, which shares the
//! description. What cannot be polled is what kqueue says of some devices, in several ways.

use rustix::{
    fd::OwnedFd,
    fs::{OFlags, Stat},
    io::Errno,
};
use std::io;

pub fn reopen(_: &OwnedFd, _: OFlags) -> Option<OwnedFd> {
    None
}

pub fn is_multiplexer(_: &Stat) -> bool {
    false
}

/// Registering it failed because of what it is.
pub fn cannot_be_polled(e: &io::Error) -> bool {
    let said = [Errno::PERM, Errno::INVAL, Errno::NODEV, Errno::NOTSUP, Errno::OPNOTSUPP];
    Errno::from_io_error(e).is_some_and(|e| said.contains(&e))
}
