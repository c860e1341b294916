//! Two halves for trying things out: a source of three short texts and a sink that prints what it is given.

use crate::{
    datagram::{DatagramRead, DatagramWrite, Flags},
    overlay::traffic_log::LogSink,
};
use std::{
    fmt::Write as _,
    io,
    task::{Context, Poll},
};

/// Gives the texts `3`, `2` and `1`, then EOF.
///
/// Never Pending. EOF: after the last text, for ever. Drop midway: loses nothing.
pub struct CountdownPackets {
    /// The digit that comes next; below `1` nothing does.
    digit: u8,
    announced: bool,
}

impl Default for CountdownPackets {
    fn default() -> Self {
        Self { digit: b'3', announced: false }
    }
}

impl CountdownPackets {
    fn is_over(&self) -> bool {
        self.digit < b'1'
    }
}

impl DatagramRead for CountdownPackets {
    fn poll_chunk(&mut self, _: &mut Context<'_>, _: usize) -> Poll<io::Result<Flags>> {
        self.announced = true;
        Poll::Ready(Ok(if self.is_over() { Flags::EOF } else { Flags::TEXT | Flags::MORE }))
    }

    fn chunk_mut(&mut self) -> &mut [u8] {
        if self.announced && !self.is_over() { std::slice::from_mut(&mut self.digit) } else { &mut [] }
    }

    fn consume(&mut self) {
        if std::mem::take(&mut self.announced) && !self.is_over() {
            self.digit -= 1;
        }
    }

    fn for_each_inner(&mut self, _: &mut dyn FnMut(&mut dyn DatagramRead)) {}
}

/// Prints a line for each chunk: what it is, its length, its bytes.
///
/// Never Pending, except that the printing itself may block. EOF: a line as well. Drop midway: loses nothing. Changes no
/// bytes.
pub struct PrintedPackets {
    sink: LogSink,
    /// Used again for each line.
    line: String,
}

impl PrintedPackets {
    pub fn new(sink: LogSink) -> Self {
        Self { sink, line: String::new() }
    }
}

impl DatagramWrite for PrintedPackets {
    fn poll_write(&mut self, _: &mut Context<'_>, chunk: &mut [u8], flags: Flags) -> Poll<io::Result<()>> {
        let kind = [(Flags::EOF, "end"), (Flags::PING, "ping"), (Flags::PONG, "pong"), (Flags::TEXT, "text")]
            .into_iter()
            .find_map(|(flag, kind)| flags.any(flag).then_some(kind));
        let part = if flags.any(Flags::PARTIAL) { ", to be continued" } else { "" };
        self.line.clear();
        // Writing to a string cannot fail.
        let _ = write!(
            self.line,
            "packet: {}, {} bytes{part}: \"{}\"",
            kind.unwrap_or("binary"),
            chunk.len(),
            chunk.escape_ascii()
        );
        self.sink.line(&self.line);
        Poll::Ready(Ok(()))
    }

    fn poll_flush(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{collect_messages, drive, write_chunks};
    use std::sync::{Arc, Mutex};

    #[test]
    fn three_texts_then_the_end() {
        let mut reader = CountdownPackets::default();
        let got = drive(collect_messages(&mut reader, usize::MAX)).unwrap();
        let texts: Vec<_> = got.iter().map(|(bytes, flags)| (bytes.as_slice(), flags.any(Flags::TEXT))).collect();
        assert_eq!(texts, [(&b"3"[..], true), (b"2", true), (b"1", true), (b"", false)], "with the end");
        drive(async {
            for _ in 0..2 {
                assert_eq!(std::future::poll_fn(|cx| reader.poll_chunk(cx, 1)).await.unwrap(), Flags::EOF);
                reader.consume();
            }
        });
    }

    #[test]
    fn a_line_for_each_chunk() {
        let lines = Arc::new(Mutex::new(Vec::new()));
        let printed = lines.clone();
        let mut writer = PrintedPackets::new(LogSink::new(move |line| printed.lock().unwrap().push(line.to_owned())));
        let chunks = [
            (b"a\n".to_vec(), Flags::TEXT),
            (b"b".to_vec(), Flags::PARTIAL),
            (vec![], Flags::NONE),
            (b"p".to_vec(), Flags::PING),
        ];
        drive(write_chunks(&mut writer, &chunks)).unwrap();
        let lines = lines.lock().unwrap();
        assert_eq!(
            lines[..4],
            [
                "packet: text, 2 bytes: \"a\\n\"",
                "packet: binary, 1 bytes, to be continued: \"b\"",
                "packet: binary, 0 bytes: \"\"",
                "packet: ping, 1 bytes: \"p\"",
            ]
        );
    }
}
