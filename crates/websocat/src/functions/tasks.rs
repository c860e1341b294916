//! Tasks and hangups: making, ordering, racing and waiting for them.
//!
//! Tasks run where they were put (in the task that waits for them), except those of `parallel`, `spawn_task` and
//! `handle_hangup`, which the runtime may run on other threads. Dropping a task ends all that it waits for.

use super::process::{end_of, spawn_error};
use crate::{
    error::{Error, Kind},
    register,
    scenario::{
        Callback, Flow, Handle, RhFn, RhResult, Scenario, Take, Task, TaskHandle, handle, missing, run, stop_for, task,
        throw,
    },
};
use rhai::{Array, Dynamic, Engine, FnPtr, NativeCallContext};
use sockets::{
    endpoint::process::{Child, shell},
    hangup::Hangup,
    stop::Stop,
};
use std::{
    future::{Future, poll_fn},
    io::Write as _,
    pin::{Pin, pin},
    sync::{Arc, Mutex, PoisonError},
    task::Poll,
    time::Duration,
};
use tokio::{task::JoinSet, time::Instant};

/// A task that is over at once.
fn dummy_task() -> TaskHandle {
    task(async { Ok(Flow::Done) })
}

/// A task that runs the given tasks and hangups one after another, whether they fail or not; units are skipped. It fails
/// with the gravest of their errors.
fn sequential(tasks: Array) -> RhResult<TaskHandle> {
    let mut tasks = all(tasks)?;
    let last = tasks.pop();
    Ok(task(async move {
        let mut gravest = None;
        for task in tasks {
            if let Err(e) = run(task).await {
                gravest = Some(worse(gravest, e));
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

/// In the background, calls a function when the hangup happens, and runs the task that it gives, if it gives one.
fn handle_hangup(
    ctx: NativeCallContext<'_>,
    hangup: Handle<Hangup>,
    continuation: RhFn<((), Dynamic)>,
) -> RhResult<()> {
    let callback = Callback::new(&ctx, continuation)?;
    let hangup = hangup.take("hangup")?;
    in_background(&ctx, "handling a hangup failed", async move {
        hangup.await;
        match callback.call::<Dynamic>(())?.flatten().try_cast::<TaskHandle>() {
            Some(task) => run(task.take("task").map_err(crate::scenario::script_error)?).await,
            None => Ok(()),
        }
    })
}

/// A task that is over when the hangup happens.
fn hangup2task(hangup: Handle<Hangup>) -> RhResult<TaskHandle> {
    Ok(handle(wait_for(hangup.take("hangup")?)))
}

/// A hangup that happens when the task is over: in any case (mode 0), only when it failed (1), only when it did not (2).
/// The task runs while somebody waits for the hangup. An error of it is only logged.
fn task2hangup(task: TaskHandle, mode: i64) -> RhResult<Handle<Hangup>> {
    if !(0..=2).contains(&mode) {
        return Err(format!("mode must be 0 (in any case), 1 (failure) or 2 (success), not {mode}").into());
    }
    let task = task.take("task")?;
    Ok(handle(Hangup::new(async move {
        let result = run(task).await;
        if let Err(error) = &result {
            tracing::warn!(%error, "a task whose end is a hangup failed");
        }
        if matches!((mode, result), (1, Ok(())) | (2, Err(_))) {
            std::future::pending::<()>().await;
        }
    })))
}

/// A hangup that happens this many milliseconds from now.
fn timeout_ms_hangup_handle(ms: i64) -> RhResult<Handle<Hangup>> {
    let time = millis(ms)?;
    let deadline = Instant::now().checked_add(time);
    Ok(handle(Hangup::new(async move {
        match deadline {
            Some(deadline) => tokio::time::sleep_until(deadline).await,
            None => std::future::pending().await,
        }
    })))
}

/// Runs a shell command line; the hangup happens when it has ended, whatever its exit status.
fn system(cmdline: &str) -> RhResult<Handle<Hangup>> {
    let child = Child::spawn(shell(cmdline.as_ref())).map_err(|e| throw(spawn_error(e)))?;
    Ok(handle(end_of(child)))
}

/// A hangup that has happened already.
fn pre_triggered_hangup_handle() -> Handle<Hangup> {
    handle(Hangup::now())
}

/// A hangup handle with nothing in it, for sockets that shall have none.
fn empty_hangup_handle() -> Handle<Hangup> {
    missing()
}

/// Where an initialiser of `init_in_parallel` leaves its value.
#[derive(Clone, Default)]
struct Slot(Arc<Mutex<Option<Dynamic>>>);

impl Slot {
    fn is_full(&self) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).is_some()
    }

    fn take(&self) -> Dynamic {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take().unwrap_or_default()
    }
}

/// Puts a value into the slot that an initialiser was given; gives a task that is over.
fn send(slot: &mut Slot, x: Dynamic) -> RhResult<TaskHandle> {
    let mut place = slot.0.lock().unwrap_or_else(PoisonError::into_inner);
    if place.is_some() {
        return Err("this slot was filled before".into());
    }
    *place = Some(x.flatten());
    Ok(dummy_task())
}

/// A task that runs all initialisers at once, each with a slot to send a value to, then goes on with the continuation,
/// which gets the values in the order of the initialisers. It fails when one of them ends without having sent.
fn init_in_parallel(
    ctx: NativeCallContext<'_>,
    initialisers: Array,
    continuation: RhFn<(Array,)>,
) -> RhResult<TaskHandle> {
    let continuation = Callback::new(&ctx, continuation)?;
    let mut callbacks = Vec::with_capacity(initialisers.len());
    for (i, f) in initialisers.into_iter().enumerate() {
        let kind = f.type_name();
        let f = f.flatten().try_cast::<FnPtr>();
        let f = f.ok_or_else(|| format!("initialiser {} is not a function but {kind}", i + 1))?;
        callbacks.push(Callback::new(&ctx, f)?);
    }
    Ok(task(async move {
        let mut slots = Vec::with_capacity(callbacks.len());
        let mut running: Vec<(usize, Pin<Box<dyn Future<Output = Result<(), Error>> + Send>>)> = Vec::new();
        for (i, callback) in callbacks.iter().enumerate() {
            let slot = Slot::default();
            running.push((i, Box::pin(run(callback.task((slot.clone(),))?))));
            slots.push(slot);
        }
        poll_fn(|cx| {
            let mut i = 0;
            while let Some((n, initialiser)) = running.get_mut(i) {
                match initialiser.as_mut().poll(cx) {
                    Poll::Pending => i += 1,
                    Poll::Ready(Err(e)) => return Poll::Ready(Err(e)),
                    Poll::Ready(Ok(())) if slots.get(*n).is_some_and(Slot::is_full) => drop(running.swap_remove(i)),
                    Poll::Ready(Ok(())) => {
                        let text = format!("initialiser {} ended without sending to its slot", *n + 1);
                        return Poll::Ready(Err(Error::new(Kind::Start, text)));
                    }
                }
            }
            if slots.iter().all(Slot::is_full) { Poll::Ready(Ok(())) } else { Poll::Pending }
        })
        .await?;
        let values: Array = slots.iter().map(Slot::take).collect();
        let next = continuation.task((values,))?;
        if running.is_empty() {
            return Ok(Flow::Then(next));
        }
        // They sent and go on: as long as what they made is used.
        let _background: JoinSet<_> = running.into_iter().map(|(_, initialiser)| initialiser).collect();
        run(next).await?;
        Ok(Flow::Done)
    }))
}

/// The tasks of a list for which a function accepts tasks, hangups and units.
fn all(list: Array) -> RhResult<Vec<Task>> {
    let mut tasks = Vec::with_capacity(list.len());
    for (i, item) in list.into_iter().enumerate() {
        let item = item.flatten();
        if item.is_unit() {
            continue;
        }
        if let Some(task) = item.read_lock::<TaskHandle>() {
            tasks.push(task.take("task")?);
            continue;
        }
        let Some(hangup) = item.read_lock::<Handle<Hangup>>() else {
            return Err(
                format!("item {} of the list must be a task or a hangup, not {}", i + 1, item.type_name()).into()
            );
        };
        tasks.push(wait_for(hangup.take("hangup")?));
    }
    Ok(tasks)
}

fn wait_for(hangup: Hangup) -> Task {
    Box::pin(async move {
        hangup.await;
        Ok(Flow::Done)
    })
}

fn millis(ms: i64) -> RhResult<Duration> {
    u64::try_from(ms)
        .map(Duration::from_millis)
        .map_err(|_| format!("{ms} milliseconds: a time cannot be negative").into())
}

/// Tells the user about an error, and keeps the graver of two for the exit status.
fn worse(former: Option<Error>, new: Error) -> Error {
    let new = new.log();
    match former {
        Some(former) if former.exit_code() >= new.exit_code() => former,
        _ => new,
    }
}

/// The result of a spawned task. A panic in it goes on here.
fn outcome(result: Result<Result<(), Error>, tokio::task::JoinError>) -> Result<(), Error> {
    match result {
        Ok(result) => result,
        Err(e) => match e.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            // Only when the whole runtime is being shut down.
            Err(_) => Ok(()),
        },
    }
}

/// Runs something that belongs to the current session but that nobody waits for.
fn in_background(
    ctx: &NativeCallContext<'_>,
    failure: &'static str,
    work: impl Future<Output = Result<(), Error>> + Send + 'static,
) -> RhResult<()> {
    let stop = stop_for(&*Scenario::of(ctx)?);
    let runtime = tokio::runtime::Handle::try_current()
        .map_err(|e| throw(Error::with_source(Kind::Start, "cannot run anything in the background", e)))?;
    runtime.spawn(async move {
        if let Some(Err(error)) = until_aborted(&stop, work).await {
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
    engine.register_type_with_name::<Handle<Hangup>>("Hangup");
    engine.register_type_with_name::<Slot>("Slot");
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
        handle_hangup,
        hangup2task,
        task2hangup,
        timeout_ms_hangup_handle,
        system,
        pre_triggered_hangup_handle,
        empty_hangup_handle,
        init_in_parallel,
        send,
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
        let out = run_script(
            r#"handle_hangup(timeout_ms_hangup_handle(1), || { note("x"); dummy_task() });
            handle_hangup(pre_triggered_hangup_handle(), || note("y")); sleep_ms(2)"#,
        )
        .await;
        assert_eq!(out.unwrap(), "yx");
    }

    #[tokio::test(start_paused = true)]
    async fn hangups_of_tasks() {
        for (mode, call, fires) in [
            (0, "dummy_task()", true),
            (1, "dummy_task()", false),
            (2, "dummy_task()", true),
            (0, "fail(1)", true),
            (1, "fail(1)", true),
            (2, "fail(1)", false),
        ] {
            let script = format!(
                r#"race([sequential([task2hangup(task_wrap(|| {call}), {mode}), task_wrap(|| {{ note("fired"); dummy_task() }})]),
                sleep_ms(10)])"#
            );
            assert_eq!(run_script(&script).await.unwrap() == "fired", fires, "{script}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn initialisers() {
        let out = run_script(
            r#"init_in_parallel([
                |slot| sequential([sleep_ms(5), task_wrap(|| slot.send("a"))]),
                |slot| slot.send("b"),
            ], |got| { note(got[0] + got[1]); dummy_task() })"#,
        )
        .await;
        assert_eq!(out.unwrap(), "ab");
        let e =
            run_script("init_in_parallel([|slot| sleep_ms(1000000), |slot| dummy_task()], |got| dummy_task())").await;
        assert!(e.unwrap_err().0.to_string().contains("initialiser 2 ended without sending"));
        let e = run_script("init_in_parallel([|slot| { slot.send(1); slot.send(2) }], |got| dummy_task())").await;
        assert!(e.unwrap_err().0.to_string().contains("filled before"));
        // An initialiser that sent goes on while its value is used.
        let out = run_script(
            r#"init_in_parallel([|slot| { slot.send(1); sequential([sleep_ms(5), task_wrap(|| { note("late"); dummy_task() })]) }],
            |got| sleep_ms(10))"#,
        )
        .await;
        assert_eq!(out.unwrap(), "late");
    }

    #[tokio::test]
    async fn wrong_use() {
        for (script, part) in [
            ("sequential([42])", "item 1 of the list must be a task or a hangup"),
            ("parallel([dummy_task(), \"x\"])", "item 2 of the list"),
            ("let t = dummy_task(); sequential([t, t])", "this task was used up"),
            ("sleep_ms(-1)", "cannot be negative"),
            ("timeout_ms_hangup_handle(-1)", "cannot be negative"),
            ("hangup2task(empty_hangup_handle())", "this hangup was used up or taken away"),
            ("task2hangup(dummy_task(), 3)", "mode must be 0"),
            ("init_in_parallel([1], |x| dummy_task())", "initialiser 1 is not a function"),
            ("sleep_ms(\"x\")", "sleep_ms (&str"),
            ("hangup2task(dummy_task())", "hangup2task (Task)"),
        ] {
            let e = eval_error(script);
            assert!(e.contains(part), "{script}: {e}");
        }
    }
}
