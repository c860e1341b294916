//! A UDP socket below one or many message sockets: receiving for one reader, sending for any number of writers.

use super::{Received, gso, os, tally::Tally};
use crate::wakers::Wakers;
use std::{
    future::Future,
    io,
    net::SocketAddr,
    pin::Pin,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering::Acquire, Ordering::Release},
    },
    task::{Context, Poll, ready},
};
use tokio::net::UdpSocket;

/// Until there is room again.
type Room = Pin<Box<dyn Future<Output = io::Result<()>> + Send>>;

/// The socket with everybody who waits to send.
pub(super) struct Port {
    pub socket: UdpSocket,
    writers: Arc<Wakers>,
    /// Datagrams that the system had no room for.
    dropped: Mutex<Tally>,
    /// The socket's own registration is of no use for now: `room` waits in its place.
    crowded: AtomicBool,
    room: Mutex<Option<Room>>,
}

impl Port {
    pub fn new(socket: UdpSocket) -> Self {
        Self {
            socket,
            writers: Arc::default(),
            dropped: Mutex::default(),
            crowded: AtomicBool::new(false),
            room: Mutex::new(None),
        }
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
        let mut in_vain = false;
        loop {
            let sent = match (u16::try_from(size), to) {
                (Ok(size), to) if usize::from(size) < run.len() => gso::try_send_run(&self.socket, run, size, to),
                // The system takes a datagram whole or not at all.
                (_, Some(to)) => self.socket.try_send_to(run, to).map(drop),
                (_, None) => self.socket.try_send(run).map(drop),
            };
            match sent {
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => {
                    ready!(self.writers.poll_with(cx, |cx| self.poll_room(cx, in_vain)))?;
                    in_vain = true;
                }
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) if run.len() <= size && os::was_dropped(&e) => {
                    self.has_room();
                    if let Some(n) = self.dropped.lock().unwrap_or_else(PoisonError::into_inner).note() {
                        tracing::warn!("{n} datagrams were dropped by this machine: {e}");
                    }
                    return Poll::Ready(Ok(()));
                }
                result => {
                    self.has_room();
                    return Poll::Ready(result);
                }
            }
        }
    }

    /// Ready when something may be sent again. `in_vain`: it was ready just now, and nothing could be sent.
    ///
    /// An error of an earlier datagram makes the socket's registration say for ever that it is ready (it stands for the end of
    /// a stream, which it is for others): whoever believed that would spin while the buffer is full. Then a second one, of a
    /// copy of the descriptor, tells when there is room.
    fn poll_room(&self, cx: &mut Context<'_>, in_vain: bool) -> Poll<io::Result<()>> {
        if !in_vain && !self.crowded.load(Acquire) {
            return self.socket.poll_send_ready(cx);
        }
        let mut room = self.room();
        self.crowded.store(true, Release);
        let waits = match &mut *room {
            Some(waits) => waits,
            None => {
                let copy = socket2::SockRef::from(&self.socket).try_clone()?;
                let copy = UdpSocket::from_std(copy.into())?;
                room.insert(Box::pin(async move { copy.writable().await }))
            }
        };
        let result = ready!(waits.as_mut().poll(cx));
        *room = None;
        Poll::Ready(result)
    }

    /// Something was sent, or failed for another reason than want of room.
    fn has_room(&self) {
        if self.crowded.load(Acquire) {
            self.crowded.store(false, Release);
            *self.room() = None;
            // Others may have waited with the registration that is gone.
            self.writers.wake_all();
        }
    }

    fn room(&self) -> MutexGuard<'_, Option<Room>> {
        self.room.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An error that a datagram caused that was sent before: nobody is there, or no way leads there.
pub(super) fn is_of_an_earlier_datagram(e: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionRefused, ConnectionReset, HostUnreachable, NetworkUnreachable};
    matches!(e.kind(), ConnectionRefused | ConnectionReset | HostUnreachable | NetworkUnreachable)
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;
    use crate::net::tcp::tests::BOUND;
    use rustix::net::{AddressFamily, SocketFlags, SocketType, connect_unspec, socketpair};
    use std::{
        future::poll_fn,
        os::fd::OwnedFd,
        sync::atomic::{AtomicUsize, Ordering::SeqCst},
    };
    use tokio::{io::Interest, task::yield_now, time::timeout};

    /// A datagram socket whose buffer can be filled, as one to an address on this machine cannot; the system tells it of an
    /// error when its peer forgets it.
    fn pair() -> (Port, OwnedFd) {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let (ours, theirs) = socketpair(AddressFamily::UNIX, SocketType::DGRAM, flags, None).unwrap();
        (Port::new(UdpSocket::from_std(ours.into()).unwrap()), theirs)
    }

    /// Counts how often the task had to look.
    async fn send(port: &Port, polls: &AtomicUsize) -> io::Result<()> {
        poll_fn(|cx| {
            polls.fetch_add(1, SeqCst);
            port.poll_send(cx, b"x", 1, None)
        })
        .await
    }

    #[tokio::test]
    async fn a_full_buffer_after_an_error_is_waited_for_without_spinning() {
        let (port, theirs) = pair();
        let port = Arc::new(port);
        send(&port, &AtomicUsize::new(0)).await.unwrap();
        // It is told that this message is lost.
        connect_unspec(&theirs).unwrap();
        timeout(BOUND, port.socket.ready(Interest::ERROR)).await.expect("no error").unwrap();
        let error = send(&port, &AtomicUsize::new(0)).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
        for round in 0..3 {
            let polls = Arc::new(AtomicUsize::new(0));
            let filled = tokio::spawn({
                let (port, polls) = (port.clone(), polls.clone());
                async move {
                    // Until it had to wait.
                    let mut before = 0;
                    while polls.load(SeqCst) <= before + 1 {
                        before = polls.load(SeqCst);
                        send(&port, &polls).await.unwrap();
                    }
                }
            });
            for _ in 0..100 {
                yield_now().await;
            }
            let before = polls.load(SeqCst);
            assert!(before > 1 && !filled.is_finished());
            for _ in 0..1000 {
                yield_now().await;
            }
            let more = polls.load(SeqCst) - before;
            assert!(more <= 2, "round {round}: looked {more} times more");
            while rustix::io::read(&theirs, &mut [0; 9]).is_ok() {}
            timeout(BOUND, filled).await.expect("is not woken").unwrap();
            // Nothing is left behind for the next time.
            assert!(port.room.lock().unwrap().is_none());
        }
    }
}
