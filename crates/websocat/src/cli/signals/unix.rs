//! Signals of Unix, and which of them the program was started with ignored.

use rustix::process::Signal;
use std::{future::pending, io, mem::MaybeUninit, ptr};
use tokio::signal::unix::{self, SignalKind, signal};

/// Number of the next signal that asks to leave.
pub struct Signals {
    interrupt: unix::Signal,
    terminate: unix::Signal,
    hang_up: Option<unix::Signal>,
    /// Never asked for. Handled rather than ignored: children get it as they would without us.
    _file_size: Option<unix::Signal>,
}

impl Signals {
    pub fn new() -> io::Result<Self> {
        let unless_ignored = |which: Signal| match is_ignored(which)? {
            true => Ok(None),
            false => signal(SignalKind::from_raw(which.as_raw())).map(Some),
        };
        Ok(Self {
            hang_up: unless_ignored(Signal::HUP)?,
            _file_size: unless_ignored(Signal::XFSZ)?,
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
        })
    }

    pub async fn next(&mut self) -> u8 {
        let hang_up = async {
            match &mut self.hang_up {
                Some(signal) => signal.recv().await,
                None => pending().await,
            }
        };
        tokio::select! {
            _ = self.interrupt.recv() => 2,
            _ = self.terminate.recv() => 15,
            _ = hang_up => 1,
        }
    }
}

/// For before the first thread: whoever started the program may have blocked signals that it heeds, and is deaf to them then,
/// and to the ends of children. Children are started without any blocked signals (std): whoever ends them expects that they hear
/// of it.
pub fn unblock() -> io::Result<()> {
    let heeded = [Signal::HUP, Signal::INT, Signal::PIPE, Signal::TERM, Signal::CHILD, Signal::XFSZ];
    sockets::endpoint::process::signal_mask::unblock(&heeded.map(Signal::as_raw))
}

/// For before the first child: a process that was started with SIGCHLD ignored is never told how its children end, since the
/// kernel forgets them at once.
pub fn heed_children() -> io::Result<()> {
    if is_ignored(Signal::CHILD)? {
        // The handler stays when nobody listens to it any more.
        drop(signal(SignalKind::child())?);
    }
    Ok(())
}

/// As it was when the program started, until a handler is set.
#[allow(unsafe_code)] // no crate that is here already asks without setting something
fn is_ignored(which: Signal) -> io::Result<bool> {
    let mut now = MaybeUninit::<libc::sigaction>::uninit();
    // SAFETY: without a new action the call only writes the present one to where it may; it says EINVAL for no signal.
    if unsafe { libc::sigaction(which.as_raw(), ptr::null(), now.as_mut_ptr()) } != 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the call succeeded, so that all of it was written.
    let now = unsafe { now.assume_init() };
    Ok(now.sa_sigaction == libc::SIG_IGN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_is_ignored_is_known() {
        assert!(is_ignored(Signal::PIPE).unwrap(), "Rust's start-up sees to that");
        let _handled = signal(SignalKind::user_defined1()).unwrap();
        assert!(!is_ignored(Signal::USR1).unwrap());
    }
}
