//! Replays the fuzzers' corpora, `fuzz/corpus/TARGET/`, through the checks in `wsframe::fuzz`.
//!
//! An input that once found a fault stays there and fails here without a fuzzer. A target without a folder fails as
//! well: a corpus that was moved or never committed must not pass as one that holds.

use std::{fs, path::Path};

fn replay(target: &str, check: fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus").join(target);
    let files = fs::read_dir(&folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display()));
    let mut inputs = 0;
    for file in files {
        let path = file.unwrap().path();
        let data = fs::read(&path).unwrap();
        if let Err(panic) = std::panic::catch_unwind(|| check(&data)) {
            eprintln!("input: {}", path.display());
            std::panic::resume_unwind(panic);
        }
        inputs += 1;
    }
    assert!(inputs > 0, "{} is empty", folder.display());
}

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
