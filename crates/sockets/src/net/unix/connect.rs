//! Connecting to a UNIX socket.
//!
//! A connection waits in the listener's queue before it is accepted. When that is full a non-blocking connect(2) fails with
//! EAGAIN, and nothing tells when there is room again: it is tried once more after a pause that grows. Outside Linux it is
//! refused as where nobody listens.

use super::{UnixAddress, UnixConnectOptions, UnixError, system::WHY_REFUSED};
use crate::net::kernel_stream::KernelStream;
use rustix::io::Errno;
use socket2::Socket;
use std::{io, os::fd::OwnedFd, time::Duration};
use tokio::{
    net::UnixStream,
    time::{sleep, timeout},
};

/// First pause: a server that is busy accepts within less.
const FIRST_PAUSE: Duration = Duration::from_millis(1);
/// Longest pause: a queue that stays full costs ten system calls a second.
const LONGEST_PAUSE: Duration = Duration::from_millis(100);

/// Connects, inside a runtime. Dropping the future closes the socket.
pub async fn connect(address: &UnixAddress, options: &UnixConnectOptions) -> Result<KernelStream, UnixError> {
    match options.timeout {
        None => attempt(address, options).await,
        Some(limit) => timeout(limit, attempt(address, options))
            .await
            .unwrap_or_else(|_| Err(UnixError::TimedOut { address: Box::new(address.clone()), limit })),
    }
}

async fn attempt(address: &UnixAddress, options: &UnixConnectOptions) -> Result<KernelStream, UnixError> {
    const ACTION: &str = "connect to";
    let to = address.system()?;
    let socket = address.socket(ACTION)?;
    let refused = |source| UnixError::Option { address: Box::new(address.clone()), source };
    options.buffers.apply(&socket).map_err(refused)?;
    let mut pause = FIRST_PAUSE;
    let under_way = loop {
        match socket.connect(&to) {
            Ok(()) => break false,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) if e.raw_os_error() == Some(Errno::INPROGRESS.raw_os_error()) => break true,
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => {
                sleep(pause).await;
                pause = (pause * 2).min(LONGEST_PAUSE);
            }
            Err(e) => return Err(address.failed(ACTION, hint(&e))(e)),
        }
    };
    let stream = registered(socket).map_err(address.failed(ACTION, ""))?;
    if under_way {
        stream.writable().await.map_err(address.failed(ACTION, ""))?;
        if let Some(e) = stream.take_error().map_err(address.failed(ACTION, ""))? {
            return Err(address.failed(ACTION, hint(&e))(e));
        }
    }
    Ok(stream.into())
}

/// Gives the socket to the runtime.
pub(super) fn registered(socket: Socket) -> io::Result<UnixStream> {
    UnixStream::from_std(OwnedFd::from(socket).into())
}

fn hint(e: &io::Error) -> &'static str {
    if e.kind() == io::ErrorKind::ConnectionRefused {
        WHY_REFUSED
    } else if e.raw_os_error() == Some(Errno::PROTOTYPE.raw_os_error()) {
        "; it is a socket of another kind (unix: for streams, seqpacket: for SEQPACKET)"
    } else {
        ""
    }
}
