//! Each lint on a command line that deserves it, and on one near it that does not.

use super::*;
use crate::{
    cli::{Args, CommandLine},
    plan::{parse, rewrite},
};
use std::{collections::BTreeSet, ffi::OsString, sync::Arc};

/// Ids of what is found in a command line.
fn found(line: &[&str]) -> Vec<&'static str> {
    let args = Arc::new(Args::parse_words(words(line)).unwrap());
    let mut plan = parse(&args).unwrap();
    rewrite(&mut plan).unwrap();
    plan.findings.list().iter().map(|finding| finding.lint.id).collect()
}

fn words(line: &[&str]) -> Vec<OsString> {
    crate::plan::arguments(["websocat"].iter().chain(line).map(OsString::from))
}

const ALIKE: &[(&str, &[&str], &[&str])] = &[
    (
        "unused-option",
        &["-b", "--exec-chdir", "/", "tcp:h:1", "mirror:"],
        &["-b", "--exec-chdir", "/", "cmd:a", "mirror:"],
    ),
    ("listener-on-the-right", &["mirror:", "tcp-l:1"], &["tcp-l:1", "mirror:"]),
    ("mixed-bytes", &["-b", "tcp-l:1", "-"], &["-b", "--oneshot", "tcp-l:1", "-"]),
    ("first-takes-all", &["-t", "--less-fixups", "ws-l:1", "-"], &["-t", "ws-l:1", "-"]),
    ("bare-handover", &["--exec-dup2=0,1", "ws-u:tcp-l:1", "exec:a"], &["--exec-dup2=0,1", "tcp-l:1", "exec:a"]),
    ("joins-nothing", &["-b", "ws-l:1", "tee:mirror:"], &["-b", "--tee", "mirror:", "ws-l:1", "tee:mirror:"]),
    ("odd-address", &["unix:@name", "mirror:"], &["abstract:name", "mirror:"]),
    (
        "contradiction",
        &["--chmod-owner", "--chmod-group", "unix-l:x", "mirror:"],
        &["--chmod-owner", "unix-l:x", "mirror:"],
    ),
    ("old-spelling", &["--accept-from-fd", "tcp-l-fd:3", "mirror:"], &["tcp-l-fd:3", "mirror:"]),
    ("predictable-keys", &["--random-seed", "1", "ws://h/"], &["--random-seed", "1", "-b", "random:", "mirror:"]),
    ("exposed-process", &["ws-l:0.0.0.0:1", "cmd:sh"], &["ws-l:127.0.0.1:1", "cmd:sh"]),
    ("exposed-process", &["tcp-l:[::]:1", "exec:sh"], &["tcp-l:[::]:1", "mirror:"]),
    (
        "exposed-to-pages",
        &["--allow-origin", "*", "ws-l:1", "cmd:sh"],
        &["--allow-origin", "https://example.org", "ws-l:1", "cmd:sh"],
    ),
    ("secret-in-the-clear", &["ws://me:word@h/"], &["wss://me:word@h/"]),
    ("secret-in-the-clear", &["-H", "cookie: a=b", "ws://h/"], &["-H", "cookie: a=b", "ws://127.0.0.1/"]),
    (
        "secret-in-the-clear",
        &["-H", "Authorization: Bearer x", "-", "ws-c:tcp:h:1"],
        &["-H", "Authorization: Bearer x", "-", "ws-c:tls:tcp:h:1"],
    ),
    (
        "secret-in-the-clear",
        &["--ws-c-uri", "ws://me:word@h/", "ws-ll-client:ws-request:tcp:192.0.2.1:1"],
        &["--ws-c-uri", "ws://me:word@h/", "ws-c:tcp:[::1]:1"],
    ),
    (
        "secret-in-the-clear",
        &["-H", "Cookie: a=b", "ws-l:1", "reuse-raw:ws-c:log:tcp:h:1"],
        &["-H", "X-Id: a=b", "ws-l:1", "reuse-raw:ws-c:log:tcp:h:1"],
    ),
    (
        "secret-in-the-clear",
        &["-H", "Cookie: a=b", "ws-c:tcp:localhost.example:1"],
        &["-H", "Cookie: a=b", "ws-c:tcp:app.localhost:1"],
    ),
    ("contradiction", &["-u", "-U", "ws://h/"], &["-u", "ws://h/"]),
    ("exposed-process", &["-b", "udp-server:0.0.0.0:1", "cmd:sh"], &["-b", "udp-server:1", "cmd:sh"]),
    ("ends-before-replies", &["-E", "-b", "literal:x", "tcp:h:1"], &["-E", "-b", "literal:x", "writefile:x"]),
    ("unused-option", &["--oneshot", "-b", "tcp:h:1", "mirror:"], &["--oneshot", "-b", "tcp-l:1", "mirror:"]),
    ("unused-option", &["--header=A: b", "ws-l:1", "mirror:"], &["--header=A: b", "ws://h", "mirror:"]),
    ("unused-option", &["--server-header=A: b", "ws://h", "mirror:"], &["--server-header=A: b", "ws-l:1", "mirror:"]),
    ("unused-option", &["--linger=5", "-b", "tcp:h:1", "mirror:"], &["--linger=5", "ws://h", "mirror:"]),
    ("unused-option", &["-0", "-b", "ws-l:1", "tcp:h:1"], &["-0", "-t", "ws-l:1", "tcp:h:1"]),
    ("unused-option", &["--unidirectional-late-drop", "ws://h"], &["--unidirectional-late-drop", "-u", "ws://h"]),
    ("unused-option", &["--log-hex", "ws://h"], &["--log-hex", "--log-traffic", "ws://h"]),
    ("unused-option", &["--log-hex", "tcp:h:1"], &["--log-hex", "log:tcp:h:1"]),
    ("unused-option", &["--reuser-tolerate-torn-msgs", "ws://h"], &["--reuser-tolerate-torn-msgs", "ws-l:1", "-"]),
    ("unused-option", &["--random-fast", "zero:", "mirror:"], &["--random-fast", "-b", "random:", "mirror:"]),
    ("unused-option", &["--dummy-hangup", "mirror:"], &["--dummy-hangup", "empty:"]),
    ("unused-option", &["--late-resolve", "tcp-l:1"], &["--late-resolve", "ws://h"]),
    ("unused-option", &["--connect-timeout=1", "tcp-l:1"], &["--connect-timeout=1", "unix:x"]),
    ("unused-option", &["--udp-server-qlen=9", "udp:h:1"], &["--udp-server-qlen=9", "udp-server:1"]),
    ("unused-option", &["--read-buffer-limit=9", "tcp:h:1"], &["--read-buffer-limit=9", "read_chunk_limiter:tcp:h:1"]),
    (
        "unused-option",
        &["--write-buffer-limit=9", "tcp:h:1"],
        &["--write-buffer-limit=9", "write_chunk_limiter:tcp:h:1"],
    ),
    ("unused-option", &["--exec-after-listen=x", "tcp:h:1"], &["--exec-after-listen=x", "udp-l:1"]),
    (
        "unused-option",
        &["--exec-after-listen-append-port", "tcp-l:1", "mirror:"],
        &["--exec-after-listen-append-port", "--exec-after-listen=x", "tcp-l:1", "mirror:"],
    ),
    ("unused-option", &["--max-conns-per-ip=3", "unix-l:x", "mirror:"], &["--max-conns-per-ip=3", "ws-l:1", "mirror:"]),
    ("ends-before-replies", &["-E", "literal:GET", "tcp:h:1"], &["-E", "-u", "literal:GET", "tcp:h:1"]),
    ("text-of-bytes", &["-t", "random:", "ws://h/"], &["-b", "random:", "ws://h/"]),
    ("cut-datagrams", &["-b", "-B", "500", "udp:h:1", "ws://h/"], &["-b", "-B", "1500", "udp:h:1", "ws://h/"]),
    (
        "cut-datagrams",
        &["--udp-server-buffer-size", "99", "udp-server:1", "mirror:"],
        &["-b", "udp-server:1", "mirror:"],
    ),
    (
        "no-host",
        &["mirror:", "ws-ll-client:ws-request:tcp:127.0.0.1:1"],
        &["--ws-c-uri", "ws://h/", "mirror:", "ws-ll-client:ws-request:tcp:127.0.0.1:1"],
    ),
    (
        "no-host",
        &["--ws-c-uri", "/x", "--no-fixups", "mirror:", "ws-ll-client:ws-request:tcp:127.0.0.1:1"],
        &["--ws-c-uri", "ws://h/x", "--no-fixups", "mirror:", "ws-ll-client:ws-request:tcp:127.0.0.1:1"],
    ),
    (
        "no-host",
        &["mirror:", "ws-request:tcp:127.0.0.1:1"],
        &["-H", "host: h", "mirror:", "ws-request:tcp:127.0.0.1:1"],
    ),
    ("no-host", &["mirror:", "ws-request:tcp:127.0.0.1:1"], &["mirror:", "ws-c:tcp:127.0.0.1:1"]),
    ("plain-on-tls-port", &["ws://h:443/"], &["wss://h:443/"]),
    ("plain-on-tls-port", &["wss://h:80/"], &["ws://h:80/"]),
];

#[test]
fn lints_find_what_they_are_for_and_nothing_near_it() {
    for (id, bad, good) in ALIKE {
        assert!(found(bad).contains(id), "{id}: {bad:?}: {:?}", found(bad));
        assert!(!found(good).contains(id), "{id}: {good:?}: {:?}", found(good));
        let silent: Vec<&str> = ["--no-lints"].iter().chain(*bad).copied().collect();
        assert!(found(&silent).is_empty(), "{silent:?}");
    }
}

#[test]
fn every_lint_has_an_example() {
    let tested: BTreeSet<&str> = ALIKE.iter().map(|(id, ..)| *id).collect();
    let all: BTreeSet<&str> = ALL.iter().map(|lint| lint.id).collect();
    assert_eq!(tested, all);
    assert_eq!(all.len(), ALL.len(), "an id stands there twice");
}

#[test]
fn denied_lints_are_wrong_usage() {
    let line = |options: &[&str]| {
        let words = ["websocat"].iter().chain(options).chain(&["ws://h:443/"]).map(OsString::from);
        crate::plan::script(&CommandLine::read(words).unwrap())
    };
    assert!(line(&[]).is_ok() && line(&["--no-lints"]).is_ok());
    let error = line(&["--lint", "deny"]).unwrap_err();
    assert_eq!(error.exit_code(), 2);
    assert!(error.to_string().contains("[plain-on-tls-port]"), "{error}");
}
