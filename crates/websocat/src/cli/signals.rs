//! Signals: the first SIGINT, SIGTERM or SIGHUP asks to finish in order, a second one ends the program at once.
//!
//! Handlers are set explicitly, so that it works as PID 1 as well. SIGHUP is left ignored where it was (nohup). SIGXFSZ, of a
//! file that would become larger than it may (`ulimit -f`), must not end the program: the write fails anyway. Ends of children
//! are heeded even where whoever started the program had them ignored. None of all these stays blocked.

/// Number of the next signal that asks to leave.
#[cfg(unix)]
pub struct Signals {
    interrupt: tokio::signal::unix::Signal,
    terminate: tokio::signal::unix::Signal,
    hang_up: Option<tokio::signal::unix::Signal>,
    /// Never asked for. Handled rather than ignored: children get it as they would without us.
    _file_size: Option<tokio::signal::unix::Signal>,
}

#[cfg(unix)]
impl Signals {
    pub fn new() -> std::io::Result<Self> {
        use rustix::process::Signal;
        use tokio::signal::unix::{SignalKind, signal};
        let ignored = ignored();
        let is_ignored = |signal: Signal| ignored.map(|mask| mask & 1 << (signal.as_raw() - 1) != 0);
        // Where that cannot be found out SIGHUP is left as it was.
        let hang_up = is_ignored(Signal::HUP) == Some(false);
        let file_size = is_ignored(Signal::XFSZ) != Some(true);
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            hang_up: hang_up.then(|| signal(SignalKind::hangup())).transpose()?,
            _file_size: file_size.then(|| signal(SignalKind::from_raw(Signal::XFSZ.as_raw()))).transpose()?,
        })
    }

    pub async fn next(&mut self) -> u8 {
        let hang_up = async {
            match &mut self.hang_up {
                Some(signal) => signal.recv().await,
                None => std::future::pending().await,
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
#[cfg(unix)]
pub fn unblock() -> std::io::Result<()> {
    use rustix::process::Signal;
    let heeded = [Signal::HUP, Signal::INT, Signal::PIPE, Signal::TERM, Signal::CHILD, Signal::XFSZ];
    sockets::endpoint::process::signal_mask::unblock(&heeded.map(Signal::as_raw))
}

#[cfg(not(unix))]
pub fn unblock() -> std::io::Result<()> {
    Ok(())
}

/// For before the first child: a process that was started with SIGCHLD ignored is never told how its children end, since the
/// kernel forgets them at once.
#[cfg(unix)]
pub fn heed_children() -> std::io::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let bit = 1 << (rustix::process::Signal::CHILD.as_raw() - 1);
    if ignored().is_none_or(|mask| mask & bit != 0) {
        // The handler stays when nobody listens to it any more.
        drop(signal(SignalKind::child())?);
    }
    Ok(())
}

/// The signals that were ignored when the program started, a bit for each; None where that cannot be found out.
#[cfg(unix)]
fn ignored() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"))?;
    u64::from_str_radix(mask.trim(), 16).ok()
}

#[cfg(not(unix))]
pub fn heed_children() -> std::io::Result<()> {
    Ok(())
}

#[cfg(not(unix))]
pub struct Signals;

#[cfg(not(unix))]
impl Signals {
    pub fn new() -> std::io::Result<Self> {
        Ok(Self)
    }

    pub async fn next(&mut self) -> u8 {
        match tokio::signal::ctrl_c().await {
            Ok(()) => 2,
            Err(_) => std::future::pending().await,
        }
    }
}
