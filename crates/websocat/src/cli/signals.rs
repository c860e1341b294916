//! Signals: the first SIGINT, SIGTERM or SIGHUP asks to finish in order, a second one ends the program at once.
//!
//! Handlers are set explicitly, so that it works as PID 1 as well. SIGHUP is left ignored where it was (nohup). SIGXFSZ, of a
//! file that would become larger than it may (`ulimit -f`), must not end the program: the write fails anyway. Ends of children
//! are heeded even where whoever started the program had them ignored. None of all these stays blocked. Outside Unix only
//! Ctrl-C is known.

#[cfg_attr(not(unix), path = "signals/elsewhere.rs")]
#[cfg_attr(unix, path = "signals/unix.rs")]
mod os;

pub use os::{Signals, heed_children, unblock};

/// A signal as people call it.
pub fn name(signal: u8) -> String {
    match signal {
        1 => "SIGHUP".into(),
        2 if cfg!(unix) => "SIGINT".into(),
        2 => "Ctrl-C".into(),
        15 => "SIGTERM".into(),
        other => format!("signal {other}"),
    }
}
