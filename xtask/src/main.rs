//! Chores of the repository: `cargo xtask docs [--check]`, `rfc`, `options [--only PATTERN]` and `bench [WORKLOAD…]`.
//!
//! `docs` writes the generated pages of the book (or says which are stale), `rfc` says which requirements of RFC 6455 and
//! 7692 have neither marks in code and tests nor a reason, `options` whether the test of each option fails without it, `bench`
//! measures against peers. Exit status: 0 fine, 1 something stale, missing or failed, 2 wrong usage.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

mod bench;
mod docs;
mod functions;
mod options;
mod rfc;
mod sources;

const USAGE: &str =
    "usage: cargo xtask docs [--check] [--binary PATH]   write doc/src/generated, or check that it is up to date
       cargo xtask rfc                                requirements of RFC 6455 and 7692 without marks or a reason
       cargo xtask options [--only PATTERN|…]         tests of options that pass without them; ^ and $ as in `^tee$`";

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let done = match args.as_slice() {
        ["docs", rest @ ..] => match docs::Request::parse(rest) {
            Some(request) => docs::run(&root(), &request),
            None => return usage(),
        },
        ["rfc"] => rfc::run(&root()).map(|(report, complete)| {
            print!("{report}");
            complete
        }),
        ["options"] => options::run(&root(), None),
        ["options", "--only", pattern] => options::run(&root(), Some(pattern)),
        ["bench", rest @ ..] => match bench::Request::parse(rest) {
            Some(request) => bench::run(&root(), &request),
            None => return usage(),
        },
        _ => return usage(),
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(message) => {
            eprintln!("xtask: {message}");
            ExitCode::FAILURE
        }
    }
}

fn usage() -> ExitCode {
    eprintln!("{USAGE}\n       {}", bench::USAGE);
    ExitCode::from(2)
}

/// The top of the repository: this package is one folder below it.
fn root() -> PathBuf {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    package.parent().unwrap_or(package).to_owned()
}
