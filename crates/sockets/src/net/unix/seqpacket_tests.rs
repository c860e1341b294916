//! SEQPACKET over real sockets of the kernel: messages of every length, empty ones, ends, limits.

use super::*;
use crate::{
    net::tcp::tests::BOUND,
    testing::{Chunk, collect_chunks},
};
use socket2::{Domain, SockRef, Socket, Type};
use std::{
    future::{Future, poll_fn},
    os::fd::OwnedFd,
};
use tokio::{net::UnixStream, time::timeout};

fn options() -> SeqpacketOptions {
    SeqpacketOptions { text: false, max_send: 1 << 20, grows: true }
}

/// Our end, and the peer's as a plain blocking socket.
fn socket_and_peer(options: &SeqpacketOptions) -> (DatagramSocket, Socket) {
    let (ours, theirs) = Socket::pair(Domain::UNIX, Type::SEQPACKET, None).unwrap();
    ours.set_nonblocking(true).unwrap();
    let ours = UnixStream::from_std(OwnedFd::from(ours).into()).unwrap();
    theirs.set_read_timeout(Some(BOUND)).unwrap();
    (seqpacket_socket(ours.into(), SocketInfo::default(), options), theirs)
}

async fn bounded<T>(future: impl Future<Output = T>) -> T {
    timeout(BOUND, future).await.unwrap()
}

fn chunk(bytes: &[u8], flags: Flags) -> Chunk {
    (bytes.to_vec(), flags)
}

fn pattern(len: usize) -> Vec<u8> {
    (0..len).map(|i| (i * 7 + i / 251) as u8).collect()
}

async fn write(socket: &mut DatagramSocket, bytes: &[u8], flags: Flags) -> io::Result<()> {
    let mut bytes = bytes.to_vec();
    let writer = socket.write.as_mut().unwrap();
    bounded(poll_fn(|cx| writer.poll_write(cx, &mut bytes, flags))).await
}

#[tokio::test]
async fn messages_keep_their_borders_in_whatever_pieces_they_are_taken() {
    for text in [false, true] {
        for max in [0, 1, 3, 5, usize::MAX] {
            let (mut socket, peer) = socket_and_peer(&SeqpacketOptions { text, ..options() });
            for message in [&b"one"[..], b"", b"three", b""] {
                peer.send(message).unwrap();
            }
            peer.send(b"last").unwrap();
            peer.shutdown(Shutdown::Write).unwrap();
            let chunks = bounded(collect_chunks(&mut **socket.read.as_mut().unwrap(), max)).await.unwrap();
            let joined = crate::testing::messages(&chunks);
            let kind = if text { Flags::TEXT } else { Flags::NONE };
            let expected = [&b"one"[..], b"", b"three", b"", b"last"].map(|bytes| chunk(bytes, kind));
            assert_eq!(joined[..5], expected, "{max}");
            assert_eq!(joined[5..], [chunk(b"", Flags::EOF)]);
            assert!(chunks.iter().all(|(bytes, _)| bytes.len() <= max.max(1)));
        }
    }
}

#[tokio::test]
async fn an_empty_message_is_no_end_and_the_end_is_one_for_ever() {
    let (mut socket, peer) = socket_and_peer(&options());
    let read = socket.read.as_mut().unwrap();
    peer.send(b"").unwrap();
    assert_eq!(bounded(poll_fn(|cx| read.poll_chunk(cx, 9))).await.unwrap(), Flags::NONE);
    assert!(read.chunk_mut().is_empty());
    read.consume();
    drop(peer);
    for _ in 0..3 {
        assert_eq!(bounded(poll_fn(|cx| read.poll_chunk(cx, 9))).await.unwrap(), Flags::EOF);
        read.consume();
    }
}

#[tokio::test]
async fn long_messages_arrive_whole_and_too_long_ones_are_an_error() {
    // Only somebody who may raise limits can send so much at once.
    let force =
        |socket: &Socket, len: usize| rustix::net::sockopt::set_socket_send_buffer_size_force(socket, len).is_ok();
    for len in [LARGEST - 1, LARGEST, LARGEST + 1, MAX_MESSAGE, MAX_MESSAGE + 1] {
        let (mut socket, peer) = socket_and_peer(&options());
        if !force(&peer, 2 * len) {
            eprintln!("not allowed to raise the send buffer: left out");
            return;
        }
        let message = pattern(len);
        peer.send(&message).unwrap();
        drop(peer);
        let read = socket.read.as_mut().unwrap();
        // Byte by byte it takes no longer than in order.
        let max = if len == LARGEST + 1 { 1 } else { usize::MAX };
        let chunks = bounded(collect_chunks(&mut **read, max)).await;
        if len > MAX_MESSAGE {
            let error = chunks.unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::InvalidData);
            assert!(error.to_string().contains("longer than the 1048576 bytes"), "{error}");
            assert_eq!(bounded(poll_fn(|cx| read.poll_chunk(cx, 9))).await.unwrap(), Flags::EOF);
            continue;
        }
        let chunks = chunks.unwrap();
        assert!(crate::testing::messages(&chunks) == [(message, Flags::NONE), chunk(b"", Flags::EOF)], "{len}");
    }
}

#[tokio::test]
async fn parts_are_sent_as_one_message_and_the_end_is_told() {
    let (mut socket, peer) = socket_and_peer(&options());
    write(&mut socket, b"in ", Flags::PARTIAL).await.unwrap();
    write(&mut socket, b"never a message", Flags::PING).await.unwrap();
    write(&mut socket, b"parts", Flags::TEXT).await.unwrap();
    write(&mut socket, b"", Flags::NONE).await.unwrap();
    write(&mut socket, b"\x03\xe8", Flags::EOF).await.unwrap();
    let mut got = [0; 64];
    let mut peer = &peer;
    let mut receive = || io::Read::read(&mut peer, &mut got).map(|n| got[..n].to_vec()).unwrap();
    assert_eq!((receive(), receive()), (b"in parts".to_vec(), vec![]));
    let writer = socket.write.as_mut().unwrap();
    for _ in 0..2 {
        bounded(poll_fn(|cx| writer.poll_shutdown(cx))).await.unwrap();
    }
    assert_eq!(receive(), b"");
    peer.send(b"the other direction goes on").unwrap();
    let read = socket.read.as_mut().unwrap();
    bounded(poll_fn(|cx| read.poll_chunk(cx, 99))).await.unwrap();
    assert_eq!(read.chunk_mut(), b"the other direction goes on");
}

#[tokio::test]
async fn what_cannot_be_sent_is_said_and_the_next_message_goes() {
    let (mut socket, peer) = socket_and_peer(&SeqpacketOptions { max_send: 10, ..options() });
    let error = write(&mut socket, b"eleven bytes", Flags::NONE).await.unwrap_err();
    assert!(error.to_string().contains(SEND_LIMIT), "{error}");
    write(&mut socket, b"ten bytes.", Flags::NONE).await.unwrap();
    assert_eq!(peer.recv(&mut [std::mem::MaybeUninit::uninit(); 64]).unwrap(), 10);

    // Over what the system ever allows without privileges.
    let (mut socket, peer) = socket_and_peer(&SeqpacketOptions { max_send: 1 << 30, ..options() });
    let len = 64 << 20;
    let error = write(&mut socket, &vec![1; len], Flags::NONE).await.unwrap_err();
    assert_eq!(error.to_string(), SeqpacketError::TooLong { len }.to_string());
    assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
    write(&mut socket, b"short", Flags::NONE).await.unwrap();
    assert_eq!(peer.recv(&mut [std::mem::MaybeUninit::uninit(); 64]).unwrap(), 5);
}

#[tokio::test]
async fn the_send_buffer_grows_for_a_message_that_needs_it() {
    let (mut socket, peer) = socket_and_peer(&options());
    let kernel = socket.link.as_ref().unwrap().0.clone();
    let ours = SockRef::from(&*kernel);
    ours.set_send_buffer_size(4096).unwrap();
    let message = pattern(100_000);
    write(&mut socket, &message, Flags::NONE).await.unwrap();
    let mut got = vec![0; 200_000];
    assert_eq!(io::Read::read(&mut &peer, &mut got).unwrap(), message.len());
    assert!(got.starts_with(&message));
    // A message that needs more than the once that it may grow is refused, and so is one where it may not.
    let (mut socket, _peer) = socket_and_peer(&SeqpacketOptions { grows: false, ..options() });
    SockRef::from(&*socket.link.as_ref().unwrap().0.clone()).set_send_buffer_size(4096).unwrap();
    let error = write(&mut socket, &message, Flags::NONE).await.unwrap_err();
    assert_eq!(error.to_string(), SeqpacketError::TooLong { len: message.len() }.to_string());
}

#[tokio::test]
async fn a_slow_peer_is_waited_for() {
    let (mut socket, peer) = socket_and_peer(&options());
    let message = pattern(60_000);
    let mut sent = 0;
    loop {
        let mut bytes = message.clone();
        let writer = socket.write.as_mut().unwrap();
        let polled = poll_fn(|cx| Poll::Ready(writer.poll_write(cx, &mut bytes, Flags::NONE))).await;
        match polled {
            Poll::Ready(result) => result.unwrap(),
            Poll::Pending => break,
        }
        sent += 1;
        assert!(sent < 1000, "no bound");
    }
    let reading = std::thread::spawn(move || {
        let mut got = vec![0; 100_000];
        (0..=sent).map(|_| io::Read::read(&mut &peer, &mut got).unwrap()).collect::<Vec<_>>()
    });
    write(&mut socket, &message, Flags::NONE).await.unwrap();
    assert_eq!(reading.join().unwrap(), vec![message.len(); sent + 1]);
}

#[tokio::test]
async fn a_reset_is_noticed_and_idle_sockets_own_no_buffer() {
    let (mut socket, peer) = socket_and_peer(&options());
    peer.send(b"hello").unwrap();
    let mut read = SeqpacketRead::new(socket.link.as_ref().unwrap().0.clone(), false);
    assert_eq!(bounded(poll_fn(|cx| read.poll_chunk(cx, 9))).await.unwrap(), Flags::NONE);
    assert!(read.window.room() > 0);
    read.consume();
    assert!(poll_fn(|cx| Poll::Ready(read.poll_chunk(cx, 9).is_pending())).await);
    assert_eq!((read.window.room(), read.beyond.capacity()), (0, 0));
    // Something that the peer does not read.
    write(&mut socket, b"unread", Flags::NONE).await.unwrap();
    drop(peer);
    let reset = bounded(socket.link.clone().unwrap().reset()).await;
    assert_eq!(reset.kind(), io::ErrorKind::ConnectionReset);
    let error = bounded(poll_fn(|cx| read.poll_chunk(cx, 9))).await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
}
