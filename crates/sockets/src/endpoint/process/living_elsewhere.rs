//! Unix without a /proc that could be asked: a process that can be signalled counts as living.

use rustix::process::Pid;
use std::time::Instant;

pub fn is_alive(_: Pid, _: Instant) -> bool {
    true
}
