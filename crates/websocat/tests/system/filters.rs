//! Filters that are programs, and what becomes of both ends of a session when something on the way ends or breaks.

use super::program::{Program, connect, connect_ws, line, reset, run, server, write_frame};
use std::io::{ErrorKind, Read as _, Write as _};

#[test]
fn a_filter_that_has_enough_is_no_failure() {
    for (args, said) in [
        (&["-b", "-u", "--filter", "cmd:head -c 5", "zero:", "-"][..], &[0; 5][..]),
        (&["-b", "-U", "--filter-reverse", "cmd:head -c 5", "-", "zero:"], &[0; 5]),
        (&["-b", "-u", "--filter", "cat:", "--filter", "cmd:head -c 5", "zero:", "-"], &[0; 5]),
        (&["-t", "-u", "--filter", "cmd:head -n 1", "cmd:yes", "-"], b"y\n"),
    ] {
        let args: Vec<_> = args.iter().map(|arg| if *arg == "cat:" { "cmd:cat" } else { arg }).collect();
        let (over, out) = run(&args, b"");
        assert_eq!((over.code(), out.as_slice()), (Some(0), said), "{args:?}: {}", over.stderr);
        assert!(!over.stderr.contains("failed"), "{args:?}: {}", over.stderr);
    }
}

#[test]
fn a_reset_goes_through_filters() {
    for (left, filter, websocket) in [
        ("tcp-l:127.0.0.1:0", "mirror:", false),
        ("tcp-l:127.0.0.1:0", "cmd:cat", false),
        ("ws-l:127.0.0.1:0", "mirror:", true),
    ] {
        let (listener, right) = server();
        let (_program, port) = Program::listen(&["-t", "--filter", filter, left, &right]);
        let mut client = if websocket { connect_ws(port) } else { connect(port) };
        match websocket {
            true => write_frame(&mut client, 0x81, b"before"),
            false => client.write_all(b"before\n").unwrap(),
        }
        let (mut server, _) = listener.accept().unwrap();
        assert_eq!(line(&mut server), "before");
        reset(client);
        let end = server.read(&mut [0]).map_err(|e| e.kind());
        assert_eq!(end, Err(ErrorKind::ConnectionReset), "{left} {filter}");
    }
}
