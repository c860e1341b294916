//! Multicast groups on the loopback interface: joined in every way, and one source only. Between hosts see
//! interop/cases/multicast.py.

use super::{
    client_limits::serve,
    socket_options::has_ipv6,
    udp::{Peer, refused},
};
use std::net::{Ipv4Addr, SocketAddr};
use tokio::net::UdpSocket;

/// A server in this group of the loopback interface. Groups are one for each test: by default a socket hears what comes to
/// the groups of all others.
fn in_group(group: &str, options: &[&str]) {
    let line = ["-b", "udp-server:0.0.0.0:0", "mirror:", "--socket-multicast", group];
    serve(&[&line, options].concat(), |address| async move {
        let peer = Peer::new().await;
        socket2::SockRef::from(&peer.0).set_multicast_if_v4(&Ipv4Addr::LOCALHOST).unwrap();
        let to = SocketAddr::new(group.parse().unwrap(), address.port());
        assert_eq!(peer.asks(to, "to all").await, "to all");
    });
}

#[test]
fn groups_are_joined() {
    in_group("239.255.70.70", &["--socket-multicast-interface-addr", "127.0.0.1"]);
}

#[test]
fn groups_are_joined_by_address() {
    in_group("239.255.70.71", &["--socket-multicast-interface-addr", "127.0.0.1"]);
}

#[test]
fn groups_are_joined_by_index() {
    in_group("239.255.70.72", &["--socket-multicast-interface-index", "1"]);
}

#[test]
fn groups_of_ipv6_are_joined() {
    if !has_ipv6() {
        return;
    }
    let line = ["-b", "udp-server:[::]:0", "mirror:", "--socket-multicast", "ff01::7071"];
    // The loopback interface has no route for IPv6 multicast: the kernel's list of members must do.
    let is_member = || {
        let list = std::fs::read_to_string("/proc/self/net/igmp6").unwrap();
        list.lines().any(|line| {
            line.split_whitespace().next() == Some("1") && line.contains("ff010000000000000000000000007071")
        })
    };
    assert!(!is_member());
    serve(&[&line[..], &["--socket-multicast-interface-index", "1"]].concat(), |_| async move {
        assert!(is_member());
    });
}

#[test]
fn only_one_source_of_a_group_is_heard() {
    let line = ["-b", "udp-server:0.0.0.0:0", "mirror:", "--socket-multicast", "239.255.70.73"];
    let source = ["--socket-multicast-interface-addr", "127.0.0.1", "--socket-multicast-specific-source", "127.0.0.9"];
    let all = ["--socket-multicast-all", "false"];
    serve(&[&line[..], &source, &all].concat(), |address| async move {
        let to: SocketAddr = format!("239.255.70.73:{}", address.port()).parse().unwrap();
        for (ip, heard) in [("127.0.0.1", false), ("127.0.0.9", true)] {
            let peer = Peer(UdpSocket::bind((ip, 0)).await.unwrap());
            socket2::SockRef::from(&peer.0).set_multicast_if_v4(&Ipv4Addr::LOCALHOST).unwrap();
            peer.say(to, ip).await;
            match heard {
                true => assert_eq!(peer.hears().await, ip),
                false => assert!(peer.hears_nothing().await, "{ip}"),
            }
        }
    });
    let alone = refused(&["-b", "udp-l:127.0.0.1:0", "mirror:", "--socket-multicast-interface-index", "1"]);
    assert!(alone.contains("needs a group"), "{alone}");
}
