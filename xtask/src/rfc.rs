//! Which requirements of RFC 6455 are marked in the code and in tests.
//!
//! A mark is a comment of its own line, `//= 6455-5.5-2` above what keeps the requirement and `//= 6455-5.5-2 test` above
//! its test. The table of requirements is conformance/spec/rfc6455.tsv.

use crate::sources;
use std::collections::BTreeSet;
use std::fmt::Write;
use std::path::Path;

const TABLE: &str = "conformance/spec/rfc6455.tsv";

/// One row of the table.
#[derive(Debug, PartialEq, Eq)]
struct Requirement {
    id: String,
    level: String,
    text: String,
    /// The note says "not applicable", with a reason.
    applicable: bool,
}

/// Ids that are marked.
#[derive(Debug, Default)]
struct Marks {
    code: BTreeSet<String>,
    tests: BTreeSet<String>,
}

/// The report about all files below `crates/`.
pub fn run(root: &Path) -> Result<String, String> {
    let requirements = requirements(&sources::read(&root.join(TABLE))?)?;
    let mut marks = Marks::default();
    for path in sources::rust_files(&root.join("crates"))? {
        marks.collect(&sources::read(&path)?);
    }
    Ok(report(&requirements, &marks))
}

fn requirements(table: &str) -> Result<Vec<Requirement>, String> {
    let mut lines = table.lines();
    let columns: Vec<&str> = lines.next().unwrap_or_default().split('\t').collect();
    let column =
        |name: &str| columns.iter().position(|c| *c == name).ok_or_else(|| format!("{TABLE} has no column `{name}`"));
    let (id, level, text, note) = (column("id")?, column("level")?, column("requirement")?, column("note")?);
    let rows = lines.filter(|line| !line.is_empty()).map(|line| {
        let cells: Vec<&str> = line.split('\t').collect();
        let cell = |at: usize| cells.get(at).copied().unwrap_or_default().to_owned();
        let applicable = !cell(note).starts_with("not applicable");
        Requirement { id: cell(id), level: cell(level), text: cell(text), applicable }
    });
    Ok(rows.collect())
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

fn report(requirements: &[Requirement], marks: &Marks) -> String {
    let mut text = String::new();
    let strict = requirements.iter().filter(|r| r.applicable && matches!(r.level.as_str(), "MUST" | "MUST NOT"));
    let strict: Vec<&Requirement> = strict.collect();
    for (title, marked) in [("No mark in the code:", &marks.code), ("No mark in a test:", &marks.tests)] {
        let missing: Vec<_> = strict.iter().filter(|r| !marked.contains(&r.id)).collect();
        if !missing.is_empty() {
            let _ = writeln!(text, "{title}");
            for r in &missing {
                let _ = writeln!(text, "  {} {}: {}", r.id, r.level, r.text);
            }
        }
    }
    let known: BTreeSet<&str> = requirements.iter().map(|r| r.id.as_str()).collect();
    let unknown = marks.code.union(&marks.tests).filter(|id| id.starts_with("6455-") && !known.contains(id.as_str()));
    for id in unknown {
        let _ = writeln!(text, "Marked, but not in the table: {id}");
    }
    let count = |marked: &BTreeSet<String>| strict.iter().filter(|r| marked.contains(&r.id)).count();
    let (code, tests) = (count(&marks.code), count(&marks.tests));
    let _ = writeln!(text, "rfc: of {} MUST and MUST NOT, {code} marked in the code, {tests} in tests", strict.len());
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROWS: &str = "id\tsection\tlevel\trole\trequirement\tnote\n\
        6455-1-1\t1\tMUST\tboth\tthis\t\n\
        6455-1-2\t1\tMUST NOT\tboth\tthat\t\n\
        6455-1-3\t1\tSHOULD\tboth\tsoft\t\n\
        6455-1-4\t1\tMUST\tserver\tother\tnot applicable because of this\n";

    #[test]
    fn missing_marks_are_listed() {
        let mut marks = Marks::default();
        marks.collect(
            "    //= 6455-1-1\n  fn f() {}\n//= 6455-1-1 test\n//= 6455-1-2 test\n//= 6455-9-9\n// = 6455-1-2\n",
        );
        let text = report(&requirements(ROWS).unwrap(), &marks);
        assert_eq!(
            text,
            "No mark in the code:\n  6455-1-2 MUST NOT: that\nMarked, but not in the table: 6455-9-9\n\
             rfc: of 2 MUST and MUST NOT, 1 marked in the code, 2 in tests\n"
        );
    }

    #[test]
    fn a_table_without_columns_is_an_error() {
        assert!(requirements("id\tlevel\n").unwrap_err().contains("requirement"));
    }
}
