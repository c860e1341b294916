//! UDP from the command line: who is heard and answered, limits of the server.
//!
//! The program runs in this process; its peers are sockets of ours on the loopback interface. That something is not heard
//! is seen by what is heard after it: datagrams of one sender keep their order there.

use super::client_limits::serve;
use clap::Parser as _;
use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, UdpSocket},
    time::timeout,
};
use websocat::{cli::Args, plan};

/// Bounds a hang, not a duration.
const PATIENCE: Duration = Duration::from_secs(30);
/// For what shall not come: long enough that it would.
const SILENCE: Duration = Duration::from_millis(200);

/// Why the command line has no script.
pub(super) fn refused(line: &[&str]) -> String {
    let line = [&["websocat"], line].concat().into_iter().map(std::ffi::OsString::from);
    let args = Arc::new(Args::try_parse_from(plan::arguments(line)).unwrap());
    let planned = plan::parse(&args).and_then(|mut planned| {
        plan::rewrite(&mut planned)?;
        plan::print(&planned)
    });
    planned.unwrap_err().to_string()
}

async fn soon<T>(future: impl Future<Output = T>) -> T {
    timeout(PATIENCE, future).await.expect("nothing comes")
}

pub(super) struct Peer(pub UdpSocket);

impl Peer {
    pub async fn new() -> Self {
        Self(UdpSocket::bind("127.0.0.1:0").await.unwrap())
    }

    pub async fn say(&self, to: SocketAddr, text: &str) {
        self.0.send_to(text.as_bytes(), to).await.unwrap();
    }

    pub async fn hears(&self) -> String {
        let mut buf = vec![0; 65_536];
        let len = soon(self.0.recv(&mut buf)).await.unwrap();
        String::from_utf8(buf[..len].to_vec()).unwrap()
    }

    pub async fn asks(&self, to: SocketAddr, text: &str) -> String {
        self.say(to, text).await;
        self.hears().await
    }

    pub async fn hears_nothing(&self) -> bool {
        timeout(SILENCE, self.0.recv(&mut [0; 1])).await.is_err()
    }
}

/// A UDP socket of ours that the program is to send to, and where it is. For tokio it is once the program runs.
fn receiver() -> (std::net::UdpSocket, SocketAddr) {
    let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_nonblocking(true).unwrap();
    let address = socket.local_addr().unwrap();
    (socket, address)
}

/// The same for one that accepts TCP connections.
fn backend() -> (std::net::TcpListener, SocketAddr) {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

/// The program's bound socket with its options against a mirror.
fn bound<F: Future<Output = ()>>(options: &[&str], clients: impl FnOnce(SocketAddr) -> F) {
    serve(&[&["-b", "udp-l:127.0.0.1:0", "mirror:"], options].concat(), clients);
}

/// A server that sends back.
fn echo<F: Future<Output = ()>>(options: &[&str], clients: impl FnOnce(SocketAddr) -> F) {
    serve(&[&["-b", "udp-server:127.0.0.1:0", "mirror:"], options].concat(), clients);
}

#[test]
fn the_first_sender_is_the_only_one() {
    for options in [&[][..], &["--udp-bind-connect-to-first-seen-address"]] {
        bound(options, |address| async move {
            let (a, b) = (Peer::new().await, Peer::new().await);
            assert_eq!(a.asks(address, "a").await, "a");
            b.say(address, "b").await;
            assert_eq!(a.asks(address, "again").await, "again");
            assert!(b.hears_nothing().await);
        });
    }
}

/// With a target that is not the only one, the first sender takes its place.
#[test]
fn the_first_sender_replaces_the_target() {
    serve_with_target(&["--udp-bind-connect-to-first-seen-address"], |target, other, address| async move {
        assert_eq!(other.asks(address, "other").await, "other");
        target.say(address, "target").await;
        assert_eq!(other.asks(address, "again").await, "again");
        assert!(target.hears_nothing().await);
    });
}

#[test]
fn the_last_sender_is_answered() {
    bound(&["--udp-bind-redirect-to-last-seen-address"], |address| async move {
        let (a, b) = (Peer::new().await, Peer::new().await);
        for peer in [&a, &b, &a] {
            assert_eq!(peer.asks(address, "hello").await, "hello");
        }
    });
}

fn serve_with_target<F: Future<Output = ()>>(options: &[&str], clients: impl FnOnce(Peer, Peer, SocketAddr) -> F) {
    let (target, text) = receiver();
    let text = text.to_string();
    let options = [&["--udp-bind-target-addr", &text], options].concat();
    bound(&options, |address| async move {
        clients(Peer(UdpSocket::from_std(target).unwrap()), Peer::new().await, address).await;
    });
}

#[test]
fn a_target_hears_what_others_say() {
    serve_with_target(&[], |target, other, address| async move {
        other.say(address, "from the other").await;
        assert_eq!(target.hears().await, "from the other");
        assert!(other.hears_nothing().await);
    });
}

#[test]
fn the_target_may_be_the_only_one_heard() {
    serve_with_target(&["--udp-bind-restrict-to-one-address"], |target, other, address| async move {
        other.say(address, "from the other").await;
        assert_eq!(target.asks(address, "from the target").await, "from the target");
    });
    let e = refused(&["-b", "udp-l:127.0.0.1:0", "mirror:", "--udp-bind-restrict-to-one-address"]);
    assert!(e.contains("--udp-bind-target-addr"), "{e}");
    let both = ["--udp-bind-restrict-to-one-address", "--udp-bind-redirect-to-last-seen-address"];
    let line = [&["-b", "udp-l:127.0.0.1:0", "mirror:", "--udp-bind-target-addr", "127.0.0.1:5"], &both[..]].concat();
    assert!(refused(&line).contains("hears one address only"));
}

#[test]
fn what_is_too_long_ends_the_session_or_is_lost() {
    let limit = ["--udp-max-send-datagram-size", "5"];
    echo(&limit, |address| async move {
        let peer = Peer::new().await;
        assert_eq!(peer.asks(address, "12345").await, "12345");
        peer.say(address, "123456").await;
        assert!(peer.hears_nothing().await);
        // The server goes on.
        assert_eq!(peer.asks(address, "1").await, "1");
    });
    bound(&[&limit[..], &["--udp-bind-inhibit-send-errors"]].concat(), |address| async move {
        let peer = Peer::new().await;
        peer.say(address, "123456").await;
        assert_eq!(peer.asks(address, "1").await, "1");
    });
}

/// What the limit is when nobody says anything, and that it can be raised.
#[test]
fn long_messages() {
    for (options, len) in [(&[][..], 4096), (&["--udp-max-send-datagram-size", "65507"], 65_507)] {
        bound(options, |address| async move {
            let (peer, message) = (Peer::new().await, "x".repeat(len));
            assert!(peer.asks(address, &message).await == message);
        });
    }
}

#[test]
fn each_client_of_a_server_has_a_session() {
    echo(&[], |address| async move {
        let peers = [Peer::new().await, Peer::new().await, Peer::new().await];
        for (i, peer) in peers.iter().chain(&peers).enumerate() {
            let text = format!("{i}");
            assert_eq!(peer.asks(address, &text).await, text);
        }
        // Empty datagrams are messages, too.
        assert_eq!(peers[0].asks(address, "").await, "");
        // A burst that comes at once.
        for i in 0..64 {
            peers[1].say(address, &format!("{i}").repeat(700)).await;
        }
        for i in 0..64 {
            assert!(peers[1].hears().await == format!("{i}").repeat(700), "{i}");
        }
    });
}

/// Sessions of a server with a TCP backend end when the client is let go: the backend sees the end.
fn with_backend<F: Future<Output = ()>>(
    left: &str,
    options: &[&str],
    clients: impl FnOnce(SocketAddr, TcpListener) -> F,
) {
    let (backend, address) = backend();
    let right = format!("tcp:{address}");
    serve(&[&["-b", left, &right], options].concat(), |address| async move {
        clients(address, TcpListener::from_std(backend).unwrap()).await;
    });
}

#[test]
fn a_silent_client_is_let_go() {
    let options = ["--udp-server-timeout-ms", "100"];
    with_backend("udp-server:127.0.0.1:0", &options, |address, backend| async move {
        let peer = Peer::new().await;
        peer.say(address, "hello").await;
        let (mut session, _) = soon(backend.accept()).await.unwrap();
        let mut all = String::new();
        soon(session.read_to_string(&mut all)).await.unwrap();
        assert_eq!(all, "hello");
        // It may come again.
        peer.say(address, "again").await;
        soon(backend.accept()).await.unwrap();
    });
}

#[test]
fn the_stalest_client_makes_room() {
    let options = ["--udp-server-max-clients", "2"];
    with_backend("udp-server:127.0.0.1:0", &options, |address, backend| async move {
        let peers = [Peer::new().await, Peer::new().await, Peer::new().await];
        let mut sessions = Vec::new();
        for peer in &peers[..2] {
            peer.say(address, "1").await;
            let mut session = soon(backend.accept()).await.unwrap().0;
            assert_eq!(soon(session.read_u8()).await.unwrap(), b'1');
            sessions.push(session);
        }
        peers[0].say(address, "2").await;
        assert_eq!(soon(sessions[0].read_u8()).await.unwrap(), b'2');
        peers[2].say(address, "3").await;
        let mut third = soon(backend.accept()).await.unwrap().0;
        assert_eq!(soon(third.read_u8()).await.unwrap(), b'3');
        assert_eq!(soon(sessions[1].read(&mut [0; 9])).await.unwrap(), 0, "it was the stalest");
        sessions[0].write_all(b"still there").await.unwrap();
        assert_eq!(peers[0].hears().await, "still there");
    });
}

#[test]
fn a_smaller_buffer_cuts_and_the_usual_one_does_not() {
    for (options, len) in [(&[][..], 9000), (&["--udp-server-buffer-size", "1000"], 1000)] {
        let options = [options, &["--udp-max-send-datagram-size", "9000"]].concat();
        echo(&options, |address| async move {
            assert_eq!(Peer::new().await.asks(address, &"x".repeat(9000)).await.len(), len);
        });
    }
}

/// Sessions that have to wait for something begin to read late: what came meanwhile is in their queue.
fn slow_start<F: Future<Output = ()>>(options: &[&str], clients: impl FnOnce(SocketAddr, TcpListener) -> F) {
    // A WebSocket client whose server answers late reads nothing before.
    let (backend, address) = backend();
    let right = format!("ws://{address}/");
    let line = ["-b", "udp-server:127.0.0.1:0", &right, "--ws-dont-check-headers"];
    serve(&[&line, options].concat(), |address| async move {
        clients(address, TcpListener::from_std(backend).unwrap()).await;
    });
}

/// How many of a client's datagrams reach a session that is let go on after the last one was sent.
fn burst(options: &[&str], sent: u8, expected: impl Fn(usize) -> bool) {
    slow_start(options, |address, backend| async move {
        let (peer, other) = (Peer::new().await, Peer::new().await);
        for n in 0..sent {
            peer.0.send_to(&[n], address).await.unwrap();
        }
        let (mut session, _) = soon(backend.accept()).await.unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(soon(session.read_u8()).await.unwrap());
        }
        // By then the server has seen all of the burst: a client that came after it is being served.
        other.say(address, "other").await;
        let waits = options.contains(&"--udp-server-backpressure");
        if !waits {
            soon(backend.accept()).await.unwrap();
        }
        let answer = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n";
        session.write_all(answer.as_bytes()).await.unwrap();
        let mut got = 0;
        let mut frame = [0; 7];
        while expected(got + 1) && timeout(PATIENCE, session.read_exact(&mut frame)).await.is_ok() {
            assert_eq!(frame[..2], [0x82, 0x81]);
            got += 1;
        }
        assert!(expected(got) && !expected(got + 1), "{got} of {sent}");
        let more = timeout(SILENCE, session.read_exact(&mut frame)).await;
        assert!(more.is_err(), "there are more than {got}");
    });
}

#[test]
fn queues_of_a_server() {
    burst(&[], 200, |n| n <= 200);
    burst(&["--udp-server-qlen", "5"], 20, |n| n <= 5);
}

#[test]
fn queues_of_a_server_in_bytes() {
    // A datagram of one byte counts as five.
    burst(&["--udp-server-qbytes", "25"], 20, |n| n <= 5);
    burst(&["--udp-server-qbytes", "24"], 20, |n| n <= 4);
}

#[test]
fn with_backpressure_nothing_is_lost() {
    burst(&["--udp-server-qlen", "5", "--udp-server-backpressure"], 20, |n| n <= 20);
    burst(&["--udp-server-qbytes", "25", "--udp-server-backpressure"], 20, |n| n <= 20);
}

#[test]
fn only_the_first_client_of_a_oneshot_server() {
    echo(&["--oneshot"], |address| async move {
        let (a, b) = (Peer::new().await, Peer::new().await);
        assert_eq!(a.asks(address, "a").await, "a");
        b.say(address, "b").await;
        assert_eq!(a.asks(address, "again").await, "again");
        assert!(b.hears_nothing().await);
    });
}

#[test]
fn a_backend_that_is_gone_ends_no_server() {
    // An address of its own, where no other test can get the port meanwhile.
    let gone = std::net::UdpSocket::bind("127.4.5.7:0").unwrap().local_addr().unwrap();
    let right = format!("udp:{gone}");
    serve(&["-b", "udp-server:127.0.0.1:0", &right], |address| async move {
        let peer = Peer::new().await;
        for _ in 0..5 {
            peer.say(address, "lost").await;
        }
        // It comes back; a new client gets through.
        let backend = Peer(UdpSocket::bind(gone).await.unwrap());
        let other = Peer::new().await;
        other.say(address, "hello").await;
        loop {
            let mut buf = [0; 99];
            let (len, from) = soon(backend.0.recv_from(&mut buf)).await.unwrap();
            if &buf[..len] == b"hello" {
                backend.say(from, "answer").await;
                break;
            }
        }
        assert_eq!(other.hears().await, "answer");
    });
}

#[test]
fn datagrams_are_messages_of_web_sockets_and_text_if_they_are_said_to_be() {
    for (mode, first) in [("-b", 0x82), ("-t", 0x81)] {
        let (server, address) = receiver();
        let right = format!("udp:{address}");
        serve(&[mode, "ws-ll-server:tcp-l:127.0.0.1:0", &right], |address| async move {
            let server = UdpSocket::from_std(server).unwrap();
            let mut client = tokio::net::TcpStream::connect(address).await.unwrap();
            // Two frames of one message, masked with zeros.
            client.write_all(b"\x02\x83\0\0\0\0abc\x80\x83\0\0\0\0def").await.unwrap();
            let mut buf = [0; 99];
            let (len, from) = soon(server.recv_from(&mut buf)).await.unwrap();
            assert_eq!(&buf[..len], b"abcdef");
            server.send_to(b"xy", from).await.unwrap();
            let mut frame = [0; 4];
            soon(client.read_exact(&mut frame)).await.unwrap();
            assert_eq!(frame, [first, 2, b'x', b'y']);
        });
    }
}

#[test]
fn udp_with_length_prefixes_filters_and_joined_sockets() {
    let (other, address) = receiver();
    let tee = format!("udp:{address}");
    // TCP with prefixes on the left, a server of our own in the middle.
    let (server, address) = receiver();
    let right = format!("udp:{address}");
    let line = ["-b", "lengthprefixed:tcp-l:127.0.0.1:0", &right, "--tee", &tee, "--lengthprefixed-nbytes", "2"];
    serve(&line, |address| async move {
        let [server, other] = [server, other].map(|socket| UdpSocket::from_std(socket).unwrap());
        let mut client = tokio::net::TcpStream::connect(address).await.unwrap();
        client.write_all(b"\0\x03one\0\x05three\0\0").await.unwrap();
        let mut buf = [0; 99];
        for socket in [&server, &other] {
            for expected in [&b"one"[..], b"three", b""] {
                let (len, from) = soon(socket.recv_from(&mut buf)).await.unwrap();
                assert_eq!(&buf[..len], expected);
                if len == 0 {
                    socket.send_to(b"back", from).await.unwrap();
                    let mut got = [0; 6];
                    soon(client.read_exact(&mut got)).await.unwrap();
                    assert_eq!(&got, b"\0\x04back");
                }
            }
        }
    });
    let (filter, address) = receiver();
    let through = format!("udp:{address}");
    echo(&["--filter", &through], |address| async move {
        let filter = UdpSocket::from_std(filter).unwrap();
        let peer = Peer::new().await;
        peer.say(address, "small").await;
        let mut buf = [0; 99];
        let (len, from) = soon(filter.recv_from(&mut buf)).await.unwrap();
        assert_eq!(&buf[..len], b"small");
        filter.send_to(b"LARGE", from).await.unwrap();
        assert_eq!(peer.hears().await, "LARGE");
    });
}

/// A bound socket that many WebSocket clients share.
#[test]
fn one_bound_socket_for_many_clients() {
    let (peer, target) = receiver();
    let target = target.to_string();
    let line = ["-b", "ws-ll-server:tcp-l:127.0.0.1:0", "udp-l:127.0.0.1:0", "--udp-bind-target-addr", &target];
    serve(&line, |address| async move {
        let peer = UdpSocket::from_std(peer).unwrap();
        let mut seen = Vec::new();
        for n in 0..2 {
            let mut client = tokio::net::TcpStream::connect(address).await.unwrap();
            client.write_all(&[0x82, 0x81, 0, 0, 0, 0, n]).await.unwrap();
            let mut buf = [0; 9];
            let (len, from) = soon(peer.recv_from(&mut buf)).await.unwrap();
            assert_eq!(buf[..len], [n]);
            seen.push((from, client));
        }
        assert_eq!(seen[0].0, seen[1].0, "it is one socket");
    });
}

#[test]
fn a_bare_port_is_that_of_both_loopback_addresses() {
    serve(&["-b", "udp-server:0", "mirror:"], |address| async move {
        for ip in ["127.0.0.1", "::1"] {
            let Ok(socket) = UdpSocket::bind((ip, 0)).await else { continue };
            let to = SocketAddr::new(ip.parse().unwrap(), address.port());
            assert_eq!(Peer(socket).asks(to, ip).await, ip);
        }
    });
}

#[test]
fn names_are_looked_up() {
    // Whichever IP version that is here.
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let ip = runtime.block_on(tokio::net::lookup_host("localhost:1")).unwrap().next().unwrap().ip();
    let server = std::net::UdpSocket::bind((ip, 0)).unwrap();
    server.set_nonblocking(true).unwrap();
    let right = format!("udp:localhost:{}", server.local_addr().unwrap().port());
    serve(&["-b", "udp-server:localhost:0", &right], |address| async move {
        let server = UdpSocket::from_std(server).unwrap();
        Peer::new().await.say(SocketAddr::new(Ipv4Addr::LOCALHOST.into(), address.port()), "hello").await;
        let mut buf = [0; 9];
        let (len, _) = soon(server.recv_from(&mut buf)).await.unwrap();
        assert_eq!(&buf[..len], b"hello");
    });
    for (specifier, part) in [("udp:5", "HOST:PORT"), ("udp:127.0.0.1:0", "HOST:PORT"), ("udp-l:x", "no port")] {
        let e = refused(&["-b", specifier, "mirror:"]);
        assert!(e.contains(part), "{e}");
    }
}
