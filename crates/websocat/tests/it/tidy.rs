//! Rules that no compiler checks: layers, one file per thing, names, heads, sizes.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

fn sources(below: &Path) -> Vec<(PathBuf, String)> {
    let mut found = vec![];
    let mut folders = vec![below.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                if !path.ends_with("target") {
                    folders.push(path);
                }
            } else if path.extension().is_some_and(|e| e == "rs") {
                let text = fs::read_to_string(&path).unwrap();
                found.push((path, text));
            }
        }
    }
    assert!(!found.is_empty(), "{} has no sources", below.display());
    found.sort();
    found
}

/// The part of a file before its unit tests.
fn product(text: &str) -> &str {
    text.split("#[cfg(test)]\nmod tests").next().unwrap()
}

#[test]
fn text_writers_and_text_readers_do_not_meet() {
    let src = root().join("crates/websocat/src");
    let writers = ["cli", "spec", "plan"];
    let readers = ["scenario", "functions"];
    for (side, others) in [(writers, &readers[..]), (["scenario", "functions", ""], &writers[..])] {
        for folder in side.iter().filter(|f| !f.is_empty()) {
            for (path, text) in sources(&src.join(folder)) {
                // The program itself is where both ends are put together; units of options are plain values.
                if path.ends_with("cli/program.rs") {
                    continue;
                }
                for other in others {
                    let uses = product(&text).lines().any(|line| {
                        let line = line.trim();
                        !line.starts_with("//") && line.contains(&format!("crate::{other}"))
                    });
                    assert!(!uses, "{} uses crate::{other}", path.display());
                }
            }
        }
    }
}

#[test]
fn the_data_plane_knows_nothing_of_the_control_plane() {
    for manifest in ["crates/sockets/Cargo.toml", "crates/wsframe/Cargo.toml"] {
        let text = fs::read_to_string(root().join(manifest)).unwrap();
        for name in ["rhai", "clap", "serde"] {
            assert!(
                !text.contains(&format!("\n{name} ")) && !text.contains(&format!("\n{name}.")),
                "{manifest}: {name}"
            );
        }
    }
}

#[test]
fn every_file_of_a_listed_folder_has_its_row() {
    let src = root().join("crates/websocat/src");
    for folder in ["endpoints", "overlays"] {
        let list = fs::read_to_string(src.join(folder).join("mod.rs")).unwrap();
        for entry in fs::read_dir(src.join(folder)).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
            // A folder beside a file of the same name belongs to that file.
            if name == "mod" || path.is_dir() {
                continue;
            }
            assert!(list.contains(&format!("mod {name};")), "{folder}/{name} is not listed");
            let text = fs::read_to_string(&path).unwrap();
            if text.contains("impl EndpointSpec for") || text.contains("impl OverlaySpec for") {
                assert!(list.contains(&format!("    {name}::")), "{folder}/{name} has no row");
            }
        }
    }
}

#[test]
fn files_have_a_head_one_subject_and_a_name_that_says_which() {
    let banned: BTreeSet<&str> = ["util", "utils", "misc", "common", "helper", "helpers"].into();
    for folder in ["crates", "xtask"] {
        for (path, text) in sources(&root().join(folder)) {
            let shown = path.display();
            let name = path.file_stem().unwrap().to_str().unwrap();
            assert!(!banned.contains(name), "{shown}: the name does not say what is inside");
            assert!(text.starts_with("//!"), "{shown}: no head");
            let lines = text.lines().count();
            assert!(lines <= 700, "{shown}: {lines} lines are more than one subject");
        }
    }
}

#[test]
fn unfinished_code_is_not_kept() {
    for (path, text) in sources(&root().join("crates")) {
        if path.ends_with("tidy.rs") {
            continue;
        }
        for (number, line) in text.lines().enumerate() {
            let ignored_without_reason = line.trim() == "#[ignore]";
            let marks = ["todo!(", "unimplemented!(", "FIXME", "XXX"].iter().any(|m| line.contains(m));
            assert!(!ignored_without_reason && !marks, "{}:{}: {line}", path.display(), number + 1);
        }
    }
}

/// Rows of a table: cells in the order of these columns.
fn table<const N: usize>(path: &Path, columns: [&str; N]) -> Vec<[String; N]> {
    let text = fs::read_to_string(path).unwrap();
    let mut lines = text.lines();
    let head: Vec<_> = lines.next().unwrap().split('\t').collect();
    let at = columns.map(|column| head.iter().position(|c| *c == column).unwrap());
    let row = |(number, line): (usize, &str)| {
        let cells: Vec<_> = line.split('\t').collect();
        at.map(|at| {
            let cell = cells.get(at).unwrap_or_else(|| panic!("{}:{}: too short", path.display(), number + 2));
            (*cell).to_owned()
        })
    };
    lines.enumerate().map(row).collect()
}

/// Whether a file contains the test of this name, as cargo lists it. The path of the file gives the first modules.
fn has_test(source: &Path, text: &str, test: &str) -> bool {
    let package = root().join("crates/websocat");
    let Ok(path) = source.strip_prefix(package) else { return false };
    let path = ["src", "tests/it", "tests/hostile", "tests/system", "tests"]
        .iter()
        .find_map(|top| path.strip_prefix(top).ok());
    let Some(path) = path else { return false };
    let modules: Vec<_> = path.with_extension("").iter().map(|part| part.to_str().unwrap().to_owned()).collect();
    let roots = ["mod", "main", "lib"].map(str::to_owned);
    let modules = if roots.contains(modules.last().unwrap()) { &modules[..modules.len() - 1] } else { &modules[..] };
    let parts: Vec<&str> = test.split("::").collect();
    let Some(inside) = parts.strip_prefix(&modules.iter().map(String::as_str).collect::<Vec<_>>()[..]) else {
        return false;
    };
    let Some((name, inline)) = inside.split_last() else { return false };
    let is_function = |text: &str| {
        text.match_indices(&format!("fn {name}(")).any(|(at, _)| {
            let before = text[..at].rsplit("\n\n").next().unwrap();
            before.contains("test]\n") || before.contains("test(")
        })
    };
    inline.iter().all(|module| text.contains(&format!("mod {module} {{"))) && is_function(text)
}

/// `tests/options.tsv`: for each option the test in which it changes what a peer, the kernel or a user sees.
#[test]
fn options_have_tests_that_see_them_at_work() {
    use clap::CommandFactory as _;
    let root = root();
    let mut command = websocat::cli::Args::command();
    command.build();
    let known: BTreeSet<&str> = command.get_arguments().filter_map(clap::Arg::get_long).collect();

    let sources = sources(&root.join("crates/websocat"));
    let cases: String = fs::read_dir(root.join("interop/cases"))
        .unwrap()
        .map(|entry| fs::read_to_string(entry.unwrap().path()).unwrap_or_default())
        .collect();
    let mut seen = BTreeSet::new();
    let mut excused = BTreeSet::new();
    for [option, test, effect] in table(&root.join("crates/websocat/tests/options.tsv"), ["option", "test", "effect"]) {
        assert!(known.contains(&*option), "options.tsv: there is no --{option}");
        assert!(!effect.trim().is_empty(), "options.tsv: --{option}: which effect?");
        let there = match test.strip_prefix("interop:") {
            Some(case) => cases.contains(&format!("\ndef {case}(")),
            None if test == "-" => excused.insert(option.clone()),
            None => sources.iter().any(|(path, text)| has_test(path, text, &test)),
        };
        assert!(there, "options.tsv: --{option}: there is no test `{test}`");
        assert!(seen.insert(option.clone()), "options.tsv: --{option} stands there twice");
    }
    for option in known {
        assert!(seen.contains(option), "options.tsv: no test for --{option}");
    }
    // Only what Websocat 4 had can be left without a use.
    let mut may_do_nothing = BTreeSet::new();
    for [option, area] in table(&root.join("conformance/spec/v4-options.tsv"), ["long", "area"]) {
        if area == "websocket" {
            may_do_nothing.insert(option);
        }
    }
    for option in &excused {
        assert!(may_do_nothing.contains(option), "options.tsv: --{option} has an effect");
    }
}

#[test]
fn tests_are_found_by_their_names() {
    let file = root().join("crates/websocat/tests/it/tidy.rs");
    let text = fs::read_to_string(&file).unwrap();
    assert!(has_test(&file, &text, "tidy::tests_are_found_by_their_names"));
    for wrong in ["tests_are_found_by_their_names", "other::tests_are_found_by_their_names", "tidy::root", "tidy::no"] {
        assert!(!has_test(&file, &text, wrong), "{wrong}");
    }
    let file = root().join("crates/websocat/src/cli/args.rs");
    let text = fs::read_to_string(&file).unwrap();
    assert!(has_test(&file, &text, "cli::args::tests::every_option_is_documented"));
    assert!(!has_test(&file, &text, "cli::args::every::every_option_is_documented"));
}

#[test]
fn the_map_of_the_source_is_right() {
    let root = root();
    let files: Vec<String> = sources(&root.join("crates"))
        .into_iter()
        .map(|(path, _)| path.strip_prefix(&root).unwrap().display().to_string())
        .collect();
    let map = fs::read_to_string(root.join("ARCHITECTURE.md")).unwrap();
    let mut count = 0;
    for word in map.split('`').skip(1).step_by(2) {
        let wanted = if let Some(module) = word.strip_prefix("sockets::").or(word.strip_prefix("wsframe::")) {
            format!("/src/{}", module.replace("::", "/"))
        } else if word.ends_with(".rs") {
            format!("/{word}")
        } else {
            continue;
        };
        let there = files.iter().any(|file| {
            let file = format!("/{file}");
            // A module is a file, or a folder with a file of its name or `mod.rs`.
            file.ends_with(&wanted)
                || file.ends_with(&format!("{wanted}.rs"))
                || file.ends_with(&format!("{wanted}/mod.rs"))
        });
        assert!(there, "ARCHITECTURE.md names `{word}`, which is nowhere");
        count += 1;
    }
    assert!(count > 20, "only {count} files are named");
}
