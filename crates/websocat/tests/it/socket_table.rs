//! Every socket option on every kind of socket, asked back from the kernel; where it is not for a kind, that is told.
//!
//! One table says what there is. An option that is not in it, or that sockets take which it does not name, fails a test.
//! What the kernel does not tell is seen in other tests, which the table names.

use super::{
    client_limits::serve,
    socket_options::{fails, find, find_by, has_ipv6},
};
use clap::CommandFactory as _;
use socket2::{Domain, Socket, Type};
use std::{collections::BTreeSet, future::Future, io, net::SocketAddr, os::fd::OwnedFd, path::Path, time::Duration};
use tokio::{net, time::timeout};
use websocat::{
    cli::{Args, CommandLine, Tree},
    endpoints::socket_args::HEADING,
    plan,
};

/// Bounds a hang, not a duration.
const PATIENCE: Duration = Duration::from_secs(20);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    TcpClient,
    TcpListener,
    TcpAccepted,
    UdpClient,
    UdpBound,
    UdpServer,
    UnixClient,
    UnixListener,
    UnixAccepted,
    SeqpacketClient,
    SeqpacketListener,
    SeqpacketAccepted,
}

use Kind::*;

const TCP: &[Kind] = &[TcpClient, TcpListener, TcpAccepted];
const UDP: &[Kind] = &[UdpClient, UdpBound, UdpServer];
const IP: &[Kind] = &[TcpClient, TcpListener, TcpAccepted, UdpClient, UdpBound, UdpServer];
const ALL: &[Kind] = &[
    TcpClient,
    TcpListener,
    TcpAccepted,
    UdpClient,
    UdpBound,
    UdpServer,
    UnixClient,
    UnixListener,
    UnixAccepted,
    SeqpacketClient,
    SeqpacketListener,
    SeqpacketAccepted,
];

/// Specifiers whose sockets take the same options, each with its kinds.
const ENDPOINTS: &[(&str, &[Kind])] = &[
    ("tcp:127.0.0.1:1", &[TcpClient]),
    ("tcp-l:127.0.0.1:0", &[TcpListener, TcpAccepted]),
    ("udp:127.0.0.1:1", &[UdpClient]),
    ("udp-l:127.0.0.1:0", &[UdpBound]),
    ("udp-server:127.0.0.1:0", &[UdpServer]),
    ("unix:x", &[UnixClient]),
    ("unix-l:x", &[UnixListener, UnixAccepted]),
    ("abstract:x", &[UnixClient]),
    ("abstract-l:x", &[UnixListener, UnixAccepted]),
    ("seqpacket:x", &[SeqpacketClient]),
    ("seqpacket-l:x", &[SeqpacketListener, SeqpacketAccepted]),
];

/// What the kernel says, as text.
type Ask = fn(&Socket, bool) -> io::Result<String>;

/// An option, what it is set to, for which sockets it is, and what these then say.
struct Row {
    option: &'static str,
    value: Option<&'static str>,
    /// Its only IP version.
    v6: Option<bool>,
    on: &'static [Kind],
    /// Of those on which it is, the ones whose answer the kernel changes by itself.
    but: &'static [Kind],
    expected: &'static str,
    ask: Ask,
    /// It is for the mighty: whether that is us.
    may: Option<fn(&Socket, bool) -> io::Result<()>>,
}

fn row(option: &'static str, value: &'static str, on: &'static [Kind], expected: &'static str, ask: Ask) -> Row {
    Row { option, value: Some(value).filter(|v| !v.is_empty()), v6: None, on, but: &[], expected, ask, may: None }
}

fn text(value: impl ToString) -> io::Result<String> {
    Ok(value.to_string())
}

fn seconds(value: Duration) -> io::Result<String> {
    text(value.as_secs())
}

#[rustfmt::skip]
fn table() -> Vec<Row> {
    vec![
        // What was accepted has it from the listener, where it means nothing any more.
        Row { but: &[TcpAccepted], ..row("reuseaddr", "true", IP, "true", |s, _| text(s.reuse_address()?)) },
        row("reuseport", "", IP, "true", |s, _| text(s.reuse_port()?)),
        row("socket-bind-to-device", "lo", IP, "lo",
            |s, _| text(String::from_utf8_lossy(&s.device()?.unwrap_or_default()))),
        row("socket-freebind", "", IP, "true", |s, v6| text(if v6 { s.freebind_v6()? } else { s.freebind_v4()? })),
        Row { may: Some(|s, v6| if v6 { s.set_ip_transparent_v6(true) } else { s.set_ip_transparent_v4(true) }),
            ..row("socket-transparent", "", IP, "true",
                |s, v6| text(if v6 { s.ip_transparent_v6()? } else { s.ip_transparent_v4()? })) },
        Row { v6: Some(true), ..row("socket-only-v6", "true", IP, "true", |s, _| text(s.only_v6()?)) },
        Row { v6: Some(true), ..row("socket-tclass-v6", "40", IP, "40", |s, _| text(s.tclass_v6()?)) },
        Row { v6: Some(false), ..row("socket-tos-v4", "16", IP, "16", |s, _| text(s.tos_v4()?)) },
        row("socket-ttl", "17", IP, "17", |s, v6| text(if v6 { s.unicast_hops_v6()? } else { s.ttl_v4()? })),
        // Of a connected socket it becomes the processor of the packet that came last.
        Row { but: &[TcpClient], ..row("socket-cpu-affinity", "3", IP, "3", |s, _| text(s.cpu_affinity()?)) },
        row("socket-priority", "5", IP, "5", |s, _| text(s.priority()?)),
        // The kernel takes twice as much, for its own needs.
        row("socket-recv-buffer-size", "50000", ALL, "100000", |s, _| text(s.recv_buffer_size()?)),
        row("socket-send-buffer-size", "60k", ALL, "122880", |s, _| text(s.send_buffer_size()?)),
        Row { may: Some(|s, _| s.set_mark(1)), ..row("socket-mark", "77", IP, "77", |s, _| text(s.mark()?)) },
        row("socket-linger-s", "0", TCP, "Some(0ns)", |s, _| Ok(format!("{:?}", s.linger()?))),
        row("socket-out-of-band-inline", "", TCP, "true", |s, _| text(s.out_of_band_inline()?)),
        row("socket-nodelay", "true", TCP, "true", |s, _| text(s.tcp_nodelay()?)),
        row("socket-tcp-congestion", "reno", TCP, "reno",
            |s, _| text(String::from_utf8_lossy(&s.tcp_congestion()?).trim_end_matches('\0'))),
        row("socket-user-timeout-s", "21", TCP, "21", |s, _| seconds(s.tcp_user_timeout()?.unwrap_or_default())),
        // Of a connection the kernel tells what is left for data.
        row("socket-mss", "600", TCP, "500 to 600", |s, _| match s.tcp_mss()? {
            500..=600 => text("500 to 600"),
            mss => text(mss),
        }),
        row("socket-thin-linear-timeouts", "true", TCP, "true", |s, _| text(s.tcp_thin_linear_timeouts()?)),
        row("socket-notsent-lowat", "2000", TCP, "2000", |s, _| text(s.tcp_notsent_lowat()?)),
        // By itself it would be on, because of the numbers.
        row("socket-keepalive", "false", TCP, "false", |s, _| text(s.keepalive()?)),
        row("socket-keepalive-retries", "4", TCP, "4", |s, _| text(s.tcp_keepalive_retries()?)),
        row("socket-keepalive-interval-s", "6", TCP, "6", |s, _| seconds(s.tcp_keepalive_interval()?)),
        row("socket-keepalive-idletime-s", "7", TCP, "7", |s, _| seconds(s.tcp_keepalive_time()?)),
        row("socket-broadcast", "", UDP, "true", |s, _| text(s.broadcast()?)),
        row("socket-multicast-all", "false", UDP, "false",
            |s, v6| text(if v6 { s.multicast_all_v6()? } else { s.multicast_all_v4()? })),
        row("socket-multicast-loop", "false", UDP, "false",
            |s, v6| text(if v6 { s.multicast_loop_v6()? } else { s.multicast_loop_v4()? })),
        row("socket-multicast-ttl", "9", UDP, "9",
            |s, v6| text(if v6 { s.multicast_hops_v6()? } else { s.multicast_ttl_v4()? })),
    ]
}

/// Options that the kernel has no answer for, whose sockets take them, and the test that sees what they do.
const SEEN_ELSEWHERE: &[(&str, &str, &[Kind], &str)] = &[
    ("bind-before-connect", "127.0.0.1", &[TcpClient], "connects_from_the_address_bound_to"),
    ("socket-listen-backlog", "5", &[TcpListener, UnixListener, SeqpacketListener], "the_backlog_bounds_how_many_wait"),
    ("socket-multicast", "239.255.70.1", UDP, "groups_are_joined"),
    ("socket-multicast-interface-addr", "127.0.0.1", UDP, "groups_are_joined_by_address"),
    ("socket-multicast-interface-index", "1", UDP, "groups_are_joined_by_index"),
    ("socket-multicast-specific-source", "127.0.0.9", UDP, "only_one_source_of_a_group_is_heard"),
];

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
