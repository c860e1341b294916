//! Options that were typed but belong to something that is not there: a warning, not an error, since scripts around the
//! program may give them always.
//!
//! Options stand under the heading of what they belong to; headings that are missing here belong to sessions in general or
//! have conditions of their own in `lint/checks.rs`.

use super::Plan;
use crate::{
    endpoints::{
        Endpoint, file,
        socket_args::{self, OptionGroup, only_version},
        udp_socket::UdpSocket,
    },
    overlays::Overlay,
    spec::Stack,
};
use sockets::net::unix::UnixKind;

/// Heading, what a stack must have, and how that is called.
type Need = (&'static str, fn(&Stack) -> bool, &'static str);

const NEEDS: &[Need] = &[
    ("Processes", |stack| matches!(stack.endpoint, Endpoint::Process(_)), "cmd: or exec:"),
    ("UDP", |stack| stack.endpoint.is_udp(), "UDP socket"),
    ("Files", |stack| matches!(&stack.endpoint, Endpoint::File(file) if file.mode == file::Mode::Write), "writefile:"),
    ("Inherited descriptors", |stack| matches!(stack.endpoint, Endpoint::AsyncFd(_)), "async-fd:"),
    ("UNIX socket files", |stack| matches!(&stack.endpoint, Endpoint::UnixListen(u) if u.has_file()), "unix-listen:"),
    ("SEQPACKET sockets", |stack| is_seqpacket(&stack.endpoint), "seqpacket:"),
    ("Length prefixes", |stack| has(stack, |o| matches!(o, Overlay::LengthPrefixed(_))), "lengthprefixed:"),
    ("WebSocket", |stack| has(stack, is_web_socket), "WebSocket"),
    ("TLS", |stack| has(stack, |o| matches!(o, Overlay::Tls(_))), "TLS"),
];

/// Options that need less than all of what stands under their heading.
const OPTION_NEEDS: &[(&[&str], fn(&Stack) -> bool, &str)] = &[
    (
        &["--oneshot", "--stdout-announce-listening-ports", "--exec-after-listen", "--exec-after-listen-append-port"],
        |stack| stack.endpoint.is_listener() || matches!(&stack.endpoint, Endpoint::UdpSocket(UdpSocket::Bound(_))),
        "listener",
    ),
    (
        &["--connect-timeout"],
        |stack| matches!(stack.endpoint, Endpoint::TcpConnect(_) | Endpoint::UnixConnect(_)),
        "TCP or UNIX client",
    ),
    (
        &["--tcp-race-interval-ms", "--late-resolve"],
        |stack| matches!(stack.endpoint, Endpoint::TcpConnect(_)),
        "TCP client",
    ),
    (
        &[
            "--udp-server-timeout-ms",
            "--udp-server-max-clients",
            "--udp-server-buffer-size",
            "--udp-server-qlen",
            "--udp-server-backpressure",
        ],
        |stack| matches!(stack.endpoint, Endpoint::UdpServer(_)),
        "udp-server:",
    ),
    (
        &["--ws-c-uri", "--header", "--origin", "--ua", "--protocol", "--websocket-version"],
        |stack| has(stack, |o| matches!(o, Overlay::WsRequest(_))),
        "WebSocket client",
    ),
    (
        &["--server-header", "--server-protocol", "--server-protocol-lax", "--server-protocol-choose-first"],
        |stack| has(stack, |o| matches!(o, Overlay::WsAccept(_))),
        "WebSocket server",
    ),
    (&["--random-fast"], |stack| matches!(stack.endpoint, Endpoint::Random(_)), "random:"),
    (
        &["--dummy-hangup"],
        |stack| matches!(stack.endpoint, Endpoint::DummyStream(_) | Endpoint::DummyDatagrams(_)),
        "empty: or devnull:",
    ),
    (
        &["--log-verbose", "--log-omit-content", "--log-hex", "--log-timestamps"],
        |stack| has(stack, |o| matches!(o, Overlay::Log(_))),
        "log: or --log-traffic",
    ),
    (
        &["--reuser-tolerate-torn-msgs"],
        |stack| matches!(stack.endpoint, Endpoint::Reuser(_)),
        "socket that clients share",
    ),
    (
        &["--read-buffer-limit"],
        |stack| has(stack, |o| matches!(o, Overlay::ReadChunkLimiter(_))),
        "read_chunk_limiter:",
    ),
    (
        &["--write-buffer-limit"],
        |stack| has(stack, |o| matches!(o, Overlay::WriteChunkLimiter(_))),
        "write_chunk_limiter:",
    ),
];

fn has(stack: &Stack, is_it: fn(&Overlay) -> bool) -> bool {
    stack.overlays.iter().any(is_it)
}

fn is_seqpacket(endpoint: &Endpoint) -> bool {
    match endpoint {
        Endpoint::UnixConnect(unix) => unix.address.kind == UnixKind::Seqpacket,
        Endpoint::UnixListen(unix) => unix.kind == UnixKind::Seqpacket,
        _ => false,
    }
}

fn is_web_socket(overlay: &Overlay) -> bool {
    // Time limits of handshakes hold for TLS, too.
    matches!(overlay, Overlay::WsFramer(_) | Overlay::WsRequest(_) | Overlay::WsAccept(_) | Overlay::Tls(_))
}

/// Of what will be run: the options without effect by what they need.
pub fn unused(plan: &Plan) -> Vec<(String, &'static str)> {
    let mut found = socket_options(plan);
    for (heading, is_there, name) in NEEDS {
        let typed = plan.args.typed.iter().filter(|typed| typed.heading == *heading);
        let names: Vec<&str> = typed.map(|typed| &*typed.name).collect();
        if !names.is_empty() && !plan.stacks().any(|stack| stack.any(is_there)) {
            found.push((names.join(", "), *name));
        }
    }
    let said: Vec<String> = found.iter().flat_map(|(names, _)| names.split(", ").map(str::to_owned)).collect();
    for (options, is_there, name) in OPTION_NEEDS {
        let typed = plan.args.typed.iter().map(|typed| &*typed.name);
        // What lacks even its heading's thing was said above.
        let names: Vec<&str> = typed.filter(|name| options.contains(name) && !said.iter().any(|s| s == name)).collect();
        if !names.is_empty() && !plan.stacks().any(|stack| stack.any(is_there)) {
            found.push((names.join(", "), *name));
        }
    }
    found
}

/// Socket options that no socket takes.
fn socket_options(plan: &Plan) -> Vec<(String, &'static str)> {
    let exclude = plan.args.endpoints.sockets.exclude_ws_from_sockopts;
    let endpoints: Vec<_> = plan.stacks().flat_map(Stack::endpoints).collect();
    let sockets: Vec<_> = endpoints.iter().filter(|(_, ws)| !(*ws && exclude)).map(|(e, _)| e.sockets()).collect();
    let mut found: Vec<(String, &'static str)> = vec![];
    for typed in plan.args.typed.iter().filter(|typed| typed.heading == socket_args::HEADING) {
        let needs = match OptionGroup::of(&typed.name) {
            None if endpoints.iter().any(|(_, ws)| *ws) => continue,
            None => "WebSocket",
            Some(group) => {
                let version = only_version(&typed.name);
                let fits = |v6: Option<bool>| version.is_none() || v6.is_none() || v6 == version;
                if sockets.iter().any(|s| s.groups.iter().any(|group| group.has(&typed.name)) && fits(s.v6)) {
                    continue;
                }
                match version {
                    Some(true) => "IPv6 socket",
                    Some(false) => "IPv4 socket",
                    None => group.owner(),
                }
            }
        };
        match found.iter_mut().find(|(_, what)| *what == needs) {
            Some((names, _)) => *names = format!("{names}, {}", typed.name),
            None => found.push((typed.name.clone(), needs)),
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use crate::cli::{CommandLine, Tree};
    use clap::CommandFactory as _;

    fn unused(line: &[&str]) -> Vec<(String, &'static str)> {
        let words = [&["websocat", "-b"], line].concat().into_iter().map(Into::into);
        let Tree::Part(part) = CommandLine::read(words).unwrap().sessions else { panic!() };
        let mut plan = crate::plan::parse(&part.args).unwrap();
        crate::plan::rewrite(&mut plan).unwrap();
        super::unused(&plan)
    }

    #[test]
    fn options_of_what_is_not_there_are_found() {
        let one = |options: &str, what| vec![(options.to_owned(), what)];
        for (line, expected) in [
            (
                &["--lengthprefixed-nbytes", "2", "tcp:h:1", "mirror:"][..],
                one("--lengthprefixed-nbytes", "lengthprefixed:"),
            ),
            (&["--write-file-no-overwrite", "readfile:x", "mirror:"], one("--write-file-no-overwrite", "writefile:")),
            (&["-n", "--origin", "x", "tcp:h:1", "mirror:"], one("--no-close, --origin", "WebSocket")),
            (&["-k", "ws://h", "mirror:"], one("--insecure", "TLS")),
            (&["exec:ls", "mirror:", "--exec-args", "x"], vec![]),
            (&["-n", "reuse-raw:ws-l:1", "mirror:"], vec![]),
            (&["-n", "-k", "--filter", "wss://h/", "tcp:h:1", "mirror:"], vec![]),
            (&["--handshake-timeout", "1s", "tls:tcp:h:1", "mirror:"], vec![]),
            (&["--unlink", "--chmod-group", "unix-l:x", "mirror:"], vec![]),
            (&["--unlink", "unix-l-fd:3", "mirror:"], one("--unlink", "unix-listen:")),
            (&["--unlink", "abstract-l:x", "unix:y"], one("--unlink", "unix-listen:")),
            (&["--seqpacket-max-send-datagram-size", "9", "seqpacket:x", "mirror:"], vec![]),
            (
                &["--seqpacket-max-send-datagram-size", "9", "unix:x", "mirror:"],
                one("--seqpacket-max-send-datagram-size", "seqpacket:"),
            ),
            (&["--socket-send-buffer-size", "9000", "--socket-listen-backlog", "5", "unix-l:x", "mirror:"], vec![]),
            (&["--socket-ttl", "9", "unix:x", "mirror:"], one("--socket-ttl", "TCP or UDP socket")),
            (&["--socket-listen-backlog", "9", "tcp-l-fd:3", "mirror:"], one("--socket-listen-backlog", "listener")),
            (&["--socket-nodelay", "true", "--reuseport", "tcp:h:1", "mirror:"], vec![]),
            (&["--socket-ttl", "9", "mirror:", "--tee", "ws://h/"], vec![]),
            (
                &["--socket-mss", "900", "--socket-mark", "1", "mirror:", "-"],
                vec![("--socket-mark".into(), "TCP or UDP socket"), ("--socket-mss".into(), "TCP socket")],
            ),
            (&["--socket-listen-backlog", "9", "tcp:h:1", "mirror:"], one("--socket-listen-backlog", "listener")),
            (&["--bind-before-connect", "127.0.0.1", "ws-l:1", "mirror:"], one("--bind-before-connect", "TCP client")),
            (&["--socket-tos-v4", "8", "tcp:[::1]:1", "mirror:"], one("--socket-tos-v4", "IPv4 socket")),
            (&["--socket-only-v6", "true", "tcp-l:1", "mirror:"], vec![]),
            (&["--exclude-ws-from-sockopts", "tcp:h:1", "mirror:"], one("--exclude-ws-from-sockopts", "WebSocket")),
            (
                &["--exclude-ws-from-sockopts", "--socket-ttl", "9", "ws-l:1", "reuse-raw:ws-c:tcp:h:1"],
                one("--socket-ttl", "TCP or UDP socket"),
            ),
        ] {
            let mut found = unused(line);
            for (options, _) in &mut found {
                let mut names: Vec<_> = options.split(", ").collect();
                names.sort_unstable();
                *options = names.join(", ");
            }
            assert_eq!(found, expected, "{line:?}");
        }
    }

    #[test]
    fn headings_are_those_of_the_options() {
        let command = crate::cli::Args::command();
        for (heading, ..) in super::NEEDS {
            assert!(command.get_arguments().any(|option| option.get_help_heading() == Some(heading)), "{heading}");
        }
    }
}
