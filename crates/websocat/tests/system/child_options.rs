//! Options of `cmd:` and `exec:`: what the child, its peer and the kernel see of each.

use super::program::{Program, connect, gone, line, rest, run, until};
use rustix::process::{Signal, getgid, getuid};
use std::{
    fs,
    io::{Read as _, Write as _},
    os::unix::process::CommandExt as _,
    path::Path,
    process::{Command, Stdio},
};

/// What the child prints.
fn prints(args: &[&str]) -> String {
    let (over, said) = run(&[&["-b", "-"], args].concat(), b"");
    assert_eq!(over.code(), Some(0), "{}", over.stderr);
    String::from_utf8(said).unwrap()
}

#[test]
fn exec_args_are_the_rest_of_the_line() {
    assert_eq!(prints(&["exec:printf", "--exec-args", "%s,", "-b", "--help"]), "-b,--help,");
}

#[test]
fn exec_arg0_is_the_name_that_the_child_sees() {
    assert_eq!(prints(&["cmd:echo $0"]), "sh\n");
    assert_eq!(prints(&["cmd:echo $0", "--exec-arg0", "zero"]), "zero\n");
}

#[test]
fn exec_chdir_is_where_the_child_is() {
    let dir = tempfile::tempdir().unwrap();
    let (program, port) =
        Program::listen(&["-b", "tcp-l:127.0.0.1:0", "cmd:echo $$; cat", "--exec-chdir", dir.path().to_str().unwrap()]);
    let mut tcp = connect(port);
    let pid = line(&mut tcp);
    assert_eq!(fs::read_link(format!("/proc/{pid}/cwd")).unwrap(), dir.path().canonicalize().unwrap());
    let own = fs::read_link(format!("/proc/{}/cwd", program.id())).unwrap();
    assert_eq!(own, std::env::current_dir().unwrap());
    let (over, _) = run(&["-b", "-", "cmd:true", "--exec-chdir", "/nonexistent/d"], b"");
    assert_eq!(over.code(), Some(26));
    assert!(over.stderr.contains("working directory /nonexistent/d (--exec-chdir): "), "{}", over.stderr);
}

/// Only root may become somebody else, where there is somebody (not in every user namespace); anybody may become who they
/// are. `cargo xtask options` reads what is printed here.
fn somebody() -> (String, String) {
    let done = Command::new("sh").args(["-c", ":"]).uid(65534).gid(65533).status();
    if done.is_ok_and(|status| status.success()) {
        ("65534".to_owned(), "65533".to_owned())
    } else {
        println!("LEFT OUT: this process can be nobody else");
        (getuid().as_raw().to_string(), getgid().as_raw().to_string())
    }
}

#[test]
fn exec_uid_is_who_the_child_is() {
    let (uid, _) = somebody();
    let gid = getgid().as_raw();
    assert_eq!(prints(&["cmd:id -u; id -g", "--exec-uid", &uid]), format!("{uid}\n{gid}\n"));
}

#[test]
fn exec_gid_is_the_childs_group() {
    let ((_, gid), uid) = (somebody(), getuid().as_raw());
    assert_eq!(prints(&["cmd:id -u; id -g", "--exec-gid", &gid]), format!("{uid}\n{gid}\n"));
}

#[test]
fn what_a_child_may_not_be_is_named() {
    // The number that means none: even root cannot be that one.
    for (option, says) in
        [("--exec-uid", "user 4294967295 (--exec-uid): "), ("--exec-gid", "group 4294967295 (--exec-gid): ")]
    {
        for more in [&[][..], &["--exec-dup2", "5"]] {
            let sides = if more.is_empty() { ["-", "exec:true"] } else { ["async-fd:0", "exec:true"] };
            let (over, _) = run(&[&["-b", option, "4294967295"], more, &sides].concat(), b"");
            assert_eq!(over.code(), Some(26), "{option} {more:?}");
            let line = format!("cannot start `true`: {says}");
            assert!(over.stderr.lines().count() == 1 && over.stderr.contains(&line), "{}", over.stderr);
        }
    }
}

#[test]
fn exec_monitor_exits_does_not_wait_for_output() {
    // The child ends at once; what it started goes on writing.
    let line = "cmd:(while echo x; do sleep 0.1; done) & echo $!";
    let lines = |args: &[&str], most: usize| {
        let mut program =
            Program::spawn(super::program::websocat(&[&["-b", "-", line], args].concat()).stdin(Stdio::piped()));
        let _input = program.child().stdin.take();
        let mut output = program.child().stdout.take().unwrap();
        let (mut said, mut buffer) = (vec![], [0; 64]);
        while said.iter().filter(|b| **b == b'x').count() < most {
            match output.read(&mut buffer).unwrap() {
                0 => break,
                n => said.extend(&buffer[..n]),
            }
        }
        drop(output);
        assert_eq!(program.over().code(), Some(0));
        let text = String::from_utf8(said).unwrap();
        // Nobody reads what it writes any more. With the option its number may be lost.
        match text.lines().find(|line| !line.contains('x')) {
            Some(number) => gone(number.parse().unwrap()),
            None => assert!(!args.is_empty(), "its number is missing"),
        }
        text.matches('x').count()
    };
    // Three seconds of words are more than the silence after which descendants are forgotten.
    assert_eq!(lines(&[], 30), 30);
    // Thirty seconds of them, if nobody ends it.
    assert!(lines(&["--exec-monitor-exits"], 300) < 300);
}

#[test]
fn exec_windows_creation_flags_is_refused_by_name() {
    let (over, _) = run(&["-b", "-", "cmd:true", "--exec-windows-creation-flags", "8"], b"");
    assert_eq!(over.code(), Some(2));
    assert!(
        over.stderr.contains("--exec-windows-creation-flags") && over.stderr.contains("Windows only"),
        "{}",
        over.stderr
    );
    let (over, said) = run(&["--dump-spec", "-b", "-", "cmd:true", "--exec-windows-creation-flags", "8"], b"");
    let said = String::from_utf8(said).unwrap();
    assert!(over.code() == Some(0) && said.contains(".windows_creation_flags(8)"), "{said}");
}

#[test]
fn exec_status_makes_the_childs_status_ours() {
    for (child, own, code) in [("exit 7", 0, 7), ("kill -9 $$", 0, 137), ("true", 0, 0)] {
        for (options, expected) in [(&[][..], own), (&["--exec-status"], code)] {
            let (over, _) = run(&[&["-b", "-", &format!("cmd:{child}")], options].concat(), b"");
            assert_eq!(over.code(), Some(expected), "{child} {options:?}");
            assert_eq!(over.stderr.contains(" ended: "), child != "true", "told once it is not 0: {}", over.stderr);
        }
    }
}

#[test]
fn exec_status_counts_with_oneshot_and_not_for_a_listener() {
    for more in [&[][..], &["--exec-dup2", "0,1"]] {
        let args = [&["-b", "--oneshot", "tcp-l:127.0.0.1:0", "cmd:exit 7", "--exec-status"], more].concat();
        let (program, port) = Program::listen(&args);
        assert_eq!(rest(&mut connect(port)), "");
        assert_eq!(program.over().code(), Some(7), "{more:?}");
    }
    let (program, port) = Program::listen(&["-b", "tcp-l:127.0.0.1:0", "cmd:exit 7", "--exec-status"]);
    assert_eq!(rest(&mut connect(port)), "");
    program.signal(Signal::TERM);
    assert_eq!(program.over().code(), Some(0));
}

#[test]
fn exec_grace_is_how_long_a_child_may_go_on() {
    let (program, port) =
        Program::listen(&["-b", "tcp-l:127.0.0.1:0", "cmd:echo $$; exec sleep 1000", "--exec-grace", "20ms"]);
    let mut tcp = connect(port);
    let pid = line(&mut tcp).parse().unwrap();
    tcp.shutdown(std::net::Shutdown::Write).unwrap();
    gone(pid);
    assert_eq!(rest(&mut tcp), "");
    drop(program);
    // Without end: only the child's own end counts.
    let (over, said) = run(&["-b", "-", "cmd:sleep 0.3; echo done", "--exec-grace", "inf"], b"");
    assert_eq!((over.code(), said.as_slice()), (Some(0), &b"done\n"[..]));
    let (over, said) = run(&["-b", "-", "cmd:sleep 3; echo done", "--exec-grace", "0"], b"");
    assert_eq!((over.code(), said.as_slice()), (Some(0), &b""[..]));
    for wrong in ["-1", "-5s", "NaN", "x"] {
        let (over, _) = run(&["-b", "-", "cmd:true", "--exec-grace", wrong], b"");
        assert_eq!(over.code(), Some(2), "{wrong}");
        assert!(over.stderr.contains(&format!("`{wrong}` is not a duration")), "{}", over.stderr);
    }
}

#[test]
fn exec_dup2_gives_the_child_the_connection() {
    let (program, port) = Program::listen(&["-b", "tcp-l:127.0.0.1:0", "exec:cat", "--exec-dup2", "0,1"]);
    let mut tcp = connect(port);
    tcp.write_all(b"there and back").unwrap();
    tcp.shutdown(std::net::Shutdown::Write).unwrap();
    assert_eq!(rest(&mut tcp), "there and back");
    drop(program);
    // Under other numbers, while standard output stays that of the program.
    let (mut program, port) = Program::listen(&[
        "-b",
        "--oneshot",
        "tcp-l:127.0.0.1:0",
        "cmd:readlink /proc/self/fd/7 >&7",
        "--exec-dup2",
        "7,8",
    ]);
    assert!(rest(&mut connect(port)).starts_with("socket:["));
    until("it has served its one connection", || program.child().try_wait().unwrap());
}

#[test]
fn exec_dup2_needs_a_child_on_the_right_and_a_descriptor_on_the_left() {
    for sides in [["devnull:", "devnull:"], ["cmd:true", "cmd:true"], ["cmd:true", "devnull:"]] {
        let (over, _) = run(&["-b", "--exec-dup2", "0", sides[0], sides[1]], b"");
        assert_eq!(over.code(), Some(2), "{sides:?}");
        assert!(over.stderr.contains("--exec-dup2 needs cmd: or exec: on the right"), "{}", over.stderr);
    }
    let (over, _) = run(&["-b", "--exec-dup2", "0", "devnull:", "cmd:true"], b"");
    assert_eq!(over.code(), Some(26));
    assert!(over.stderr.contains("no descriptor that could be handed"), "{}", over.stderr);
    for numbers in ["", "x", "-1", "0,,1", "0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16"] {
        assert_eq!(run(&["-b", "devnull:", "cmd:true", "--exec-dup2", numbers], b"").0.code(), Some(2), "{numbers}");
    }
}

#[test]
fn exec_dup2_ignores_overlays_and_says_so() {
    let (program, port) =
        Program::listen(&["-b", "--oneshot", "lines:tcp-l:127.0.0.1:0", "log:exec:cat", "--exec-dup2", "0,1"]);
    let mut tcp = connect(port);
    tcp.write_all(b"no line").unwrap();
    tcp.shutdown(std::net::Shutdown::Write).unwrap();
    assert_eq!(rest(&mut tcp), "no line");
    let over = program.over();
    assert!(over.code() == Some(0) && over.stderr.contains("--exec-dup2: overlays are ignored"), "{over:?}");
}

/// Whether descriptor 7 of the child is non-blocking.
fn is_nonblocking(options: &[&str]) -> bool {
    let args = ["-b", "tcp-l:127.0.0.1:0", "cmd:grep flags /proc/self/fdinfo/7 >&7", "--exec-dup2", "7"];
    let (_program, port) = Program::listen(&[&args, options].concat());
    let flags = rest(&mut connect(port));
    i32::from_str_radix(flags.split_whitespace().nth(1).expect(&flags), 8).unwrap() & 0o4000 != 0
}

#[test]
fn exec_dup2_keep_nonblocking_keeps_it() {
    assert!(!is_nonblocking(&[]));
    assert!(is_nonblocking(&["--exec-dup2-keep-nonblocking"]));
}

#[test]
fn exec_dup2_execve_puts_the_child_in_the_place_of_the_program() {
    for (options, same) in [(&[][..], false), (&["--exec-dup2-execve"], true)] {
        let args = ["-b", "--oneshot", "tcp-l:127.0.0.1:0", "cmd:echo $$; cat", "--exec-dup2", "0,1"];
        let (program, port) = Program::listen(&[&args, options].concat());
        let mut tcp = connect(port);
        assert_eq!(line(&mut tcp) == program.id().to_string(), same);
        tcp.shutdown(std::net::Shutdown::Write).unwrap();
        assert_eq!(rest(&mut tcp), "");
        assert_eq!(program.over().code(), Some(0));
    }
    let args = ["-b", "tcp-l:127.0.0.1:0", "exec:/nonexistent/p", "--exec-dup2", "0,1,2", "--exec-dup2-execve"];
    let (program, port) = Program::listen(&args);
    assert_eq!(rest(&mut connect(port)), "", "messages are not for the peer");
    let over = program.over();
    assert_eq!(over.code(), Some(127));
    assert!(over.stderr.contains("cannot start `/nonexistent/p`"), "{}", over.stderr);
}

#[test]
fn options_without_a_child_are_told_to_be_useless() {
    let (over, _) = run(&["-b", "devnull:", "devnull:", "--exec-uid", "5"], b"");
    assert!(over.stderr.contains("there is no cmd: or exec: here"), "{}", over.stderr);
    let (over, _) = run(&["-b", "devnull:", "cmd:true", "--exec-dup2-execve"], b"");
    assert!(over.stderr.contains("without --exec-dup2"), "{}", over.stderr);
    let (over, _) = run(&["-b", "async-fd:0", "exec:true", "--exec-dup2", "5", "--exec-monitor-exits"], b"");
    assert!(over.stderr.contains("--exec-monitor-exits has no effect with --exec-dup2"), "{}", over.stderr);
}

#[test]
fn standard_error_of_children_passes_through() {
    let (over, said) = run(&["-b", "-", "cmd:echo good; echo bad >&2"], b"");
    assert_eq!((said.as_slice(), over.stderr.as_str()), (&b"good\n"[..], "bad\n"));
}

#[test]
fn a_child_that_cannot_start_ends_only_its_session() {
    let (over, _) = run(&["-b", "-", "exec:/nonexistent/p"], b"");
    assert_eq!(over.code(), Some(26));
    assert!(
        over.stderr.lines().count() == 1 && over.stderr.contains("cannot start `/nonexistent/p`: "),
        "{}",
        over.stderr
    );
    let (program, port) = Program::listen(&["-b", "tcp-l:127.0.0.1:0", "exec:/nonexistent/p"]);
    for _ in 0..3 {
        assert_eq!(rest(&mut connect(port)), "");
    }
    assert!(Path::new(&format!("/proc/{}", program.id())).exists());
    program.signal(Signal::TERM);
    assert_eq!(program.over().code(), Some(0));
}
