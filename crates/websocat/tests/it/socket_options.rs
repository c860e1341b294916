//! What TCP sockets do by their options, and what is refused. That the kernel has each of them as it was asked for is in
//! `socket_table.rs`.
//!
//! The program runs in this process. Its sockets are found among our descriptors by their addresses.

use super::{client_limits::serve, commands::refused};
use rustix::io::fcntl_dupfd_cloexec;
use socket2::{Domain, Socket, Type};
use std::{fmt::Debug, fs, net::SocketAddr, os::fd::BorrowedFd, time::Duration};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    time::timeout,
};

/// The program's sockets between a client of ours and a server of ours.
struct Sockets {
    listener: Socket,
    accepted: Socket,
    client: Socket,
}

/// Another descriptor of the socket of this process that is bound and connected so.
pub(super) fn find(local: SocketAddr, peer: Option<SocketAddr>) -> Socket {
    let address = |of: Option<socket2::SockAddr>| of?.as_socket();
    let is_it = |s: &Socket| address(s.local_addr().ok()) == Some(local) && address(s.peer_addr().ok()) == peer;
    find_by(is_it).unwrap_or_else(|| panic!("no socket at {local} with the peer {peer:?}"))
}

/// Another descriptor of a socket of this process.
#[allow(unsafe_code)] // pidfd_getfd would do without, and is forbidden in many containers
pub(super) fn find_by(is_it: impl Fn(&Socket) -> bool) -> Option<Socket> {
    let numbers = fs::read_dir("/proc/self/fd").unwrap().map(|entry| entry.unwrap().file_name());
    let numbers: Vec<i32> = numbers.map(|name| name.to_str().unwrap().parse().unwrap()).collect();
    numbers.into_iter().find_map(|number| {
        // SAFETY: the number is used for one call, which says EBADF where another test has closed it meanwhile.
        let borrowed = unsafe { BorrowedFd::borrow_raw(number) };
        let socket = Socket::from(fcntl_dupfd_cloexec(borrowed, 3).ok()?);
        is_it(&socket).then_some(socket)
    })
}

/// Many containers have none. `cargo xtask options` reads what is printed here.
pub(super) fn has_ipv6() -> bool {
    let there = std::net::TcpListener::bind("[::1]:0").is_ok();
    if !there {
        println!("LEFT OUT: there is no IPv6");
    }
    there
}

/// Runs a forwarder from a listener on a free port of `ip` to a server of ours, and the checks while a connection is open.
fn forward(ip: &str, options: &[&str], check: impl FnOnce(&Sockets)) {
    let server = std::net::TcpListener::bind((ip.trim_matches(['[', ']']), 0)).unwrap();
    server.set_nonblocking(true).unwrap();
    let target = server.local_addr().unwrap();
    let (left, right) = (format!("tcp-l:{ip}:0"), format!("tcp:{target}"));
    serve(&[&["-b", &left, &right], options].concat(), |addr| async move {
        let server = TcpListener::from_std(server).unwrap();
        let ours = TcpStream::connect(addr).await.unwrap();
        let (theirs, from) = server.accept().await.unwrap();
        let (accepted, client) = (find(addr, Some(ours.local_addr().unwrap())), find(from, Some(target)));
        check(&Sockets { listener: find(addr, None), accepted, client });
        drop((ours, theirs));
    });
}

impl Sockets {
    /// All three have this value.
    fn all<T: PartialEq + Debug>(&self, what: &str, value: T, ask: impl Fn(&Socket) -> std::io::Result<T>) {
        for (name, socket) in [("listener", &self.listener), ("accepted", &self.accepted), ("client", &self.client)] {
            assert_eq!(ask(socket).unwrap(), value, "{what} of the {name} socket");
        }
    }
}

#[test]
fn keepalive() {
    // What the numbers switch on, and that it can be left off in spite of them.
    for (more, on) in [(&[][..], true), (&["--socket-keepalive", "false"], false)] {
        forward("127.0.0.1", &[&["--socket-keepalive-idletime-s", "7"], more].concat(), |sockets| {
            sockets.all("SO_KEEPALIVE", on, |s| s.keepalive());
        });
    }
}

#[test]
fn addresses_are_used_again_unless_that_is_unwanted() {
    forward("127.0.0.1", &["--reuseaddr", "false"], |sockets| {
        assert!(!sockets.listener.reuse_address().unwrap());
        assert!(!sockets.client.reuse_address().unwrap());
    });
    forward("127.0.0.1", &[], |sockets| {
        assert!(sockets.listener.reuse_address().unwrap());
        assert!(!sockets.client.reuse_address().unwrap());
    });
}

/// The message of a command line that cannot do what it shall.
pub(super) fn fails(line: &[&str]) -> String {
    let line = [&["websocat"], line].concat().into_iter().map(std::ffi::OsString::from);
    let line = websocat::cli::CommandLine::read(line).unwrap();
    let script = websocat::plan::script(&line).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let (_scenario, task) = websocat::exec::load_seeded(&script, sockets::stop::Stop::new(), None).unwrap();
        let patience = Duration::from_secs(20);
        let result = timeout(patience, websocat::scenario::run(task)).await.expect("it hangs");
        result.expect_err("it succeeds").to_string()
    })
}

#[test]
fn an_option_that_is_refused_ends_the_listener_by_name() {
    for (option, name) in [
        (["--socket-ttl", "256"], "ttl"),
        (["--socket-tcp-congestion", "no-such"], "tcp_congestion"),
        (["--socket-keepalive-retries", "1000"], "keepalive_retries"),
        (["--socket-bind-to-device", "no-such-device"], "bind_device"),
    ] {
        for stacks in [["tcp-l:127.0.0.1:0", "mirror:"], ["tcp:127.0.0.1:9", "mirror:"]] {
            let e = fails(&[&["-b"], &stacks[..], &option].concat());
            assert!(e.contains(&format!("cannot set socket option {name}: ")), "{stacks:?}: {e}");
        }
    }
    assert!(refused(&["-b", "--socket-recv-buffer-size", "2g", "tcp-l:1", "mirror:"]));
    assert!(refused(&["-b", "--socket-nodelay", "yes", "tcp-l:1", "mirror:"]));
    assert!(refused(&["-b", "--bind-before-connect", "localhost:1", "tcp:h:1", "mirror:"]));
}

#[test]
fn the_backlog_bounds_how_many_wait() {
    let line = ["-b", "tcp-l:127.0.0.1:0", "mirror:", "--socket-listen-backlog", "1"];
    serve(&line, |addr| async move {
        // Nothing is accepted while this one runs. Two can wait (one more than the number says), a further one gets no
        // answer; when the others have been accepted it gets one.
        let std_connect = || {
            let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
            socket.set_nonblocking(true).unwrap();
            let e = socket.connect(&addr.into()).expect_err("connected at once");
            assert_eq!(e.raw_os_error(), Some(rustix::io::Errno::INPROGRESS.raw_os_error()));
            socket
        };
        let sockets: Vec<Socket> = (0..5).map(|_| std_connect()).collect();
        let connected = |socket: &Socket| socket.peer_addr().is_ok();
        let count = sockets.iter().filter(|socket| connected(socket)).count();
        assert!(count <= 2, "{count} of 5 connections wait, beyond the backlog");
    });
}

#[test]
fn connects_from_the_address_bound_to() {
    // The address is one that would not be taken by itself; which port is free only the kernel knows.
    let held = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    held.set_reuse_address(true).unwrap();
    held.bind(&SocketAddr::from(([127, 4, 5, 6], 0)).into()).unwrap();
    let local = held.local_addr().unwrap().as_socket().unwrap();
    for (bind, expected) in [(local.ip().to_string(), None), (local.to_string(), Some(local))] {
        forward("127.0.0.1", &["--bind-before-connect", &bind, "--reuseaddr", "true"], |sockets| {
            let got = sockets.client.local_addr().unwrap().as_socket().unwrap();
            assert_eq!(got.ip(), local.ip());
            assert!(expected.is_none_or(|expected| got == expected), "{got} instead of {local}");
        });
    }
    let e = fails(&["-b", "--bind-before-connect", "127.0.0.1", "tcp:[::1]:9", "mirror:"]);
    assert!(e.contains("[::1]:9 from 127.0.0.1:0: one is an IPv4 address, the other IPv6"), "{e}");
}

#[test]
fn sockets_of_web_sockets_can_be_left_alone() {
    let server = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    server.set_nonblocking(true).unwrap();
    let target = server.local_addr().unwrap();
    let right = format!("tcp:{target}");
    let line = ["-b", "ws-l:127.0.0.1:0", &right, "--exclude-ws-from-sockopts", "--socket-ttl", "19"];
    let request = "GET / HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
        Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    serve(&line, |addr| async move {
        let server = TcpListener::from_std(server).unwrap();
        let mut ours = TcpStream::connect(addr).await.unwrap();
        ours.write_all(request.as_bytes()).await.unwrap();
        let (theirs, from) = server.accept().await.unwrap();
        assert_eq!(find(from, Some(target)).ttl_v4().unwrap(), 19);
        for (local, peer) in [(addr, None), (addr, Some(ours.local_addr().unwrap()))] {
            assert_ne!(find(local, peer).ttl_v4().unwrap(), 19, "a socket that carries a WebSocket");
        }
        drop((ours, theirs));
    });
}

#[test]
fn urgent_data_arrives_in_its_place() {
    let server = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    server.set_nonblocking(true).unwrap();
    let right = format!("tcp:{}", server.local_addr().unwrap());
    serve(&["-b", "tcp-l:127.0.0.1:0", &right, "--socket-out-of-band-inline"], |addr| async move {
        let server = TcpListener::from_std(server).unwrap();
        let mut ours = TcpStream::connect(addr).await.unwrap();
        let (mut theirs, _) = server.accept().await.unwrap();
        ours.write_all(b"a").await.unwrap();
        socket2::SockRef::from(&ours).send_out_of_band(b"!").unwrap();
        ours.write_all(b"z").await.unwrap();
        ours.shutdown().await.unwrap();
        let mut got = String::new();
        theirs.read_to_string(&mut got).await.unwrap();
        assert_eq!(got, "a!z");
    });
}

#[test]
fn localhost_is_both_loopback_addresses_at_one_port() {
    let ips = if has_ipv6() { &["127.0.0.1", "::1"][..] } else { &["127.0.0.1"] };
    for place in ["localhost:0", "LOCALHOST:0", "0"] {
        serve(&["-b", &format!("tcp-l:{place}"), "mirror:"], |addr| async move {
            for &ip in ips {
                let mut tcp = TcpStream::connect((ip, addr.port())).await.unwrap();
                tcp.write_all(b"x").await.unwrap();
                assert_eq!(tcp.read_u8().await.unwrap(), b'x', "{place} at {ip}");
            }
        });
    }
}
