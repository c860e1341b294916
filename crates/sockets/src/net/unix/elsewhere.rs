//! Where there are no UNIX sockets: everything is refused.

use super::{BufferOptions, SeqpacketOptions, UnixAddress, UnixConnectOptions, UnixError, UnixListenOptions};
use crate::{
    info::SocketInfo,
    net::{inherited_socket::InheritedSocket, kernel_stream::KernelStream},
    socket::DatagramSocket,
};
use std::{convert::Infallible, io};

const WHAT: &str = "UNIX sockets";

pub async fn connect(_: &UnixAddress, _: &UnixConnectOptions) -> Result<KernelStream, UnixError> {
    Err(UnixError::Unsupported(WHAT))
}

/// There is none.
pub struct UnixListener(Infallible);

impl UnixListener {
    pub fn bind(_: UnixAddress, _: &UnixListenOptions) -> Result<Self, UnixError> {
        Err(UnixError::Unsupported(WHAT))
    }

    pub fn adopt(_: InheritedSocket, _: BufferOptions) -> io::Result<Self> {
        Err(UnixError::Unsupported(WHAT).into())
    }

    pub fn name(&self) -> &str {
        match self.0 {}
    }

    pub async fn accept(&mut self) -> io::Result<(KernelStream, SocketInfo)> {
        match self.0 {}
    }
}

pub fn seqpacket_socket(_: KernelStream, _: SocketInfo, _: &SeqpacketOptions) -> DatagramSocket {
    DatagramSocket::default()
}

pub fn remove_socket_files() {}
