//! `devnull:` and `empty:`: EOF at once, what is written is forgotten.

use crate::{
    datagram::{DatagramRead, DatagramWrite, Flags},
    socket::{DatagramSocket, StreamSocket},
};
use std::{
    io,
    task::{Context, Poll},
};

/// The byte stream kind, `devnull:`.
pub fn empty_stream() -> StreamSocket {
    StreamSocket {
        read: Some(Box::new(tokio::io::empty())),
        write: Some(Box::new(tokio::io::sink())),
        ..StreamSocket::default()
    }
}

/// The message kind, `empty:`.
pub fn empty_datagram() -> DatagramSocket {
    DatagramSocket { read: Some(Box::new(Empty)), write: Some(Box::new(Empty)), ..DatagramSocket::default() }
}

/// Never Pending. EOF: always. Takes every chunk whole and changes nothing.
struct Empty;

impl DatagramRead for Empty {
    fn poll_chunk(&mut self, _: &mut Context<'_>, _: usize) -> Poll<io::Result<Flags>> {
        Poll::Ready(Ok(Flags::EOF))
    }

    fn chunk_mut(&mut self) -> &mut [u8] {
        &mut []
    }

    fn consume(&mut self) {}

    fn for_each_inner(&mut self, _: &mut dyn FnMut(&mut dyn DatagramRead)) {}
}

impl DatagramWrite for Empty {
    fn poll_write(&mut self, _: &mut Context<'_>, _: &mut [u8], _: Flags) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_flush(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn keeps_borders(&self) -> bool {
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{collect_chunks, collect_stream, drive, write_chunks};

    #[test]
    fn both_kinds_end_at_once_and_take_everything() {
        drive(async {
            assert_eq!(collect_stream(&mut *empty_stream().read.unwrap()).await.unwrap(), b"");
            let socket = empty_datagram();
            let got = collect_chunks(&mut *socket.read.unwrap(), 1).await.unwrap();
            assert_eq!(got, [(vec![], Flags::EOF)]);
            let chunks = [(b"x".to_vec(), Flags::NONE), (vec![], Flags::EOF)];
            write_chunks(&mut *socket.write.unwrap(), &chunks).await.unwrap();
        });
    }
}
