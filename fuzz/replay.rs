//! Replays a fuzzer's corpus, `fuzz/corpus/TARGET/`, under `cargo test`; each crate with fuzz targets includes this file.
//!
//! An input that once found a fault stays there and fails here without a fuzzer. A target without a folder fails as
//! well: a corpus that was moved or never committed must not pass as one that holds.

use std::{fs, path::Path};

/// Hands every input of the corpus to `check`, which panics at a fault; the input is named on stderr then.
pub fn replay(target: &str, check: fn(&[u8])) {
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
