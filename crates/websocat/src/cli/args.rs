//! Arguments as typed. Collecting them cannot fail for reasons of meaning; what they mean is decided in `plan`.
//!
//! Options of one endpoint or overlay stand in its own file; here are those that concern sessions and the process.

use super::value::{Duration, Size};
use crate::{endpoints, overlays, spec::Form};
use clap::{CommandFactory as _, FromArgMatches as _};
use std::{ffi::OsString, sync::LazyLock};

/// The command line as typed.
#[derive(Clone, Debug, clap::Parser)]
#[command(
    name = "websocat",
    version,
    about = "Connects WebSockets, TCP, processes, files and terminals to each other",
    long_about = "Connects two sides, each given by a specifier: WebSocket URLs, TCP and TLS sockets, processes, files, \
the terminal. With one specifier the other side is standard input and output.",
    after_help = EXAMPLES,
    override_usage = "websocat [OPTIONS] SPEC1 [SPEC2]\n       websocat -s [ADDRESS:]PORT [SPEC2]\n       websocat -x FILE\n       websocat --compose [OPTIONS] SPEC1 [SPEC2] '&' ...",
    disable_help_subcommand = true,
    max_term_width = 110
)]
pub struct Args {
    /// Left specifier: an endpoint, with overlays in front of it, such as `ws://example.org/chat` or `ws-l:127.0.0.1:8080`
    #[arg(value_name = "SPEC1")]
    pub spec1: Option<OsString>,
    /// Right specifier; `-` (standard input and output) when absent
    #[arg(value_name = "SPEC2")]
    pub spec2: Option<OsString>,

    #[command(flatten)]
    pub session: SessionArgs,
    #[command(flatten)]
    pub program: ProgramArgs,
    #[command(flatten)]
    pub endpoints: crate::endpoints::EndpointArgs,
    #[command(flatten)]
    pub overlays: crate::overlays::OverlayArgs,
    /// Which options were typed, whatever their values
    #[arg(skip)]
    pub typed: Vec<Typed>,
}

/// An option that was typed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Typed {
    /// Its long name, with dashes.
    pub name: String,
    /// The heading under which it stands in the help.
    pub heading: String,
}

impl Args {
    /// Parses the words of one session, with the name of the program in front, and remembers which options there were.
    pub fn parse_words(words: Vec<OsString>) -> Result<Self, clap::Error> {
        let mut command = COMMAND.clone();
        if words.iter().any(|word| word == "--help") {
            command = command.after_long_help(format!("{}\n{EXAMPLES}", specifiers()));
        }
        let matches = command.try_get_matches_from_mut(words)?;
        let mut args = Self::from_arg_matches(&matches).map_err(|e| e.format(&mut command))?;
        let typed = |option: &&clap::Arg| {
            matches.value_source(option.get_id().as_str()) == Some(clap::parser::ValueSource::CommandLine)
        };
        let typed = command.get_arguments().filter(typed).filter_map(|option| {
            let name = format!("--{}", option.get_long()?);
            Some(Typed { name, heading: option.get_help_heading()?.to_owned() })
        });
        args.typed = typed.collect();
        Ok(args)
    }
}

/// All options, put together and checked once: that takes much longer than reading a line, of which `--compose` has many.
static COMMAND: LazyLock<clap::Command> = LazyLock::new(|| {
    let mut command = Args::command().mut_args(|option| in_short_help(read_by_us(option)));
    command.build();
    command
});

/// Values that we read ourselves may look like options: what is wrong with `-5s` our reader can say.
fn read_by_us(option: clap::Arg) -> clap::Arg {
    let ours = ["DURATION", "SIZE", "NUMBERS"];
    let is_ours = option.get_value_names().is_some_and(|names| names.iter().any(|name| ours.contains(&name.as_str())));
    if is_ours { option.allow_hyphen_values(true) } else { option }
}

/// `-h` fits on a screen or two: these options, by their long names, and the examples.
const USUAL: &[&str] = &[
    "text",
    "binary",
    "server",
    "unidirectional",
    "unidirectional-reverse",
    "exit-on-eof",
    "oneshot",
    "linger",
    "idle-timeout",
    "compose",
    "scenario",
    "dump-spec",
    "explain",
    "verbose",
    "quiet",
    "connect-timeout",
    "conncap",
    "unlink",
    "exec-args",
    "null-terminated",
    "log-traffic",
    "header",
    "origin",
    "protocol",
    "allow-origin",
    "restrict-uri",
    "close-status-code",
    "ping-interval",
    "no-compress",
    "insecure",
    "help",
    "version",
];

fn in_short_help(option: clap::Arg) -> clap::Arg {
    let hidden = option.get_long().is_some_and(|name| !USUAL.contains(&name));
    option.hide_short_help(hidden)
}

const EXAMPLES: &str = "\
Examples:
  websocat wss://example.org/chat                 talk to a server, line by line
  websocat -H 'X-Token: abc' wss://example.org/   with a header; -k: whatever its certificate
  printf 'hi\\n' | websocat ws://example.org/      send a line, print the answer
  websocat -u ws://example.org/feed >> log        only receive; -U: only send
  websocat -s 1234                                be a server; 0.0.0.0:1234: for everybody
  websocat -b ws-l:8080 tcp:127.0.0.1:22          WebSocket clients reach a TCP server
  websocat -b tcp-l:2222 wss://example.org/ssh    the other way round
  websocat -b - wss://example.org/ssh             as ProxyCommand of ssh
  websocat -t ws-l:8080 cmd:'bc -q'               a process for each client, a line per message
  websocat ws-l:8080 mirror:                      give everything back, for tests
  websocat -v --log-traffic ws://example.org/     show what happens, and the data
  websocat --explain ws://example.org/            say in words what that does
  websocat --dump-spec ws://example.org/          show the script behind it";

/// What specifiers are made of, a line each: the first sentences of the reference.
fn specifiers() -> String {
    let mut out = "Endpoints, which specifiers end in:\n".to_owned();
    list(&mut out, endpoints::TABLE.iter().flat_map(|(forms, _)| *forms));
    out.push_str("\nOverlays, which may stand in front of an endpoint, as in `log:tcp:127.0.0.1:80`:\n");
    list(&mut out, overlays::TABLE.iter().flat_map(|(forms, _)| *forms));
    out
}

fn list<'a>(out: &mut String, forms: impl Iterator<Item = &'a Form>) {
    /// As wide as the options above, which the parser wraps.
    const WIDTH: usize = 90;
    for form in forms {
        let [prefix, others @ ..] = form.prefixes else { continue };
        out.push_str(&format!("  {prefix}{}", form.value));
        let gist = form.doc.split_inclusive(". ").next().unwrap_or_default().trim().trim_end_matches('.');
        // Some have a dozen; the reference lists them all.
        let mut short = others.to_vec();
        short.sort_by_key(|prefix| prefix.len());
        short.truncate(2);
        let also = if short.is_empty() { String::new() } else { format!(" [also: {}]", short.join(", ")) };
        let mut room = 0;
        for word in format!("{gist}{also}").split(' ') {
            if room <= word.len() {
                out.push_str("\n         ");
                room = WIDTH;
            }
            out.push(' ');
            out.push_str(word);
            room = room.saturating_sub(word.len() + 1);
        }
        out.push('\n');
    }
}

/// Milliseconds of plain options: scripts count in i64.
fn milliseconds() -> clap::builder::RangedU64ValueParser<u64> {
    clap::value_parser!(u64).range(..=i64::MAX as u64)
}

/// What a session does with its two sides.
#[derive(Clone, Debug, Default, clap::Args)]
#[command(next_help_heading = "Sessions")]
pub struct SessionArgs {
    /// Text mode: byte streams are cut into lines, each line is a text message
    #[arg(short = 't', long)]
    pub text: bool,
    /// Binary mode: byte streams are cut as the bytes arrive, each piece is a binary message
    #[arg(short = 'b', long)]
    pub binary: bool,
    /// Server: SPEC1 is a port (on loopback) or ADDRESS:PORT to accept WebSocket clients on
    #[arg(short = 's', long)]
    pub server: bool,
    /// Copy from left to right only
    #[arg(short = 'u', long)]
    pub unidirectional: bool,
    /// Copy from right to left only
    #[arg(short = 'U', long)]
    pub unidirectional_reverse: bool,
    /// With -u or -U: leave the unused direction open until the other one has ended
    #[arg(long)]
    pub unidirectional_late_drop: bool,
    /// The end of one direction ends the other one, too
    #[arg(short = 'E', long)]
    pub exit_on_eof: bool,
    /// Pass what goes from left to right through this first; repeat for several, the first one comes first
    #[arg(long, value_name = "SPEC")]
    pub filter: Vec<OsString>,
    /// Pass what goes from right to left through this first; repeat for several, the first one comes first
    #[arg(long, value_name = "SPEC")]
    pub filter_reverse: Vec<OsString>,
    /// Leave the program when either side hangs up
    #[arg(long)]
    pub exit_on_hangup: bool,
    /// Leave the program when the first session is over
    #[arg(long)]
    pub exit_after_one_session: bool,
    /// Serve one connection only, then stop listening
    #[arg(long)]
    pub oneshot: bool,
    /// Fixed size of the buffer of each direction, and largest piece of a message, in bytes
    #[arg(short = 'B', long, value_name = "SIZE", value_parser = Size::positive)]
    pub buffer_size: Option<Size>,
    /// How long a WebSocket stays open for replies after our own input has ended
    ///
    /// Counted anew from each message that comes. It also bounds the time after a Close without a code. `inf` waits until
    /// the peer closes.
    #[arg(long, value_name = "DURATION", default_value = "1s")]
    pub linger: Duration,
    /// End a session of messages when no data came from either side for so long; 0: never, as when absent
    ///
    /// Pings are no data. WebSockets get Close 1001.
    #[arg(long, value_name = "DURATION")]
    pub idle_timeout: Option<Duration>,
    /// Run the specifiers as they were typed, with nothing put in: for tests of the parts
    ///
    /// URLs and compounds such as ws-l: have to be written as what they are made of.
    #[arg(long)]
    pub no_fixups: bool,
    /// Leave out overlays that nobody asked for by name: reuse-raw:, write-splitoff: and tee: are as they were typed
    #[arg(long)]
    pub less_fixups: bool,
    /// Give up on everything after so many milliseconds
    #[arg(long, value_name = "MS", value_parser = milliseconds())]
    pub global_timeout_ms: Option<u64>,
    /// The global timeout ends the program at once, with status 1
    #[arg(long)]
    pub global_timeout_force_exit: bool,
    /// Wait so many milliseconds before anything is opened
    #[arg(long, value_name = "MS", value_parser = milliseconds())]
    pub sleep_ms_before_start: Option<u64>,
}

/// What concerns the process as a whole; these work with -x, too.
#[derive(Clone, Debug, Default, clap::Args)]
#[command(next_help_heading = "Program")]
pub struct ProgramArgs {
    /// Several command lines in one, joined by `&` (at once), `;` (in turn) or `^` (first one ends all), grouped by ( and )
    ///
    /// Must be the first argument. Operators and parentheses are arguments of their own, in quotes where a shell knows them.
    #[arg(long)]
    pub compose: bool,
    /// Run a script: SPEC1 is its file
    #[arg(short = 'x', long)]
    pub scenario: bool,
    /// Print the script that would run, and leave
    #[arg(long)]
    pub dump_spec: bool,
    /// Say in plain words what would be connected to what, through which layers and with which limits, and leave
    #[arg(long, conflicts_with = "scenario")]
    pub explain: bool,
    /// Print the arguments as parsed to stderr, and leave
    #[arg(long)]
    pub dump_spec_phase0: bool,
    /// Print both sides as parsed to stderr, and leave
    #[arg(long)]
    pub dump_spec_phase1: bool,
    /// Print both sides after all rewriting to stderr, and leave
    #[arg(long)]
    pub dump_spec_phase2: bool,
    /// No warnings about doubtful command lines
    #[arg(long)]
    pub no_lints: bool,
    /// What becomes of doubtful command lines: a warning, or an error with status 2
    ///
    /// Each has an id, which stands at the end of the message; the book lists them.
    #[arg(long, value_name = "LEVEL", default_value = "warn", conflicts_with = "no_lints")]
    pub lint: LintLevel,
    /// Fixed seed of all randomness. Makes WebSocket keys and masks predictable: for tests only
    #[arg(long, value_name = "NUMBER")]
    pub random_seed: Option<u64>,
    /// Print a fresh Sec-WebSocket-Key, and leave
    #[arg(long)]
    pub just_generate_key: bool,
    /// Print the Sec-WebSocket-Accept that answers this Sec-WebSocket-Key, and leave
    #[arg(long, value_name = "KEY", conflicts_with = "just_generate_key")]
    pub just_generate_accept: Option<String>,
    /// Print what this build can do (specifiers, options, version) as JSON, and leave
    #[arg(long)]
    pub list_features: bool,
    /// Worker threads; by default one for every two cores for servers, one in all for clients
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub threads: Option<u16>,
    /// After a first SIGINT or SIGTERM: how long sessions may take to finish
    #[arg(long, value_name = "DURATION", default_value = "10s")]
    pub drain: Duration,
    /// More messages on stderr; repeat for even more
    #[arg(short = 'v', long, action = clap::ArgAction::Count)]
    pub verbose: u8,
    /// Fewer messages on stderr: errors only; twice: none at all
    #[arg(short = 'q', long, action = clap::ArgAction::Count, conflicts_with = "verbose")]
    pub quiet: u8,
    /// Form of messages on stderr
    #[arg(long, value_name = "FORM", default_value = "text")]
    pub log_format: LogFormat,
    /// Print generated documentation: endpoints, overlays, options or lints
    #[arg(long, value_name = "PAGE", hide = true)]
    pub generate: Option<super::generate::Page>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, clap::ValueEnum)]
pub enum LintLevel {
    /// A warning for each
    #[default]
    Warn,
    /// An error
    Deny,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum LogFormat {
    /// A line for people
    #[default]
    Text,
    /// A JSON object per line
    Json,
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser as _;

    #[test]
    fn the_help_leads_to_the_usual_jobs() {
        let help = |flag: &str| Args::parse_words(vec!["websocat".into(), flag.into()]).unwrap_err().to_string();
        let (short, long) = (help("-h"), help("--help"));
        assert!(short.lines().count() < 100, "{} lines", short.lines().count());
        for name in USUAL {
            assert!(short.contains(&format!("--{name}")), "{name}");
        }
        assert!(!short.contains("--separator-n") && long.contains("--separator-n"));
        for help in [&short, &long] {
            assert!(help.ends_with(&format!("{EXAMPLES}\n")), "{help}");
            assert!(help.lines().all(|line| line.len() <= 110), "a line is too long");
        }
        for says in ["  tcp:HOST:PORT\n          Connects to a TCP server", "ws-l:", "  tls:\n"] {
            assert!(long.contains(says), "{says}");
        }
    }

    #[test]
    fn the_definition_is_consistent() {
        Args::command().debug_assert();
    }

    #[test]
    fn options_and_specifiers_come_in_any_order() {
        let args = Args::try_parse_from(["websocat", "a:", "-bu", "--linger=2s", "b:", "-E"]).unwrap();
        assert_eq!((args.spec1.unwrap(), args.spec2.unwrap()), ("a:".into(), "b:".into()));
        assert!(args.session.binary && args.session.unidirectional && args.session.exit_on_eof);
        assert!(Args::try_parse_from(["websocat", "-b", "-b", "a:"]).is_err(), "a flag given twice");
        assert!(Args::try_parse_from(["websocat", "--", "-"]).unwrap().spec1.is_some());
    }

    fn error(words: &[&str]) -> String {
        let words = ["websocat"].iter().chain(words).map(Into::into).collect();
        Args::parse_words(words).unwrap_err().to_string().lines().next().unwrap().to_owned()
    }

    #[test]
    fn numbers_out_of_range_are_named() {
        // Scripts could not hold them.
        assert!(error(&["--global-timeout-ms", "9223372036854775808"]).contains("not in"));
        assert!(error(&["--sleep-ms-before-start", "18446744073709551615"]).contains("not in"));
    }

    #[test]
    fn values_that_look_like_options_are_read_as_values() {
        let mut count = 0;
        for option in Args::command().get_arguments() {
            let kind = match option.get_value_names().and_then(|names| names.first()).map(|name| name.as_str()) {
                Some("DURATION") => "duration",
                Some("SIZE") => "size",
                _ => continue,
            };
            let name = format!("--{}", option.get_long().unwrap());
            for wrong in ["-1", "-5s", "-1k", "-b"] {
                let e = error(&[&name, wrong]);
                assert!(e.contains(&format!("`{wrong}` is not a {kind}")), "{name} {wrong}: {e}");
            }
            count += 1;
        }
        assert!(count > 10, "only {count} options");
        assert!(error(&["--exec-dup2", "-1"]).contains("`-1` is not a list"));
        assert!(error(&["-B", "-1"]).contains("`-1` is not a size"));
    }

    #[test]
    fn every_option_is_documented() {
        for arg in Args::command().get_arguments().filter(|a| !["help", "version"].contains(&a.get_id().as_str())) {
            assert!(arg.get_help().is_some(), "{} has no help", arg.get_id());
        }
    }
}
