//! What a script does about a failure.

use crate::{
    error::Error,
    register,
    scenario::{Callback, Flow, RhFn, RhResult, Take, TaskHandle, run, script_error},
};
use rhai::{Dynamic, Engine, Map, NativeCallContext};

/// A task that runs another one. If that fails, the function gets to know why: a map with `reason` (a word that stays, such
/// as `connect`), `status` (what the program would end with) and `message`. It goes on with the task that the function gives;
/// if the function gives none, the failure stays one.
fn on_failure(ctx: NativeCallContext<'_>, task: TaskHandle, handler: RhFn<(Map, Dynamic)>) -> RhResult<TaskHandle> {
    let handler = Callback::new(&ctx, handler)?;
    let attempt = task.take("task")?;
    Ok(crate::scenario::task(async move {
        let Err(error) = run(attempt).await else { return Ok(Flow::Done) };
        let given: Dynamic = handler.call::<Dynamic>((in_words(&error),))?.flatten();
        if given.is_unit() {
            return Err(error);
        }
        let kind = given.type_name();
        match given.try_cast::<TaskHandle>() {
            Some(next) => Ok(Flow::Then(next.take("task").map_err(script_error)?)),
            None => Err(handler.wrong_value(kind, "a task or ()")),
        }
    }))
}

/// An error as a script sees it.
fn in_words(error: &Error) -> Map {
    Map::from([
        ("reason".into(), error.reason().into()),
        ("status".into(), i64::from(error.exit_code()).into()),
        ("message".into(), error.to_string().into()),
    ])
}

pub(super) fn register(engine: &mut Engine) {
    register!(engine, on_failure);
}

#[cfg(test)]
mod tests {
    use crate::functions::testing::run_script;

    #[tokio::test]
    async fn failures_are_told_and_may_be_made_good() {
        let tell = "note(why.reason + why.status + why.message);";
        for (script, noted, status) in [
            (
                format!("on_failure(task_wrap(|| fail(14)), |why| {{ {tell} dummy_task() }})"),
                "connect14made to fail",
                None,
            ),
            (format!("on_failure(task_wrap(|| fail(25)), |why| {{ {tell} }})"), "file25made to fail", Some(25)),
            (
                format!("on_failure(task_wrap(|| fail(25)), |why| {{ {tell} task_wrap(|| fail(26)) }})"),
                "file25made to fail",
                Some(26),
            ),
            ("on_failure(dummy_task(), |why| { note(\"never\"); })".into(), "", None),
        ] {
            match (run_script(&script).await, status) {
                (Ok(notes), None) => assert_eq!(notes, noted, "{script}"),
                (Err((error, notes)), Some(status)) => {
                    assert_eq!((&*notes, error.exit_code()), (noted, status), "{script}");
                }
                (result, _) => panic!("{script}: {result:?}"),
            }
        }
    }

    #[tokio::test]
    async fn wrong_use() {
        for (script, part) in [
            ("on_failure(task_wrap(|| fail(14)), |why| 42)", "gave i64, but a task or () is needed (line 1"),
            ("on_failure(task_wrap(|| fail(14)), |why| { throw \"no\" })", "Runtime error: no (line 1"),
        ] {
            let (error, _) = run_script(script).await.unwrap_err();
            assert!(error.to_string().contains(part), "{script}: {error}");
        }
    }
}
