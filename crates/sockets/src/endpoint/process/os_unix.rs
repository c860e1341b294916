//! Signals to children, and their process groups.
//!
//! Where this process has no terminal each supervised child leads a process group of its own: signals reach what it started,
//! and those for this process do not reach it before its session has ended in order. At a terminal children stay in the
//! group of this process, since only the group in front may ask there (for a password, say).

use super::ending::Signal;
use rustix::process::{self, Pid, WaitId, WaitIdOptions};
use std::{io, os::unix::process::CommandExt, process::Command, sync::OnceLock};

/// A process that is a child of this one.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    pid: Pid,
    number: u32,
    leads: bool,
}

impl Target {
    pub fn new(number: u32, leads: bool) -> Self {
        // Numbers of processes are positive and fit; 1 is never a child.
        let pid = i32::try_from(number).ok().and_then(Pid::from_raw).unwrap_or(Pid::INIT);
        Self { pid, number, leads: leads && pid != Pid::INIT }
    }

    pub fn id(&self) -> u32 {
        self.number
    }

    /// To its group if it leads one. One that has ended already is no error.
    pub fn send(&self, signal: Signal) -> io::Result<()> {
        let signal = match signal {
            Signal::HangUp => process::Signal::HUP,
            Signal::Terminate => process::Signal::TERM,
            Signal::Kill => process::Signal::KILL,
        };
        let sent = match self.leads {
            _ if self.pid == Pid::INIT => Ok(()),
            true => process::kill_process_group(self.pid, signal),
            false => process::kill_process(self.pid, signal),
        };
        match sent {
            Err(rustix::io::Errno::SRCH) => Ok(()),
            result => Ok(result?),
        }
    }

    pub fn send_to_survivors(&self, signal: Signal) -> io::Result<()> {
        if self.leads { self.send(signal) } else { Ok(()) }
    }

    /// Its group is not empty. For after its end.
    pub fn has_survivors(&self) -> bool {
        // EPERM means that somebody is there.
        self.leads && process::test_kill_process_group(self.pid) != Err(rustix::io::Errno::SRCH)
    }

    /// It has ended, and is left to be reaped or was.
    pub fn is_over(&self) -> bool {
        let look = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        !matches!(process::waitid(WaitId::Pid(self.pid), look), Ok(None))
    }
}

pub fn send(_: &mut tokio::process::Child, target: &Target, signal: Signal) -> io::Result<()> {
    target.send(signal)
}

/// Gives the child a group of its own unless there is a terminal; says whether it did.
pub fn lead_group(command: &mut Command) -> bool {
    static TERMINAL: OnceLock<bool> = OnceLock::new();
    let leads = !*TERMINAL.get_or_init(|| std::fs::File::open("/dev/tty").is_ok());
    if leads {
        command.process_group(0);
    }
    leads
}
