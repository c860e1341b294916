//! Replays the fuzzers' corpora through the checks in `wsframe::fuzz`.

#[path = "../../../fuzz/replay.rs"]
mod replay;

use replay::replay;

#[test]
fn decoder() {
    replay("decoder", wsframe::fuzz::decoder);
}

#[test]
fn frame() {
    replay("frame", wsframe::fuzz::frame);
}

#[test]
fn sequence() {
    replay("sequence", wsframe::fuzz::sequence);
}

#[test]
fn utf8() {
    replay("utf8", wsframe::fuzz::utf8);
}

#[test]
fn close() {
    replay("close", wsframe::fuzz::close);
}
