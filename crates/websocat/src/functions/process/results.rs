//! Children whose results matter as a whole: all that one said, and ending one by force.

use super::{ChildHandle, CommandHandle, end_of};
use crate::{
    error::{Error, Kind, Result},
    register,
    scenario::{Callback, Flow, Handle, RhFn, RhResult, Scenario, Take, TaskHandle, handle, limits, task},
};
use rhai::{Blob, Engine, NativeCallContext};
use sockets::{endpoint::process::Child, hangup::Hangup, info::SocketInfo, stream::BoxStreamRead};
use std::{
    pin::pin,
    process::Stdio,
    sync::atomic::{AtomicBool, Ordering::Relaxed},
    time::Duration,
};
use tokio::{io::AsyncReadExt as _, time::timeout};

/// Most bytes of one output stream that are collected: as many as a value of a script can have.
const MOST_OUTPUT: u64 = limits::MAX_SIZE as u64;

/// After the end of a child: what it wrote is in the pipe by then, and what it has started and does not wait for is, if it has
/// to do with it at all, about to end as well.
const REST: Duration = Duration::from_secs(1);
/// More than this was not in the pipe when the child ended, as far as the kernel lets ordinary users' pipes grow: others wrote it.
const MOST_REST: usize = 1 << 20;

/// A task that runs the child to its end and goes on with a function that gets its exit status (-1 if it could not be
/// started, -2 if a signal ended it) and all that it wrote to standard output and standard error, up to 16 MiB each. These
/// two are collected whatever `configure_fds` says of them, until nobody has them open any more, but no longer than a second
/// after the child has ended: not for what it has started and left behind.
fn execute_for_output(
    ctx: NativeCallContext<'_>,
    cmd: &mut CommandHandle,
    continuation: RhFn<(i64, Blob, Blob)>,
) -> RhResult<TaskHandle> {
    let callback = Callback::new(&ctx, continuation)?;
    let mut prepared = cmd.take("command")?;
    prepared.command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let finisher = Scenario::of(&ctx)?.finishers.enter();
    Ok(task(async move {
        let finisher = finisher;
        let (code, out, err) = match prepared.start() {
            Ok(child) => collect(child).await?,
            Err(error) => {
                tracing::warn!("{error}");
                (-1, Blob::new(), Blob::new())
            }
        };
        let next = callback.task((code, out, err))?;
        drop(finisher);
        Ok(Flow::Then(next))
    }))
}

async fn collect(mut child: Child) -> Result<(i64, Blob, Blob)> {
    let socket = child.socket(SocketInfo::default());
    // Nobody writes to it.
    drop(socket.write);
    let (stdout, stderr) = (socket.read, child.take_stderr());
    let (mut out, mut err) = (Blob::new(), Blob::new());
    let over = AtomicBool::new(false);
    let mut outputs = Box::pin(async {
        tokio::try_join!(
            all_of(stdout, &mut out, &over, "standard output"),
            all_of(stderr, &mut err, &over, "standard error")
        )
    });
    let mut ended = pin!(child.wait());
    let (read, status) = tokio::select! {
        read = &mut outputs => (read, None),
        status = &mut ended => {
            over.store(true, Relaxed);
            let read = timeout(REST, &mut outputs).await.unwrap_or_else(|_| {
                tracing::info!("a child has ended, and others still have its output open: they are not waited for");
                Ok(((), ()))
            });
            (read, Some(status))
        }
    };
    drop(outputs);
    read.inspect_err(|_| child.kill())?;
    let status = match status {
        Some(status) => status,
        None => ended.await,
    };
    let status = status.map_err(|e| Error::with_source(Kind::Process, "cannot wait for a child", e))?;
    Ok((status.code().map_or(-2, i64::from), out, err))
}

/// Reads to the end, or, when the child is `over`, what may have been in the pipe. What was read by then is in `bytes` if this is
/// dropped before.
async fn all_of(stream: Option<BoxStreamRead>, bytes: &mut Blob, over: &AtomicBool, name: &str) -> Result<()> {
    let Some(mut stream) = stream else { return Ok(()) };
    let failed = |e| Error::with_source(Kind::Process, format!("cannot read a child's {name}"), e);
    let mut enough = None;
    while stream.read_buf(bytes).await.map_err(failed)? > 0 {
        if over.load(Relaxed) && bytes.len() >= *enough.get_or_insert(bytes.len() + MOST_REST) {
            return Ok(());
        }
        if bytes.len() as u64 > MOST_OUTPUT {
            let text = format!("a child wrote more than {} MiB to its {name}; it is killed", MOST_OUTPUT >> 20);
            return Err(Error::new(Kind::Process, text));
        }
    }
    Ok(())
}

/// Kills the child; uses it up. The hangup that comes back happens when it has ended, which it may have done before.
fn kill(child: &mut ChildHandle) -> RhResult<Handle<Hangup>> {
    let child = child.take("child")?;
    child.kill();
    Ok(handle(end_of(child)))
}

pub(super) fn register(engine: &mut Engine) {
    register!(engine, execute_for_output, kill);
}

#[cfg(all(test, unix))]
mod tests {
    use crate::functions::testing::{eval_error, run_script};
    use std::time::Duration;
    use tokio::time::timeout;

    /// Catches a hang.
    const BOUND: Duration = Duration::from_secs(60);

    #[tokio::test]
    async fn outputs_come_as_a_whole() {
        for (program, line, expected) in [
            ("sh", "printf out; printf err >&2; exit 3", r#"3 b"out" b"err""#),
            ("sh", "kill -9 $$", r#"-2 b"" b"""#),
            ("/no/such/program", "", r#"-1 b"" b"""#),
            ("sh", "head -c 300000 /dev/zero; head -c 300000 /dev/zero >&2", "long"),
        ] {
            let script = format!(
                r#"let c = subprocess_new("{program}"); c.arg("-c"); c.arg("{line}"); c.configure_fds(0, 0, 1);
                c.execute_for_output(|code, out, err| {{
                    note(if out.len() == 300000 && err.len() == 300000 {{ "long" }} else {{ `${{code}} ${{str(out)}} ${{str(err)}}` }});
                    dummy_task()
                }})"#
            );
            assert_eq!(run_script(&script).await.unwrap(), expected, "{script}");
        }
    }

    #[tokio::test]
    async fn who_keeps_the_output_of_a_child_open_is_not_waited_for() {
        for prepare in ["", "c.supervise(#{});"] {
            for (line, expected) in [
                ("sleep 1000 & printf $! >&2; printf out; exit 3", "3 out"),
                // More than fits into a pipe, and one that goes on writing.
                ("while printf yyyyyyyyyyyyyyy; do :; done & printf $! >&2; head -c 300000 /dev/zero", "0 long"),
                // One that writes as fast as it can, from when the child is gone.
                (
                    "(while kill -0 $$ 2>&-; do :; done; exec cat /dev/zero) & printf $! >&2; head -c 300000 /dev/zero",
                    "0 long",
                ),
            ] {
                let script = format!(
                    r#"let c = subprocess_new("sh"); c.arg("-c"); c.arg("{line}"); {prepare}
                    c.execute_for_output(|code, out, err| {{
                        note(`${{code}} ${{if out.len() >= 300000 {{ "long" }} else {{ out.as_string() }}}} ${{err.as_string()}}`);
                        dummy_task()
                    }})"#
                );
                let noted = timeout(BOUND, run_script(&script)).await.expect("waits for what was left behind").unwrap();
                let (noted, left) = noted.rsplit_once(' ').unwrap();
                // What nobody supervises is for us to end.
                let _ = std::process::Command::new("kill").arg(left).stderr(std::process::Stdio::null()).status();
                assert_eq!(noted, expected, "{script}");
            }
        }
    }

    #[tokio::test]
    async fn killed_children_end() {
        for prepare in ["", "c.supervise(#{});"] {
            let script = format!(
                r#"let c = subprocess_new("sleep"); c.arg("600"); {prepare}
                sequential([c.execute().kill(), task_wrap(|| {{ note("over"); dummy_task() }})])"#
            );
            assert_eq!(run_script(&script).await.unwrap(), "over");
        }
    }

    #[tokio::test]
    async fn wrong_use() {
        for (script, part) in [
            ("let c = subprocess_new(\"true\").execute(); c.kill(); c.kill()", "this child was used up"),
            ("let c = subprocess_new(\"true\"); c.execute(); c.execute_for_output(|c, o, e| dummy_task())", "used up"),
        ] {
            let e = eval_error(script);
            assert!(e.contains(part) && e.contains("line 1"), "{script}: {e}");
        }
    }
}
