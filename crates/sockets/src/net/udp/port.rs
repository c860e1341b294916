//! A UDP socket below one or many message sockets: receiving for one reader, sending for any number of writers.

use super::{Received, gso, os, tally::Tally};
use crate::wakers::Wakers;
use std::{
    io,
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll, ready},
};
use tokio::net::UdpSocket;

/// The socket with everybody who waits to send.
pub(super) struct Port {
    pub socket: UdpSocket,
    writers: Arc<Wakers>,
    /// Datagrams that the system had no room for.
    dropped: Mutex<Tally>,
}

impl Port {
    pub fn new(socket: UdpSocket) -> Self {
        Self { socket, writers: Arc::default(), dropped: Mutex::default() }
    }

    /// Ready when a datagram, or an error, may wait. For one task at a time.
    pub fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.socket.poll_recv_ready(cx)
    }

    /// Without waiting; `WouldBlock` when there is none.
    pub fn try_receive(&self, buf: &mut [u8]) -> io::Result<Received> {
        loop {
            match os::try_receive(&self.socket, buf) {
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                result => return result,
            }
        }
    }

    /// Sends `run` cut into datagrams of `size` bytes, the last one maybe shorter; without an address to whom the socket is
    /// connected. Pending: repeat with the same. What the system drops without sending it is as lost as anything on the way.
    pub fn poll_send(
        &self,
        cx: &mut Context<'_>,
        run: &[u8],
        size: usize,
        to: Option<SocketAddr>,
    ) -> Poll<io::Result<()>> {
        loop {
            let sent = match (u16::try_from(size), to) {
                (Ok(size), to) if usize::from(size) < run.len() => gso::try_send_run(&self.socket, run, size, to),
                // The system takes a datagram whole or not at all.
                (_, Some(to)) => self.socket.try_send_to(run, to).map(drop),
                (_, None) => self.socket.try_send(run).map(drop),
            };
            match sent {
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => {
                    ready!(self.writers.poll_with(cx, |cx| self.socket.poll_send_ready(cx)))?;
                }
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) if run.len() <= size && os::was_dropped(&e) => {
                    if let Some(n) = self.dropped.lock().unwrap_or_else(PoisonError::into_inner).note() {
                        tracing::warn!("{n} datagrams were dropped by this machine: {e}");
                    }
                    return Poll::Ready(Ok(()));
                }
                result => return Poll::Ready(result),
            }
        }
    }
}

/// An error that a datagram caused that was sent before: nobody is there, or no way leads there.
pub(super) fn is_of_an_earlier_datagram(e: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionRefused, ConnectionReset, HostUnreachable, NetworkUnreachable};
    matches!(e.kind(), ConnectionRefused | ConnectionReset | HostUnreachable | NetworkUnreachable)
}
