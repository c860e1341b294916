//! Options of the process as a whole: threads, the end by signals, what it says on standard error.

use super::program::{CLOSE, Program, connect, connect_ws, frame, line, write_frame};
use rustix::process::Signal;
use std::{fs, io::Write as _};

/// Names of the threads of a server that echoes a line.
fn threads(options: &[&str]) -> Vec<String> {
    let (program, port) = Program::listen(&[&["-b", "tcp-l:127.0.0.1:0", "mirror:"], options].concat());
    let mut tcp = connect(port);
    tcp.write_all(b"here\n").unwrap();
    assert_eq!(line(&mut tcp), "here");
    let tasks = fs::read_dir(format!("/proc/{}/task", program.id())).unwrap();
    tasks.map(|task| fs::read_to_string(task.unwrap().path().join("comm")).unwrap()).collect()
}

#[test]
fn there_are_as_many_workers_as_asked_for() {
    assert_eq!(threads(&["--threads", "1"]).len(), 1);
    assert_eq!(threads(&["--threads", "7"]).iter().filter(|name| name.starts_with("tokio-")).count(), 7);
}

#[test]
fn sessions_have_the_time_they_are_given_after_a_signal() {
    let (program, port) = Program::listen(&["-b", "tcp-l:127.0.0.1:0", "mirror:", "--drain", "50ms"]);
    let mut tcp = connect(port);
    tcp.write_all(b"here\n").unwrap();
    assert_eq!(line(&mut tcp), "here");
    program.signal(Signal::TERM);
    let over = program.over();
    assert!(over.code() == Some(0) && over.stderr.contains("still open after 50ms"), "{over:?}");
}

#[test]
fn times_of_pings_are_told_when_asked_for() {
    for (options, told) in [(&[][..], false), (&["--print-ping-rtts"], true)] {
        let args = ["-b", "--oneshot", "--ping-interval", "20ms", "ws-l:127.0.0.1:0", "mirror:"];
        let (program, port) = Program::listen(&[&args, options].concat());
        let mut tcp = connect_ws(port);
        let (first, body) = frame(&mut tcp);
        assert_eq!((first, body.len()), (0x89, 8));
        write_frame(&mut tcp, 0x8a, &body);
        write_frame(&mut tcp, CLOSE.0, CLOSE.1);
        let over = program.over();
        assert_eq!((over.code(), over.stderr.contains("RTT")), (Some(0), told), "{over:?}");
    }
}
