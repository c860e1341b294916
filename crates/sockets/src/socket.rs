//! Sockets: a read half, a write half, a hangup signal, what is known of them. Any half may be absent.

use crate::{
    datagram::{BoxDatagramRead, BoxDatagramWrite},
    hangup::Hangup,
    info::SocketInfo,
    stream::{BoxStreamRead, BoxStreamWrite},
};
use std::{io, sync::Arc, time::Duration};
use tokio::{io::Interest, net::TcpStream};

/// The kernel socket below a connection, shared with its halves: notices resets and makes them.
#[derive(Clone, Debug)]
pub enum Link {
    Tcp(Arc<TcpStream>),
}

impl Link {
    /// Resolves when the peer reset the connection, even while unread data waits; never for an orderly FIN. Registered on
    /// the socket's own registration, without a second descriptor.
    pub async fn reset(self) -> io::Error {
        let Self::Tcp(tcp) = self;
        loop {
            if let Err(e) = tcp.ready(Interest::ERROR).await {
                return e;
            }
            match tcp.take_error() {
                Ok(Some(e)) | Err(e) => return e,
                // An error queue event (MSG_ERRQUEUE) or a peer that both ended and read everything: not a reset.
                Ok(None) => {
                    if tcp.try_io(Interest::ERROR, || Err::<(), _>(io::ErrorKind::WouldBlock.into())).is_ok() {
                        return io::ErrorKind::ConnectionReset.into();
                    }
                }
            }
        }
    }

    /// Makes the coming close a reset (SO_LINGER 0), so that the peer sees what happened to the other side.
    pub fn reset_on_close(&self) -> io::Result<()> {
        let Self::Tcp(tcp) = self;
        socket2::SockRef::from(&**tcp).set_linger(Some(Duration::ZERO))
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
