//! Signals to children, and their process groups.
//!
//! Where this process has no terminal each supervised child leads a process group of its own: signals reach what it started,
//! and those for this process do not reach it before its session has ended in order. At a terminal children stay in the
//! group of this process, since only the group in front may ask there (for a password, say).

use super::{ending::Signal, living};
use rustix::{
    io::Errno,
    process::{self, Pid, WaitId, WaitIdOptions},
};
use std::{io, os::unix::process::CommandExt, process::Command, sync::OnceLock, time::Instant};

/// A process that is a child of this one.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    pid: Pid,
    number: u32,
    leads: bool,
    since: Instant,
}

impl Target {
    /// Of a child that was just started.
    pub fn new(number: u32, leads: bool) -> Self {
        // Numbers of processes are positive and fit; 1 is never a child.
        let pid = i32::try_from(number).ok().and_then(Pid::from_raw).unwrap_or(Pid::INIT);
        Self { pid, number, leads: leads && pid != Pid::INIT, since: Instant::now() }
    }

    pub fn id(&self) -> u32 {
        self.number
    }

    /// To its group if it leads one. One that has ended already is no error. What is stopped goes on, so that it can end.
    pub fn send(&self, signal: Signal) -> io::Result<()> {
        match signal {
            Signal::HangUp => self.signal(process::Signal::HUP).and_then(|()| self.signal(process::Signal::CONT)),
            Signal::Terminate => self.signal(process::Signal::TERM).and_then(|()| self.signal(process::Signal::CONT)),
            Signal::Kill => self.signal(process::Signal::KILL),
        }
    }

    fn signal(&self, signal: process::Signal) -> io::Result<()> {
        let sent = match self.leads {
            _ if self.pid == Pid::INIT => Ok(()),
            true => process::kill_process_group(self.pid, signal),
            false => process::kill_process(self.pid, signal),
        };
        match sent {
            Err(Errno::SRCH) => Ok(()),
            Err(Errno::PERM) if living::ZOMBIES_REFUSE && self.is_over() => Ok(()),
            result => Ok(result?),
        }
    }

    pub fn send_to_survivors(&self, signal: Signal) -> io::Result<()> {
        if self.leads { self.send(signal) } else { Ok(()) }
    }

    /// Somebody of its group goes on. For after its end.
    pub fn has_survivors(&self) -> bool {
        // EPERM means that somebody is there.
        self.leads
            && process::test_kill_process_group(self.pid) != Err(Errno::SRCH)
            && living::is_alive(self.pid, self.since)
    }

    /// It has ended, and is left to be reaped or was.
    pub fn is_over(&self) -> bool {
        let look = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        !matches!(process::waitid(WaitId::Pid(self.pid), look), Ok(None))
    }

    /// It leads a group, of which others may be left after its end.
    pub fn leads(&self) -> bool {
        self.leads
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

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;
    use std::{
        process::Child,
        thread,
        time::{Duration, Instant},
    };

    fn start(program: &str, group: i32) -> Child {
        Command::new(program).arg("1000").process_group(group).spawn().unwrap()
    }

    fn until(what: &str, mut is_so: impl FnMut() -> bool) {
        let start = Instant::now();
        while !is_so() {
            assert!(start.elapsed() < Duration::from_secs(30), "not in time: {what}");
            thread::yield_now();
        }
    }

    #[test]
    fn zombies_are_no_survivors() {
        let mut leader = start("sleep", 0);
        let target = Target::new(leader.id(), true);
        let group = i32::try_from(leader.id()).unwrap();
        let mut follower = start("sleep", group);
        leader.kill().unwrap();
        leader.wait().unwrap();
        assert!(target.is_over() && target.has_survivors());
        follower.kill().unwrap();
        // Not reaped: a signal could still be sent to it.
        until("the last one is seen to have ended", || !target.has_survivors());
        assert_eq!(process::test_kill_process_group(target.pid), Ok(()));
        follower.wait().unwrap();
        assert!(!target.has_survivors());
    }

    #[test]
    fn what_is_stopped_goes_on_to_its_end() {
        for signal in [Signal::HangUp, Signal::Terminate] {
            let mut child = start("sleep", 0);
            let target = Target::new(child.id(), true);
            target.signal(process::Signal::STOP).unwrap();
            let options = WaitIdOptions::STOPPED | WaitIdOptions::NOWAIT;
            process::waitid(WaitId::Pid(target.pid), options).unwrap();
            target.send(signal).unwrap();
            until("it ends", || target.is_over());
            child.wait().unwrap();
        }
    }
}
