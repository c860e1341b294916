//! Messages on stderr: one line each, for people or as JSON. Data never goes there, nor do messages go to stdout.
//!
//! Whatever a peer made us print stays within its line and cannot command a terminal. How much is shown: `-q`, `-v`,
//! else RUST_LOG, else warnings, and a little more when somebody sits at a terminal.

use super::args::{LogFormat, ProgramArgs};
use std::fmt;
use tracing::{Event, Level, Subscriber, field::Field, field::Visit};
use tracing_subscriber::{
    EnvFilter,
    fmt::{FmtContext, FormatEvent, FormatFields, format::Writer},
    registry::LookupSpan,
};

/// Starts logging; `chatty`: somebody sits there and should be told what happens.
pub fn start(args: &ProgramArgs, chatty: bool) {
    let level = match (args.quiet, args.verbose) {
        (2.., _) => "off",
        (1, _) => "error",
        (0, 0) if chatty => "info",
        (0, 0) => "warn",
        (0, 1) => "info",
        (0, 2) => "debug",
        (0, 3..) => "trace",
    };
    let asked = args.quiet > 0 || args.verbose > 0;
    let filter = std::env::var("RUST_LOG").ok().filter(|text| !asked && !text.is_empty());
    let filter = filter.and_then(|text| text.parse::<EnvFilter>().ok()).unwrap_or_else(|| EnvFilter::new(level));
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        // These would go to stderr, too, by a macro that panics when nobody reads it any more.
        .log_internal_errors(false);
    // A second start (several command lines in one process, as tests do) keeps the first subscriber.
    let started = match args.log_format {
        LogFormat::Text => builder.event_format(Line { detailed: args.verbose >= 2 }).try_init().is_ok(),
        LogFormat::Json => builder.json().with_current_span(false).with_span_list(false).try_init().is_ok(),
    };
    tracing::debug!(started, level, "logging");
}

/// `websocat: [LEVEL: ]MESSAGE [FIELD=VALUE…]`.
struct Line {
    /// Time since start and module in front.
    detailed: bool,
}

impl<S: Subscriber + for<'a> LookupSpan<'a>, N: for<'a> FormatFields<'a> + 'static> FormatEvent<S, N> for Line {
    fn format_event(&self, _: &FmtContext<'_, S, N>, mut out: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        let meta = event.metadata();
        if self.detailed {
            let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
            write!(out, "{}.{:06} {} ", now.as_secs(), now.subsec_micros(), meta.target())?;
        }
        out.write_str(match *meta.level() {
            Level::ERROR => "websocat: ",
            Level::WARN => "websocat: warning: ",
            Level::INFO => "websocat: ",
            Level::DEBUG => "websocat: debug: ",
            Level::TRACE => "websocat: trace: ",
        })?;
        let mut fields = Fields { message: String::new(), rest: String::new() };
        event.record(&mut fields);
        // What peers sent may be part of a message: a terminal must not obey it, and a line must stay one.
        for c in fields.message.chars().chain(fields.rest.chars()) {
            if c.is_control() { write!(out, "{}", c.escape_default())? } else { out.write_char(c)? }
        }
        writeln!(out)
    }
}

struct Fields {
    message: String,
    rest: String,
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        use fmt::Write as _;
        // Writing to a String cannot fail.
        let _ = match field.name() {
            "message" => write!(self.message, "{value:?}"),
            name => write!(self.rest, " {name}={value:?}"),
        };
    }
}
