//! Names of interfaces on Linux.

use rustix::net::{AddressFamily, SocketType, netdevice::name_to_index, socket};
use std::io;

pub fn index_of(name: &str) -> io::Result<u32> {
    // Any socket will do: it says which network namespace is meant.
    let any = socket(AddressFamily::UNIX, SocketType::DGRAM, None)?;
    Ok(name_to_index(any, name)?)
}
