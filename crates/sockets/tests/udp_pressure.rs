//! A UDP server while large buffers are scarce in the whole process, so that this test has a process of its own.

mod tcp;

use sockets::{
    buffer::{LARGEST, Window, under_pressure},
    net::udp::{
        UdpOptions, open,
        server::{Server, ServerOptions},
    },
    socket::DatagramSocket,
};
use std::{
    future::{Future, poll_fn},
    net::UdpSocket,
    task::{Context, Poll, Waker},
};
use tokio::time::timeout;

const ANY: &str = "127.0.0.1:0";
/// Longer than what an empty queue takes whatever happens.
const LARGE: usize = 60_000;

async fn soon<T>(what: impl Future<Output = T>) -> T {
    timeout(tcp::PATIENCE, what).await.expect("nobody waits for ever")
}

/// The length of the next datagram, while the server goes on.
async fn read(server: &mut Server, socket: &mut DatagramSocket) -> usize {
    let reader = socket.read.as_mut().unwrap();
    let next = poll_fn(|cx| {
        assert!(server.poll_next(cx).is_pending(), "one client only");
        reader.poll_chunk(cx, usize::MAX)
    });
    assert!(soon(next).await.unwrap().ends_message());
    let len = reader.chunk_mut().len();
    reader.consume();
    len
}

/// A server, its first client, and the client's socket there.
async fn begun(backpressure: bool, first: usize) -> (Server, UdpSocket, DatagramSocket) {
    let socket = open(ANY.parse().unwrap(), None, &UdpOptions::default()).unwrap();
    let mut server = Server::new(vec![socket], ServerOptions { backpressure, ..ServerOptions::default() });
    let client = UdpSocket::bind(ANY).unwrap();
    client.connect(server.addresses()[0]).unwrap();
    client.send(&vec![7; first]).unwrap();
    let (socket, _) = soon(poll_fn(|cx| server.poll_next(cx))).await;
    (server, client, socket)
}

#[tokio::test]
async fn with_backpressure_a_large_datagram_for_nobody_else_is_kept_and_others_wait() {
    let mut pinned = Vec::new();
    while !under_pressure() {
        let mut window = Window::new(3);
        window.reserve(LARGEST);
        pinned.push(window);
    }
    // Nothing waits for this client, so that nobody would ever wake the server: it is taken.
    let (mut server, client, mut socket) = begun(true, LARGE).await;
    assert_eq!(read(&mut server, &mut socket).await, LARGE);
    // The same later; what is behind it waits until it was read, and all of them come.
    for n in 1..4 {
        client.send(&vec![7; LARGE + n]).unwrap();
    }
    for n in 1..4 {
        assert_eq!(read(&mut server, &mut socket).await, LARGE + n);
    }
    // Without, it is dropped, and small ones are not.
    let (mut server, client, mut socket) = begun(false, LARGE).await;
    client.send(b"small").unwrap();
    assert_eq!(read(&mut server, &mut socket).await, 5);
    let mut cx = Context::from_waker(Waker::noop());
    let reader = socket.read.as_mut().unwrap();
    assert!(matches!(reader.poll_chunk(&mut cx, usize::MAX), Poll::Pending));
}
