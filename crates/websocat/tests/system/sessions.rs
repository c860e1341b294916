//! Two thousand sessions with a child each, a tenth of them cut by a reset: nothing is left of any.

use super::program::{Program, connect, line, reset, rest, until};
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
