//! A loop around accept(2) that survives a shortage of descriptors, for listeners of every family.
//!
//! Errors of a single connection (the client has gone already) and shortages (EMFILE, ENFILE, memory) are logged and
//! answered by a pause that grows up to a second, so that neither ends the listener nor makes it spin; waiting clients stay
//! in the kernel's backlog meanwhile.

use std::{
    future::poll_fn,
    io,
    task::{Context, Poll},
    time::Duration,
};
use tokio::time::sleep;

/// First pause after an accept error, short enough not to be felt after a lone failure.
const FIRST_PAUSE: Duration = Duration::from_millis(5);
/// Longest pause: a shortage that lasts costs one wake-up and one log line a second.
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// Where connections come from; a trait so that tests can inject faults.
pub trait Accept: Send {
    type Connection;

    fn poll_accept(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Self::Connection>>;
}

/// A source of connections, and how long it waits after an error.
pub struct Accepting<A> {
    source: A,
    pause: Duration,
}

impl<A: Accept> Accepting<A> {
    pub fn new(source: A) -> Self {
        Self { source, pause: Duration::ZERO }
    }

    /// Next connection. Dropping the future loses none. Errors are only those that will not go away by waiting.
    pub async fn next(&mut self) -> io::Result<A::Connection> {
        loop {
            let error = match poll_fn(|cx| self.source.poll_accept(cx)).await {
                Ok(connection) => {
                    self.pause = Duration::ZERO;
                    return Ok(connection);
                }
                Err(e) => e,
            };
            if error.kind() == io::ErrorKind::InvalidInput {
                return Err(error); // EINVAL: this socket does not listen (any more)
            }
            if of_one_connection(&error) && self.pause.is_zero() {
                tracing::debug!("a client left before it was accepted: {error}");
            } else {
                tracing::warn!("cannot accept a connection, trying again soon: {error}");
            }
            self.pause = (self.pause * 2).clamp(FIRST_PAUSE, LONGEST_PAUSE);
            sleep(self.pause).await;
        }
    }
}

/// Errors that accept(2) hands on from the new connection itself.
fn of_one_connection(e: &io::Error) -> bool {
    use io::ErrorKind::*;
    matches!(
        e.kind(),
        ConnectionAborted
            | ConnectionReset
            | Interrupted
            | NetworkDown
            | NetworkUnreachable
            | HostUnreachable
            | TimedOut
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::VecDeque;
    use tokio::time::Instant;

    /// Gives what is scripted, then waits; counts how often it was asked.
    struct Faulty {
        script: VecDeque<io::Result<u8>>,
        asked: usize,
    }

    impl Accept for Faulty {
        type Connection = u8;

        fn poll_accept(&mut self, _: &mut Context<'_>) -> Poll<io::Result<u8>> {
            self.asked += 1;
            self.script.pop_front().map_or(Poll::Pending, Poll::Ready)
        }
    }

    #[tokio::test(start_paused = true)]
    async fn errors_pause_without_spinning_and_it_recovers() {
        // Whatever there is too little of is waited for: EMFILE, ENFILE, ENOBUFS.
        const SHORTAGES: [i32; 3] = [24, 23, if cfg!(target_os = "linux") { 105 } else { 55 }];
        let shortages = SHORTAGES.into_iter().cycle().map(io::Error::from_raw_os_error);
        let errors = std::iter::once(io::ErrorKind::ConnectionAborted.into()).chain(shortages.take(12));
        let script = errors.map(Err).chain([Ok(7)]).collect();
        let mut accepting = Accepting::new(Faulty { script, asked: 0 });
        let begin = Instant::now();
        assert_eq!(accepting.next().await.unwrap(), 7);
        // 5, 10, 20, ... 640 ms, then a second for each of the five others.
        // The timer rounds each up to a millisecond.
        let expected = 5 * 255 + 5 * 1000;
        assert!((expected..=expected + 13).contains(&begin.elapsed().as_millis()), "{:?}", begin.elapsed());
        assert_eq!(accepting.source.asked, 14);
        assert!(accepting.pause.is_zero());
        accepting.source.script.push_back(Err(io::ErrorKind::InvalidInput.into()));
        assert!(accepting.next().await.is_err());
    }
}
