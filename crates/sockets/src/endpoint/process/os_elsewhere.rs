//! Children outside Unix: there are no signals, only the end.

use super::ending::Signal;
use std::{io, process::Command};

/// A process that is a child of this one.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    number: u32,
}

impl Target {
    pub fn new(number: u32, _: bool) -> Self {
        Self { number }
    }

    pub fn id(&self) -> u32 {
        self.number
    }

    /// Without the handle nothing can be told.
    pub fn send(&self, _: Signal) -> io::Result<()> {
        Ok(())
    }

    pub fn send_to_survivors(&self, _: Signal) -> io::Result<()> {
        Ok(())
    }

    pub fn has_survivors(&self) -> bool {
        false
    }

    pub fn is_over(&self) -> bool {
        true
    }

    pub fn leads(&self) -> bool {
        false
    }
}

/// What asks politely elsewhere asks nothing here; the last word ends the child.
pub fn send(child: &mut tokio::process::Child, _: &Target, signal: Signal) -> io::Result<()> {
    if signal == Signal::Kill { child.start_kill() } else { Ok(()) }
}

pub fn lead_group(_: &mut Command) -> bool {
    false
}
