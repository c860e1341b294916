//! The workloads: what the generator is told, what a server must do, which figures come out.

/// What a server does in a workload.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// WebSocket server that sends messages back.
    Echo,
    /// The same, compressed both ways.
    Deflate,
    /// Joins two connections; bytes of one message.
    Transfer(Join, usize),
    /// Forwards many connections of TCP to a back end that the generator starts.
    Pairs,
    /// Framing in memory, measured by the generator itself.
    Framing,
    /// Hands datagrams of one client on to one peer.
    Datagrams,
    /// A whole process that copies three bytes to a file.
    Start,
}

/// Where bytes come in and where they go out.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Join {
    TcpTcp,
    UnixUnix,
    WsTcp,
    TcpWs,
    /// TCP to TCP, taken apart into messages and put together again.
    LengthPrefixed,
    Lines,
}

/// A number that the generator prints.
pub(super) struct Figure {
    pub key: &'static str,
    /// Head of its column.
    pub title: &'static str,
    pub higher_is_better: bool,
    pub decimals: usize,
}

pub(super) struct Workload {
    pub name: &'static str,
    pub title: &'static str,
    pub kind: Kind,
    pub load: &'static [&'static str],
    /// The first one ranks servers.
    pub figures: &'static [Figure],
    /// Figures that hardly vary need no more rounds than this.
    pub most_rounds: usize,
}

const fn figure(key: &'static str, title: &'static str, higher_is_better: bool, decimals: usize) -> Figure {
    Figure { key, title, higher_is_better, decimals }
}

const SERVER_CPU: Figure = figure("server_cpu", "server CPU, share of a core", false, 2);
const GENERATOR_CPU: Figure = figure("generator_cpu", "generator CPU", false, 2);
const CPU_PER_GIB: Figure = figure("server_cpu_per_gib", "CPU s/GiB", false, 3);
const MESSAGES: &[Figure] = &[
    figure("rate", "messages/s", true, 0),
    figure("server_us_per_message", "CPU µs/message", false, 3),
    SERVER_CPU,
    GENERATOR_CPU,
];
const DATAGRAMS: &[Figure] = &[
    figure("rate", "datagrams/s", true, 0),
    figure("server_us_per_datagram", "CPU µs/datagram", false, 3),
    SERVER_CPU,
    GENERATOR_CPU,
];
const LARGE: &[Figure] = &[figure("rate", "messages/s", true, 0), CPU_PER_GIB, SERVER_CPU, GENERATOR_CPU];
const LIVES: &[Figure] = &[
    figure("rate", "connections/s", true, 0),
    figure("server_us_per_connection", "CPU µs/connection", false, 1),
    SERVER_CPU,
    GENERATOR_CPU,
];
const BYTES: &[Figure] = &[figure("gb_per_second", "GB/s", true, 2), CPU_PER_GIB, SERVER_CPU, GENERATOR_CPU];
const MEMORY: &[Figure] = &[
    figure("bytes_per_client", "bytes/client", false, 0),
    figure("private_at_baseline", "at 100 clients", false, 0),
    figure("private_at_all", "at 2,000 clients", false, 0),
];
const PAIRS: &[Figure] = &[
    figure("bytes_per_pair", "bytes/pair", false, 0),
    figure("private_at_baseline", "at 100 pairs", false, 0),
    figure("private_at_all", "at 9,500 pairs", false, 0),
];
const LEFT: &[Figure] = &[
    figure("memory_left", "bytes left", false, 0),
    figure("descriptors_left", "descriptors left", false, 0),
    figure("server_us_per_connection", "CPU µs/connection", false, 1),
];
const OF_COPY: &[Figure] = &[
    figure("of_copy", "share of a copy's rate", true, 3),
    figure("gb_per_second", "GB/s", true, 2),
    figure("copy_gb_per_second", "copy, GB/s", true, 2),
];
const TIME: &[Figure] = &[figure("median_us", "median µs", false, 0), figure("fastest_us", "fastest µs", false, 0)];

const fn echo(name: &'static str, title: &'static str, load: &'static [&'static str]) -> Workload {
    Workload { name, title, kind: Kind::Echo, load, figures: MESSAGES, most_rounds: usize::MAX }
}

const fn transfer(
    name: &'static str,
    title: &'static str,
    join: Join,
    size: usize,
    load: &'static [&'static str],
) -> Workload {
    Workload { name, title, kind: Kind::Transfer(join, size), load, figures: BYTES, most_rounds: usize::MAX }
}

pub(super) const WORKLOADS: [Workload; 20] = [
    echo(
        "echo-1x1",
        "Echo: 1 connection, 1 message of 32 bytes in flight",
        &["echo", "--connections", "1", "--inflight", "1", "--size", "32"],
    ),
    echo(
        "echo-64x1",
        "Echo: 64 connections, 1 message of 32 bytes in flight each",
        &["echo", "--connections", "64", "--inflight", "1", "--size", "32"],
    ),
    echo(
        "echo-8x64",
        "Echo: 8 connections, 64 messages of 32 bytes in flight each",
        &["echo", "--connections", "8", "--inflight", "64", "--size", "32"],
    ),
    Workload {
        figures: LARGE,
        ..echo(
            "echo-64k",
            "Echo: 4 connections, 4 messages of 64 KiB in flight each",
            &["echo", "--connections", "4", "--inflight", "4", "--size", "65536"],
        )
    },
    Workload {
        kind: Kind::Deflate,
        ..echo(
            "deflate-1k",
            "Compressed echo: 8 connections, 8 messages of 1 KiB of JSON in flight each, no context takeover",
            &["deflate", "--connections", "8", "--inflight", "8", "--size", "1024"],
        )
    },
    Workload { figures: LIVES, ..echo("connect", "Connect, upgrade, close: 32 at a time", &["connect"]) },
    Workload {
        figures: MEMORY,
        most_rounds: 3,
        ..echo("idle", "Private memory of an idle WebSocket that has echoed 64 KiB, after 10 s", &["idle"])
    },
    transfer("tcp-tcp", "TCP to TCP", Join::TcpTcp, 65536, &["transfer", "--kind", "tcp-tcp"]),
    transfer("unix-unix", "UNIX to UNIX", Join::UnixUnix, 65536, &["transfer", "--kind", "unix-unix"]),
    Workload {
        name: "pairs",
        title: "Private memory of an idle pair of TCP connections that has carried 64 KiB both ways, after 3 s",
        kind: Kind::Pairs,
        load: &["pairs"],
        figures: PAIRS,
        most_rounds: 1,
    },
    Workload {
        name: "sequence",
        title: "What 100,000 forwarded connections leave that come and go one after another",
        kind: Kind::Pairs,
        load: &["sequence"],
        figures: LEFT,
        most_rounds: 1,
    },
    transfer(
        "ws-tcp-64k",
        "WebSocket to TCP, messages of 64 KiB",
        Join::WsTcp,
        65536,
        &["transfer", "--kind", "ws-tcp", "--size", "65536"],
    ),
    transfer(
        "ws-tcp-1k",
        "WebSocket to TCP, messages of 1 KiB, many in one write",
        Join::WsTcp,
        1024,
        &["transfer", "--kind", "ws-tcp", "--size", "1024"],
    ),
    transfer(
        "tcp-ws-64k",
        "TCP to WebSocket, messages of at most 64 KiB",
        Join::TcpWs,
        65536,
        &["transfer", "--kind", "tcp-ws", "--size", "65536"],
    ),
    transfer(
        "tcp-ws-1k",
        "TCP to WebSocket, messages of at most 1 KiB (`-B 1024`)",
        Join::TcpWs,
        1024,
        &["transfer", "--kind", "tcp-ws", "--size", "1024"],
    ),
    Workload {
        name: "udp-relay",
        title: "UDP to UDP, datagrams of 200 bytes: the highest rate at which less than 0.1 % are lost",
        kind: Kind::Datagrams,
        load: &["datagrams", "--size", "200"],
        figures: DATAGRAMS,
        most_rounds: usize::MAX,
    },
    transfer(
        "prefixed-64k",
        "TCP to TCP through `lengthprefixed:` on both sides, messages of 64 KiB",
        Join::LengthPrefixed,
        65536,
        &["transfer", "--kind", "tcp-tcp", "--framing", "length-prefixed", "--size", "65536"],
    ),
    transfer(
        "lines-64k",
        "TCP to TCP through `lines:` on both sides, lines of 64 KiB",
        Join::Lines,
        65536,
        &["transfer", "--kind", "tcp-tcp", "--framing", "lines", "--size", "65536"],
    ),
    Workload {
        name: "prefixed-memory",
        title: "Length prefixes in memory: messages of 1 KiB written to a pipe and read from it, beside a copy of them",
        kind: Kind::Framing,
        load: &["framing", "--size", "1024"],
        figures: OF_COPY,
        most_rounds: usize::MAX,
    },
    Workload {
        name: "start",
        title: "Start to finish of `-b literal:abc writefile:/dev/null`, 200 runs",
        kind: Kind::Start,
        load: &["start", "--runs", "200"],
        figures: TIME,
        most_rounds: usize::MAX,
    },
];
