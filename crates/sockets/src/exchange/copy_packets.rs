//! Messages in one direction, until the source ends.

use super::{
    error::{Direction, ExchangeError, Failed},
    heard::Silence,
    mover::{Body, End, Moved, Mover, State},
};
use crate::{
    datagram::{BoxDatagramRead, BoxDatagramWrite},
    overlay::ws::ANSWER,
};
use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
};
use tokio::time::{Instant, Sleep, sleep};

/// Copies messages until EOF, which goes to the sink before it is shut down. A source that owes us nothing but the answer to
/// its own Close, which somebody else has sent, ends when it says nothing for five seconds, as it does in an exchange.
///
/// Pending: source or sink is awaited; the sink has been flushed or wakes us when it can be. Drop midway: loses what the
/// sink had not flushed.
pub struct CopyPackets {
    mover: Mover,
    /// Until the source has been silent for too long.
    answer: Option<Pin<Box<Sleep>>>,
    /// What the end waits for before it goes on.
    silence: Option<Silence>,
}

impl CopyPackets {
    /// `max`: longest chunk in bytes; `usize::MAX` leaves it to the reader.
    pub fn new(from: BoxDatagramRead, to: BoxDatagramWrite, max: usize) -> Self {
        Self { mover: Mover::new(from, to, max), answer: None, silence: None }
    }

    /// The end of the source goes on after this silence of the peer, if all the sink can say of an end is a Close frame,
    /// which would cut off the peer's replies.
    pub fn lingering(mut self, silence: Silence) -> Self {
        self.silence = self.mover.answers().then_some(silence);
        self
    }

    fn poll_copy(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Failed>> {
        for _ in 0..super::TURN {
            let mover = &mut self.mover;
            let moved = mover.poll_move(cx)?;
            mover.flush(cx)?;
            match (moved, mover.state) {
                (_, State::Done) => return Poll::Ready(Ok(())),
                (_, State::AtEof(_)) => {
                    if let Some(silence) = &mut self.silence {
                        ready!(silence.poll(cx));
                    }
                    mover.pass_eof();
                }
                (Moved::Waits, State::Read) => {
                    ready!(self.poll_unanswered(cx));
                    tracing::debug!("the peer does not answer our Close");
                    self.mover.end(End::Eof(Body::EMPTY));
                }
                (Moved::Waits, _) => {
                    // Silence does not count while the sink is what waits.
                    self.answer = None;
                    return Poll::Pending;
                }
                (Moved::Batch, _) => {}
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// Ready when the source need not be waited for any more.
    //= 6455-7.1.1-2
    fn poll_unanswered(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let spoke = std::mem::take(&mut self.mover.moved);
        if !self.mover.from.as_mut().is_some_and(|from| from.awaits_answer()) {
            self.answer = None;
            return Poll::Pending;
        }
        if spoke {
            self.answer = None;
        }
        let from = &mut self.mover.from;
        let answer = self.answer.get_or_insert_with(|| Box::pin(sleep(ANSWER)));
        loop {
            ready!(answer.as_mut().poll(cx));
            if !from.as_mut().is_some_and(|from| from.is_close_on_its_way()) {
                return Poll::Ready(());
            }
            answer.as_mut().reset(Instant::now() + ANSWER);
        }
    }
}

impl Future for CopyPackets {
    type Output = Result<(), ExchangeError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let direction = Direction::Forward;
        self.get_mut().poll_copy(cx).map_err(|Failed { part, error }| ExchangeError { direction, part, error })
    }
}
