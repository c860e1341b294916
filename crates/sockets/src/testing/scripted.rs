//! A stream socket that plays a script and checks what it gets (`mock_stream_socket:`, spec section 22).
//!
//! Steps of both directions happen strictly in the order of the script: a write that comes while a read is next waits for
//! that read. Data is compared across chunk borders; each `R` is at least one read of its own. A difference is not an
//! error that somebody could log and forget but a panic with [`MockMismatch`] as payload, for exit status 101.

use super::script::{Script, ScriptError, ScriptStep as Step};
use crate::{
    info::SocketInfo,
    socket::StreamSocket,
    stream::{StreamRead, StreamWrite},
};
use std::{
    fmt, io, panic,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker},
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::{Sleep, sleep},
};

/// Payload of the panic when a scripted socket was not used as its script says. Whoever ends the process looks for it
/// (`payload.downcast_ref::<MockMismatch>()`) and prints it; the default panic hook cannot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MockMismatch {
    pub name: Option<String>,
    /// Steps of the script that were done.
    pub step: usize,
    pub what: String,
}

impl fmt::Display for MockMismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("mock_stream_socket")?;
        if let Some(name) = &self.name {
            write!(f, " {name}")?;
        }
        write!(f, ", step {}: {}", self.step + 1, self.what)
    }
}

impl std::error::Error for MockMismatch {}

/// A socket that does what `script` says. Fails if the script is not in the language.
pub fn scripted(script: &str) -> Result<StreamSocket, ScriptError> {
    let script = Script::parse(script)?;
    let specifier = Some(match &script.name {
        Some(name) => format!("mock_stream_socket:N {name}").into(),
        None => "mock_stream_socket:".into(),
    });
    let play = Arc::new(Mutex::new(Play { script, reading: true, writing: true, ..Play::default() }));
    Ok(StreamSocket {
        read: Some(Box::new(ScriptedRead(play.clone()))),
        write: Some(Box::new(ScriptedWrite(play))),
        info: Arc::new(SocketInfo { specifier, ..SocketInfo::default() }),
        ..StreamSocket::default()
    })
}

/// State of the play, shared by both halves.
#[derive(Default)]
struct Play {
    script: Script,
    done: usize,
    pause: Option<Pin<Box<Sleep>>>,
    eof: bool,
    shut: bool,
    /// Halves that still exist.
    reading: bool,
    writing: bool,
    reader: Option<Waker>,
    writer: Option<Waker>,
}

/// Who may act next.
enum Turn {
    Reader,
    Writer,
    Nobody,
    End,
}

impl Play {
    fn turn(&self) -> Turn {
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

    fn wake(&mut self) {
        for waker in [self.reader.take(), self.writer.take()].into_iter().flatten() {
            waker.wake();
        }
    }

    /// Passes pauses that are over. Pending: the caller must have left its waker here too, for the other half may be the
    /// one whom the timer wakes.
    fn poll_pause(&mut self, cx: &mut Context<'_>) -> Poll<()> {
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
    fn unfinished(&self) -> Option<MockMismatch> {
        let harmless = |s: &Step| matches!(s, Step::Pause(_) | Step::ReadEof | Step::ReadError | Step::WriteError);
        let left = self.checked_steps().find(|s| !harmless(s))?;
        Some(self.mismatch(format!("the socket was dropped before this happened: {}", describe(left))))
    }

    fn read(&mut self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<Result<io::Result<()>, MockMismatch>> {
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

    fn write(&mut self, cx: &mut Context<'_>, data: &[u8]) -> Poll<Result<io::Result<usize>, MockMismatch>> {
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

    fn shutdown(&mut self, cx: &mut Context<'_>) -> Poll<Result<io::Result<()>, MockMismatch>> {
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

fn lock(play: &Mutex<Play>) -> MutexGuard<'_, Play> {
    play.lock().unwrap_or_else(PoisonError::into_inner)
}

/// An error value would be logged and forgotten somewhere; a failed test must end the process.
#[allow(clippy::panic)] // the point of it
fn fail(mismatch: MockMismatch) -> ! {
    panic::panic_any(mismatch)
}

/// Panics after the lock is gone, so that the other half can still be dropped.
fn checked<T>(outcome: Poll<Result<io::Result<T>, MockMismatch>>) -> Poll<io::Result<T>> {
    outcome.map(|r| r.unwrap_or_else(|mismatch| fail(mismatch)))
}

/// Pending: waits for the other half or for a pause, the waker is kept. EOF: after X and at the script's end. Drop midway:
/// the last half to be dropped panics if something expected did not happen.
struct ScriptedRead(Arc<Mutex<Play>>);

/// Pending: as for the read half. Short write: where the script goes on with something else. Changes no bytes.
struct ScriptedWrite(Arc<Mutex<Play>>);

impl AsyncRead for ScriptedRead {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let outcome = lock(&self.0).read(cx, buf);
        checked(outcome)
    }
}

impl StreamRead for ScriptedRead {
    fn poll_readable(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut play = lock(&self.0);
        play.reader = Some(cx.waker().clone());
        std::task::ready!(play.poll_pause(cx));
        match play.turn() {
            Turn::Reader | Turn::End => Poll::Ready(Ok(())),
            // Ready too when reading cannot go on: `poll_read` then says why.
            _ if play.eof || !play.writing => Poll::Ready(Ok(())),
            _ => Poll::Pending,
        }
    }
}

impl AsyncWrite for ScriptedWrite {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        let outcome = lock(&self.0).write(cx, data);
        checked(outcome)
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let outcome = lock(&self.0).shutdown(cx);
        checked(outcome)
    }
}

impl StreamWrite for ScriptedWrite {}

/// Notes that a half is gone; panics if it was the last and the script is not done.
fn leave(play: &Mutex<Play>, half: impl FnOnce(&mut Play)) {
    let mut play = lock(play);
    half(&mut play);
    play.wake();
    let unfinished = if play.reading || play.writing { None } else { play.unfinished() };
    drop(play);
    if let Some(mismatch) = unfinished.filter(|_| !std::thread::panicking()) {
        fail(mismatch);
    }
}

impl Drop for ScriptedRead {
    fn drop(&mut self) {
        leave(&self.0, |play| play.reading = false);
    }
}

impl Drop for ScriptedWrite {
    fn drop(&mut self) {
        leave(&self.0, |play| play.writing = false);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::drive;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    /// What a mismatch said.
    fn mismatch(play: impl FnOnce() + panic::UnwindSafe) -> String {
        let payload = panic::catch_unwind(play).expect_err("no mismatch");
        payload.downcast_ref::<MockMismatch>().expect("not a mismatch").to_string()
    }

    fn halves(script: &str) -> (crate::stream::BoxStreamRead, crate::stream::BoxStreamWrite) {
        let socket = scripted(script).unwrap();
        (socket.read.unwrap(), socket.write.unwrap())
    }

    #[test]
    fn plays_in_order_whatever_the_chunks() {
        drive(async {
            let (mut r, mut w) = halves("R abc|W hel|W lo\\n|R d|I 3|ZW 2|ZR 3|X|D");
            let reader = async {
                let mut all = Vec::new();
                let mut buf = [0; 2];
                loop {
                    match r.read(&mut buf).await.unwrap() {
                        0 => return all,
                        n => all.push(buf[..n].to_vec()),
                    }
                }
            };
            let writer = async {
                w.write_all(b"h").await.unwrap();
                w.write_all(b"ello\nxyz\0").await.unwrap();
                w.write_all(b"\0").await.unwrap();
                w.shutdown().await.unwrap();
            };
            let (read, ()) = tokio::join!(reader, writer);
            assert_eq!(read, [&b"ab"[..], b"c", b"d", b"\0\0", b"\0"]);
        });
    }

    #[test]
    fn a_write_before_its_turn_waits() {
        drive(async {
            let (mut r, mut w) = halves("R a|W b");
            let mut buf = [0; 9];
            let (_, n) = tokio::join!(async { w.write_all(b"b").await.unwrap() }, r.read(&mut buf));
            assert_eq!(n.unwrap(), 1);
            assert_eq!(r.read(&mut buf).await.unwrap(), 0);
        });
    }

    #[test]
    fn errors_are_injected_once() {
        drive(async {
            let (mut r, mut w) = halves("ER|R a|EW|W b");
            assert!(r.read_u8().await.is_err());
            assert_eq!(r.read_u8().await.unwrap(), b'a');
            assert!(w.write_all(b"b").await.is_err());
            w.write_all(b"b").await.unwrap();
        });
    }

    #[test]
    fn mismatches_panic_and_say_where() {
        let write = |script: &'static str, data: &'static [u8]| {
            mismatch(move || {
                let (_r, mut w) = halves(script);
                drive(async { w.write_all(data).await.unwrap() });
            })
        };
        assert_eq!(
            write("N left|W abc", b"abd"),
            "mock_stream_socket left, step 1: expected \"abc\", written was \"abd\""
        );
        assert!(write("W abc", b"abcd").contains("step 2: written was \"d\", expected: the script has ended"));
        assert!(write("ZW 2", b"\0a").contains("expected 1 zero bytes"));
        assert!(
            mismatch(|| drop(scripted("R abc").unwrap())).contains("dropped before this happened: read of \"abc\"")
        );
        assert!(mismatch(|| drop(scripted("D").unwrap())).contains("shutdown of writing"));
        let shut = mismatch(|| {
            let (_r, mut w) = halves("R a|W b");
            drive(async { w.shutdown().await.unwrap() });
        });
        assert!(shut.contains("shut down while writes are still expected"), "{shut}");
        let gone = mismatch(|| {
            let (r, mut w) = halves("R a|W b");
            drop(r);
            drive(async { w.write_all(b"b").await.unwrap() });
        });
        assert!(gone.contains("expected: read of \"a\""), "{gone}");
    }

    #[test]
    fn nothing_is_checked_after_q() {
        drive(async {
            let (mut r, mut w) = halves("W a|Q|W b|R c");
            w.write_all(b"a and anything").await.unwrap();
            w.shutdown().await.unwrap();
            w.write_all(b"else").await.unwrap();
            assert_eq!(r.read(&mut [0; 5]).await.unwrap(), 0);
        });
    }

    #[tokio::test(start_paused = true)]
    async fn a_pause_holds_both_directions() {
        let start = tokio::time::Instant::now();
        let (mut r, mut w) = halves("T 300|R a|T x10|W b");
        let (a, ()) = tokio::join!(async { r.read_u8().await.unwrap() }, async { w.write_all(b"b").await.unwrap() });
        assert_eq!((a, start.elapsed()), (b'a', Duration::from_millis(316)));
    }
}
