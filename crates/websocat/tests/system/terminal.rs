//! Standard streams that are shared with others: their flags stay as they are, and a terminal is left as it was, whatever way
//! the program ends.

use super::program::{PATIENCE, Program, runs, until, websocat};
use rustix::{
    fs::{OFlags, fcntl_getfl},
    process::Signal,
    pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt},
    termios::{LocalModes, OptionalActions, tcgetattr, tcsetattr},
};
use std::{
    fs::File,
    io::Write as _,
    os::{
        fd::{AsFd, OwnedFd},
        unix::net::UnixStream,
    },
    process::Stdio,
    sync::mpsc,
    thread,
};

/// Flags that others who share the description see.
fn flags(fd: impl AsFd) -> OFlags {
    fcntl_getfl(fd).unwrap()
}

/// Both ends of a terminal.
fn terminal() -> (File, OwnedFd) {
    let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).unwrap();
    grantpt(&master).unwrap();
    unlockpt(&master).unwrap();
    let name = ptsname(&master, vec![]).unwrap();
    let slave =
        rustix::fs::open(name, OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC, rustix::fs::Mode::empty()).unwrap();
    (master.into(), slave)
}

/// Runs an echo with these standard streams, which others share. They must be as they were while it runs and afterwards.
fn echoes(input: OwnedFd, output: OwnedFd, mut theirs: impl std::io::Write, from: impl std::io::Read + Send + 'static) {
    let (seen_in, seen_out) = (input.try_clone().unwrap(), output.try_clone().unwrap());
    let before = (flags(&seen_in), flags(&seen_out));
    let mut command = websocat(&["-b", "-", "mirror:"]);
    let mut program = Program::spawn(command.stdin(Stdio::from(input)).stdout(Stdio::from(output)));
    drop(command);
    theirs.write_all(b"words\n").unwrap();
    let (send, said) = mpsc::channel();
    thread::spawn(move || {
        let (mut from, mut got) = (from, [0; 6]);
        let mut read = 0;
        while read < got.len() {
            read += from.read(&mut got[read..]).unwrap();
        }
        send.send(got)
    });
    assert_eq!(&said.recv_timeout(PATIENCE).unwrap(), b"words\n");
    assert_eq!((flags(&seen_in), flags(&seen_out)), before, "while it runs");
    assert!(program.child().try_wait().unwrap().is_none());
    program.signal(Signal::TERM);
    program.over();
    assert_eq!((flags(&seen_in), flags(&seen_out)), before, "afterwards");
}

#[test]
fn pipes_stay_blocking_for_those_who_share_them() {
    let (input, theirs) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).unwrap();
    let (from, output) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).unwrap();
    echoes(input, output, File::from(theirs), File::from(from));
}

#[test]
fn sockets_stay_blocking_for_those_who_share_them() {
    let (ours, theirs) = UnixStream::pair().unwrap();
    let from = theirs.try_clone().unwrap();
    echoes(ours.try_clone().unwrap().into(), ours.into(), theirs, from);
}

#[test]
fn terminals_stay_blocking_for_those_who_share_them() {
    let (master, slave) = terminal();
    // Without its own echo: what comes back is what the program wrote.
    let mut settings = tcgetattr(&slave).unwrap();
    settings.local_modes -= LocalModes::ECHO;
    settings.output_modes -= rustix::termios::OutputModes::OPOST;
    tcsetattr(&slave, OptionalActions::Now, &settings).unwrap();
    let from = master.try_clone().unwrap();
    echoes(slave.try_clone().unwrap(), slave, master, from);
}

#[test]
fn regular_files_and_devices_stay_as_they_are() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("f");
    std::fs::write(&path, b"words").unwrap();
    for (input, output) in [
        (File::open(&path).unwrap(), File::create(dir.path().join("g")).unwrap()),
        (File::open("/dev/null").unwrap(), File::options().write(true).open("/dev/null").unwrap()),
    ] {
        let before = (flags(&input), flags(&output));
        let mut command = websocat(&["-b", "-", "mirror:"]);
        let program = Program::spawn(
            command.stdin(Stdio::from(input.try_clone().unwrap())).stdout(Stdio::from(output.try_clone().unwrap())),
        );
        assert_eq!(program.over().code(), Some(0));
        assert_eq!((flags(&input), flags(&output)), before);
    }
    assert_eq!(std::fs::read(dir.path().join("g")).unwrap(), b"words");
}

/// What of the settings can be compared.
fn settings(fd: impl AsFd) -> String {
    let t = tcgetattr(fd).unwrap();
    format!("{:?} {:?} {:?} {:?}", t.input_modes, t.output_modes, t.control_modes, t.local_modes)
}

#[test]
fn the_terminal_is_left_as_it_was_whatever_way_the_program_ends() {
    type End = fn(&Program, &mut File);
    let by = |signal: Signal| -> (End, Option<i32>) {
        match signal {
            Signal::TERM => (|program, _| program.signal(Signal::TERM), Some(143)),
            Signal::INT => (|program, _| program.signal(Signal::INT), Some(130)),
            _ => (|program, _| program.signal(Signal::HUP), Some(129)),
        }
    };
    let eof: End = |_, master| master.write_all(b"\x04").unwrap();
    let line: End = |_, master| master.write_all(b"line\n").unwrap();
    let nothing: End = |_, _| {};
    let cases: [(&[&str], End, Option<i32>); 7] = [
        (&["-b", "-", "mirror:"], eof, Some(0)),
        (&["-t", "lines:mock_stream_socket:W line\\n|ER", "-"], line, Some(27)),
        // A scripted peer that sees something else panics.
        (&["-b", "mock_stream_socket:W other", "-"], line, Some(101)),
        (&["-b", "-", "mirror:", "--global-timeout-ms", "100", "--global-timeout-force-exit"], nothing, Some(1)),
        (&["-b", "-", "mirror:"], by(Signal::TERM).0, by(Signal::TERM).1),
        (&["-b", "-", "mirror:"], by(Signal::INT).0, by(Signal::INT).1),
        (&["-b", "-", "mirror:"], by(Signal::HUP).0, by(Signal::HUP).1),
    ];
    for (args, end, status) in cases {
        let (mut master, slave) = terminal();
        let before = (settings(&slave), flags(&slave));
        let mut command = websocat(args);
        let stream = || Stdio::from(slave.try_clone().unwrap());
        let program = Program::spawn(command.stdin(stream()).stdout(stream()).stderr(stream()));
        drop(command);
        // It reads the terminal: then its signal handlers are in place, too.
        let pid = program.id();
        until("the terminal is opened once more", || {
            let open = std::fs::read_dir(format!("/proc/{pid}/fd")).ok()?;
            let terminals = open.filter_map(|fd| std::fs::read_link(fd.ok()?.path()).ok());
            (terminals.filter(|path| path.starts_with("/dev/pts")).count() > 3 || !runs(pid)).then_some(())
        });
        end(&program, &mut master);
        let over = program.over();
        assert_eq!(over.code(), status, "{args:?}");
        assert_eq!((settings(&slave), flags(&slave)), before, "{args:?}");
    }
}

/// What a client says on standard error, which is a terminal, before it ends by itself.
fn told(input: Stdio, output: Stdio) -> String {
    let (mut master, slave) = terminal();
    let mut command = websocat(&["literal:x"]);
    let program = Program::spawn(command.stdin(input).stdout(output).stderr(slave));
    drop(command);
    assert_eq!(program.over().code(), Some(0));
    // Nobody has the other end any more: that is an error, after all that was written.
    let mut got = vec![];
    let _ = std::io::Read::read_to_end(&mut master, &mut got);
    String::from_utf8(got).unwrap()
}

#[test]
fn notices_are_for_those_who_sit_at_the_terminal() {
    let (_master, slave) = terminal();
    let typed = || Stdio::from(slave.try_clone().unwrap());
    assert_eq!(told(Stdio::null(), Stdio::null()), "", "in the middle of a pipeline");
    assert!(told(Stdio::null(), typed()).contains("connected: literal:"));
}

#[test]
fn signals_are_called_by_their_names() {
    // It listens: then its signal handlers are in place, too.
    let (program, _) = Program::listen(&["-v", "tcp-l:127.0.0.1:0", "mirror:"]);
    program.signal(Signal::TERM);
    let over = program.over();
    assert!(over.stderr.contains("SIGTERM: finishing"), "{}", over.stderr);
}
