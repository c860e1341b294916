//! `cargo xtask options [--only REGEX]`: does the test that is named for an option notice when the option does nothing?
//!
//! crates/websocat/tests/options.tsv names for each option a test in which setting it changes what a peer or the kernel
//! observes. Here each of them runs twice: as it is, which must pass, and with the option taken out of every command line
//! (feature `without-option` of the program), which must fail. Tests are built once; what each run printed stays in the
//! folder `without-option` beside the program.

use crate::sources;
use std::{
    collections::{BTreeMap, BTreeSet},
    env,
    fs::{self, File},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

const TABLE: &str = "crates/websocat/tests/options.tsv";
/// Says in the tests and in the program that they start which option is taken out.
const VARIABLE: &str = "WEBSOCAT_WITHOUT_OPTION";
/// What the variable says when nothing is to be taken out: the way through the program stays the same.
const NONE: &str = "none";
/// A run that takes longer hangs. Tests bound their own waiting by a minute.
const PATIENCE: Duration = Duration::from_secs(150);

#[derive(Debug, PartialEq, Eq)]
struct Row {
    option: String,
    test: String,
}

/// Something that can be run: a test of a test binary, or a case of interop/.
#[derive(Clone, Debug)]
enum Runnable {
    Test { binary: PathBuf, name: String },
    Case { python: PathBuf, script: PathBuf, program: PathBuf, name: String },
}

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    Passed,
    Failed,
    /// It was ended from outside.
    Hung,
    /// The machine lacks what it is about.
    LeftOut,
}

/// What a test prints that does nothing, since the machine lacks what it is about.
const LEFT_OUT: &str = "LEFT OUT: ";

/// Runs the rows whose option fits `only`; false if one of them does not hold.
pub fn run(root: &Path, only: Option<&str>) -> Result<bool, String> {
    let rows = rows(&sources::read(&root.join(TABLE))?)?;
    let rows: Vec<Row> = rows.into_iter().filter(|row| only.is_none_or(|only| fits(&row.option, only))).collect();
    if rows.is_empty() {
        return Err(format!("no option of {TABLE} fits"));
    }
    let built = Built::new(root)?;
    let logs = built.folder.join("without-option");
    fs::create_dir_all(&logs).map_err(|e| format!("{}: {e}", logs.display()))?;

    let tests: BTreeSet<&str> = rows.iter().map(|row| &*row.test).collect();
    let mut jobs = vec![];
    for test in &tests {
        jobs.push((NONE.to_owned(), *test, built.runnable(root, test)?));
    }
    for row in &rows {
        jobs.push((row.option.clone(), &*row.test, built.runnable(root, &row.test)?));
    }
    let mut outcomes = all(&jobs, &logs)?;
    // As they are they have to pass; a crowded machine may have been too slow for one.
    for ((option, test, runnable), outcome) in jobs.iter().zip(&mut outcomes).take(tests.len()) {
        if matches!(outcome, Outcome::Failed | Outcome::Hung) {
            println!("once more, alone: {test}, as it is");
            *outcome = one(option, runnable, &logs.join(log_name(option, test)))?;
        }
    }

    let (mut bad, mut hung, mut left_out) = (0, 0, 0);
    let unchanged: BTreeMap<&str, Outcome> =
        jobs.iter().zip(&outcomes).take(tests.len()).map(|((_, test, _), outcome)| (*test, *outcome)).collect();
    for ((option, test, _), outcome) in jobs.iter().zip(&outcomes).skip(tests.len()) {
        let verdict = match (unchanged.get(test), outcome) {
            (Some(Outcome::Passed), Outcome::Failed) => continue,
            (Some(Outcome::Passed), Outcome::Hung) => {
                hung += 1;
                continue;
            }
            (Some(Outcome::LeftOut), _) => {
                left_out += 1;
                println!("--{option}: {test} LEFT OUT, this machine lacks what it is about");
                continue;
            }
            (Some(Outcome::Passed), _) => "passes without the option",
            _ => "fails as it is",
        };
        bad += 1;
        println!("--{option}: {test} {verdict}, see {}", logs.join(log_name(option, test)).display());
    }
    let ends = if hung > 0 { format!(" ({hung} of them by hanging)") } else { String::new() };
    let out = if left_out > 0 { format!(", {left_out} left out") } else { String::new() };
    println!("options: {} rows, {} hold{ends}, {bad} do not{out}", rows.len(), rows.len() - bad - left_out);
    Ok(bad == 0)
}

fn rows(text: &str) -> Result<Vec<Row>, String> {
    let mut rows = vec![];
    for (number, line) in text.lines().enumerate().skip(1) {
        let cells: Vec<&str> = line.split('\t').collect();
        let [option, test, effect] = cells[..] else {
            return Err(format!("{TABLE}:{}: {} columns instead of 3", number + 1, cells.len()));
        };
        if option.is_empty() || test.is_empty() || effect.is_empty() {
            return Err(format!("{TABLE}:{}: an empty column", number + 1));
        }
        // Without a test: an option that is taken for the sake of old command lines, and does nothing.
        if test != "-" {
            rows.push(Row { option: option.to_owned(), test: test.to_owned() });
        }
    }
    Ok(rows)
}

/// Alternatives of plain text, each of which may begin with `^` and end with `$`.
fn fits(option: &str, pattern: &str) -> bool {
    pattern.split('|').any(|part| {
        let (start, part) = part.strip_prefix('^').map_or((false, part), |part| (true, part));
        let (end, part) = part.strip_suffix('$').map_or((false, part), |part| (true, part));
        match (start, end) {
            (true, true) => option == part,
            (true, false) => option.starts_with(part),
            (false, true) => option.ends_with(part),
            (false, false) => option.contains(part),
        }
    })
}

fn log_name(option: &str, test: &str) -> String {
    format!("{option}--{}.log", test.replace(':', "_"))
}

/// Test binaries and program with the feature, and which tests are in which.
struct Built {
    tests: BTreeMap<String, Vec<PathBuf>>,
    program: PathBuf,
    folder: PathBuf,
}

impl Built {
    fn new(root: &Path) -> Result<Self, String> {
        let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let mut build = Command::new(cargo);
        build.args(["test", "--locked", "--package", "websocat", "--features", "without-option", "--no-run"]);
        build.args(["--quiet", "--message-format", "json"]).current_dir(root).stderr(Stdio::inherit());
        let output = build.output().map_err(|e| format!("cargo: {e}"))?;
        if !output.status.success() {
            return Err(format!("building the tests failed: {}", output.status));
        }
        let (mut binaries, mut program) = (vec![], None);
        for line in String::from_utf8_lossy(&output.stdout).lines() {
            let message: serde_json::Value =
                serde_json::from_str(line).map_err(|e| format!("cargo said {line}: {e}"))?;
            let Some(executable) = message["executable"].as_str() else { continue };
            if message["profile"]["test"] == true {
                binaries.push(PathBuf::from(executable));
            } else if message["target"]["name"] == "websocat" {
                program = Some(PathBuf::from(executable));
            }
        }
        let program = program.ok_or("cargo named no program")?;
        let folder = program.parent().ok_or("the program is in no folder")?.to_owned();
        let mut tests: BTreeMap<String, Vec<PathBuf>> = BTreeMap::new();
        for binary in binaries {
            let listed = Command::new(&binary).args(["--list", "--format", "terse"]).output();
            let listed = listed.map_err(|e| format!("{}: {e}", binary.display()))?;
            for line in String::from_utf8_lossy(&listed.stdout).lines() {
                if let Some(name) = line.strip_suffix(": test") {
                    tests.entry(name.to_owned()).or_default().push(binary.clone());
                }
            }
        }
        Ok(Self { tests, program, folder })
    }

    fn runnable(&self, root: &Path, test: &str) -> Result<Runnable, String> {
        if let Some(name) = test.strip_prefix("interop:") {
            let (script, name) = (root.join("interop/run.py"), name.to_owned());
            return Ok(Runnable::Case { python: python(), script, program: self.program.clone(), name });
        }
        match self.tests.get(test).map(Vec::as_slice) {
            Some([binary]) => Ok(Runnable::Test { binary: binary.clone(), name: test.to_owned() }),
            Some(several) => Err(format!("{test} is in {} test binaries", several.len())),
            None => Err(format!("{test} is no test of the package websocat")),
        }
    }
}

/// The Python that .ci/run prepares for the cases of interop/, or else any.
fn python() -> PathBuf {
    let cache = env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let cache = cache.or_else(|| Some(PathBuf::from(env::var_os("HOME")?).join(".cache")));
    let prepared = cache.and_then(|cache| {
        let entries = fs::read_dir(cache.join("websocat-interop")).ok()?;
        entries.filter_map(Result::ok).map(|entry| entry.path().join("bin/python")).find(|python| python.exists())
    });
    prepared.unwrap_or_else(|| "python3".into())
}

/// Outcomes in the order of the jobs, some of which run at the same time.
fn all(jobs: &[(String, &str, Runnable)], logs: &Path) -> Result<Vec<Outcome>, String> {
    let next = AtomicUsize::new(0);
    let outcomes = Mutex::new(vec![None; jobs.len()]);
    let work = || -> Result<(), String> {
        while let Some((at, (option, test, runnable))) =
            jobs.iter().enumerate().nth(next.fetch_add(1, Ordering::Relaxed))
        {
            let outcome = one(option, runnable, &logs.join(log_name(option, test)))?;
            if let Some(place) = outcomes.lock().map_err(|e| e.to_string())?.get_mut(at) {
                *place = Some(outcome);
            }
        }
        Ok(())
    };
    let workers = thread::available_parallelism().map_or(1, std::num::NonZero::get);
    thread::scope(|scope| {
        let threads: Vec<_> = (0..workers).map(|_| scope.spawn(work)).collect();
        threads.into_iter().try_for_each(|thread| thread.join().map_err(|_| "a worker panicked".to_owned())?)
    })?;
    let outcomes = outcomes.into_inner().map_err(|e| e.to_string())?;
    outcomes.into_iter().collect::<Option<_>>().ok_or_else(|| "a run is missing".to_owned())
}

fn one(option: &str, runnable: &Runnable, log: &Path) -> Result<Outcome, String> {
    let mut command = match runnable {
        Runnable::Test { binary, name } => {
            let mut command = Command::new(binary);
            command.args(["--exact", "--nocapture", name]);
            command
        }
        Runnable::Case { python, script, program, name } => {
            let mut command = Command::new(python);
            command.arg(script).arg("--binary").arg(program).args(["--jobs", "1", name]);
            command
        }
    };
    let at_log = |e: std::io::Error| format!("{}: {e}", log.display());
    let out = File::create(log).map_err(at_log)?;
    let both = out.try_clone().map_err(at_log)?;
    let mut child = command
        .env(VARIABLE, option)
        .stdin(Stdio::null())
        .stdout(out)
        .stderr(both)
        .spawn()
        .map_err(|e| format!("{runnable:?}: {e}"))?;
    let start = Instant::now();
    let status = loop {
        if let Some(status) = child.try_wait().map_err(|e| e.to_string())? {
            break status;
        }
        if start.elapsed() > PATIENCE {
            child.kill().and_then(|()| child.wait()).map_err(|e| e.to_string())?;
            return Ok(Outcome::Hung);
        }
        thread::sleep(Duration::from_millis(5));
    };
    // A test that did not run says nothing.
    let text = fs::read(log).map_err(at_log)?;
    let text = String::from_utf8_lossy(&text);
    let ran = match runnable {
        Runnable::Test { .. } => text.contains("running 1 test\n"),
        Runnable::Case { .. } => ["1 ok, 0 failed", "0 ok, 1 failed", "0 ok, 0 failed, 1 skipped"]
            .iter()
            .any(|counts| text.contains(&format!("interop: {counts}"))),
    };
    if !ran {
        return Err(format!("{runnable:?} did not run, see {}", log.display()));
    }
    let left_out = status.success() && text.contains(LEFT_OUT) || text.contains("interop: 0 ok, 0 failed, 1 skipped");
    Ok(match status.success() {
        _ if left_out => Outcome::LeftOut,
        true => Outcome::Passed,
        false => Outcome::Failed,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_have_three_columns() {
        let text = "option\ttest\teffect\nbinary\ta::b\tbytes\nold\t-\tdoes nothing\n";
        assert_eq!(rows(text).unwrap(), [Row { option: "binary".into(), test: "a::b".into() }]);
        assert!(rows("option\ttest\teffect\nbinary\ta::b\n").unwrap_err().contains(":2: 2 columns"));
        assert!(rows("option\ttest\teffect\nbinary\t\tx\n").unwrap_err().contains("empty"));
    }

    #[test]
    fn patterns() {
        for (pattern, fitting) in [("tee", "tee|tee-propagate-eof"), ("^tee$", "tee"), ("ws-c|^h", "header|ws-c-uri")] {
            for option in ["tee", "tee-propagate-eof", "header", "ws-c-uri"] {
                assert_eq!(fits(option, pattern), fitting.split('|').any(|f| f == option), "{option} {pattern}");
            }
        }
    }
}
