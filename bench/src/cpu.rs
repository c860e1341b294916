//! What std does not reach: CPU time of processes to the nanosecond, private memory, limits, one socket option.

use crate::Result;
use std::{
    fs, io,
    os::fd::AsRawFd,
    time::{Duration, Instant},
};

/// CPU time of all threads of process `pid`, those that ended included; its children are not.
pub fn of_process(pid: i32) -> Result<Duration> {
    let (mut clock, mut time) = (0, libc::timespec { tv_sec: 0, tv_nsec: 0 });
    // SAFETY: both calls write through pointers to locals that live across them.
    let failed =
        unsafe { libc::clock_getcpuclockid(pid, &mut clock) != 0 || libc::clock_gettime(clock, &mut time) != 0 };
    if failed {
        return Err(format!("process {pid} is gone, or its CPU clock cannot be read").into());
    }
    Ok(Duration::new(time.tv_sec as u64, time.tv_nsec as u32))
}

/// CPU time of this process.
pub fn own() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

/// Bytes of memory that only process `pid` has: Private_Clean + Private_Dirty.
pub fn private_memory(pid: i32) -> Result<u64> {
    let path = format!("/proc/{pid}/smaps_rollup");
    let text = fs::read_to_string(&path).map_err(|e| format!("{path}: {e}"))?;
    let kib = |name| -> Option<u64> {
        text.lines().find_map(|line| line.strip_prefix(name))?.trim().strip_suffix(" kB")?.parse().ok()
    };
    match (kib("Private_Clean:"), kib("Private_Dirty:")) {
        (Some(clean), Some(dirty)) => Ok((clean + dirty) * 1024),
        _ => Err(format!("{path} has no Private_Clean and Private_Dirty").into()),
    }
}

/// Raises the limit of open files to what the system allows this user.
pub fn raise_file_limit() {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: pointers to a local; on failure the limit stays as it was and opening files says so later.
    unsafe {
        if libc::getrlimit(libc::RLIMIT_NOFILE, &mut limit) == 0 {
            limit.rlim_cur = limit.rlim_max;
            libc::setrlimit(libc::RLIMIT_NOFILE, &limit);
        }
    }
}

/// Leaves the choice of a port to `connect`, which knows the other end and so need not search for one that is free for
/// all.
pub fn bind_without_port(socket: &impl AsRawFd) -> Result<()> {
    let on: libc::c_int = 1;
    let len = size_of_val(&on) as libc::socklen_t;
    // SAFETY: the pointer is to a local of the length given.
    let failed = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::IPPROTO_IP,
            libc::IP_BIND_ADDRESS_NO_PORT,
            (&raw const on).cast(),
            len,
        )
    };
    if failed == 0 { Ok(()) } else { Err(io::Error::last_os_error().into()) }
}

/// Clocks at one moment.
pub struct Reading {
    at: Instant,
    own: Duration,
    server: Option<Duration>,
}

/// What went between two readings.
pub struct Spent {
    pub wall: f64,
    /// Seconds of CPU of the server.
    pub server: Option<f64>,
}

impl Reading {
    pub fn take(server: Option<i32>) -> Result<Self> {
        Ok(Self { at: Instant::now(), own: own(), server: server.map(of_process).transpose()? })
    }

    /// Prints both sides' shares of a core.
    pub fn spent_until(&self, end: &Self) -> Spent {
        let wall = (end.at - self.at).as_secs_f64();
        println!("generator_cpu {:.3}", (end.own - self.own).as_secs_f64() / wall);
        let server = self.server.zip(end.server).map(|(start, end)| (end - start).as_secs_f64());
        if let Some(server) = server {
            println!("server_cpu {:.3}", server / wall);
        }
        Spent { wall, server }
    }
}
