//! `--list-features`: what this build can do, as JSON for programs that have to know.
//!
//! The same definitions as parser and help. Keys stay what they are; new ones may come.

use crate::{cli::Args, endpoints, overlays, plan::lint, spec::Form};
use clap::CommandFactory as _;
use serde::Serialize;

#[derive(Serialize)]
struct Features {
    version: &'static str,
    os: &'static str,
    arch: &'static str,
    endpoints: Vec<Prefixed>,
    overlays: Vec<Prefixed>,
    options: Vec<Switch>,
    /// Ids of `--lint`.
    lints: Vec<&'static str>,
    /// What it speaks.
    protocols: &'static [&'static str],
}

/// A specifier's form.
#[derive(Serialize)]
struct Prefixed {
    name: &'static str,
    prefixes: &'static [&'static str],
    /// What follows the prefix; absent where nothing may.
    #[serde(skip_serializing_if = "Option::is_none")]
    value: Option<&'static str>,
}

/// An option of the command line.
#[derive(Serialize)]
struct Switch {
    long: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    short: Option<char>,
    /// Name of its value; absent for flags.
    #[serde(skip_serializing_if = "Option::is_none")]
    value: Option<String>,
    /// May be given several times.
    repeats: bool,
}

fn prefixed(forms: &'static [Form]) -> impl Iterator<Item = Prefixed> {
    // Forms without prefixes are those that the planner makes.
    forms.iter().filter(|form| !form.prefixes.is_empty()).map(|form| Prefixed {
        name: form.name,
        prefixes: form.prefixes,
        value: Some(form.value).filter(|value| !value.is_empty()),
    })
}

/// The JSON object, with a newline at its end.
pub fn features() -> String {
    let command = Args::command();
    let options = command.get_opts().filter(|option| !option.is_hide_set()).filter_map(|option| {
        let takes_value = option.get_action().takes_values();
        Some(Switch {
            long: format!("--{}", option.get_long()?),
            short: option.get_short(),
            value: option.get_value_names().filter(|_| takes_value).and_then(|names| Some(names.first()?.to_string())),
            repeats: matches!(option.get_action(), clap::ArgAction::Append | clap::ArgAction::Count),
        })
    });
    let features = Features {
        version: env!("CARGO_PKG_VERSION"),
        os: std::env::consts::OS,
        arch: std::env::consts::ARCH,
        endpoints: endpoints::TABLE.iter().flat_map(|(forms, _)| prefixed(forms)).collect(),
        overlays: overlays::TABLE.iter().flat_map(|(forms, _)| prefixed(forms)).collect(),
        options: options.collect(),
        lints: lint::ALL.iter().map(|lint| lint.id).collect(),
        protocols: &["websocket", "permessage-deflate", "tls1.2", "tls1.3", "http1"],
    };
    // Strings and lists alone cannot fail to be written.
    serde_json::to_string_pretty(&features).unwrap_or_default() + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn says_what_the_parser_knows() {
        let features: serde_json::Value = serde_json::from_str(&features()).unwrap();
        assert_eq!(features["version"], env!("CARGO_PKG_VERSION"));
        let find = |list: &str, key: &str, name: &str| {
            let entry = features[list].as_array().unwrap().iter().find(|entry| entry[key] == name).cloned();
            entry.unwrap_or_else(|| panic!("{name} is not among {list}"))
        };
        let tcp = find("endpoints", "name", "tcp");
        assert!(tcp["prefixes"].as_array().unwrap().contains(&"tcp-connect:".into()) && tcp["value"] == "HOST:PORT");
        assert!(find("overlays", "name", "lines").get("value").is_none());
        let header = find("options", "long", "--header");
        assert!(header["short"] == "H" && header["value"] == "NAME: VALUE" && header["repeats"] == true);
        assert!(find("options", "long", "--oneshot").get("value").is_none());
    }
}
