//! Golden scripts: `tests/plan/NAME.args` (one argument a line) plans to `tests/plan/NAME.rhai`.
//! `UPDATE_GOLDEN=1 cargo test -p websocat golden` writes them anew; look at the difference before you commit it.

use std::{ffi::OsString, fs, path::PathBuf};
use websocat::{cli::CommandLine, plan};

fn script(line: &[String]) -> String {
    let line = ["websocat".to_owned()].into_iter().chain(line.iter().cloned()).map(OsString::from);
    plan::script(&CommandLine::read(line).unwrap()).unwrap()
}

#[test]
fn golden_scripts() {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/plan");
    let mut count = 0;
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|e| e != "args") {
            continue;
        }
        let line: Vec<String> = fs::read_to_string(&path).unwrap().lines().map(str::to_owned).collect();
        let got = script(&line);
        let golden = path.with_extension("rhai");
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            fs::write(&golden, &got).unwrap();
        }
        let wanted = fs::read_to_string(&golden).unwrap_or_default();
        assert_eq!(got, wanted, "{}", path.display());
        // What was written can also be read.
        websocat::exec::engine().compile(&got).unwrap();
        count += 1;
    }
    assert!(count >= 12, "only {count} golden scripts");
}
