//! Children outside Unix: what only Unix has is refused by name.

use super::spawn_error;
use crate::{
    error::{Error, Kind},
    scenario::RhResult,
};
use sockets::endpoint::process::{Child, Supervision};
use std::{ffi::OsString, process::Command};

/// Settings that the standard description of a child does not have: none.
#[derive(Debug, Default)]
pub struct Settings {}

fn refused(name: &str) -> RhResult<()> {
    Err(format!("{name} exists on Unix only").into())
}

impl Settings {
    pub fn arg0(&mut self, _: OsString) -> RhResult<()> {
        refused("arg0 (--exec-arg0)")
    }

    pub fn uid(&mut self, _: u32) -> RhResult<()> {
        refused("uid (--exec-uid)")
    }

    pub fn gid(&mut self, _: u32) -> RhResult<()> {
        refused("gid (--exec-gid)")
    }

    pub fn dup2(&mut self, _: i64, _: &[i64], _: bool) -> RhResult<()> {
        refused("dup2 (--exec-dup2)")
    }

    pub fn start(self, command: Command, supervision: Option<Supervision>) -> Result<Child, Error> {
        match supervision {
            None => Child::spawn(command),
            Some(supervision) => Child::spawn_supervised(command, supervision),
        }
        .map_err(spawn_error)
    }

    pub fn replace(self, _: Command) -> Error {
        Error::new(Kind::Process, "execve (--exec-dup2-execve) exists on Unix only")
    }
}

#[cfg(windows)]
pub fn raw_arg(command: &mut Command, arg: OsString) -> RhResult<()> {
    use std::os::windows::process::CommandExt as _;
    command.raw_arg(arg);
    Ok(())
}

#[cfg(windows)]
pub fn creation_flags(command: &mut Command, flags: u32) -> RhResult<()> {
    use std::os::windows::process::CommandExt as _;
    command.creation_flags(flags);
    Ok(())
}

#[cfg(not(windows))]
pub fn raw_arg(_: &mut Command, _: OsString) -> RhResult<()> {
    Err("raw_windows_arg exists on Windows only; here use arg".into())
}

#[cfg(not(windows))]
pub fn creation_flags(_: &mut Command, _: u32) -> RhResult<()> {
    Err("windows_creation_flags (--exec-windows-creation-flags) exists on Windows only".into())
}
