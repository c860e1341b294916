//! Files: names of their own for concurrent connections, full disks, what cannot be opened.

use super::program::{Program, connect, connect_ws, frame, rest, run, server, until, websocat, write_frame};
use rustix::process::Signal;
use std::{
    collections::BTreeSet,
    fs,
    io::{Read as _, Write as _},
    net::Shutdown,
    path::Path,
    process::{Command, Stdio},
    thread,
};

/// Close with 1011.
const INTERNAL_ERROR: (u8, &[u8]) = (0x88, b"\x03\xf3");

fn contents(dir: &Path) -> Vec<String> {
    fs::read_dir(dir).unwrap().map(|entry| fs::read_to_string(entry.unwrap().path()).unwrap()).collect()
}

/// So many clients at once, each of which sends its number.
fn send_numbers(port: u16, clients: usize) {
    thread::scope(|scope| {
        for n in 0..clients {
            scope.spawn(move || {
                let mut tcp = connect(port);
                tcp.write_all(n.to_string().as_bytes()).unwrap();
                tcp.shutdown(Shutdown::Write).unwrap();
                // Those who are refused may be reset.
                let _ = tcp.read_to_end(&mut vec![]);
            });
        }
    });
}

#[test]
fn write_file_auto_rename_gives_each_connection_a_file() {
    const CLIENTS: usize = 100;
    let dir = tempfile::tempdir().unwrap();
    let file = format!("writefile:{}", dir.path().join("f.txt").display());
    let (program, port) = Program::listen(&["-b", "tcp-l:127.0.0.1:0", &file, "--write-file-auto-rename"]);
    send_numbers(port, CLIENTS);
    let expected: BTreeSet<String> = (0..CLIENTS).map(|n| n.to_string()).collect();
    let got = contents(dir.path());
    assert_eq!(got.len(), CLIENTS);
    assert_eq!(got.into_iter().collect::<BTreeSet<_>>(), expected);
    for entry in fs::read_dir(dir.path()).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        assert!(name.starts_with("f.") && name.ends_with("txt"), "{name}");
    }
    program.signal(Signal::TERM);
    assert_eq!(program.over().code(), Some(0));
}

#[test]
fn messages_of_each_connection_go_to_a_file_of_its_own() {
    let dir = tempfile::tempdir().unwrap();
    let file = format!("writefile:{}", dir.path().join("f").display());
    let (_program, port) = Program::listen(&["-b", "ws-l:127.0.0.1:0", &file, "--write-file-auto-rename"]);
    let mut clients = [connect_ws(port), connect_ws(port)];
    for (tcp, word) in clients.iter_mut().zip(["one", "two"]) {
        write_frame(tcp, 0x82, word.as_bytes());
        write_frame(tcp, 0x88, b"\x03\xe8");
        assert_eq!(frame(tcp).0, 0x88);
    }
    // The answer to a Close does not wait for the disk.
    let expected = BTreeSet::from(["one".to_owned(), "two".to_owned()]);
    until("both are written", || (contents(dir.path()).into_iter().collect::<BTreeSet<_>>() == expected).then_some(()));
}

#[test]
fn write_file_no_overwrite_keeps_what_is_there() {
    const CLIENTS: usize = 20;
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("f");
    let file = format!("writefile:{}", path.display());
    let (program, port) = Program::listen(&["-b", "tcp-l:127.0.0.1:0", &file, "--write-file-no-overwrite"]);
    send_numbers(port, CLIENTS);
    // One came first; nobody has written over it.
    let first = fs::read_to_string(&path).unwrap();
    assert!(first.parse::<usize>().unwrap() < CLIENTS);
    drop(program);
    let (over, _) = run(&["-b", "-", &file, "--write-file-no-overwrite"], b"x");
    assert_eq!(over.code(), Some(25));
    assert!(over.stderr.contains(&format!("cannot create file {}", path.display())), "{}", over.stderr);
    assert_eq!(fs::read_to_string(&path).unwrap(), first);
    let (over, _) = run(&["-b", "-", &file], b"x");
    assert_eq!((over.code(), fs::read_to_string(&path).unwrap().as_str()), (Some(0), "x"));
}

#[test]
fn a_full_disk_is_one_error() {
    for prefix in ["writefile", "appendfile"] {
        let (over, _) = run(&["-b", "-", &format!("{prefix}:/dev/full")], &b"x".repeat(1_000_000));
        assert_eq!(over.code(), Some(25));
        assert_eq!(over.stderr.lines().count(), 1, "{}", over.stderr);
        assert!(over.stderr.contains("cannot write file /dev/full: No space left on device"), "{}", over.stderr);
    }
    let full = fs::File::options().write(true).open("/dev/full").unwrap();
    let program = Program::spawn(websocat(&["-b", "literal:x", "-"]).stdout(full));
    let over = program.over();
    assert_eq!(over.code(), Some(25));
    assert!(over.stderr.contains("cannot write to standard output: No space left"), "{}", over.stderr);
}

/// The program where files may have one block of 512 or 1024 bytes.
fn with_small_files(args: &[&str], stdout: Stdio) -> super::program::Over {
    let mut shell = Command::new("sh");
    shell.args(["-c", "ulimit -f 1; exec \"$0\" \"$@\"", env!("CARGO_BIN_EXE_websocat")]).args(args);
    Program::spawn(shell.stdin(Stdio::null()).stdout(stdout).stderr(Stdio::piped())).over()
}

#[test]
fn a_file_that_may_not_grow_is_one_error() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("f");
    let over = with_small_files(&["-bU", &format!("writefile:{}", file.display()), "random:"], Stdio::null());
    assert_eq!(over.code(), Some(25), "{}", over.stderr);
    let says = format!("cannot write file {}: File too large", file.display());
    assert!(over.stderr.lines().count() == 1 && over.stderr.contains(&says), "{}", over.stderr);
    let output = fs::File::create(&file).unwrap();
    let over = with_small_files(&["-b", "random:", "-"], output.into());
    assert_eq!(over.code(), Some(25));
    assert!(over.stderr.contains("cannot write to standard output: File too large"), "{}", over.stderr);
    // Children are ended by the signal as they would be without us.
    let child = format!("cmd:exec head -c 100000 /dev/zero >{}", file.display());
    let over = with_small_files(&["-b", "devnull:", &child, "--exec-status"], Stdio::null());
    let signal = rustix::process::Signal::XFSZ.as_raw();
    assert_eq!(over.code(), Some(128 + signal), "{}", over.stderr);
}

#[test]
fn keeping_files_and_renaming_them_exclude_each_other() {
    let dir = tempfile::tempdir().unwrap();
    let file = format!("writefile:{}", dir.path().join("f").display());
    let (over, _) = run(&["-b", "-", &file, "--write-file-no-overwrite", "--write-file-auto-rename"], b"x");
    assert_eq!(over.code(), Some(2));
    assert!(over.stderr.contains("cannot be used with"), "{}", over.stderr);
    assert_eq!(contents(dir.path()), Vec::<String>::new());
}

#[test]
fn a_websocket_is_told_of_files_that_fail() {
    for (file, says, sends) in [
        ("writefile:/dev/full", "cannot write file /dev/full: No space left on device", true),
        ("readfile:/nonexistent/f", "cannot open file /nonexistent/f: No such file or directory", false),
        ("readfile:/", "cannot open file /: ", false),
        ("writefile:/nonexistent/f", "cannot create file /nonexistent/f: No such file or directory", false),
        ("appendfile:/", "cannot create file /: Is a directory", false),
    ] {
        let (program, port) = Program::listen(&["-b", "--oneshot", "ws-l:127.0.0.1:0", file]);
        let mut tcp = connect_ws(port);
        if sends {
            write_frame(&mut tcp, 0x82, &[b'x'; 100]);
        }
        let (first, body) = frame(&mut tcp);
        assert_eq!((first, body.as_slice()), INTERNAL_ERROR, "{file}");
        write_frame(&mut tcp, 0x88, &body);
        assert_eq!(rest(&mut tcp), "");
        let over = program.over();
        assert_eq!(over.code(), Some(25), "{file}");
        assert_eq!(over.stderr.matches(says).count(), 1, "{file}: {}", over.stderr);
    }
}

/// A peer that answers only when all has come.
#[test]
fn a_file_beside_standard_output_keeps_no_session_open() {
    let dir = tempfile::tempdir().unwrap();
    for prefix in ["writefile", "appendfile"] {
        let (listener, peer) = server();
        let answers = thread::spawn(move || {
            let (mut tcp, _) = listener.accept().unwrap();
            let mut got = vec![];
            tcp.read_to_end(&mut got).unwrap();
            tcp.write_all(b"answer").unwrap();
            got
        });
        let path = dir.path().join(prefix);
        let tee = format!("--tee={prefix}:{}", path.display());
        let (over, output) = run(&["-b", &tee, &format!("chunks:{peer}"), "-"], b"question");
        assert_eq!((over.code(), &*output, &*over.stderr), (Some(0), &b"answer"[..], ""), "{prefix}");
        assert_eq!((answers.join().unwrap(), fs::read(&path).unwrap()), (b"question".to_vec(), b"answer".to_vec()));
    }
}
