//! Medians of what was measured, as tables, and the page that keeps them.

use super::{
    subjects::{SUBJECTS, Subject, WEBSOCAT},
    workloads::Workload,
};
use std::{collections::BTreeMap, fmt::Write, fs, path::Path, process::Command, thread};

/// Figures of all runs.
#[derive(Default)]
pub(super) struct Results {
    /// By workload, server and key of a figure.
    values: BTreeMap<(&'static str, &'static str, String), Vec<f64>>,
    errors: BTreeMap<(&'static str, &'static str), String>,
}

impl Results {
    /// Takes what the generator printed.
    pub(super) fn add(&mut self, workload: &Workload, subject: &Subject, output: &str) {
        for (key, value) in output.lines().filter_map(|line| line.split_once(' ')) {
            if let Ok(value) = value.parse() {
                self.values.entry((workload.name, subject.name, key.into())).or_default().push(value);
            }
        }
    }

    pub(super) fn fail(&mut self, workload: &Workload, subject: &Subject, error: &str) {
        self.errors.insert((workload.name, subject.name), error.into());
    }

    pub(super) fn median(&self, workload: &Workload, subject: &'static str, key: &str) -> Option<f64> {
        let mut values = self.values.get(&(workload.name, subject, key.into()))?.clone();
        values.sort_by(f64::total_cmp);
        let (low, high) = (values.get((values.len() - 1) / 2)?, values.get(values.len() / 2)?);
        Some((low + high) / 2.0)
    }

    /// The server that the workload's first figure ranks best.
    pub(super) fn best(&self, workload: &Workload, subjects: &[&'static str]) -> Option<&'static str> {
        let figure = workload.figures.first()?;
        let measured = |name: &&'static str| Some((*name, self.median(workload, name, figure.key)?));
        let sign = if figure.higher_is_better { 1.0 } else { -1.0 };
        let best = subjects.iter().filter_map(measured).max_by(|a, b| (a.1 * sign).total_cmp(&(b.1 * sign)));
        best.map(|(name, _)| name)
    }

    fn rounds(&self, workload: &Workload) -> usize {
        self.values.iter().filter(|(key, _)| key.0 == workload.name).map(|(_, values)| values.len()).max().unwrap_or(0)
    }
}

/// The workload's heading, facts and table.
pub(super) fn section(workload: &Workload, results: &Results) -> String {
    let mut text =
        format!("## {}\n\n{}. {}, {} rounds.\n\n", workload.name, workload.title, facts(), results.rounds(workload));
    let first = workload.figures.first();
    let titles: Vec<_> = workload.figures.iter().map(|figure| figure.title).collect();
    let (head, tail) = titles.split_at(titles.len().min(1));
    // Writing to a String cannot fail, here and below.
    let _ = writeln!(text, "| server | {} | websocat is × | {} |", head.join(""), tail.join(" | "));
    let _ = writeln!(text, "|---|{}", "---:|".repeat(titles.len() + 1));
    for subject in SUBJECTS.iter().filter(|subject| subject.takes_part(workload)) {
        let median = |key| results.median(workload, subject.name, key);
        let mut cells = Vec::new();
        for figure in workload.figures {
            cells.push(median(figure.key).map_or("–".into(), |value| format!("{value:.0$}", figure.decimals)));
        }
        let ours = first.and_then(|figure| results.median(workload, WEBSOCAT, figure.key));
        let ratio = ours
            .zip(first.and_then(|figure| median(figure.key)))
            .map(|(ours, value)| ours / value)
            .filter(|ratio| ratio.is_finite());
        cells.insert(1, ratio.map_or("–".into(), |ratio| format!("{ratio:.2}")));
        let _ = writeln!(text, "| {} | {} |", subject.name, cells.join(" | "));
        if let Some(error) = results.errors.get(&(workload.name, subject.name)) {
            eprintln!("{} {}: failed at least once: {error}", workload.name, subject.name);
        }
    }
    text
}

/// The machine and the day.
fn facts() -> String {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let cores = thread::available_parallelism().map_or(0, usize::from);
    let cpu = read("/proc/cpuinfo");
    let model = cpu
        .lines()
        .find_map(|line| line.strip_prefix("model name"))
        .map_or("unknown processor", |rest| rest.trim_start_matches([' ', '\t', ':']));
    let date =
        Command::new("date").arg("+%F").output().map(|out| String::from_utf8_lossy(&out.stdout).trim().to_owned());
    let load = read("/proc/loadavg");
    format!(
        "{cores} cores ({model}), Linux {}, TCP with {}, {}, load average {} at the end",
        read("/proc/sys/kernel/osrelease").trim(),
        read("/proc/sys/net/ipv4/tcp_congestion_control").trim(),
        date.unwrap_or_default(),
        load.split(' ').next().unwrap_or("unknown"),
    )
}

const HEAD: &str = "# Benchmarks

Written by `cargo xtask bench`. Each figure is the median of the rounds; servers take turns within a round and are
started afresh for every run. The load generator runs on the same machine, sends with TCP_NODELAY and compares every
byte that comes back. The row `null` is its ceiling: an echo server that checks nothing, its two ends joined without a
server, or `true` as the process. A server near that row is faster than this machine can show; then CPU time tells
more than rates.
";

/// Puts the workloads' sections in place of older ones.
pub(super) fn write_page(path: &Path, workloads: &[&Workload], results: &Results) -> Result<(), String> {
    let old = fs::read_to_string(path).unwrap_or_default();
    let page = page(&old, |name| workloads.iter().find(|w| w.name == name).map(|workload| section(workload, results)));
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).map_err(|e| format!("{}: {e}", folder.display()))?;
    }
    fs::write(path, page).map_err(|e| format!("{}: {e}", path.display()))
}

/// The page with new sections where there are new ones, in the order of the table of workloads.
fn page(old: &str, new: impl Fn(&str) -> Option<String>) -> String {
    let mut text = HEAD.to_owned();
    for workload in &super::workloads::WORKLOADS {
        let heading = format!("\n## {}\n", workload.name);
        let kept = || {
            let (_, rest) = old.split_once(&heading)?;
            let body = rest.find("\n## ").and_then(|end| rest.get(..end)).unwrap_or(rest);
            Some(format!("{}{body}", heading.trim_start()))
        };
        if let Some(section) = new(workload.name).or_else(kept) {
            text.push('\n');
            text.push_str(&section);
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sections_that_did_not_run_stay() {
        let first = page("", |name| (name != "idle").then(|| format!("## {name}\n\nold {name}\n")));
        assert_eq!(first, page(&first, |_| None));
        let second = page(&first, |name| matches!(name, "idle" | "start").then(|| format!("## {name}\n\nnew\n")));
        assert!(second.contains("## connect\n\nold connect\n\n## idle\n\nnew\n\n## tcp-tcp\n\nold tcp-tcp\n"));
        assert!(second.ends_with("old prefixed-memory\n\n## start\n\nnew\n"));
    }

    #[test]
    fn medians_of_odd_and_even_counts() {
        let (workload, subject) = (&super::super::workloads::WORKLOADS[0], &SUBJECTS[0]);
        let mut results = Results::default();
        assert_eq!(results.median(workload, subject.name, "rate"), None);
        for (value, median) in [(5.0, 5.0), (1.0, 3.0), (2.0, 2.0)] {
            results.add(workload, subject, &format!("rate {value}\nother word\n"));
            assert_eq!(results.median(workload, subject.name, "rate"), Some(median));
        }
    }
}
