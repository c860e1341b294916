//! Sockets: a read half, a write half, a hangup signal, what is known of them. Any half may be absent.

use crate::{
    datagram::{BoxDatagramRead, BoxDatagramWrite},
    hangup::Hangup,
    info::SocketInfo,
    net::kernel_stream::{KernelStream, unsent},
    stream::{BoxStreamRead, BoxStreamWrite},
};
use std::{
    future::{Future as _, poll_fn},
    io::{self, Read},
    pin::pin,
    sync::Arc,
    task::Poll,
    time::Duration,
};
use tokio::{io::Interest, time::sleep};

/// Most bytes that are thrown away when a session ends: a peer that goes on sending gets a reset in the end.
const UNREAD: usize = 1 << 20;

/// Between two looks at a connection of which unread data hides the end: nobody waits for that more urgently.
const LOOK: Duration = Duration::from_secs(1);

/// The kernel socket below a connection, shared with its halves: notices resets and makes them.
#[derive(Clone, Debug)]
pub struct Link(pub Arc<KernelStream>);

impl Link {
    /// Resolves when the connection broke: a reset by the peer, or a time-out of the kernel (keepalive, TCP_USER_TIMEOUT).
    /// It does so even while unread data waits and nobody reads; never for a FIN or a half-close of either side.
    ///
    /// It waits on the socket's own registration, without a second descriptor, and leaves the pending error where it is:
    /// whoever reads or writes next still gets the data that came before and then the very error. For that reason the
    /// error returned is always of kind `ConnectionReset`. While it lives it keeps the descriptor open. On Windows resets
    /// are not signalled this way: there it stays pending and reads and writes report them.
    pub async fn reset(self) -> io::Error {
        // EPOLLERR (EV_EOF with an error on kqueue) of a connected socket means a pending socket error, which only resets
        // and time-outs set. Nothing here turns on the error queue, its other cause. Asking SO_ERROR would clear the error
        // and let a reader take the reset for an orderly end.
        match self.0.ready(Interest::ERROR).await {
            Ok(_) => io::ErrorKind::ConnectionReset.into(),
            Err(e) => e, // the runtime is shutting down
        }
    }

    /// Resolves when the peer has left, as far as that can be told without reading: at once when the connection broke. An end of
    /// what it says may be a half-close of somebody who waits for an answer, so that it counts when `patience` is over.
    pub async fn left(self, patience: Duration) -> io::Error {
        let mut reset = pin!(self.clone().reset());
        let mut half_closed = pin!(async {
            self.half_closed().await;
            sleep(patience).await;
        });
        poll_fn(|cx| match reset.as_mut().poll(cx) {
            Poll::Ready(error) => Poll::Ready(error),
            Poll::Pending => half_closed.as_mut().poll(cx).map(|()| io::ErrorKind::ConnectionAborted.into()),
        })
        .await
    }

    /// Resolves when the peer has ended its direction, even while data waits unread.
    async fn half_closed(&self) {
        while let Ok(ready) = self.0.ready(Interest::READABLE).await
            && !ready.is_read_closed()
        {
            // Unread data keeps it ready, and nothing tells when the end comes behind that.
            sleep(LOOK).await;
        }
    }

    /// Throws away what has come and was not read, without waiting and up to a bound. For the end of a session:
    /// closing a socket with unread data makes the kernel reset it, and the peer would lose what it has not been sent yet.
    //= 6455-7.1.1-1
    pub fn discard_unread(&self) {
        let mut buf = [0; 4 << 10];
        for _ in 0..UNREAD / buf.len() {
            match (&*socket2::SockRef::from(&*self.0)).read(&mut buf) {
                Ok(n) if n > 0 => {}
                _ => return,
            }
        }
    }

    /// Bytes that were written and that the peer has not taken yet; None where the system does not say.
    pub fn unsent(&self) -> Option<usize> {
        unsent(&self.0)
    }

    /// Makes the coming close a reset (SO_LINGER 0), so that the peer sees what happened to the other side. UNIX sockets
    /// have no such option: there the peer sees a reset if something that it sent is unread, otherwise an end.
    pub fn reset_on_close(&self) -> io::Result<()> {
        socket2::SockRef::from(&*self.0).set_linger(Some(Duration::ZERO))
    }
}

/// A byte stream socket.
#[derive(Default)]
pub struct StreamSocket {
    pub read: Option<BoxStreamRead>,
    pub write: Option<BoxStreamWrite>,
    pub hangup: Option<Hangup>,
    pub link: Option<Link>,
    pub info: Arc<SocketInfo>,
}

/// A message socket.
#[derive(Default)]
pub struct DatagramSocket {
    pub read: Option<BoxDatagramRead>,
    pub write: Option<BoxDatagramWrite>,
    pub hangup: Option<Hangup>,
    pub link: Option<Link>,
    pub info: Arc<SocketInfo>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::tcp::{
        tcp_socket,
        tests::{BOUND, connection},
    };
    use std::{future::Future, pin::Pin};
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::TcpStream,
        time::timeout,
    };

    type Boxed = Pin<Box<dyn Future<Output = io::Error> + Send>>;

    fn watched(tcp: TcpStream) -> (StreamSocket, Boxed) {
        let socket = tcp_socket(tcp, SocketInfo::default());
        let reset = Box::pin(socket.link.clone().unwrap().reset());
        (socket, reset)
    }

    async fn is_pending(reset: &mut Boxed) -> bool {
        tokio::task::yield_now().await; // lets the reactor deliver what is there
        std::future::poll_fn(|cx| std::task::Poll::Ready(reset.as_mut().poll(cx).is_pending())).await
    }

    #[tokio::test]
    async fn reset_fires_with_unread_data_and_without_a_reader_and_leaves_data_and_error() {
        let (ours, mut theirs) = connection().await;
        let (mut socket, mut reset) = watched(ours);
        theirs.write_all(b"unread").await.unwrap();
        assert!(is_pending(&mut reset).await);
        Link(Arc::new(KernelStream::from(theirs))).reset_on_close().unwrap(); // and closed, as the link was its last owner
        assert_eq!(timeout(BOUND, reset).await.unwrap().kind(), io::ErrorKind::ConnectionReset);
        let read = socket.read.as_mut().unwrap();
        let mut buf = [0; 64];
        assert_eq!(read.read(&mut buf).await.unwrap(), 6);
        assert_eq!(read.read(&mut buf).await.unwrap_err().kind(), io::ErrorKind::ConnectionReset);
    }

    #[tokio::test]
    async fn reset_fires_after_the_peer_half_closed() {
        let (ours, mut theirs) = connection().await;
        let (mut socket, mut reset) = watched(ours);
        theirs.shutdown().await.unwrap();
        assert_eq!(timeout(BOUND, socket.read.as_mut().unwrap().read(&mut [0; 9])).await.unwrap().unwrap(), 0);
        assert!(is_pending(&mut reset).await);
        Link(Arc::new(KernelStream::from(theirs))).reset_on_close().unwrap();
        timeout(BOUND, reset).await.unwrap();
    }

    #[tokio::test]
    async fn who_has_left_is_told_from_who_has_half_closed() {
        let patience = Duration::from_millis(20);
        // A reset counts whatever the patience, an end only if there is some; unread data hides neither.
        for (resets, says, patience) in [
            (true, &b""[..], Duration::MAX),
            (true, b"unread", Duration::MAX),
            (false, b"", patience),
            (false, b"unread", patience),
        ] {
            let (ours, mut theirs) = connection().await;
            let (socket, _) = watched(ours);
            let mut left: Boxed = Box::pin(socket.link.clone().unwrap().left(patience));
            theirs.write_all(says).await.unwrap();
            assert!(is_pending(&mut left).await);
            let kind = if resets {
                Link(Arc::new(KernelStream::from(theirs))).reset_on_close().unwrap();
                io::ErrorKind::ConnectionReset
            } else {
                theirs.shutdown().await.unwrap();
                io::ErrorKind::ConnectionAborted
            };
            assert_eq!(timeout(BOUND, left).await.unwrap().kind(), kind);
        }
    }

    #[tokio::test]
    async fn reset_never_fires_for_orderly_ends() {
        // Their half-close, then ours: both directions end in order.
        let (ours, mut theirs) = connection().await;
        let (mut socket, mut reset) = watched(ours);
        theirs.shutdown().await.unwrap();
        assert_eq!(timeout(BOUND, socket.read.as_mut().unwrap().read(&mut [0; 9])).await.unwrap().unwrap(), 0);
        assert!(is_pending(&mut reset).await);
        socket.write.as_mut().unwrap().shutdown().await.unwrap();
        assert_eq!(timeout(BOUND, theirs.read(&mut [0; 9])).await.unwrap().unwrap(), 0);
        assert!(is_pending(&mut reset).await);
        drop(theirs);
        assert!(is_pending(&mut reset).await);
        // Our half-close first, then the peer closes.
        let (ours, mut theirs) = connection().await;
        let (mut socket, mut reset) = watched(ours);
        socket.write.as_mut().unwrap().shutdown().await.unwrap();
        assert_eq!(timeout(BOUND, theirs.read(&mut [0; 9])).await.unwrap().unwrap(), 0);
        drop(theirs);
        assert_eq!(timeout(BOUND, socket.read.as_mut().unwrap().read(&mut [0; 9])).await.unwrap().unwrap(), 0);
        assert!(is_pending(&mut reset).await);
    }
}
