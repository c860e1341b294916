//! What a scripted socket does next: the state that its two halves share, step by step through the script.
//!
//! Each call names what it found wrong as a [`MockMismatch`]; how that ends the program is up to the halves (`scripted.rs`).
//! A read, write or shutdown that is Pending has left its waker here.

use super::{
    script::{Script, ScriptStep as Step},
    scripted::MockMismatch,
};
use std::{
    io,
    pin::Pin,
    task::{Context, Poll, Waker},
    time::Duration,
};
use tokio::{
    io::ReadBuf,
    time::{Sleep, sleep},
};

/// State of the play, shared by both halves.
#[derive(Default)]
pub(super) struct Play {
    script: Script,
    done: usize,
    pause: Option<Pin<Box<Sleep>>>,
    pub(super) eof: bool,
    shut: bool,
    /// Halves that still exist.
    pub(super) reading: bool,
    pub(super) writing: bool,
    pub(super) reader: Option<Waker>,
    writer: Option<Waker>,
}

/// Who may act next.
pub(super) enum Turn {
    Reader,
    Writer,
    Nobody,
    End,
}

impl Play {
    /// Before the first step, with both halves there.
    pub(super) fn new(script: Script) -> Self {
        Self { script, reading: true, writing: true, ..Self::default() }
    }

    pub(super) fn turn(&self) -> Turn {
        match self.script.steps.front() {
            Some(Step::Read(_) | Step::ReadZeros(_) | Step::ReadEof | Step::ReadError) => Turn::Reader,
            Some(Step::Write(_) | Step::WriteZeros(_) | Step::Ignore(_) | Step::Shutdown | Step::WriteError) => {
                Turn::Writer
            }
            Some(Step::Pause(_)) => Turn::Nobody,
            Some(Step::StopChecking) | None => Turn::End,
        }
    }

    /// The step in front is done: whoever waited for it may go on.
    fn advance(&mut self) {
        self.script.steps.pop_front();
        self.done += 1;
        self.wake();
    }

    pub(super) fn wake(&mut self) {
        for waker in [self.reader.take(), self.writer.take()].into_iter().flatten() {
            waker.wake();
        }
    }

    /// Passes pauses that are over. Pending: the caller must have left its waker here too, for the other half may be the
    /// one whom the timer wakes.
    pub(super) fn poll_pause(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        while let Some(Step::Pause(time)) = self.script.steps.front() {
            let pause: Duration = *time;
            let timer = self.pause.get_or_insert_with(|| Box::pin(sleep(pause)));
            std::task::ready!(timer.as_mut().poll(cx));
            self.pause = None;
            self.advance();
        }
        Poll::Ready(())
    }

    /// Everything from here on is free.
    fn unchecked(&self) -> bool {
        matches!(self.script.steps.front(), Some(Step::StopChecking))
    }

    /// Steps left that must happen as written.
    fn checked_steps(&self) -> impl Iterator<Item = &Step> {
        self.script.steps.iter().take_while(|s| **s != Step::StopChecking)
    }

    fn writes_expected(&self) -> bool {
        self.checked_steps().any(|s| matches!(s, Step::Write(_) | Step::WriteZeros(_) | Step::Ignore(_)))
    }

    /// Nobody reads any more: ends and errors that only a reader would see are passed over.
    fn skip_unread_ends(&mut self) {
        while !self.reading && matches!(self.script.steps.front(), Some(Step::ReadEof | Step::ReadError)) {
            self.advance();
        }
    }

    fn mismatch(&self, what: impl Into<String>) -> MockMismatch {
        MockMismatch { name: self.script.name.clone(), step: self.done, what: what.into() }
    }

    fn next_step(&self) -> String {
        match self.script.steps.front() {
            Some(step) => describe(step),
            None => "the script has ended".to_owned(),
        }
    }

    /// What is wrong when nobody uses the socket any more.
    pub(super) fn unfinished(&self) -> Option<MockMismatch> {
        let harmless = |s: &Step| matches!(s, Step::Pause(_) | Step::ReadEof | Step::ReadError | Step::WriteError);
        let left = self.checked_steps().find(|s| !harmless(s))?;
        Some(self.mismatch(format!("the socket was dropped before this happened: {}", describe(left))))
    }

    pub(super) fn read(
        &mut self,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<Result<io::Result<()>, MockMismatch>> {
        if buf.remaining() == 0 {
            return Poll::Ready(Ok(Ok(())));
        }
        self.reader = Some(cx.waker().clone());
        std::task::ready!(self.poll_pause(cx));
        match self.script.steps.front_mut() {
            Some(Step::Read(text)) => {
                while buf.remaining() > 0
                    && let Some(byte) = text.pop_front()
                {
                    buf.put_slice(&[byte]);
                }
                if text.is_empty() {
                    self.advance();
                }
            }
            Some(Step::ReadZeros(left)) => {
                let n = (buf.remaining() as u64).min(*left);
                *left -= n;
                let done = *left == 0;
                buf.initialize_unfilled_to(n as usize).fill(0);
                buf.advance(n as usize);
                if done {
                    self.advance();
                }
            }
            Some(Step::ReadEof) => {
                self.eof = true;
                self.advance();
            }
            Some(Step::ReadError) => {
                self.advance();
                return Poll::Ready(Ok(Err(io::Error::other("the mock script asks for a read error (ER)"))));
            }
            Some(Step::StopChecking) | None => {}
            Some(_) if self.eof => {}
            Some(_) if !self.writing => {
                return Poll::Ready(Err(
                    self.mismatch(format!("the write half was dropped, yet expected is: {}", self.next_step()))
                ));
            }
            Some(_) => return Poll::Pending,
        }
        Poll::Ready(Ok(Ok(())))
    }

    pub(super) fn write(&mut self, cx: &mut Context<'_>, data: &[u8]) -> Poll<Result<io::Result<usize>, MockMismatch>> {
        self.writer = Some(cx.waker().clone());
        let mut taken = 0;
        while taken < data.len() {
            let rest = data.get(taken..).unwrap_or_default();
            self.skip_unread_ends();
            let waits = self.poll_pause(cx).is_pending() || (matches!(self.turn(), Turn::Reader) && self.reading);
            if waits || (taken > 0 && self.script.steps.front() == Some(&Step::WriteError)) {
                return if taken > 0 { Poll::Ready(Ok(Ok(taken))) } else { Poll::Pending };
            }
            if self.shut && !self.unchecked() {
                return Poll::Ready(Err(self.mismatch(format!("written after the shutdown: {}", quoted(rest)))));
            }
            let (n, done) = match self.script.steps.front_mut() {
                Some(Step::Write(text)) => {
                    let same = text.iter().zip(rest).take_while(|(a, b)| a == b).count();
                    if same < text.len().min(rest.len()) {
                        let expected: Vec<u8> = text.iter().copied().collect();
                        let what = format!("expected {}, written was {}", quoted(&expected), quoted(rest));
                        return Poll::Ready(Err(self.mismatch(what)));
                    }
                    text.drain(..same);
                    (same, text.is_empty())
                }
                Some(Step::WriteZeros(left)) => {
                    let same = rest.iter().take(usize::try_from(*left).unwrap_or(usize::MAX));
                    let zeros = same.take_while(|b| **b == 0).count();
                    if zeros == 0 {
                        let what = format!("expected {left} zero bytes, written was {}", quoted(rest));
                        return Poll::Ready(Err(self.mismatch(what)));
                    }
                    *left -= zeros as u64;
                    (zeros, *left == 0)
                }
                Some(Step::Ignore(left)) => {
                    let n = (rest.len() as u64).min(*left);
                    *left -= n;
                    (n as usize, *left == 0)
                }
                Some(Step::WriteError) => {
                    self.advance();
                    return Poll::Ready(Ok(Err(io::Error::other("the mock script asks for a write error (EW)"))));
                }
                Some(Step::StopChecking) => (rest.len(), false),
                _ => {
                    let what = format!("written was {}, expected: {}", quoted(rest), self.next_step());
                    return Poll::Ready(Err(self.mismatch(what)));
                }
            };
            taken += n;
            if done {
                self.advance();
            }
        }
        Poll::Ready(Ok(Ok(taken)))
    }

    pub(super) fn shutdown(&mut self, cx: &mut Context<'_>) -> Poll<Result<io::Result<()>, MockMismatch>> {
        if self.shut || self.unchecked() {
            return Poll::Ready(Ok(Ok(())));
        }
        self.writer = Some(cx.waker().clone());
        if self.writes_expected() {
            let what = format!("shut down while writes are still expected; next: {}", self.next_step());
            return Poll::Ready(Err(self.mismatch(what)));
        }
        let expected = self.checked_steps().any(|s| *s == Step::Shutdown);
        if expected {
            self.skip_unread_ends();
            std::task::ready!(self.poll_pause(cx));
        }
        match self.script.steps.front() {
            Some(Step::Shutdown) => {
                self.shut = true;
                self.advance();
            }
            Some(Step::WriteError) => {
                self.advance();
                return Poll::Ready(Ok(Err(io::Error::other("the mock script asks for a write error (EW)"))));
            }
            Some(_) if expected && self.reading => return Poll::Pending,
            Some(_) if expected => {
                let what = format!("the read half was dropped, yet expected is: {}", self.next_step());
                return Poll::Ready(Err(self.mismatch(what)));
            }
            _ => {
                self.shut = true;
                self.wake();
            }
        }
        Poll::Ready(Ok(Ok(())))
    }
}

fn describe(step: &Step) -> String {
    match step {
        Step::Read(text) => format!("read of {}", quoted(&text.iter().copied().collect::<Vec<_>>())),
        Step::ReadZeros(n) => format!("read of {n} zero bytes"),
        Step::ReadEof => "end of reading".to_owned(),
        Step::ReadError => "read error".to_owned(),
        Step::Write(text) => format!("write of {}", quoted(&text.iter().copied().collect::<Vec<_>>())),
        Step::WriteZeros(n) => format!("write of {n} zero bytes"),
        Step::Ignore(n) => format!("{n} more bytes written"),
        Step::Shutdown => "shutdown of writing".to_owned(),
        Step::WriteError => "write error".to_owned(),
        Step::Pause(time) => format!("pause of {time:?}"),
        Step::StopChecking => "anything".to_owned(),
    }
}

/// Enough of the bytes to find the difference by eye.
fn quoted(bytes: &[u8]) -> String {
    const SHOWN: usize = 200;
    let cut = if bytes.len() > SHOWN { format!(" and {} bytes more", bytes.len() - SHOWN) } else { String::new() };
    format!("\"{}\"{cut}", bytes.get(..SHOWN.min(bytes.len())).unwrap_or_default().escape_ascii())
}
