//! The program: arguments to script, script to tasks, tasks to an exit status.
//!
//! The one place that knows both the text side (`cli`, `plan`) and what runs it (`exec`). It chooses the runtime, and
//! every way out gives a status of the table in `error.rs`.

use super::{
    Args, CommandLine, Tree,
    args::ProgramArgs,
    features::features,
    generate, logging,
    shell_words::shell_words,
    signals::{self, Signals, heed_children, unblock},
    value::Duration,
};
use crate::{
    error::{Error, Kind, Result},
    exec,
    functions::http,
    plan, scenario,
};
use sockets::{
    endpoint::{before_exit, process::children_ended},
    stop::Stop,
};
use std::{
    io::{self, IsTerminal as _, Write as _},
    panic::{self, AssertUnwindSafe},
    process::ExitCode,
};
use tokio::{task::JoinSet, time::Instant};

/// Exit status of a panic: a bug, or a scripted test socket that saw something else than its script says.
const PANICKED: u8 = 101;

/// Runs the program and gives its exit status.
pub fn main() -> ExitCode {
    let line = match CommandLine::read(std::env::args_os()) {
        Ok(line) => line,
        Err(e) => return ExitCode::from(e.tell()),
    };
    logging::start(&line.program, line.talks() && somebody_watches());
    quiet_mismatches();
    let status = match panic::catch_unwind(AssertUnwindSafe(|| work(&line))) {
        Ok(Ok(status)) => status,
        Ok(Err(e)) => e.log().exit_code(),
        Err(_) => PANICKED,
    };
    before_exit();
    // Not a plain return: threads that wait for a terminal or a slow disk must not keep the program alive.
    let _ = io::stdout().flush();
    std::process::exit(status.into())
}

/// A person sits at the terminal. A script that takes the answer out of a pipeline is not to be told what happens, although its
/// errors go to a terminal.
fn somebody_watches() -> bool {
    io::stderr().is_terminal() && (io::stdin().is_terminal() || io::stdout().is_terminal())
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

fn work(line: &CommandLine) -> Result<u8> {
    let program = &line.program;
    if let Some(page) = program.generate {
        return print(&generate::page(page));
    }
    if program.list_features {
        return print(&features());
    }
    if program.just_generate_key {
        let key = http::fresh_key(program.random_seed)
            .map_err(|e| Error::with_source(Kind::Start, "no random numbers from the system", e))?;
        return print(&format!("{key}\n"));
    }
    if let Some(key) = &program.just_generate_accept {
        if !http::is_key(key.as_bytes()) {
            tracing::warn!("a Sec-WebSocket-Key is base64 of 16 bytes, and this is not");
        }
        return print(&format!("{}\n", http::accept_value(key.as_bytes())));
    }
    let script = match &line.sessions {
        Tree::Part(part) if program.scenario => Some(part.args.as_ref()),
        _ => None,
    };
    let text = match (&line.sessions, script) {
        (Tree::Part(part), _) if program.dump_spec_phase0 => return dump(&format!("{:#?}", part.args)),
        (sessions, _) if program.dump_spec_phase0 => return dump(&format!("{sessions:#?}")),
        (_, Some(args)) => script_file(args)?,
        (Tree::Part(part), None) if program.dump_spec_phase1 || program.dump_spec_phase2 => {
            let mut planned = plan::parse(&part.args)?;
            if !program.dump_spec_phase1 {
                plan::rewrite(&mut planned)?;
            }
            return dump(&format!("{planned:#?}"));
        }
        _ if program.explain => return print(&plan::explain(line)?),
        _ => plan::script(line)?,
    };
    if program.dump_spec {
        return print(&format!("{}{text}", origin()));
    }
    unblock().map_err(|e| Error::with_source(Kind::Start, "cannot unblock signals", e))?;
    let runtime = runtime(program, &text)?;
    // Positions mean something only with the name of a script that the user has.
    let path = script.and_then(|args| args.spec1.as_ref());
    let status = runtime.block_on(run(&text, program)).map_err(|e| match path {
        Some(path) => e.in_script(path.display()),
        None => e,
    });
    if !sockets::endpoint::finish_writes() {
        tracing::warn!("the end of the output is lost: nobody takes it");
    }
    // Blocked helper threads (a terminal that nobody types at) are left behind.
    runtime.shutdown_background();
    status
}

/// The head of a script that is printed to be read and edited: where it came from.
fn origin() -> String {
    let words: Vec<_> = std::env::args_os().skip(1).filter(|word| word != "--dump-spec").collect();
    format!("// websocat {}\n", shell_words(words.iter().map(|word| &**word)))
}

/// Prints a stage of planning on stderr.
fn dump(text: &str) -> Result<u8> {
    // When that fails nobody is left to tell.
    let _ = writeln!(io::stderr(), "{text}");
    Ok(0)
}

/// Prints what was asked for; a reader that has seen enough is no error.
fn print(text: &str) -> Result<u8> {
    match io::stdout().write_all(text.as_bytes()).and_then(|()| io::stdout().flush()) {
        Err(e) if e.kind() != io::ErrorKind::BrokenPipe => {
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

fn runtime(program: &ProgramArgs, script: &str) -> Result<tokio::runtime::Runtime> {
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let serves_many = script.contains("listen_") || script.contains("udp_server");
    let threads = program.threads.map_or(default_workers(serves_many, cores), usize::from);
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
async fn run(text: &str, program: &ProgramArgs) -> Result<u8> {
    let stop = Stop::with_patience(program.drain.0);
    let no_signals = |e| Error::with_source(Kind::Start, "cannot handle signals", e);
    heed_children().map_err(no_signals)?;
    // Before signals are handled: one that comes while a script is evaluated, which may take for ever, ends the program.
    let (scenario, task) = exec::load_seeded(text, stop.clone(), program.random_seed)?;
    let mut signals = Signals::new().map_err(no_signals)?;
    // Not in this thread: where there are workers it runs on one of them, as the sessions do that it starts, and a new
    // connection need not wake another thread.
    let mut main = JoinSet::new();
    main.spawn(scenario::run(task));
    let finishers = async || scenario.finishers.none_left().await;
    let mut asked = None;
    let next_signal = async || {
        let signal = signals.next().await;
        asked.get_or_insert_with(Instant::now);
        signal
    };
    let ended = watch(&mut main, next_signal, finishers, &stop, program.drain).await;
    // A time too far away to be told never comes.
    let deadline = match ended {
        Ok(Ended::AtOnce(_)) => Some(Instant::now()),
        _ => program.drain.finite().and_then(|drain| asked?.checked_add(drain)),
    };
    let status = ended.map(|ended| match ended {
        Ended::Itself => 0,
        Ended::Drained(_) if scenario.is_server() => 0,
        Ended::Drained(signal) | Ended::AtOnce(signal) => 128 + signal,
    });
    main.shutdown().await;
    match wait_for_children(&mut signals, deadline).await {
        None => status,
        Some(signal) => status.map(|_| 128 + signal),
    }
}

/// Children whose sessions are over may still finish; they have times of their own. The signal that cut that short.
async fn wait_for_children(signals: &mut Signals, deadline: Option<Instant>) -> Option<u8> {
    let limit = async {
        match deadline {
            Some(deadline) => tokio::time::sleep_until(deadline).await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        biased;
        () = children_ended() => None,
        () = limit => None,
        signal = signals.next() => Some(signal),
    }
}

/// The end of the scenario's task. A panic in it is one here.
async fn end_of(main: &mut JoinSet<Result<()>>) -> Result<()> {
    match main.join_next().await {
        Some(Ok(result)) => result,
        Some(Err(e)) => e.try_into_panic().map_or(Ok(()), |panic| panic::resume_unwind(panic)),
        None => Ok(()),
    }
}

/// How the scenario's task came to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ended {
    Itself,
    /// After this signal, with time to finish.
    Drained(u8),
    AtOnce(u8),
}

/// Waits for the end of the scenario's task, or for the end that signals ask for: after the first one until nobody who
/// finishes is left, at most for `drain`.
async fn watch(
    main: &mut JoinSet<Result<()>>,
    mut next_signal: impl AsyncFnMut() -> u8,
    none_left: impl AsyncFnOnce(),
    stop: &Stop,
    drain: Duration,
) -> Result<Ended> {
    let signal = tokio::select! {
        result = end_of(main) => return result.map(|()| Ended::Itself),
        signal = next_signal() => signal,
    };
    tracing::info!("{}: finishing; once more ends at once", signals::name(signal));
    stop.drain();
    let limit = async {
        match drain.finite() {
            Some(limit) => tokio::time::sleep(limit).await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        biased;
        result = end_of(main) => {
            if let Err(e) = result {
                tracing::warn!("while finishing: {e}");
            }
        }
        () = limit => {
            tracing::warn!("sessions were still open after {drain}");
        }
        // What is left would not come to an end because of the signal: a connection attempt, a pause.
        () = none_left() => {}
        _ = next_signal() => return Ok(Ended::AtOnce(signal)),
    };
    Ok(Ended::Drained(signal))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{future::pending, time};
    use tokio::time::sleep;

    #[test]
    fn a_client_has_one_worker_and_a_server_every_second_core() {
        assert_eq!([1, 2, 3, 4, 64].map(|cores| default_workers(true, cores)), [1, 1, 1, 2, 32]);
        assert_eq!(default_workers(false, 64), 1);
    }

    /// How a task of so many milliseconds ends when signals come at these, and when.
    async fn watched(task: u64, drain: &str, signals: &[u64]) -> (Ended, u128) {
        let start = Instant::now();
        let at = move |ms: u64| start + time::Duration::from_millis(ms);
        let mut main = JoinSet::new();
        main.spawn(async move {
            tokio::time::sleep_until(at(task)).await;
            Ok(())
        });
        let mut signals = signals.iter();
        let next = async || match signals.next() {
            Some(ms) => {
                tokio::time::sleep_until(at(*ms)).await;
                15
            }
            None => pending().await,
        };
        let ended = watch(&mut main, next, async || pending().await, &Stop::new(), drain.parse().unwrap()).await;
        (ended.unwrap(), start.elapsed().as_millis())
    }

    #[tokio::test(start_paused = true)]
    async fn signals_leave_time_to_finish_but_not_for_ever() {
        assert_eq!(watched(700, "10s", &[]).await, (Ended::Itself, 700));
        assert_eq!(watched(700, "10s", &[500]).await, (Ended::Drained(15), 700));
        assert_eq!(watched(60_000, "10s", &[500]).await, (Ended::Drained(15), 10_500));
        assert_eq!(watched(60_000, "0", &[500]).await, (Ended::Drained(15), 500));
        assert_eq!(watched(60_000, "inf", &[500]).await, (Ended::Drained(15), 60_000));
        assert_eq!(watched(60_000, "inf", &[500, 900]).await, (Ended::AtOnce(15), 900));
    }

    #[tokio::test(start_paused = true)]
    async fn what_does_not_finish_by_itself_is_not_waited_for() {
        let mut main = JoinSet::new();
        main.spawn(pending());
        let (start, stop) = (Instant::now(), Stop::new());
        let left = async || sleep(time::Duration::from_secs(3)).await;
        let mut signals = [2].into_iter();
        let next = async || match signals.next() {
            Some(signal) => signal,
            None => pending().await,
        };
        let ended = watch(&mut main, next, left, &stop, "10s".parse().unwrap()).await;
        assert_eq!((ended.unwrap(), start.elapsed().as_secs(), stop.is_draining()), (Ended::Drained(2), 3, true));
    }
}
