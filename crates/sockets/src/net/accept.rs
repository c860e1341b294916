//! A loop around accept(2) that survives a shortage of descriptors, for listeners of every family.
//!
//! Errors of a single connection (the client has gone already) and shortages (EMFILE, ENFILE, memory) are logged and
//! answered by a pause that grows up to a second, so that neither ends the listener nor makes it spin; waiting clients stay
//! in the kernel's backlog meanwhile.

use super::error_numbers::is_no_socket;
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
            if cannot_listen(&error) {
                return Err(error);
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

/// This is no socket that listens (any more): an inherited descriptor that was forced to be one.
fn cannot_listen(e: &io::Error) -> bool {
    // EINVAL, EOPNOTSUPP, and ENOTSOCK, which has no kind.
    matches!(e.kind(), io::ErrorKind::InvalidInput | io::ErrorKind::Unsupported) || is_no_socket(e)
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
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_no_listener_is_not_asked_again() {
        let mut accepting = Accepting::new(Faulty { script: VecDeque::new(), asked: 0 });
        let mut errors = vec![io::ErrorKind::InvalidInput.into(), io::ErrorKind::Unsupported.into()];
        if cfg!(target_os = "linux") {
            // EINVAL, ENOTSOCK, EOPNOTSUPP
            errors.extend([22, 88, 95].map(io::Error::from_raw_os_error));
        }
        for error in errors {
            let text = error.to_string();
            accepting.source.script.push_back(Err(error));
            assert_eq!(accepting.next().await.unwrap_err().to_string(), text);
        }
    }
}
