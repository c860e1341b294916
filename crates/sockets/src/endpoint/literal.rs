//! `literal:`: given bytes, then EOF; what is written is forgotten.

use crate::{socket::StreamSocket, stream::StreamRead};
use bytes::{Buf, Bytes};
use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
};
use tokio::io::{AsyncRead, ReadBuf};

/// A socket that gives `bytes` and ends.
pub fn literal(bytes: impl Into<Bytes>) -> StreamSocket {
    StreamSocket {
        read: Some(Box::new(Literal { rest: bytes.into() })),
        write: Some(Box::new(tokio::io::sink())),
        ..StreamSocket::default()
    }
}

/// Never Pending. EOF: after the last byte. Drop midway: the rest was not for anybody else.
struct Literal {
    rest: Bytes,
}

impl AsyncRead for Literal {
    fn poll_read(mut self: Pin<&mut Self>, _: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let n = self.rest.len().min(buf.remaining());
        buf.put_slice(self.rest.get(..n).unwrap_or_default());
        self.rest.advance(n);
        Poll::Ready(Ok(()))
    }
}

impl StreamRead for Literal {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{collect_stream, drive};
    use tokio::io::AsyncWriteExt;

    #[test]
    fn gives_its_bytes_and_takes_everything() {
        let socket = literal(&b"hello"[..]);
        drive(async {
            assert_eq!(collect_stream(&mut *socket.read.unwrap()).await.unwrap(), b"hello");
            let mut write = socket.write.unwrap();
            write.write_all(b"gone").await.unwrap();
            write.shutdown().await.unwrap();
        });
    }
}
