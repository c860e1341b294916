//! UNIX stream sockets as only Linux has them: sizes of buffers, queues that are waited for, descriptors that peers send along.

use super::*;
use sockets::net::unix::BufferOptions;
use std::{
    io::{IoSlice, Read as _, Write as _},
    os::fd::{AsFd as _, AsRawFd as _},
};

#[tokio::test]
async fn buffers_are_those_that_were_asked_for() {
    let directory = directory();
    let path = directory.path().join("s");
    let buffers = BufferOptions { send_buffer_size: Some(20_000), recv_buffer_size: Some(30_000) };
    let mut listener =
        UnixListener::bind(at(&path), &UnixListenOptions { buffers, backlog: Some(7), ..Default::default() }).unwrap();
    let client = connect(&at(&path), &UnixConnectOptions { buffers, ..Default::default() }).await.unwrap();
    let (server, _) = bounded(listener.accept()).await.unwrap();
    for socket in [client, server] {
        let socket = socket2::SockRef::from(&socket);
        // The kernel doubles them.
        assert_eq!((socket.send_buffer_size().unwrap(), socket.recv_buffer_size().unwrap()), (40_000, 60_000));
    }
    let refused = BufferOptions { send_buffer_size: Some(usize::MAX), recv_buffer_size: None };
    let e = error(connect(&at(&path), &UnixConnectOptions { buffers: refused, ..Default::default() }).await);
    assert!(e.contains("send_buffer_size"), "{e}");
}

/// Elsewhere a full queue refuses.
#[tokio::test]
async fn a_full_queue_is_waited_for_and_the_wait_is_bounded() {
    let directory = directory();
    let path = directory.path().join("s");
    let mut listener =
        UnixListener::bind(at(&path), &UnixListenOptions { backlog: Some(0), ..Default::default() }).unwrap();
    let _first = StdStream::connect(&path).unwrap();
    let limit = Duration::from_millis(50);
    let short = UnixConnectOptions { timeout: Some(limit), ..Default::default() };
    let e = error(connect(&at(&path), &short).await);
    assert!(e.contains("stayed full for 50ms"), "{e}");
    let address = at(&path);
    let waiting = tokio::spawn(async move { connect(&address, &UnixConnectOptions::default()).await });
    bounded(listener.accept()).await.unwrap();
    bounded(listener.accept()).await.unwrap();
    bounded(waiting).await.unwrap().unwrap();
}

/// A peer may send descriptors along: the kernel stops reading there, and closes them.
#[tokio::test]
async fn descriptors_that_come_along_neither_stop_the_stream_nor_stay() {
    use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};
    let send = |socket: &StdStream, bytes: &[u8]| {
        let (read, write) = std::io::pipe().unwrap();
        let mut space = [std::mem::MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        let rights = [write.as_fd()];
        assert!(control.push(SendAncillaryMessage::ScmRights(&rights)));
        sendmsg(socket, &[IoSlice::new(bytes)], &mut control, SendFlags::empty()).unwrap();
        read
    };
    for spliced in [false, true] {
        let ((mut theirs, ours), (b, right)) = (StdStream::pair().unwrap(), pair());
        ours.set_nonblocking(true).unwrap();
        let ours = UnixStream::from_std(ours).unwrap();
        assert!(ours.as_raw_fd() > 2);
        let mut pipes = vec![];
        for bytes in [b"one ", b"two "] {
            pipes.push(send(&theirs, bytes));
        }
        theirs.write_all(b"three").unwrap();
        let mut left = kernel_socket(ours.into(), SocketInfo::default());
        let mut got = [0; 13];
        let mut b = b;
        let session = if spliced {
            let exchange = ExchangeBytes::new(left, right, ExchangeBytesOptions::default(), Stop::new());
            let session = tokio::spawn(exchange);
            bounded(b.read_exact(&mut got)).await.unwrap();
            Some(session)
        } else {
            bounded(left.read.as_mut().unwrap().read_exact(&mut got)).await.unwrap();
            None
        };
        assert_eq!(&got, b"one two three", "{spliced}");
        // Nobody holds the other ends any more.
        for mut pipe in pipes {
            assert_eq!(pipe.read(&mut [0]).unwrap(), 0);
        }
        drop((session, theirs));
    }
}
