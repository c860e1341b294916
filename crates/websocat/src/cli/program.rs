//! The program: arguments to script, script to tasks, tasks to an exit status.
//!
//! The one place that knows both the text side (`cli`, `plan`) and what runs it (`exec`). It chooses the runtime, and
//! every way out gives a status of the table in `error.rs`.

use super::{Args, generate, logging, signals::Signals};
use crate::{
    error::{Error, Kind, Result},
    exec,
    functions::http,
    plan,
    scenario::{self, Scenario},
};
use clap::Parser as _;
use sockets::{
    endpoint::{before_exit, process::children_ended},
    stop::Stop,
};
use std::{
    io::{IsTerminal as _, Write as _},
    panic::{self, AssertUnwindSafe},
    process::ExitCode,
    sync::Arc,
};
use tokio::{task::JoinSet, time::Instant};

/// Exit status of a panic: a bug, or a scripted test socket that saw something else than its script says.
const PANICKED: u8 = 101;

/// Runs the program and gives its exit status.
pub fn main() -> ExitCode {
    let args = match Args::try_parse_from(plan::arguments(std::env::args_os())) {
        Ok(args) => Arc::new(args),
        Err(e) => {
            // Help and version are "errors" that go to stdout. Nobody is left to tell if printing fails.
            let _ = e.print();
            return ExitCode::from(if e.use_stderr() { Kind::Usage as u8 } else { 0 });
        }
    };
    let talks = args.spec2.is_none() && !args.program.scenario;
    logging::start(&args.program, talks && std::io::stderr().is_terminal());
    quiet_mismatches();
    let status = match panic::catch_unwind(AssertUnwindSafe(|| work(&args))) {
        Ok(Ok(status)) => status,
        Ok(Err(e)) => e.log().exit_code(),
        Err(_) => PANICKED,
    };
    before_exit();
    // Not a plain return: threads that wait for a terminal or a slow disk must not keep the program alive.
    let _ = std::io::stdout().flush();
    std::process::exit(status.into())
}

/// What a scripted socket finds wrong is a result, not a bug: one line, no backtrace.
fn quiet_mismatches() {
    let default = panic::take_hook();
    panic::set_hook(Box::new(move |info| {
        match info.payload().downcast_ref::<sockets::testing::scripted::MockMismatch>() {
            Some(mismatch) => tracing::error!("{mismatch}"),
            None => default(info),
        }
    }));
}

fn work(args: &Arc<Args>) -> Result<u8> {
    if let Some(page) = args.program.generate {
        return print(&generate::page(page));
    }
    if args.program.just_generate_key {
        let key = http::fresh_key(args.program.random_seed)
            .map_err(|e| Error::with_source(Kind::Start, "no random numbers from the system", e))?;
        return print(&format!("{key}\n"));
    }
    if let Some(key) = &args.program.just_generate_accept {
        if !http::is_key(key.as_bytes()) {
            tracing::warn!("a Sec-WebSocket-Key is base64 of 16 bytes, and this is not");
        }
        return print(&format!("{}\n", http::accept_value(key.as_bytes())));
    }
    if args.program.dump_spec_phase0 {
        return dump(&format!("{args:#?}"));
    }
    let text = if args.program.scenario {
        script_file(args)?
    } else {
        let mut planned = plan::parse(args)?;
        if args.program.dump_spec_phase1 {
            return dump(&format!("{planned:#?}"));
        }
        plan::rewrite(&mut planned)?;
        if args.program.dump_spec_phase2 {
            return dump(&format!("{planned:#?}"));
        }
        plan::print(&planned)?
    };
    if args.program.dump_spec {
        return print(&text);
    }
    let runtime = runtime(args, &text)?;
    let status = runtime.block_on(run(&text, args)).map_err(|e| match &args.spec1 {
        // Positions in a script mean something only with its name.
        Some(path) if args.program.scenario && e.kind == Kind::Start => e.context(path.display()),
        _ => e,
    });
    if !sockets::endpoint::finish_writes() {
        tracing::warn!("the end of the output is lost: nobody takes it");
    }
    // Blocked helper threads (a terminal that nobody types at) are left behind.
    runtime.shutdown_background();
    status
}

/// Prints a stage of planning on stderr.
fn dump(text: &str) -> Result<u8> {
    // When that fails nobody is left to tell.
    let _ = writeln!(std::io::stderr(), "{text}");
    Ok(0)
}

/// Prints what was asked for; a reader that has seen enough is no error.
fn print(text: &str) -> Result<u8> {
    match std::io::stdout().write_all(text.as_bytes()).and_then(|()| std::io::stdout().flush()) {
        Err(e) if e.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(Error::with_source(Kind::File, "cannot write to standard output", e))
        }
        _ => Ok(0),
    }
}

fn script_file(args: &Args) -> Result<String> {
    let usage = |text: &str| Err(Error::usage(text));
    let (Some(path), None) = (&args.spec1, &args.spec2) else {
        return usage("-x takes exactly one argument, the script file");
    };
    let shown = path.display();
    let bytes =
        std::fs::read(path).map_err(|e| Error::with_source(Kind::Start, format!("cannot read script {shown}"), e))?;
    String::from_utf8(bytes).map_err(|e| {
        Error::new(
            Kind::Start,
            format!("script {shown} is not UTF-8 (byte {} is the first bad one)", e.utf8_error().valid_up_to()),
        )
    })
}

/// Worker threads unless `--threads` says otherwise: one for a client, every second core for what may serve many connections.
/// The other cores are for whoever sits at the other ends (clients and backends on this machine) and for the kernel's share
/// of the network. On two cores one worker echoes 1.3 times as many messages of local clients as two, who compete with
/// them, wake each other and get smaller batches.
fn default_workers(serves_many: bool, cores: usize) -> usize {
    if serves_many { (cores / 2).max(1) } else { 1 }
}

fn runtime(args: &Args, script: &str) -> Result<tokio::runtime::Runtime> {
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let serves_many = script.contains("listen_") || script.contains("udp_server");
    let threads = args.program.threads.map_or(default_workers(serves_many, cores), usize::from);
    let mut builder = if threads > 1 {
        let mut builder = tokio::runtime::Builder::new_multi_thread();
        builder.worker_threads(threads);
        builder
    } else {
        tokio::runtime::Builder::new_current_thread()
    };
    builder.enable_all().build().map_err(|e| Error::with_source(Kind::Start, "cannot start the runtime", e))
}

/// Runs the script to its end, or to the end that signals ask for.
async fn run(text: &str, args: &Args) -> Result<u8> {
    let stop = Stop::with_patience(args.program.drain.0);
    // Before signals are handled: one that comes while a script is evaluated, which may take for ever, ends the program.
    let (scenario, task) = exec::load_seeded(text, stop.clone(), args.program.random_seed)?;
    let mut signals = Signals::new().map_err(|e| Error::with_source(Kind::Start, "cannot handle signals", e))?;
    // Not in this thread: where there are workers it runs on one of them, as the sessions do that it starts, and a new
    // connection need not wake another thread.
    let mut main = JoinSet::new();
    main.spawn(scenario::run(task));
    let (status, patience) = watch(&mut main, &mut signals, &stop, &scenario, args).await;
    main.shutdown().await;
    match wait_for_children(&mut signals, patience).await {
        None => status,
        Some(signal) => status.map(|_| 128 + signal),
    }
}

/// Children whose sessions are over may still finish; they have times of their own. The signal that cut that short.
async fn wait_for_children(signals: &mut Signals, patience: Patience) -> Option<u8> {
    let limit = async {
        match patience {
            Patience::Until(deadline) => tokio::time::sleep_until(deadline).await,
            Patience::Endless => std::future::pending().await,
        }
    };
    tokio::select! {
        biased;
        () = children_ended() => None,
        () = limit => None,
        signal = signals.next() => Some(signal),
    }
}

/// How long the end of the program waits for children.
#[derive(Clone, Copy)]
enum Patience {
    Until(Instant),
    Endless,
}

/// The end of the scenario's task. A panic in it is one here.
async fn end_of(main: &mut JoinSet<Result<()>>) -> Result<()> {
    match main.join_next().await {
        Some(Ok(result)) => result,
        Some(Err(e)) => e.try_into_panic().map_or(Ok(()), |panic| panic::resume_unwind(panic)),
        None => Ok(()),
    }
}

/// Waits for the end of the scenario's task, or for the end that signals ask for. Says how long children may finish then.
async fn watch(
    main: &mut JoinSet<Result<()>>,
    signals: &mut Signals,
    stop: &Stop,
    scenario: &Scenario,
    args: &Args,
) -> (Result<u8>, Patience) {
    let signal = tokio::select! {
        result = end_of(main) => return (result.map(|()| 0), Patience::Endless),
        signal = signals.next() => signal,
    };
    tracing::info!("signal {signal}: finishing; once more ends at once");
    stop.drain();
    // A time too far away to be told never comes.
    let deadline = args.program.drain.finite().and_then(|limit| Instant::now().checked_add(limit));
    let patience = deadline.map_or(Patience::Endless, Patience::Until);
    let limit = async {
        match deadline {
            Some(deadline) => tokio::time::sleep_until(deadline).await,
            None => std::future::pending().await,
        }
    };
    let by_signal = 128 + signal;
    tokio::select! {
        biased;
        result = end_of(main) => {
            if let Err(e) = result {
                tracing::warn!("while finishing: {e}");
            }
        }
        () = limit => {
            tracing::warn!("sessions were still open after {}", args.program.drain);
        }
        // What is left would not come to an end because of the signal: a connection attempt, a pause.
        () = scenario.finishers.none_left() => {}
        _ = signals.next() => return (Ok(by_signal), Patience::Until(Instant::now())),
    };
    (Ok(if scenario.is_server() { 0 } else { by_signal }), patience)
}

#[cfg(test)]
mod tests {
    use super::default_workers;

    #[test]
    fn a_client_has_one_worker_and_a_server_every_second_core() {
        assert_eq!([1, 2, 3, 4, 64].map(|cores| default_workers(true, cores)), [1, 1, 1, 2, 32]);
        assert_eq!(default_workers(false, 64), 1);
    }
}
