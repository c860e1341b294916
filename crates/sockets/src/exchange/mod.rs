//! Message sessions: both directions between two message sockets as one future.
//!
//! The loop is: move both directions until neither can go on, then flush both sinks, always. So what comes together leaves
//! together, what comes alone leaves at once, and what one direction wrote into something that comes back in the same task
//! is fetched before anybody is woken. Everything else here is about ends: half-close where both sides can express it,
//! linger where only a Close frame can, and a bound on every wait for somebody who may be gone.
//!
//! - `mover`: one direction. `session`: the ends. `closing`, `farewell`: the very ends. `watch`: hangups, resets, drain. `options`, `error`: what goes in and comes out.

mod closing;
mod copy_packets;
mod error;
mod farewell;
mod heard;
mod mover;
mod options;
mod session;
#[cfg(test)]
mod tests;
pub(crate) mod watch;

pub use copy_packets::CopyPackets;
pub use error::{Direction, ExchangeError, HandedOn, Part, Side};
pub(crate) use error::{Failed, is_reset};
pub use farewell::farewell;
pub use heard::{Heard, Silence};
pub use options::{ExchangeBytesOptions, ExchangeOptions};

use crate::{
    datagram::{BoxDatagramRead, BoxDatagramWrite},
    endpoint::mirror_datagram,
    hangup::Hangup,
    info::SocketInfo,
    socket::DatagramSocket,
    stop::Stop,
};
use mover::{End, Moved, Mover};
use session::{Session, Settled};
use std::{
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

/// Batches that are moved before other tasks get their turn: 2 MiB or 2048 messages, less than a millisecond of work.
const TURN: usize = 32;
/// Both directions between two message sockets.
///
/// Pending: everything that could be moved has been moved and flushed as far as it goes. Drop midway: closes both sockets
/// at once, without good-byes, and loses what a sink had not flushed. When it is ready both sockets have been dropped.
pub struct ExchangePackets {
    forward: Mover,
    reverse: Mover,
    /// None after the end.
    session: Option<Box<Session>>,
}

pub(crate) fn warn_of_missing_half(direction: Direction, has_source: bool) {
    let half = if has_source { "sink cannot be written to" } else { "source cannot be read from" };
    tracing::warn!(%direction, "incomplete socket: the {half}, nothing is copied in this direction");
}

fn direction(
    direction: Direction,
    from: Option<BoxDatagramRead>,
    to: Option<BoxDatagramWrite>,
    (off, late_drop, max): (bool, bool, usize),
) -> Mover {
    match (from, to) {
        (_, None) if off => Mover::none(),
        (_, Some(to)) if off => {
            let mut mover = Mover::idle(to);
            if !late_drop {
                mover.end(End::Shutdown);
            }
            mover
        }
        (Some(from), Some(mut to)) => {
            to.may_hold_back();
            Mover::new(from, to, max)
        }
        (from, to) => {
            warn_of_missing_half(direction, from.is_some());
            to.map_or_else(Mover::none, Mover::idle)
        }
    }
}

/// Both halves are the ends of one queue, with nothing between.
fn is_bare_mirror(socket: &DatagramSocket) -> bool {
    let id = socket.read.as_ref().and_then(|read| read.loop_id());
    id.is_some() && id == socket.write.as_ref().and_then(|write| write.loop_id()) && socket.hangup.is_none()
}

impl ExchangePackets {
    /// `stop` asks for an orderly end by draining; dropping the future ends it at once.
    pub fn new(left: DatagramSocket, right: DatagramSocket, options: ExchangeOptions, stop: Stop) -> Self {
        if options.copies_both() && left.read.is_some() && left.write.is_some() && is_bare_mirror(&right) {
            return Self::joined(left, right.info, options, stop);
        }
        let late = options.late_drop;
        let forward = (options.unidirectional_reverse, late, options.max_forward);
        let reverse = (options.unidirectional, late, options.max_reverse);
        let forward = direction(Direction::Forward, left.read, right.write, forward);
        let reverse = direction(Direction::Reverse, right.read, left.write, reverse);
        let hangup = Hangup::either(left.hangup, right.hangup);
        let session = Session::new(hangup, [left.link, right.link], [left.info, right.info], &options, stop);
        Self::with(forward, reverse, session)
    }

    /// A socket with a bare mirror: its reader is joined to its own writer, without a queue or a copy between them.
    pub fn mirrored(socket: DatagramSocket, options: ExchangeOptions, stop: Stop) -> Self {
        Self::joined(socket, Arc::default(), options, stop)
    }

    fn joined(socket: DatagramSocket, mirror: Arc<SocketInfo>, options: ExchangeOptions, stop: Stop) -> Self {
        match (socket.read, socket.write) {
            (Some(read), Some(write)) if options.copies_both() => {
                let forward = Mover::new(read, write, options.max_forward.min(options.max_reverse));
                let infos = [socket.info, mirror];
                let mut session = Session::new(socket.hangup, [socket.link, None], infos, &options, stop);
                session.mirrored = true;
                Self::with(forward, Mover::none(), session)
            }
            (read, write) => {
                let mirror = mirror_datagram::mirror_datagram(mirror_datagram::MirrorDatagramOptions::default());
                Self::new(DatagramSocket { read, write, ..socket }, mirror, options, stop)
            }
        }
    }

    fn with(forward: Mover, reverse: Mover, mut session: Session) -> Self {
        session.copies = [&forward, &reverse].map(|mover| mover.from.is_some());
        Self { forward, reverse, session: Some(Box::new(session)) }
    }

    /// The error for which the session is ending, for whoever wants to tell it before its peers had their time for good-byes.
    /// Then it is not the result any more, which is that of what else happens.
    pub fn take_failure(&mut self) -> Option<ExchangeError> {
        self.session.as_mut()?.take_failure()
    }

    fn mover(&mut self, direction: Direction) -> &mut Mover {
        match direction {
            Direction::Forward => &mut self.forward,
            Direction::Reverse => &mut self.reverse,
        }
    }

    /// Drops both sockets.
    fn over(&mut self, result: Result<(), ExchangeError>) -> Poll<Result<(), ExchangeError>> {
        (self.forward, self.reverse, self.session) = (Mover::none(), Mover::none(), None);
        Poll::Ready(result)
    }

    fn poll_exchange(&mut self, cx: &mut Context<'_>, session: &mut Session) -> Poll<Result<(), ExchangeError>> {
        while let Some(event) = session.watch.poll(cx) {
            if let Some(result) = self.happened(cx, session, event) {
                return Poll::Ready(result);
            }
        }
        for _ in 0..TURN {
            let mut again = false;
            for direction in [Direction::Forward, Direction::Reverse] {
                match self.mover(direction).poll_move(cx) {
                    Ok(Moved::Waits) => {}
                    Ok(Moved::Batch) => again = true,
                    Err(failed) => {
                        again = true;
                        if let Some(result) = self.failed(cx, session, direction, failed) {
                            return Poll::Ready(result);
                        }
                    }
                }
            }
            for direction in [Direction::Forward, Direction::Reverse] {
                if let Err(failed) = self.mover(direction).flush(cx) {
                    again = true;
                    if let Some(result) = self.failed(cx, session, direction, failed) {
                        return Poll::Ready(result);
                    }
                }
            }
            if !self.forward.is_moving() || !self.reverse.is_moving() || session.has_timer() {
                match self.settle(cx, session) {
                    Settled::Waits => {}
                    Settled::Again => again = true,
                    Settled::Over => return Poll::Ready(session.error.take().map_or(Ok(()), Err)),
                }
            }
            if !again {
                return Poll::Pending;
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

impl Future for ExchangePackets {
    type Output = Result<(), ExchangeError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        // Taken out so that directions and session can be borrowed apart: a move of one pointer.
        let Some(mut session) = this.session.take() else {
            return Poll::Ready(Ok(()));
        };
        match this.poll_exchange(cx, &mut session) {
            Poll::Ready(result) => {
                session.watch.discard_unread();
                drop(session);
                this.over(result)
            }
            Poll::Pending => {
                this.session = Some(session);
                Poll::Pending
            }
        }
    }
}
