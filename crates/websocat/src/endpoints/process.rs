//! `exec:` and `cmd:`: a child process whose standard input and output are the socket. The functions are those of
//! [`crate::functions`].

use crate::{
    cli::value::Duration,
    error::{Error, Result},
    spec::{
        About, EndpointSpec, Form, OptionMap, Script, SocketKind, Then, Var, duration_in_words, os_literal,
        string_literal,
    },
};
use rhai::Engine;
use std::{
    ffi::{OsStr, OsString},
    str::FromStr,
};

/// A child process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Process {
    pub shell: bool,
    /// Program, or command line for the shell.
    pub command: OsString,
}

#[derive(Clone, Debug, clap::Args)]
pub struct ProcessArgs {
    /// Arguments for exec:, all that follows on the command line
    #[arg(long, value_name = "ARGUMENT", num_args = 0.., allow_hyphen_values = true)]
    pub exec_args: Option<Vec<OsString>>,
    /// What the child sees as its own name, argv[0] (Unix)
    #[arg(long, value_name = "NAME", allow_hyphen_values = true)]
    pub exec_arg0: Option<OsString>,
    /// Numeric user id of the child (Unix)
    #[arg(long, value_name = "UID")]
    pub exec_uid: Option<u32>,
    /// Numeric group id of the child (Unix)
    #[arg(long, value_name = "GID")]
    pub exec_gid: Option<u32>,
    /// Working directory of the child
    #[arg(long, value_name = "DIRECTORY", allow_hyphen_values = true)]
    pub exec_chdir: Option<OsString>,
    /// Process creation flags of the child (Windows)
    #[arg(long, value_name = "FLAGS")]
    pub exec_windows_creation_flags: Option<u32>,
    /// The end of the child is a hangup: the session ends at once, even if output is left
    ///
    /// Otherwise the session ends after the child's last output.
    #[arg(long)]
    pub exec_monitor_exits: bool,
    /// How long a child may go on after the end of its input; then it gets SIGHUP, and SIGKILL 5 seconds later
    ///
    /// Output counts it anew. `inf`: for ever. A child whose peer vanished gets SIGTERM after a second whatever this says, and
    /// SIGKILL 2 seconds later.
    #[arg(long, value_name = "DURATION", default_value_t = GRACE)]
    pub exec_grace: Duration,
    /// The exit status of the child, if it is not 0, becomes that of this program
    #[arg(long)]
    pub exec_status: bool,
    /// Hand the left connection itself to the child, as descriptors with these numbers (Unix)
    ///
    /// The child talks to the peer directly: overlays of either side do not apply to what it sends and gets.
    #[arg(long, value_name = "NUMBERS")]
    pub exec_dup2: Option<Descriptors>,
    /// With --exec-dup2: leave the connection non-blocking
    #[arg(long)]
    pub exec_dup2_keep_nonblocking: bool,
    /// With --exec-dup2: the child takes the place of this process
    #[arg(long)]
    pub exec_dup2_execve: bool,
}

/// Time for a child to write down what it was told last; longer than most need, shorter than anybody's patience.
const GRACE: Duration = Duration::from_secs(10);

impl Default for ProcessArgs {
    fn default() -> Self {
        Self {
            exec_args: None,
            exec_arg0: None,
            exec_uid: None,
            exec_gid: None,
            exec_chdir: None,
            exec_windows_creation_flags: None,
            exec_monitor_exits: false,
            exec_grace: GRACE,
            exec_status: false,
            exec_dup2: None,
            exec_dup2_keep_nonblocking: false,
            exec_dup2_execve: false,
        }
    }
}

impl ProcessArgs {
    /// Something was said that matters with `--exec-dup2` only.
    pub fn modifies_dup2(&self) -> bool {
        self.exec_dup2_keep_nonblocking || self.exec_dup2_execve
    }
}

/// Descriptor numbers, separated by commas.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Descriptors(pub Vec<u32>);

impl FromStr for Descriptors {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        /// As Websocat 4 has it.
        const MOST: usize = 16;
        let number = |word: &str| word.parse::<u32>().ok().filter(|n| i32::try_from(*n).is_ok());
        let bad = || format!("`{text}` is not a list of descriptor numbers; write them with commas in between: 0,1");
        let numbers: Vec<_> = text.split(',').map(number).collect::<Option<_>>().ok_or_else(bad)?;
        if numbers.len() > MOST { Err(format!("at most {MOST} numbers are possible")) } else { Ok(Self(numbers)) }
    }
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

    fn explain(&self, about: &About<'_>) -> String {
        let options = &about.args.endpoints.process;
        let command = self.command.display();
        let mut text = match self.shell {
            true => format!("Runs `{command}` in a shell"),
            false => {
                let args: Vec<_> = options.exec_args.iter().flatten().map(|arg| arg.display().to_string()).collect();
                format!("Runs the program `{}`", [vec![command.to_string()], args].concat().join(" "))
            }
        };
        if let Some(directory) = &options.exec_chdir {
            text.push_str(&format!(" in {}", directory.display()));
        }
        match (options.exec_uid, options.exec_gid) {
            (Some(uid), Some(gid)) => text.push_str(&format!(" as user {uid} and group {gid}")),
            (Some(uid), None) => text.push_str(&format!(" as user {uid}")),
            (None, Some(gid)) => text.push_str(&format!(" as group {gid}")),
            (None, None) => {}
        }
        if options.exec_dup2.is_some() {
            return text + ", which gets the connection itself and does the rest.";
        }
        text.push_str(" and talks to its standard input and output. ");
        text.push_str(&match options.exec_grace.finite() {
            Some(time) if time.is_zero() => "It ends with its input.".to_owned(),
            Some(_) => {
                format!("It may go on for {} after its input has ended.", duration_in_words(options.exec_grace))
            }
            None => "It may go on for as long as it likes after its input has ended.".to_owned(),
        });
        if options.exec_status {
            text.push_str(" Its exit status, if not 0, becomes ours.");
        }
        text
    }

    fn emit(&self, script: &mut Script, then: &mut Then<'_>) -> Result<()> {
        let cmd = self.emit_command(script, 2)?;
        let child = script.assign("chld", &format!("{cmd}.execute()"));
        let pstdio = script.assign("pstdio", &format!("{child}.socket()"));
        if script.args.endpoints.process.exec_monitor_exits {
            script.line(&format!("put_hangup_part({pstdio}, {child}.wait());"));
        }
        then(script, pstdio)
    }
}

impl Process {
    /// The session of `--exec-dup2`: the child gets the socket `left` itself.
    pub fn emit_handover(&self, script: &mut Script, numbers: &Descriptors, left: &Var) -> Result<()> {
        let args = script.args.clone();
        let args = &args.endpoints.process;
        let cmd = self.emit_command(script, 1)?;
        let numbers: Vec<_> = numbers.0.iter().map(u32::to_string).collect();
        let blocking = !args.exec_dup2_keep_nonblocking;
        script.line(&format!("{cmd}.dup2(get_fd({left}), [{}], {blocking});", numbers.join(", ")));
        if args.exec_dup2_execve {
            script.line(&format!("{cmd}.execve();"));
            script.session_end("dummy_task()");
            return Ok(());
        }
        let child = script.assign("chld", &format!("{cmd}.execute()"));
        script.line(&format!("drop({left});"));
        script.session_end(&format!("{child}.finish()"));
        Ok(())
    }

    /// A command that is ready to be executed, with its standard input and output as `configure_fds` has it.
    fn emit_command(&self, script: &mut Script, stdio: u8) -> Result<Var> {
        let args = script.args.clone();
        let shown_only = args.program.dump_spec;
        let args = &args.endpoints.process;
        // What the script would be can be looked at everywhere.
        if args.exec_windows_creation_flags.is_some() && !cfg!(windows) && !shown_only {
            return Err(Error::usage("--exec-windows-creation-flags exists on Windows only"));
        }
        let cmd = if self.shell { self.emit_shell(script) } else { self.emit_program(script) };
        if let Some(dir) = &args.exec_chdir {
            emit_text(script, &cmd, "chdir", dir);
        }
        if let Some(arg0) = &args.exec_arg0 {
            emit_text(script, &cmd, "arg0", arg0);
        }
        for (method, number) in [
            ("uid", args.exec_uid),
            ("gid", args.exec_gid),
            ("windows_creation_flags", args.exec_windows_creation_flags),
        ] {
            if let Some(number) = number {
                script.line(&format!("{cmd}.{method}({number});"));
            }
        }
        script.line(&format!("{cmd}.configure_fds({stdio}, {stdio}, 1);"));
        if !args.exec_dup2_execve {
            let supervision =
                OptionMap::new().number("grace_ms", args.exec_grace.millis()).flag("exit_status", args.exec_status);
            script.line(&format!("{cmd}.supervise({supervision});"));
        }
        Ok(cmd)
    }

    fn emit_program(&self, script: &mut Script) -> String {
        let cmd = match self.command.to_str() {
            Some(program) => script.assign("cmd", &format!("subprocess_new({})", string_literal(program))),
            None => script.assign("cmd", &format!("subprocess_new_osstr({})", os_literal(&self.command))),
        };
        for arg in script.args.clone().endpoints.process.exec_args.iter().flatten() {
            emit_text(script, &cmd, "arg", arg);
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
            emit_text(script, &cmd, "arg", &self.command);
        }
        cmd
    }
}

/// A call of a method that takes text, or of its variant for what is not text.
fn emit_text(script: &mut Script, cmd: &str, method: &str, text: &OsStr) {
    match text.to_str() {
        Some(text) => script.line(&format!("{cmd}.{method}({});", string_literal(text))),
        None => script.line(&format!("{cmd}.{method}_osstr({});", os_literal(text))),
    }
}

/// They are a family of their own.
pub(super) fn register(_: &mut Engine) {}

#[cfg(test)]
mod tests {
    use super::Descriptors;

    #[test]
    fn descriptor_lists() {
        assert_eq!("0,1,20".parse(), Ok(Descriptors(vec![0, 1, 20])));
        for text in ["", "0,", "-1", "a", "0 1", "2147483648"] {
            let e = text.parse::<Descriptors>().unwrap_err();
            assert!(e.contains("is not a list of descriptor numbers"), "{text}: {e}");
        }
        assert!("1,".repeat(16).trim_end_matches(',').parse::<Descriptors>().is_ok());
        assert!(("1,".repeat(16) + "1").parse::<Descriptors>().unwrap_err().contains("at most 16"));
    }
}
