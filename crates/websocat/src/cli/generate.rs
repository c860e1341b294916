//! Documentation that the program makes of itself: the same definitions as parser and help.

use crate::{cli::Args, endpoints, overlays, plan::lint, spec::Form};
use clap::CommandFactory as _;
use std::fmt::Write as _;

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Page {
    Endpoints,
    Overlays,
    Options,
    Lints,
}

/// A page as Markdown.
pub fn page(page: Page) -> String {
    match page {
        Page::Endpoints => forms(
            "Endpoints",
            "An endpoint is the innermost part of a specifier: what the program talks to.",
            endpoints::TABLE.iter().flat_map(|(forms, _)| *forms),
        ),
        Page::Overlays => forms(
            "Overlays",
            "Overlays stand in front of an endpoint and change what goes through: `lines:tcp:127.0.0.1:80`.",
            overlays::TABLE.iter().flat_map(|(forms, _)| *forms),
        ),
        Page::Options => options(),
        Page::Lints => lints(),
    }
}

fn forms<'a>(title: &str, intro: &str, forms: impl Iterator<Item = &'a Form>) -> String {
    let mut out = format!("# {title}\n\n{intro}\n");
    for form in forms.filter(|form| !form.prefixes.is_empty()) {
        let prefixes: Vec<_> = form.prefixes.iter().map(|p| format!("`{p}`")).collect();
        // Writing to a String cannot fail, here and below.
        let _ = write!(out, "\n## {}\n\n{}", form.prefixes[0], form.doc);
        let value = if form.value.is_empty() { String::new() } else { format!("`{}`", form.value) };
        let _ = write!(out, "\n\n- Prefixes: {}\n", prefixes.join(", "));
        if !value.is_empty() {
            let _ = writeln!(out, "- Value: {value}");
        }
    }
    out
}

fn lints() -> String {
    let mut out = "# Lints\n\nWarnings about command lines that probably do not mean what they say. Each ends in its id. `--no-lints` \
looks away, `--lint deny` makes errors of them (status 2).\n\n| id | what it finds |\n|---|---|\n"
        .to_owned();
    for lint in lint::ALL {
        let _ = writeln!(out, "| `{}` | {} |", lint.id, lint.doc);
    }
    out
}

fn options() -> String {
    let mut out = "# Options\n".to_owned();
    let command = Args::command();
    let mut headings: Vec<Option<&str>> = vec![];
    for arg in command.get_opts() {
        if !headings.contains(&arg.get_help_heading()) {
            headings.push(arg.get_help_heading());
        }
    }
    for heading in headings {
        let _ = write!(out, "\n## {}\n", heading.unwrap_or("General"));
        for arg in command.get_opts().filter(|arg| arg.get_help_heading() == heading && !arg.is_hide_set()) {
            let mut names: Vec<String> = arg.get_short().map(|c| format!("-{c}")).into_iter().collect();
            names.extend(arg.get_long().map(|name| format!("--{name}")));
            let takes_value = arg.get_action().takes_values();
            let value = arg.get_value_names().filter(|_| takes_value).map(|n| format!(" {}", n[0])).unwrap_or_default();
            let _ = write!(out, "\n### `{}{value}`\n\n", names.join(", "));
            let help = arg.get_long_help().or(arg.get_help()).map(ToString::to_string).unwrap_or_default();
            let _ = writeln!(out, "{help}");
            let defaults: Vec<_> = arg.get_default_values().iter().map(|v| v.to_string_lossy().into_owned()).collect();
            if takes_value && !defaults.is_empty() {
                let _ = writeln!(out, "\nDefault: `{}`", defaults.join(" "));
            }
        }
    }
    out
}
