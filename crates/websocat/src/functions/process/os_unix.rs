//! What only Unix children have: an identity of their own, descriptors under chosen numbers, the place of this process.

use super::spawn_error;
use crate::{
    error::{Error, Kind},
    scenario::{RhResult, throw},
};
use sockets::endpoint::process::{
    Child, SpawnError, Supervision,
    handover::{Handed, prepare, replace_process},
    unix::Identity,
};
use std::{ffi::OsString, path::PathBuf, process::Command};

/// Settings that the standard description of a child does not have.
#[derive(Debug, Default)]
pub struct Settings {
    identity: Identity,
    handed: Vec<Handed>,
}

impl Settings {
    pub fn arg0(&mut self, arg0: OsString) -> RhResult<()> {
        self.identity.arg0 = Some(arg0);
        Ok(())
    }

    pub fn uid(&mut self, uid: u32) -> RhResult<()> {
        self.identity.uid = Some(uid);
        Ok(())
    }

    pub fn gid(&mut self, gid: u32) -> RhResult<()> {
        self.identity.gid = Some(gid);
        Ok(())
    }

    pub fn dup2(&mut self, fd: i64, targets: &[i64], blocking: bool) -> RhResult<()> {
        if fd == -1 {
            let what = "this socket has no descriptor that could be handed to a child: --exec-dup2 is for connections of the \
                        system (TCP and UNIX sockets, files, inherited descriptors)";
            return Err(throw(Error::new(Kind::Process, what)));
        }
        let handed = Handed::new(fd, targets, blocking);
        self.handed.push(handed.map_err(|e| throw(Error::with_source(Kind::Process, e.to_string(), e)))?);
        Ok(())
    }

    pub fn start(self, mut command: Command, supervision: Option<Supervision>) -> Result<Child, Error> {
        self.identity.apply(&mut command);
        let program = command.get_program().to_owned();
        let directory = command.get_current_dir().map(PathBuf::from);
        let spawn = |command| {
            let child = match supervision {
                None => Child::spawn(command),
                Some(supervision) => Child::spawn_supervised(command, supervision),
            };
            child.map_err(|e| spawn_error(self.identity.explain(directory.as_deref(), e)))
        };
        if self.handed.is_empty() {
            return spawn(command);
        }
        let prepared =
            prepare(&mut command, self.handed).map_err(|source| spawn_error(SpawnError::Failed { program, source }))?;
        let child = spawn(command)?;
        prepared.started();
        Ok(child)
    }

    /// Comes back only if the program could not be run.
    pub fn replace(self, mut command: Command) -> Error {
        self.identity.apply(&mut command);
        let directory = command.get_current_dir().map(PathBuf::from);
        let (program, source) = replace_process(command, self.handed);
        spawn_error(self.identity.explain(directory.as_deref(), SpawnError::Failed { program, source }))
    }
}

pub fn raw_arg(_: &mut Command, _: OsString) -> RhResult<()> {
    Err("raw_windows_arg exists on Windows only; here use arg".into())
}

pub fn creation_flags(_: &mut Command, _: u32) -> RhResult<()> {
    Err("windows_creation_flags (--exec-windows-creation-flags) exists on Windows only".into())
}
