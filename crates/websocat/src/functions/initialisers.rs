//! `init_in_parallel`: makes several values at once, then goes on with all of them.
//!
//! An initialiser says what it made by sending it to its slot, which may be before it ends: what it still does then goes on
//! as long as the values are in use.

use super::tasks::dummy_task;
use crate::{
    error::{Error, Kind},
    register,
    scenario::{Callback, Flow, RhFn, RhResult, TaskHandle, kind_of, run, task},
};
use rhai::{Array, Dynamic, Engine, FnPtr, NativeCallContext};
use std::{
    future::{Future, poll_fn},
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::Poll,
};
use tokio::task::JoinSet;

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
        let f = f.flatten();
        let kind = kind_of(&f);
        let f = f.try_cast::<FnPtr>();
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
        let _background: JoinSet<_> = running.into_iter().map(|(n, initialiser)| going_on(n, initialiser)).collect();
        run(next).await?;
        Ok(Flow::Done)
    }))
}

/// What an initialiser does after its value is in use. It may fail without harm to the session.
async fn going_on(n: usize, initialiser: impl Future<Output = Result<(), Error>>) {
    if let Err(error) = initialiser.await {
        tracing::warn!(%error, "initialiser {} failed after it had sent its value", n + 1);
    }
}

pub(super) fn register(engine: &mut Engine) {
    engine.register_type_with_name::<Slot>("Slot");
    register!(engine, init_in_parallel, send);
}

#[cfg(test)]
mod tests {
    use crate::functions::testing::{eval_error, run_script};

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
    async fn what_is_not_a_function_is_refused() {
        let e = eval_error("init_in_parallel([1], |x| dummy_task())");
        assert!(e.contains("initialiser 1 is not a function"), "{e}");
    }
}
