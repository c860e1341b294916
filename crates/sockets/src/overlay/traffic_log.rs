//! What `log:` prints for streams and messages alike: options, sink, and the form of a line (spec section 21).

use std::{fmt::Write as _, io::Write as _, sync::Arc};
use tokio::time::Instant;

/// Where log lines go. A line comes whole, without its newline.
#[derive(Clone)]
pub struct LogSink(Arc<dyn Fn(&str) + Send + Sync>);

impl LogSink {
    pub fn new(take_line: impl Fn(&str) + Send + Sync + 'static) -> Self {
        Self(Arc::new(take_line))
    }

    /// Takes one line.
    pub fn line(&self, line: &str) {
        (self.0)(line);
    }

    /// Standard error; lines of several sockets do not mix.
    pub fn stderr() -> Self {
        Self::new(|line| {
            // A closed stderr must not stop the traffic that is logged.
            let _ = std::io::stderr().lock().write_all(format!("{line}\n").as_bytes());
        })
    }
}

impl Default for LogSink {
    fn default() -> Self {
        Self::stderr()
    }
}

impl std::fmt::Debug for LogSink {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("LogSink")
    }
}

/// The defaults are those of the scenario functions.
#[derive(Clone, Debug, Default)]
pub struct LogOptions {
    /// Also buffer sizes, flags, and lines for `pending`, `flush` and `drop`.
    pub verbose: bool,
    /// Instead of `READ`.
    pub read_prefix: Option<String>,
    /// Instead of `WRITE`.
    pub write_prefix: Option<String>,
    /// Sizes only.
    pub omit_content: bool,
    /// Bytes as hexadecimal digits.
    pub hex: bool,
    /// Print the time since then before each line.
    pub timestamps_since: Option<Instant>,
    pub sink: LogSink,
}

/// One direction of a logged socket.
pub(super) struct Direction {
    prefix: Box<str>,
    options: LogOptions,
}

impl Direction {
    pub(super) fn read(options: &LogOptions) -> Self {
        Self { prefix: options.read_prefix.as_deref().unwrap_or("READ").into(), options: options.clone() }
    }

    pub(super) fn write(options: &LogOptions) -> Self {
        Self { prefix: options.write_prefix.as_deref().unwrap_or("WRITE").into(), options: options.clone() }
    }

    pub(super) fn verbose(&self) -> bool {
        self.options.verbose
    }

    pub(super) fn say(&self, what: &str) {
        let prefix = &self.prefix;
        let line = match self.options.timestamps_since {
            Some(start) => {
                let time = start.elapsed();
                format!("{:06}.{:06} {prefix} {what}", time.as_secs(), time.subsec_micros())
            }
            None => format!("{prefix} {what}"),
        };
        (self.options.sink.0)(&line);
    }

    pub(super) fn say_verbose(&self, what: &str) {
        if self.options.verbose {
            self.say(what);
        }
    }

    /// Appends the bytes between `before` and `after` (dots of a message in parts), if contents are wanted.
    pub(super) fn put_content(&self, line: &mut String, before: &str, bytes: &[u8], after: &str) {
        if self.options.omit_content {
            return;
        }
        // Writing to a string cannot fail.
        let _ = write!(line, " {before}");
        if self.options.hex {
            for byte in bytes {
                let _ = write!(line, "{byte:02x}");
            }
        } else {
            let _ = write!(line, "\"{}\"", bytes.escape_ascii());
        }
        line.push_str(after);
    }
}
