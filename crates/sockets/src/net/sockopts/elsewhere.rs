//! Socket options that only some systems have, outside Linux: what is not known to exist is unsupported.

use socket2::{InterfaceIndexOrAddress, Socket, TcpKeepalive};
use std::{io, net::Ipv4Addr, time::Duration};

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

pub fn multicast_all(_: &Socket, _: bool, _: bool) -> io::Result<()> {
    unsupported()
}

#[cfg(any(target_os = "macos", target_os = "freebsd", windows))]
pub fn join_source(socket: &Socket, source: &Ipv4Addr, group: &Ipv4Addr, interface: &Ipv4Addr) -> io::Result<()> {
    socket.join_ssm_v4(source, group, interface)
}

#[cfg(not(any(target_os = "macos", target_os = "freebsd", windows)))]
pub fn join_source(_: &Socket, _: &Ipv4Addr, _: &Ipv4Addr, _: &Ipv4Addr) -> io::Result<()> {
    unsupported()
}

#[cfg(any(target_os = "macos", target_os = "freebsd", windows))]
pub fn join_by_index(socket: &Socket, group: &Ipv4Addr, interface: &InterfaceIndexOrAddress) -> io::Result<()> {
    socket.join_multicast_v4_n(group, interface)
}

#[cfg(not(any(target_os = "macos", target_os = "freebsd", windows)))]
pub fn join_by_index(_: &Socket, _: &Ipv4Addr, _: &InterfaceIndexOrAddress) -> io::Result<()> {
    unsupported()
}
