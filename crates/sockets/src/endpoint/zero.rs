//! `zero:`: zero bytes without end; what is written is forgotten.

use crate::{socket::StreamSocket, stream::StreamRead};
use tokio::io::Repeat;

/// A socket that never ends. Never Pending, except to let other tasks run.
pub fn zero() -> StreamSocket {
    StreamSocket {
        read: Some(Box::new(tokio::io::repeat(0))),
        write: Some(Box::new(tokio::io::sink())),
        ..StreamSocket::default()
    }
}

impl StreamRead for Repeat {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::drive;
    use tokio::io::AsyncReadExt;

    #[test]
    fn fills_any_buffer_with_zeros() {
        let mut buf = [1; 1000];
        drive(async { zero().read.unwrap().read_exact(&mut buf).await.unwrap() });
        assert_eq!(buf, [0; 1000]);
    }
}
