//! Peers that leave while their socket waits for its other side, which may not come for a long time.
//!
//! Whoever waits for a name of the registry is served by another part of the scenario, perhaps never. Until then nobody reads
//! from the socket that waits, and a peer that has left would keep its place and its descriptor.

use super::exchange::ending;
use crate::{
    error::{Error, Kind},
    register,
    scenario::{Callback, Flow, Handle, OptsReader, RhFn, RhOpts, RhResult, Take, TaskHandle, kind_of, task},
};
use rhai::{Dynamic, Engine, NativeCallContext};
use serde::Deserialize;
use sockets::{
    datagram::Flags,
    exchange::farewell,
    info::SocketInfo,
    socket::{DatagramSocket, Link, StreamSocket},
};
use std::{
    future::{pending, poll_fn},
    io,
    pin::pin,
    sync::{Arc, PoisonError},
    task::Poll,
    time::Duration,
};

/// For peers that have said all they want, and may wait for an answer: as long as people wait for one.
const HALF_CLOSED: Duration = Duration::from_secs(60);
/// RFC 6455 7.4.1: a normal end.
const NORMAL: u16 = 1000;

/// Options of `watch_peer`.
#[derive(Default, Deserialize)]
#[serde(default)]
struct WatchOpts {
    /// It is a WebSocket: what comes first is read, so that pings are answered and Close is seen
    reads: bool,
}

/// A task that goes on with the one that the function gives. If the peer of the socket leaves before the socket is used, that
/// one is given up and the socket closed: at once if the connection breaks or says Close, after a minute if nothing more comes.
fn watch_peer(
    ctx: NativeCallContext<'_>,
    opts: RhOpts<WatchOpts>,
    socket: Dynamic,
    continuation: RhFn<()>,
) -> RhResult<TaskHandle> {
    let WatchOpts { reads } = OptsReader::read(opts)?;
    let waiting = Waiting::of(&socket.flatten())?;
    let callback = Callback::new(&ctx, continuation)?;
    Ok(task(async move {
        let mut stage = callback.task(())?;
        let left = {
            let mut left = pin!(waiting.left(reads));
            loop {
                if waiting.is_used() {
                    return Ok(Flow::Then(stage));
                }
                tokio::select! {
                    biased;
                    flow = &mut stage => match flow? {
                        Flow::Done => return Ok(Flow::Done),
                        Flow::Then(next) => stage = next,
                    },
                    left = &mut left => break left,
                }
            }
        };
        drop(stage);
        waiting.closes(left).await.map(|()| Flow::Done)
    }))
}

/// A socket that waits.
enum Waiting {
    Stream(Handle<StreamSocket>),
    Datagram(Handle<DatagramSocket>),
}

impl Waiting {
    fn of(socket: &Dynamic) -> RhResult<Self> {
        if let Some(h) = socket.read_lock::<Handle<StreamSocket>>() {
            return Ok(Self::Stream(h.clone()));
        }
        match socket.read_lock::<Handle<DatagramSocket>>() {
            Some(h) => Ok(Self::Datagram(h.clone())),
            None => Err(format!("a socket is needed here, not {}", kind_of(socket)).into()),
        }
    }

    /// Somebody has taken it.
    fn is_used(&self) -> bool {
        match self {
            Self::Stream(h) => h.lock().unwrap_or_else(PoisonError::into_inner).is_none(),
            Self::Datagram(h) => h.lock().unwrap_or_else(PoisonError::into_inner).is_none(),
        }
    }

    fn known(&self) -> (Option<Link>, Arc<SocketInfo>) {
        let known = match self {
            Self::Stream(h) => {
                let socket = h.lock().unwrap_or_else(PoisonError::into_inner);
                socket.as_ref().map(|socket| (socket.link.clone(), socket.info.clone()))
            }
            Self::Datagram(h) => {
                let socket = h.lock().unwrap_or_else(PoisonError::into_inner);
                socket.as_ref().map(|socket| (socket.link.clone(), socket.info.clone()))
            }
        };
        known.unwrap_or_default()
    }

    /// Resolves when its peer has left: in order, or how.
    async fn left(&self, reads: bool) -> io::Result<()> {
        let link = self.known().0;
        let breaks = async move {
            match link {
                Some(link) => link.left(HALF_CLOSED).await,
                None => pending().await,
            }
        };
        tokio::select! {
            biased;
            read = self.read_ends(), if reads => read,
            error = breaks => Err(error),
        }
    }

    /// Reads up to the first chunk, which stays for whoever takes the socket.
    async fn read_ends(&self) -> io::Result<()> {
        let Self::Datagram(h) = self else { return pending().await };
        let first = poll_fn(|cx| {
            let mut socket = h.lock().unwrap_or_else(PoisonError::into_inner);
            let Some(read) = socket.as_mut().and_then(|socket| socket.read.as_mut()) else { return Poll::Pending };
            let first = read.poll_chunk(cx, usize::MAX);
            if let (Poll::Pending, Some(write)) = (&first, socket.as_mut().and_then(|socket| socket.write.as_mut())) {
                // Pongs that are owed. What fails here fails reading as well.
                let _ = write.poll_flush(cx);
            }
            first
        })
        .await?;
        if first.any(Flags::EOF) { Ok(()) } else { pending().await }
    }

    /// Closes it. What its end was is the result.
    async fn closes(self, left: io::Result<()>) -> Result<(), Error> {
        let info = self.known().1;
        tracing::info!("{} left before anybody had taken it", info.describe());
        if let Self::Datagram(h) = self
            && let Ok(socket) = h.take("socket")
        {
            farewell(socket, NORMAL).await;
        }
        match left {
            Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => Ok(()),
            Err(error) => Err(Error::with_source(
                Kind::Transfer,
                format!("{}: before anybody had taken it", info.describe()),
                error,
            )),
            Ok(()) => ending(&info),
        }
    }
}

pub(super) fn register(engine: &mut Engine) {
    register!(engine, watch_peer);
}

#[cfg(test)]
mod tests {
    use crate::functions::testing::{eval_error, run_script};

    #[tokio::test(start_paused = true)]
    async fn whoever_leaves_is_let_go() {
        let ws = |says: &str| {
            format!(
                r#"ws_wrap(#{{client: false, answer_close: true, close_code: 1000, require_close: true}}, mock_stream_socket("{says}"))"#
            )
        };
        for (says, status, out) in [
            // Pings are answered, and so is Close.
            (
                r"R \\x89\\x82\\0\\0\\0\\0hi|W \\x8a\\x02hi|T 10|R \\x88\\x82\\0\\0\\0\\0\\x03\\xe8|W \\x88\\x02\\x03\\xe8|D|X",
                0,
                "",
            ),
            (r"T 10|R \\x88\\x82\\0\\0\\0\\0\\x03\\xf3|W \\x88\\x02\\x03\\xf3|D", 31, ""),
            ("T 10|X|Q", 30, ""),
            // Who says something stays, and who is silent.
            (
                r"R \\x82\\x81\\0\\0\\0\\0a|W \\x82\\x01a|R \\x88\\x82\\0\\0\\0\\0\\x03\\xe8|W \\x88\\x02\\x03\\xe8|D|X",
                0,
                "used",
            ),
            (r"T 2000|R \\x88\\x82\\0\\0\\0\\0\\x03\\xe8|W \\x88\\x02\\x03\\xe8|D", 0, "used"),
        ] {
            let script = format!(
                r#"let ws = {}; watch_peer(#{{reads: true}}, ws, || sequential([sleep_ms(1000), task_wrap(|| {{
                    note("used");
                    exchange_packets(#{{end_on_error: true}}, ws, packetmirror_socket(#{{}}))
                }})]))"#,
                ws(says)
            );
            let result = run_script(&script).await;
            let (code, noted) = match &result {
                Ok(noted) => (0, noted),
                Err((e, noted)) => (e.exit_code(), noted),
            };
            assert_eq!((code, &**noted), (status, out), "{says}: {result:?}");
        }
    }

    #[tokio::test]
    async fn what_comes_first_wins() {
        let script = r#"watch_peer(#{}, null_stream_socket(), || { note("x"); dummy_task() })"#;
        assert_eq!(run_script(script).await.unwrap(), "x");
        assert!(eval_error("watch_peer(#{}, 5, || dummy_task())").contains("a socket is needed"));
    }
}
