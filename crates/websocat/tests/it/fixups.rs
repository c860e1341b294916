//! `--no-fixups` and `--less-fixups`, and what is said about sockets that do not fit each other.

use super::commands::{fails, ok, play};
use std::ffi::OsString;
use websocat::{cli::CommandLine, error::Result, plan};

fn script(line: &[&str]) -> Result<String> {
    let line = [&["websocat"], line].concat().into_iter().map(OsString::from);
    plan::script(&CommandLine::read(line).unwrap())
}

#[track_caller]
fn refused(line: &[&str], status: u8, text: &str) {
    let e = script(line).unwrap_err();
    assert!(e.exit_code() == status && e.to_string().contains(text), "{line:?}: {e}");
}

#[test]
fn specifiers_as_they_were_typed() {
    play(&[
        // What fits is run, what does not is not made to fit.
        ok(&["-b", "--no-fixups", r"lines:mss:R a\nb\n|X", r"ws-ll-s:mss:W \x81\x01a\x81\x01b\x88\0|X"]),
        ok(&["-b", "--no-fixups", "log:mss:R abc|X|W abc|D", "mirror:"]),
        fails(1, &["-t", "--no-fixups", r"mss:R a\n|X", r"ws-ll-s:mss:W \x81\x01a\x88\0|X"]),
        ok(&["-t", r"mss:R a\n|X", r"ws-ll-s:mss:W \x81\x01a\x88\0|X"]),
    ]);
}

#[test]
fn what_stands_for_several_parts_cannot_be_run_as_typed() {
    for (spec, parts) in [
        (
            "ws://h/",
            "ws:// stands for several parts, and --no-fixups leaves it as it is; write ws-ll-client:ws-request:tcp:",
        ),
        ("wss://h/", "ws-ll-client:ws-request:tls:tcp:"),
        ("ws-l:1", "ws-ll-server:ws-accept:tcp-listen:"),
        ("ws-c:tcp:h:1", "ws-ll-client:ws-request:"),
        ("log:ws-u:tcp-l:1", "ws-ll-server:ws-accept:"),
    ] {
        refused(&["-b", "--no-fixups", spec, "mirror:"], 2, parts);
        refused(&["-b", "--no-fixups", "mirror:", "--filter", spec, "mirror:"], 2, parts);
    }
    // What the user says of the request counts there, too, and so does the host that is written below.
    let typed =
        ["-b", "--no-fixups", "--ws-c-uri", "ws://u:p@h:9/x", "ws-ll-client:ws-request:tcp:127.0.0.1:1", "mirror:"];
    let asks = script(&typed).unwrap();
    assert!(asks.contains(r#"host: "h:9", url: "/x""#) && asks.contains("Authorization"), "{asks}");
    // These have parts of their own, and are run.
    for spec in ["reuse-raw:lines:tcp:h:1", "lines:tls:tcp:h:1", "ws-ll-client:ws-request:tcp:h:1", "chunks:tcp:h:1"] {
        script(&["-b", "--no-fixups", spec, "mirror:"]).unwrap();
    }
}

/// What the server's certificate has to be for.
#[test]
fn tls_asks_for_the_host_below() {
    for (line, domain) in [
        (&["tls:tcp:example.org:443"][..], "example.org"),
        (&["--late-resolve", "ws-c:tls:tcp:example.org:443"], "example.org"),
        (&["--no-fixups", "tls:tcp:example.org:443"], "example.org"),
        (&["tls:log:tcp:[::1]:443"], "::1"),
        (&["--tls-domain", "other.example", "tls:tcp:example.org:443"], "other.example"),
        (&["--filter", "tls:tcp:example.org:443", "mirror:"], "example.org"),
        (&["ws-c:tls:unix:x"], "nodomain"),
    ] {
        let script = script(&[&["-b", "mirror:"], line].concat()).unwrap();
        assert!(script.contains(&format!("tls_client(#{{domain: \"{domain}\"")), "{line:?}: {script}");
    }
}

#[test]
fn nothing_is_put_in_unasked() {
    play(&[
        fails(2, &["-b", "--less-fixups", "--write-splitoff", "mss:W abc|D", "mss:R abc|X|W xyz|D", "mss:D|R xyz|X"]),
        ok(&["-b", "--less-fixups", "--write-splitoff", "mss:W a|D", "mss:R a|X|D", "write-splitoff:mss:D|X"]),
        // The usual things are.
        ok(&["-t", "--less-fixups", r"mss:R a\n|X", r"ws-ll-s:mss:W \x81\x01a\x88\0|X"]),
    ]);
    let line = ["-b", "ws-l:127.0.0.1:0", "writefile:/tmp/x"];
    assert!(script(&line).unwrap().contains("simple_reuser_listener"));
    assert!(!script(&[&["--less-fixups"], &line[..]].concat()).unwrap().contains("simple_reuser_listener"));
}

#[test]
fn overlays_on_the_wrong_kind_of_socket() {
    for (spec, text) in [
        ("reuse-raw:tcp:h:1", "`reuse-raw:lines:…` or `reuse-raw:chunks:…`"),
        ("defragment:stdio:", "`defragment:lines:…` or `defragment:chunks:…`"),
        ("tls:lines:tcp:h:1", "write `lines:tls:…`, where it still has bytes"),
        ("write_buffer:ws://h/", "write `ws-c:write_buffer:…`"),
        ("tls:ws-u:tcp-l:1", "write `ws-u:tls:…`"),
        (
            "lines:empty:",
            "lines: wraps a byte stream socket, but what is below it is a datagram one; nothing makes bytes",
        ),
    ] {
        refused(&["-b", spec, "mirror:"], 1, text);
        refused(&["-b", "mirror:", "--filter", spec, "mirror:"], 1, text);
    }
    refused(
        &["-b", "--no-fixups", "tcp:127.0.0.1:1", "empty:"],
        1,
        "the left side is a byte stream and the right side has messages; write `lines:…` or `chunks:…` for the left side",
    );
    refused(&["-b", "--no-fixups", "empty:", "tcp:127.0.0.1:1"], 1, "for the right side to make messages of it");
}
