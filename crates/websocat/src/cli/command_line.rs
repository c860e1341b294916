//! A whole command line, read: one session, or several that `--compose` joins.
//!
//! The only place where arguments become [`Args`]. Options of the process as a whole are gathered from all parts here; what
//! options mean is decided in `plan`.

use super::{
    Args,
    args::{LogFormat, ProgramArgs},
    compose::{self, COMPOSE, Composed, Place, Tree, Words},
    familiar,
};
use crate::{
    error::{Error, Kind, shown},
    plan,
};
use clap::error::{ContextKind, ContextValue, ErrorKind};
use std::{
    error,
    ffi::OsString,
    fmt,
    io::{self, Write as _},
    num::ParseIntError,
    sync::Arc,
};

/// What is to be done.
#[derive(Clone, Debug)]
pub struct CommandLine {
    /// Options of the process as a whole, whichever part they stand in.
    pub program: ProgramArgs,
    pub sessions: Tree<Part>,
}

/// The arguments of one session.
#[derive(Clone, Debug)]
pub struct Part {
    pub args: Arc<Args>,
    /// Where they stand; None where they are the whole line.
    pub place: Option<Place>,
}

impl Part {
    /// An error with the place of what it is about.
    pub fn blame(&self, e: Error) -> Error {
        match &self.place {
            Some(place) => e.context(format!("{COMPOSE}, {place}")),
            None => e,
        }
    }
}

/// Why a command line was not read; help and version come this way, too.
#[derive(Debug)]
pub enum ReadError {
    /// What the parser of options has to say, and about which part.
    Options {
        error: clap::Error,
        place: Option<Place>,
    },
    Compose(Error),
}

impl ReadError {
    /// Something was typed that nothing takes.
    fn is_unknown_argument(&self) -> bool {
        matches!(self, Self::Options { error, .. } if error.kind() == ErrorKind::UnknownArgument)
    }

    /// Tells the user and gives the exit status.
    pub fn tell(&self) -> u8 {
        // Nobody is left to tell if printing fails, here and below.
        let _ = match self {
            Self::Options { error, .. } if !error.use_stderr() => match error.print() {
                // `--help | head` has seen enough.
                Err(e) if e.kind() != io::ErrorKind::BrokenPipe => {
                    let _ = writeln!(io::stderr(), "websocat: cannot write to standard output: {e}");
                    return Kind::File as u8;
                }
                _ => return 0,
            },
            Self::Options { error, place: None } => error.print(),
            Self::Options { error, place: Some(place) } => {
                let _ = writeln!(io::stderr(), "websocat: {COMPOSE}, {place}:");
                error.print()
            }
            Self::Compose(error) => writeln!(io::stderr(), "websocat: {error}"),
        };
        Kind::Usage as u8
    }
}

impl fmt::Display for ReadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Options { error, place: None } => error.fmt(f),
            Self::Options { error, place: Some(place) } => write!(f, "{COMPOSE}, {place}: {error}"),
            Self::Compose(error) => error.fmt(f),
        }
    }
}

impl From<Error> for ReadError {
    fn from(error: Error) -> Self {
        Self::Compose(error)
    }
}

impl CommandLine {
    /// Reads a command line that begins with the name of the program.
    pub fn read(line: impl IntoIterator<Item = OsString>) -> Result<Self, ReadError> {
        let mut words: Vec<OsString> = line.into_iter().skip(1).collect();
        #[cfg(feature = "without-option")]
        plan::remove_compose(&mut words);
        if words.first().is_some_and(|word| word == COMPOSE) {
            return Self::composed(words.split_off(1));
        }
        let args = arguments(&words, None);
        // Also where the operators behind it are too many specifiers.
        let composed = args.as_ref().map_or_else(ReadError::is_unknown_argument, |args| args.program.compose);
        if let Some(at) = words.iter().position(|word| word == COMPOSE).filter(|_| composed) {
            return Err(Error::usage(format!("argument {}, `{COMPOSE}`, must be the very first one", at + 1)).into());
        }
        let args = args?;
        let program = args.program.clone();
        Ok(Self { program, sessions: Tree::Part(Part { args: Arc::new(args), place: None }) })
    }

    /// Reads what follows `--compose`.
    fn composed(words: Vec<OsString>) -> Result<Self, ReadError> {
        let dumps = words.first().is_some_and(|word| word == "--dump-spec-phase0");
        let Composed { global, tree } = compose::parse(words)?;
        let defaults = arguments(&[], None)?.program;
        let mut whole =
            Whole { program: ProgramArgs { dump_spec_phase0: dumps, ..defaults.clone() }, defaults, log_format: None };
        if let Some(Words { words, place }) = global {
            let args = arguments(&words, Some(&place))?;
            if let Some(spec) = &args.spec1 {
                let e = format!("{COMPOSE}: `{}` of {place} needs `&`, `;` or `^` behind it", spec.display());
                return Err(Error::usage(e).into());
            }
            whole.add(&args, &place)?;
        }
        let sessions = whole.read(tree)?;
        Ok(Self { program: whole.program, sessions })
    }

    /// Some session talks to standard input and output because it names one side only.
    pub fn talks(&self) -> bool {
        self.sessions.parts().iter().any(|part| part.args.spec2.is_none() && !part.args.program.scenario)
    }
}

fn arguments(words: &[OsString], place: Option<&Place>) -> Result<Args, ReadError> {
    let line = std::iter::once("websocat".into()).chain(words.iter().cloned());
    let parsed = Args::parse_words(plan::arguments(line));
    parsed.map_err(|error| ReadError::Options { error: in_plain_words(error, words), place: place.cloned() })
}

/// Says more where the parser of options does not know what was meant, or speaks of types.
fn in_plain_words(mut error: clap::Error, words: &[OsString]) -> clap::Error {
    let text = |error: &clap::Error, kind| match error.get(kind) {
        Some(ContextValue::String(text)) => text.clone(),
        _ => String::new(),
    };
    let raw = |kind, text: String| clap::Error::raw(kind, text + "\n\nFor more information, try '--help'.\n");
    match error.kind() {
        ErrorKind::UnknownArgument => {
            if let Some(says) = familiar::option(&text(&error, ContextKind::InvalidArg)) {
                // Names that only look alike would lead astray.
                error.remove(ContextKind::SuggestedArg);
                error.insert(ContextKind::Suggested, ContextValue::StyledStrs(vec![says.into()]));
            }
            error
        }
        ErrorKind::InvalidUtf8 => match words.iter().filter(|word| word.to_str().is_none()).collect::<Vec<_>>()[..] {
            [word] => raw(error.kind(), format!("argument `{}` is not UTF-8", shown(word.as_encoded_bytes()))),
            _ => error,
        },
        ErrorKind::ValueValidation if error::Error::source(&error).is_some_and(|e| e.is::<ParseIntError>()) => {
            let [value, option] = [ContextKind::InvalidValue, ContextKind::InvalidArg].map(|kind| text(&error, kind));
            raw(
                error.kind(),
                format!("invalid value '{}' for '{option}': write a whole number", shown(value.as_bytes())),
            )
        }
        _ => error,
    }
}

/// Options of the process, as they are gathered from the parts of a composed line.
struct Whole {
    program: ProgramArgs,
    defaults: ProgramArgs,
    /// That one part asked for.
    log_format: Option<(LogFormat, Place)>,
}

impl Whole {
    fn read(&mut self, tree: Tree<Words>) -> Result<Tree<Part>, ReadError> {
        match tree {
            Tree::Part(Words { words, place }) => {
                let args = arguments(&words, Some(&place))?;
                self.add(&args, &place)?;
                Ok(Tree::Part(Part { args: Arc::new(args), place: Some(place) }))
            }
            Tree::Joined(join, trees) => {
                let trees = trees.into_iter().map(|tree| self.read(tree)).collect::<Result<_, _>>()?;
                Ok(Tree::Joined(join, trees))
            }
        }
    }

    fn add(&mut self, args: &Args, place: &Place) -> Result<(), Error> {
        let part = &args.program;
        let refuse = |what: String| Err(Error::usage(format!("{COMPOSE}, {place}: {what}")));
        for (used, option) in [
            (part.compose, "--compose; parts are joined inside of parentheses"),
            (part.scenario, "-x"),
            (part.dump_spec_phase1, "--dump-spec-phase1"),
            (part.dump_spec_phase2, "--dump-spec-phase2"),
            (part.just_generate_key, "--just-generate-key"),
            (part.just_generate_accept.is_some(), "--just-generate-accept"),
            (part.list_features, "--list-features"),
            (part.generate.is_some(), "--generate"),
        ] {
            if used {
                return refuse(format!("a part cannot have {option}"));
            }
        }
        if part.dump_spec_phase0 && !self.program.dump_spec_phase0 {
            return refuse(format!("--dump-spec-phase0 must stand right behind {COMPOSE}"));
        }
        let whole = &mut self.program;
        whole.dump_spec |= part.dump_spec;
        whole.lint = whole.lint.max(part.lint);
        whole.explain |= part.explain;
        whole.verbose = whole.verbose.max(part.verbose);
        whole.quiet = whole.quiet.max(part.quiet);
        if whole.verbose > 0 && whole.quiet > 0 {
            return refuse("-v here and -q elsewhere; the program has one of both".to_owned());
        }
        let form = part.log_format;
        // The form that is the default may have been asked for as well.
        if args.typed.iter().any(|typed| typed.name == "--log-format") {
            whole.log_format = form;
            let (former, at) = self.log_format.get_or_insert_with(|| (form, place.clone()));
            if *former != form {
                return refuse(format!("--log-format is one for all parts, but {at} asked for another one"));
            }
        }
        let other = |option: &str, [first, second]: [String; 2]| {
            refuse(format!("--{option} is one for all parts, but {first} and {second} were given"))
        };
        if let Some(two) = one(&mut whole.random_seed, part.random_seed, None) {
            return other("random-seed", two.map(|seed| seed.unwrap_or_default().to_string()));
        }
        if let Some(two) = one(&mut whole.threads, part.threads, None) {
            return other("threads", two.map(|threads| threads.unwrap_or_default().to_string()));
        }
        if let Some(two) = one(&mut whole.drain, part.drain, self.defaults.drain) {
            return other("drain", two.map(|drain| drain.to_string()));
        }
        Ok(())
    }
}

/// Keeps the one value of an option that all parts share; gives both if there are two.
fn one<T: Copy + PartialEq>(whole: &mut T, part: T, absent: T) -> Option<[T; 2]> {
    if part == absent {
        return None;
    }
    let former = std::mem::replace(whole, part);
    (former != absent && former != part).then_some([former, part])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(line: &str) -> Result<CommandLine, ReadError> {
        CommandLine::read(["websocat"].into_iter().chain(line.split_whitespace()).map(OsString::from))
    }

    #[test]
    fn options_of_the_process_hold_for_all_parts() {
        for line in [
            "--compose --dump-spec --random-seed 3 -v ( a: b: & c: d: )",
            "--compose a: b: --random-seed 3 & c: d: -v --dump-spec --random-seed 3",
        ] {
            let line = read(line).unwrap();
            let program = &line.program;
            assert!(program.dump_spec && program.random_seed == Some(3) && program.verbose == 1, "{program:?}");
            assert_eq!((line.sessions.parts().len(), line.talks()), (2, false));
        }
        let line = read("--compose --dump-spec-phase0 a: --drain 3s ; b: c: --threads 2 --drain 3s").unwrap();
        assert!(line.program.dump_spec_phase0 && line.talks());
        assert_eq!((line.program.threads, line.program.drain.millis()), (Some(2), Some(3000)));
        let line = read("--compose --log-format text a: b: & c: --log-format text d: & e: f:").unwrap();
        assert_eq!(line.program.log_format, LogFormat::Text);
        assert_eq!(read("--compose a: b: & c: --log-format json d:").unwrap().program.log_format, LogFormat::Json);
        // Options of a session are those of a part.
        let line = read("--compose -b --oneshot a: b: & c: d:").unwrap();
        let oneshot: Vec<_> = line.sessions.parts().iter().map(|part| part.args.session.oneshot).collect();
        assert_eq!(oneshot, [true, false]);
    }

    #[test]
    fn errors_of_options_speak_to_users() {
        for (line, says, astray) in [
            ("--socks5 h:1 ws://h", "tip: there are no proxies yet", "--socket"),
            ("-1 ws://h", "tip: there is no limit of messages yet", "-- -1"),
            ("--cacert x wss://h", "SSL_CERT_FILE", "a similar"),
            ("--conncap x -s 1", "invalid value 'x' for '--conncap <N>': write a whole number\n", "digit"),
            ("--threads 99999999999999999999999 -s 1", "'--threads <N>'", "digit"),
            ("--bianry ws://h", "'--binary'", "yet"),
        ] {
            let e = read(line).unwrap_err().to_string();
            assert!(e.contains(says) && !e.contains(astray), "{line}: {e}");
        }
    }

    #[cfg(unix)]
    #[test]
    fn arguments_that_are_no_text_are_named() {
        use std::os::unix::ffi::OsStringExt as _;
        let words = ["websocat", "ws://h", "-H"].into_iter().map(OsString::from);
        let e = CommandLine::read(words.chain([OsString::from_vec(b"a: x\xff".to_vec())])).unwrap_err().to_string();
        assert!(e.starts_with("error: argument `a: x\u{fffd}` is not UTF-8\n"), "{e}");
    }

    #[test]
    fn errors_say_which_part_is_wrong() {
        for (line, expected) in [
            ("-b --compose a: b:", "argument 2, `--compose`, must be the very first one"),
            ("-b --compose a: b: ; c: d:", "argument 2, `--compose`, must be the very first one"),
            (
                "--compose --random-seed 1 a: & --random-seed 2 --drain inf b:",
                "--compose, arguments 6 to 10: --random-seed is one for all parts, but 1 and 2 were given",
            ),
            (
                "--compose --drain 3s a: & --drain inf b:",
                "--compose, arguments 6 to 8: --drain is one for all parts, but 3s and inf were given",
            ),
            ("--compose a: b: & --compose c:", "--compose, arguments 5 to 6: a part cannot have --compose"),
            ("--compose a: b: ; -x file", "--compose, arguments 5 to 6: a part cannot have -x"),
            (
                "--compose --dump-spec-phase1 a: & b:",
                "--compose, arguments 2 to 3: a part cannot have --dump-spec-phase1",
            ),
            ("--compose a: & --dump-spec-phase2", "--compose, argument 4: a part cannot have --dump-spec-phase2"),
            (
                "--compose a: --dump-spec-phase0 & b:",
                "--compose, arguments 2 to 3: --dump-spec-phase0 must stand right",
            ),
            ("--compose a: & b: --no-such", "--compose, arguments 4 to 5: error: unexpected argument '--no-such'"),
            ("--compose --random-seed 1 a: & --random-seed 2 b:", "--compose, arguments 6 to 8: --random-seed is one"),
            (
                "--compose --log-format json a: & --log-format text b:",
                "--compose, arguments 6 to 8: --log-format is one for all parts, but arguments 2 to 4 asked for another one",
            ),
            ("--compose -q a: & -v b:", "--compose, arguments 5 to 6: -v here and -q elsewhere"),
            ("--compose -b x: ( a: & b: )", "--compose: `x:` of arguments 2 to 3 needs `&`"),
            ("--compose a: & b: ; c:", "--compose: argument 5, `;` stands beside argument 3, `&`"),
        ] {
            let e = read(line).map(|line| format!("{line:?}")).unwrap_err();
            assert!(e.to_string().starts_with(expected), "{line}: {e}");
        }
    }
}
