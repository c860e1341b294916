//! Events that a script makes happen by hand: a hangup and the trigger that fires it.

use crate::{
    register,
    scenario::{Handle, RhResult, Take, handle},
};
use rhai::Engine;
use sockets::hangup::Hangup;
use tokio::sync::oneshot;

/// Both halves of an event, until they are taken.
#[derive(Clone)]
struct TriggerableEvent {
    hangup: Handle<Hangup>,
    trigger: Handle<oneshot::Sender<()>>,
}

type TriggerHandle = Handle<oneshot::Sender<()>>;

/// A new event: a hangup, and what makes it happen. It never happens when the trigger is let go of without being fired.
fn triggerable_event_create() -> TriggerableEvent {
    let (trigger, fired) = oneshot::channel();
    let hangup = Hangup::new(async move {
        if fired.await.is_err() {
            std::future::pending::<()>().await;
        }
    });
    TriggerableEvent { hangup: handle(hangup), trigger: handle(trigger) }
}

/// The hangup of the event; it can be taken once.
fn take_hangup(event: &mut TriggerableEvent) -> RhResult<Handle<Hangup>> {
    Ok(handle(event.hangup.take("event's hangup")?))
}

/// The trigger of the event; it can be taken once.
fn take_trigger(event: &mut TriggerableEvent) -> RhResult<TriggerHandle> {
    Ok(handle(event.trigger.take("event's trigger")?))
}

/// Makes the event happen, whether somebody waits for it or not. It can be fired once.
fn fire(trigger: &mut TriggerHandle) -> RhResult<()> {
    // Nobody waits any more: as if nobody had heard it.
    let _ = trigger.take("trigger")?.send(());
    Ok(())
}

pub(super) fn register(engine: &mut Engine) {
    engine.register_type_with_name::<TriggerableEvent>("TriggerableEvent");
    engine.register_type_with_name::<TriggerHandle>("TriggerableEventTrigger");
    register!(engine, triggerable_event_create, take_hangup, take_trigger, fire);
}

#[cfg(test)]
mod tests {
    use crate::functions::testing::{eval_error, run_script};

    #[tokio::test(start_paused = true)]
    async fn events_happen_when_they_are_fired() {
        let script = r#"let ev = triggerable_event_create(); let t = ev.take_trigger();
            parallel([
                sequential([ev.take_hangup(), task_wrap(|| { note("fired"); dummy_task() })]),
                sequential([sleep_ms(5), task_wrap(|| { note("now "); t.fire(); dummy_task() })]),
            ])"#;
        assert_eq!(run_script(script).await.unwrap(), "now fired");
        let forgotten = r#"let ev = triggerable_event_create(); drop(ev.take_trigger());
            race([sequential([ev.take_hangup(), task_wrap(|| { note("fired"); dummy_task() })]), sleep_ms(5)])"#;
        assert_eq!(run_script(forgotten).await.unwrap(), "");
        let unheard =
            "let ev = triggerable_event_create(); drop(ev.take_hangup()); ev.take_trigger().fire(); dummy_task()";
        assert!(run_script(unheard).await.is_ok());
    }

    #[test]
    fn each_half_is_there_once() {
        for (call, part) in [
            ("ev.take_hangup(); ev.take_hangup()", "this event's hangup was used up"),
            ("ev.take_trigger(); ev.take_trigger()", "this event's trigger was used up"),
            ("let t = ev.take_trigger(); t.fire(); t.fire()", "this trigger was used up"),
        ] {
            let e = eval_error(&format!("let ev = triggerable_event_create();\n{call}"));
            assert!(e.contains(part) && e.contains("line 2"), "{call}: {e}");
        }
    }
}
