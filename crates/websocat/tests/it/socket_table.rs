//! Every socket option on every kind of socket, asked back from the kernel; where it is not for a kind, that is told.
//!
//! One table says what there is. An option that is not in it, or that sockets take which it does not name, fails a test.
//! What the kernel does not tell is seen in other tests, which the table names.

mod table;

use super::{
    client_limits::serve,
    socket_options::{fails, find, find_by, has_ipv6},
};
use clap::CommandFactory as _;
use socket2::{Domain, Socket, Type};
use std::{collections::BTreeSet, future::Future, io, net::SocketAddr, os::fd::OwnedFd, path::Path, time::Duration};
use table::{
    ENDPOINTS,
    Kind::{self, *},
    Row, SEEN_ELSEWHERE, TCP, UDP, table,
};
use tokio::{net, time::timeout};
use websocat::{
    cli::{Args, CommandLine, Tree},
    endpoints::socket_args::HEADING,
    plan,
};

/// Bounds a hang, not a duration.
const PATIENCE: Duration = Duration::from_secs(20);

/// It says which sockets take the others.
const NO_OPTION_OF_A_SOCKET: &str = "exclude-ws-from-sockopts";

#[test]
fn the_table_has_every_option() {
    let command = Args::command();
    let known = command.get_arguments().filter(|arg| arg.get_help_heading() == Some(HEADING));
    let known: BTreeSet<String> = known.filter_map(|arg| arg.get_long()).map(str::to_owned).collect();
    let table = table();
    let elsewhere = SEEN_ELSEWHERE.iter().map(|(option, ..)| *option);
    let listed = table.iter().map(|row| row.option).chain(elsewhere).chain([NO_OPTION_OF_A_SOCKET]);
    assert_eq!(listed.map(str::to_owned).collect::<BTreeSet<_>>(), known);
    let tests = [include_str!("socket_options.rs"), include_str!("multicast.rs")].concat();
    for (option, .., test) in SEEN_ELSEWHERE {
        assert!(tests.contains(&format!("fn {test}()")), "--{option}: where is {test}?");
    }
}

/// What the sockets of each endpoint take is what the table says, and what none of them takes gets a warning.
#[test]
fn options_that_are_not_for_a_socket_are_told() {
    let table = table();
    let rows = table.iter().map(|row| (row.option, row.value, row.on, row.v6));
    let elsewhere = SEEN_ELSEWHERE.iter().map(|(option, value, on, _)| (*option, Some(*value), *on, None));
    for (option, value, on, v6) in rows.chain(elsewhere) {
        let name = format!("--{option}");
        for (endpoint, kinds) in ENDPOINTS {
            let takes = on.iter().any(|kind| kinds.contains(kind));
            let endpoint = if v6 == Some(true) { endpoint.replace("127.0.0.1", "[::1]") } else { endpoint.to_string() };
            let words = ["websocat", "-b", &endpoint, "mirror:", &name].into_iter().chain(value).map(Into::into);
            let Tree::Part(part) = CommandLine::read(words).unwrap().sessions else { panic!() };
            let mut planned = plan::parse(&part.args).unwrap();
            plan::rewrite(&mut planned).unwrap();
            let found = planned.findings.list().iter().filter(|found| found.text.contains(&name)).count();
            assert_eq!(found, usize::from(!takes), "{name} with {endpoint}: {:?}", planned.findings);
            let groups = planned.left.endpoint.sockets().groups;
            assert_eq!(groups.iter().any(|group| group.has(&name)), takes, "{name} with {endpoint}");
        }
    }
}

/// Words of the command line for all options of these kinds of sockets, and the rows whose answers are to be compared.
fn options(kinds: &[Kind], v6: bool) -> (Vec<&'static str>, Vec<Row>) {
    let fits = |row: &Row| row.v6.is_none_or(|only| only == v6) && row.on.iter().any(|kind| kinds.contains(kind));
    let probe = || Socket::new(if v6 { Domain::IPV6 } else { Domain::IPV4 }, Type::DGRAM, None).unwrap();
    let may = |row: &Row| row.may.is_none_or(|may| may(&probe(), v6).is_ok());
    let rows: Vec<Row> = table().into_iter().filter(|row| fits(row) && may(row)).collect();
    let words = rows.iter().flat_map(|row| [Some(flag(row.option)), row.value]).flatten().collect();
    (words, rows)
}

fn flag(option: &'static str) -> &'static str {
    // For the length of a test.
    Box::leak(format!("--{option}").into_boxed_str())
}

fn check(rows: &[Row], sockets: &[(Kind, Socket)], v6: bool) {
    let mut compared = 0;
    for row in rows {
        for (kind, socket) in sockets.iter().filter(|(kind, _)| row.on.contains(kind) && !row.but.contains(kind)) {
            let answer = (row.ask)(socket, v6).unwrap_or_else(|e| panic!("--{} of {kind:?}: {e}", row.option));
            assert_eq!(answer, row.expected, "--{} of {kind:?}, IPv6: {v6}", row.option);
            compared += 1;
        }
    }
    assert!(compared >= 4, "{compared}");
}

fn at(v6: bool) -> &'static str {
    if v6 { "[::1]" } else { "127.0.0.1" }
}

/// A socket of ours that the program is to talk to.
fn server(v6: bool, kind: Type) -> (Socket, SocketAddr) {
    let address: SocketAddr = format!("{}:0", at(v6)).parse().unwrap();
    let socket = Socket::new(Domain::for_address(address), kind, None).unwrap();
    socket.bind(&address.into()).unwrap();
    if kind == Type::STREAM {
        socket.listen(9).unwrap();
    }
    socket.set_nonblocking(true).unwrap();
    let address = socket.local_addr().unwrap().as_socket().unwrap();
    (socket, address)
}

async fn soon<T>(future: impl Future<Output = io::Result<T>>) -> T {
    timeout(PATIENCE, future).await.expect("it hangs").unwrap()
}

fn tcp(v6: bool) {
    let (words, rows) = options(TCP, v6);
    let (server, target) = server(v6, Type::STREAM);
    let (left, right) = (format!("tcp-l:{}:0", at(v6)), format!("tcp:{target}"));
    serve(&[&["-b", &*left, &*right], &words[..]].concat(), |address| async move {
        let server = net::TcpListener::from_std(server.into()).unwrap();
        let ours = soon(net::TcpStream::connect(address)).await;
        let (theirs, from) = soon(server.accept()).await;
        let accepted = find(address, Some(ours.local_addr().unwrap()));
        let sockets =
            [(TcpListener, find(address, None)), (TcpAccepted, accepted), (TcpClient, find(from, Some(target)))];
        check(&rows, &sockets, v6);
        drop((ours, theirs));
    });
}

fn udp(v6: bool) {
    let (words, rows) = options(UDP, v6);
    let (server, target) = server(v6, Type::DGRAM);
    let (left, right) = (format!("udp-server:{}:0", at(v6)), format!("udp:{target}"));
    serve(&[&["-b", &*left, &*right], &words[..]].concat(), |address| async move {
        let server = net::UdpSocket::from_std(server.into()).unwrap();
        let peer = soon(net::UdpSocket::bind(SocketAddr::new(address.ip(), 0))).await;
        soon(peer.send_to(b"x", address)).await;
        let (_, from) = soon(server.recv_from(&mut [0; 9])).await;
        check(&rows, &[(UdpServer, find(address, None)), (UdpClient, find(from, Some(target)))], v6);
    });
    let (words, rows) = options(UDP, v6);
    let left = format!("udp-l:{}:0", at(v6));
    serve(&[&["-b", &*left, "mirror:"], &words[..]].concat(), |address| async move {
        check(&rows, &[(UdpBound, find(address, None))], v6);
    });
}

/// By path, of one kind; the program forwards from one socket file to another.
fn unix(prefix: &str, kind: Type, kinds: [Kind; 3]) {
    let directory = tempfile::tempdir().unwrap();
    let (here, there) = (directory.path().join("here"), directory.path().join("there"));
    let unix = |path: &Path| socket2::SockAddr::unix(path).unwrap();
    let new = || Socket::new(Domain::UNIX, kind, None).unwrap();
    let server = new();
    server.bind(&unix(&there)).unwrap();
    server.listen(9).unwrap();
    server.set_nonblocking(true).unwrap();
    let (words, rows) = options(&kinds, false);
    let (left, right) = (format!("{prefix}-l:{}", here.display()), format!("{prefix}:{}", there.display()));
    serve(&[&["-b", &*left, &*right], &words[..]].concat(), |_| async move {
        let ours = new();
        ours.connect(&unix(&here)).unwrap();
        // A listener is readable when somebody waits, as a stream is when bytes do.
        let waiting = net::UnixStream::from_std(OwnedFd::from(server).into()).unwrap();
        soon(waiting.readable()).await;
        let is = |address: io::Result<socket2::SockAddr>, path: &Path| {
            address.is_ok_and(|address| address.as_pathname() == Some(path))
        };
        let listens = |s: &Socket| is(s.local_addr(), &here) && s.peer_addr().is_err();
        let accepted = |s: &Socket| is(s.local_addr(), &here) && s.peer_addr().is_ok();
        let sockets = [find_by(|s| is(s.peer_addr(), &there)), find_by(listens), find_by(accepted)];
        let sockets: Vec<_> = kinds.into_iter().zip(sockets.map(Option::unwrap)).collect();
        check(&rows, &sockets, false);
        drop(ours);
    });
}

#[test]
fn options_of_tcp_over_ipv4() {
    tcp(false);
}

#[test]
fn options_of_tcp_over_ipv6() {
    if has_ipv6() {
        tcp(true);
    }
}

#[test]
fn options_of_udp_over_ipv4() {
    udp(false);
}

#[test]
fn options_of_udp_over_ipv6() {
    if has_ipv6() {
        udp(true);
    }
}

#[test]
fn options_of_unix_sockets() {
    unix("unix", Type::STREAM, [UnixClient, UnixListener, UnixAccepted]);
    unix("seqpacket", Type::SEQPACKET, [SeqpacketClient, SeqpacketListener, SeqpacketAccepted]);
}

/// What is for the mighty is refused to others by name, whatever socket it is for.
#[test]
fn options_that_need_privileges() {
    for row in table() {
        let Some(may) = row.may else { continue };
        let words: Vec<&str> = [flag(row.option)].into_iter().chain(row.value).collect();
        if may(&Socket::new(Domain::IPV4, Type::DGRAM, None).unwrap(), false).is_ok() {
            serve(&[&["-b", "udp-l:127.0.0.1:0", "mirror:"], &words[..]].concat(), |address| async move {
                assert_eq!((row.ask)(&find(address, None), false).unwrap(), row.expected, "--{}", row.option);
            });
            continue;
        }
        let name = row.option.trim_start_matches("socket-");
        for left in ["tcp-l:127.0.0.1:0", "tcp:127.0.0.1:9", "udp:127.0.0.1:9", "udp-l:127.0.0.1:0"] {
            let e = fails(&[&["-b", left, "mirror:"], &words[..]].concat());
            assert!(e.contains(&format!("cannot set socket option {name}: ")), "{left}: {e}");
        }
    }
}
