//! Which process groups have living members: the kernel delivers signals to zombies as well, and whose parent does not reap
//! them may stay one for ever (an init that does not know its task, in a container).
//!
//! /proc says it. One look serves all children for a while, since it costs system calls for each process of the machine.

use rustix::process::Pid;
use std::{
    collections::BTreeSet,
    fs,
    path::Path,
    process,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

/// EPERM means that somebody lives there: zombies take signals.
pub const ZOMBIES_REFUSE: bool = false;

/// As long as one look is good for; what has ended meanwhile is noticed by the next one.
const FRESH: Duration = Duration::from_millis(100);

struct Look {
    at: Instant,
    /// None: /proc cannot be read.
    groups: Option<BTreeSet<i32>>,
}

static LAST: Mutex<Option<Look>> = Mutex::new(None);

/// A process of this group, which was led by a child of this process `since` then, goes on.
pub fn is_alive(group: Pid, since: Instant) -> bool {
    let mut last = LAST.lock().unwrap_or_else(PoisonError::into_inner);
    // One from before that group says nothing. Later nobody joins it but what its members start.
    if last.as_ref().is_none_or(|look| look.at < since || look.at.elapsed() > FRESH) {
        *last = Some(Look { at: Instant::now(), groups: living_groups() });
    }
    let groups = last.as_ref().and_then(|look| look.groups.as_ref());
    groups.is_none_or(|groups| groups.contains(&group.as_raw_nonzero().get()))
}

/// Those of our session: where the number of a group was given to somebody else meanwhile, that is in another one.
///
/// The session is read where those of the others are, since getsid(2) gives 0 where the session's leader is outside of our
/// PID namespace, which rustix takes for impossible.
fn living_groups() -> Option<BTreeSet<i32>> {
    // One that is of another PID namespace has other numbers than the kernel gives us.
    if fs::read_link("/proc/self").ok()? != Path::new(&process::id().to_string()) {
        return None;
    }
    let session = Member::of(&fs::read_to_string("/proc/self/stat").ok()?)?.session;
    let mut groups = BTreeSet::new();
    for entry in fs::read_dir("/proc").ok()?.filter_map(Result::ok) {
        let is_process = entry.file_name().as_encoded_bytes().iter().all(u8::is_ascii_digit);
        // One that ended since it was listed has no file any more.
        if let (true, Ok(stat)) = (is_process, fs::read(entry.path().join("stat")))
            && let Some(member) = Member::of(&String::from_utf8_lossy(&stat))
            && member.lives
            && member.session == session
        {
            groups.insert(member.group);
        }
    }
    Some(groups)
}

/// What a process belongs to, from its /proc/PID/stat.
#[derive(Debug, PartialEq, Eq)]
struct Member {
    group: i32,
    /// 0 where its leader is not in our PID namespace.
    session: i32,
    /// It is no zombie.
    lives: bool,
}

impl Member {
    fn of(stat: &str) -> Option<Self> {
        // The name, in parentheses, may contain everything.
        let mut fields = stat.rsplit_once(')')?.1.split_ascii_whitespace();
        let state = fields.next()?;
        let group = fields.nth(1)?.parse().ok()?;
        let session = fields.next()?.parse().ok()?;
        Some(Self { group, session, lives: !matches!(state, "Z" | "X" | "x") })
    }
}

#[cfg(test)]
mod tests {
    use super::Member;

    #[test]
    fn fields_of_a_process() {
        let member = |group, session, lives| Some(Member { group, session, lives });
        assert_eq!(Member::of("7 (a) S 9 (b) R 1 5 3 0 -1"), member(5, 3, true));
        assert_eq!(Member::of("7 (sh) S 1 5 0 0 -1"), member(5, 0, true));
        assert_eq!(Member::of("7 (sh) Z 1 5 3 0 -1"), member(5, 3, false));
        for broken in ["", "7 (sh", "7 (sh) S 1", "7 (sh) S 1 x 3"] {
            assert_eq!(Member::of(broken), None, "{broken}");
        }
    }
}
