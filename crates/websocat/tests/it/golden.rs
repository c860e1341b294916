//! Golden scripts: `tests/plan/NAME.args` (one argument a line) plans to `tests/plan/NAME.rhai`.
//! `UPDATE_GOLDEN=1 cargo test -p websocat golden` writes them anew; look at the difference before you commit it.

use std::{
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
};
use websocat::{cli::CommandLine, plan, scenario::limits::SHALLOW};

/// The script that this command line is planned to.
pub(super) fn script(line: &[String]) -> String {
    let line = ["websocat".to_owned()].into_iter().chain(line.iter().cloned()).map(OsString::from);
    plan::script(&CommandLine::read(line).unwrap()).unwrap()
}

/// All command lines that have a golden script or a golden `--explain`.
pub(super) fn lines() -> Vec<Vec<String>> {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests");
    let folders = ["plan", "explain"].map(|folder| fs::read_dir(tests.join(folder)).unwrap());
    let files = folders.into_iter().flatten().map(|entry| entry.unwrap().path());
    let files = files.filter(|path| path.extension().is_some_and(|e| e == "args"));
    files.map(|path| line_of(&path)).collect()
}

fn line_of(path: &Path) -> Vec<String> {
    fs::read_to_string(path).unwrap().lines().map(str::to_owned).collect()
}

#[test]
fn golden_scripts() {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/plan");
    let (mut count, mut deep) = (0, vec![]);
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|e| e != "args") {
            continue;
        }
        let got = script(&line_of(&path));
        let golden = path.with_extension("rhai");
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            fs::write(&golden, &got).unwrap();
        }
        let wanted = fs::read_to_string(&golden).unwrap_or_default();
        assert_eq!(got, wanted, "{}", path.display());
        // What was written can also be read.
        let mut engine = websocat::exec::engine();
        engine.compile(&got).unwrap();
        engine.set_max_expr_depths(SHALLOW, SHALLOW);
        if engine.compile(&got).is_err() {
            deep.push(path);
        }
        count += 1;
    }
    assert!(count >= 12, "only {count} golden scripts");
    // Those take a thread.
    assert!(deep.len() * 10 <= count, "{deep:?}");
}
