//! How listeners serve: each connection is a session below the listener, side by side or one after another.
//!
//! What a listener accepts is its own affair ([`Source`]). When the scenario drains it accepts no more and waits for its
//! sessions. An error of a connection ends only that connection, unless it is the only one.

use crate::{
    error::Result,
    scenario::{Flow, Task, run},
};
use sockets::{stop::Stop, testing::MockMismatch};
use std::{
    future::{Future, poll_fn},
    pin::pin,
    task::Poll,
};
use tokio::task::{JoinError, JoinSet};

/// Where a listener's connections come from.
pub trait Source: Send {
    /// What a connection holds as long as it lives.
    type Seat: Send + 'static;

    /// The next connection. Dropping the future loses none.
    fn next(&mut self) -> impl Future<Output = Result<Connection<Self::Seat>>> + Send;
}

/// A connection that was accepted.
pub struct Connection<S> {
    /// For messages.
    pub name: Box<str>,
    pub session: Task,
    pub seat: S,
}

/// How a listener goes on after a connection came.
#[derive(Clone, Copy, Debug)]
pub struct Serving {
    /// Each connection gets a task of its own.
    pub autospawn: bool,
    /// One connection only.
    pub oneshot: bool,
}

/// Serves until `stop` drains, or until the only connection is over.
pub async fn serve(mut source: impl Source, stop: &Stop, serving: Serving) -> Result<Flow> {
    let mut sessions = JoinSet::new();
    let mut drained = pin!(stop.drained());
    loop {
        let next = {
            let mut accept = pin!(source.next());
            poll_fn(|cx| {
                while let Poll::Ready(Some(ended)) = sessions.poll_join_next(cx) {
                    session_ended(ended);
                }
                if drained.as_mut().poll(cx).is_ready() {
                    return Poll::Ready(None);
                }
                accept.as_mut().poll(cx).map(Some)
            })
            .await
        };
        let Some(accepted) = next else {
            break;
        };
        let Connection { name, session, seat } = accepted?;
        if serving.oneshot {
            drop(source);
            return run(session).await.map(|()| Flow::Done);
        }
        if serving.autospawn {
            sessions.spawn(async move {
                log_failure(&name, run(session).await);
                drop(seat);
            });
        } else {
            log_failure(&name, run(session).await);
        }
    }
    // Nobody new gets in; those inside are told to finish by the same token.
    drop(source);
    while let Some(ended) = sessions.join_next().await {
        session_ended(ended);
    }
    Ok(Flow::Done)
}

fn log_failure(name: &str, result: Result<()>) {
    if let Err(error) = result
        && !error.is_logged()
    {
        // An error of this very socket says its name already.
        let error = if error.to_string().contains(name) { error } else { error.context(name) };
        tracing::warn!("{error}");
    }
}

/// A panic ends only its session, except that of a test peer, which is there to end the program.
fn session_ended(ended: Result<(), JoinError>) {
    if let Err(e) = ended
        && let Ok(panic) = e.try_into_panic()
    {
        if panic.is::<MockMismatch>() {
            std::panic::resume_unwind(panic);
        }
        tracing::error!("a session panicked; this is a bug");
    }
}
