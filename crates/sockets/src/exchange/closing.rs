//! After both directions have ended: who closes the connection below, and when (RFC 6455 7.1.1).
//!
//! A WebSocket server ends TCP as soon as Close went both ways. A client gives it some time to do so, in order that the
//! server is not left with the connection's remains.

use super::{
    ExchangePackets,
    error::{Direction, ExchangeError, Side},
    mover::{Body, End, State},
    session::{LAST_WRITES, Purpose, Session, Settled},
};
use std::{future::Future, task::Context, time::Duration};

/// How long a client waits for the server's end of TCP: those that care for the order do it at once, the others, never.
pub(super) const TCP_END: Duration = Duration::from_secs(1);

impl ExchangePackets {
    /// Waits for peers that have to close first, then ends what is not ended yet.
    pub(super) fn close_up(&mut self, cx: &mut Context<'_>, session: &mut Session) -> Settled {
        let mut open = false;
        for mover in [&mut self.forward, &mut self.reverse] {
            open |= mover.from.as_mut().is_some_and(|from| from.poll_closed(cx).is_pending());
        }
        //= 6455-7.1.1-4
        //= 6455-5.5.1-14
        if open && session.waits_for_tcp_end(cx) {
            return Settled::Waits;
        }
        for direction in [Direction::Forward, Direction::Reverse] {
            let sink = if session.mirrored { direction.source() } else { direction.source().other() };
            let mover = self.mover(direction);
            if session.got_close(sink)
                && let (State::Done | State::Discard, Some(to)) = (mover.state, &mut mover.to)
            {
                // A client's good-bye below the WebSocket (TLS). Whatever comes of it: the socket is dropped next.
                let _ = to.poll_shutdown(cx);
            }
        }
        Settled::Over
    }
}

impl ExchangePackets {
    /// The peer of `side` has given no sign of life for too long. Its socket is closed at once. The other side is told by a
    /// Close, by a reset where it is a bare TCP connection, and otherwise by its end. The result, if that is all.
    //= 6455-7.1.1-2
    pub(super) fn vanished(
        &mut self,
        session: &mut Session,
        side: Side,
        error: ExchangeError,
    ) -> Option<Result<(), ExchangeError>> {
        session.cut(side);
        let from = Direction::reading(side);
        let told = self.mover(from).keeps_borders() || session.watch.link(side.other()).is_none();
        if session.mirrored || !told {
            session.watch.reset_on_close(side.other());
            return Some(Err(session.error.take().unwrap_or(error)));
        }
        tracing::debug!(error = %error.error, "{error}"); // soon told by the result
        session.error.get_or_insert(error);
        session.watch.forget(side);
        let mover = self.mover(from);
        mover.end(End::Eof(Body::INTERNAL_ERROR));
        mover.quiet = true;
        mover.from = None;
        // Whoever is told by a Close answers.
        let answers = mover.answers();
        let back = self.mover(from.other());
        back.state = if answers && back.from.is_some() { State::Discard } else { State::Done };
        back.to = None;
        session.start_ending(LAST_WRITES);
        None
    }
}

impl Session {
    fn waits_for_tcp_end(&mut self, cx: &mut Context<'_>) -> bool {
        if !self.is_closing() {
            self.start(Purpose::Closing, TCP_END);
        }
        self.timer.as_mut().is_some_and(|timer| timer.sleep.as_mut().poll(cx).is_pending())
    }

    /// Nothing is left but the end of the connection below.
    pub(super) fn is_closing(&self) -> bool {
        self.timer.as_ref().is_some_and(|timer| matches!(timer.purpose, Purpose::Closing))
    }
}
