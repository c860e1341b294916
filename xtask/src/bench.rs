//! `cargo xtask bench [WORKLOAD…]`: our binary and its peers under the load generator, in turns, round after round.
//!
//! A workload is a row of [`workloads::WORKLOADS`], a server a row of [`subjects::SUBJECTS`], what must hold a row of
//! [`bounds::BOUNDS`]. Servers are started afresh for every run. Peers live in a folder outside the workspace. Medians
//! go to doc/src/benchmarks.md, where sections of workloads that did not run stay as they are.

mod bounds;
mod peers;
mod report;
mod subjects;
mod workloads;

use peers::Cache;
use report::Results;
use std::{
    fs::{self, File},
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};
use subjects::{SUBJECTS, Session, Subject};
use workloads::{WORKLOADS, Workload};

pub(crate) const USAGE: &str =
    "cargo xtask bench [--rounds N] [--binary PATH] [--only SERVER,…] [--check] [--dry] [WORKLOAD…]
                                                      measure against peers; a workload is a name or the start of one";

/// What the command line asks for.
pub(crate) struct Request {
    rounds: usize,
    /// Our binary, built already.
    binary: Option<PathBuf>,
    /// Servers to run, all if empty.
    only: Vec<String>,
    /// Fail if a bound does not hold.
    check: bool,
    /// Do not write the page.
    dry: bool,
    workloads: Vec<&'static Workload>,
}

impl Request {
    pub(crate) fn parse(args: &[&str]) -> Option<Self> {
        let mut request =
            Self { rounds: 5, binary: None, only: Vec::new(), check: false, dry: false, workloads: Vec::new() };
        let mut args = args.iter();
        while let Some(arg) = args.next() {
            match *arg {
                "--rounds" => request.rounds = args.next()?.parse().ok().filter(|rounds| *rounds > 0)?,
                "--binary" => request.binary = Some(args.next()?.into()),
                "--only" => request.only = args.next()?.split(',').map(String::from).collect(),
                "--check" => request.check = true,
                "--dry" => request.dry = true,
                name => {
                    let before = request.workloads.len();
                    request.workloads.extend(WORKLOADS.iter().filter(|workload| workload.name.starts_with(name)));
                    if request.workloads.len() == before {
                        return None;
                    }
                }
            }
        }
        if request.workloads.is_empty() {
            request.workloads.extend(&WORKLOADS);
        }
        Some(request)
    }

    fn wants(&self, subject: &Subject) -> bool {
        self.only.is_empty() || self.only.iter().any(|name| name == subject.name)
    }
}

/// Runs workloads; false if `--check` found a bound that does not hold.
pub(crate) fn run(root: &Path, request: &Request) -> Result<bool, String> {
    let cache = Cache::open(root, request.binary.clone())?;
    let load = cache.load_generator()?;
    let mut programs = Vec::new();
    for subject in SUBJECTS.iter().filter(|subject| request.wants(subject)) {
        let needed = request.workloads.iter().any(|workload| subject.takes_part(workload));
        if needed {
            match (subject.install)(&cache) {
                Ok(program) => programs.push((subject, program)),
                Err(e) => eprintln!("{}: {e}", subject.name),
            }
        }
    }
    let mut results = Results::default();
    for workload in &request.workloads {
        for round in 1..=request.rounds.min(workload.most_rounds) {
            for (subject, program) in &programs {
                let bench = Bench { cache: &cache, load: &load, workload, subject };
                match bench.run(program) {
                    Ok(None) => {}
                    Ok(Some(output)) => {
                        println!("{} {} {round}: {}", workload.name, subject.name, output.trim().replace('\n', ", "));
                        results.add(workload, subject, &output);
                    }
                    Err(e) => {
                        eprintln!("{} {} {round}: {e}", workload.name, subject.name);
                        results.fail(workload, subject, &e);
                    }
                }
            }
        }
        println!("\n{}", report::section(workload, &results));
    }
    if !request.dry {
        report::write_page(&root.join("doc/src/benchmarks.md"), &request.workloads, &results)?;
    }
    let (text, all_hold) = bounds::judge(&request.workloads, &results);
    println!("{text}");
    Ok(all_hold || !request.check)
}

/// One run: one workload, one server.
struct Bench<'a> {
    cache: &'a Cache,
    load: &'a Path,
    workload: &'a Workload,
    subject: &'a Subject,
}

impl Bench<'_> {
    /// What the generator printed; None if the server does not take part in the workload.
    fn run(&self, program: &Path) -> Result<Option<String>, String> {
        let [port, backend] = free_ports()?;
        let session = Session { kind: self.workload.kind, port, backend };
        let Some(words) = (self.subject.command)(program, self.cache, session)? else { return Ok(None) };
        let mut load = Command::new(self.load);
        load.args(self.workload.load).stdin(Stdio::null());
        if self.workload.kind == workloads::Kind::Framing {
            return finish(load, "");
        }
        if words.is_empty() {
            // No server: the generator's two ends joined.
            load.args(["--direct", "true"]);
            load.args(addresses(self.workload.kind, port, backend).split_off(2));
            return finish(load, "");
        }
        if self.workload.kind == workloads::Kind::Start {
            load.arg("--").args(&words);
            return finish(load, "");
        }
        let log = self.cache.folder.join(format!("{}.log", self.subject.name));
        // One that an earlier run has left, perhaps in another network namespace, where the port is free as well.
        remove_sockets(session)?;
        let server = Server::start(&words, &log)?;
        load.args(["--pid", &server.0.id().to_string()]);
        load.args(addresses(self.workload.kind, port, backend));
        let printed = finish(load, &format!(" (log: {})", log.display()));
        drop(server);
        remove_sockets(session)?;
        printed
    }
}

/// Removes the files of UNIX sockets that stand for the session's ports, where there are any.
fn remove_sockets(session: Session) -> Result<(), String> {
    for path in [session.port, session.backend].map(subjects::path) {
        match fs::remove_file(&path) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => return Err(format!("{}: {e}", path.display())),
            _ => {}
        }
    }
    Ok(())
}

/// For the generator: where the server is, and where it itself is to listen, if the workload has that.
fn addresses(kind: workloads::Kind, port: u16, backend: u16) -> Vec<String> {
    use workloads::{Join, Kind};
    let [port_text, backend_text] = [port, backend].map(|port| port.to_string());
    let [path, backend_path] = [port, backend].map(|port| subjects::path(port).display().to_string());
    let words = match kind {
        Kind::Transfer(Join::UnixUnix, _) => vec!["--path", &path, "--listen-path", &backend_path],
        Kind::Transfer(..) | Kind::Pairs | Kind::Datagrams => vec!["--port", &port_text, "--listen", &backend_text],
        _ => vec!["--port", &port_text],
    };
    words.into_iter().map(String::from).collect()
}

fn finish(mut load: Command, hint: &str) -> Result<Option<String>, String> {
    let output = load.output().map_err(|e| format!("cannot run the load generator: {e}"))?;
    if output.status.success() {
        Ok(Some(String::from_utf8_lossy(&output.stdout).into_owned()))
    } else {
        Err(format!("{}{hint}", String::from_utf8_lossy(&output.stderr).trim()))
    }
}

/// A server under test. The generator finds out when it listens, by connecting until it is accepted.
struct Server(Child);

impl Server {
    fn start(words: &[String], log: &Path) -> Result<Self, String> {
        let failed = |e| format!("cannot start {words:?}: {e}");
        let log = File::create(log).map_err(failed)?;
        // 2,000 clients need more files than a shell usually allows; exec keeps the process id.
        let mut command = Command::new("sh");
        command.args(["-c", "ulimit -n \"$(ulimit -H -n)\"; exec \"$@\"", "sh"]).args(words).stdin(Stdio::null());
        command.stdout(log.try_clone().map_err(failed)?).stderr(log);
        command.spawn().map(Self).map_err(failed)
    }
}

impl Drop for Server {
    /// Stops the server the hard way: nothing of it is needed any more.
    fn drop(&mut self) {
        // It may have ended by itself; then there is nothing to stop.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Two ports nobody listens on: the server's and that of the generator's own end behind it.
fn free_ports() -> Result<[u16; 2], String> {
    let listen = || TcpListener::bind("127.0.0.1:0").map_err(|e| format!("no free port: {e}"));
    let port = |listener: &TcpListener| listener.local_addr().map(|a| a.port()).map_err(|e| e.to_string());
    let (a, b) = (listen()?, listen()?);
    Ok([port(&a)?, port(&b)?])
}
