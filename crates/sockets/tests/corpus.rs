//! Replays the fuzzers' corpora through the checks in `sockets::fuzz`.

#[path = "../../../fuzz/replay.rs"]
mod replay;

use replay::replay;

#[test]
fn lines() {
    replay("lines", sockets::fuzz::lines);
}

#[test]
fn length_prefixed() {
    replay("length_prefixed", sockets::fuzz::length_prefixed);
}

#[test]
fn mock() {
    replay("mock", sockets::fuzz::mock);
}

#[test]
fn inflater() {
    replay("inflater", sockets::fuzz::inflater);
}

#[test]
fn deflater() {
    replay("deflater", sockets::fuzz::deflater);
}

#[test]
fn extensions() {
    replay("extensions", sockets::fuzz::extensions);
}
