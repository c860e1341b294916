//! Write half of a WebSocket: chunks become frames, one each; control frames that are owed go between them (RFC 6455 5, 6.1).
//!
//! [`Core`] is what writes, [`WsWriter`] adds the link to the other half. When a writer is dropped while the reader lives its
//! core stays behind in the control block, so that pings are answered as long as somebody reads.

use super::{
    POLICY_VIOLATION, WsError,
    control::{CLOSED, Control, EMPTY_CLOSE, OWED, PEER_DONE, PING, STALLED, STREAM_OVER, UNHEARD},
    deflate::Deflater,
    patience::Patience,
    text::TextInvalid,
};
use crate::{
    datagram::{DatagramWrite, Flags},
    gather::Gather,
    random::MaskKeys,
    stream::BoxStreamWrite,
};
use std::{
    io,
    sync::Arc,
    task::{Context, Poll, Waker, ready},
};
use wsframe::{
    Header, MAX_CONTROL_PAYLOAD, MAX_HEADER, Opcode, SendSequence, Utf8Check, mask, parse_close, write_close,
};

/// Write half of a WebSocket, made by [`ws_wrap`](super::ws_wrap).
///
/// Pending: the stream takes no more; short writes stay inside. EOF: a chunk with EOF becomes a Close frame with its body,
/// `poll_shutdown` sends one if none was sent; what is written after Close is discarded, only pings are still answered until
/// the peer's Close. A client masks the chunk it is lent in place. Drop midway: frames taken and not flushed go out when the
/// read half is polled, if there is one; a frame written in part makes that impossible.
pub struct WsWriter {
    /// None only while dropping.
    core: Option<Core>,
    control: Arc<Control>,
    /// What the control block was told to wake.
    waker: Option<Waker>,
}

/// The part of a writer that can outlive it.
pub struct Core {
    out: Gather,
    /// None: we are the server and do not mask.
    keys: Option<MaskKeys>,
    /// Header of the chunk that is on its way out, kept over Pending: the chunk is masked already.
    header: Option<Header>,
    sequence: SendSequence,
    utf8: Utf8Check,
    /// Our direction has ended: Close was sent, or would have been but for `-n` or a frame that broke off.
    closed: bool,
    /// The stream was shut down: nothing can be written.
    shut: bool,
    /// The last flush waits for the stream. The reader is told by [`STALLED`].
    stalled: bool,
    /// permessage-deflate was agreed on.
    deflater: Option<Box<Deflater>>,
}

impl Core {
    //= 6455-5.1-4
    //= 6455-5.3-2
    //= 6455-5.5.1-5
    //= 6455-6.1-7
    fn key(&mut self) -> io::Result<Option<[u8; 4]>> {
        self.keys.as_mut().map(MaskKeys::next_key).transpose()
    }

    /// Makes the header of a data frame and masks the payload: once per chunk, however often the write is repeated.
    #[inline]
    fn prepare(&mut self, chunk: &mut [u8], flags: Flags, check_utf8: bool) -> io::Result<Header> {
        let (text, fin) = (flags.any(Flags::TEXT), !flags.any(Flags::PARTIAL));
        if text && check_utf8 && !flags.any(Flags::UTF8) {
            self.check_utf8(chunk, fin)?;
        }
        //= 6455-5.1-1
        //= 6455-10.3-1
        let key = self.key()?;
        if let Some(key) = key {
            mask(chunk, key, 0);
        }
        //= 6455-6.1-3
        //= 6455-6.1-4
        //= 6455-6.1-6
        //= 6455-10.3-2
        let header = Header::new(self.sequence.next_opcode(text, fin), fin, chunk.len(), key);
        self.header = Some(header);
        Ok(header)
    }

    #[inline]
    fn check_utf8(&mut self, chunk: &[u8], fin: bool) -> Result<(), WsError> {
        let checked = self.utf8.feed(chunk).and_then(|()| if fin { self.utf8.finish() } else { Ok(()) });
        checked.map_err(|_| WsError::TextNotUtf8)
    }

    /// Sends a chunk compressed, as one frame or several. False: it is to be sent as it is.
    fn poll_deflated(
        &mut self,
        cx: &mut Context<'_>,
        chunk: &[u8],
        flags: Flags,
        check_utf8: bool,
    ) -> Poll<io::Result<bool>> {
        let (text, fin) = (flags.any(Flags::TEXT), !flags.any(Flags::PARTIAL));
        loop {
            let header = match (self.header, &mut self.deflater) {
                (_, None) => return Poll::Ready(Ok(false)),
                // A chunk that goes as it is has its header already.
                (Some(_), Some(deflater)) if !deflater.is_midway() => return Poll::Ready(Ok(false)),
                (Some(header), _) => header,
                (None, Some(deflater)) => {
                    if !deflater.is_midway() {
                        if !deflater.begin(chunk, fin) {
                            return Poll::Ready(Ok(false));
                        }
                        if text && check_utf8 && !flags.any(Flags::UTF8) {
                            self.check_utf8(chunk, fin)?;
                        }
                    }
                    match self.next_deflated(chunk, text, fin)? {
                        Some(header) => header,
                        None => return Poll::Ready(Ok(true)),
                    }
                }
            };
            let payload = self.deflater.as_mut().map(|deflater| &*deflater.payload()).unwrap_or_default();
            ready!(self.out.poll_put(cx, &header, payload, flags.any(Flags::MORE)))?;
            self.header = None;
        }
    }

    /// Makes the next compressed frame and masks it where it lies. None: the chunk is done with.
    fn next_deflated(&mut self, chunk: &[u8], text: bool, fin: bool) -> io::Result<Option<Header>> {
        let Some(deflater) = &mut self.deflater else { return Ok(None) };
        let Some(last) = deflater.next_frame(chunk, fin).map_err(|_| WsError::NotCompressed)? else { return Ok(None) };
        let key = self.keys.as_mut().map(MaskKeys::next_key).transpose()?;
        if let Some(key) = key {
            mask(deflater.payload(), key, 0);
        }
        let fin = fin && last;
        //= 7692-6.1-1
        //= 7692-6.1-6
        //= 6455-6.1-8
        let opcode = self.sequence.next_opcode(text, fin);
        let header = Header::new(opcode, fin, deflater.payload().len(), key).with_rsv1(true);
        self.header = Some(header);
        Ok(Some(header))
    }

    /// Makes sure that a control frame of any length will be taken whole and at once.
    fn poll_room(&mut self, cx: &mut Context<'_>, control: &Control) -> Poll<io::Result<()>> {
        let room = self.out.has_room(MAX_HEADER + MAX_CONTROL_PAYLOAD);
        if room { Poll::Ready(Ok(())) } else { self.poll_out(cx, control) }
    }

    /// Puts a control frame of at most 125 bytes, for which there is room: cannot stop midway, and needs no memory of it.
    fn put_control(&mut self, cx: &mut Context<'_>, opcode: Opcode, body: &[u8]) -> io::Result<()> {
        let mut copy = [0; MAX_CONTROL_PAYLOAD];
        let copy = copy.get_mut(..body.len()).unwrap_or_default();
        copy.copy_from_slice(body.get(..copy.len()).unwrap_or_default());
        let key = self.key()?;
        if let Some(key) = key {
            mask(copy, key, 0);
        }
        match self.out.poll_put(cx, &Header::new(opcode, true, copy.len(), key), copy, true) {
            Poll::Ready(done) => done,
            Poll::Pending => Err(io::ErrorKind::WriteZero.into()), // not reached: there is room
        }
    }

    /// Takes what is owed into the buffer: pongs first, as their pings came before the peer's end.
    #[cold]
    fn poll_put_owed(&mut self, cx: &mut Context<'_>, control: &Control) -> Poll<io::Result<()>> {
        // One frame at a time: between two the buffer may have to be written out, which must not happen under the lock.
        loop {
            ready!(self.poll_room(cx, control))?;
            let mut owed = control.owed();
            //= 6455-7.1.3-1
            // After both Close frames there is nothing to say any more.
            let over = self.shut || self.closed && control.flags() & PEER_DONE != 0;
            if let Some((&len, _)) = owed.pongs.split_first().filter(|_| !over) {
                let mut body = [0; MAX_CONTROL_PAYLOAD];
                let body = body.get_mut(..usize::from(len)).unwrap_or_default();
                body.copy_from_slice(owed.pongs.get(1..1 + body.len()).unwrap_or_default());
                owed.pop_pong();
                drop(owed);
                self.put_control(cx, Opcode::Pong, body)?;
                continue;
            }
            owed.clear_pongs();
            if control.flags() & PING != 0 && !over {
                let body = owed.next_ping();
                control.clear(PING);
                drop(owed);
                self.put_control(cx, Opcode::Ping, &body)?;
                continue;
            }
            let close = owed.close.take();
            control.clear(OWED);
            drop(owed);
            //= 6455-5.5.1-15
            if let Some(code) = close.filter(|_| !self.closed && !self.shut) {
                self.closed = true;
                control.set(CLOSED);
                let mut body = [0; MAX_CONTROL_PAYLOAD];
                let len = write_close(code.get(), reason(control, code.get()), &mut body);
                self.put_control(cx, Opcode::Close, body.get(..len).unwrap_or_default())?;
            }
            return Poll::Ready(Ok(()));
        }
    }

    /// Writes everything out; see [`DatagramWrite::poll_flush`].
    #[inline]
    //= 6455-6.1-9
    pub fn poll_flush(&mut self, cx: &mut Context<'_>, control: &Control) -> Poll<io::Result<()>> {
        if self.shut {
            return Poll::Ready(Ok(()));
        }
        // Behind a stalled flush at most one frame waits in the buffer and one in the control block.
        //= 6455-5.5.1-10
        while control.flags() & OWED != 0 && !self.out.is_midway() {
            if self.stalled {
                ready!(self.poll_out(cx, control))?;
            }
            ready!(self.poll_put_owed(cx, control))?;
        }
        if let Some(deflater) = &mut self.deflater {
            deflater.rest();
        }
        self.poll_out(cx, control)
    }

    #[inline]
    fn poll_out(&mut self, cx: &mut Context<'_>, control: &Control) -> Poll<io::Result<()>> {
        let flushed = self.out.poll_flush(cx);
        if flushed.is_pending() != self.stalled {
            self.stalled = !self.stalled;
            match (self.stalled, self.closed) {
                (true, _) => control.set(STALLED),
                (false, false) => control.clear(STALLED),
                (false, true) => {
                    control.clear(STALLED);
                    control.has_closed(cx);
                }
            }
        }
        flushed
    }

    /// Puts our Close, and waits for a peer that takes nothing only as long as there is hope.
    #[cold]
    fn poll_close(&mut self, cx: &mut Context<'_>, control: &Control, body: Option<&[u8]>) -> Poll<io::Result<()>> {
        let put = self.poll_put_close(cx, control, body);
        self.poll_in_time(cx, control, put)
    }

    #[cold]
    fn poll_in_time(
        &mut self,
        cx: &mut Context<'_>,
        control: &Control,
        done: Poll<io::Result<()>>,
    ) -> Poll<io::Result<()>> {
        let waits = done.is_pending() && control.rules.is_answered();
        if !waits {
            return done;
        }
        let gathered = self.out.unwritten();
        let mut owed = control.owed();
        let patience = owed.late().patience.get_or_insert_with(|| Patience::new(control, gathered));
        let error = ready!(patience.poll(cx, control, gathered));
        owed.end_patience();
        drop(owed);
        (self.closed, self.shut) = (true, true); // nothing will be written any more
        control.give_up();
        Poll::Ready(Err(error.into()))
    }

    /// Puts our Close, unless one was sent or is owed anyway. `body`: None at a plain end.
    #[cold]
    fn poll_put_close(&mut self, cx: &mut Context<'_>, control: &Control, body: Option<&[u8]>) -> Poll<io::Result<()>> {
        //= 6455-6.1-2
        if self.out.is_midway() {
            // Whoever wrote gave up in the middle of a frame: a Close would be taken for the rest of its payload.
            self.closed = true;
        }
        if !self.closed && control.flags() & OWED != 0 {
            ready!(self.poll_put_owed(cx, control))?;
        }
        if !self.closed && !control.rules.no_close_frame {
            ready!(self.poll_room(cx, control))?;
            let mut space = [0; MAX_CONTROL_PAYLOAD];
            let body = close_body(control, body, &mut space);
            self.closed = true;
            control.set(CLOSED);
            self.put_control(cx, Opcode::Close, body)?;
            control.has_closed(cx);
        }
        if control.rules.no_close_frame {
            // Our end has come all the same, if silently.
            control.set(CLOSED);
        }
        self.closed = true;
        self.header = None;
        self.deflater = None;
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(&mut self, cx: &mut Context<'_>, control: &Control) -> Poll<io::Result<()>> {
        ready!(self.poll_close(cx, control, None))?;
        let flushed = self.poll_flush(cx, control);
        ready!(self.poll_in_time(cx, control, flushed))?;
        control.clear(UNHEARD);
        control.owed().end_patience();
        let (rules, flags) = (&control.rules, control.flags());
        //= 6455-7.1.1-3
        // A client leaves the end of the stream to the server, if that is going to hear of our Close.
        let first = !rules.client || rules.no_close_frame || flags & STREAM_OVER != 0;
        //= 6455-5.5.1-11
        //= 6455-5.5.1-12
        //= 6455-7.1.1-5
        //= 6455-7.1.2-2
        let both = rules.answer_close && flags & PEER_DONE != 0 && first;
        if !self.shut && (both || control.rules.shutdown_socket_on_eof) {
            ready!(self.out.poll_shutdown(cx))?;
            self.shut = true;
        }
        Poll::Ready(Ok(()))
    }
}

/// RFC 6455 7.4.1: the server did not agree on an extension that the client needs.
const EXTENSION_REQUIRED: u16 = 1010;

/// Why we close, where the code does not say it all. An answer to the peer's Close gives no reason.
fn reason(control: &Control, code: u16) -> &'static str {
    match code {
        POLICY_VIOLATION if control.info.ending.get().is_none() => "too many pings and pongs",
        _ => "",
    }
}

/// What our Close carries. Low-level sockets hand on what they are given; others send only what RFC 6455 allows.
fn close_body<'a>(control: &Control, given: Option<&'a [u8]>, space: &'a mut [u8; MAX_CONTROL_PAYLOAD]) -> &'a [u8] {
    //= 6455-7.4.1-6
    // Only clients may miss an extension.
    let clients_only = given.is_some_and(|body| body.starts_with(&EXTENSION_REQUIRED.to_be_bytes()));
    if clients_only && control.rules.answer_close && !control.rules.client {
        return &[];
    }
    let Some(given) = given.filter(|body| !body.is_empty()) else {
        //= 6455-7.1.2-1
        let code = control.rules.close_code.filter(|_| control.flags() & EMPTY_CLOSE == 0);
        //= 6455-7.4-1
        let reason = control.rules.close_reason.as_ref().map_or("", |reason| &reason.0);
        let len = code.map_or(0, |code| write_close(code, reason, space));
        return space.get(..len).unwrap_or_default();
    };
    let fits = given.len() <= MAX_CONTROL_PAYLOAD;
    if fits && (!control.rules.answer_close || parse_close(given).is_ok()) {
        return given;
    }
    // Too long a reason is cut, one that is not UTF-8 as well; a code that must not be sent leaves the body empty.
    let Some((code, reason)) = given.split_first_chunk() else { return &[] };
    let reason = reason.utf8_chunks().next().map_or("", |valid| valid.valid());
    let len = write_close(u16::from_be_bytes(*code), reason, space);
    space.get(..len).unwrap_or_default()
}

impl WsWriter {
    pub(super) fn new(
        inner: BoxStreamWrite,
        keys: Option<MaskKeys>,
        deflater: Option<Box<Deflater>>,
        control: Arc<Control>,
    ) -> Self {
        let core = Core {
            out: Gather::new(inner),
            keys,
            header: None,
            sequence: SendSequence::new(),
            utf8: Utf8Check::new(),
            closed: false,
            shut: false,
            stalled: false,
            deflater,
        };
        Self { core: Some(core), control, waker: None }
    }
}

impl WsWriter {
    /// Control chunks: Close with a body of the other side's choice, pings and pongs that pass through.
    #[cold]
    fn poll_write_control(&mut self, cx: &mut Context<'_>, chunk: &[u8], flags: Flags) -> Poll<io::Result<()>> {
        let Some(core) = &mut self.core else { return Poll::Ready(Ok(())) };
        if flags.any(Flags::EOF) {
            return core.poll_close(cx, &self.control, Some(chunk));
        }
        if core.closed {
            return Poll::Ready(Ok(()));
        }
        if chunk.len() > MAX_CONTROL_PAYLOAD {
            return Poll::Ready(Err(WsError::ControlTooLong(chunk.len()).into()));
        }
        ready!(core.poll_room(cx, &self.control))?;
        let opcode = if flags.any(Flags::PING) { Opcode::Ping } else { Opcode::Pong };
        Poll::Ready(core.put_control(cx, opcode, chunk))
    }

    /// Sees to it that this task is woken when the reader owes something.
    #[inline]
    fn register(&mut self, cx: &Context<'_>) {
        if !self.waker.as_ref().is_some_and(|w| w.will_wake(cx.waker())) {
            self.control.register_writer(cx.waker());
            self.waker = Some(cx.waker().clone());
        }
    }
}

impl DatagramWrite for WsWriter {
    #[inline]
    fn poll_write(&mut self, cx: &mut Context<'_>, chunk: &mut [u8], flags: Flags) -> Poll<io::Result<()>> {
        if flags.any(Flags::CONTROL) {
            return self.poll_write_control(cx, chunk, flags);
        }
        //= 6455-5.5.1-6
        //= 6455-5.1-7
        //= 6455-6.1-1
        let Some(core) = self.core.as_mut().filter(|core| !core.closed) else { return Poll::Ready(Ok(())) };
        if core.deflater.is_some()
            && ready!(core.poll_deflated(cx, chunk, flags, self.control.rules.text == TextInvalid::Fail))?
        {
            return Poll::Ready(Ok(()));
        }
        let header = match core.header {
            Some(header) => header,
            None => core.prepare(chunk, flags, self.control.rules.text == TextInvalid::Fail)?,
        };
        ready!(core.out.poll_put(cx, &header, chunk, flags.any(Flags::MORE)))?;
        core.header = None;
        Poll::Ready(Ok(()))
    }

    #[inline]
    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.register(cx);
        let Some(core) = &mut self.core else { return Poll::Ready(Ok(())) };
        core.poll_flush(cx, &self.control)
    }

    fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        // Pings are answered after our Close too: the task must hear of them.
        self.register(cx);
        let Some(core) = &mut self.core else { return Poll::Ready(Ok(())) };
        core.poll_shutdown(cx, &self.control)
    }

    fn may_hold_back(&mut self) {
        if let Some(core) = &mut self.core {
            core.out.may_hold_back();
        }
    }

    fn end_is_silent(&self) -> bool {
        self.control.rules.no_close_frame && !self.control.rules.shutdown_socket_on_eof
    }

    fn transforms(&self) -> bool {
        self.core.as_ref().is_some_and(|core| core.keys.is_some())
    }
}

impl Drop for WsWriter {
    fn drop(&mut self) {
        let Some(mut core) = self.core.take() else { return };
        let over = core.closed && self.control.flags() & PEER_DONE != 0;
        let reader_lives = Arc::strong_count(&self.control) > 1;
        if reader_lives && !over && !core.shut && !core.out.is_midway() {
            core.deflater = None;
            core.stalled |= !core.out.is_empty();
            if core.stalled {
                self.control.set(STALLED);
            }
            self.control.park(Box::new(core));
        }
    }
}
