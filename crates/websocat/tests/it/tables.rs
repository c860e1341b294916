//! Tests over all options, prefixes and native functions: nothing twice, nothing hidden, nothing undocumented, and
//! all that the tables in `conformance/spec` have in the area `foundation` is there.

use clap::CommandFactory as _;
use proc_macro2::{TokenStream, TokenTree};
use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};
use syn::visit::{self, Visit};
use websocat::{cli::Args, endpoints, overlays, spec::Form};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// Rows of a table as maps from column to cell, of this area only.
fn rows(table: &str) -> Vec<BTreeMap<String, String>> {
    let text = fs::read_to_string(root().join("conformance/spec").join(table)).unwrap();
    let mut lines = text.lines();
    let columns: Vec<_> = lines.next().unwrap().split('\t').collect();
    let row = |line: &str| -> BTreeMap<String, String> {
        columns.iter().map(ToString::to_string).zip(line.split('\t').map(str::to_owned)).collect()
    };
    let rows: Vec<_> = lines.map(row).filter(|row| row["area"] == "foundation").collect();
    assert!(rows.len() > 10, "{table} has only {} rows", rows.len());
    rows
}

#[test]
fn options_are_unique_and_have_a_heading_and_a_help_text() {
    let mut command = Args::command();
    command.build();
    let (mut seen, mut texts) = (BTreeSet::new(), BTreeSet::new());
    for option in command.get_arguments().filter(|argument| !argument.is_positional()) {
        let long = option.get_long().unwrap_or_else(|| panic!("{} has only a short form", option.get_id()));
        let aliases = option.get_all_aliases().unwrap_or_default().into_iter().map(str::to_owned);
        let short = option.get_short().map(|c| c.to_string());
        for name in aliases.chain([long.to_owned()]).chain(short) {
            assert!(seen.insert(name.clone()), "two options are called {name}");
        }
        if ["help", "version"].contains(&long) {
            continue;
        }
        let text = option.get_help().unwrap().to_string();
        assert!(text.len() > 15, "--{long}: {text}");
        assert!(!text.ends_with('.') || text.ends_with("etc."), "--{long} ends in a dot, others do not");
        assert!(text.chars().next().unwrap().is_uppercase() || text.contains(':'), "--{long}: {text}");
        assert!(texts.insert(text.clone()), "--{long} has the text of another option: {text}");
        assert!(option.get_help_heading().is_some(), "--{long} stands under no heading");
        if option.get_action().takes_values() {
            let value = option.get_value_names().unwrap()[0].as_str();
            assert!(value.chars().all(|c| c.is_ascii_uppercase() || c == ' ' || c == ':'), "--{long} <{value}>");
        }
    }
    assert!(seen.len() > 60, "{seen:?}");
}

#[test]
fn options_stand_under_the_heading_of_what_they_belong_to() {
    let command = Args::command();
    let heading = |long: &str| {
        let option = command.get_arguments().find(|o| o.get_long() == Some(long)).unwrap();
        option.get_help_heading().unwrap_or_default().to_owned()
    };
    for (long, expected) in [
        ("linger", "Sessions"),
        ("threads", "Program"),
        ("connect-timeout", "Connections and listeners"),
        ("stdout-announce-listening-ports", "Connections and listeners"),
        ("exec-args", "Processes"),
        ("write-file-no-overwrite", "Files"),
        ("random-fast", "Other endpoints"),
        ("separator", "Text framing"),
        ("log-hex", "Traffic log"),
        ("handshake-timeout", "WebSocket"),
        ("insecure", "TLS"),
    ] {
        assert_eq!(heading(long), expected, "--{long}");
    }
}

#[test]
fn every_option_of_the_foundation_is_there_and_in_both_helps() {
    let mut command = Args::command();
    command.build();
    let short_help = command.clone().render_help().to_string();
    let long_help = command.clone().render_long_help().to_string();
    for row in rows("v4-options.tsv") {
        let (long, short) = (row["long"].as_str(), row["short"].chars().next());
        let option = command.get_arguments().find(|o| o.get_long() == Some(long));
        let option = option.unwrap_or_else(|| panic!("--{long} is missing"));
        assert_eq!(option.get_short(), short, "--{long}");
        for help in [&short_help, &long_help] {
            let listed = help.lines().any(|line| {
                line.trim_start().starts_with('-') && line.split([' ', ',', '.']).any(|w| w == format!("--{long}"))
            });
            assert!(listed, "--{long} is not in the help");
        }
        let is_flag = row["type"] == "flag";
        assert_eq!(option.get_action().takes_values(), !is_flag, "--{long}: a {}", row["type"]);
        let repeats = matches!(option.get_action(), clap::ArgAction::Append | clap::ArgAction::Count);
        let swallows = option.get_num_args().is_some_and(|n| n.max_values() > 1);
        assert_eq!(repeats || swallows, row["repeat"] == "yes" || swallows, "--{long}: repeat {}", row["repeat"]);
    }
    for new in ["connect-timeout", "handshake-timeout", "linger", "drain", "threads", "log-format"] {
        assert!(long_help.contains(&format!("--{new} ")), "--{new}");
    }
}

fn forms() -> impl Iterator<Item = &'static Form> {
    let of_endpoints = endpoints::TABLE.iter().flat_map(|(forms, _)| *forms);
    of_endpoints.chain(overlays::TABLE.iter().flat_map(|(forms, _)| *forms))
}

#[test]
fn no_prefix_of_an_endpoint_or_overlay_hides_another() {
    let prefixes: Vec<&str> = forms().flat_map(|form| form.prefixes).copied().collect();
    for (i, one) in prefixes.iter().enumerate() {
        assert!(!one.starts_with('-') && one.to_lowercase() == **one, "{one}");
        for (j, other) in prefixes.iter().enumerate() {
            assert!(i == j || !other.starts_with(one), "{one} hides {other}");
        }
    }
    let names: BTreeSet<_> = forms().map(|form| form.name).collect();
    assert_eq!(names.len(), forms().count(), "two forms have the same name");
}

#[test]
fn every_prefix_of_the_foundation_is_there() {
    let known: BTreeSet<&str> = forms().flat_map(|form| form.prefixes).copied().collect();
    for table in ["v4-endpoints.tsv", "v4-overlays.tsv"] {
        for row in rows(table) {
            for prefix in row["prefixes"].split_whitespace() {
                assert!(prefix == "-" || known.contains(prefix), "{prefix} of {} is missing", row["name"]);
            }
        }
    }
}

/// Native functions as the sources register them: name in scripts, parameter types.
#[derive(Default)]
struct Registered {
    /// Functions of the file being read.
    parameters: BTreeMap<String, Vec<String>>,
    /// Name in scripts and Rust name.
    calls: Vec<(String, String)>,
}

fn idents(tokens: TokenStream) -> Vec<String> {
    tokens.into_iter().filter_map(|t| if let TokenTree::Ident(i) = t { Some(i.to_string()) } else { None }).collect()
}

impl<'ast> Visit<'ast> for Registered {
    fn visit_item_mod(&mut self, module: &'ast syn::ItemMod) {
        if module.ident != "tests" && module.ident != "functions" {
            visit::visit_item_mod(self, module);
        }
    }

    fn visit_item_fn(&mut self, function: &'ast syn::ItemFn) {
        let types = function.sig.inputs.iter().filter_map(|input| match input {
            syn::FnArg::Typed(typed) => {
                let ty = &*typed.ty;
                Some(quote::quote!(#ty).to_string())
            }
            syn::FnArg::Receiver(_) => None,
        });
        let types = types.filter(|ty| !ty.contains("NativeCallContext")).collect();
        self.parameters.insert(function.sig.ident.to_string(), types);
        visit::visit_item_fn(self, function);
    }

    fn visit_macro(&mut self, call: &'ast syn::Macro) {
        if call.path.is_ident("register") {
            let names = idents(call.tokens.clone()).into_iter().skip(1);
            self.calls.extend(names.map(|name| (name.clone(), name)));
        }
    }

    fn visit_expr_method_call(&mut self, call: &'ast syn::ExprMethodCall) {
        if call.method == "register_native"
            && let (Some(syn::Expr::Lit(name)), Some(syn::Expr::Path(function))) = (call.args.get(0), call.args.get(1))
            && let syn::Lit::Str(name) = &name.lit
        {
            let function = function.path.segments.last().unwrap().ident.to_string();
            self.calls.push((name.value(), function));
        }
        visit::visit_expr_method_call(self, call);
    }
}

/// All files below a folder, parsed.
pub(super) fn sources(folder: &Path) -> Vec<syn::File> {
    let mut found = vec![];
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(sources(&path));
        } else if path.extension().is_some_and(|e| e == "rs") {
            found.push(syn::parse_file(&fs::read_to_string(&path).unwrap()).unwrap());
        }
    }
    found
}

/// Name in scripts, parameter types as written in the source, and file of each.
pub(super) fn native_functions(folder: &Path, found: &mut Vec<(String, Vec<String>, PathBuf)>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        if path.is_dir() {
            if name != "tests" {
                native_functions(&path, found);
            }
        } else if name.ends_with(".rs") && !["tests.rs", "testing.rs"].contains(&name) {
            let mut registered = Registered::default();
            registered.visit_file(&syn::parse_file(&fs::read_to_string(&path).unwrap()).unwrap());
            for (name, function) in registered.calls {
                let parameters = registered.parameters.get(&function);
                let parameters = parameters.unwrap_or_else(|| panic!("{}: no function {function}", path.display()));
                found.push((name, parameters.clone(), path.clone()));
            }
        }
    }
}

#[test]
fn native_functions_are_registered_once_and_those_of_the_foundation_exist() {
    let mut found = vec![];
    native_functions(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut found);
    assert!(found.len() > 60, "only {} native functions", found.len());
    let mut seen = BTreeMap::new();
    for (name, parameters, path) in &found {
        // The engine would take the later one without a word.
        if let Some(before) = seen.insert((name, parameters), path) {
            panic!("{name}({}) is in {} and in {}", parameters.join(", "), before.display(), path.display());
        }
    }
    for row in rows("v4-functions.tsv") {
        let name = row["function"].rsplit("::").next().unwrap();
        assert!(found.iter().any(|(known, ..)| known == name), "{} is missing", row["function"]);
    }
}

#[test]
fn functions_that_websocat_4_does_not_have_are_listed() {
    let mut found = vec![];
    native_functions(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut found);
    let table = |path: &str| {
        let text = fs::read_to_string(root().join("conformance").join(path)).unwrap();
        let names = text.lines().skip(1).map(|line| {
            assert!(line.split('\t').count() >= 4, "{path}: {line}");
            line.split('\t').next().unwrap().rsplit("::").next().unwrap().to_owned()
        });
        names.collect::<Vec<_>>()
    };
    let (old, added) = (table("spec/v4-functions.tsv"), table("functions-added.tsv"));
    for (name, _, path) in &found {
        let listed = old.contains(name) || added.contains(name);
        assert!(listed, "{name} of {} is not in conformance/functions-added.tsv", path.display());
    }
    for (i, name) in added.iter().enumerate() {
        assert!(found.iter().any(|(known, ..)| known == name), "there is no {name}");
        assert!(!old.contains(name), "{name} is a function of Websocat 4");
        assert!(i == 0 || added[i - 1] <= *name, "{name} is not in its place");
    }
}
