//! The program as a child process that listens on a free port, and what /proc tells of it.

use std::{
    fs,
    io::{BufRead as _, BufReader},
    process::{Child, Command, Stdio},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread,
    time::{Duration, Instant},
};

/// Catches a hang; nothing here takes as long.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// What the program has written to stderr so far.
#[derive(Default)]
struct Log {
    lines: Mutex<Vec<String>>,
    changed: Condvar,
}

impl Log {
    /// Also after a failed assertion that held it.
    fn lock(&self) -> MutexGuard<'_, Vec<String>> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

pub struct Server {
    child: Child,
    pub port: u16,
    log: Arc<Log>,
    /// Resident memory before the first client, in KiB.
    base: u64,
}

impl Server {
    /// Starts the program with these arguments, of which one listens on port 0.
    pub fn start(args: &[&str]) -> Self {
        Self::spawn(Command::new(env!("CARGO_BIN_EXE_websocat")).args(args))
    }

    /// The same with a limit of descriptors.
    pub fn with_descriptors(limit: u32, args: &[&str]) -> Self {
        let mut shell = Command::new("sh");
        shell.args(["-c", &format!("ulimit -n {limit} && exec \"$0\" \"$@\"")]);
        Self::spawn(shell.arg(env!("CARGO_BIN_EXE_websocat")).args(args))
    }

    fn spawn(command: &mut Command) -> Self {
        // As many threads on every machine: each has pools of its own.
        let command = command.args(["--threads", "2", "--stdout-announce-listening-ports"]).env_remove("RUST_LOG");
        let mut child =
            command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it starts");
        let log = Arc::new(Log::default());
        let (stderr, its_log) = (child.stderr.take().unwrap(), log.clone());
        thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                its_log.lock().push(line);
                its_log.changed.notify_all();
            }
        });
        let mut first = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut first).unwrap();
        let port = first.trim_end().rsplit_once("port=").and_then(|(_, port)| port.parse().ok());
        let port = port.unwrap_or_else(|| panic!("`{first}` names no port; {:?}", log.lock()));
        let mut server = Self { child, port, log, base: 0 };
        server.base = server.status("VmRSS:");
        server
    }

    pub fn pid(&self) -> rustix::process::Pid {
        rustix::process::Pid::from_child(&self.child)
    }

    fn proc(&self, name: &str) -> String {
        fs::read_to_string(format!("/proc/{}/{name}", self.child.id())).expect("it still runs")
    }

    fn status(&self, field: &str) -> u64 {
        let status = self.proc("status");
        let line = status.lines().find_map(|line| line.strip_prefix(field)).unwrap();
        line.trim().trim_end_matches(" kB").parse().unwrap()
    }

    /// Most memory that was resident at any time beyond that at the start, in KiB.
    pub fn growth(&self) -> u64 {
        self.status("VmHWM:").saturating_sub(self.base)
    }

    /// Open descriptors.
    pub fn descriptors(&self) -> usize {
        fs::read_dir(format!("/proc/{}/fd", self.child.id())).unwrap().count()
    }

    /// State of the process as one letter, and the processor time it has used.
    pub fn state(&self) -> (char, Duration) {
        let stat = self.proc("stat");
        // The name in front may have blanks and brackets of its own.
        let fields: Vec<&str> = stat.rsplit_once(')').unwrap().1.split_whitespace().collect();
        let ticks: u64 = fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap();
        (fields[0].chars().next().unwrap(), Duration::from_millis(ticks * 10)) // USER_HZ is 100 everywhere
    }

    pub fn cpu(&self) -> Duration {
        self.state().1
    }

    pub fn signal(&self, signal: rustix::process::Signal) {
        rustix::process::kill_process(self.pid(), signal).unwrap();
    }

    /// How many lines of the log have this text.
    pub fn logged(&self, text: &str) -> usize {
        self.log.lock().iter().filter(|line| line.contains(text)).count()
    }

    /// Waits for so many lines with this text.
    pub fn wait_for_log(&self, text: &str, count: usize) {
        let lines = self.log.lock();
        let few = |lines: &mut Vec<String>| lines.iter().filter(|line| line.contains(text)).count() < count;
        let (lines, waited) = self.log.changed.wait_timeout_while(lines, PATIENCE, few).unwrap();
        assert!(!waited.timed_out(), "no {count} lines with `{text}` in {lines:?}");
    }

    /// Waits until the program has at most so many descriptors.
    pub fn wait_for_descriptors(&self, most: usize) {
        eventually(&format!("at most {most} descriptors"), || self.descriptors() <= most);
    }

    /// Waits until it has nothing more to do.
    pub fn wait_until_it_rests(&self) {
        eventually("it rests", || {
            let before = self.cpu();
            thread::sleep(Duration::from_millis(200)); // twenty ticks of its clock
            self.cpu() == before
        });
    }

    /// The program still runs, and has not grown by more than so many KiB.
    pub fn assert_growth(&mut self, most: u64) {
        assert!(self.child.try_wait().unwrap().is_none(), "it is gone: {:?}", self.log.lock());
        let growth = self.growth();
        println!("grown by {growth} KiB of {most}");
        assert!(growth <= most, "it has grown by {growth} KiB, more than {most}");
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // A stopped process dies of this as well.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if thread::panicking() {
            for line in self.log.lock().iter().take(20) {
                eprintln!("server: {line}");
            }
        }
    }
}

/// Waits for what has no event: entries in /proc.
pub fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < PATIENCE, "not within {PATIENCE:?}: {what}");
        thread::sleep(Duration::from_millis(10));
    }
}

/// Lets this process, and children to come, have at least so many descriptors.
pub fn allow_descriptors(count: u64) {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let mut limit = getrlimit(Resource::Nofile);
    if limit.current.is_some_and(|now| now < count) {
        // Beyond the hard limit only the mighty may go.
        let raised = Rlimit { current: Some(count), maximum: limit.maximum.map(|most| most.max(count)) };
        if setrlimit(Resource::Nofile, raised).is_err() {
            limit.current = limit.maximum;
            setrlimit(Resource::Nofile, limit).unwrap();
        }
    }
    let now = getrlimit(Resource::Nofile).current;
    assert!(now.is_none_or(|now| now >= count), "the system allows {now:?} descriptors only, {count} are needed");
}
