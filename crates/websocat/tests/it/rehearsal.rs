//! Rehearsals: what the planner prints for every endpoint under every overlay, on both sides and with many options, is run to
//! the end with doubles for all that opens something.
//!
//! A double calls the real function first, so that the types of arguments and the keys of option maps are checked, throws its
//! task away and goes on with a socket that has an HTTP request in it. No script may be refused, fail to compile, or fail as a
//! script: other errors are those of sockets that say little.

use crate::commands::script_of;
use rhai::{Dynamic, Engine, FnPtr, NativeCallContext, Scope};
use sockets::{hangup::Hangup, stop::Stop};
use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};
use websocat::{
    endpoints,
    error::{Error, Kind, Result},
    exec, overlays,
    scenario::{Callback, Flow, RhResult, Scenario, TaskHandle, handle, run, task},
    spec::Form,
};

const REQUEST: &str = "GET / HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                       Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

/// Functions that have doubles, and what those give their last function.
const DOUBLES: [(&str, Given); 19] = [
    ("connect_tcp", Given::Stream),
    ("connect_tcp_race", Given::Stream),
    ("connect_unix", Given::Stream),
    ("connect_seqpacket", Given::Messages),
    ("connect_registry_stream", Given::Stream),
    ("connect_registry_datagrams", Given::Messages),
    ("listen_registry_stream", Given::Stream),
    ("listen_registry_datagrams", Given::Messages),
    ("listen_tcp", Given::StreamFrom),
    ("listen_unix", Given::Stream),
    ("listen_seqpacket", Given::Messages),
    ("udp_server", Given::MessagesFrom),
    ("file_socket", Given::Stream),
    ("tls_client", Given::Stream),
    ("ws_upgrade", Given::Stream),
    ("lookup_host", Given::Addresses),
    ("exchange_bytes", Given::Itself),
    ("exchange_packets", Given::Itself),
    ("registry_send", Given::Nothing),
];

#[derive(Clone, Copy, PartialEq)]
enum Given {
    Stream,
    StreamFrom,
    Messages,
    MessagesFrom,
    Addresses,
    /// The task of the real function is run.
    Itself,
    Nothing,
}

/// The real functions, called by name.
#[derive(Clone)]
struct Real(Arc<Scenario>);

impl Real {
    fn new() -> Self {
        let engine = exec::engine();
        let ast = engine.compile("").unwrap();
        Self(Scenario::new(engine, ast, Stop::new(), Some(1)).unwrap())
    }

    fn call(&self, name: &str, arguments: &[&Dynamic]) -> RhResult<Dynamic> {
        let mut scope = Scope::new();
        let names: Vec<_> = (0..arguments.len()).map(|i| format!("a{i}")).collect();
        for (name, argument) in names.iter().zip(arguments) {
            scope.push_dynamic(name, (*argument).clone());
        }
        self.0.engine.eval_with_scope(&mut scope, &format!("{name}({})", names.join(", ")))
    }

    fn stream(&self) -> Dynamic {
        self.call("literal_socket", &[&REQUEST.into()]).unwrap()
    }

    fn messages(&self) -> Dynamic {
        self.call("dummy_datagram_socket", &[]).unwrap()
    }
}

/// How far a script came.
type Reached = Arc<Mutex<bool>>;

fn double(
    real: &Real,
    reached: &Reached,
    name: &str,
    given: Given,
    ctx: &NativeCallContext<'_>,
    arguments: &[&Dynamic],
) -> RhResult<Dynamic> {
    let result = real.call(name, arguments)?;
    if matches!(given, Given::Itself | Given::Nothing) {
        *reached.lock().unwrap() = true;
        return Ok(if given == Given::Itself { result } else { Dynamic::from(task(async { Ok(Flow::Done) })) });
    }
    let address: SocketAddr = "127.0.0.1:1".parse().unwrap();
    let values: Vec<Dynamic> = match given {
        Given::Stream => vec![real.stream()],
        Given::StreamFrom => vec![real.stream(), Dynamic::from(address)],
        Given::Messages => vec![real.messages()],
        Given::MessagesFrom => vec![real.messages(), Dynamic::from(address)],
        Given::Addresses => vec![Dynamic::from(vec![address])],
        Given::Itself | Given::Nothing => vec![],
    };
    let functions: Vec<FnPtr> = arguments.iter().filter_map(|a| (*a).clone().try_cast()).collect();
    let mut callbacks = vec![];
    for function in functions {
        callbacks.push(Callback::new(ctx, function)?);
    }
    let has_address = matches!(name, "listen_tcp" | "udp_server");
    Ok(Dynamic::from(task(async move {
        let last = callbacks.pop().ok_or_else(|| Error::new(Kind::Start, "no function"))?;
        for before in callbacks {
            run(if has_address { before.task((address,))? } else { before.task(())? }).await?;
        }
        Ok(Flow::Then(last.task(values)?))
    })))
}

/// A child that was never started.
#[derive(Clone)]
struct Kid(Real);

fn engine(real: &Real, reached: &Reached) -> Engine {
    let mut engine = exec::engine();
    for (name, given) in DOUBLES {
        let as_double = format!("double_{name}");
        let (r, f) = (real.clone(), reached.clone());
        engine.register_fn(&*as_double, move |ctx: NativeCallContext<'_>, a: Dynamic, b: Dynamic| {
            double(&r, &f, name, given, &ctx, &[&a, &b])
        });
        let (r, f) = (real.clone(), reached.clone());
        engine.register_fn(&*as_double, move |ctx: NativeCallContext<'_>, a: Dynamic, b: Dynamic, c: Dynamic| {
            double(&r, &f, name, given, &ctx, &[&a, &b, &c])
        });
        let (r, f) = (real.clone(), reached.clone());
        engine.register_fn(
            &*as_double,
            move |ctx: NativeCallContext<'_>, a: Dynamic, b: Dynamic, c: Dynamic, d: Dynamic| {
                double(&r, &f, name, given, &ctx, &[&a, &b, &c, &d])
            },
        );
    }
    let of_stream = |real: &Real| {
        let real = real.clone();
        move || real.stream()
    };
    engine.register_fn("double_stdio_socket", of_stream(real));
    engine.register_fn("double_zero_socket", of_stream(real));
    engine.register_fn("double_dummy_stream_socket", of_stream(real));
    for name in ["random_socket", "bytemirror_socket", "literal_socket", "literal_socket_base64", "mock_stream_socket"]
    {
        let r = real.clone();
        let function = move |argument: Dynamic| r.call(name, &[&argument]).map(|_| r.stream());
        engine.register_fn(format!("double_{name}"), function);
    }
    let r = real.clone();
    engine.register_fn("double_async_fd", move |_: i64, _: bool| r.stream());
    let r = real.clone();
    // The real one knows its address. Those that were handed over are not there.
    engine.register_fn("double_udp_socket", move |opts: Dynamic| match r.call("udp_socket", &[&opts]) {
        Err(e) if !["descriptor", "LISTEN_FDNAMES"].iter().any(|part| e.to_string().contains(part)) => Err(e),
        other => other.or_else(|_| Ok(r.messages())),
    });
    engine.register_fn("double_exit_process", |_: i64| ());
    engine.register_fn("double_exit_process_after", |task: TaskHandle| task);
    engine.register_fn("double_system", |_: &str| handle(Hangup::now()));
    engine.register_fn("double_unlink_file", |_: std::ffi::OsString, _: bool| ());
    let r = real.clone();
    engine.register_fn("double_execute", move |_: Dynamic| Kid(r.clone()));
    engine.register_fn("double_execve", |_: Dynamic| ());
    engine.register_fn("socket", |kid: &mut Kid| kid.0.stream());
    engine.register_fn("wait", |_: &mut Kid| handle(Hangup::now()));
    let r = reached.clone();
    engine.register_fn("finish", move |_: &mut Kid| {
        *r.lock().unwrap() = true;
        task(async { Ok(Flow::Done) })
    });
    engine
}

/// The script with the names of doubles.
fn with_doubles(script: &str) -> String {
    const MORE: [&str; 16] = [
        "dummy_stream_socket",
        "bytemirror_socket",
        "literal_socket",
        "literal_socket_base64",
        "mock_stream_socket",
        "stdio_socket",
        "zero_socket",
        "random_socket",
        "async_fd",
        "udp_socket",
        "exit_process",
        "exit_process_after",
        "system",
        "unlink_file",
        "execute",
        "execve",
    ];
    let mut text = script.to_owned();
    for name in DOUBLES.iter().map(|(name, _)| *name).chain(MORE) {
        let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_';
        let parts: Vec<_> = text.split(&format!("{name}(")).collect();
        let mut doubled = String::new();
        for (i, part) in parts.iter().enumerate() {
            if i > 0 {
                doubled.push_str(if doubled.ends_with(is_part) { "" } else { "double_" });
                doubled.push_str(&format!("{name}("));
            }
            doubled.push_str(part);
        }
        text = doubled;
    }
    text
}

/// What stands behind the prefix.
fn value(form: &Form) -> &'static str {
    match (form.name, form.value) {
        (_, "") => "",
        ("ws" | "wss", _) => "h.invalid/x",
        ("literal-base64", _) => "eA==",
        ("mock_stream_socket", _) => "Q",
        ("cmd" | "exec", _) => "true",
        (name, _) if name.ends_with("-fd") => "9",
        (name, _) if name.contains("listen") && (name.starts_with("tcp") || name.starts_with("ws")) => "127.0.0.1:0",
        (name, _) if name.starts_with("udp") && !name.contains("fdname") => "127.0.0.1:0",
        ("tcp", _) => "h.invalid:1",
        _ => "x",
    }
}

/// Options that change what is printed.
const OPTIONS: [&[&str]; 20] = [
    &["-b"],
    &["-t"],
    &["-b", "--oneshot"],
    &["-b", "-E", "--exit-on-hangup"],
    &["-b", "--global-timeout-ms", "500", "--sleep-ms-before-start", "1"],
    &["-b", "--global-timeout-ms", "500", "--global-timeout-force-exit"],
    &["-t", "--log-traffic", "--log-verbose", "--log-hex"],
    &["-b", "--filter", "mirror:"],
    &["-t", "--filter-reverse", "lines:mirror:"],
    &["-b", "--tee", "devnull:", "--tee", "literal:x"],
    &["-b", "--write-splitoff", "devnull:"],
    &["-t", "--exit-after-one-session"],
    &["-tu"],
    &["-bU", "--unidirectional-late-drop"],
    &["-b", "--no-fixups"],
    &["-b", "--less-fixups"],
    &["-b", "--late-resolve"],
    &["-b", "--compress", "-H", "A: \"\\", "--server-header", "B: ${x}`", "--text-invalid", "lossy"],
    &["-b", "--stdout-announce-listening-ports", "--exec-after-listen", "true"],
    &["-b", "--exec-chdir", "/", "--exec-monitor-exits", "--exec-arg0", "a\"b\\${c}", "-B", "7", "--linger", "inf"],
];

/// Whether a command line was planned, and what is wrong with its script.
async fn rehearse(real: &Real, line: &[&str]) -> Result<bool, String> {
    let Ok(script) = script_of(line) else { return Ok(false) };
    let reached = Reached::default();
    let engine = engine(real, &reached);
    let text = with_doubles(&script);
    let shown = |e: &dyn std::fmt::Display| format!("{line:?}: {e}\n{script}");
    let ast = engine.compile(&text).map_err(|e| shown(&e))?;
    let scenario = Scenario::new(engine, ast, Stop::new(), Some(1)).map_err(|e| shown(&e))?;
    let made = scenario.engine.eval_ast::<TaskHandle>(&scenario.ast).map_err(|e| shown(&e))?;
    let made = made.lock().unwrap().take().unwrap();
    match tokio::time::timeout(Duration::from_secs(100_000), run(made)).await {
        // Shared sockets and UDP never end.
        Err(_) if !*reached.lock().unwrap() => Err(shown(&"it hangs before it exchanges anything")),
        Err(_) => Ok(true),
        Ok(Err(e)) if matches!(e.kind, Kind::Start | Kind::Usage) => Err(shown(&e)),
        Ok(_) if !*reached.lock().unwrap() => Err(shown(&"it never exchanges anything")),
        Ok(_) => Ok(true),
    }
}

fn forms<T: 'static>(table: &'static [(&'static [Form], T)]) -> impl Iterator<Item = &'static Form> {
    table.iter().flat_map(|(forms, _)| *forms)
}

#[test]
fn what_is_planned_is_a_script_that_runs() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
    let real = Real::new();
    let overlays: Vec<_> =
        forms(overlays::TABLE).map(|form| form.prefixes[0]).chain(["", "ws-u:log:", "chunks:log:"]).collect();
    let (mut planned, mut wrong, mut n) = (0, vec![], 0);
    for endpoint in forms(endpoints::TABLE) {
        for overlay in &overlays {
            let specifier = format!("{overlay}{}{}", endpoint.prefixes[0], value(endpoint));
            // All sides with all options would take minutes.
            n += 7;
            let sides = [[&*specifier, "literal:x"], ["literal:x", &*specifier], [&*specifier, "ws://127.0.0.1:1/"]];
            let line = [OPTIONS[n % OPTIONS.len()], &sides[n % sides.len()]].concat();
            match runtime.block_on(rehearse(&real, &line)) {
                Ok(is_planned) => planned += usize::from(is_planned),
                Err(e) => wrong.push(e),
            }
        }
    }
    assert!(wrong.is_empty(), "{} wrong scripts, such as\n{}", wrong.len(), wrong[..wrong.len().min(20)].join("\n"));
    assert!(planned > 300, "only {planned} of {} were planned", n / 7);
}
