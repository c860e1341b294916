//! Child processes: describing, starting and waiting for them.
//!
//! Children are waited for from the start, so that none stays a zombie. A plain one is not killed when its session ends: it
//! sees the end of its input. `supervise` ties a child and its session together.

#[cfg_attr(unix, path = "process/os_unix.rs")]
#[cfg_attr(not(unix), path = "process/os_elsewhere.rs")]
mod os;
mod results;

use crate::{
    error::{Error, Kind},
    register,
    scenario::{
        Callback, Flow, Handle, OptsReader, RegisterNative as _, RhFn, RhOpts, RhResult, Scenario, Take, TaskHandle,
        handle, missing, task, throw,
    },
};
use rhai::{Array, Engine, NativeCallContext};
use serde::Deserialize;
use sockets::{
    endpoint::process::{Child, SpawnError, Supervision},
    hangup::Hangup,
    info::SocketInfo,
    socket::StreamSocket,
    stream::BoxStreamRead,
};
use std::{
    ffi::OsString,
    io,
    process::{Command, ExitStatus, Stdio},
    sync::PoisonError,
    time::Duration,
};

/// What shells give for a program that cannot be run.
const CANNOT_RUN: i32 = 127;

/// What is known of a child before it is started.
struct Prepared {
    command: Command,
    settings: os::Settings,
    supervision: Option<Supervision>,
}

type CommandHandle = Handle<Prepared>;
type ChildHandle = Handle<Child>;

impl Prepared {
    fn start(self) -> Result<Child, Error> {
        self.settings.start(self.command, self.supervision)
    }
}

/// With the exit status for children that could not be started.
pub(super) fn spawn_error(e: SpawnError) -> Error {
    Error::with_source(Kind::Process, e.to_string(), e)
}

/// The error of a session whose status is that of its child; None if that one ended well.
pub(super) fn child_status(status: io::Result<ExitStatus>) -> Result<(), Error> {
    let status = status.map_err(|e| Error::with_source(Kind::Process, "cannot wait for a child", e))?;
    if status.success() {
        return Ok(());
    }
    // The supervisor has told it.
    let error = Error::new(Kind::Process, format!("a child ended: {status}")).told();
    Err(match code_of(status) {
        Some(code) => error.with_status(code),
        None => error,
    })
}

/// As shells have it: 128 and the number of the signal that ended it.
#[cfg(unix)]
fn code_of(status: ExitStatus) -> Option<u8> {
    use std::os::unix::process::ExitStatusExt as _;
    let code = status.code().or_else(|| status.signal().map(|n| n + 128))?;
    u8::try_from(code).ok()
}

/// What does not fit into a status of this program has none of its own.
#[cfg(not(unix))]
fn code_of(status: ExitStatus) -> Option<u8> {
    status.code().and_then(|code| u8::try_from(code).ok())
}

/// Prepares a child process of this program, which is looked for in PATH. Its standard streams are those of this process
/// unless `configure_fds` says otherwise.
fn subprocess_new(program_name: &str) -> CommandHandle {
    subprocess_new_osstr(program_name.into())
}

/// The same with a string of the operating system.
fn subprocess_new_osstr(program_name: OsString) -> CommandHandle {
    handle(Prepared { command: Command::new(program_name), settings: os::Settings::default(), supervision: None })
}

/// Adds one argument.
fn arg(cmd: &mut CommandHandle, arg: &str) -> RhResult<()> {
    change(cmd, |c| _ = c.command.arg(arg))
}

/// Adds one argument from a string of the operating system.
fn arg_osstr(cmd: &mut CommandHandle, arg: OsString) -> RhResult<()> {
    change(cmd, |c| _ = c.command.arg(arg))
}

/// Appends text to the command line as it is, without quoting it. Fails elsewhere than on Windows.
fn raw_windows_arg(cmd: &mut CommandHandle, arg: OsString) -> RhResult<()> {
    change(cmd, |c| os::raw_arg(&mut c.command, arg))?
}

/// Sets the flags with which Windows creates the process. Fails elsewhere.
fn windows_creation_flags(cmd: &mut CommandHandle, flags: i64) -> RhResult<()> {
    let flags = u32::try_from(flags).map_err(|_| format!("{flags}: the flags are a number of 32 bits"))?;
    change(cmd, |c| os::creation_flags(&mut c.command, flags))?
}

/// Says what standard input, output and error of the child are: 0 the null device, 1 inherited, 2 piped.
fn configure_fds(cmd: &mut CommandHandle, stdin: i64, stdout: i64, stderr: i64) -> RhResult<()> {
    let (stdin, stdout, stderr) = (stdio("stdin", stdin)?, stdio("stdout", stdout)?, stdio("stderr", stderr)?);
    change(cmd, |c| _ = c.command.stdin(stdin).stdout(stdout).stderr(stderr))
}

fn stdio(name: &str, what: i64) -> RhResult<Stdio> {
    match what {
        0 => Ok(Stdio::null()),
        1 => Ok(Stdio::inherit()),
        2 => Ok(Stdio::piped()),
        n => Err(format!("{name} must be 0 (null device), 1 (inherited) or 2 (piped), not {n}").into()),
    }
}

/// Sets the working directory of the child.
fn chdir(cmd: &mut CommandHandle, dir: &str) -> RhResult<()> {
    change(cmd, |c| _ = c.command.current_dir(dir))
}

/// Sets the working directory of the child from a string of the operating system.
fn chdir_osstr(cmd: &mut CommandHandle, dir: OsString) -> RhResult<()> {
    change(cmd, |c| _ = c.command.current_dir(dir))
}

/// Sets one variable of the child's environment.
fn env(cmd: &mut CommandHandle, key: &str, value: &str) -> RhResult<()> {
    env_osstr(cmd, key.into(), value.into())
}

/// Sets one variable of the child's environment from strings of the operating system.
fn env_osstr(cmd: &mut CommandHandle, key: OsString, value: OsString) -> RhResult<()> {
    change(cmd, |c| _ = c.command.env(key, value))
}

/// Starts the child with an empty environment, apart from what is set later.
fn env_clear(cmd: &mut CommandHandle) -> RhResult<()> {
    change(cmd, |c| _ = c.command.env_clear())
}

/// Leaves one variable out of the child's environment.
fn env_remove(cmd: &mut CommandHandle, key: &str) -> RhResult<()> {
    change(cmd, |c| _ = c.command.env_remove(key))
}

/// Leaves out one variable, named by a string of the operating system.
fn env_remove_osstr(cmd: &mut CommandHandle, key: OsString) -> RhResult<()> {
    change(cmd, |c| _ = c.command.env_remove(key))
}

/// Sets what the child sees as its own name, argv[0]. Fails on Windows.
fn arg0(cmd: &mut CommandHandle, arg0: &str) -> RhResult<()> {
    arg0_osstr(cmd, arg0.into())
}

/// Sets argv[0] from a string of the operating system. Fails on Windows.
fn arg0_osstr(cmd: &mut CommandHandle, arg0: OsString) -> RhResult<()> {
    change(cmd, |c| c.settings.arg0(arg0))?
}

/// Sets the numeric user id of the child. Fails on Windows.
fn uid(cmd: &mut CommandHandle, uid: i64) -> RhResult<()> {
    let uid = u32::try_from(uid).map_err(|_| format!("{uid} is not a user id"))?;
    change(cmd, |c| c.settings.uid(uid))?
}

/// Sets the numeric group id of the child. Fails on Windows.
fn gid(cmd: &mut CommandHandle, gid: i64) -> RhResult<()> {
    let gid = u32::try_from(gid).map_err(|_| format!("{gid} is not a group id"))?;
    change(cmd, |c| c.settings.gid(gid))?
}

/// The child gets a copy of a descriptor of this process under other numbers, 16 at most, with or without O_NONBLOCK taken
/// away. -1, as of a socket without descriptor, is an error. Fails on Windows.
fn dup2(cmd: &mut CommandHandle, source_fd: i64, destination_fds: Array, set_to_blocking: bool) -> RhResult<()> {
    let number =
        |n: &rhai::Dynamic| n.as_int().map_err(|kind| format!("a descriptor number is an integer, not {kind}"));
    let targets = destination_fds.iter().map(number).collect::<Result<Vec<_>, _>>()?;
    change(cmd, |c| c.settings.dup2(source_fd, &targets, set_to_blocking))?
}

/// The same with one number.
fn dup2_one(cmd: &mut CommandHandle, source_fd: i64, destination_fd: i64, set_to_blocking: bool) -> RhResult<()> {
    dup2(cmd, source_fd, vec![destination_fd.into()], set_to_blocking)
}

/// Options of `supervise`.
#[derive(Deserialize)]
struct SuperviseOpts {
    /// Milliseconds that the child may go on after the end of its input, or in silence after that; absent or -1: for ever
    #[serde(default)]
    grace_ms: Option<i64>,
    /// Its exit status, if not 0, becomes that of the session
    #[serde(default)]
    exit_status: bool,
}

/// Ties the child and its session together. The child's end, after its last output, ends the session. After the end of its
/// input it may finish for a while; then it gets SIGHUP, and SIGKILL 5 seconds later. When the peer vanished it gets SIGTERM
/// after a second and SIGKILL 2 seconds later. It does not outlive this process. An exit status that is not 0 is logged.
fn supervise(cmd: &mut CommandHandle, opts: RhOpts<SuperviseOpts>) -> RhResult<()> {
    let SuperviseOpts { grace_ms, exit_status } = OptsReader::read(opts)?;
    let grace = match grace_ms {
        None | Some(-1) => None,
        Some(ms) => Some(Duration::from_millis(
            u64::try_from(ms)
                .map_err(|_| format!("option `grace_ms`: {ms} is neither a time in milliseconds nor -1 (for ever)"))?,
        )),
    };
    change(cmd, |c| c.supervision = Some(Supervision { grace, status_counts: exit_status }))
}

/// Runs the program in place of this process, with its standard streams and the descriptors of `dup2`; uses the command up.
/// If that fails this process ends with status 127. Fails on Windows.
fn execve(cmd: &mut CommandHandle) -> RhResult<ChildHandle> {
    let Prepared { command, settings, .. } = cmd.take("command")?;
    sockets::endpoint::finish_writes();
    sockets::endpoint::async_fd::restore_all();
    tracing::error!("{}", settings.replace(command));
    sockets::endpoint::before_exit();
    std::process::exit(CANNOT_RUN)
}

/// Starts the child; uses the command up.
fn execute(cmd: &mut CommandHandle) -> RhResult<ChildHandle> {
    cmd.take("command")?.start().map(handle).map_err(throw)
}

/// A task that runs the child to its end and goes on with a function that gets its exit status: -1 if it could not be
/// started, -2 if a signal ended it.
fn execute_for_status(
    ctx: NativeCallContext<'_>,
    cmd: &mut CommandHandle,
    continuation: RhFn<(i64,)>,
) -> RhResult<TaskHandle> {
    let callback = Callback::new(&ctx, continuation)?;
    let command = cmd.take("command")?;
    let finisher = Scenario::of(&ctx)?.finishers.enter();
    Ok(task(async move {
        let finisher = finisher;
        let code = match command.start() {
            Ok(child) => {
                let ended =
                    child.wait().await.map_err(|e| Error::with_source(Kind::Process, "cannot wait for a child", e))?;
                ended.code().map_or(-2, i64::from)
            }
            Err(error) => {
                tracing::warn!("{error}");
                -1
            }
        };
        let next = callback.task((code,))?;
        drop(finisher);
        Ok(Flow::Then(next))
    }))
}

/// Standard input and output of the child as one stream socket; those that are not piped are missing.
fn socket(child: &mut ChildHandle) -> RhResult<Handle<StreamSocket>> {
    let mut child = child.lock().unwrap_or_else(PoisonError::into_inner);
    let child = child.as_mut().ok_or("this child was used up or taken away before")?;
    Ok(handle(child.socket(SocketInfo::default())))
}

/// Standard error of the child as a reader; an empty handle if it is not piped or was taken before.
fn take_stderr(child: &mut ChildHandle) -> RhResult<Handle<BoxStreamRead>> {
    let mut child = child.lock().unwrap_or_else(PoisonError::into_inner);
    let child = child.as_mut().ok_or("this child was used up or taken away before")?;
    Ok(child.take_stderr().map_or_else(missing, handle))
}

/// A hangup that happens when the child ends; uses the child up.
fn wait(child: &mut ChildHandle) -> RhResult<Handle<Hangup>> {
    Ok(handle(end_of(child.take("child")?)))
}

/// A task that is over when the child has ended, and fails with its exit status if that counts; uses the child up.
fn finish(ctx: NativeCallContext<'_>, child: &mut ChildHandle) -> RhResult<TaskHandle> {
    let child = child.take("child")?;
    let (end, counts) = (child.wait(), child.status_counts());
    // It may have been given the connection, and be serving it.
    let finisher = Scenario::of(&ctx)?.finishers.enter();
    Ok(task(async move {
        let _finisher = finisher;
        let status = end.await;
        if counts { child_status(status).map(|()| Flow::Done) } else { Ok(Flow::Done) }
    }))
}

/// The hangup of a child's end.
pub(super) fn end_of(child: Child) -> Hangup {
    let end = child.wait();
    Hangup::new(async move {
        match end.await {
            Ok(status) if !status.success() => tracing::info!("a child ended: {status}"),
            Ok(_) => {}
            Err(error) => tracing::warn!(%error, "cannot wait for a child"),
        }
    })
}

fn change<T>(cmd: &CommandHandle, f: impl FnOnce(&mut Prepared) -> T) -> RhResult<T> {
    let mut command = cmd.lock().unwrap_or_else(PoisonError::into_inner);
    command.as_mut().map(f).ok_or_else(|| "this command was executed before".into())
}

pub(super) fn register(engine: &mut Engine) {
    engine.register_type_with_name::<CommandHandle>("Command");
    engine.register_type_with_name::<ChildHandle>("Child");
    register!(
        engine,
        subprocess_new,
        subprocess_new_osstr,
        arg,
        arg_osstr,
        raw_windows_arg,
        windows_creation_flags,
        configure_fds,
        chdir,
        chdir_osstr,
        env,
        env_osstr,
        env_clear,
        env_remove,
        env_remove_osstr,
        arg0,
        arg0_osstr,
        uid,
        gid,
        dup2,
        supervise,
        execve,
        execute,
        execute_for_status,
        socket,
        take_stderr,
        wait,
        finish,
    );
    engine.register_native("dup2", dup2_one);
    results::register(engine);
}

#[cfg(all(test, unix))]
mod tests {
    use crate::functions::testing::{eval_error, run_script};

    /// Runs `sh -c` with a command changed by `prepare`; what it prints must be `expected`.
    async fn shell_prints(line: &str, prepare: &str, expected: &str) {
        let script = format!(
            r#"let cmd = subprocess_new("sh"); cmd.arg("-c"); cmd.arg("{line}"); cmd.configure_fds(0, 2, 1); {prepare}
            let child = cmd.execute();
            let s = child.socket();
            sequential([copy_bytes(100, take_read_part(s), take_write_part(mock_stream_socket("W {expected}|D"))), child.wait()])"#
        );
        assert!(run_script(&script).await.is_ok(), "{script}");
    }

    #[tokio::test]
    async fn arguments_and_environment() {
        shell_prints("printf ok", "", "ok").await;
        shell_prints("printf %s $1", "cmd.arg_osstr(osstr_str(\"zero\")); cmd.arg(\"one\");", "one").await;
        shell_prints("printf %s $V", "cmd.env(\"V\", \"set\");", "set").await;
        shell_prints("printf %s x$V", "cmd.env(\"V\", \"set\"); cmd.env_remove(\"V\");", "x").await;
        shell_prints("pwd", "cmd.chdir(\"/\");", "/\\\\n").await;
        shell_prints("printf %s $0", "cmd.arg0(\"zero\");", "zero").await;
    }

    #[tokio::test]
    async fn input_and_output_are_a_socket() {
        let script = r#"let cmd = subprocess_new("cat"); cmd.configure_fds(2, 2, 1); let child = cmd.execute();
            exchange_bytes(#{}, mock_stream_socket("R hello|X|W hello|D"), child.socket())"#;
        assert!(run_script(script).await.is_ok());
    }

    #[tokio::test]
    async fn standard_error_can_be_taken() {
        let script = r#"let cmd = subprocess_new("sh"); cmd.arg("-c"); cmd.arg("printf bad >&2"); cmd.configure_fds(0, 0, 2);
            let child = cmd.execute();
            let half = child.take_stderr();
            note(str(is_null(child.take_stderr())));
            copy_bytes(100, half, take_write_part(mock_stream_socket("W bad|D")))"#;
        assert_eq!(run_script(script).await.unwrap(), "true");
    }

    #[tokio::test]
    async fn exit_statuses() {
        for (program, line, code) in [("sh", "exit 3", "3"), ("sh", "kill -9 $$", "-2"), ("/no/such/program", "", "-1")]
        {
            let script = format!(
                r#"let c = subprocess_new("{program}"); c.arg("-c"); c.arg("{line}"); c.execute_for_status(|code| {{ note(str(code)); dummy_task() }})"#
            );
            assert_eq!(run_script(&script).await.unwrap(), code, "{script}");
        }
        let out = run_script("sequential([system(\"exit 3\"), task_wrap(|| { note(\"over\"); dummy_task() })])").await;
        assert_eq!(out.unwrap(), "over");
    }

    #[tokio::test]
    async fn the_status_of_a_child_counts_where_that_was_asked_for() {
        for (options, line, code) in [
            ("#{exit_status: true}", "exit 7", Some(7)),
            ("#{exit_status: true}", "kill -9 $$", Some(137)),
            ("#{exit_status: true}", "exit 0", None),
            ("#{}", "exit 7", None),
        ] {
            let command = format!(
                r#"let c = subprocess_new("sh"); c.arg("-c"); c.arg("{line}"); c.supervise({options}); c.configure_fds(2, 2, 1);"#
            );
            for end in
                ["c.execute().finish()", "exchange_bytes(#{}, mock_stream_socket(\"X|D\"), c.execute().socket())"]
            {
                let result = run_script(&(command.clone() + end)).await;
                assert_eq!(result.err().map(|(e, _)| e.exit_code()), code, "{options} {line} {end}");
            }
        }
    }

    #[tokio::test]
    async fn descriptors_are_handed_over() {
        let script = r#"listen_tcp(#{addr: "127.0.0.1:0", oneshot: true}, |addr| {
                spawn_task(connect_tcp(#{addr: str(addr)}, |s| exchange_bytes(#{}, s, mock_stream_socket("X|W there|D"))));
                dummy_task()
            }, |s, from| {
                let c = subprocess_new("sh"); c.arg("-c"); c.arg("printf there >&5"); c.dup2(get_fd(s), 5, true);
                let child = c.execute();
                drop(s);
                hangup2task(child.wait())
            })"#;
        assert!(run_script(script).await.is_ok());
    }

    #[tokio::test]
    async fn wrong_use() {
        let (e, _) = run_script("subprocess_new(\"/no/such/program\").execute(); dummy_task()").await.unwrap_err();
        assert_eq!(e.exit_code(), 26);
        assert!(e.to_string().contains("/no/such/program"), "{e}");
        for (script, part) in [
            ("subprocess_new(\"x\").configure_fds(3, 1, 1)", "stdin must be 0"),
            ("subprocess_new(\"x\").uid(-1)", "is not a user id"),
            ("let c = subprocess_new(\"true\"); c.execute(); c.arg(\"x\")", "executed before"),
            ("let c = subprocess_new(\"true\").execute(); c.wait(); c.socket()", "this child was used up"),
            ("subprocess_new(\"x\").raw_windows_arg(osstr_str(\"x\"))", "Windows only"),
            ("subprocess_new(\"x\").windows_creation_flags(0)", "Windows only"),
            ("subprocess_new(\"x\").dup2(-1, [0], true)", "no descriptor"),
            ("subprocess_new(\"x\").dup2(0, [-1], true)", "-1 is not a number"),
            ("subprocess_new(\"x\").dup2(0, [\"1\"], true)", "is an integer"),
            ("subprocess_new(\"x\").supervise(#{grace_ms: -2})", "`grace_ms`: -2"),
            ("subprocess_new(\"x\").supervise(#{grace: 2})", "unknown option `grace`"),
            ("subprocess_new(5)", "subprocess_new (i64)"),
            ("subprocess_new(\"x\").arg(5)", "arg (Command, i64)"),
        ] {
            let e = eval_error(script);
            assert!(e.contains(part), "{script}: {e}");
        }
    }
}
