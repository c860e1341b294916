//! Messages in one direction, until the source ends.

use super::{
    error::{Direction, ExchangeError, Failed},
    mover::{Moved, Mover, State},
};
use crate::datagram::{BoxDatagramRead, BoxDatagramWrite};
use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};

/// Copies messages until EOF, which goes to the sink before it is shut down.
///
/// Pending: source or sink is awaited; the sink has been flushed or wakes us when it can be. Drop midway: loses what the
/// sink had not flushed.
pub struct CopyPackets(Mover);

impl CopyPackets {
    /// `max`: longest chunk in bytes; `usize::MAX` leaves it to the reader.
    pub fn new(from: BoxDatagramRead, to: BoxDatagramWrite, max: usize) -> Self {
        Self(Mover::new(from, to, max))
    }

    fn poll_copy(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Failed>> {
        let mover = &mut self.0;
        for _ in 0..super::TURN {
            let moved = mover.poll_move(cx)?;
            mover.flush(cx)?;
            match (moved, mover.state) {
                (_, State::Done) => return Poll::Ready(Ok(())),
                (_, State::AtEof(_)) => mover.pass_eof(),
                (Moved::Waits, _) => return Poll::Pending,
                (Moved::Batch, _) => {}
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

impl Future for CopyPackets {
    type Output = Result<(), ExchangeError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let direction = Direction::Forward;
        self.get_mut().poll_copy(cx).map_err(|Failed { part, error }| ExchangeError { direction, part, error })
    }
}
