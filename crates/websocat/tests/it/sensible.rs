//! Command lines that make sense are told nothing: those of README and book, of the golden tests, of `--explain`.
//!
//! Those that are there to show a warning are named here, with its id.

use super::golden;
use std::{ffi::OsString, fs, path::Path};
use websocat::{cli::CommandLine, plan};

/// Parts of lines that deserve a warning, and which.
const WARNED: &[(&str, &str)] = &[
    ("ws-ll-client:ws-request:tcp:h:2", "no-host"),
    ("-s 1234 --allow-origin *", "exposed-to-pages"),
    ("-t ws-l:0.0.0.0:8080 cmd:echo", "exposed-process"),
    ("--filter-reverse cmd:b tcp-l:127.0.0.1:1234", "unused-option"),
    ("--less-fixups", "first-takes-all"),
    ("log:tee:lines:tcp:127.0.0.1:1 ws-ll-server:tcp-l:127.0.0.1:2", "listener-on-the-right"),
];

fn root() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// Words of the command that begins a line of a shell; None where there is none.
fn words(line: &str) -> Option<Vec<String>> {
    let (mut words, mut word, mut quote, mut begun) = (vec![], String::new(), None, false);
    let mut chars = line.chars().peekable();
    while let Some(c) = chars.next() {
        match (c, quote) {
            ('\'' | '"', None) => (quote, begun) = (Some(c), true),
            (c, Some(open)) if c == open => quote = None,
            ('|' | '>' | '<' | ';', None) if !begun => break,
            // Several blanks and a word: what it is for.
            (' ', None) if chars.peek() == Some(&' ') => break,
            ('#', None) if !begun => break,
            (' ', None) => {
                if begun {
                    words.push(std::mem::take(&mut word));
                }
                begun = false;
            }
            (c, _) => {
                word.push(c);
                begun = true;
            }
        }
    }
    if begun {
        words.push(word);
    }
    // A descriptor that the shell opens.
    words.retain(|word| !word.ends_with("<>") && !word.starts_with("3<>"));
    (words.first().map(String::as_str) == Some("websocat")).then(|| words.split_off(1))
}

/// All command lines of a page.
fn of_page(text: &str) -> Vec<Vec<String>> {
    // Lines that go on are joined; what they begin with is for the eye.
    let mut pieces = text.split("\\\n").map(str::to_owned);
    let mut joined = pieces.next().unwrap_or_default();
    pieces.for_each(|piece| joined = format!("{} {}", joined.trim_end(), piece.trim_start()));
    let indented = joined.lines().filter_map(|line| line.strip_prefix("    "));
    indented
        .filter_map(|line| {
            let start = line.find("websocat ")?;
            let before = &line[..start];
            // Behind a pipe, a prompt, or the program that starts it.
            let starts = before.is_empty() || before.ends_with(['|', ' ']) && !before.contains("//");
            starts.then(|| words(&line[start..])).flatten()
        })
        .collect()
}

fn documented() -> Vec<Vec<String>> {
    let book = fs::read_dir(root().join("doc/src")).unwrap().map(|entry| entry.unwrap().path());
    let pages = book.filter(|path| path.extension().is_some_and(|e| e == "md")).chain([root().join("README.md")]);
    pages.flat_map(|page| of_page(&fs::read_to_string(page).unwrap())).collect()
}

/// What is said where lints are denied.
fn said(line: &[String]) -> Result<(), String> {
    let (first, rest) = line.split_at(usize::from(line.first().is_some_and(|word| word == "--compose")));
    let words = [&["websocat".to_owned()], first, &["--lint=deny".to_owned()], rest].concat();
    let read = CommandLine::read(words.into_iter().map(OsString::from)).map_err(|e| format!("{e:?}"))?;
    plan::script(&read).map(drop).map_err(|e| e.to_string())
}

#[test]
fn sensible_command_lines_are_told_nothing() {
    let (documented, golden) = (documented(), golden::lines());
    assert!(documented.len() > 45 && golden.len() > 55, "{} and {}", documented.len(), golden.len());
    let (mut faults, mut warned) = (vec![], vec![]);
    for line in documented.iter().chain(&golden) {
        // Runs a script that is not there.
        if line.iter().any(|word| ["-x", "--just-generate-key"].contains(&&**word)) {
            continue;
        }
        let text = line.join(" ");
        let deserved = WARNED.iter().find(|(part, _)| text.contains(part));
        match (said(line), deserved) {
            (Ok(()), None) => {}
            (Err(said), Some((part, id))) if said.contains(&format!("[{id}]")) => warned.push(*part),
            (said, deserved) => faults.push(format!("{text}: {said:?}, not {deserved:?}")),
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
    assert!(WARNED.iter().all(|(part, _)| warned.contains(part)), "{warned:?}");
}
