//! The generated pages of the book: scenario functions from the source, the rest printed by the binary itself.
//!
//! With `--check` nothing is written; pages that differ from what would be written are named.

use crate::{functions, sources};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

/// Pages that the binary prints with `--generate NAME`.
const PRINTED: &[&str] = &["endpoints", "overlays", "options", "lints"];

const NOTICE: &str = "<!-- Made by `cargo xtask docs`. Edit the comments in the source instead. -->\n\n";

/// What the command line asks for.
#[derive(Debug, PartialEq, Eq, Default)]
pub struct Request {
    check: bool,
    /// A built binary; without one, `cargo run` makes it.
    binary: Option<PathBuf>,
}

impl Request {
    /// None if the arguments make no sense.
    pub fn parse(mut args: &[&str]) -> Option<Self> {
        let mut request = Self::default();
        loop {
            args = match args {
                [] => return Some(request),
                ["--check", rest @ ..] => {
                    request.check = true;
                    rest
                }
                ["--binary", path, rest @ ..] => {
                    request.binary = Some(PathBuf::from(path));
                    rest
                }
                _ => return None,
            };
        }
    }
}

/// Writes or checks all pages; false if some are stale.
pub fn run(root: &Path, request: &Request) -> Result<bool, String> {
    let folder = root.join("doc/src/generated");
    let mut pages = vec![("functions".to_owned(), functions::page(&functions_of(root)?))];
    for name in PRINTED {
        pages.push(((*name).to_owned(), printed(root, request, name)?));
    }
    let mut fresh = true;
    for (name, text) in pages {
        let path = folder.join(format!("{name}.md"));
        let text = format!("{NOTICE}{}\n", text.trim_end());
        let old = fs::read_to_string(&path).unwrap_or_default();
        if old == text {
            continue;
        }
        let shown = path.strip_prefix(root).unwrap_or(&path).display().to_string();
        if request.check {
            fresh = false;
            eprintln!("stale: {shown}{}", first_difference(&old, &text));
        } else {
            fs::create_dir_all(&folder).map_err(|e| format!("{}: {e}", folder.display()))?;
            fs::write(&path, text).map_err(|e| format!("{shown}: {e}"))?;
            println!("written: {shown}");
        }
    }
    if !fresh {
        eprintln!("run `cargo xtask docs` and commit the result");
    }
    Ok(fresh)
}

fn functions_of(root: &Path) -> Result<Vec<functions::Function>, String> {
    let mut files = Vec::new();
    for path in sources::rust_files(&root.join("crates/websocat/src"))? {
        let text = sources::read(&path)?;
        files.push(syn::parse_file(&text).map_err(|e| format!("{}: {e}", path.display()))?);
    }
    functions::find(&files)
}

/// What the binary prints for a page.
fn printed(root: &Path, request: &Request, page: &str) -> Result<String, String> {
    let mut command = match &request.binary {
        Some(binary) => Command::new(binary),
        None => {
            let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
            cargo.args(["run", "--quiet", "--package", "websocat", "--"]);
            cargo
        }
    };
    command.args(["--generate", page]).current_dir(root);
    let output = command.output().map_err(|e| format!("{command:?}: {e}"))?;
    if !output.status.success() || output.stdout.is_empty() {
        let said = String::from_utf8_lossy(&output.stderr);
        return Err(format!("websocat --generate {page}: {}\n{}", output.status, said.trim_end()));
    }
    String::from_utf8(output.stdout)
        .map_err(|_| format!("websocat --generate {page} printed something else than UTF-8"))
}

/// Where two pages begin to differ, for whoever reads the failed check.
fn first_difference(old: &str, new: &str) -> String {
    if old.is_empty() {
        return " is missing".to_owned();
    }
    let (mut old, mut new) = (old.lines(), new.lines());
    for number in 1.. {
        match (old.next(), new.next()) {
            (Some(a), Some(b)) if a == b => {}
            (None, None) => break,
            (a, b) => {
                let show = |line: Option<&str>| line.map_or_else(|| "(end)".to_owned(), |l| format!("`{l}`"));
                return format!(", line {number}: {} should be {}", show(a), show(b));
            }
        }
    }
    String::new()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn request_is_parsed() {
        assert_eq!(Request::parse(&[]), Some(Request::default()));
        let full = Request { check: true, binary: Some("b".into()) };
        assert_eq!(Request::parse(&["--binary", "b", "--check"]), Some(full));
        assert_eq!(Request::parse(&["--binary"]), None);
        assert_eq!(Request::parse(&["--chek"]), None);
    }

    #[test]
    fn difference_names_the_line() {
        assert_eq!(first_difference("", "a"), " is missing");
        assert_eq!(first_difference("a\nb\n", "a\nc\n"), ", line 2: `b` should be `c`");
        assert_eq!(first_difference("a\n", "a\nc\n"), ", line 2: (end) should be `c`");
        assert_eq!(first_difference("a\n", "a\n"), "");
    }
}
