//! The table: kinds of sockets, options, and what the kernel then says.

use Kind::*;
use socket2::Socket;
use std::{io, time::Duration};

/// Kinds of sockets, and the list of all of them.
macro_rules! kinds {
    ($($name:ident,)*) => {
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Kind {
            $( $name, )*
        }

        const ALL: &[Kind] = &[$( $name, )*];
    };
}

kinds! {
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

pub const TCP: &[Kind] = &[TcpClient, TcpListener, TcpAccepted];
pub const UDP: &[Kind] = &[UdpClient, UdpBound, UdpServer];
const IP: &[Kind] = &[TcpClient, TcpListener, TcpAccepted, UdpClient, UdpBound, UdpServer];

/// Specifiers whose sockets take the same options, each with its kinds.
pub const ENDPOINTS: &[(&str, &[Kind])] = &[
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
pub type Ask = fn(&Socket, bool) -> io::Result<String>;

/// An option, what it is set to, for which sockets it is, and what these then say.
pub struct Row {
    pub option: &'static str,
    pub value: Option<&'static str>,
    /// Its only IP version.
    pub v6: Option<bool>,
    pub on: &'static [Kind],
    /// Of those on which it is, the ones whose answer the kernel changes by itself.
    pub but: &'static [Kind],
    pub expected: &'static str,
    pub ask: Ask,
    /// It is for the mighty: whether that is us.
    pub may: Option<fn(&Socket, bool) -> io::Result<()>>,
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
pub fn table() -> Vec<Row> {
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
pub const SEEN_ELSEWHERE: &[(&str, &str, &[Kind], &str)] = &[
    ("bind-before-connect", "127.0.0.1", &[TcpClient], "connects_from_the_address_bound_to"),
    ("socket-listen-backlog", "5", &[TcpListener, UnixListener, SeqpacketListener], "the_backlog_bounds_how_many_wait"),
    ("socket-multicast", "239.255.70.1", UDP, "groups_are_joined"),
    ("socket-multicast-interface-addr", "127.0.0.1", UDP, "groups_are_joined_by_address"),
    ("socket-multicast-interface-index", "1", UDP, "groups_are_joined_by_index"),
    ("socket-multicast-specific-source", "127.0.0.9", UDP, "only_one_source_of_a_group_is_heard"),
];
