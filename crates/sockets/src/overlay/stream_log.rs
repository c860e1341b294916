//! `log:` over a byte stream: one line for each read and write that moved something.
//!
//! Stands anywhere among byte streams and changes nothing of what goes through. A line is printed when bytes were
//! moved, with what was really taken; its form is that of `traffic_log.rs`.

use super::traffic_log::{Direction, LogOptions};
use crate::{
    socket::StreamSocket,
    stream::{BoxStreamRead, BoxStreamWrite, StreamRead, StreamWrite},
};
use std::{
    io::{self, IoSlice},
    pin::Pin,
    task::{Context, Poll},
};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Both halves of `socket` with log; a missing half stays missing.
pub fn stream_logger(mut socket: StreamSocket, options: &LogOptions) -> StreamSocket {
    socket.read = socket.read.map(|r| Box::new(StreamLogReader::new(r, options)) as _);
    socket.write = socket.write.map(|w| Box::new(StreamLogWriter::new(w, options)) as _);
    socket
}

/// Logs reads. Pending, EOF: as the inner stream. Drop midway: loses nothing.
pub struct StreamLogReader {
    inner: BoxStreamRead,
    log: Direction,
}

/// Logs writes, with what was taken. Pending, short write: as the inner stream. Changes no bytes. Drop midway: loses nothing.
pub struct StreamLogWriter {
    inner: BoxStreamWrite,
    log: Direction,
}

impl StreamLogReader {
    pub fn new(inner: BoxStreamRead, options: &LogOptions) -> Self {
        Self { inner, log: Direction::read(options) }
    }
}

impl StreamLogWriter {
    pub fn new(inner: BoxStreamWrite, options: &LogOptions) -> Self {
        Self { inner, log: Direction::write(options) }
    }

    fn note(&self, outcome: &Poll<io::Result<usize>>, slices: Option<usize>, content: impl FnOnce(usize) -> Vec<u8>) {
        match outcome {
            Poll::Ready(Ok(n)) => {
                let mut line = match slices.filter(|_| self.log.verbose()) {
                    Some(slices) => format!("slices={slices} {n}"),
                    None => n.to_string(),
                };
                self.log.put_content(&mut line, "", &content(*n), "");
                self.log.say(&line);
            }
            Poll::Ready(Err(e)) => self.log.say(&format!("error {e}")),
            Poll::Pending => self.log.say_verbose("pending"),
        }
    }
}

impl AsyncRead for StreamLogReader {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let (room, before) = (buf.remaining(), buf.filled().len());
        let outcome = Pin::new(&mut *self.inner).poll_read(cx, buf);
        match &outcome {
            Poll::Ready(Ok(())) => {
                let bytes = buf.filled().get(before..).unwrap_or_default();
                let mut line = if self.log.verbose() { format!("bufcap={room} ") } else { String::new() };
                line.push_str(&bytes.len().to_string());
                self.log.put_content(&mut line, "", bytes, "");
                self.log.say(&line);
            }
            Poll::Ready(Err(e)) => self.log.say(&format!("error {e}")),
            Poll::Pending => self.log.say_verbose("pending"),
        }
        outcome
    }
}

impl StreamRead for StreamLogReader {
    fn poll_readable(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.inner.poll_readable(cx)
    }
}

impl AsyncWrite for StreamLogWriter {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        let outcome = Pin::new(&mut *self.inner).poll_write(cx, data);
        self.note(&outcome, None, |n| data.get(..n).unwrap_or_default().to_vec());
        outcome
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let outcome = Pin::new(&mut *self.inner).poll_write_vectored(cx, slices);
        self.note(&outcome, Some(slices.len()), |n| slices.iter().flat_map(|s| s.iter().copied()).take(n).collect());
        outcome
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.log.say_verbose("flush");
        Pin::new(&mut *self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let outcome = Pin::new(&mut *self.inner).poll_shutdown(cx);
        match &outcome {
            Poll::Ready(Ok(())) => self.log.say("shutdown"),
            Poll::Ready(Err(e)) => self.log.say(&format!("shutdown error {e}")),
            Poll::Pending => self.log.say_verbose("pending"),
        }
        outcome
    }
}

impl StreamWrite for StreamLogWriter {}

impl Drop for StreamLogReader {
    fn drop(&mut self) {
        self.log.say_verbose("drop");
    }
}

impl Drop for StreamLogWriter {
    fn drop(&mut self) {
        self.log.say_verbose("drop");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        overlay::traffic_log::LogSink,
        testing::{drive, scripted},
    };
    use std::sync::{Arc, Mutex};
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    fn log(options: LogOptions) -> Vec<String> {
        let lines = Arc::new(Mutex::new(Vec::new()));
        let kept = lines.clone();
        let options = LogOptions { sink: LogSink::new(move |l| kept.lock().unwrap().push(l.to_owned())), ..options };
        let socket = stream_logger(scripted(r#"R a\n'\x7f\\"|W bcd|W e|ER|X|D"#).unwrap(), &options);
        drive(async {
            let (mut r, mut w) = (socket.read.unwrap(), socket.write.unwrap());
            let mut buf = [0; 10];
            assert_eq!(r.read(&mut buf).await.unwrap(), 6);
            w.write_all(b"bcd").await.unwrap();
            assert_eq!(w.write_vectored(&[IoSlice::new(b"e"), IoSlice::new(b"")]).await.unwrap(), 1);
            w.flush().await.unwrap();
            r.read(&mut buf).await.unwrap_err();
            assert_eq!(r.read(&mut buf).await.unwrap(), 0);
            w.shutdown().await.unwrap();
        });
        lines.lock().unwrap().clone()
    }

    #[test]
    fn lines_have_their_form() {
        let error = "READ error the mock script asks for a read error (ER)";
        let expected =
            [r#"READ 6 "a\n\'\x7f\\\"""#, "WRITE 3 \"bcd\"", "WRITE 1 \"e\"", error, "READ 0 \"\"", "WRITE shutdown"];
        assert_eq!(log(LogOptions::default()), expected);
        let options = LogOptions {
            hex: true,
            read_prefix: Some("<".into()),
            write_prefix: Some(">".into()),
            ..LogOptions::default()
        };
        assert_eq!(log(options)[..2], ["< 6 610a277f5c22", "> 3 626364"]);
        let options = LogOptions { omit_content: true, verbose: true, ..LogOptions::default() };
        let verbose = ["READ bufcap=10 6", "WRITE 3", "WRITE slices=2 1", "WRITE flush", error, "READ bufcap=10 0"];
        assert_eq!(log(options)[..6], verbose);
    }

    #[tokio::test(start_paused = true)]
    async fn timestamps_count_from_the_start() {
        let start = tokio::time::Instant::now();
        tokio::time::advance(std::time::Duration::from_micros(12_000_345)).await;
        let lines = log(LogOptions { timestamps_since: Some(start), ..LogOptions::default() });
        assert_eq!(lines[1], "000012.000345 WRITE 3 \"bcd\"");
    }
}
