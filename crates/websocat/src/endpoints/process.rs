//! `exec:` and `cmd:`: a child process whose standard input and output are the socket. The functions are those of
//! [`crate::functions`].

use crate::{
    error::{Error, Result},
    spec::{EndpointSpec, Form, Script, SocketKind, Then, os_literal, string_literal},
};
use rhai::Engine;
use std::ffi::{OsStr, OsString};

/// A child process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Process {
    pub shell: bool,
    /// Program, or command line for the shell.
    pub command: OsString,
}

#[derive(Clone, Debug, Default, clap::Args)]
pub struct ProcessArgs {
    /// Arguments for exec:, all that follows on the command line
    #[arg(long, value_name = "ARGUMENT", num_args = 0.., allow_hyphen_values = true)]
    pub exec_args: Option<Vec<OsString>>,
}

const EXEC: &str = "exec";

impl EndpointSpec for Process {
    const FORMS: &'static [Form] = &[
        Form {
            name: EXEC,
            prefixes: &["exec:"],
            value: "PROGRAM",
            doc: "Runs a program without a shell; its standard input and output are the socket. Arguments are what follows \
                  `--exec-args`.",
        },
        Form {
            name: "cmd",
            prefixes: &["cmd:", "sh-c:"],
            value: "COMMAND LINE",
            doc: "Runs a command line with the system's shell; its standard input and output are the socket.",
        },
    ];

    fn parse(form: &'static Form, value: &OsStr) -> Result<Self> {
        if value.is_empty() {
            return Err(Error::usage(format!("the command is missing; write {}{}", form.prefixes[0], form.value)));
        }
        if value.as_encoded_bytes().contains(&0) {
            return Err(Error::usage("a command cannot contain a NUL byte"));
        }
        Ok(Self { shell: form.name != EXEC, command: value.to_owned() })
    }

    fn kind(&self) -> Option<SocketKind> {
        Some(SocketKind::Stream)
    }

    fn emit(&self, script: &mut Script, then: &mut Then<'_>) -> Result<()> {
        let cmd = if self.shell { self.emit_shell(script) } else { self.emit_program(script) };
        script.line(&format!("{cmd}.configure_fds(2, 2, 1);"));
        let child = script.assign("chld", &format!("{cmd}.execute()"));
        let pstdio = script.assign("pstdio", &format!("{child}.socket()"));
        then(script, pstdio)
    }
}

impl Process {
    fn emit_program(&self, script: &mut Script) -> String {
        let cmd = match self.command.to_str() {
            Some(program) => script.assign("cmd", &format!("subprocess_new({})", string_literal(program))),
            None => script.assign("cmd", &format!("subprocess_new_osstr({})", os_literal(&self.command))),
        };
        for arg in script.args.clone().endpoints.process.exec_args.iter().flatten() {
            emit_argument(script, &cmd, arg);
        }
        cmd
    }

    fn emit_shell(&self, script: &mut Script) -> String {
        let (shell, flag) = if cfg!(windows) { ("cmd", "/C") } else { ("sh", "-c") };
        let cmd = script.assign("cmd", &format!("subprocess_new(\"{shell}\")"));
        script.line(&format!("{cmd}.arg(\"{flag}\");"));
        if cfg!(windows) {
            // cmd.exe has its own quoting.
            script.line(&format!("{cmd}.raw_windows_arg({});", os_literal(&self.command)));
        } else {
            emit_argument(script, &cmd, &self.command);
        }
        cmd
    }
}

fn emit_argument(script: &mut Script, cmd: &str, arg: &OsStr) {
    match arg.to_str() {
        Some(text) => script.line(&format!("{cmd}.arg({});", string_literal(text))),
        None => script.line(&format!("{cmd}.arg_osstr({});", os_literal(arg))),
    }
}

/// They are a family of their own.
pub(super) fn register(_: &mut Engine) {}
