//! The one error of the control plane and the one table of exit codes.
//!
//! An [`Error`] says what it was about (specifier, address, file, option), what went wrong and, through its kind, which exit
//! status that gives. Causes stay attached as sources. Nothing else in the program decides an exit status, but for a
//! child's with `--exec-status`.

use std::{error, fmt};

/// What went wrong, as far as scripts around the program may want to tell apart. The number is the exit status.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Kind {
    /// The scenario could not start, or the global timeout was told to be an error.
    Start = 1,
    /// The command line is wrong.
    Usage = 2,
    /// The peer broke the rules of WebSocket framing, or of length prefixes.
    Framing = 3,
    /// The server answered the upgrade with another status than 101.
    HttpStatus = 5,
    /// The server's 101 does not fit the request.
    BrokenUpgrade = 6,
    Tls = 8,
    Connect = 14,
    NoAddresses = 20,
    Lookup = 21,
    ConnectTimeout = 22,
    HandshakeTimeout = 23,
    Listen = 24,
    /// A file, or standard input or output.
    File = 25,
    Process = 26,
    /// A session failed in a way that has no status of its own (reset, read or write error on a socket).
    Transfer = 27,
    /// A WebSocket ended without Close.
    NoClose = 30,
    /// Close with a code that is not a normal end.
    CloseCode = 31,
    Keepalive = 32,
    /// A scripted test socket saw something else than its script says.
    Mismatch = 101,
}

/// An error with its context.
#[derive(Debug)]
pub struct Error {
    pub kind: Kind,
    message: Box<str>,
    source: Option<Box<dyn error::Error + Send + Sync>>,
    /// It was told to the user already, where it happened.
    logged: bool,
    /// Instead of the kind's, where that was asked for.
    status: Option<u8>,
    /// Instead of the kind's word, where scripts may want to tell apart more than there are statuses.
    reason: Option<&'static str>,
    /// Line and column of the call in a script that threw it.
    at: Option<(usize, usize)>,
}

/// Result of whatever can end the program.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Kind {
    /// A word for it, for scripts.
    fn word(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::Usage => "usage",
            Self::Framing => "framing",
            Self::HttpStatus => "http-status",
            Self::BrokenUpgrade => "broken-upgrade",
            Self::Tls => "tls",
            Self::Connect => "connect",
            Self::NoAddresses => "no-addresses",
            Self::Lookup => "lookup",
            Self::ConnectTimeout => "connect-timeout",
            Self::HandshakeTimeout => "handshake-timeout",
            Self::Listen => "listen",
            Self::File => "file",
            Self::Process => "process",
            Self::Transfer => "transfer",
            Self::NoClose => "no-close",
            Self::CloseCode => "close-code",
            Self::Keepalive => "keepalive",
            Self::Mismatch => "mismatch",
        }
    }
}

impl Error {
    /// `message` says what failed and why, in one line without a final dot.
    pub fn new(kind: Kind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into().into(), source: None, logged: false, status: None, reason: None, at: None }
    }

    /// `what` failed because of `source`; the text of the source and its sources follows what.
    pub fn with_source(
        kind: Kind,
        what: impl Into<String>,
        source: impl Into<Box<dyn error::Error + Send + Sync>>,
    ) -> Self {
        Self {
            kind,
            message: what.into().into(),
            source: Some(source.into()),
            logged: false,
            status: None,
            reason: None,
            at: None,
        }
    }

    /// An error of the command line: status 2.
    pub fn usage(message: impl Into<String>) -> Self {
        Self::new(Kind::Usage, message)
    }

    /// Puts what was being done in front of the message, unless the message begins with that already.
    pub fn context(mut self, what: impl fmt::Display) -> Self {
        let what = format!("{what}: ");
        if !self.message.starts_with(&what) {
            self.message = (what + &*self.message).into();
        }
        self
    }

    /// Tells the user, unless that was done before: errors that decide the exit status only later are told at once.
    pub fn log(mut self) -> Self {
        if !self.logged {
            tracing::error!("{self}");
            self.logged = true;
        }
        self
    }

    /// The same error after whoever made it has told the user in his own way.
    pub fn told(mut self) -> Self {
        self.logged = true;
        self
    }

    /// The user has been told.
    pub fn is_logged(&self) -> bool {
        self.logged
    }

    /// The same error with the status of a child, which the user wants to have (`--exec-status`).
    pub fn with_status(mut self, status: u8) -> Self {
        self.status = Some(status);
        self
    }

    /// The same error with its place in a script, where that is known and was not before.
    pub fn at(mut self, line: Option<usize>, column: Option<usize>) -> Self {
        self.at = self.at.or(line.zip(column.or(Some(0))));
        self
    }

    /// Says in which script it was, and where. Errors of a script itself have their place in their text.
    pub fn in_script(self, script: impl fmt::Display) -> Self {
        match (self.kind, self.at) {
            (Kind::Start, _) => self.context(script),
            (_, Some((line, column))) => self.context(format!("{script} (line {line}, position {column})")),
            (_, None) => self,
        }
    }

    /// The same error with a word of its own for [`Self::reason`].
    pub fn with_reason(mut self, word: &'static str) -> Self {
        self.reason = Some(word);
        self
    }

    /// What went wrong, in a word that stays.
    pub fn reason(&self) -> &'static str {
        self.reason.unwrap_or(self.kind.word())
    }

    /// Status of the program if this error ends it.
    pub fn exit_code(&self) -> u8 {
        self.status.unwrap_or(self.kind as u8)
    }
}

impl fmt::Display for Error {
    /// The whole chain in one line, without saying a part twice.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        let mut said = self.message.to_string();
        let mut source = self.source.as_deref().map(|e| e as &(dyn error::Error + 'static));
        while let Some(e) = source {
            let text = e.to_string();
            if !said.contains(&text) {
                write!(f, ": {text}")?;
                said = text;
            }
            source = e.source();
        }
        Ok(())
    }
}

impl error::Error for Error {
    fn source(&self) -> Option<&(dyn error::Error + 'static)> {
        self.source.as_deref().map(|e| e as _)
    }
}

/// Text from outside, fit for one line of a message: no control characters, not too long.
//= 6455-5.5.1-4
pub fn shown(bytes: &[u8]) -> String {
    /// Longer texts say no more in an error message.
    const LIMIT: usize = 200;
    let text = String::from_utf8_lossy(bytes);
    let mut out = String::new();
    for (i, c) in text.trim().chars().enumerate() {
        if i == LIMIT {
            out.push('…');
            break;
        }
        // Beside control characters those that turn the direction of writing or cannot be seen.
        let harmless = if c.is_ascii() { !c.is_control() } else { c.escape_debug().len() == 1 };
        if harmless { out.push(c) } else { out.extend(c.escape_default()) }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_chain_is_one_line_without_repetition() {
        let io = std::io::Error::other("disk is full");
        let e = Error::with_source(Kind::File, "cannot write x", io).context("writefile:x");
        assert_eq!(e.to_string(), "writefile:x: cannot write x: disk is full");
        assert_eq!(e.exit_code(), 25);
    }

    #[test]
    fn places_in_scripts_are_said_where_somebody_has_the_script() {
        let e = || Error::new(Kind::File, "descriptor 9 is not open").at(Some(3), Some(5)).at(Some(1), None);
        assert_eq!(e().to_string(), "descriptor 9 is not open");
        assert_eq!(e().in_script("x.rhai").to_string(), "x.rhai (line 3, position 5): descriptor 9 is not open");
        assert_eq!(Error::new(Kind::Start, "script: no (line 1)").in_script("x").to_string(), "x: script: no (line 1)");
        assert_eq!(Error::new(Kind::Connect, "no").in_script("x").to_string(), "no");
    }

    #[test]
    fn context_is_not_said_twice() {
        let e = Error::new(Kind::NoClose, "tcp-l:1 (peer): no Close").context("tcp-l:1 (peer)");
        assert_eq!(e.to_string(), "tcp-l:1 (peer): no Close");
        assert_eq!(e.context("tcp-l:1").to_string(), "tcp-l:1: tcp-l:1 (peer): no Close");
    }

    //= 6455-5.5.1-4 test
    #[test]
    fn peers_cannot_break_out_of_a_message() {
        assert_eq!(shown(b" a\r\nb\x1b[31m\xff "), "a\\r\\nb\\u{1b}[31m\u{fffd}");
        assert_eq!(shown("ä 😀 \u{202e}".as_bytes()), "ä 😀 \\u{202e}");
        assert_eq!(shown(&[b'x'; 1000]).chars().count(), 201);
    }
}
