//! Which requirements of RFC 6455 and RFC 7692 are kept: each row has a mark in the code and one in a test, or a reason.
//!
//! A mark is a comment of its own line, `//= 6455-5.5-2` above what keeps the requirement and `//= 6455-5.5-2 test` above
//! its test. The tables of requirements are conformance/spec/rfc6455.tsv and rfc7692.tsv. Reasons stand in
//! conformance/rfc_reasons.toml, or in the row's note after "not applicable because".

use crate::sources;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::path::Path;

const TABLES: [&str; 2] = ["conformance/spec/rfc6455.tsv", "conformance/spec/rfc7692.tsv"];
const REASONS: &str = "conformance/rfc_reasons.toml";
/// How ids begin; other marks would be mistyped ones.
const RFCS: [&str; 2] = ["6455-", "7692-"];

/// One row of a table.
#[derive(Debug, PartialEq, Eq)]
struct Requirement {
    id: String,
    level: String,
    text: String,
    /// The note says why it does not apply.
    excused: bool,
}

/// Ids that are marked.
#[derive(Debug, Default)]
struct Marks {
    code: BTreeSet<String>,
    tests: BTreeSet<String>,
}

/// Reasons by id.
type Reasons = BTreeMap<String, String>;

/// The report about all files below `crates/`, and whether nothing is missing.
pub fn run(root: &Path) -> Result<(String, bool), String> {
    let mut rows = Vec::new();
    for table in TABLES {
        rows.append(&mut requirements(table, &sources::read(&root.join(table))?)?);
    }
    let mut marks = Marks::default();
    for path in sources::rust_files(&root.join("crates"))? {
        marks.collect(&sources::read(&path)?);
    }
    Ok(report(&rows, &marks, &reasons(&sources::read(&root.join(REASONS))?)?))
}

fn requirements(table: &str, text: &str) -> Result<Vec<Requirement>, String> {
    let mut lines = text.lines();
    let columns: Vec<&str> = lines.next().unwrap_or_default().split('\t').collect();
    let column =
        |name: &str| columns.iter().position(|c| *c == name).ok_or_else(|| format!("{table} has no column `{name}`"));
    let (id, level, text, note) = (column("id")?, column("level")?, column("requirement")?, column("note")?);
    let rows = lines.filter(|line| !line.is_empty()).map(|line| {
        let cells: Vec<&str> = line.split('\t').collect();
        let cell = |at: usize| cells.get(at).copied().unwrap_or_default().to_owned();
        let excused = cell(note).strip_prefix("not applicable because ").is_some_and(|why| !why.trim().is_empty());
        Requirement { id: cell(id), level: cell(level), text: cell(text), excused }
    });
    Ok(rows.collect())
}

/// Lines `"ID" = "reason"`, empty lines and comments: a part of TOML that needs no parser.
fn reasons(text: &str) -> Result<Reasons, String> {
    let mut reasons = Reasons::new();
    for (at, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let entry = line
            .split_once(" = ")
            .and_then(|(id, reason)| Some((unquoted(id)?, unquoted(reason)?)))
            .filter(|(_, reason)| !reason.trim().is_empty());
        let (id, reason) = entry.ok_or_else(|| format!("{REASONS}:{}: not `\"ID\" = \"reason\"`", at + 1))?;
        if reasons.insert(id.to_owned(), reason.to_owned()).is_some() {
            return Err(format!("{REASONS}:{}: a second reason for {id}", at + 1));
        }
    }
    Ok(reasons)
}

/// What stands between double quotes; escapes are not taken.
fn unquoted(text: &str) -> Option<&str> {
    text.strip_prefix('"')?.strip_suffix('"').filter(|inner| !inner.contains(['"', '\\']))
}

impl Marks {
    fn collect(&mut self, source: &str) {
        for line in source.lines() {
            let Some(mark) = line.trim_start().strip_prefix("//=") else { continue };
            let mut words = mark.split_whitespace();
            let Some(id) = words.next() else { continue };
            let marked = if words.next() == Some("test") { &mut self.tests } else { &mut self.code };
            marked.insert(id.to_owned());
        }
    }
}

fn report(requirements: &[Requirement], marks: &Marks, reasons: &Reasons) -> (String, bool) {
    let mut text = String::new();
    let mut wrong = 0;
    let mut list = |title: &str, found: Vec<String>| {
        if !found.is_empty() {
            wrong += found.len();
            let _ = writeln!(text, "{title}\n  {}", found.join("\n  "));
        }
    };
    let show = |r: &Requirement| format!("{} {}: {}", r.id, r.level, r.text);
    let without_reason = || requirements.iter().filter(|r| !r.excused && !reasons.contains_key(&r.id));
    list("No mark in the code:", without_reason().filter(|r| !marks.code.contains(&r.id)).map(show).collect());
    list("No mark in a test:", without_reason().filter(|r| !marks.tests.contains(&r.id)).map(show).collect());

    let known: BTreeMap<&str, &Requirement> = requirements.iter().map(|r| (r.id.as_str(), r)).collect();
    let both = |id: &str| marks.code.contains(id) && marks.tests.contains(id);
    let needless = |id: &&String| both(id) || known.get(id.as_str()).is_some_and(|r| r.excused);
    list("A reason that is not needed:", reasons.keys().filter(needless).cloned().collect());
    let unknown = |id: &&String| !known.contains_key(id.as_str());
    list("A reason for what is not in the tables:", reasons.keys().filter(unknown).cloned().collect());
    let marked = marks.code.union(&marks.tests);
    let mistyped = |id: &&String| unknown(id) && RFCS.iter().any(|rfc| id.starts_with(rfc));
    list("Marked, but not in the tables:", marked.filter(mistyped).cloned().collect());

    let (mut kept, mut excused) = (0, 0);
    for r in requirements {
        if both(&r.id) {
            kept += 1;
        } else if r.excused || reasons.contains_key(&r.id) {
            excused += 1;
        }
    }
    let rest = requirements.len() - kept - excused;
    let _ = writeln!(
        text,
        "rfc: of {} requirements {kept} are marked in code and test, {excused} have a reason, {rest} have neither",
        requirements.len()
    );
    (text, wrong == 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROWS: &str = "id\tsection\tlevel\trole\trequirement\tnote\n\
        6455-1-1\t1\tMUST\tboth\tthis\t\n\
        6455-1-2\t1\tMUST NOT\tboth\tthat\t\n\
        6455-1-3\t1\tMAY\tboth\tsoft\t\n\
        6455-1-4\t1\tMUST\tserver\tother\tnot applicable because of this\n\
        6455-1-5\t1\tMUST\tserver\tlast\tnot applicable because \n";

    fn judged(marks: &str, because: &str) -> (String, bool) {
        let mut found = Marks::default();
        found.collect(marks);
        report(&requirements("table", ROWS).unwrap(), &found, &reasons(because).unwrap())
    }

    #[test]
    fn what_is_missing_and_what_is_too_much_is_listed() {
        let (text, good) = judged(
            "    //= 6455-1-1\n  fn f() {}\n//= 6455-1-1 test\n//= 6455-1-2 test\n//= 6455-9-9\n// = 6455-1-2\n",
            "# why\n\"6455-1-1\" = \"needless\"\n\"6455-1-4\" = \"in the table already\"\n\n\"6455-8-1\" = \"of nothing\"\n",
        );
        assert!(!good);
        assert_eq!(
            text,
            "No mark in the code:\n  6455-1-2 MUST NOT: that\n  6455-1-3 MAY: soft\n  6455-1-5 MUST: last\n\
             No mark in a test:\n  6455-1-3 MAY: soft\n  6455-1-5 MUST: last\n\
             A reason that is not needed:\n  6455-1-1\n  6455-1-4\n\
             A reason for what is not in the tables:\n  6455-8-1\n\
             Marked, but not in the tables:\n  6455-9-9\n\
             rfc: of 5 requirements 1 are marked in code and test, 1 have a reason, 3 have neither\n"
        );
    }

    #[test]
    fn marks_and_reasons_together_cover_all() {
        let marks = "//= 6455-1-1\n//= 6455-1-1 test\n//= 6455-1-2\n";
        let because = "\"6455-1-2\" = \"no test can see it\"\n\"6455-1-3\" = \"not used\"\n\"6455-1-5\" = \"so\"\n";
        let (text, good) = judged(marks, because);
        assert!(good, "{text}");
        assert_eq!(text, "rfc: of 5 requirements 1 are marked in code and test, 4 have a reason, 0 have neither\n");
    }

    #[test]
    fn reasons_that_say_nothing_are_errors() {
        for line in ["6455-1-1 = \"x\"", "\"6455-1-1\" = \"\"", "\"6455-1-1\" = \" \"", "\"6455-1-1\"", "[a]"] {
            assert!(reasons(line).unwrap_err().starts_with("conformance/rfc_reasons.toml:1: "), "{line}");
        }
        let twice = "\"6455-1-1\" = \"x\"\n\"6455-1-1\" = \"y\"\n";
        assert!(reasons(twice).unwrap_err().contains(":2: a second reason for 6455-1-1"));
    }

    #[test]
    fn a_table_without_columns_is_an_error() {
        assert!(requirements("table", "id\tlevel\n").unwrap_err().contains("requirement"));
    }
}
