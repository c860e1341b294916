//! What becomes of a socket whose other side cannot be had.
//!
//! A listener takes a WebSocket before its backend is asked for: a client must not take the backend's refusal for a lost
//! connection, so it gets a Close that says whose fault it was (RFC 6455 7.4.1).

use crate::{
    error::Error,
    register,
    scenario::{Callback, Flow, Handle, RhFn, RhResult, Scenario, Take, Task, TaskHandle, stop_for, task},
};
use rhai::{Engine, NativeCallContext};
use sockets::{exchange::farewell, socket::DatagramSocket};
use std::{future::Future, pin::pin, sync::PoisonError, task::Poll};

/// RFC 6455 7.4.1: an unexpected condition prevented the request from being fulfilled.
const INTERNAL_ERROR: u16 = 1011;
/// RFC 6455 7.4.1: an endpoint is going away.
const GOING_AWAY: u16 = 1001;

/// A task that goes on with the one that the function gives. If that one fails before the socket was used, the socket is told
/// before it is closed: a WebSocket gets Close 1011, or 1001 when the program is asked to end meanwhile.
fn close_on_failure(
    ctx: NativeCallContext<'_>,
    socket: Handle<DatagramSocket>,
    continuation: RhFn<()>,
) -> RhResult<TaskHandle> {
    let callback = Callback::new(&ctx, continuation)?;
    let scenario = Scenario::of(&ctx)?;
    let stop = stop_for(&scenario);
    let finisher = scenario.finishers.enter();
    Ok(task(async move {
        let _finisher = finisher;
        let outcome = {
            let mut drained = pin!(stop.drained());
            let mut opened = pin!(until_used(&callback, &socket));
            std::future::poll_fn(|cx| match opened.as_mut().poll(cx) {
                Poll::Ready(outcome) => Poll::Ready(Some(outcome)),
                Poll::Pending => drained.as_mut().poll(cx).map(|()| None),
            })
            .await
        };
        let (code, result) = match outcome {
            Some(Ok(flow)) => return Ok(flow),
            Some(Err(error)) => (INTERNAL_ERROR, Err(error)),
            None => (GOING_AWAY, Ok(Flow::Done)),
        };
        if let Ok(socket) = socket.take("socket") {
            farewell(socket, code).await;
        }
        result
    }))
}

/// Runs what the function gives until somebody has taken the socket: the rest is not ours.
async fn until_used(callback: &Callback, socket: &Handle<DatagramSocket>) -> Result<Flow, Error> {
    let mut stage: Task = callback.task(())?;
    while socket.lock().unwrap_or_else(PoisonError::into_inner).is_some() {
        match stage.await? {
            Flow::Done => return Ok(Flow::Done),
            Flow::Then(next) => stage = next,
        }
    }
    Ok(Flow::Then(stage))
}

pub(super) fn register(engine: &mut Engine) {
    register!(engine, close_on_failure);
}

#[cfg(test)]
mod tests {
    use crate::{error::Kind, functions::testing::run_script};

    const WS: &str = "ws_wrap(#{client: false, answer_close: true, close_code: 1000}, mock_stream_socket(MOCK))";

    async fn run(mock: &str, rest: &str) -> Result<(), Kind> {
        let ws = WS.replace("MOCK", &format!("{mock:?}"));
        run_script(&format!("let ws1 = {ws}; {rest}")).await.map(drop).map_err(|(e, _)| e.kind)
    }

    #[tokio::test]
    async fn a_failure_is_told_and_stays_a_failure() {
        let mock = r"W \x88\x02\x03\xf3|R \x88\x82\0\0\0\0\x03\xf3|D";
        for opens in ["throw \"no backend\"", "task_wrap(|| { throw \"no backend\" })"] {
            let script = format!("close_on_failure(ws1, || {{ {opens} }})");
            assert_eq!(run(mock, &script).await, Err(Kind::Start), "{opens}");
        }
    }

    #[tokio::test]
    async fn whoever_takes_the_socket_has_it() {
        let mock = r"R \x82\x82\0\0\0\0hi|R \x88\x82\0\0\0\0\x03\xe8|W \x82\x02hi\x88\x02\x03\xe8|D";
        for opens in [
            "exchange_packets(#{end_on_error: true}, ws1, packetmirror_socket(#{}))",
            "task_wrap(|| exchange_packets(#{end_on_error: true}, ws1, packetmirror_socket(#{})))",
        ] {
            assert_eq!(run(mock, &format!("close_on_failure(ws1, || {{ {opens} }})")).await, Ok(()), "{opens}");
        }
    }
}
