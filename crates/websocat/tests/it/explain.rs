//! Golden texts of `--explain`: `tests/explain/NAME.args` (one argument a line) is explained by `tests/explain/NAME.txt`.
//! `UPDATE_GOLDEN=1 cargo test -p websocat explain` writes them anew; read them as somebody would who asks what it does.

use std::{ffi::OsString, fs, path::PathBuf};
use websocat::{cli::CommandLine, plan};

#[test]
fn texts_say_what_would_be_done() {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/explain");
    let mut count = 0;
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|e| e != "args") {
            continue;
        }
        let words = fs::read_to_string(&path).unwrap();
        let line = ["websocat"].into_iter().chain(words.lines()).map(OsString::from);
        let got = plan::explain(&CommandLine::read(line).unwrap()).unwrap();
        let golden = path.with_extension("txt");
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            fs::write(&golden, &got).unwrap();
        }
        assert_eq!(got, fs::read_to_string(&golden).unwrap_or_default(), "{}", path.display());
        count += 1;
    }
    assert!(count >= 12, "only {count} explained lines");
}

#[test]
fn what_would_not_run_is_not_explained() {
    let line = ["websocat", "--explain", "tcp:host", "-"].map(OsString::from);
    let error = plan::explain(&CommandLine::read(line).unwrap()).unwrap_err();
    assert!(error.to_string().contains("the port is missing"), "{error}");
}
