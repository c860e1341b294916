//! Hangups: making them, waiting for them, acting on them.
//!
//! A hangup is a signal that happens once. What is to happen then runs in the background (`handle_hangup`), on a thread of
//! the runtime's choice, or is a task like others (`hangup2task`). Dropping a hangup ends what would have caused it.

use super::{
    process::{end_of, spawn_error},
    tasks::{in_background, millis, wait_for},
};
use crate::{
    register,
    scenario::{Callback, Handle, RhFn, RhResult, Take, TaskHandle, handle, missing, run, script_error, throw},
};
use rhai::{Dynamic, Engine, NativeCallContext};
use sockets::{
    endpoint::process::{Child, shell},
    hangup::Hangup,
};
use tokio::time::Instant;

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
            Some(task) => run(task.take("task").map_err(script_error)?).await,
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

pub(super) fn register(engine: &mut Engine) {
    engine.register_type_with_name::<Handle<Hangup>>("Hangup");
    register!(
        engine,
        handle_hangup,
        hangup2task,
        task2hangup,
        timeout_ms_hangup_handle,
        system,
        pre_triggered_hangup_handle,
        empty_hangup_handle,
    );
}

#[cfg(test)]
mod tests {
    use crate::functions::testing::{eval_error, run_script};

    #[tokio::test(start_paused = true)]
    async fn hangups_are_handled_in_the_background() {
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

    #[tokio::test]
    async fn wrong_use() {
        for (script, part) in [
            ("timeout_ms_hangup_handle(-1)", "cannot be negative"),
            ("hangup2task(empty_hangup_handle())", "this hangup was used up or taken away"),
            ("task2hangup(dummy_task(), 3)", "mode must be 0"),
            ("hangup2task(dummy_task())", "hangup2task (Task)"),
        ] {
            let e = eval_error(script);
            assert!(e.contains(part), "{script}: {e}");
        }
    }
}
