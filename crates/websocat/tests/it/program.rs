//! The built program as users start it: what it prints, its exit status, whom it serves.
//!
//! For what cannot be seen in-process: standard output and error, the end of the process, hooks. Nothing waits for time,
//! except for ends that a hang would keep from coming.

use std::{
    fs,
    io::Read,
    net::TcpStream,
    process::{Child, Command, Stdio},
    sync::{Arc, Condvar, Mutex},
    thread,
    time::Duration,
};

/// Bounds a hang, not a duration.
const PATIENCE: Duration = Duration::from_secs(30);

/// What a pipe has given so far.
#[derive(Clone, Default)]
pub(super) struct Output(Arc<(Mutex<(String, bool)>, Condvar)>);

impl Output {
    pub(super) fn follow(mut pipe: impl Read + Send + 'static) -> Self {
        let output = Self::default();
        let shared = output.clone();
        thread::spawn(move || {
            let mut buffer = [0; 4096];
            loop {
                let n = pipe.read(&mut buffer).unwrap_or(0);
                let mut text = shared.0.0.lock().unwrap();
                text.0.push_str(&String::from_utf8_lossy(&buffer[..n]));
                text.1 = n == 0;
                shared.0.1.notify_all();
                if n == 0 {
                    return;
                }
            }
        });
        output
    }

    pub(super) fn text(&self) -> String {
        self.0.0.lock().unwrap().0.clone()
    }

    /// Waits for one text and, after it, another.
    pub(super) fn wait_for(&self, one: &str, then: &str) -> Option<String> {
        let there = |text: &str| text.find(one).is_some_and(|at| text[at..].contains(then));
        let text = self.0.0.lock().unwrap();
        let waits = |text: &mut (String, bool)| !there(&text.0) && !text.1;
        let (text, _) = self.0.1.wait_timeout_while(text, PATIENCE, waits).unwrap();
        there(&text.0).then(|| text.0.clone())
    }

    pub(super) fn end(&self) {
        let text = self.0.0.lock().unwrap();
        let (text, _) = self.0.1.wait_timeout_while(text, PATIENCE, |text| !text.1).unwrap();
        assert!(text.1, "the output does not end; so far: {}", text.0);
    }
}

/// A program that was started; it does not outlive this.
pub(super) struct Running {
    child: Child,
    pub(super) stdout: Output,
    pub(super) stderr: Output,
}

/// What was left of it.
#[derive(Debug)]
pub(super) struct Ended {
    pub(super) status: Option<i32>,
    pub(super) stdout: String,
    pub(super) stderr: String,
}

impl Running {
    /// With nothing to read from standard input.
    pub(super) fn start(arguments: &[&str]) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_websocat"))
            .args(arguments)
            .env_remove("RUST_LOG")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let (stdout, stderr) = (child.stdout.take().unwrap(), child.stderr.take().unwrap());
        Self { child, stdout: Output::follow(stdout), stderr: Output::follow(stderr) }
    }

    /// The first number in standard output behind this text, as soon as its line is there.
    #[track_caller]
    fn port_after(&self, text: &str) -> u16 {
        let Some(printed) = self.stdout.wait_for(text, "\n") else {
            panic!("no `{text}` in {:?}, {:?}", self.stdout.text(), self.stderr.text())
        };
        printed.split(text).nth(1).unwrap().lines().next().unwrap().parse().unwrap()
    }

    /// Waits for its end.
    #[track_caller]
    pub(super) fn ended(mut self) -> Ended {
        self.stdout.end();
        self.stderr.end();
        let status = self.child.wait().unwrap();
        Ended { status: status.code(), stdout: self.stdout.text(), stderr: self.stderr.text() }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[track_caller]
pub(super) fn run(arguments: &[&str]) -> Ended {
    Running::start(arguments).ended()
}

/// All that a TCP server has to say; nothing if it is not there or resets the connection.
fn hear(port: u16) -> String {
    let mut heard = String::new();
    if let Ok(mut tcp) = TcpStream::connect(("127.0.0.1", port)) {
        tcp.set_read_timeout(Some(PATIENCE)).unwrap();
        let _ = tcp.read_to_string(&mut heard);
    }
    heard
}

#[test]
fn help_and_version() {
    let help = run(&["--help"]);
    assert_eq!(help.status, Some(0), "{help:?}");
    assert!(help.stdout.contains("SPEC1") && help.stdout.contains("--ws-c-uri"), "{help:?}");
    let version = run(&["--version"]);
    let expected = format!("websocat {}\n", env!("CARGO_PKG_VERSION"));
    assert_eq!((version.status, version.stdout), (Some(0), expected));
}

#[test]
fn stages_of_planning_are_printed_instead_of_run() {
    let line = ["-t", r"ws-ll-s:mss:W \x81\x01x|X", "literal:x"];
    let printed = |option: &str| {
        let ended = run(&[&[option], &line[..]].concat());
        assert_eq!(ended.status, Some(0), "{ended:?}");
        ended
    };
    let script = printed("--dump-spec").stdout;
    assert!(script.contains("exchange_packets("), "{script}");
    assert!(script.starts_with("// websocat -t 'ws-ll-s:mss:W "), "{script}");
    for (option, there, not_there) in [
        ("--dump-spec-phase0", "spec1: Some(", "Stack {"),
        ("--dump-spec-phase1", "Stack {", "LineChunks"),
        ("--dump-spec-phase2", "LineChunks", "exchange_packets("),
    ] {
        let ended = printed(option);
        assert!(ended.stdout.is_empty(), "{ended:?}");
        assert!(ended.stderr.contains(there) && !ended.stderr.contains(not_there), "{option}: {}", ended.stderr);
    }
}

#[test]
fn explanations_and_features_are_printed_instead_of_run() {
    // Nobody could listen there.
    let ended = run(&["--explain", "tcp-l:192.0.2.1:1", "mirror:"]);
    assert!(ended.status == Some(0) && ended.stderr.is_empty(), "{ended:?}");
    assert!(ended.stdout.contains("Accepts TCP connections on 192.0.2.1:1"), "{ended:?}");
    let ended = run(&["--list-features"]);
    assert!(ended.status == Some(0) && ended.stdout.contains("\"tcp-connect:\""), "{ended:?}");
}

#[test]
fn doubtful_command_lines_can_be_refused() {
    let line = ["-b", "--tls-domain", "example.org", "literal:x", "mirror:"];
    let warned = run(&line);
    assert!(warned.status == Some(0) && warned.stderr.contains("[unused-option]"), "{warned:?}");
    let refused = run(&[&["--lint", "deny"], &line[..]].concat());
    assert!(refused.status == Some(2) && refused.stderr.contains("[unused-option]"), "{refused:?}");
}

#[test]
fn a_script_file() {
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(&file, "print_stdout(\"from a script\"); dummy_task()").unwrap();
    let ended = run(&["-x", file.path().to_str().unwrap()]);
    assert_eq!((ended.status, &*ended.stdout), (Some(0), "from a script"), "{ended:?}");
}

#[test]
fn an_initialiser_that_fails_after_it_sent_is_told() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let script = r#"init_in_parallel([|slot| {
            slot.send(1);
            sequential([registry_recv_one("go", |x| dummy_task()), task_wrap(|| {
                spawn_task(registry_send("on", 1));
                throw "too late"
            })])
        }], |got| sequential([registry_send("go", 1), registry_recv_one("on", |x| dummy_task())]))"#;
    fs::write(&file, script).unwrap();
    let ended = run(&["-x", file.path().to_str().unwrap()]);
    assert_eq!(ended.status, Some(0), "{ended:?}");
    assert!(ended.stderr.contains("initialiser 1 failed") && ended.stderr.contains("too late"), "{ended:?}");
}

#[test]
fn lints_are_told_unless_unwanted() {
    let line = ["-b", "--separator", "1", "literal:x", "devnull:"];
    let told = run(&line);
    assert!(told.stderr.contains("separator options have no effect"), "{told:?}");
    let silent = run(&[&["--no-lints"], &line[..]].concat());
    assert_eq!((silent.status, &*silent.stderr), (Some(0), ""));
}

#[test]
fn options_without_effect_are_told() {
    for (line, said) in [
        (
            &["-b", "--conncap", "2", "mirror:", "tcp-l:127.0.0.1:1"][..],
            "--conncap and --max-conns-per-ip have no effect",
        ),
        (&["-b", "--conncap", "2", "ws-l:127.0.0.1:1", "mirror:"], ""),
        (&["-b", "--print-ping-rtts", "ws-ll-s:tcp:127.0.0.1:1", "mirror:"], "--print-ping-rtts has no effect"),
        (
            &["-b", "--print-ping-rtts", "--ping-interval", "0", "ws://127.0.0.1:1", "mirror:"],
            "--print-ping-rtts has no",
        ),
        (&["-b", "--print-ping-rtts", "--ping-interval", "1s", "ws-ll-s:tcp:127.0.0.1:1", "mirror:"], ""),
        (&["-b", "--print-ping-rtts", "ws://127.0.0.1:1", "mirror:"], ""),
        (&["-b", "-u", "--filter-reverse", "mirror:", "mirror:", "devnull:"], "--filter-reverse has no effect"),
        (&["-b", "-U", "--filter", "mirror:", "mirror:", "devnull:"], "--filter has no effect"),
        (&["-b", "-u", "--filter", "mirror:", "mirror:", "devnull:"], ""),
        (&["-b", "--lengthprefixed-nbytes", "2", "mirror:", "devnull:"], "since there is no lengthprefixed: here"),
        (&["-b", "--lengthprefixed-nbytes", "2", "--filter", "lengthprefixed:mirror:", "mirror:", "devnull:"], ""),
        (&["-b", "--defragment-max-size", "2", "mirror:", "empty:"], "--defragment-max-size has no effect"),
        (&["-b", "--defragment-max-size", "2", "mirror:", "defragment:empty:"], ""),
        (&["-b", "--mirror-bufsize", "2", "mirror:", "empty:"], "--mirror-bufsize has no effect"),
        (&["-b", "--mirror-bufsize", "2", "mirror:", "devnull:"], ""),
        (
            &["-b", "--registry-connect-bufsize", "2", "mirror:", "regstr-l:x"],
            "--registry-connect-bufsize has no effect",
        ),
        (&["-b", "--registry-connect-bufsize", "256k", "mirror:", "regstr-c:x"], ""),
        (&["-b", "--separator-trim-cr", "mirror:", "devnull:"], "separator options have no effect"),
        (&["-b", "-n", "-k", "mirror:", "devnull:"], "without effect, since there is no WebSocket here: --no-close"),
        (&["-b", "-n", "-k", "wss://127.0.0.1:1", "devnull:"], ""),
    ] {
        let ended = run(&[&["--dump-spec"], line].concat());
        assert!(ended.stderr.contains(said) && ended.stderr.is_empty() == said.is_empty(), "{line:?}: {ended:?}");
    }
}

#[test]
fn a_message_that_is_too_long_is_told_once() {
    let line = ["-b", "-u", "-B", "3", "--lengthprefixed-max-message-size", "4", "lines:mss:R abcdefghi|X"];
    let ended = run(&[&line[..], &["lengthprefixed:mss:X"]].concat());
    assert_eq!((ended.status, ended.stderr.lines().count()), (Some(27), 1), "{ended:?}");
}

#[test]
fn a_filter_that_fails_is_named() {
    let line = ["-b", "--filter", "mirror:", "--filter", "mss:N second|ER", "mss:T 1000|X", "mss:X"];
    let ended = run(&line);
    assert!(
        ended.status == Some(27) && ended.stderr.contains("reading from mock_stream_socket:N second failed"),
        "{ended:?}"
    );
}

#[test]
fn messages_that_a_slow_socket_misses_are_told_while_it_is_slow() {
    let input = ["mss:ZR 5000|ZR 5000|ZR 5000|ZR 5000|ZR 5000|T 9000|X", "mss:ZW 25000|T 9000|X"];
    let options = ["-b", "--tee-slow", "drop-oldest", "--tee-backlog", "5000", "--global-timeout-ms", "300"];
    let ended = run(&[&options[..], &["--tee", "mss:N slow|T 9000|X"], &input].concat());
    assert!(ended.stderr.contains("N slow is too slow: "), "{ended:?}");
}

#[test]
fn doubtful_ways_to_join_and_to_share_are_warned_of() {
    for (line, says) in [
        (&["-b", "tee:empty:", "empty:"][..], "tee: joins nothing"),
        (&["-b", "--write-splitoff-omit-shutdown", "empty:", "empty:"], "has no effect without --write-splitoff"),
        (&["-b", "--tee-propagate-eof", "empty:", "empty:"], "options of tee: have no effect"),
        (&["-b", "--global-timeout-ms", "20", "tcp-l:127.0.0.1:0", "-"], "share the right side without any order"),
    ] {
        let told = run(line);
        assert!(told.status == Some(0) && told.stderr.contains(says), "{told:?}");
        let silent = run(&[&["--no-lints"], line].concat());
        assert_eq!((silent.status, &*silent.stderr), (Some(0), ""), "{line:?}");
    }
    for line in
        [&["-b", "--tee", "empty:", "empty:", "empty:"][..], &["-t", "--global-timeout-ms", "20", "ws-l:0", "-"]]
    {
        assert_eq!(run(line).stderr, "", "{line:?}");
    }
}

#[test]
fn whoever_waits_for_a_name_says_so_when_asked() {
    let line = ["-b", "--global-timeout-ms", "20", "registry-datagram-connect:nobody", "empty:"];
    assert_eq!(run(&line).stderr, "");
    let told = run(&[&["-v"], &line[..]].concat());
    assert!(told.stderr.contains("registry-datagram-connect:nobody: nobody listens"), "{told:?}");
}

#[test]
fn a_forced_end_by_the_global_timeout_is_an_error() {
    let line = ["-b", "--global-timeout-ms", "20", "mss:T 3600000|X", "devnull:"];
    assert_eq!(run(&line).status, Some(0));
    assert_eq!(run(&[&["--global-timeout-force-exit"], &line[..]].concat()).status, Some(1));
}

#[test]
fn one_specifier_in_binary_mode() {
    // In text mode a message is a line: something would stand between these words, and a line feed at the end.
    let ended = run(&["-b", r"ws-ll-s:mss:R \x82\x83\0\0\0\0a\nb|R \x88\x80\0\0\0\0|W \x88\0"]);
    assert_eq!((ended.status, &*ended.stdout), (Some(0), "a\nb"), "{ended:?}");
}

/// A listener with an answer for each client, and how it is told that one is enough.
fn serves_one_client(option: &str) {
    let program =
        Running::start(&["-b", option, "--stdout-announce-listening-ports", "tcp-l:127.0.0.1:0", "literal:served"]);
    let port = program.port_after("port=");
    assert_eq!(hear(port), "served");
    // Whoever comes while it ends may find it there, but gets nothing.
    assert_eq!(hear(port), "", "{option}");
    assert_eq!(program.ended().status, Some(0), "{option}");
}

#[test]
fn oneshot_serves_one_client() {
    serves_one_client("--oneshot");
}

#[test]
fn exit_after_one_session_serves_one_client() {
    serves_one_client("--exit-after-one-session");
}

#[test]
fn exit_on_hangup_ends_the_program() {
    let options = ["-b", "--exit-on-hangup", "--dummy-hangup", "--stdout-announce-listening-ports"];
    let program = Running::start(&[&options[..], &["tcp-l:127.0.0.1:0", "devnull:"]].concat());
    let port = program.port_after("port=");
    assert_eq!(hear(port), "");
    // Without the option only this session would be over.
    assert_eq!(program.ended().status, Some(0));
}

#[cfg(unix)]
#[test]
fn listeners_say_that_they_are_ready() {
    let announced =
        Running::start(&["-b", "--oneshot", "--stdout-announce-listening-ports", "tcp-l:127.0.0.1:0", "literal:x"]);
    let port = announced.port_after("LISTEN proto=tcp,ip=127.0.0.1,port=");
    assert_eq!(hear(port), "x");
    assert_eq!(announced.ended().status, Some(0));
}

#[cfg(unix)]
#[test]
fn hooks_run_before_anybody_is_served() {
    let hooked = |options: &[&str]| {
        let options = [&["-b", "--oneshot", "--stdout-announce-listening-ports"], options].concat();
        let program = Running::start(&[&options[..], &["tcp-l:127.0.0.1:0", "literal:x"]].concat());
        let port = program.port_after("port=");
        assert_eq!(hear(port), "x");
        (port, program.ended().stdout)
    };
    let (_, printed) = hooked(&["--exec-after-listen", "echo hook:"]);
    assert!(printed.ends_with("hook:\n"), "{printed}");
    let (port, printed) = hooked(&["--exec-after-listen", "echo hook:", "--exec-after-listen-append-port"]);
    assert!(printed.ends_with(&format!("hook: {port}\n")), "{printed}");
}

#[cfg(unix)]
#[test]
fn arguments_of_a_program() {
    let ended = run(&["-b", "exec:printf", "-", "--exec-args", "%s-%s", "--help", "-b"]);
    assert_eq!((ended.status, &*ended.stdout), (Some(0), "--help--b"), "{ended:?}");
}

#[cfg(unix)]
#[test]
fn traffic_is_logged_on_stderr() {
    // Nothing but the log goes there.
    let log = |options: &[&str]| run(&[options, &["-b", "literal:ab\n", "cmd:cat >/dev/null"]].concat()).stderr;
    assert_eq!(log(&[]), "");
    let text = log(&["--log-traffic"]);
    assert!(text.contains("WRITE 3 \"ab\\n\"\n") && text.contains("WRITE shutdown\n"), "{text}");
    let text = log(&["--log-traffic", "--log-hex"]);
    assert!(text.contains("WRITE 3 61620a\n"), "{text}");
    let text = log(&["--log-traffic", "--log-omit-content"]);
    assert!(text.contains("WRITE 3\n"), "{text}");
    let text = log(&["--log-traffic", "--log-verbose"]);
    assert!(text.contains("WRITE drop\n"), "{text}");
    let text = log(&["--log-traffic", "--log-timestamps"]);
    let stamped =
        |line: &str| line.split_once('.').is_some_and(|(secs, _)| secs.len() == 6 && secs.parse::<u32>().is_ok());
    assert!(text.lines().count() > 1 && text.lines().all(stamped), "{text}");
}

#[test]
fn writes_are_cut_by_a_limiter() {
    let log = run(&["-b", "--write-buffer-limit", "2", "literal:abc", "write_chunk_limiter:log:devnull:"]).stderr;
    assert!(log.contains("WRITE 2 \"ab\"\nWRITE 1 \"c\"\n"), "{log}");
}

#[cfg(unix)]
#[test]
fn nothing_more_is_begun_after_a_signal() {
    use rustix::process::{Pid, Signal, kill_process};
    let server = ["--compose", "-b", "--stdout-announce-listening-ports", "tcp-l:127.0.0.1:0", "mirror:"];
    let program = Running::start(&[&server[..], &[";", "-b", "literal:late", "-"]].concat());
    program.port_after("port=");
    kill_process(Pid::from_child(&program.child), Signal::TERM).unwrap();
    let ended = program.ended();
    assert!(ended.status == Some(0) && !ended.stdout.contains("late"), "{ended:?}");
}

#[test]
fn parts_that_share_standard_output() {
    let line = |operator| ["--compose", "-b", "literal:a", "-", operator, "-b", "literal:b", "-"];
    // In turn, without a word; at once, with one.
    let ended = run(&line(";"));
    assert_eq!((ended.status, &*ended.stdout, &*ended.stderr), (Some(0), "ab", ""));
    let ended = run(&line("&"));
    assert!(ended.stderr.contains("share standard input and output"), "{ended:?}");
}
