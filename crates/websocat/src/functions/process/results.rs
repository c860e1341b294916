//! Children whose results matter as a whole: all that one said, and ending one by force.

use super::{ChildHandle, CommandHandle, end_of};
use crate::{
    error::{Error, Kind, Result},
    register,
    scenario::{Callback, Flow, Handle, RhFn, RhResult, Scenario, Take, TaskHandle, handle, limits, task},
};
use rhai::{Blob, Engine, NativeCallContext};
use sockets::{endpoint::process::Child, hangup::Hangup, info::SocketInfo, stream::BoxStreamRead};
use std::process::Stdio;
use tokio::io::AsyncReadExt as _;

/// Most bytes of one output stream that are collected: as many as a value of a script can have.
const MOST_OUTPUT: u64 = limits::MAX_SIZE as u64;

/// A task that runs the child to its end and goes on with a function that gets its exit status (-1 if it could not be
/// started, -2 if a signal ended it) and all that it wrote to standard output and standard error, up to 16 MiB each. These
/// two are collected whatever `configure_fds` says of them, until nobody has them open any more: not even what the child
/// has started and left behind.
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
    let outputs =
        tokio::try_join!(all_of(socket.read, "standard output"), all_of(child.take_stderr(), "standard error"));
    let (out, err) = outputs.inspect_err(|_| child.kill())?;
    let ended = child.wait().await.map_err(|e| Error::with_source(Kind::Process, "cannot wait for a child", e))?;
    Ok((ended.code().map_or(-2, i64::from), out, err))
}

async fn all_of(stream: Option<BoxStreamRead>, name: &str) -> Result<Blob> {
    let mut bytes = Blob::new();
    let Some(stream) = stream else { return Ok(bytes) };
    let mut limited = stream.take(MOST_OUTPUT + 1);
    let read = limited.read_to_end(&mut bytes).await;
    read.map_err(|e| Error::with_source(Kind::Process, format!("cannot read a child's {name}"), e))?;
    if bytes.len() as u64 > MOST_OUTPUT {
        let text = format!("a child wrote more than {} MiB to its {name}; it is killed", MOST_OUTPUT >> 20);
        return Err(Error::new(Kind::Process, text));
    }
    Ok(bytes)
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
