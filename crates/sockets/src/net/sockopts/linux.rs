//! Socket options that only some systems have: Linux has them all.

use socket2::{InterfaceIndexOrAddress, Socket, TcpKeepalive};
use std::{io, net::Ipv4Addr, time::Duration};

pub fn reuseport(socket: &Socket, on: bool) -> io::Result<()> {
    socket.set_reuse_port(on)
}

pub fn bind_device(socket: &Socket, name: &str) -> io::Result<()> {
    socket.bind_device(Some(name.as_bytes()))
}

pub fn transparent(socket: &Socket, v6: bool, on: bool) -> io::Result<()> {
    if v6 { socket.set_ip_transparent_v6(on) } else { socket.set_ip_transparent_v4(on) }
}

pub fn freebind(socket: &Socket, v6: bool, on: bool) -> io::Result<()> {
    if v6 { socket.set_freebind_v6(on) } else { socket.set_freebind_v4(on) }
}

pub fn tclass_v6(socket: &Socket, class: u32) -> io::Result<()> {
    socket.set_tclass_v6(class)
}

pub fn priority(socket: &Socket, n: u32) -> io::Result<()> {
    socket.set_priority(n)
}

pub fn mark(socket: &Socket, n: u32) -> io::Result<()> {
    socket.set_mark(n)
}

pub fn mss(socket: &Socket, n: u32) -> io::Result<()> {
    socket.set_tcp_mss(n)
}

pub fn tcp_congestion(socket: &Socket, name: &str) -> io::Result<()> {
    socket.set_tcp_congestion(name.as_bytes())
}

pub fn user_timeout(socket: &Socket, limit: Duration) -> io::Result<()> {
    socket.set_tcp_user_timeout(Some(limit))
}

pub fn cpu_affinity(socket: &Socket, cpu: usize) -> io::Result<()> {
    socket.set_cpu_affinity(cpu)
}

pub fn thin_linear_timeouts(socket: &Socket, on: bool) -> io::Result<()> {
    socket.set_tcp_thin_linear_timeouts(on)
}

pub fn notsent_lowat(socket: &Socket, n: u32) -> io::Result<()> {
    socket.set_tcp_notsent_lowat(n)
}

pub fn keepalive_interval(socket: &Socket, interval: Duration) -> io::Result<()> {
    socket.set_tcp_keepalive(&TcpKeepalive::new().with_interval(interval))
}

pub fn keepalive_retries(socket: &Socket, n: u32) -> io::Result<()> {
    socket.set_tcp_keepalive(&TcpKeepalive::new().with_retries(n))
}

pub fn multicast_all(socket: &Socket, v6: bool, all: bool) -> io::Result<()> {
    if v6 { socket.set_multicast_all_v6(all) } else { socket.set_multicast_all_v4(all) }
}

pub fn join_source(socket: &Socket, source: &Ipv4Addr, group: &Ipv4Addr, interface: &Ipv4Addr) -> io::Result<()> {
    socket.join_ssm_v4(source, group, interface)
}

pub fn join_by_index(socket: &Socket, group: &Ipv4Addr, interface: &InterfaceIndexOrAddress) -> io::Result<()> {
    socket.join_multicast_v4_n(group, interface)
}
