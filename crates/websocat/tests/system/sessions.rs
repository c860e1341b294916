//! Two thousand sessions with a child each, a tenth of them cut by a reset: nothing is left of any.

use super::program::{CLOSE, Program, connect, connect_ws, frame, line, reset, rest, until, write_frame};
use std::{
    collections::BTreeSet, fs, io::Write as _, net::Shutdown, sync::atomic::AtomicUsize, sync::atomic::Ordering, thread,
};

const SESSIONS: usize = 2000;
/// At a time.
const CLIENTS: usize = 8;

/// Processes whose parent is this one, zombies included.
fn children(pid: u32) -> BTreeSet<u32> {
    let mut found = BTreeSet::new();
    for task in fs::read_dir(format!("/proc/{pid}/task")).unwrap() {
        let list = fs::read_to_string(task.unwrap().path().join("children")).unwrap_or_default();
        found.extend(list.split_whitespace().map(|id| id.parse::<u32>().unwrap()));
    }
    found
}

fn descriptors(pid: u32) -> usize {
    fs::read_dir(format!("/proc/{pid}/fd")).unwrap().count()
}

/// One that ends in order, or one that is cut while its child waits.
fn session(port: u16, cut: bool) {
    let mut tcp = connect(port);
    tcp.write_all(b"word\n").unwrap();
    assert_eq!(line(&mut tcp), "word");
    if cut {
        return reset(tcp);
    }
    tcp.shutdown(Shutdown::Write).unwrap();
    assert_eq!(rest(&mut tcp), "");
}

#[test]
fn two_thousand_sessions_leave_nothing() {
    let (program, port) = Program::listen(&["-q", "-b", "tcp-l:127.0.0.1:0", "exec:cat"]);
    // What the first one needs may stay.
    session(port, false);
    let pid = program.id();
    let start = until("the first session is over", || children(pid).is_empty().then(|| descriptors(pid)));
    let next = AtomicUsize::new(0);
    thread::scope(|scope| {
        for _ in 0..CLIENTS {
            scope.spawn(|| {
                loop {
                    let n = next.fetch_add(1, Ordering::Relaxed);
                    if n >= SESSIONS {
                        break;
                    }
                    session(port, n.is_multiple_of(10));
                }
            });
        }
    });
    until("no child is left", || children(pid).is_empty().then_some(()));
    until("no descriptor is left", || (descriptors(pid) <= start).then_some(()));
}

/// Clients that wait for a name of the registry at which nobody listens, and leave: by a reset, or by a Close.
#[test]
fn whoever_waits_for_a_name_and_leaves_is_let_go() {
    for (left, right, websocket) in [
        ("tcp-l:127.0.0.1:0", "regstr-c:nobody", false),
        ("tcp-l:127.0.0.1:0", "regsend:nobody", false),
        ("ws-l:127.0.0.1:0", "regdg-c:nobody", true),
        ("ws-l:127.0.0.1:0", "regsend:nobody", true),
    ] {
        let (program, port) = Program::listen(&["-b", left, right]);
        let pid = program.id();
        let start = descriptors(pid);
        let mut clients: Vec<_> = (0..120).map(|_| if websocket { connect_ws(port) } else { connect(port) }).collect();
        until("all clients are there", || (descriptors(pid) >= start + 120).then_some(()));
        for (n, mut client) in clients.drain(..).enumerate() {
            if !websocket || n % 2 == 0 {
                reset(client);
                continue;
            }
            write_frame(&mut client, 0x89, b"ping");
            assert_eq!(frame(&mut client), (0x8a, b"ping".to_vec()));
            write_frame(&mut client, CLOSE.0, CLOSE.1);
            assert_eq!(frame(&mut client), (CLOSE.0, CLOSE.1.to_vec()));
            assert_eq!(rest(&mut client), "");
        }
        until("all descriptors are given back", || (descriptors(pid) <= start).then_some(()));
        program.signal(rustix::process::Signal::TERM);
        let over = program.over();
        let warnings = over.stderr.lines().filter(|line| line.contains("wait for somebody to listen")).count();
        // Whether all have come so far before the first one leaves is a matter of luck.
        assert!(warnings <= 1, "{}", over.stderr);
    }
}
