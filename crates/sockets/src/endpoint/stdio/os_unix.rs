//! Descriptors 0 and 1 of a Unix process.

use crate::{
    endpoint::blocking::{BlockingRead, BlockingSink, BlockingWrite, Runner},
    net::inherited::{BlockingFd, Direction, Inherited, open},
    stream::{BoxStreamRead, BoxStreamWrite},
};
use rustix::{
    fd::OwnedFd,
    fs::{Mode, OFlags},
    io::fcntl_dupfd_cloexec,
};
use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

/// The lowest number that duplicates may get: 0 to 2 must never become something else.
const ABOVE_STDIO: i32 = 3;

/// Standard output was closed.
static CLOSED: AtomicBool = AtomicBool::new(false);

pub fn open_stdin() -> io::Result<BoxStreamRead> {
    open_input(fcntl_dupfd_cloexec(rustix::stdio::stdin(), ABOVE_STDIO)?)
}

/// Fails once descriptor 1 has been given up: what is written must not vanish in /dev/null without a word.
pub fn open_stdout() -> io::Result<BoxStreamWrite> {
    if CLOSED.load(Ordering::Relaxed) {
        return Err(io::Error::other("its end has been told already, with that of an earlier session"));
    }
    open_output(fcntl_dupfd_cloexec(rustix::stdio::stdout(), ABOVE_STDIO)?)
}

/// Puts /dev/null in place of descriptor 1: a free number would go to the next socket, and prints would end up there.
pub fn close_stdout() -> io::Result<()> {
    let null = rustix::fs::open("/dev/null", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())?;
    CLOSED.store(true, Ordering::Relaxed);
    Ok(rustix::stdio::dup2_stdout(null)?)
}

pub fn open_input(fd: OwnedFd) -> io::Result<BoxStreamRead> {
    Ok(match open(fd, Direction::Input)? {
        Inherited::Polled(fd) => Box::new(fd),
        Inherited::Blocking(fd) => Box::new(BlockingRead::new(fd, Runner::thread("stdin"), Arc::new(|e| e))),
    })
}

pub fn open_output(fd: OwnedFd) -> io::Result<BoxStreamWrite> {
    Ok(match open(fd, Direction::Output)? {
        Inherited::Polled(fd) => Box::new(fd),
        Inherited::Blocking(fd) => Box::new(BlockingWrite::new(fd, Runner::thread("stdout"), Arc::new(|e| e))),
    })
}

impl BlockingSink for BlockingFd {
    fn finish(self) -> io::Result<()> {
        self.end_output()
    }
}
