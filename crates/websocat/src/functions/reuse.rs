//! Message sockets that many sessions share; the first one to come opens them.
//!
//! The sharing itself is `sockets::overlay::reuse`; here is when the inner socket is opened, and that others wait
//! meanwhile.

use crate::{
    error::{Error, Kind},
    register,
    scenario::{
        Callback, Flow, Handle, OptsReader, RhFn, RhOpts, RhResult, Take, TaskHandle, handle, nesting, run, task,
    },
};
use rhai::{Engine, NativeCallContext};
use serde::Deserialize;
use sockets::{
    overlay::reuse::{Reuser, ReuserSlot, TornMessage},
    socket::DatagramSocket,
};
use std::sync::{
    Arc, Mutex, PoisonError,
    atomic::{AtomicU32, Ordering::Relaxed},
};

/// Options of `maybe_init_then_connect`.
#[derive(Default, Deserialize)]
#[serde(default)]
struct MaybeInitOpts {
    /// Run the initialiser again for the next client when it failed before
    connect_again: bool,
    /// End the shared connection when a client leaves in the middle of a message
    disconnect_on_broken_message: bool,
}

/// A shared socket that is opened by its first user.
#[derive(Clone, Default)]
struct SimpleReuserListener {
    slot: ReuserSlot,
    /// Why it could not be opened.
    failed: Arc<Mutex<Option<(Kind, String)>>>,
    /// How deep what is shared is.
    depth: Arc<AtomicU32>,
}

/// A shared socket that is there from the beginning.
#[derive(Clone)]
struct SimpleReuser {
    reuser: Reuser,
    /// How deep what is shared is.
    depth: u32,
}

/// Where an initialiser leaves the socket to be shared.
#[derive(Clone, Default)]
struct DatagramSocketSlot(Arc<Mutex<Option<Sent>>>);

/// A socket, and how deep it is.
type Sent = (DatagramSocket, u32);

impl DatagramSocketSlot {
    fn take(&self) -> Option<Sent> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// A shared socket that gets its inner socket later, from the first user.
fn simple_reuser_listener() -> SimpleReuserListener {
    SimpleReuserListener::default()
}

/// Shares a datagram socket among many users. When one of them leaves in the middle of a message, that ends the socket for
/// all, or, if the second argument is false, the message is finished as it is.
fn simple_reuser(inner: Handle<DatagramSocket>, disconnect_on_torn_datagram: bool) -> RhResult<SimpleReuser> {
    let torn = if disconnect_on_torn_datagram { TornMessage::Disconnect } else { TornMessage::Finish };
    Ok(SimpleReuser { reuser: Reuser::with(inner.take("socket")?, torn), depth: nesting::around() })
}

/// A new datagram socket that shares the reuser's inner one.
fn connect(reuser: &mut SimpleReuser) -> Handle<DatagramSocket> {
    nesting::holds(reuser.depth);
    handle(reuser.reuser.client())
}

/// Puts a datagram socket into the slot that an initialiser was given; gives a task that is over.
fn send(slot: &mut DatagramSocketSlot, socket: Handle<DatagramSocket>) -> RhResult<TaskHandle> {
    let socket = socket.take("socket")?;
    let mut place = slot.0.lock().unwrap_or_else(PoisonError::into_inner);
    if place.is_some() {
        return Err("this slot was filled before".into());
    }
    *place = Some((socket, nesting::around()));
    Ok(task(async { Ok(Flow::Done) }))
}

/// A task that goes on with a function that gets a socket which shares the reuser's inner one. If there is none yet the
/// initialiser runs first, with a slot for it; others wait meanwhile.
fn maybe_init_then_connect(
    ctx: NativeCallContext<'_>,
    reuser: &mut SimpleReuserListener,
    opts: RhOpts<MaybeInitOpts>,
    initializer: RhFn<(DatagramSocketSlot,)>,
    continuation: RhFn<(Handle<DatagramSocket>,)>,
) -> RhResult<TaskHandle> {
    let opts: MaybeInitOpts = OptsReader::read(opts)?;
    let torn = if opts.disconnect_on_broken_message { TornMessage::Disconnect } else { TornMessage::Finish };
    let reuser = reuser.clone();
    let (initializer, continuation) = (Callback::new(&ctx, initializer)?, Callback::new(&ctx, continuation)?);
    Ok(task(async move {
        let open = async {
            let before = reuser.failed.lock().unwrap_or_else(PoisonError::into_inner).clone();
            if let Some((kind, text)) = before.filter(|_| !opts.connect_again) {
                return Err(Error::new(kind, text));
            }
            let opened = initialize(&initializer).await;
            let failure = opened.as_ref().err().map(|e| (e.kind, e.to_string()));
            *reuser.failed.lock().unwrap_or_else(PoisonError::into_inner) = failure;
            let (socket, depth) = opened?;
            reuser.depth.fetch_max(depth, Relaxed);
            Ok(socket)
        };
        let socket = reuser.slot.client_or_open(torn, open).await?;
        nesting::holds(reuser.depth.load(Relaxed));
        Ok(Flow::Then(continuation.task((handle(socket),))?))
    }))
}

async fn initialize(initializer: &Callback) -> Result<Sent, Error> {
    let slot = DatagramSocketSlot::default();
    run(initializer.task((slot.clone(),))?).await?;
    slot.take().ok_or_else(|| Error::new(Kind::Start, "the initialiser of a shared socket ended without sending one"))
}

pub(super) fn register(engine: &mut Engine) {
    engine.register_type_with_name::<SimpleReuserListener>("SimpleReuserListener");
    engine.register_type_with_name::<DatagramSocketSlot>("DatagramSocketSlot");
    engine.register_type_with_name::<SimpleReuser>("SimpleReuser");
    register!(engine, simple_reuser_listener, send, maybe_init_then_connect, simple_reuser, connect);
}

#[cfg(test)]
mod tests {
    use crate::functions::testing::{eval_error, run_script};

    #[tokio::test]
    async fn the_first_user_opens_and_all_share() {
        let script = r#"
            let pool = simple_reuser_listener();
            let begin = |slot| { note("init "); slot.send(dummy_datagram_socket()) };
            let serve = |sock| { note("user "); exchange_packets(#{}, dummy_datagram_socket(), sock) };
            sequential([
                pool.maybe_init_then_connect(#{connect_again: true, disconnect_on_broken_message: true}, begin, serve),
                pool.maybe_init_then_connect(#{}, begin, serve),
            ])"#;
        assert_eq!(run_script(script).await.unwrap(), "init user user ");
    }

    #[tokio::test]
    async fn after_a_failure() {
        for (again, notes) in [("true", "tried tried "), ("false", "tried ")] {
            let script = format!(
                r#"
                let pool = simple_reuser_listener();
                let begin = |slot| {{ note("tried "); fail(14) }};
                let serve = |sock| dummy_task();
                sequential([
                    pool.maybe_init_then_connect(#{{connect_again: {again}}}, begin, serve),
                    pool.maybe_init_then_connect(#{{connect_again: {again}}}, begin, serve),
                ])"#
            );
            let (e, out) = run_script(&script).await.unwrap_err();
            assert_eq!((e.exit_code(), &*out), (14, notes), "{e}");
        }
    }

    #[tokio::test]
    async fn a_socket_that_is_there_is_shared_at_once() {
        let script = r#"
            let pool = simple_reuser(stream_chunks(mock_stream_socket("W one|W two")), true);
            let say = |what| {
                let from = read_stream_chunks(take_read_part(mock_stream_socket(what)));
                copy_packets(9, from, take_sink_part(pool.connect()))
            };
            sequential([say.call("R one|X"), say.call("R two|X")])"#;
        assert_eq!(run_script(script).await.unwrap(), "");
    }

    #[tokio::test]
    async fn wrong_use() {
        let (e, _) = run_script(
            "simple_reuser_listener().maybe_init_then_connect(#{}, |slot| dummy_task(), |sock| dummy_task())",
        )
        .await
        .unwrap_err();
        assert!(e.to_string().contains("without sending"), "{e}");
        let e = eval_error(
            "simple_reuser_listener().maybe_init_then_connect(#{connect_again: 5}, |slot| dummy_task(), |s| dummy_task())",
        );
        assert!(e.contains("`connect_again`"), "{e}");
    }
}
