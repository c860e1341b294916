//! `async-fd:`: inherited descriptors, and what those who share them see.

use super::program::{PATIENCE, Program, connect, rest, run};
use rustix::{
    event::{EventfdFlags, eventfd},
    fs::{OFlags, fcntl_getfl},
    process::Signal,
};
use std::{
    fs::File,
    io::{Read as _, Write as _},
    net::{TcpListener, UdpSocket},
    os::{fd::OwnedFd, unix::net::UnixStream},
    process::{Command, Stdio},
};

/// The program with `fd` as its descriptor 3.
fn with_descriptor(fd: impl Into<OwnedFd>, args: &[&str]) -> Command {
    let mut shell = Command::new("sh");
    // Standard input is where it comes from.
    shell.args(["-c", "exec \"$0\" \"$@\" 3<&0 </dev/null", env!("CARGO_BIN_EXE_websocat")]);
    shell.args(args).stdin(Stdio::from(fd.into())).stdout(Stdio::piped()).stderr(Stdio::piped());
    shell
}

#[test]
fn a_socket_goes_both_ways_and_stays_blocking() {
    for prefix in ["async-fd", "open-fd"] {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        let kept = ours.try_clone().unwrap();
        let mut command = with_descriptor(ours, &["-b", &format!("{prefix}:3"), "mirror:"]);
        let program = Program::spawn(&mut command);
        drop(command);
        theirs.write_all(b"words").unwrap();
        let mut got = [0; 5];
        theirs.read_exact(&mut got).unwrap();
        assert_eq!(&got, b"words");
        assert!(!fcntl_getfl(&kept).unwrap().contains(OFlags::NONBLOCK));
        theirs.shutdown(std::net::Shutdown::Write).unwrap();
        assert_eq!(program.over().code(), Some(0));
    }
}

#[test]
fn a_pipe_ends_with_its_session_although_the_program_goes_on() {
    let (read, write) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).unwrap();
    // The pipe is open for writing only, and standard input of the shell all the same.
    let mut command =
        with_descriptor(write, &["-b", "tcp-l:127.0.0.1:0", "async-fd:3", "--stdout-announce-listening-ports"]);
    let mut program = Program::spawn(&mut command);
    drop(command);
    let mut said = vec![];
    let mut output = program.child().stdout.take().unwrap();
    while !said.ends_with(b"\n") {
        let mut byte = [0];
        assert_eq!(output.read(&mut byte).unwrap(), 1);
        said.extend(byte);
    }
    let said = String::from_utf8(said).unwrap();
    let port = said.trim().rsplit_once("port=").unwrap().1.parse().unwrap();
    let mut tcp = connect(port);
    tcp.write_all(b"once").unwrap();
    tcp.shutdown(std::net::Shutdown::Write).unwrap();
    let mut got = String::new();
    File::from(read).read_to_string(&mut got).unwrap();
    assert_eq!(got, "once");
    rest(&mut tcp);
    // There is nothing to be had for a second client.
    assert_eq!(rest(&mut connect(port)), "");
    program.signal(Signal::TERM);
    let over = program.over();
    assert!(
        over.code() == Some(0) && over.stderr.contains("descriptor 3 was not inherited, or is in use or was used"),
        "{over:?}"
    );
}

/// An event counter can be polled, but neither opened again nor used without O_NONBLOCK.
#[test]
fn non_blocking_mode_is_taken_away_again_at_every_end() {
    type End = fn(Program);
    let ends: [(&[&str], End); 3] = [
        (&["-b", "async-fd:3", "mirror:"], |program| {
            // Handlers are in place some time after the descriptor was taken.
            super::program::until("it handles the signal", || {
                let status = std::fs::read_to_string(format!("/proc/{}/status", program.id())).unwrap();
                let mask = status.lines().find_map(|line| line.strip_prefix("SigCgt:")).unwrap();
                (u64::from_str_radix(mask.trim(), 16).unwrap() & 1 << 14 != 0).then_some(())
            });
            program.signal(Signal::TERM);
            program.over();
        }),
        // Time enough to be seen while it is non-blocking.
        (&["-b", "async-fd:3", "mirror:", "--global-timeout-ms", "5000", "--global-timeout-force-exit"], |program| {
            assert_eq!(program.over().code(), Some(1));
        }),
        (&["-b", "async-fd:3", "mock_stream_socket:ER"], |program| {
            assert_eq!(program.over().code(), Some(27));
        }),
    ];
    for (args, end) in ends {
        let event = eventfd(0, EventfdFlags::CLOEXEC).unwrap();
        let kept = event.try_clone().unwrap();
        let program = Program::spawn(&mut with_descriptor(event, args));
        if !args.contains(&"mock_stream_socket:ER") {
            super::program::until("it is non-blocking", || {
                fcntl_getfl(&kept).unwrap().contains(OFlags::NONBLOCK).then_some(())
            });
        }
        end(program);
        assert!(!fcntl_getfl(&kept).unwrap().contains(OFlags::NONBLOCK), "{args:?}");
    }
}

#[test]
fn async_fd_force_also_takes_regular_files() {
    for (options, status, said) in [(&[][..], 25, ""), (&["--async-fd-force"], 0, "words\n")] {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(b"words\n").unwrap();
        std::io::Seek::rewind(&mut file).unwrap();
        let mut program =
            Program::spawn(&mut with_descriptor(file, &[&["-b", "-u", "async-fd:3", "-"], options].concat()));
        let mut got = String::new();
        program.child().stdout.take().unwrap().read_to_string(&mut got).unwrap();
        let over = program.over();
        assert_eq!((over.code(), got.as_str()), (Some(status), said), "{}", over.stderr);
        assert_eq!(over.stderr.contains("--async-fd-force"), status != 0, "{}", over.stderr);
    }
}

#[test]
fn a_listening_socket_is_refused() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let over = Program::spawn(&mut with_descriptor(listener, &["-b", "async-fd:3", "mirror:"])).over();
    assert_eq!(over.code(), Some(25));
    assert!(over.stderr.contains("descriptor 3 is a listening socket"), "{}", over.stderr);
}

#[test]
fn what_is_no_socket_fails_as_files_do() {
    let full = File::options().write(true).open("/dev/full").unwrap();
    let args = ["-b", "literal:x", "async-fd:3", "--async-fd-force"];
    let over = Program::spawn(&mut with_descriptor(full, &args)).over();
    assert_eq!(over.code(), Some(25), "{}", over.stderr);
    let says = "cannot write descriptor 3: No space left on device";
    assert!(over.stderr.lines().count() == 1 && over.stderr.contains(says), "{}", over.stderr);
    // A pipe that nobody reads any more is no failure of ours, as at standard output.
    let (read, write) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).unwrap();
    drop(read);
    let over = Program::spawn(&mut with_descriptor(write, &["-b", "literal:x", "async-fd:3"])).over();
    assert_eq!((over.code(), over.stderr.as_str()), (Some(0), ""));
    // A connection is one.
    let (ours, theirs) = UnixStream::pair().unwrap();
    drop(theirs);
    let over = Program::spawn(&mut with_descriptor(ours, &["-b", "-u", "random:", "async-fd:3"])).over();
    assert_eq!(over.code(), Some(27), "{}", over.stderr);
}

#[test]
fn descriptors_that_are_not_there_are_named() {
    for fd in ["77", "5"] {
        let (over, _) = run(&["-b", &format!("async-fd:{fd}"), "devnull:"], b"");
        assert_eq!(over.code(), Some(25));
        assert!(over.stderr.contains(&format!("descriptor {fd} ")), "{}", over.stderr);
    }
    for value in ["", "x", "-1", "3x", "99999999999"] {
        assert_eq!(run(&["-b", &format!("async-fd:{value}"), "devnull:"], b"").0.code(), Some(2), "{value}");
    }
}

#[test]
fn standard_streams_can_be_named_by_their_numbers() {
    let (over, said) = run(&["-b", "-u", "async-fd:0", "async-fd:1"], b"words");
    assert_eq!((over.code(), said.as_slice()), (Some(0), &b"words"[..]), "{}", over.stderr);
}

#[test]
fn children_do_not_get_what_was_taken_over() {
    let (read, write) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).unwrap();
    let child = "cmd:cat; readlink /proc/self/fd/3 >&2 || echo none >&2";
    let mut command = with_descriptor(read, &["-b", "-u", "async-fd:3", child]);
    let program = Program::spawn(&mut command);
    drop((command, write));
    let over = program.over();
    assert_eq!((over.code(), over.stderr.as_str()), (Some(0), "none\n"));
}

#[test]
fn messages_of_several_connections_share_it() {
    let (ours, theirs) = UnixStream::pair().unwrap();
    let mut theirs = theirs;
    theirs.set_read_timeout(Some(PATIENCE)).unwrap();
    let args = ["-t", "ws-l:127.0.0.1:0", "async-fd:3", "--stdout-announce-listening-ports"];
    let mut program = Program::spawn(&mut with_descriptor(ours, &args));
    let mut output = program.child().stdout.take().unwrap();
    let mut said = String::new();
    while !said.ends_with('\n') {
        let mut byte = [0];
        assert_eq!(output.read(&mut byte).unwrap(), 1);
        said.push(byte[0].into());
    }
    let port = said.trim().rsplit_once("port=").unwrap().1.parse().unwrap();
    for word in ["one", "two"] {
        let mut tcp = super::program::connect_ws(port);
        super::program::write_frame(&mut tcp, 0x81, word.as_bytes());
        let mut got = vec![0; word.len() + 1];
        theirs.read_exact(&mut got).unwrap();
        assert_eq!(got, format!("{word}\n").as_bytes());
    }
}

#[test]
fn udp_sockets_are_taken_over_after_a_look_at_them() {
    for prefix in ["udp-server-fd", "udp-fd", "udp-bind-fd"] {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let address = socket.local_addr().unwrap();
        let mut command = with_descriptor(socket, &["-b", &format!("{prefix}:3"), "mirror:"]);
        let program = Program::spawn(&mut command);
        drop(command);
        let client = UdpSocket::bind("127.0.0.1:0").unwrap();
        client.set_read_timeout(Some(PATIENCE)).unwrap();
        client.send_to(b"words", address).unwrap();
        let mut got = [0; 9];
        assert_eq!(client.recv(&mut got).unwrap(), 5, "{prefix}");
        assert_eq!(&got[..5], b"words");
        program.signal(Signal::TERM);
        program.over();
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let over = Program::spawn(&mut with_descriptor(listener, &["-b", &format!("{prefix}:3"), "mirror:"])).over();
        assert!(over.stderr.contains("descriptor 3 is not a UDP socket"), "{over:?}");
        assert_eq!(over.code(), Some(24));
    }
}

#[test]
fn udp_sockets_are_found_by_name() {
    for prefix in ["udp-server-fdname", "udp-fdname", "udp-bind-fdname"] {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let address = socket.local_addr().unwrap();
        let mut command = with_descriptor(socket, &["-b", &format!("{prefix}:dns"), "mirror:"]);
        command.envs([("LISTEN_FDS", "1"), ("LISTEN_FDNAMES", "dns")]).env_remove("LISTEN_PID");
        let program = Program::spawn(&mut command);
        drop(command);
        let client = UdpSocket::bind("127.0.0.1:0").unwrap();
        client.set_read_timeout(Some(PATIENCE)).unwrap();
        client.send_to(b"words", address).unwrap();
        assert_eq!(client.recv(&mut [0; 9]).unwrap(), 5, "{prefix}");
        program.signal(Signal::TERM);
        program.over();
    }
}
