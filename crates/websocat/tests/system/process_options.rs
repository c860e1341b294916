//! Options of the process as a whole: threads, the end by signals, what it says on standard error.

use super::program::{CLOSE, Program, connect, connect_ws, frame, line, until, write_frame};
use rustix::process::Signal;
use std::{fs, io::Write as _};

/// Waits until a server that has echoed a line has threads with such names. Each gives itself its name, once it runs.
fn threads(options: &[&str], are_such: impl Fn(&[String]) -> bool) {
    let (program, port) = Program::listen(&[&["-b", "tcp-l:127.0.0.1:0", "mirror:"], options].concat());
    let mut tcp = connect(port);
    tcp.write_all(b"here\n").unwrap();
    assert_eq!(line(&mut tcp), "here");
    until("as many threads as asked for", || {
        let tasks = fs::read_dir(format!("/proc/{}/task", program.id())).unwrap();
        let names = tasks.filter_map(|task| fs::read_to_string(task.ok()?.path().join("comm")).ok());
        are_such(&names.collect::<Vec<_>>()).then_some(())
    });
}

#[test]
fn there_are_as_many_workers_as_asked_for() {
    threads(&["--threads", "1"], |names| names.len() == 1);
    threads(&["--threads", "7"], |names| names.iter().filter(|name| name.starts_with("tokio-")).count() == 7);
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
