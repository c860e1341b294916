//! `random:`: random bytes without end; what is written is forgotten.

use crate::{overlay::read_limiter::poll_read_at_most, socket::StreamSocket, stream::StreamRead};
use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};
use tokio::io::{AsyncRead, ReadBuf, Repeat};

/// Fills a slice with the next bytes of a sequence.
pub type Fill = Box<dyn FnMut(&mut [u8]) + Send>;

/// A socket that gives what `fill` makes, in order, whatever the size of the reads.
pub fn random(fill: Fill) -> StreamSocket {
    StreamSocket {
        read: Some(Box::new(Random { fill, pace: tokio::io::repeat(0) })),
        write: Some(Box::new(tokio::io::sink())),
        ..StreamSocket::default()
    }
}

/// Most bytes per read: making them takes time, in which signals and other tasks wait.
const AT_ONCE: usize = 16 << 10;

/// Never Pending, except to let other tasks run; never EOF.
struct Random {
    fill: Fill,
    /// Yields as tokio wants endless sources to.
    pace: Repeat,
}

impl AsyncRead for Random {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        ready!(poll_read_at_most(&mut self.pace, cx, buf, AT_ONCE))?;
        (self.fill)(buf.filled_mut().get_mut(before..).unwrap_or_default());
        Poll::Ready(Ok(()))
    }
}

impl StreamRead for Random {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::drive;
    use tokio::io::AsyncReadExt;

    #[test]
    fn gives_the_sequence_in_order() {
        let mut next = 0u8;
        let mut reader = random(Box::new(move |buf| {
            for byte in buf {
                *byte = next;
                next = next.wrapping_add(7);
            }
        }))
        .read
        .unwrap();
        let mut all = Vec::new();
        drive(async {
            for size in [1, 0, 5, 100] {
                let mut buf = vec![0; size];
                reader.read_exact(&mut buf).await.unwrap();
                all.extend(buf);
            }
        });
        assert!(all.iter().enumerate().all(|(i, b)| *b == (i as u8).wrapping_mul(7)));
    }
}
