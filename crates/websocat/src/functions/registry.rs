//! Handing things to other parts of the scenario by name. Sockets that are made for the purpose are in `endpoints/`.

use crate::{
    error::{Error, Kind, Result},
    register,
    scenario::{Callback, Flow, Queue, RhFn, RhResult, Scenario, TaskHandle, Wanted, stop_for, task},
};
use rhai::{Dynamic, Engine, NativeCallContext};

use super::serve::{Connection, Serving, Source, serve};

/// Gives something to whoever takes at a name of the scenario's registry, and waits for that; `who` is for messages.
pub async fn offer(scenario: &Scenario, who: &str, name: &str, item: Dynamic) -> Result<()> {
    let waits = |queue: Queue| {
        tracing::info!("{who}{name}: nobody listens at that name yet, waiting");
        if queue.is_long {
            tracing::warn!("{who}{name}: {} connections wait for somebody to listen at that name", queue.len);
        }
    };
    let sent = scenario.registry.send(name, item, waits).await;
    sent.map_err(|e| Error::with_source(Kind::Connect, format!("{who}{name}"), e))
}

/// A task that gives something (a socket, any other value) to whoever takes at this name, and is over when somebody has.
fn registry_send(ctx: NativeCallContext<'_>, addr: &str, x: Dynamic) -> RhResult<TaskHandle> {
    let scenario = Scenario::of(&ctx)?;
    let (addr, x) = (addr.to_owned(), x.flatten());
    Ok(task(async move {
        offer(&scenario, "registry-send:", &addr, x).await?;
        Ok(Flow::Done)
    }))
}

/// A task that takes one thing that is sent to this name and goes on with the function, which gets it.
fn registry_recv_one(ctx: NativeCallContext<'_>, addr: &str, continuation: RhFn<(Dynamic,)>) -> RhResult<TaskHandle> {
    let (scenario, addr) = (Scenario::of(&ctx)?, addr.to_owned());
    let callback = Callback::new(&ctx, continuation)?;
    Ok(task(async move {
        let item = scenario.registry.take(&addr, Wanted::Anything).await;
        Ok(Flow::Then(callback.task((item,))?))
    }))
}

/// A task that calls the function for each thing that is sent to this name; what it gives runs side by side.
fn registry_recv_all(ctx: NativeCallContext<'_>, addr: &str, continuation: RhFn<(Dynamic,)>) -> RhResult<TaskHandle> {
    let scenario = Scenario::of(&ctx)?;
    scenario.mark_server();
    let stop = stop_for(&scenario);
    let source = Things { scenario, addr: addr.to_owned(), callback: Callback::new(&ctx, continuation)? };
    Ok(task(async move { serve(source, &stop, Serving { autospawn: true, oneshot: false }).await }))
}

struct Things {
    scenario: std::sync::Arc<Scenario>,
    addr: String,
    callback: Callback,
}

impl Source for Things {
    type Seat = ();

    async fn next(&mut self) -> Result<Connection<()>> {
        let item = self.scenario.registry.take(&self.addr, Wanted::Anything).await;
        let session = self.callback.session((item,));
        Ok(Connection { name: format!("registry name {}", self.addr).into(), session, seat: () })
    }
}

pub(super) fn register(engine: &mut Engine) {
    register!(engine, registry_send, registry_recv_one, registry_recv_all);
}

#[cfg(test)]
mod tests {
    use crate::functions::testing::run_script;

    #[tokio::test(start_paused = true)]
    async fn things_are_handed_over() {
        for (script, noted) in [
            (r#"parallel([registry_send("x", "ok"), registry_recv_one("x", |it| { note(it); dummy_task() })])"#, "ok"),
            (r#"parallel([registry_recv_one("", |it| { note(it); dummy_task() }), registry_send("", "ok")])"#, "ok"),
            (
                r#"race([registry_recv_all("x", |it| { note(it); dummy_task() }),
                   sequential([registry_send("x", "1"), registry_send("x", "2"), sleep_ms(1)])])"#,
                "12",
            ),
            // Nobody listens there.
            (r#"race([registry_send("x", "lost"), registry_recv_one("y", |it| dummy_task()), sleep_ms(1000)])"#, ""),
        ] {
            assert_eq!(run_script(script).await.unwrap(), noted, "{script}");
        }
    }

    #[tokio::test]
    async fn sockets_of_the_other_kind_are_refused() {
        for (listen, socket, says) in [
            ("listen_registry_stream", "dummy_datagram_socket()", "takes byte streams"),
            ("listen_registry_datagrams", "dummy_stream_socket()", "takes messages"),
        ] {
            let script = format!(
                r#"race([{listen}(#{{addr: "x", oneshot: true}}, |s| {{ note("wrong"); dummy_task() }}), registry_send("x", {socket})])"#
            );
            let (e, out) = run_script(&script).await.unwrap_err();
            assert_eq!((e.exit_code(), &*out), (14, ""));
            assert!(e.to_string().starts_with("registry-send:x: ") && e.to_string().contains(says), "{e}");
        }
    }
}
