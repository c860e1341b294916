//! Where only TCP has streams of the kernel.

use tokio::net::TcpStream;

pub type KernelStream = TcpStream;

pub fn is_tcp(_: &KernelStream) -> bool {
    true
}

/// Windows reports readiness by level and only again after EAGAIN, so the shortcut would lose an event.
pub fn short_means_empty(_: &KernelStream) -> bool {
    false
}
