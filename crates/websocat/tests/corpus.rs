//! Replays the fuzzers' corpora, `fuzz/corpus/TARGET/`, through the checks in `websocat::fuzz`.
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
