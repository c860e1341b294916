//! How children and their sessions end each other, and that none outlives the program.

use super::program::{
    CLOSE, Program, connect, connect_ws, frame, gone, line, reset, rest, run, runs, server, until, write_frame,
};
use rustix::process::Signal;
use std::{
    fs,
    io::{Read as _, Write as _},
    net::Shutdown,
    process::{Command, Stdio},
};

/// Says its number, then does not care for the end of its input.
const STUBBORN: &str = "cmd:echo $$; exec sleep 1000";
/// And not for signals that can be ignored either.
const OBSTINATE: &str = "cmd:trap '' HUP TERM INT; echo $$; sleep 1000; sleep 1000; sleep 1000";

#[test]
fn the_childs_end_closes_the_connection_after_its_last_output() {
    let (program, port) = Program::listen(&["-b", "--oneshot", "tcp-l:127.0.0.1:0", "cmd:head -c 1000000 /dev/zero"]);
    let mut tcp = connect(port);
    assert_eq!(rest(&mut tcp).len(), 1_000_000);
    // The client has not closed anything.
    assert_eq!(program.over().code(), Some(0));
}

#[test]
fn a_websocket_client_gets_close_after_the_last_output() {
    let (program, port) = Program::listen(&["-b", "--oneshot", "ws-l:127.0.0.1:0", "cmd:read x; echo $x"]);
    let mut tcp = connect_ws(port);
    write_frame(&mut tcp, 0x82, b"said\n");
    assert_eq!(frame(&mut tcp), (0x82, b"said\n".to_vec()));
    let (first, body) = frame(&mut tcp);
    assert_eq!((first, body.as_slice()), CLOSE);
    write_frame(&mut tcp, CLOSE.0, CLOSE.1);
    assert_eq!(rest(&mut tcp), "");
    assert_eq!(program.over().code(), Some(0));
}

/// Some who start programs ignore SIGCHLD, and that is inherited.
#[test]
fn ends_are_heeded_where_they_were_ignored() {
    let mut command = Command::new("env");
    command.args(["--ignore-signal=CHLD", env!("CARGO_BIN_EXE_websocat"), "-b", "cmd:exit 3", "devnull:"]);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let over = Program::spawn(&mut command).over();
    assert!(over.stderr.contains("ended: exit status: 3"), "{over:?}");
}

/// The program as it is started by somebody who has blocked all signals, which is inherited.
fn with_signals_blocked(child: &str) -> Program {
    let mut command = Command::new("env");
    command.args(["--block-signal", env!("CARGO_BIN_EXE_websocat"), "-b", "-U", "-", child]);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    Program::spawn(&mut command)
}

#[test]
fn signals_are_heeded_where_they_were_blocked() {
    let mut program = with_signals_blocked("cmd:grep SigBlk /proc/self/status; exit 3");
    let mut said = String::new();
    program.child().stdout.take().unwrap().read_to_string(&mut said).unwrap();
    let over = program.over();
    assert!(over.stderr.contains("ended: exit status: 3"), "{over:?}");
    // The child can be told to end as well.
    assert_eq!(said.trim_start_matches("SigBlk:").trim(), "0000000000000000");
    for signal in [Signal::TERM, Signal::INT, Signal::HUP] {
        let mut program = with_signals_blocked("cmd:echo up; sleep 1000");
        let mut up = [0; 3];
        program.child().stdout.as_mut().unwrap().read_exact(&mut up).unwrap();
        program.signal(signal);
        let over = program.over();
        assert!(over.code().is_some(), "{over:?}");
    }
}

#[test]
fn a_child_that_stops_reading_still_has_its_say() {
    let input = b"first\n".repeat(1_000_000);
    let (over, said) = run(&["-b", "-", "cmd:head -1; sleep 0.2; echo last"], &input);
    assert_eq!((over.code(), said.as_slice()), (Some(0), &b"first\nlast\n"[..]), "{}", over.stderr);
}

#[test]
fn a_reset_ends_children_that_do_not_care() {
    for child in [STUBBORN, OBSTINATE] {
        let (_program, port) = Program::listen(&["-b", "tcp-l:127.0.0.1:0", child, "--exec-grace", "inf"]);
        let mut tcp = connect(port);
        let pid = line(&mut tcp).parse().unwrap();
        assert!(runs(pid));
        reset(tcp);
        gone(pid);
    }
}

#[test]
fn a_websocket_that_breaks_off_ends_its_child() {
    let (_program, port) = Program::listen(&["-b", "ws-l:127.0.0.1:0", STUBBORN, "--exec-grace", "inf"]);
    let mut tcp = connect_ws(port);
    let pid = String::from_utf8(frame(&mut tcp).1).unwrap().trim().parse().unwrap();
    tcp.shutdown(Shutdown::Both).unwrap();
    gone(pid);
}

#[test]
fn an_orderly_end_gives_grace_and_then_takes_descendants_along() {
    let child = "cmd:trap '' HUP; sleep 1000 & echo $!; wait; wait; sleep 1000";
    let (_program, port) = Program::listen(&["-b", "ws-l:127.0.0.1:0", child, "--exec-grace", "10ms"]);
    let mut tcp = connect_ws(port);
    let pid = String::from_utf8(frame(&mut tcp).1).unwrap().trim().parse().unwrap();
    write_frame(&mut tcp, CLOSE.0, CLOSE.1);
    assert_eq!(frame(&mut tcp).0, CLOSE.0);
    gone(pid);
}

#[test]
fn the_program_waits_for_children_that_finish() {
    let (listener, specifier) = server();
    let dir = tempfile::tempdir().unwrap();
    let proof = dir.path().join("proof");
    let child = format!("cmd:cat; sleep 0.3; echo written > {}", proof.display());
    let program = Program::spawn(&mut super::program::websocat(&["-b", "-E", &specifier, &child]));
    drop(listener.accept().unwrap());
    assert_eq!(program.over().code(), Some(0));
    assert_eq!(std::fs::read_to_string(proof).unwrap(), "written\n");
}

/// A listening program with one such child.
fn with_child(options: &[&str], child: &str) -> (Program, u32, std::net::TcpStream) {
    let (program, port) = Program::listen(&[&["-b", "tcp-l:127.0.0.1:0", child], options].concat());
    let mut tcp = connect(port);
    let pid = line(&mut tcp).parse().unwrap();
    (program, pid, tcp)
}

#[test]
fn signals_leave_no_child_behind() {
    for child in [STUBBORN, OBSTINATE] {
        for signal in [Signal::TERM, Signal::INT, Signal::HUP] {
            let (program, pid, _tcp) = with_child(&["--drain", "10ms"], child);
            program.signal(signal);
            assert_eq!(program.over().code(), Some(0));
            assert!(!runs(pid), "{child} {signal:?}");
        }
    }
}

#[test]
fn a_second_signal_ends_children_at_once() {
    let (program, pid, _tcp) = with_child(&["--drain", "inf"], STUBBORN);
    // Two of a kind may be taken for one.
    program.signal(Signal::TERM);
    program.signal(Signal::INT);
    assert!(program.over().code().is_some_and(|code| code > 128));
    assert!(!runs(pid));
}

#[test]
fn a_signal_ends_the_wait_for_a_child() {
    let (listener, specifier) = server();
    let program =
        Program::spawn(&mut super::program::websocat(&["-b", "-E", &specifier, STUBBORN, "--exec-grace", "inf"]));
    let (mut tcp, _) = listener.accept().unwrap();
    let pid = line(&mut tcp).parse().unwrap();
    drop(tcp);
    program.signal(Signal::TERM);
    program.over();
    assert!(!runs(pid));
}

#[test]
fn a_forced_end_leaves_no_child_behind() {
    let (listener, specifier) = server();
    // Time enough for the child to begin on any machine.
    let args = ["-b", &specifier, STUBBORN, "--global-timeout-ms", "5000", "--global-timeout-force-exit"];
    let program = Program::spawn(&mut super::program::websocat(&args));
    let (mut peer, _) = listener.accept().unwrap();
    let pid = line(&mut peer).parse().unwrap();
    assert_eq!(program.over().code(), Some(1));
    assert!(!runs(pid));
}

#[test]
fn a_session_that_is_dropped_is_cut() {
    let (mut program, pid, mut tcp) = with_child(&["--global-timeout-ms", "5000"], STUBBORN);
    tcp.write_all(b"x").unwrap();
    until("the program ends", || program.child().try_wait().unwrap());
    assert!(!runs(pid));
}

/// Ends by SIGHUP, and leaves somebody who does not.
const HEIR: &str = "cmd:(trap '' HUP TERM; echo $$; exec sleep 1000) & wait";

#[test]
fn a_second_signal_ends_what_children_have_left() {
    let (program, port) = Program::listen(&["-b", "tcp-l:127.0.0.1:0", HEIR, "--exec-grace", "0"]);
    let mut tcp = connect(port);
    let leader: u32 = line(&mut tcp).parse().unwrap();
    let heirs = fs::read_to_string(format!("/proc/{leader}/task/{leader}/children")).unwrap();
    let heir = heirs.trim().parse().unwrap();
    tcp.shutdown(Shutdown::Write).unwrap();
    gone(leader);
    assert!(runs(heir));
    program.signal(Signal::TERM);
    program.signal(Signal::INT);
    program.over();
    assert!(!runs(heir));
}

#[test]
fn a_stopped_child_is_woken_to_end() {
    let child = "cmd:echo $$; kill -STOP $$; sleep 1000";
    let (program, port) = Program::listen(&["-b", "--oneshot", "tcp-l:127.0.0.1:0", child, "--exec-grace", "10ms"]);
    let mut tcp = connect(port);
    let pid = line(&mut tcp).parse().unwrap();
    until("it is stopped", || {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
        stat.rsplit_once(") ").unwrap().1.starts_with('T').then_some(())
    });
    tcp.shutdown(Shutdown::Write).unwrap();
    gone(pid);
    let over = program.over();
    assert!(over.code() == Some(0) && !over.stderr.contains("SIGKILL"), "{over:?}");
}
