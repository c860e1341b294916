//! Replays the fuzzers' corpora through the checks in `websocat::fuzz`.

#[path = "../../../fuzz/replay.rs"]
mod replay;

use replay::replay;

#[test]
fn specifier() {
    replay("specifier", websocat::fuzz::specifier);
}

#[test]
fn command() {
    replay("command", websocat::fuzz::command);
}

#[test]
fn script_literal() {
    replay("script_literal", websocat::fuzz::script_literal);
}

#[test]
fn http_head() {
    replay("http_head", websocat::fuzz::http_head);
}
