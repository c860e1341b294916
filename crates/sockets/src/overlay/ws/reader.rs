//! Read half of a WebSocket: frames become chunks that are lent where they lie in the read buffer (RFC 6455 5, 6.2, 7).
//!
//! Many frames from one read cost no further system call. Pings, Close and breaches of the rules are reported to the control
//! block, from which the writer takes what it owes the peer.

use super::{
    POLICY_VIOLATION, WsError,
    control::{
        BEHIND, CLOSED, Control, EMPTY_CLOSE, OWED, PARKED, PEER_DONE, SILENT, STALLED, STREAM_OVER, UNHEARD, UNREAD,
    },
    deflate::Inflater,
    keepalive::Life,
    text::{TextCheck, TextInvalid},
};
use crate::{
    buffer::{SIZES, Window, under_pressure},
    datagram::{DatagramRead, Flags},
    gather::poll_fill,
    info::Ending,
    stream::BoxStreamRead,
};
use std::{
    error::Error,
    io, mem,
    sync::Arc,
    task::{Context, Poll, ready},
};
use wsframe::{Decoder, MAX_HEADER, Next, Opcode};

/// Frames up to this size reach sinks that care for message borders in one piece; longer ones come in parts.
pub const HOLD: usize = match SIZES {
    [.., largest] => largest - MAX_HEADER,
};

/// The same while peers that stopped in the middle of a frame pin many large buffers.
const SMALL_HOLD: usize = SIZES[1] - MAX_HEADER;

/// Control frames handled in one poll before other tasks get their turn, so that a flood of pings starves nobody.
const TURN: u32 = 256;

/// Read half of a WebSocket, made by [`ws_wrap`](super::ws_wrap).
///
/// Pending: the stream has nothing; pings read on the way are owed. EOF: a Close frame (its body is the chunk), or the end
/// of the stream; what follows a Close is never read. An error ends the input too. Drop midway: loses what was read from
/// the stream and not consumed. Control payloads come whole even if `max` is smaller. An idle reader owns no buffer.
pub struct WsReader {
    inner: BoxStreamRead,
    window: Window,
    decoder: Decoder,
    control: Arc<Control>,
    /// Bytes at the window's front that are decoded and not consumed.
    rest: u32,
    /// Bytes behind them that nobody needs: headers of frames that were joined.
    gap: u32,
    /// Length of the announced chunk, 0 when none is; len <= rest.
    len: u32,
    text: TextCheck,
    /// Flags of the chunk that ends with `rest`.
    flags: Flags,
    announced: Option<Flags>,
    parts: bool,
    merge: bool,
    ended: bool,
    /// What came since the stream had nothing; kept for the control block.
    life: Life,
    /// The sink made us wait since then.
    behind: bool,
    /// Identity of the task that the control block was told to wake.
    task: usize,
    /// The announced chunk, or the next one, is output of `inflater`, and `rest` is what has not gone into that.
    inflating: bool,
    /// permessage-deflate was agreed on.
    inflater: Option<Box<Inflater>>,
}

impl WsReader {
    pub(super) fn new(
        inner: BoxStreamRead,
        decoder: Decoder,
        inflater: Option<Box<Inflater>>,
        control: Arc<Control>,
    ) -> Self {
        Self {
            inner,
            window: Window::new(2),
            decoder,
            control,
            rest: 0,
            gap: 0,
            len: 0,
            text: TextCheck::default(),
            flags: Flags::NONE,
            announced: None,
            parts: false,
            merge: false,
            ended: false,
            life: Life::New,
            behind: false,
            task: 0,
            inflating: false,
            inflater,
        }
    }

    #[inline]
    fn poll_next(&mut self, cx: &mut Context<'_>, max: usize) -> Poll<io::Result<Flags>> {
        if self.inflating {
            if let Some(flags) = self.next_inflated(max)? {
                return Poll::Ready(Ok(flags));
            }
        } else if self.rest > 0 {
            return Poll::Ready(Ok(self.announce(max)));
        }
        if self.ended {
            self.flags = Flags::EOF;
            return Poll::Ready(Ok(self.announce(max)));
        }
        let mut hold = if self.parts { 0 } else { HOLD.min(max) };
        let mut turn = 0;
        loop {
            let mut need = 2;
            if !self.window.is_empty() {
                match self.decoder.next(self.window.filled_mut(), hold) {
                    Ok(Next::Need(n)) if n > SIZES[1] && under_pressure() => {
                        hold = SMALL_HOLD;
                        continue;
                    }
                    Ok(Next::Need(n)) => need = n,
                    Ok(Next::Chunk { header, len, opcode, fin, rsv1 }) => {
                        self.window.skip(header);
                        self.rest = len as u32; // the window is never that large
                        self.flags = match opcode {
                            Opcode::Binary | Opcode::Continuation => partial(fin),
                            Opcode::Text => partial(fin) | Flags::TEXT,
                            Opcode::Ping | Opcode::Pong => match self.handle_control(cx, opcode, &mut turn)? {
                                Then::Shown(flags) => flags,
                                Then::Done => continue,
                                Then::Flush => {
                                    cx.waker().wake_by_ref();
                                    return Poll::Pending;
                                }
                            },
                            Opcode::Close => self.handle_close()?,
                        };
                        //= 7692-6.2-2
                        if rsv1 {
                            self.inflating = true;
                            match self.next_inflated(max)? {
                                Some(flags) => return Poll::Ready(Ok(flags)),
                                None => continue,
                            }
                        }
                        //= 6455-5.6-2
                        if opcode == Opcode::Text && self.control.rules.text == TextInvalid::Fail {
                            self.check_text(fin)?;
                        } else if self.merge && self.window.len() > len && !self.flags.any(Flags::CONTROL) {
                            self.join_frames();
                        }
                        return Poll::Ready(Ok(self.announce(max)));
                    }
                    Err(e) => return Poll::Ready(Err(self.breach(e))),
                }
            }
            let Poll::Ready(filled) = poll_fill(&mut *self.inner, cx, &mut self.window, need) else {
                if self.life != Life::Silent {
                    self.control.set_life(if self.life == Life::New { Life::Silent } else { self.life });
                    self.life = Life::Silent;
                    if mem::take(&mut self.behind) {
                        self.control.clear(BEHIND);
                    }
                }
                self.register(cx);
                if !self.window.is_empty() && self.control.rules.text == TextInvalid::Fail {
                    self.check_ahead()?;
                }
                return Poll::Pending;
            };
            match filled {
                Ok(0) => {
                    self.flags = self.handle_end()?;
                    return Poll::Ready(Ok(self.announce(max)));
                }
                Ok(_) => {
                    if self.life == Life::Silent {
                        self.control.set_life(Life::Busy);
                    }
                    self.life = Life::Heard;
                }
                Err(e) => {
                    self.control.set(STREAM_OVER);
                    self.end();
                    self.ended_abruptly();
                    return Poll::Ready(Err(e));
                }
            }
        }
    }

    /// Sees to it that this task is woken when the peer is given up. The control block keeps the waker, so that its data
    /// tell tasks apart.
    #[inline]
    fn register(&mut self, cx: &Context<'_>) {
        let task = cx.waker().data().addr();
        if self.task != task {
            self.control.register_reader(cx.waker());
            self.task = task;
        }
    }

    /// Announces what is decoded, as far as `max` allows.
    #[inline]
    fn announce(&mut self, max: usize) -> Flags {
        let mut flags = self.flags;
        let rest = self.rest as usize;
        let len = if flags.any(Flags::CONTROL) { rest } else { rest.min(max.max(1)) };
        if len < rest {
            flags |= Flags::PARTIAL;
        }
        if self.window.len() > len + self.gap as usize && !flags.any(Flags::EOF) {
            flags |= Flags::MORE;
        }
        self.len = len as u32;
        self.announced = Some(flags);
        flags
    }

    /// Appends what the window has of the data frames behind the decoded bytes, so that it leaves in one piece: to copy
    /// within the cache costs less than another write. Stops before anything else, which has its turn later.
    fn join_frames(&mut self) {
        loop {
            let (rest, gap) = (self.rest as usize, self.gap as usize);
            let filled = self.window.filled_mut();
            let Some(behind) = filled.get_mut(rest + gap..) else { return };
            let (same, text) = match self.flags.any(Flags::TEXT) {
                true => (Opcode::Text, Flags::TEXT),
                false => (Opcode::Binary, Flags::NONE),
            };
            // Final or not; RSV bits and control frames are no plain data.
            if !behind.first().is_some_and(|first| [same as u8, Opcode::Continuation as u8].contains(&(first & 0x7f))) {
                return;
            }
            // An error comes again when it is its turn.
            let Ok(Next::Chunk { header, len, fin, .. }) = self.decoder.next(behind, 0) else { return };
            let payload = rest + gap + header;
            if gap == 0 && rest < len {
                filled.copy_within(..rest, header);
                self.window.skip(header);
            } else {
                filled.copy_within(payload..payload + len, rest);
                self.gap += header as u32;
            }
            self.rest += len as u32;
            self.flags = partial(fin) | text;
        }
    }

    /// Announces the next output of a compressed message. None: the fragment says nothing that can be handed on yet.
    //= 7692-6-2
    //= 6455-6.2-7
    fn next_inflated(&mut self, max: usize) -> io::Result<Option<Flags>> {
        let Some(inflater) = &mut self.inflater else { return Ok(None) };
        if inflater.output().is_empty() {
            let hold = if under_pressure() { SMALL_HOLD } else { HOLD };
            let hold = if self.parts { 0 } else { hold.min(max) };
            let fin = !self.flags.any(Flags::PARTIAL);
            let payload = self.window.filled().get(..self.rest as usize).unwrap_or_default();
            match inflater.feed(payload, fin, hold) {
                Ok(fed) => {
                    self.window.skip(fed.taken);
                    self.rest -= fed.taken as u32;
                }
                Err(e) => return Err(self.refuse(e.close_code(), e)),
            }
            let (empty, done) = (inflater.output().is_empty(), inflater.is_done());
            //= 7692-6.1-7
            if self.flags.any(Flags::TEXT) && self.control.rules.text == TextInvalid::Fail {
                self.check_text(done && fin)?;
            }
            if empty && !fin {
                self.inflating = false;
                return Ok(None);
            }
        }
        Ok(Some(self.announce_inflated(max)))
    }

    fn announce_inflated(&mut self, max: usize) -> Flags {
        let mut flags = self.flags;
        let (there, done) = self.inflater.as_mut().map_or((0, true), |i| (i.output().len(), i.is_done()));
        let len = there.min(max.max(1));
        if len < there || !done {
            flags |= Flags::PARTIAL | Flags::MORE;
        }
        if self.window.len() > self.rest as usize {
            flags |= Flags::MORE;
        }
        self.len = len as u32;
        self.announced = Some(flags);
        flags
    }

    fn consume_inflated(&mut self) {
        let Some(inflater) = &mut self.inflater else { return };
        inflater.consume(self.len as usize);
        self.len = 0;
        if inflater.output().is_empty() && inflater.is_done() {
            self.inflating = false;
        }
    }

    /// A ping or pong lies at the front of the window.
    #[cold]
    fn handle_control(&mut self, cx: &Context<'_>, opcode: Opcode, turn: &mut u32) -> io::Result<Then> {
        let len = self.rest as usize;
        if let Some(rate) = self.control.exceeds_rate() {
            return Err(self.refuse(POLICY_VIOLATION, WsError::ControlRate(rate)));
        }
        //= 6455-5.5.2-1
        //= 6455-6.2-2
        let answer = opcode == Opcode::Ping && self.control.answers_pings();
        if !answer && !self.control.rules.own_control {
            return Ok(Then::Shown(if opcode == Opcode::Ping { Flags::PING } else { Flags::PONG }));
        }
        let mut full = false;
        if answer {
            //= 6455-5.5.2-2
            //= 6455-5.5.3-1
            full = self.control.owe_pong(cx, self.window.filled().get(..len).unwrap_or_default());
        }
        if opcode == Opcode::Pong {
            self.control.answered(self.window.filled().get(..len).unwrap_or_default());
        }
        self.window.skip(len);
        self.rest = 0;
        if opcode == Opcode::Pong && self.window.is_empty() {
            self.life = Life::Answered;
        }
        *turn += 1;
        // Pongs that are owed leave before anything that comes behind their pings is looked at: a mirror would answer it
        // first. What comes together is still answered together.
        //= 6455-5.5.2-3
        let next = self.window.filled().first();
        let burst = self.control.answers_pings() && next.is_some_and(|first| first & 0x0f == Opcode::Ping as u8);
        Ok(match full || answer && !burst || *turn == TURN {
            true => Then::Flush,
            false => Then::Done,
        })
    }

    #[cold]
    fn handle_close(&mut self) -> io::Result<Flags> {
        let body = self.window.filled().get(..self.rest as usize).unwrap_or_default();
        let answer = self.control.rules.answer_close;
        let (code, reason) = match wsframe::parse_close(body) {
            Ok(parsed) => parsed.map_or((None, ""), |c| (Some(c.code), c.reason)),
            Err(e) if answer => return Err(self.breach(e)),
            // Low level: handed on unchecked.
            Err(_) => (body.first_chunk().map(|code| u16::from_be_bytes(*code)), ""),
        };
        //= 6455-7.1.5-1
        //= 6455-7.1.6-1
        // Set once: this is the first end that is seen, and the last.
        let ours = self.control.rules.close_code.filter(|code| !matches!(code, 1000 | 1001));
        let answered = self.control.flags() & CLOSED != 0 && ours.is_some() && code == ours;
        let ending = if answered { Ending::Answered } else { Ending::Close { code, reason: reason.into() } };
        let _ = self.control.info.ending.set(ending);
        let mut flags = Flags::EOF;
        match code {
            //= 6455-5.5.1-7
            Some(code) if answer => {
                //= 6455-5.5.1-8
                //= 6455-5.5.1-9
                self.control.owe_close(code);
                flags |= Flags::GONE;
            }
            Some(_) => {}
            None => self.control.set(EMPTY_CLOSE),
        }
        self.control.set(PEER_DONE);
        self.ended = true;
        Ok(flags)
    }

    /// The stream has ended without Close.
    #[cold]
    fn handle_end(&mut self) -> io::Result<Flags> {
        //= 6455-7.2.1-2
        let torn = !self.window.is_empty() || self.decoder.mid_message();
        self.control.set(STREAM_OVER);
        self.end();
        if torn || self.control.rules.require_close {
            self.ended_abruptly();
        }
        match torn {
            true => Err(WsError::TornMessage.into()),
            false if self.control.rules.require_close => Ok(Flags::EOF | Flags::GONE),
            false => Ok(Flags::EOF),
        }
    }

    /// The stream failed or ended without Close. After ours that is what peers in a hurry do, and no failure.
    //= 6455-7.1.4-1
    fn ended_abruptly(&self) {
        if self.control.flags() & CLOSED == 0 {
            // Set once: this is the first end that is seen, and the last.
            let _ = self.control.info.ending.set(Ending::Abrupt);
        }
    }

    /// There is nothing to read. Does what nobody else is there for.
    #[cold]
    fn look(&mut self, cx: &mut Context<'_>, flags: u16) -> Poll<io::Result<Flags>> {
        if flags & SILENT != 0 {
            // Set once: this is the first end that is seen, and the last.
            let _ = self.control.info.ending.set(Ending::Silent);
            self.control.set(STREAM_OVER);
            self.end();
            let error = if flags & UNREAD != 0 { WsError::Unread } else { WsError::Silent };
            return Poll::Ready(Err(error.into()));
        }
        if self.control.flags() & (OWED | STALLED) != 0 {
            self.control.drive_parked(cx);
        }
        Poll::Pending
    }

    /// The peer broke the rules: says so to it, and reads no further (RFC 6455 7.1.7).
    #[cold]
    fn breach(&mut self, e: wsframe::Error) -> io::Error {
        self.refuse(e.close_code(), e)
    }

    #[cold]
    fn refuse(&mut self, code: u16, e: impl Error + Send + Sync + 'static) -> io::Error {
        //= 6455-7.1.7-5
        //= 6455-7.1.7-7
        //= 6455-5.1-3
        //= 6455-5.1-6
        //= 6455-7.1.7-1
        //= 6455-7.1.7-3
        //= 6455-10.7-2
        //= 6455-10.7-3
        self.control.owe_close(code);
        self.control.set(STREAM_OVER);
        self.end();
        io::Error::new(io::ErrorKind::InvalidData, e)
    }

    /// Nothing more will be read.
    fn end(&mut self) {
        self.ended = true;
        (self.rest, self.gap, self.len, self.announced) = (0, 0, 0, None);
        self.window.skip(self.window.len());
        self.window.release();
        self.inflating = false;
        if let Some(inflater) = &mut self.inflater {
            inflater.end();
        }
        self.control.set(PEER_DONE);
    }

    fn check_text(&mut self, fin: bool) -> io::Result<()> {
        self.flags |= Flags::UTF8;
        let chunk = match &mut self.inflater {
            Some(inflater) if self.inflating => &*inflater.output(),
            _ => self.window.filled().get(..self.rest as usize).unwrap_or_default(),
        };
        self.text.feed(chunk, fin).map_err(|e| self.breach(e.into()))
    }

    #[cold]
    fn check_ahead(&mut self) -> io::Result<()> {
        self.text.feed_ahead(&self.decoder, self.window.filled()).map_err(|e| self.breach(e.into()))
    }
}

/// What follows a ping or pong.
enum Then {
    /// It is a chunk for whoever reads.
    Shown(Flags),
    /// On to the next frame.
    Done,
    /// The writer gets its turn first.
    Flush,
}

#[inline]
fn partial(fin: bool) -> Flags {
    if fin { Flags::NONE } else { Flags::PARTIAL }
}

impl DatagramRead for WsReader {
    #[inline]
    fn poll_chunk(&mut self, cx: &mut Context<'_>, max: usize) -> Poll<io::Result<Flags>> {
        if let Some(flags) = self.announced {
            return Poll::Ready(Ok(flags));
        }
        let next = self.poll_next(cx, max);
        let flags = self.control.flags();
        if flags & (PARKED | SILENT) != 0 && next.is_pending() {
            return self.look(cx, flags);
        }
        if flags & UNHEARD != 0 && matches!(&next, Poll::Ready(Ok(next)) if !next.any(Flags::CONTROL)) {
            self.control.clear(UNHEARD);
        }
        if flags & PARKED != 0 && flags & (OWED | STALLED) != 0 {
            self.control.drive_parked(cx);
        }
        next
    }

    #[inline]
    fn chunk_mut(&mut self) -> &mut [u8] {
        let bytes = match &mut self.inflater {
            Some(inflater) if self.inflating => inflater.output(),
            _ => self.window.filled_mut(),
        };
        bytes.get_mut(..self.len as usize).unwrap_or_default()
    }

    #[inline]
    fn consume(&mut self) {
        if self.announced.take().is_some() {
            if self.inflating {
                return self.consume_inflated();
            }
            self.window.skip(self.len as usize);
            self.rest -= self.len;
            self.len = 0;
            if self.gap > 0 && self.rest == 0 {
                self.window.skip(mem::take(&mut self.gap) as usize);
            }
            if self.ended {
                self.end();
            }
        }
    }

    fn for_each_inner(&mut self, _: &mut dyn FnMut(&mut dyn DatagramRead)) {}

    //= 6455-7.1.1-6
    //= 6455-5.5.1-13
    fn poll_closed(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let rules = &self.control.rules;
        let waits = rules.client && rules.answer_close && !rules.no_close_frame;
        let both = CLOSED | PEER_DONE;
        if !waits || self.control.flags() & (both | STREAM_OVER) != both {
            return Poll::Ready(());
        }
        for _ in 0..TURN {
            match ready!(poll_fill(&mut *self.inner, cx, &mut self.window, 1)) {
                Ok(n @ 1..) => self.window.skip(n), // nothing has a meaning behind Close
                Ok(0) | Err(_) => {
                    self.window.release();
                    self.control.set(STREAM_OVER);
                    return Poll::Ready(());
                }
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    //= 6455-7.1.1-2
    fn awaits_answer(&mut self) -> bool {
        self.control.rules.is_answered() && self.control.flags() & (CLOSED | PEER_DONE | STALLED) == CLOSED
    }

    fn is_close_on_its_way(&mut self) -> bool {
        self.control.flags() & CLOSED != 0 && self.control.is_on_its_way()
    }

    fn parts_suffice(&mut self) {
        self.parts = true;
    }

    fn may_merge(&mut self) {
        // Text that is checked is announced message by message, and so is all that an inflater may have to look at.
        self.merge = self.parts;
    }

    fn sink_waits(&mut self) {
        if !self.behind {
            self.behind = true;
            self.control.fall_behind();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::overlay::ws::tests::Peer;
    use std::task::Waker;

    #[test]
    fn an_idle_or_ended_reader_owns_no_buffer() {
        let control = Arc::new(Control::new(Default::default(), Default::default(), None, None, None));
        let peer = Peer::default();
        let mut reader =
            WsReader::new(Box::new(peer.clone()), Decoder::new(wsframe::MaskRule::Forbidden), None, control);
        let mut cx = Context::from_waker(Waker::noop());
        assert!(reader.poll_chunk(&mut cx, usize::MAX).is_pending());
        assert_eq!(reader.window.room(), 0);
        peer.send(b"\x82\x01x\x88\x00behind");
        for flags in [Flags::MORE, Flags::EOF] {
            assert!(matches!(reader.poll_chunk(&mut cx, usize::MAX), Poll::Ready(Ok(f)) if f == flags));
            assert_ne!(reader.window.room(), 0);
            reader.consume();
        }
        assert_eq!(reader.window.room(), 0);
    }
}
