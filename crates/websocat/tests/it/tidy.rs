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
