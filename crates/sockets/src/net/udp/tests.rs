//! UDP over the loopback interface, with real sockets.

use super::{
    server::{Server, ServerOptions},
    socket::{UdpSocketOptions, udp_socket},
    *,
};
use crate::{datagram::Flags, info::SocketInfo, net::tcp::tests::BOUND, socket::DatagramSocket};
use std::{
    future::{Future, poll_fn},
    io,
};
use tokio::{net::UdpSocket, time::timeout};

const ANY: &str = "127.0.0.1:0";

async fn soon<T>(future: impl Future<Output = T>) -> T {
    timeout(BOUND, future).await.expect("nothing comes")
}

async fn plain() -> (UdpSocket, SocketAddr) {
    let socket = UdpSocket::bind(ANY).await.unwrap();
    let address = socket.local_addr().unwrap();
    (socket, address)
}

async fn heard(socket: &UdpSocket) -> Vec<u8> {
    let mut buf = vec![0; LONGEST];
    let len = soon(socket.recv(&mut buf)).await.unwrap();
    buf.truncate(len);
    buf
}

fn options() -> UdpSocketOptions {
    UdpSocketOptions { max_send: LONGEST, ..UdpSocketOptions::default() }
}

fn connected(peer: SocketAddr, options: UdpSocketOptions) -> DatagramSocket {
    let socket = open(ANY.parse().unwrap(), Some(peer), &UdpOptions::default()).unwrap();
    udp_socket(socket, options, SocketInfo::default())
}

/// A bound socket with its address.
fn bound(target: Option<SocketAddr>, rules: PeerRules) -> (DatagramSocket, SocketAddr) {
    let socket = open(ANY.parse().unwrap(), None, &UdpOptions::default()).unwrap();
    let address = socket.local_addr().unwrap();
    let options = UdpSocketOptions { peers: Some((target, rules)), ..options() };
    (udp_socket(socket, options, SocketInfo::default()), address)
}

/// One message with its flags; the flags are those of the last part.
async fn read_with(socket: &mut DatagramSocket, max: usize) -> io::Result<(Vec<u8>, Flags, usize)> {
    let reader = socket.read.as_mut().unwrap();
    let (mut message, mut parts) = (Vec::new(), 0);
    loop {
        let flags = soon(poll_fn(|cx| reader.poll_chunk(cx, max))).await?;
        message.extend_from_slice(reader.chunk_mut());
        reader.consume();
        parts += 1;
        if flags.ends_message() {
            return Ok((message, flags, parts));
        }
    }
}

async fn read(socket: &mut DatagramSocket) -> Vec<u8> {
    read_with(socket, usize::MAX).await.unwrap().0
}

async fn write(socket: &mut DatagramSocket, message: &[u8], flags: Flags) -> io::Result<()> {
    let (writer, mut message) = (socket.write.as_mut().unwrap(), message.to_vec());
    soon(poll_fn(|cx| writer.poll_write(cx, &mut message, flags))).await
}

#[tokio::test]
async fn messages_are_datagrams() {
    let (peer, address) = plain().await;
    let mut socket = connected(address, UdpSocketOptions { text: true, ..options() });
    let long: Vec<u8> = (0..65_507u32).map(|n| n as u8).collect();
    for message in [&b"hello"[..], b"", &long] {
        write(&mut socket, message, Flags::NONE).await.unwrap();
        assert!(heard(&peer).await == message);
    }
    write(&mut socket, b"in ", Flags::PARTIAL).await.unwrap();
    write(&mut socket, b"no datagram", Flags::PING).await.unwrap();
    write(&mut socket, b"parts", Flags::TEXT).await.unwrap();
    assert_eq!(heard(&peer).await, b"in parts");
    let Some(crate::info::Address::Ip(from)) = socket.info.local.clone() else { panic!() };
    for (message, max, parts) in
        [(&b"hello"[..], usize::MAX, 1), (b"", 1, 1), (&long, 30_000, 3), (&long, usize::MAX, 1)]
    {
        peer.send_to(message, from).await.unwrap();
        let (got, flags, n) = read_with(&mut socket, max).await.unwrap();
        assert!(got == message && flags == Flags::TEXT && n == parts);
    }
    // The end is told to nobody, and others are not heard.
    write(&mut socket, b"", Flags::EOF).await.unwrap();
    poll_fn(|cx| socket.write.as_mut().unwrap().poll_shutdown(cx)).await.unwrap();
    plain().await.0.send_to(b"stranger", from).await.unwrap();
    peer.send_to(b"friend", from).await.unwrap();
    assert_eq!(read(&mut socket).await, b"friend");
}

#[tokio::test]
async fn a_message_over_the_limit_is_an_error_or_is_lost() {
    let (peer, address) = plain().await;
    for inhibit_send_errors in [false, true] {
        let mut socket = connected(address, UdpSocketOptions { max_send: 5, inhibit_send_errors, ..options() });
        let result = write(&mut socket, b"123456", Flags::NONE).await;
        assert_eq!(result.is_ok(), inhibit_send_errors);
        if let Err(e) = result {
            let source = e.get_ref().and_then(|e| e.downcast_ref());
            assert_eq!(source, Some(&UdpError::TooLong { limit: 5 }));
        }
        write(&mut socket, b"12345", Flags::NONE).await.unwrap();
        assert_eq!(heard(&peer).await, b"12345");
    }
}

#[cfg(unix)]
#[tokio::test]
async fn a_refusal_ends_the_direction_that_meets_it_unless_inhibited() {
    let (peer, address) = plain().await;
    drop(peer);
    let mut socket = connected(address, options());
    write(&mut socket, b"x", Flags::NONE).await.unwrap();
    let e = write(&mut socket, b"x", Flags::NONE).await.unwrap_err();
    assert_eq!(e.kind(), io::ErrorKind::ConnectionRefused);
    let mut socket = connected(address, UdpSocketOptions { inhibit_send_errors: true, ..options() });
    for _ in 0..3 {
        write(&mut socket, b"x", Flags::NONE).await.unwrap();
    }
    let peer = UdpSocket::bind(address).await.unwrap();
    let Some(crate::info::Address::Ip(from)) = socket.info.local.clone() else { panic!() };
    peer.send_to(b"here now", from).await.unwrap();
    assert_eq!(read(&mut socket).await, b"here now");
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn whoever_waits_for_an_answer_is_told_of_a_refusal() {
    for inhibit_send_errors in [false, true] {
        let (peer, address) = plain().await;
        drop(peer);
        let mut socket = connected(address, UdpSocketOptions { inhibit_send_errors, ..options() });
        let Some(crate::info::Address::Ip(from)) = socket.info.local.clone() else { panic!() };
        let mut sink = DatagramSocket { write: socket.write.take(), ..DatagramSocket::default() };
        let send = async {
            tokio::task::yield_now().await; // the reader waits by then
            write(&mut sink, b"x", Flags::NONE).await.unwrap();
            if inhibit_send_errors {
                UdpSocket::bind(address).await.unwrap().send_to(b"here now", from).await.unwrap();
            }
        };
        let (got, ()) = tokio::join!(read_with(&mut socket, usize::MAX), send);
        match got {
            Ok((message, ..)) => assert!(inhibit_send_errors && message == b"here now"),
            Err(e) => assert!(!inhibit_send_errors && e.kind() == io::ErrorKind::ConnectionRefused, "{e}"),
        }
    }
}

/// It became one that is connected; and it is polled for what happens, not all the time.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn whoever_locked_to_its_first_sender_is_told_of_its_refusal() {
    for inhibit_send_errors in [false, true] {
        let socket = open(ANY.parse().unwrap(), None, &UdpOptions::default()).unwrap();
        let address = socket.local_addr().unwrap();
        let rules = PeerRules { lock_to_first: true, ..PeerRules::default() };
        let options = UdpSocketOptions { peers: Some((None, rules)), inhibit_send_errors, ..options() };
        let mut socket = udp_socket(socket, options, SocketInfo::default());
        let (peer, from) = plain().await;
        peer.send_to(b"first", address).await.unwrap();
        assert_eq!(read(&mut socket).await, b"first");
        drop(peer);
        let mut sink = DatagramSocket { write: socket.write.take(), ..DatagramSocket::default() };
        let send = async {
            tokio::task::yield_now().await; // the reader waits by then
            write(&mut sink, b"x", Flags::NONE).await.unwrap();
            if inhibit_send_errors {
                UdpSocket::bind(from).await.unwrap().send_to(b"here now", address).await.unwrap();
            }
        };
        let (mut polls, mut reading) = (0, Box::pin(read_with(&mut socket, usize::MAX)));
        let counted = poll_fn(|cx| {
            polls += 1;
            reading.as_mut().poll(cx)
        });
        let (got, ()) = tokio::join!(counted, send);
        match got {
            Ok((message, ..)) => assert!(inhibit_send_errors && message == b"here now"),
            Err(e) => assert!(!inhibit_send_errors && e.kind() == io::ErrorKind::ConnectionRefused, "{e}"),
        }
        assert!(polls < 20, "{polls}");
    }
}

#[tokio::test]
async fn answers_go_to_the_last_sender() {
    let (mut socket, address) = bound(None, PeerRules { redirect: true, ..PeerRules::default() });
    write(&mut socket, b"for nobody", Flags::NONE).await.unwrap();
    let [(a, _), (b, _)] = [plain().await, plain().await];
    for peer in [&a, &b, &a] {
        peer.send_to(b"hello", address).await.unwrap();
        assert_eq!(read(&mut socket).await, b"hello");
        write(&mut socket, b"answer", Flags::NONE).await.unwrap();
        assert_eq!(heard(peer).await, b"answer");
    }
}

#[tokio::test]
async fn the_first_sender_stays_the_only_one() {
    let (mut socket, address) = bound(None, PeerRules { lock_to_first: true, ..PeerRules::default() });
    let [(a, _), (b, _)] = [plain().await, plain().await];
    a.send_to(b"first", address).await.unwrap();
    // Still in the queue of the socket when it is connected.
    b.send_to(b"stranger", address).await.unwrap();
    assert_eq!(read(&mut socket).await, b"first");
    b.send_to(b"stranger", address).await.unwrap();
    a.send_to(b"second", address).await.unwrap();
    assert_eq!(read(&mut socket).await, b"second");
    write(&mut socket, b"answer", Flags::NONE).await.unwrap();
    assert_eq!(heard(&a).await, b"answer");
}

#[tokio::test]
async fn a_fixed_target_hears_everything_and_may_be_the_only_one_heard() {
    let [(a, target), (b, _)] = [plain().await, plain().await];
    for allow_others in [false, true] {
        let (mut socket, address) = bound(Some(target), PeerRules { allow_others, ..PeerRules::default() });
        write(&mut socket, b"unasked", Flags::NONE).await.unwrap();
        assert_eq!(heard(&a).await, b"unasked");
        b.send_to(b"other", address).await.unwrap();
        a.send_to(b"target", address).await.unwrap();
        if allow_others {
            assert_eq!(read(&mut socket).await, b"other");
        }
        assert_eq!(read(&mut socket).await, b"target");
        write(&mut socket, b"again", Flags::NONE).await.unwrap();
        assert_eq!(heard(&a).await, b"again");
    }
}

#[tokio::test]
async fn a_server_answers_from_the_socket_that_was_asked() {
    let sockets = ["127.0.0.1:0", "127.0.0.1:0", "[::1]:0"]
        .iter()
        .filter_map(|address| open(address.parse().unwrap(), None, &UdpOptions::default()).ok());
    let mut server = Server::new(sockets.collect(), ServerOptions::default());
    let addresses = server.addresses();
    assert!(addresses.len() >= 2);
    let mut open = Vec::new();
    for address in addresses {
        let any: SocketAddr = if address.is_ipv4() { ANY.parse().unwrap() } else { "[::1]:0".parse().unwrap() };
        let client = UdpSocket::bind(any).await.unwrap();
        client.connect(address).await.unwrap();
        client.send(b"question").await.unwrap();
        let (mut socket, from) = soon(poll_fn(|cx| server.poll_next(cx))).await;
        assert_eq!(from, client.local_addr().unwrap());
        assert_eq!(read(&mut socket).await, b"question");
        write(&mut socket, b"answer", Flags::NONE).await.unwrap();
        assert_eq!(heard(&client).await, b"answer");
        open.push((client, socket));
    }
    // Somebody who is not there any more does no harm.
    let (gone, mut socket) = open.remove(0);
    drop(gone);
    write(&mut socket, b"anybody?", Flags::NONE).await.unwrap();
    let (client, mut socket) = open.remove(0);
    client.send(b"still here").await.unwrap();
    let next = tokio::spawn(async move { poll_fn(|cx| server.poll_next(cx)).await });
    assert_eq!(read(&mut socket).await, b"still here");
    next.abort();
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn options_reach_the_kernel() {
    use crate::net::sockopts::RouteOptions;
    let mut options = UdpOptions { cpu_affinity: Some(0), ..UdpOptions::default() };
    options.bind_options.reuseport = true;
    options.route_options = RouteOptions { ttl: Some(33), tos_v4: Some(0x10), priority: Some(3), ..Default::default() };
    options.datagram_options.broadcast = true;
    let socket = open(ANY.parse().unwrap(), None, &options).unwrap();
    let kernel = socket2::SockRef::from(&socket);
    assert!(kernel.reuse_port().unwrap() && kernel.broadcast().unwrap());
    assert_eq!((kernel.ttl_v4().unwrap(), kernel.tos_v4().unwrap(), kernel.priority().unwrap()), (33, 0x10, 3));
    assert!(kernel.recv_buffer_size().unwrap() >= 212_992, "{}", kernel.recv_buffer_size().unwrap());
    options.route_options.recv_buffer_size = Some(10_000);
    let adopted = adopt(std::net::UdpSocket::bind(ANY).unwrap(), &options).unwrap();
    let kernel = socket2::SockRef::from(&adopted);
    assert_eq!((kernel.recv_buffer_size().unwrap(), kernel.ttl_v4().unwrap()), (20_000, 33));
}

#[test]
fn what_cannot_be_opened_is_named() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let _inside = runtime.enter();
    let e = open("192.0.2.1:0".parse().unwrap(), None, &UdpOptions::default()).unwrap_err();
    assert!(e.to_string().starts_with("cannot bind a UDP socket to 192.0.2.1:0: "), "{e}");
    let mut options = UdpOptions::default();
    options.route_options.ttl = Some(7777);
    let e = open(ANY.parse().unwrap(), None, &options).unwrap_err();
    assert!(e.to_string().contains("cannot set socket option ttl"), "{e}");
}
