//! Writer of scenario text: indented, numbered variables by kind, options only where they differ from the default.
//!
//! What comes out compiles: names are fresh, text is quoted by `literal.rs`, and whoever opens a bracket closes it.

use super::string_literal;
use crate::{
    cli::Args,
    endpoints::socket_args::SocketArgs,
    error::{Error, Kind, Result},
    plan::Names,
};
use serde::Serialize;
use std::sync::Arc;

/// Name of a variable in the script.
pub type Var = String;

/// Writes what comes inside the bracket that an endpoint or overlay opened around its socket.
pub type Then<'a> = dyn FnMut(&mut Script, Var) -> Result<()> + 'a;

/// Pairs of an option map, in the order in which they are printed.
#[derive(Clone, Debug, Default)]
pub struct OptionMap(Vec<(String, String)>);

impl OptionMap {
    pub fn new() -> Self {
        Self::default()
    }

    /// All fields of an options struct that it does not skip (defaults are skipped by `serde(skip_serializing_if)`).
    pub fn of(options: &impl Serialize) -> Result<Self> {
        let mut map = Self::new();
        map.extend(options)?;
        Ok(map)
    }

    /// Appends the fields of another options struct.
    pub fn extend(&mut self, options: &impl Serialize) -> Result<()> {
        let bad = |e: &dyn std::fmt::Display| Error::new(Kind::Start, format!("cannot write options as a script: {e}"));
        let value = rhai::serde::to_dynamic(options).map_err(|e| bad(&e))?;
        let map = value.try_cast::<rhai::Map>().ok_or_else(|| bad(&"not a struct"))?;
        for (key, value) in map {
            self.0.push((key.to_string(), literal(&value).ok_or_else(|| bad(&key))?));
        }
        Ok(())
    }

    /// A pair only where it differs from what is so without it.
    pub fn number_unless<N: std::fmt::Display + PartialEq>(self, key: &str, value: Option<N>, default: N) -> Self {
        self.number(key, value.filter(|n| *n != default))
    }

    /// Writes these numbers as bits, in hexadecimal, where they are there.
    pub fn as_bits(mut self, keys: &[&str]) -> Self {
        for (_, value) in self.0.iter_mut().filter(|(key, _)| keys.contains(&key.as_str())) {
            if let Ok(number) = value.parse::<i64>() {
                *value = format!("{number:#x}");
            }
        }
        self
    }

    /// Appends a pair whose value is script text already.
    pub fn push(&mut self, key: &str, value: impl Into<String>) {
        self.0.push((key.to_owned(), value.into()));
    }

    pub fn text(mut self, key: &str, value: &str) -> Self {
        self.push(key, string_literal(value));
        self
    }

    pub fn flag(mut self, key: &str, set: bool) -> Self {
        if set {
            self.push(key, "true");
        }
        self
    }

    pub fn number(mut self, key: &str, value: Option<impl std::fmt::Display>) -> Self {
        if let Some(n) = value {
            self.push(key, n.to_string());
        }
        self
    }
}

impl std::fmt::Display for OptionMap {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("#{")?;
        for (i, (key, value)) in self.0.iter().enumerate() {
            let quoted;
            let plain = key.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
            let key = if plain {
                key
            } else {
                quoted = string_literal(key);
                &quoted
            };
            write!(f, "{}{key}: {value}", if i > 0 { ", " } else { "" })?;
        }
        f.write_str("}")
    }
}

/// Script text of a value that serde made; None for what no options struct has.
fn literal(value: &rhai::Dynamic) -> Option<String> {
    if let Ok(text) = value.as_immutable_string_ref() {
        return Some(string_literal(&text));
    }
    if let Ok(items) = value.as_array_ref() {
        let items: Option<Vec<_>> = items.iter().map(literal).collect();
        return Some(format!("[{}]", items?.join(", ")));
    }
    (value.is_int() || value.is_bool()).then(|| value.to_string())
}

/// How the listeners of a stack go on after a connection came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Listening {
    /// Each connection gets a task of its own.
    pub autospawn: bool,
    /// One connection only.
    pub oneshot: bool,
}

/// A script that is being written.
pub struct Script {
    /// The command line that the script comes from: endpoints and overlays take their options from it.
    pub args: Arc<Args>,
    /// For listeners in the stack that is being written.
    pub listening: Listening,
    /// The other side is a socket or a process, which can say "no more from me" and go on listening: a WebSocket in the
    /// stack that is being written shall ask its peer to keep such half-closes.
    pub half_close: bool,
    /// TCP sockets carry messages: each leaves when it is written (TCP_NODELAY), unless the user says otherwise.
    pub nodelay: bool,
    /// Standard input and output are one side: a person may be at a prompt.
    pub console: bool,
    /// Somebody else writes to standard output after the session that is being written.
    pub stdio_stays_open: bool,
    /// What comes first on a connection of the stack that is being written is an HTTP request.
    pub http_first: bool,
    /// The stack that is being written carries a WebSocket, or is part of one that does.
    pub carries_websocket: bool,
    text: String,
    indent: usize,
    names: Names,
}

impl Script {
    /// `names`: variables that the plan has named already.
    pub fn new(args: Arc<Args>, names: Names) -> Self {
        let listening = Listening { autospawn: true, oneshot: false };
        Self {
            args,
            listening,
            half_close: false,
            console: false,
            stdio_stays_open: false,
            nodelay: false,
            http_first: false,
            carries_websocket: false,
            text: String::new(),
            indent: 0,
            names,
        }
    }

    /// Socket options for the endpoint that is being written: it puts those groups into its map that its function knows.
    pub fn socket_options(&self) -> SocketArgs {
        let sockets = &self.args.endpoints.sockets;
        if sockets.exclude_ws_from_sockopts && self.carries_websocket {
            return SocketArgs::default();
        }
        sockets.clone()
    }

    pub fn line(&mut self, text: &str) {
        self.text.push_str(&"  ".repeat(self.indent));
        self.text.push_str(text);
        self.text.push('\n');
    }

    /// A fresh variable name: `tcp1`, `tcp2`, …
    pub fn var(&mut self, stem: &'static str) -> Var {
        self.names.fresh(stem)
    }

    /// `let stem1 = expression;`
    pub fn assign(&mut self, stem: &'static str, expression: &str) -> Var {
        let v = self.var(stem);
        self.line(&format!("let {v} = {expression};"));
        v
    }

    /// `open`, an indented body, `close`: `open` ends in what starts the closure, `close` ends the call.
    pub fn nest(&mut self, open: &str, close: &str, body: &mut dyn FnMut(&mut Self) -> Result<()>) -> Result<()> {
        self.line(open);
        self.indent(body)?;
        self.line(close);
        Ok(())
    }

    /// An indented body alone, for calls with more than one closure.
    pub fn indent(&mut self, body: &mut dyn FnMut(&mut Self) -> Result<()>) -> Result<()> {
        self.indent += 1;
        body(self)?;
        self.indent -= 1;
        Ok(())
    }

    /// `call |stem1| {`, the body with that variable, `})`: a call whose last argument is a callback with one argument.
    /// `call` ends after the comma before the closure: `connect_tcp(#{…},`.
    pub fn callback(&mut self, call: &str, stem: &'static str, then: &mut Then<'_>) -> Result<()> {
        let v = self.var(stem);
        self.nest(&format!("{call} |{v}| {{"), "})", &mut |script| then(script, v.clone()))
    }

    /// Tasks one after another as the value of a closure.
    pub fn in_sequence(&mut self, tasks: &[String]) -> Result<()> {
        if tasks.is_empty() {
            self.line("dummy_task()");
            return Ok(());
        }
        self.nest("sequential([", "])", &mut |script| {
            tasks.iter().for_each(|task| script.line(&format!("{task},")));
            Ok(())
        })
    }

    /// The task of a session, the last thing in its bracket.
    pub fn session_end(&mut self, task: &str) {
        if self.args.session.exit_after_one_session {
            self.line(&format!("exit_process_after({task})"));
        } else {
            self.line(task);
        }
    }

    pub fn finish(self) -> String {
        self.text
    }
}
