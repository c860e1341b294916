//! Every native function with every kind of wrong argument: what the message of the error has to say.
//!
//! Functions, parameters and option keys are read from the source, so that nobody has to be added here. Each call has one
//! fault: a value of a wrong type, a wrong value of an option, an unknown or missing key, a handle that was used up. The
//! message names what is wrong and the position in the script.

use super::{
    program::Running,
    tables::{native_functions, sources},
};
use sockets::stop::Stop;
use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};
use syn::visit::{self, Visit};
use websocat::{exec, scenario::run};

/// Where any value is right: function and number of the parameter.
const ANYTHING: [(&str, usize); 4] = [("str", 0), ("drop", 0), ("send", 1), ("registry_send", 1)];
/// Where a handle may be empty, or is looked at only when something has failed.
const MAY_BE_EMPTY: [(&str, usize); 3] = [("put_hangup_part", 1), ("ws_accept", 3), ("close_on_failure", 0)];
/// Where other values than those of `right` are needed.
const SAMPLES: [(&str, usize, &str); 1] = [("http_reply", 0, "200")];
/// No function takes this type.
const WRONG: &str = "'x'";

/// A key of an option map.
#[derive(Clone)]
pub(super) struct Key {
    pub name: String,
    /// Its type in the source.
    pub kind: String,
    /// What its comment says.
    pub doc: String,
    /// A value that is right, where the key has to be there.
    pub required: Option<&'static str>,
}

/// Fields of all structs by their name.
#[derive(Default)]
struct Structs(BTreeMap<String, Vec<Key>>);

impl<'ast> Visit<'ast> for Structs {
    fn visit_item_struct(&mut self, item: &'ast syn::ItemStruct) {
        let text = |attrs: &[syn::Attribute]| {
            let serde = attrs.iter().filter(|attr| attr.path().is_ident("serde"));
            serde.map(|attr| quote::quote!(#attr).to_string()).collect::<String>()
        };
        let all_default = text(&item.attrs).contains("default");
        let keys = item.fields.iter().filter_map(|field| {
            let (kind, serde) = (&field.ty, text(&field.attrs));
            let kind = quote::quote!(#kind).to_string();
            let optional = all_default || serde.contains("default") || kind.starts_with("Option <");
            let sample = match &*kind {
                "SocketAddr" => "\"127.0.0.1:1\"",
                "String" => "\"x\"",
                "bool" => "true",
                _ => "1",
            };
            let renamed = serde.split("rename = \"").nth(1).and_then(|rest| rest.split('"').next());
            let name = field.ident.as_ref()?.to_string();
            let name = renamed.unwrap_or(name.trim_start_matches("r#")).to_owned();
            let doc = field.attrs.iter().filter(|attr| attr.path().is_ident("doc"));
            let doc = doc.map(|attr| quote::quote!(#attr).to_string()).collect();
            Some(Key { name, kind, doc, required: (!optional).then_some(sample) })
        });
        self.0.insert(item.ident.to_string(), keys.collect());
        visit::visit_item_struct(self, item);
    }
}

/// An expression for a value of this type; None: a script cannot simply make one.
fn right(kind: &str) -> Option<&'static str> {
    let kind = kind.trim_start_matches("& mut ").trim_start_matches('&').trim();
    if kind.starts_with("RhFn <") {
        return Some("|| dummy_task()");
    }
    Some(match kind {
        "str" | "String" | "ImmutableString" => "\"x\"",
        "i64" => "1",
        "bool" => "true",
        "OsString" => "osstr_str(\"x\")",
        "Array" | "rhai :: Array" => "[]",
        "Map" => "#{}",
        "SocketAddr" => "make_socket_addr(\"127.0.0.1\", 1)",
        "Handle < StreamSocket >" | "StreamHandle" => "dummy_stream_socket()",
        "Handle < DatagramSocket >" | "DatagramHandle" => "dummy_datagram_socket()",
        "Handle < BoxStreamRead >" => "take_read_part(dummy_stream_socket())",
        "Handle < BoxStreamWrite >" => "take_write_part(dummy_stream_socket())",
        "Handle < BoxDatagramRead >" => "take_source_part(dummy_datagram_socket())",
        "Handle < BoxDatagramWrite >" => "take_sink_part(dummy_datagram_socket())",
        "Handle < Hangup >" => "pre_triggered_hangup_handle()",
        "TaskHandle" => "dummy_task()",
        "CommandHandle" => "subprocess_new(\"x\")",
        "Handle < Http1Client >" => "http1_client(#{}, dummy_stream_socket())",
        "Arc < Connector >" => "tls_client_connector(#{})",
        "TriggerableEvent" => "triggerable_event_create()",
        "TriggerHandle" => "triggerable_event_create().take_trigger()",
        "SimpleReuserListener" => "simple_reuser_listener()",
        "SimpleReuser" => "simple_reuser(dummy_datagram_socket(), false)",
        "Handle < IncomingRequest >" => "rq",
        "Hub" => "hub(#{})",
        // A function that takes an array instead stands beside each one.
        "Addresses" => "[]",
        "Dynamic" => "dummy_stream_socket()",
        _ => return None,
    })
}

/// Sockets, halves, hangups and tasks, of which `drop` empties the handle.
fn is_handle(kind: &str) -> bool {
    right(kind).is_some_and(|made| {
        ["dummy_stream_socket()", "dummy_datagram_socket()", "take_", "pre_triggered", "dummy_task()"]
            .iter()
            .any(|start| made.starts_with(start))
            && kind != "Dynamic"
    })
}

/// The error of a call on the second line. Requests exist only while one is served.
async fn error(call: &str, before: &str) -> String {
    let served = call.contains("rq,");
    let script = if served {
        let socket = r#"literal_socket("GET / HTTP/1.1\r\nHost: h\r\n\r\n")"#;
        format!("{before} http1_serve(#{{}}, {socket}, |rq, hup, fd| {{\n{call} }})")
    } else {
        format!("let before = 1; {before}\n{call}")
    };
    match exec::load(&script, Stop::new()) {
        Ok((_scenario, task)) if served => run(task).await.expect_err(call).to_string(),
        Ok(_) => panic!("no error: {before} {call}"),
        Err(e) => e.to_string(),
    }
}

pub(super) struct Function {
    pub name: String,
    pub parameters: Vec<String>,
    /// Keys of the structs that its option map is made of.
    pub options: Vec<Vec<Key>>,
}

pub(super) fn functions() -> Vec<Function> {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut found = vec![];
    native_functions(&src, &mut found);
    let mut structs = Structs::default();
    for file in sources(&src) {
        structs.visit_file(&file);
    }
    let function = |(name, parameters, _): (String, Vec<String>, _)| {
        let named = parameters.iter().filter(|kind| kind.starts_with("RhOpts <"));
        let named = named.flat_map(|kind| kind.split(|c: char| !c.is_alphanumeric()).skip(1));
        let options = named.filter_map(|name| structs.0.get(name));
        let options = options.cloned().collect();
        Function { name, parameters, options }
    };
    found.into_iter().map(function).collect()
}

impl Function {
    /// The option map in which nothing is wrong, but for one key, with this value or (None) without it.
    fn map(&self, key: &str, value: Option<&str>) -> String {
        let mut keys: BTreeMap<&str, &str> = BTreeMap::new();
        for Key { name, required, .. } in self.options.iter().flatten() {
            keys.extend(required.map(|value| (name.as_str(), value)));
        }
        match value {
            Some(value) => keys.insert(key, value),
            None => keys.remove(key),
        };
        let keys: Vec<_> = keys.into_iter().map(|(key, value)| format!("\"{key}\": {value}")).collect();
        format!("#{{{}}}", keys.join(", "))
    }

    /// A call in which all is right but one argument.
    fn call(&self, wrong: usize, with: &str) -> String {
        let arguments = self.parameters.iter().enumerate().map(|(i, kind)| match kind {
            _ if i == wrong => with.to_owned(),
            kind if kind.starts_with("RhOpts <") => self.map("", None),
            kind => {
                let sample = SAMPLES.iter().find(|(name, at, _)| *name == self.name && *at == i);
                sample.map(|(_, _, value)| *value).or_else(|| right(kind)).unwrap_or("()").to_owned()
            }
        });
        format!("{}({})", self.name, arguments.collect::<Vec<_>>().join(", "))
    }
}

#[tokio::test]
async fn values_of_wrong_types_are_named_with_their_position() {
    let (mut faults, mut calls) = (vec![], 0);
    for function in functions() {
        for (i, kind) in function.parameters.iter().enumerate() {
            if ANYTHING.contains(&(function.name.as_str(), i)) {
                continue;
            }
            let call = function.call(i, WRONG);
            let said = error(&call, "").await;
            let part = match kind.as_str() {
                kind if kind.starts_with("RhOpts <") => "options must be a map, not char".to_owned(),
                "Dynamic" => "char".to_owned(),
                _ => format!("Function not found: {} (", function.name),
            };
            if !(said.contains(&part) && said.contains("char") && said.contains("line 2")) {
                faults.push(format!("{call}: {said}"));
            }
            calls += 1;
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
    assert!(calls > 200, "only {calls}");
}

#[tokio::test]
async fn options_that_are_wrong_are_named_with_their_position() {
    let (mut faults, mut calls) = (vec![], 0);
    for function in functions() {
        let Some(at) = function.parameters.iter().position(|kind| kind.starts_with("RhOpts <")) else { continue };
        assert!(!function.options.is_empty(), "{}: no struct of its options found", function.name);
        let mut maps = vec![(function.map("no_such_option", Some("1")), "unknown option `no_such_option`".to_owned())];
        for Key { name: key, required, .. } in function.options.iter().flatten() {
            maps.push((function.map(key, Some("dummy_task()")), format!("option `{key}`: ")));
            if required.is_some() {
                maps.push((function.map(key, None), format!("option `{key}` is missing")));
            }
        }
        for (map, part) in maps {
            let call = function.call(at, &map);
            let said = error(&call, "").await;
            if !(said.contains(&part) && said.contains("line 2")) {
                faults.push(format!("{call}: {said}"));
            }
            calls += 1;
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
    assert!(calls > 200, "only {calls}");
}

#[tokio::test]
async fn handles_that_were_used_up_are_named_with_their_position() {
    let (mut faults, mut calls) = (vec![], 0);
    for function in functions() {
        for (i, kind) in function.parameters.iter().enumerate() {
            let name = function.name.as_str();
            // Slots exist only while initialisers run.
            let cannot_be_called = function.parameters.iter().any(|kind| kind.contains("Slot"));
            if !is_handle(kind) || cannot_be_called || MAY_BE_EMPTY.contains(&(name, i)) {
                continue;
            }
            let call = function.call(i, "spent");
            let said = error(&call, &format!("let spent = {}; drop(spent);", right(kind).unwrap())).await;
            if !(said.contains("used up or taken away before") && said.contains("line 2")) {
                faults.push(format!("{call}: {said}"));
            }
            calls += 1;
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
    assert!(calls > 30, "only {calls}");
}

/// Handles that `drop` does not know.
#[tokio::test]
async fn other_handles_that_were_used_up() {
    for (before, call, part) in [
        ("let c = subprocess_new(\"true\"); c.execute();", "c.env(\"a\", \"b\")", "this command was executed before"),
        ("let c = subprocess_new(\"true\"); c.execute();", "c.execute()", "this command was used up"),
        ("let c = subprocess_new(\"true\").execute(); c.wait();", "c.socket()", "this child was used up"),
        ("let c = subprocess_new(\"true\").execute(); c.kill();", "c.wait()", "this child was used up"),
        ("let t = dummy_task(); spawn_task(t);", "race([t])", "this task was used up"),
        ("let h = pre_triggered_hangup_handle(); hangup2task(h);", "sequential([h])", "this hangup was used up"),
        ("let s = dummy_stream_socket(); stream_chunks(s);", "take_hangup_part(s)", "this socket was used up"),
        ("let s = dummy_stream_socket(); stream_chunks(s);", "swap_readers(s, dummy_stream_socket())", "used up"),
        ("let s = dummy_datagram_socket(); tee(#{}, [s]);", "tee(#{}, [s])", "used up"),
        (
            "let c = http1_client(#{}, dummy_stream_socket()); ws_upgrade(#{url: \"/\"}, #{}, c, |raw| dummy_task());",
            "ws_upgrade(#{url: \"/\"}, #{}, c, |raw| dummy_task())",
            "this HTTP client was used up",
        ),
        ("let t = triggerable_event_create().take_trigger(); t.fire();", "t.fire()", "this trigger was used up"),
    ] {
        let said = error(call, before).await;
        assert!(said.contains(part) && said.contains("line 2"), "{before} {call}: {said}");
    }
}

/// Each function is called with right values by a script that is run: one of those of the spec check, an example, or one in
/// a unit test.
#[test]
fn every_function_is_called_by_a_test() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let mut texts = String::new();
    for folder in ["conformance/spec_check/scenarios", "examples", "crates/websocat/tests/plan"] {
        for entry in std::fs::read_dir(root.join(folder)).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_some_and(|e| e == "rhai") {
                texts += &std::fs::read_to_string(path).unwrap();
            }
        }
    }
    let mut folders = vec![root.join("crates/websocat/src")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let text = std::fs::read_to_string(&path).unwrap();
                let is_test = path.components().any(|part| part.as_os_str().to_string_lossy().starts_with("tests"));
                let tests = if is_test { Some(text.as_str()) } else { text.split_once("\nmod tests {").map(|s| s.1) };
                // What is expected to fail is no call with right values.
                let tests = tests.unwrap_or_default().split("fn wrong_use").next().unwrap_or_default();
                texts += tests;
            }
        }
    }
    let names: BTreeSet<String> = functions().into_iter().map(|function| function.name).collect();
    let called = |name: &String| {
        texts.match_indices(&format!("{name}(")).any(|(at, _)| {
            let before = texts[..at].chars().next_back();
            before.is_none_or(|c| !c.is_alphanumeric() && c != '_')
        })
    };
    let missing: Vec<_> = names.iter().filter(|name| !called(name)).collect();
    assert!(missing.is_empty(), "no test calls {missing:?}");
}

/// Two clients of the program's own; the function fails for the first one.
#[test]
fn an_error_for_one_connection_is_told_with_its_position_and_ends_only_that() {
    let script = r#"let seen = 0;
listen_tcp(#{addr: "127.0.0.1:0", autospawn: true}, |addr| {
  // Whatever becomes of it.
  let visit = || task2hangup(connect_tcp(#{addr: str(addr)}, |s| exchange_bytes(#{}, s, dummy_stream_socket())), 0);
  spawn_task(sequential([visit.call(), visit.call(), task_wrap(|| { exit_process(40 + seen); dummy_task() })]));
  dummy_task()
}, |s, from| {
  seen += 1;
  if seen == 1 { rate_limit(#{bytes_per_second: "x"}, s); }
  print_stdout("served\n");
  exchange_bytes(#{}, s, dummy_stream_socket())
})"#;
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), script).unwrap();
    let ended = Running::start(&["-x", file.path().to_str().unwrap()]).ended();
    assert_eq!((ended.status, ended.stdout.as_str()), (Some(42), "served\n"), "{}", ended.stderr);
    let told = ended.stderr.lines().find(|line| line.contains("option `bytes_per_second`")).unwrap_or(&ended.stderr);
    assert!(told.contains("(line 9, position 18)"), "{told}");
}
