//! `log:` over messages: one line for each chunk, with dots where a message goes on.
//!
//! Stands anywhere among message sockets and changes nothing of what goes through. A written chunk is shown as it was
//! before overlays below changed it in place; the form of a line is that of `traffic_log.rs`.

use super::traffic_log::{Direction, LogOptions};
use crate::{
    datagram::{BoxDatagramRead, BoxDatagramWrite, DatagramRead, DatagramWrite, Flags},
    socket::DatagramSocket,
};
use std::{
    io,
    task::{Context, Poll},
};

/// Both halves of `socket` with log; a missing half stays missing.
pub fn datagram_logger(mut socket: DatagramSocket, options: &LogOptions) -> DatagramSocket {
    socket.read = socket.read.map(|r| Box::new(DatagramLogReader::new(r, options)) as _);
    socket.write = socket.write.map(|w| Box::new(DatagramLogWriter::new(w, options)) as _);
    socket
}

/// Logs each chunk when it is announced first. Pending, EOF, drop midway: as the inner reader.
pub struct DatagramLogReader {
    inner: BoxDatagramRead,
    log: Direction,
    message: Message,
    logged: bool,
}

/// Logs each chunk when it was taken. Pending, EOF, drop midway, bytes that change: as the inner writer.
pub struct DatagramLogWriter {
    inner: BoxDatagramWrite,
    log: Direction,
    message: Message,
    /// Line of the chunk on its way out: the inner writer may change the bytes.
    line: Option<String>,
}

/// Bytes of the current message so far, if it was begun.
#[derive(Default)]
struct Message(Option<usize>);

impl Message {
    fn line(&mut self, log: &Direction, bytes: &[u8], flags: Flags, max: Option<usize>) -> String {
        let mut line = String::new();
        if log.verbose() {
            if let Some(max) = max.filter(|n| *n != usize::MAX) {
                line = format!("bufcap={max} ");
            }
            const LETTERS: [(Flags, char); 5] =
                [(Flags::PARTIAL, 'C'), (Flags::TEXT, 'T'), (Flags::EOF, 'E'), (Flags::PING, 'P'), (Flags::PONG, 'O')];
            let letters: String = LETTERS.iter().filter(|(f, _)| flags.any(*f)).map(|(_, c)| c).collect();
            if !letters.is_empty() {
                line += &format!("[{letters}] ");
            }
        }
        let n = bytes.len();
        let control = flags.any(Flags::CONTROL);
        let goes_on = flags.any(Flags::PARTIAL) && !control;
        let begun = self.0.filter(|_| !control);
        let (before, after) = (if begun.is_some() { "..." } else { "" }, if goes_on { "..." } else { "" });
        line += &match (begun, goes_on) {
            (None, false) => n.to_string(),
            (None, true) => format!("{n}+"),
            (Some(_), true) => format!("+{n}+"),
            (Some(sum), false) => format!("+{n}={}", sum + n),
        };
        log.put_content(&mut line, before, bytes, after);
        if !control {
            self.0 = goes_on.then_some(begun.unwrap_or(0) + n);
        }
        line
    }
}

impl DatagramLogReader {
    pub fn new(inner: BoxDatagramRead, options: &LogOptions) -> Self {
        Self { inner, log: Direction::read(options), message: Message::default(), logged: false }
    }
}

impl DatagramLogWriter {
    pub fn new(inner: BoxDatagramWrite, options: &LogOptions) -> Self {
        Self { inner, log: Direction::write(options), message: Message::default(), line: None }
    }
}

impl DatagramRead for DatagramLogReader {
    fn poll_chunk(&mut self, cx: &mut Context<'_>, max: usize) -> Poll<io::Result<Flags>> {
        let outcome = self.inner.poll_chunk(cx, max);
        match &outcome {
            Poll::Ready(Ok(flags)) if !self.logged => {
                let line = self.message.line(&self.log, self.inner.chunk_mut(), *flags, Some(max));
                self.log.say(&line);
                self.logged = true;
            }
            Poll::Ready(Ok(_)) => {}
            Poll::Ready(Err(e)) => self.log.say(&format!("error {e}")),
            Poll::Pending => self.log.say_verbose("pending"),
        }
        outcome
    }

    fn chunk_mut(&mut self) -> &mut [u8] {
        self.inner.chunk_mut()
    }

    fn consume(&mut self) {
        self.logged = false;
        self.inner.consume();
    }

    fn for_each_inner(&mut self, visit: &mut dyn FnMut(&mut dyn DatagramRead)) {
        visit(&mut *self.inner);
    }

    fn parts_suffice(&mut self) {
        self.inner.parts_suffice();
    }
}

impl DatagramWrite for DatagramLogWriter {
    fn poll_write(&mut self, cx: &mut Context<'_>, chunk: &mut [u8], flags: Flags) -> Poll<io::Result<()>> {
        let line = match self.line.take() {
            Some(line) => line,
            None => self.message.line(&self.log, chunk, flags, None),
        };
        let outcome = self.inner.poll_write(cx, chunk, flags);
        match &outcome {
            Poll::Ready(Ok(())) => self.log.say(&line),
            Poll::Ready(Err(e)) => self.log.say(&format!("error {e}")),
            Poll::Pending => {
                self.log.say_verbose("pending");
                self.line = Some(line);
            }
        }
        outcome
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.log.say_verbose("flush");
        self.inner.poll_flush(cx)
    }

    fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let outcome = self.inner.poll_shutdown(cx);
        match &outcome {
            Poll::Ready(Ok(())) => self.log.say_verbose("shutdown"),
            Poll::Ready(Err(e)) => self.log.say(&format!("shutdown error {e}")),
            Poll::Pending => self.log.say_verbose("pending"),
        }
        outcome
    }

    fn transforms(&self) -> bool {
        self.inner.transforms()
    }

    fn keeps_borders(&self) -> bool {
        self.inner.keeps_borders()
    }

    fn end_is_silent(&self) -> bool {
        self.inner.end_is_silent()
    }
}

impl Drop for DatagramLogReader {
    fn drop(&mut self) {
        self.log.say_verbose("drop");
    }
}

impl Drop for DatagramLogWriter {
    fn drop(&mut self) {
        self.log.say_verbose("drop");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        overlay::traffic_log::LogSink,
        testing::{Chunk, PendingAt, Recorder, Schedule, chunk_source, collect_chunks, drive, write_chunks},
    };
    use std::sync::{Arc, Mutex};

    fn log(verbose: bool) -> (Vec<String>, Vec<Chunk>, Vec<Chunk>) {
        let part = Flags::TEXT | Flags::PARTIAL;
        let chunks = vec![
            (b"abc".to_vec(), part),
            (b"def".to_vec(), part),
            (b"!".to_vec(), Flags::PONG),
            (b"gh".to_vec(), Flags::TEXT),
            (b"one".to_vec(), Flags::NONE),
            (vec![3, 0xe8], Flags::EOF),
        ];
        let lines = Arc::new(Mutex::new(Vec::new()));
        let kept = lines.clone();
        let sink = LogSink::new(move |l| kept.lock().unwrap().push(l.to_owned()));
        let options = LogOptions { sink, verbose, ..LogOptions::default() };
        let cut = Schedule { pending: PendingAt::Each, ..Schedule::WHOLE };
        let recorder = Recorder::new();
        let read = drive(async {
            let mut reader = DatagramLogReader::new(cut.datagram_read_half(chunk_source(chunks.clone())), &options);
            let read = collect_chunks(&mut reader, usize::MAX).await.unwrap();
            let mut writer = DatagramLogWriter::new(cut.datagram_write_half(recorder.datagrams()), &options);
            write_chunks(&mut writer, &read).await.unwrap();
            read
        });
        assert_eq!(read, recorder.chunks());
        let lines = lines.lock().unwrap().clone();
        (lines, read, chunks)
    }

    #[test]
    fn parts_are_shown_as_parts() {
        let (lines, read, chunks) = log(false);
        assert_eq!(read, chunks);
        let expected =
            ["3+ \"abc\"...", "+3+ ...\"def\"...", "1 \"!\"", "+2=8 ...\"gh\"", "3 \"one\"", "2 \"\\x03\\xe8\""];
        let both = ["READ", "WRITE"].into_iter().flat_map(|p| expected.iter().map(move |l| format!("{p} {l}")));
        assert_eq!(lines, both.collect::<Vec<_>>());
    }

    #[test]
    fn verbose_shows_flags_and_calls() {
        let lines = log(true).0;
        assert_eq!(lines[..2], ["READ pending", "READ [CT] 3+ \"abc\"..."]);
        for line in ["READ [O] 1 \"!\"", "READ [E] 2 \"\\x03\\xe8\"", "WRITE flush", "WRITE drop", "READ drop"] {
            assert!(lines.iter().any(|l| l == line), "{line}");
        }
    }
}
