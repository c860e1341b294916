//! Taking an option out of a command line before anything reads it: how `cargo xtask options` finds out whether the test
//! that is named for an option would notice if the option did nothing.
//!
//! Only in builds with the feature `without-option`, never in a release. The environment variable says which option; tests
//! in-process and the program that they start go through here, since every command line does.

use crate::cli::Args;
use clap::{Arg, Command, CommandFactory as _};
use std::ffi::{OsStr, OsString};

/// Names the option, without dashes.
const VARIABLE: &str = "WEBSOCAT_WITHOUT_OPTION";

/// The words of a command line without the option that the environment names, and without its value.
pub fn remove_named(words: Vec<OsString>) -> Vec<OsString> {
    match std::env::var(VARIABLE) {
        Ok(name) => remove(words, &name),
        Err(_) => words,
    }
}

/// `--compose` is no option of a session: it decides how the whole line is read.
pub fn remove_compose(words: &mut Vec<OsString>) {
    if std::env::var(VARIABLE).is_ok_and(|name| name == "compose") {
        words.retain(|word| word != "--compose");
    }
}

fn remove(words: Vec<OsString>, name: &str) -> Vec<OsString> {
    let mut command = Args::command();
    command.build();
    let mut words = words.into_iter();
    let mut out: Vec<OsString> = words.next().into_iter().collect();
    while let Some(word) = words.next() {
        if word == "--" {
            out.push(word);
            out.extend(words);
            break;
        }
        let (kept, value) = match word.to_str() {
            Some(text) if text.starts_with("--") => long(&command, text, name),
            Some(text) if text.starts_with('-') && text.len() > 1 => cluster(&command, text, name),
            _ => (Some(word), Value::Inside),
        };
        let stays = kept.is_some();
        out.extend(kept);
        match value {
            Value::Inside => {}
            Value::Next { dropped } => {
                let next = words.next();
                out.extend(next.filter(|_| stays && !dropped));
            }
        }
    }
    out
}

/// Where the value of an option stands.
enum Value {
    /// In the same word, or there is none.
    Inside,
    /// The next word; `dropped`: it belongs to the option that is taken out.
    Next { dropped: bool },
}

fn takes_next(arg: &Arg) -> bool {
    arg.get_num_args().is_some_and(|n| n.min_values() > 0)
}

/// A word such as `--name` or `--name=value`.
fn long(command: &Command, text: &str, name: &str) -> (Option<OsString>, Value) {
    let (typed, inside) = text[2..].split_once('=').map_or((&text[2..], false), |(typed, _)| (typed, true));
    let is_called = |arg: &&Arg| {
        arg.get_long() == Some(typed) || arg.get_all_aliases().is_some_and(|aliases| aliases.contains(&typed))
    };
    let Some(arg) = command.get_arguments().find(is_called) else { return (Some(text.into()), Value::Inside) };
    let dropped = arg.get_long() == Some(name);
    let value = if !inside && takes_next(arg) { Value::Next { dropped } } else { Value::Inside };
    ((!dropped).then(|| text.into()), value)
}

/// A word such as `-bu`, `-B7`, `-buB`.
fn cluster(command: &Command, text: &str, name: &str) -> (Option<OsString>, Value) {
    let mut kept = String::from("-");
    let mut value = Value::Inside;
    for (at, short) in text.char_indices().skip(1) {
        let arg = command.get_arguments().find(|arg| arg.get_short() == Some(short));
        let dropped = arg.is_some_and(|arg| arg.get_long() == Some(name));
        if !dropped {
            kept.push(short);
        }
        if arg.is_some_and(takes_next) {
            let rest = &text[at + short.len_utf8()..];
            if rest.is_empty() {
                value = Value::Next { dropped };
            } else if !dropped {
                kept.push_str(rest);
            }
            break;
        }
    }
    ((kept.len() > 1).then(|| OsStr::new(&kept).to_owned()), value)
}

#[cfg(test)]
mod tests {
    use super::remove;

    fn removed(name: &str, line: &[&str]) -> Vec<String> {
        let line = [&["websocat"], line].concat().into_iter().map(Into::into).collect();
        remove(line, name).into_iter().skip(1).map(|word| word.into_string().unwrap()).collect()
    }

    #[test]
    fn options_go_with_their_values_and_nothing_else_does() {
        for (name, line, rest) in [
            ("binary", &["-b", "a:", "--binary", "b:"][..], &["a:", "b:"][..]),
            ("binary", &["-bu", "-ub", "a:"], &["-u", "-u", "a:"]),
            ("buffer-size", &["-buB", "7", "-B7", "--buffer-size=7", "--buffer-size", "7", "a:"], &["-bu", "a:"]),
            ("unidirectional", &["-B", "7", "-H", "-u", "-u", "a:"], &["-B", "7", "-H", "-u", "a:"]),
            ("header", &["-H", "-u", "-bH", "x: -b", "-HX: 1", "a:"], &["-b", "a:"]),
            ("text", &["-B7", "-t", "-", "--", "-t", "--text"], &["-B7", "-", "--", "-t", "--text"]),
            ("linger", &["--linger=2s", "--no-such", "--linger", "-1"], &["--no-such"]),
            ("no-lints", &["--header", "--no-lints", "--no-lints"], &["--header", "--no-lints"]),
        ] {
            assert_eq!(removed(name, line), rest, "--{name} of {line:?}");
        }
    }
}
