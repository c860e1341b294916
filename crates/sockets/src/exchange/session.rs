//! The ends of a message exchange: which end of one direction means what for the other, and how long that may take.
//!
//! Stands above the two movers (`mover.rs`), which know one direction each, and is looked at when one of them ends,
//! fails or waits: nothing here happens per message. Every wait that it begins is bounded, except those that `linger`
//! makes endless on purpose (RFC 6455 5.5.1 and 7.1, half-close of TCP).

use super::{
    ExchangePackets,
    error::{Direction, ExchangeError, Failed, Part, Side, is_reset},
    mover::{Body, End, Moved, State},
    options::ExchangeOptions,
    watch::{Event, Watch},
};
use crate::{
    datagram::Flags,
    hangup::Hangup,
    hub::HubError,
    info::{Ending, SocketInfo},
    overlay::{
        defragment::DefragmentError,
        length_prefixed::LengthPrefixedError,
        ws::{ANSWER, WsError},
    },
    owners::Half,
    socket::Link,
    stop::Stop,
};
use std::{future::Future, io, pin::Pin, sync::Arc, task::Context, time::Duration};
use tokio::time::{Instant, Sleep, sleep};

/// For the last writes to somebody who may be gone: a round trip round the world, even with a packet lost.
pub(super) const LAST_WRITES: Duration = Duration::from_secs(2);

/// What a timer is for.
#[derive(Clone, Copy)]
pub(super) enum Purpose {
    /// The end of this direction is held back while the other one says something.
    Hold(Direction),
    /// This direction ends when it says nothing for so long after the other one has ended.
    Silence(Direction, Duration),
    /// The sink of this direction belongs to a peer that said that it leaves: its last writes.
    Abandon(Direction),
    /// The session ends.
    Ending,
    /// Both directions have ended; see `closing.rs`.
    Closing,
}

pub(super) struct Timer {
    pub purpose: Purpose,
    /// Nothing can be said for now, so that silence does not count; it begins anew afterwards.
    paused: bool,
    pub sleep: Pin<Box<Sleep>>,
}

/// What is looked at only when something ends.
pub(super) struct Session {
    pub watch: Watch,
    infos: [Arc<SocketInfo>; 2],
    /// What the write halves belong to keeps half-closes.
    half_close: [bool; 2],
    linger: Option<Duration>,
    pub timer: Option<Timer>,
    /// The first one.
    pub error: Option<ExchangeError>,
    exit_on_eof: bool,
    end_on_error: bool,
    /// One socket whose reader is joined to its own writer.
    pub mirrored: bool,
    /// Directions that are copied.
    pub copies: [bool; 2],
    /// Sockets whose peers said that they leave.
    gone: [bool; 2],
    /// The session is over but for last writes and the peers' good-byes.
    ending: bool,
    /// A socket was reset: its direction goes on until all that came before was read and written.
    after_reset: bool,
    drained: bool,
    /// How long to wait for good-byes when draining.
    patience: Duration,
}

/// What comes of looking at the ends.
pub(super) enum Settled {
    Waits,
    /// Something can be moved now.
    Again,
    Over,
}

impl Session {
    pub fn new(
        hangup: Option<Hangup>,
        links: [Option<Link>; 2],
        infos: [Arc<SocketInfo>; 2],
        options: &ExchangeOptions,
        stop: Stop,
    ) -> Self {
        let patience = stop.patience();
        let mut watch = Watch::new(hangup, links, Some(stop));
        watch.know_sinks(infos.each_ref());
        let half_close = infos.each_ref().map(|info| info.owner(Half::Write, false).info.half_close);
        if let Some(time) = options.idle {
            watch.watch_idle(time);
        }
        for (info, unused) in infos.iter().zip([options.unidirectional, options.unidirectional_reverse]) {
            if let (Some(child), true) = (&info.child, unused) {
                child.leave_input_unused();
            }
        }
        Self {
            patience,
            watch,
            infos,
            half_close,
            linger: options.linger,
            timer: None,
            error: None,
            exit_on_eof: options.exit_on_eof,
            end_on_error: options.end_on_error,
            mirrored: false,
            copies: [false; 2],
            gone: [false; 2],
            ending: false,
            after_reset: false,
            drained: false,
        }
    }

    pub fn has_timer(&self) -> bool {
        self.timer.is_some()
    }

    fn info(&self, side: Side) -> &Arc<SocketInfo> {
        side.of(&self.infos)
    }

    /// The peer of `side` vanished or was reset: a child at the other end need not finish.
    pub fn cut(&self, side: Side) {
        if let Some(child) = &self.info(side.other()).child {
            child.cut();
        }
    }

    fn is_gone(&self, side: Side) -> bool {
        *side.of(&self.gone)
    }

    fn copies(&self, direction: Direction) -> bool {
        *direction.source().of(&self.copies)
    }

    pub fn got_close(&self, side: Side) -> bool {
        matches!(self.info(side).ending.get(), Some(Ending::Close { .. } | Ending::Answered))
    }

    pub fn start(&mut self, purpose: Purpose, after: Duration) {
        self.timer = Some(Timer { purpose, paused: false, sleep: Box::pin(sleep(after)) });
    }

    /// From now on only `within` is left for what is under way.
    pub fn start_ending(&mut self, within: Duration) {
        if !self.ending {
            self.ending = true;
            self.start(Purpose::Ending, within);
        }
    }

    pub fn take_failure(&mut self) -> Option<ExchangeError> {
        if self.ending { self.error.take() } else { None }
    }

    fn holds(&self, direction: Direction) -> bool {
        matches!(self.timer, Some(Timer { purpose: Purpose::Hold(held), .. }) if held == direction)
    }
}

impl ExchangePackets {
    /// The socket's only way to end its outgoing direction is a Close frame, and the session lingers for that.
    fn ends_by_close(&mut self, session: &Session, side: Side) -> bool {
        let writing = Direction::reading(side.other());
        session.linger.is_some() && !side.of(&session.half_close) && self.mover(writing).keeps_borders()
    }

    /// Something happened outside of the two directions. The result, if that ends the session at once.
    pub(super) fn happened(
        &mut self,
        cx: &mut Context<'_>,
        session: &mut Session,
        event: Event,
    ) -> Option<Result<(), ExchangeError>> {
        match event {
            Event::Hangup => {
                for mover in [&mut self.forward, &mut self.reverse] {
                    if let Err(Failed { error, .. }) = mover.flush(cx) {
                        tracing::debug!(%error, "cannot flush after a hangup");
                    }
                }
                Some(session.error.take().map_or(Ok(()), Err))
            }
            Event::Reset(side, error) => {
                let error = ExchangeError::reset(side, error);
                self.was_reset(cx, session, side, error)
            }
            Event::Drain => {
                let patience = session.patience;
                self.drain(session, patience);
                None
            }
            Event::Idle => {
                let spoke = [&mut self.forward, &mut self.reverse].map(|mover| std::mem::take(&mut mover.spoke));
                if session.watch.is_idle(spoke.contains(&true)) && !session.ending {
                    tracing::info!("no data came from either side for the idle time-out: the session ends");
                    self.drain(session, LAST_WRITES);
                }
                None
            }
        }
    }

    /// A reset of one socket becomes a reset of the other, unless its peer had said good-bye before.
    fn was_reset(
        &mut self,
        cx: &mut Context<'_>,
        session: &mut Session,
        side: Side,
        error: ExchangeError,
    ) -> Option<Result<(), ExchangeError>> {
        if session.is_closing() {
            return None;
        }
        if session.drained {
            return Some(session.error.take().map_or(Ok(()), Err));
        }
        let from = Direction::reading(side);
        // Offers what was read already, without waiting. Errors are those of the reset.
        for _ in 0..super::TURN {
            let moved = self.mover(from).poll_move(cx);
            let _ = self.mover(from).flush(cx);
            if !matches!(moved, Ok(Moved::Batch)) {
                break;
            }
        }
        let says_gone = matches!(self.mover(from).state, State::AtEof(flags) if flags.any(Flags::GONE));
        if session.got_close(side) && (says_gone || session.is_gone(side)) {
            return None;
        }
        // After our Close a peer in a hurry may throw the connection away, just as it may end it without an answer.
        let writing = Direction::reading(side.other());
        if self.ends_by_close(session, side)
            && self.mover(writing).state == State::Done
            && !self.mover(writing).end_is_silent()
        {
            self.mover(from).end(End::Eof(Body::EMPTY));
            return None;
        }
        if session.mirrored || session.watch.link(side.other()).is_some() {
            session.watch.reset_on_close(side.other());
            return Some(Err(session.error.take().unwrap_or(error).handed_on()));
        }
        // Standard output, a file, a process: it cannot be told of a reset, and what came before must not be lost.
        session.cut(side);
        session.error.get_or_insert(error);
        session.after_reset = true;
        let back = self.mover(writing);
        (back.state, back.quiet) = (State::Failed(Part::Sink), true);
        let mover = self.mover(from);
        mover.quiet = true;
        if matches!(mover.state, State::Failed(_)) {
            mover.end(End::Shutdown);
        }
        session.ending = false;
        session.start_ending(LAST_WRITES);
        None
    }

    /// A half failed. The error, if that ends the session at once.
    pub(super) fn failed(
        &mut self,
        cx: &mut Context<'_>,
        session: &mut Session,
        direction: Direction,
        Failed { part, error }: Failed,
    ) -> Option<Result<(), ExchangeError>> {
        let mover = self.mover(direction);
        mover.state = State::Failed(part);
        if mover.quiet {
            tracing::debug!(%direction, %error, "error while ending");
            if mover.discards && part == Part::Sink {
                // The peer that left is told nothing any more; the other one still answers.
                (mover.state, mover.to) = (State::Discard, None);
                return None;
            }
            if session.after_reset && part == Part::Source {
                // Not an EOF chunk: the end was not in order.
                mover.end(End::Shutdown);
            }
            return None;
        }
        let broken_pipe = error.kind() == io::ErrorKind::BrokenPipe;
        // The writer would not send this message (text that is not UTF-8), but works: its peer can be told.
        let refused = error.kind() == io::ErrorKind::InvalidInput;
        // Without its borders a stream makes no sense any more, and one that has lost a message must not go on as if
        // nothing had been: also where other errors end only their direction.
        let prefixed = error.get_ref().and_then(|e| e.downcast_ref::<LengthPrefixedError>());
        let ends = session.end_on_error || prefixed.is_some();
        let too_long = prefixed.is_some_and(LengthPrefixedError::is_ours)
            || error.get_ref().is_some_and(|e| e.is::<DefragmentError>() || e.is::<HubError>());
        let ws_error = error.get_ref().and_then(|e| e.downcast_ref());
        let vanished = matches!(ws_error, Some(WsError::Silent | WsError::Unread));
        let error = ExchangeError { direction, part, error };
        let side = if session.mirrored { Side::Left } else { error.side() };
        if vanished {
            return self.vanished(session, side, error);
        }
        let has_link = session.watch.has_link(side, part);
        if is_reset(&error.error, has_link) && (has_link || session.end_on_error) {
            return self.was_reset(cx, session, side, error);
        }
        if ends {
            tracing::debug!(%direction, error = %error.error, "{error}"); // soon told by the result
        } else {
            tracing::warn!(error = %error.error, "{error}, this direction stops");
        }
        session.error.get_or_insert(error);
        if !ends || session.ending {
            return None;
        }
        let other = direction.other();
        match part {
            Part::Sink => {
                // Whoever reads our standard output has seen enough: that is no fault of ours.
                let why = match () {
                    () if broken_pipe => Body::GOING_AWAY,
                    () if too_long => Body::TOO_BIG,
                    () => Body::INTERNAL_ERROR,
                };
                self.mover(other).end(End::Eof(why));
                let answers = !session.mirrored && self.mover(other).answers();
                let mover = self.mover(direction);
                if answers && mover.from.is_some() && !refused {
                    // Its answer to our Close is read, or what it still sends would be met by a reset that can overtake
                    // the Close.
                    (mover.state, mover.to, mover.quiet) = (State::Discard, None, true);
                }
                if refused {
                    let mover = self.mover(direction);
                    (mover.state, mover.quiet) = (State::Eof(Body::INTERNAL_ERROR), true);
                }
            }
            Part::Source => {
                let how = if session.mirrored { End::Shutdown } else { End::Eof(Body::INTERNAL_ERROR) };
                self.mover(direction).end(how);
                // Its socket may owe a Close that says what was wrong.
                self.mover(other).end(End::Shutdown);
                self.mover(direction).quiet = true;
            }
        }
        self.mover(other).quiet = true;
        session.start_ending(LAST_WRITES);
        None
    }

    /// Says good-bye to both sides and waits for those who answer. What they say until then still reaches a byte stream,
    /// which is not told of a good-bye; between two WebSockets nothing can be said any more.
    //= 6455-7.3-1
    //= 6455-7.3-3
    fn drain(&mut self, session: &mut Session, patience: Duration) {
        session.drained = true;
        for direction in [Direction::Forward, Direction::Reverse] {
            let writing = if session.mirrored { direction } else { direction.other() };
            let answers = self.mover(writing).answers();
            let copies = session.copies(direction);
            let mover = self.mover(direction);
            if copies && answers && !mover.keeps_borders() && !session.holds(direction) {
                continue;
            }
            if mover.end(End::Eof(Body::GOING_AWAY)) {
                mover.discards = copies && answers;
            }
            mover.quiet = true;
        }
        session.ending = false;
        session.start_ending(patience);
    }

    /// Decides what the ends of both directions mean. Called when one is not simply moving, or a timer runs.
    pub(super) fn settle(&mut self, cx: &mut Context<'_>, session: &mut Session) -> Settled {
        let mut again = false;
        for direction in [Direction::Forward, Direction::Reverse] {
            if let State::AtEof(flags) = self.mover(direction).state
                && !session.holds(direction)
            {
                again |= self.at_eof(session, direction, flags);
            }
        }
        for direction in [Direction::Forward, Direction::Reverse] {
            let other = direction.other();
            let other_ended = self.mover(other).has_ended();
            if session.holds(direction) && self.mover(other).source_ended() {
                self.let_go(session, direction);
                again = true;
            }
            if self.mover(direction).state == State::Idle && (other_ended || !session.copies(other)) {
                again |= self.mover(direction).end(End::Shutdown);
            }
            let ended = self.mover(direction).has_ended();
            if ended && !other_ended && session.is_gone(direction.source()) {
                // Whoever was told by a Close answers, for which it has some time; a byte stream does not.
                let answers = session.linger.is_some() && self.mover(direction).answers();
                if self.mover(other).state == State::Discard && !answers {
                    return self.close_up(cx, session);
                }
                session.start_ending(LAST_WRITES);
            }
            if ended && session.exit_on_eof && session.copies(direction) && !session.ending {
                self.mover(other).end(End::Eof(Body::EMPTY));
                session.start_ending(LAST_WRITES);
                again = true;
            }
        }
        if self.forward.has_ended() && self.reverse.has_ended() {
            return self.close_up(cx, session);
        }
        if again {
            // Most ends are over in the next round: a timer that is not looked at before was never started.
            return Settled::Again;
        }
        self.look_at_timer(cx, session)
    }

    /// The source of `direction` has ended. Returns whether the end goes on now.
    fn at_eof(&mut self, session: &mut Session, direction: Direction, flags: Flags) -> bool {
        let (source, other) = (direction.source(), direction.other());
        // A child that has ended reads nothing either.
        let child_left = session.info(source).child_has_left();
        if flags.any(Flags::GONE) || child_left {
            *source.of_mut(&mut session.gone) = true;
            let back = if session.mirrored { direction } else { other };
            if self.mover(direction).eof_is_bare() && !child_left {
                // Its peer vanished without a Close: what it had to say may be torn.
                session.cut(source);
                self.mover(direction).end(End::Eof(Body::INTERNAL_ERROR));
            } else {
                self.mover(direction).pass_eof();
            }
            let mover = self.mover(back);
            mover.quiet = true;
            if back == direction {
                session.start_ending(LAST_WRITES);
                return true;
            }
            // Whoever has to take what the peer said last may wait for being read meanwhile.
            mover.discards = mover.from.is_some();
            mover.end(End::Shutdown);
            if !session.ending {
                session.start(Purpose::Abandon(back), LAST_WRITES);
            }
            return true;
        }
        //= 6455-7.1.7-8
        //= 6455-7.2.1-3
        //= 6455-7.3-2
        if let Some(linger) = session.linger
            && !linger.is_zero()
            && !session.mirrored
            && !session.exit_on_eof
            && !session.got_close(source)
            && !self.mover(other).source_ended()
            && self.ends_by_close(session, source.other())
        {
            self.mover(other).moved = false;
            session.start(Purpose::Hold(direction), linger);
            return false;
        }
        self.let_go(session, direction);
        true
    }

    /// Sends the end of `direction` on and bounds how long the other one may then be silent.
    fn let_go(&mut self, session: &mut Session, direction: Direction) {
        let (source, other) = (direction.source(), direction.other());
        self.mover(direction).pass_eof();
        if session.ending {
            return;
        }
        session.timer = None;
        let Some(linger) = session.linger.filter(|_| !session.mirrored) else {
            return;
        };
        let patience = if !session.got_close(source) && self.ends_by_close(session, source.other()) {
            if self.mover(direction).end_is_silent() { Duration::ZERO } else { linger.max(ANSWER) }
        } else if self.ends_by_close(session, source) {
            linger
        } else {
            return;
        };
        self.mover(other).moved = false;
        session.start(Purpose::Silence(other, patience), patience);
    }

    fn look_at_timer(&mut self, cx: &mut Context<'_>, session: &mut Session) -> Settled {
        let Some(timer) = &mut session.timer else {
            return Settled::Waits;
        };
        let purpose = timer.purpose;
        let (listens_to, patience) = match purpose {
            Purpose::Hold(held) => (Some(held.other()), session.linger.unwrap_or_default()),
            Purpose::Silence(direction, patience) => (Some(direction), patience),
            Purpose::Abandon(_) | Purpose::Ending | Purpose::Closing => (None, Duration::ZERO),
        };
        if let Some(direction) = listens_to {
            let other_ended = self.mover(direction.other()).has_ended();
            let mover = self.mover(direction);
            // Silence counts from when the end has reached the other side, and a source that waits for its sink is not
            // silent.
            let waits_for_end = matches!(purpose, Purpose::Silence(..)) && !other_ended;
            let spoke = std::mem::take(&mut mover.moved);
            if mover.state != State::Read || waits_for_end {
                // What it waits for wakes the task; a timer that is wound up meanwhile would only wake it for nothing.
                timer.paused = true;
                return Settled::Waits;
            }
            if (std::mem::take(&mut timer.paused) || spoke)
                && let Some(until) = Instant::now().checked_add(patience)
            {
                timer.sleep.as_mut().reset(until);
            }
        }
        if timer.sleep.as_mut().poll(cx).is_pending() {
            return Settled::Waits;
        }
        if let Purpose::Silence(direction, _) = purpose
            && !patience.is_zero()
            && let Some(until) = Instant::now().checked_add(patience)
            && self.mover(direction).from.as_mut().is_some_and(|from| from.is_close_on_its_way())
        {
            timer.sleep.as_mut().reset(until);
            return Settled::Again;
        }
        session.timer = None;
        match purpose {
            Purpose::Hold(held) => self.let_go(session, held),
            Purpose::Silence(direction, _) => {
                self.mover(direction).end(End::Eof(Body::EMPTY));
            }
            Purpose::Abandon(direction) => self.mover(direction).abandon_sink(),
            Purpose::Ending | Purpose::Closing => return Settled::Over,
        }
        Settled::Again
    }
}
