//! Socket options that only some systems have, outside Linux: what is not known to exist is unsupported.

use socket2::{Socket, TcpKeepalive};
use std::{io, time::Duration};

fn unsupported() -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

#[cfg(unix)]
pub fn reuseport(socket: &Socket, on: bool) -> io::Result<()> {
    socket.set_reuse_port(on)
}

#[cfg(not(unix))]
pub fn reuseport(_: &Socket, _: bool) -> io::Result<()> {
    unsupported()
}

#[cfg(unix)]
pub fn mss(socket: &Socket, n: u32) -> io::Result<()> {
    socket.set_tcp_mss(n)
}

#[cfg(not(unix))]
pub fn mss(_: &Socket, _: u32) -> io::Result<()> {
    unsupported()
}

#[cfg(unix)]
pub fn tclass_v6(socket: &Socket, class: u32) -> io::Result<()> {
    socket.set_tclass_v6(class)
}

#[cfg(not(unix))]
pub fn tclass_v6(_: &Socket, _: u32) -> io::Result<()> {
    unsupported()
}

pub fn bind_device(_: &Socket, _: &str) -> io::Result<()> {
    unsupported()
}

pub fn transparent(_: &Socket, _: bool, _: bool) -> io::Result<()> {
    unsupported()
}

pub fn freebind(_: &Socket, _: bool, _: bool) -> io::Result<()> {
    unsupported()
}

pub fn priority(_: &Socket, _: u32) -> io::Result<()> {
    unsupported()
}

pub fn mark(_: &Socket, _: u32) -> io::Result<()> {
    unsupported()
}

pub fn tcp_congestion(_: &Socket, _: &str) -> io::Result<()> {
    unsupported()
}

pub fn user_timeout(_: &Socket, _: Duration) -> io::Result<()> {
    unsupported()
}

pub fn cpu_affinity(_: &Socket, _: usize) -> io::Result<()> {
    unsupported()
}

pub fn thin_linear_timeouts(_: &Socket, _: bool) -> io::Result<()> {
    unsupported()
}

pub fn notsent_lowat(_: &Socket, _: u32) -> io::Result<()> {
    unsupported()
}

pub fn keepalive_interval(socket: &Socket, interval: Duration) -> io::Result<()> {
    socket.set_tcp_keepalive(&TcpKeepalive::new().with_interval(interval))
}

pub fn keepalive_retries(socket: &Socket, n: u32) -> io::Result<()> {
    socket.set_tcp_keepalive(&TcpKeepalive::new().with_retries(n))
}
