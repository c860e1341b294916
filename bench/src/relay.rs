//! A relay that does nothing but move bytes inside the kernel: what forwarding costs at least.
//!
//! Two `splice` calls per piece, into a pipe and out of it, one blocking thread per direction, one connection after
//! another. No readiness, no time-outs, no resets: a reference, not a product.

use crate::{Result, arguments::Arguments, link};
use rustix::pipe::{PipeFlags, SpliceFlags, fcntl_setpipe_size, pipe_with, splice};
use std::{
    net::Shutdown,
    os::fd::{AsFd, OwnedFd},
    thread,
};

/// What the pipes of others hold, too.
const PIPE: usize = 1 << 20;

fn pump(from: impl AsFd, to: impl AsFd) -> Result<()> {
    let (read, write) = pipe_with(PipeFlags::CLOEXEC)?;
    fcntl_setpipe_size(&write, PIPE)?;
    loop {
        let mut held = splice(&from, None, &write, None, PIPE, SpliceFlags::MOVE)?;
        if held == 0 {
            return Ok(socket2::SockRef::from(&to.as_fd()).shutdown(Shutdown::Write)?);
        }
        while held > 0 {
            held -= splice(&read, None, &to, None, held, SpliceFlags::MOVE)?;
        }
    }
}

pub fn run(arguments: &Arguments) -> Result<()> {
    let listener = link::Listener::bind(arguments, "port", "path")?;
    loop {
        let one = OwnedFd::from(listener.accept()?);
        let other = OwnedFd::from(link::Link::dial(arguments, "backend", "backend-path")?);
        thread::scope(|scope| {
            // A peer that breaks off ends a direction; the next connection is none the worse.
            let back = scope.spawn(|| pump(&other, &one).map_err(|e| e.to_string()));
            if let Err(e) = pump(&one, &other) {
                eprintln!("relay: {e}");
            }
            if let Ok(Err(e)) = back.join() {
                eprintln!("relay: {e}");
            }
        });
    }
}
