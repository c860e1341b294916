//! Tasks: making, ordering, racing and waiting for them.
//!
//! Tasks run where they were put (in the task that waits for them), except those of `parallel` and `spawn_task`, which the
//! runtime may run on other threads. Dropping a task ends all that it waits for.

use crate::{
    error::{Error, Kind},
    register,
    scenario::{
        Callback, Flow, Handle, RhFn, RhResult, Scenario, Take, Task, TaskHandle, kind_of, run, stop_for, task, throw,
    },
};
use rhai::{Array, Dynamic, Engine, NativeCallContext};
use sockets::{hangup::Hangup, stop::Stop};
use std::{
    future::{Future, poll_fn},
    io::Write as _,
    pin::pin,
    task::Poll,
    time::Duration,
};
use tokio::task::JoinSet;

/// A task that is over at once.
pub(super) fn dummy_task() -> TaskHandle {
    task(async { Ok(Flow::Done) })
}

/// A task that runs the given tasks and hangups one after another, whether they fail or not; units are skipped. It fails
/// with the gravest of their errors. When the program is told to finish none of them is begun any more.
fn sequential(ctx: NativeCallContext<'_>, tasks: Array) -> RhResult<TaskHandle> {
    let stop = stop_for(&*Scenario::of(&ctx)?);
    let mut tasks = all(tasks)?;
    let mut last = tasks.pop();
    Ok(task(async move {
        let mut gravest = None;
        for task in tasks {
            if let Err(e) = run(task).await {
                gravest = Some(worse(gravest, e));
            }
            if stop.is_draining() {
                last = None;
                break;
            }
        }
        match (gravest, last) {
            (None, None) => Ok(Flow::Done),
            (None, Some(last)) => Ok(Flow::Then(last)),
            (Some(e), None) => Err(e),
            (Some(e), Some(last)) => Err(match run(last).await {
                Ok(()) => e,
                Err(other) => worse(Some(e), other),
            }),
        }
    }))
}

/// A task that runs the given tasks and hangups at once and waits for every one, whether they fail or not; units are
/// skipped. It fails with the gravest of their errors.
fn parallel(tasks: Array) -> RhResult<TaskHandle> {
    let tasks = all(tasks)?;
    Ok(task(async move {
        let mut set: JoinSet<_> = tasks.into_iter().map(run).collect();
        let mut gravest = None;
        while let Some(result) = set.join_next().await {
            if let Err(e) = outcome(result) {
                gravest = Some(worse(gravest, e));
            }
        }
        gravest.map_or(Ok(Flow::Done), Err)
    }))
}

/// A task that runs the given tasks and hangups at once and drops the others as soon as one of them is over or failed;
/// units are skipped. It fails if that one failed.
fn race(tasks: Array) -> RhResult<TaskHandle> {
    let mut tasks: Vec<_> = all(tasks)?.into_iter().map(|task| Box::pin(run(task))).collect();
    Ok(task(async move {
        if !tasks.is_empty() {
            poll_fn(|cx| {
                let first = tasks.iter_mut().find_map(|task| match task.as_mut().poll(cx) {
                    Poll::Ready(result) => Some(result),
                    Poll::Pending => None,
                });
                first.map_or(Poll::Pending, Poll::Ready)
            })
            .await?;
        }
        Ok(Flow::Done)
    }))
}

/// A task that takes this many milliseconds.
fn sleep_ms(ms: i64) -> RhResult<TaskHandle> {
    let time = millis(ms)?;
    Ok(task(async move {
        tokio::time::sleep(time).await;
        Ok(Flow::Done)
    }))
}

/// Runs a task in the background. An error of it is only logged.
fn spawn_task(ctx: NativeCallContext<'_>, task: TaskHandle) -> RhResult<()> {
    let task = task.take("task")?;
    in_background(&ctx, "a task in the background failed", run(task))
}

/// A task that calls a function when it is started and goes on with the task that the function gives.
fn task_wrap(ctx: NativeCallContext<'_>, continuation: RhFn<()>) -> RhResult<TaskHandle> {
    let callback = Callback::new(&ctx, continuation)?;
    Ok(task(async move { Ok(Flow::Then(callback.task(())?)) }))
}

/// Ends the process at once with this exit status, of which 32 bits count.
fn exit_process(code: i64) {
    // Nobody is left to tell when the last bytes cannot be written.
    let _ = std::io::stdout().flush();
    sockets::endpoint::finish_writes();
    sockets::endpoint::before_exit();
    std::process::exit(code as i32)
}

/// A task that runs another one and then ends the process: with status 0, or with that of the error, which is told.
fn exit_process_after(task: TaskHandle) -> RhResult<TaskHandle> {
    let before = task.take("task")?;
    Ok(crate::scenario::task(async move {
        let code = run(before).await.map_or_else(|e| e.log().exit_code(), |()| 0);
        exit_process(code.into());
        Ok(Flow::Done)
    }))
}

/// The tasks of a list for which a function accepts tasks, hangups and units.
pub(super) fn all(list: Array) -> RhResult<Vec<Task>> {
    all_of(list.into_iter().enumerate())
}

/// The same of some items of a list, with their numbers.
pub(super) fn all_of(items: impl IntoIterator<Item = (usize, Dynamic)>) -> RhResult<Vec<Task>> {
    let mut tasks = vec![];
    for (i, item) in items {
        let item = item.flatten();
        if item.is_unit() {
            continue;
        }
        if let Some(task) = item.read_lock::<TaskHandle>() {
            tasks.push(task.take("task")?);
            continue;
        }
        let Some(hangup) = item.read_lock::<Handle<Hangup>>() else {
            return Err(format!("item {} of the list must be a task or a hangup, not {}", i + 1, kind_of(&item)).into());
        };
        tasks.push(wait_for(hangup.take("hangup")?));
    }
    Ok(tasks)
}

pub(super) fn wait_for(hangup: Hangup) -> Task {
    Task::new(async move {
        hangup.await;
        Ok(Flow::Done)
    })
}

pub(super) fn millis(ms: i64) -> RhResult<Duration> {
    u64::try_from(ms)
        .map(Duration::from_millis)
        .map_err(|_| format!("{ms} milliseconds: a time cannot be negative").into())
}

/// Tells the user about an error, and keeps the graver of two for the exit status.
pub(super) fn worse(former: Option<Error>, new: Error) -> Error {
    let new = new.log();
    match former {
        Some(former) if former.exit_code() >= new.exit_code() => former,
        _ => new,
    }
}

/// The result of a spawned task. A panic in it goes on here.
pub fn outcome<T>(result: Result<Result<T, Error>, tokio::task::JoinError>) -> Result<Option<T>, Error> {
    match result {
        Ok(result) => result.map(Some),
        Err(e) => match e.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            // It was given up, or the whole runtime is being shut down.
            Err(_) => Ok(None),
        },
    }
}

/// Runs something that belongs to the current session but that nobody waits for.
pub(super) fn in_background(
    ctx: &NativeCallContext<'_>,
    failure: &'static str,
    work: impl Future<Output = Result<(), Error>> + Send + 'static,
) -> RhResult<()> {
    let stop = stop_for(&*Scenario::of(ctx)?);
    let runtime = tokio::runtime::Handle::try_current()
        .map_err(|e| throw(Error::with_source(Kind::Start, "cannot run anything in the background", e)))?;
    runtime.spawn(async move {
        if let Some(Err(error)) = until_aborted(&stop, work).await
            && !error.is_logged()
        {
            tracing::warn!(%error, "{failure}");
        }
    });
    Ok(())
}

/// The result of `work`, or None when the session is to end at once.
pub(super) async fn until_aborted<T>(stop: &Stop, work: impl Future<Output = T>) -> Option<T> {
    let mut aborted = pin!(stop.aborted());
    let mut work = pin!(work);
    poll_fn(|cx| match work.as_mut().poll(cx) {
        Poll::Ready(result) => Poll::Ready(Some(result)),
        Poll::Pending => aborted.as_mut().poll(cx).map(|()| None),
    })
    .await
}

pub(super) fn register(engine: &mut Engine) {
    engine.register_type_with_name::<TaskHandle>("Task");
    register!(
        engine,
        dummy_task,
        sequential,
        parallel,
        race,
        sleep_ms,
        spawn_task,
        task_wrap,
        exit_process,
        exit_process_after,
    );
}

#[cfg(test)]
mod tests {
    use crate::functions::testing::{eval_error, run_script};
    use std::time::Duration;
    use tokio::time::Instant;

    #[tokio::test(start_paused = true)]
    async fn sequences_run_in_order_and_take_hangups_and_units() {
        let start = Instant::now();
        let out = run_script(
            r#"sequential([
                sequential([sleep_ms(20), task_wrap(|| { note("a"); dummy_task() })]),
                (),
                pre_triggered_hangup_handle(),
                timeout_ms_hangup_handle(5),
                task_wrap(|| { note("b"); dummy_task() }),
            ])"#,
        )
        .await
        .unwrap();
        assert_eq!(out, "ab");
        assert_eq!(start.elapsed(), Duration::from_millis(20));
    }

    #[tokio::test(start_paused = true)]
    async fn a_sequence_goes_on_after_an_error_and_fails_with_the_gravest() {
        let script = r#"
            let bad = || { fail(25) };
            let worse = || { fail(26) };
            sequential([task_wrap(bad), task_wrap(worse), task_wrap(bad), task_wrap(|| { note("end"); dummy_task() })])"#;
        let e = run_script(script).await.unwrap_err();
        assert_eq!(e.0.exit_code(), 26);
        assert_eq!(e.1, "end");
    }

    #[tokio::test(start_paused = true)]
    async fn parallel_waits_for_all() {
        let out = run_script(
            r#"parallel([
                sequential([sleep_ms(30), task_wrap(|| { note("a"); dummy_task() })]),
                task_wrap(|| { note("b"); dummy_task() }),
            ])"#,
        )
        .await;
        assert_eq!(out.unwrap(), "ba");
        let e = run_script("parallel([sleep_ms(1), task_wrap(|| fail(24))])").await.unwrap_err();
        assert_eq!(e.0.exit_code(), 24);
    }

    #[tokio::test(start_paused = true)]
    async fn races_have_one_winner() {
        let out = run_script(
            r#"race([
                sequential([sleep_ms(400), task_wrap(|| { note("slow"); dummy_task() })]),
                task_wrap(|| { note("fast"); dummy_task() }),
                (), timeout_ms_hangup_handle(500),
            ])"#,
        )
        .await;
        assert_eq!(out.unwrap(), "fast");
        let e = run_script("race([sleep_ms(100), task_wrap(|| fail(14))])").await.unwrap_err();
        assert_eq!(e.0.exit_code(), 14);
        assert_eq!(run_script("race([])").await.unwrap(), "");
    }

    #[tokio::test(start_paused = true)]
    async fn background_work() {
        let out = run_script(r#"spawn_task(task_wrap(|| { note("x"); dummy_task() })); sleep_ms(1)"#).await;
        assert_eq!(out.unwrap(), "x");
    }

    #[tokio::test]
    async fn wrong_use() {
        for (script, part) in [
            ("sequential([42])", "item 1 of the list must be a task or a hangup"),
            ("parallel([dummy_task(), \"x\"])", "item 2 of the list"),
            ("let t = dummy_task(); sequential([t, t])", "this task was used up"),
            ("sleep_ms(-1)", "cannot be negative"),
            ("sleep_ms(\"x\")", "sleep_ms (&str"),
        ] {
            let e = eval_error(script);
            assert!(e.contains(part), "{script}: {e}");
        }
    }
}
