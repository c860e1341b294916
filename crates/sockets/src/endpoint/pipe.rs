//! Two connected sockets in memory: what one end writes the other one reads, at the pace of the reader.
//!
//! Made of two mirrors each, but for one thing: writing to an end that is gone is an error, as with any connection.

use super::{
    mirror_datagram::{MirrorDatagramOptions, datagram_pipe},
    mirror_stream::stream_pipe,
};
use crate::{
    info::SocketInfo,
    socket::{DatagramSocket, StreamSocket},
};
use std::sync::Arc;

/// Two ends of bytes, with at most so many of them on the way in each direction, up to 256 KiB.
pub fn stream_pair(max_buf_size: usize, specifiers: [&str; 2]) -> [StreamSocket; 2] {
    let (there, back) = (stream_pipe(max_buf_size), stream_pipe(max_buf_size));
    let [near, far] = specifiers.map(info);
    let end = |read, write, info| StreamSocket {
        read: Some(Box::new(read)),
        write: Some(Box::new(write)),
        info,
        ..StreamSocket::default()
    };
    [end(back.0, there.1, near), end(there.0, back.1, far)]
}

/// Two ends of messages, with all their flags. A reader that does not keep up stops the writer after a few batches.
pub fn datagram_pair(specifiers: [&str; 2]) -> [DatagramSocket; 2] {
    let pipe = || datagram_pipe(MirrorDatagramOptions::default());
    let (there, back) = (pipe(), pipe());
    let [near, far] = specifiers.map(info);
    let end = |read, write, info| DatagramSocket {
        read: Some(Box::new(read)),
        write: Some(Box::new(write)),
        info,
        ..DatagramSocket::default()
    };
    [end(back.0, there.1, near), end(there.0, back.1, far)]
}

/// Each direction ends by itself, so that nobody needs to linger.
fn info(specifier: &str) -> Arc<SocketInfo> {
    Arc::new(SocketInfo { specifier: Some(specifier.into()), half_close: true, ..SocketInfo::default() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        datagram::Flags,
        testing::{collect_chunks, drive, schedules, write_chunks},
    };
    use std::{future::poll_fn, io};
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    #[tokio::test]
    async fn bytes_go_both_ways_within_the_bound() {
        let [mut a, mut b] = stream_pair(10, ["a", "b"]);
        assert_eq!((a.info.describe(), b.info.describe()), ("a".into(), "b".into()));
        let (mut a_write, mut b_write) = (a.write.take().unwrap(), b.write.take().unwrap());
        assert_eq!(a_write.write(&[1; 100]).await.unwrap(), 10);
        assert_eq!(b_write.write(b"back").await.unwrap(), 4);
        let mut got = [0; 100];
        assert_eq!(b.read.as_mut().unwrap().read(&mut got).await.unwrap(), 10);
        assert_eq!(a.read.as_mut().unwrap().read(&mut got).await.unwrap(), 4);
        a_write.shutdown().await.unwrap();
        assert_eq!(b.read.as_mut().unwrap().read(&mut got).await.unwrap(), 0);
        // The other direction goes on until nobody reads it.
        b_write.write_all(b"more").await.unwrap();
        drop(a);
        assert_eq!(b_write.write(b"x").await.unwrap_err().kind(), io::ErrorKind::BrokenPipe);
    }

    #[test]
    fn messages_go_through_whole_however_they_are_cut() {
        let chunks = [
            (b"hello".to_vec(), Flags::TEXT),
            (b"par".to_vec(), Flags::PARTIAL),
            (b"ping".to_vec(), Flags::PING),
            (b"t".to_vec(), Flags::NONE),
            (vec![], Flags::NONE),
            (b"\x03\xe8".to_vec(), Flags::EOF),
        ];
        for schedule in schedules() {
            let [a, b] = datagram_pair(["a", "b"]);
            let mut write = schedule.datagram_write_half(a.write.unwrap());
            let mut read = schedule.datagram_read_half(b.read.unwrap());
            let (got, written) = drive(async {
                // The join wakes both.
                tokio::join!(collect_chunks(&mut *read, usize::MAX), write_chunks(&mut *write, &chunks))
            });
            written.unwrap();
            assert_eq!(crate::testing::messages(&got.unwrap()), crate::testing::messages(&chunks), "{schedule:?}");
        }
    }

    #[test]
    fn messages_for_nobody_are_an_error() {
        let [a, b] = datagram_pair(["a", "b"]);
        drop(b);
        let mut write = a.write.unwrap();
        let error = drive(poll_fn(|cx| write.poll_write(cx, &mut [1], Flags::NONE))).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
        let got = drive(collect_chunks(&mut *a.read.unwrap(), 9)).unwrap();
        assert_eq!(got, [(vec![], Flags::EOF)]);
    }
}
