//! A stream socket that plays a script and checks what it gets (`mock_stream_socket:`, spec section 22).
//!
//! Steps of both directions happen strictly in the order of the script: a write that comes while a read is next waits for
//! that read. Data is compared across chunk borders; each `R` is at least one read of its own. A difference is not an
//! error that somebody could log and forget but a panic with [`MockMismatch`] as payload, for exit status 101.

use super::{
    play::{Play, Turn},
    script::{Script, ScriptError},
};
use crate::{
    info::SocketInfo,
    socket::StreamSocket,
    stream::{StreamRead, StreamWrite},
};
use std::{
    fmt, io, panic,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll},
};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

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
    let play = Arc::new(Mutex::new(Play::new(script)));
    Ok(StreamSocket {
        read: Some(Box::new(ScriptedRead(play.clone()))),
        write: Some(Box::new(ScriptedWrite(play))),
        info: Arc::new(SocketInfo { specifier, ..SocketInfo::default() }),
        ..StreamSocket::default()
    })
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
    use std::time::Duration;
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
