//! What `--dump-spec` prints is made to be read and edited: every function and option in it exists, none says what would be so
//! without it, and names stay when something else changes.
//!
//! Functions, options and what they are when absent are read from the source and its comments.

use super::{
    golden::{self, script},
    wrong_types::{Function, functions},
};
use std::{collections::BTreeSet, ffi::OsString};
use websocat::{cli::CommandLine, plan};

/// One call in a script: the function and its arguments.
#[derive(Debug)]
struct Call {
    name: String,
    arguments: Vec<String>,
}

fn is_name(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// The text up to the bracket that closes the one before it, in pieces between commas on the way.
fn pieces(text: &str) -> Vec<String> {
    let (mut pieces, mut depth, mut quoted, mut closure) = (vec![String::new()], 0, false, false);
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        let piece = pieces.last_mut().unwrap();
        match c {
            '\\' if quoted => {
                piece.push(c);
                piece.extend(chars.next());
                continue;
            }
            '"' => quoted = !quoted,
            _ if quoted => {}
            '|' if depth == 0 => closure = !closure,
            '(' | '[' | '{' => depth += 1,
            ')' | ']' | '}' if depth == 0 => break,
            ')' | ']' | '}' => depth -= 1,
            ',' if depth == 0 && !closure => {
                pieces.push(String::new());
                continue;
            }
            _ => {}
        }
        piece.push(c);
    }
    let mut pieces: Vec<_> = pieces.iter().map(|piece| piece.trim().to_owned()).collect();
    // A comma at the end, or nothing at all.
    if pieces.last().is_some_and(String::is_empty) {
        pieces.pop();
    }
    pieces
}

/// All calls, those inside of others, too.
fn calls(script: &str) -> Vec<Call> {
    let mut calls = vec![];
    let (mut quoted, mut escaped) = (false, false);
    for (at, c) in script.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            '(' if !quoted => {
                let before = &script[..at];
                let start = before.rfind(|c| !is_name(c)).map_or(0, |before| before + 1);
                let name = before[start..].to_owned();
                if name.is_empty() {
                    continue;
                }
                let mut arguments = pieces(&script[at + 1..]);
                if before[..start].ends_with('.') {
                    arguments.insert(0, "self".into());
                }
                calls.push(Call { name, arguments });
            }
            _ => {}
        }
    }
    calls
}

/// The pairs of an option map.
fn pairs(map: &str) -> Vec<(String, String)> {
    let pairs = pieces(map.strip_prefix("#{").unwrap());
    pairs.iter().map(|pair| pair.split_once(": ").unwrap()).map(|(key, value)| (key.into(), value.into())).collect()
}

/// Options that say what is so without them.
const NEEDLESS: &[&str] = &[
    "--max-header-bytes 64k --max-headers 100 ws-l:1 mirror:",
    "--max-header-bytes 64k --max-headers 100 ws://127.0.0.1:1/ -",
    "--separator 10 --separator-n 1 -t tcp:127.0.0.1:1 ws://127.0.0.1:1/",
    "--tee mirror: --tee-slow block --tee-backlog 1m -t ws-l:1 lines:tcp:127.0.0.1:1",
    "--udp-server-max-clients 4096 --udp-server-qlen 256 --udp-server-buffer-size 65535 -b udp-server:1 mirror:",
    "--udp-server-timeout-ms 5 --udp-max-send-datagram-size 655360 -b udp-server:1 mirror:",
    "--udp-max-send-datagram-size 655360 -b udp:127.0.0.1:1 mirror:",
    "--seqpacket-max-send-datagram-size 655360 -b seqpacket-l:x seqpacket:y",
    "--compress-level 6 --compress-window-bits 15 --compress ws://127.0.0.1:1/ -",
    "--text-invalid pass ws-ll-client:tcp:127.0.0.1:1 lines:tcp:127.0.0.1:2",
    "--defragment-max-size 655360 -b defragment:lines:tcp:127.0.0.1:1 ws-l:1",
    "--exec-grace inf -b cmd:x tcp:127.0.0.1:1",
    "-b --socket-listen-backlog 1024 tcp-l:1 mirror:",
    "-b --connect-timeout 0 --handshake-timeout inf tcp-l:1 wss://127.0.0.1:1",
    "--exit-on-hangup -b tcp-l:1 tcp:127.0.0.1:1",
];

/// Whether an option map says what is so without this pair.
fn is_needless(function: &Function, key: &str, value: &str) -> bool {
    let key = function.options.iter().flatten().find(|known| known.name == key).unwrap();
    let empty = ["()", "[]", "#{}"].contains(&value) || (key.kind == "bool" && value == "false");
    // "10 (newline) when absent", "256 KiB when absent", "9 to 15, which is also the value when absent"
    let words = key.doc.replace(", which is also the value", "").replace(" (newline)", "").replace('`', "");
    let said = words.split(" when absent").next().filter(|_| words.contains(" when absent")).unwrap_or_default();
    let said = said.rsplit([';', ',', '.']).next().unwrap().trim();
    let mut parts = said.rsplit(' ');
    let (last, before) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    let number = |text: &str, shift: u32| text.parse::<u64>().ok().map(|n| (n << shift).to_string());
    let default = match last {
        "KiB" => number(before, 10),
        "MiB" => number(before, 20),
        "" => None,
        word => number(word, 0).or_else(|| Some(format!("\"{word}\""))),
    };
    key.required.is_none() && (empty || default.is_some_and(|default| default == value))
}

#[test]
fn printed_calls_fit_their_functions_and_options_say_something() {
    let functions = functions();
    let needless = NEEDLESS.iter().map(|line| line.split(' ').map(str::to_owned).collect());
    let (mut faults, mut count) = (vec![], 0);
    for line in golden::lines().into_iter().chain(needless) {
        for call in calls(&script(&line)) {
            let of_that_name: Vec<_> = functions.iter().filter(|function| function.name == call.name).collect();
            let fits = of_that_name.iter().find(|function| function.parameters.len() == call.arguments.len());
            let Some(function) = fits else {
                faults.push(format!("{line:?}: {} with {} arguments: {call:?}", call.name, call.arguments.len()));
                continue;
            };
            for (kind, argument) in function.parameters.iter().zip(&call.arguments) {
                if !kind.starts_with("RhOpts <") {
                    continue;
                }
                for (key, value) in pairs(argument) {
                    count += 1;
                    if !function.options.iter().flatten().any(|known| known.name == key) {
                        faults.push(format!("{line:?}: {} does not know {key}", call.name));
                    } else if is_needless(function, &key, &value) {
                        faults.push(format!("{line:?}: {} is no other without {key}: {value}", call.name));
                    }
                }
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
    assert!(count > 500, "only {count} options");
}

/// Names after which something is called, with their numbers.
fn names(script: &str) -> BTreeSet<String> {
    let words = script.split(|c| !is_name(c));
    let numbered = |word: &&str| {
        let stem = word.trim_end_matches(|c: char| c.is_ascii_digit());
        !stem.is_empty() && stem.len() < word.len() && stem.bytes().all(|b| b.is_ascii_lowercase())
    };
    words.filter(numbered).map(str::to_owned).collect()
}

#[test]
fn names_stay_when_something_else_changes() {
    let (mut compared, mut faults) = (0, vec![]);
    for line in golden::lines().into_iter().filter(|line| !line.iter().any(|word| word == "--compose")) {
        let before = names(&script(&line));
        for option in [
            "--ping-interval=5s",
            "--linger=7s",
            "--conncap=9",
            "--socket-ttl=9",
            "--connect-timeout=3s",
            "--exit-on-hangup",
            "--global-timeout-ms=5000",
            "-k",
            "--header=A: b",
            "-n",
            "--max-headers=7",
            "--no-lints",
        ] {
            if line.iter().any(|word| word.split('=').next() == option.split('=').next()) {
                continue;
            }
            let with = [&[option.to_owned()], &line[..]].concat();
            let Ok(read) = CommandLine::read(["websocat".into()].into_iter().chain(with.iter().map(OsString::from)))
            else {
                continue; // an option that does not go with another one
            };
            let Ok(text) = plan::script(&read) else { continue };
            compared += 1;
            let after = names(&text);
            if after != before {
                faults.push(format!("{with:?}: {:?}", before.symmetric_difference(&after).collect::<Vec<_>>()));
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
    assert!(compared > 300, "only {compared} scripts");
}
