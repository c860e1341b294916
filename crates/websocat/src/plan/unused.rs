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
        |stack| stack.endpoint.is_listener() || is_bound(&stack.endpoint),
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
            "--udp-server-qbytes",
            "--udp-server-backpressure",
        ],
        |stack| matches!(stack.endpoint, Endpoint::UdpServer(_)),
        "udp-server:",
    ),
    (
        &[
            "--udp-bind-target-addr",
            "--udp-bind-restrict-to-one-address",
            "--udp-bind-redirect-to-last-seen-address",
            "--udp-bind-connect-to-first-seen-address",
        ],
        |stack| is_bound(&stack.endpoint),
        "udp-bind:",
    ),
    (
        &["--udp-bind-inhibit-send-errors"],
        |stack| is_bound(&stack.endpoint) || matches!(stack.endpoint, Endpoint::UdpServer(_)),
        "udp-bind: or udp-server:",
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
    (
        &["--handshake-timeout"],
        |stack| has(stack, |o| shakes_hands(o) || matches!(o, Overlay::Tls(_))),
        "handshake of TLS or WebSocket",
    ),
    (
        &["--max-header-bytes", "--max-headers", "--ws-dont-check-headers", "--ws-omit-headers"],
        |stack| has(stack, shakes_hands),
        "handshake of a WebSocket",
    ),
    (
        &[
            "--no-close",
            "--close-status-code",
            "--close-reason",
            "--text-invalid",
            "--ping-interval",
            "--ping-timeout",
            "--max-sent-pings",
            "--inhibit-pongs",
            "--max-control-rate",
            "--max-ws-frame-length",
            "--max-ws-message-length",
            "--ws-ignore-invalid-masks",
            "--ws-no-flush",
            "--ws-no-auto-buffer",
            "--ws-shutdown-socket-on-eof",
        ],
        |stack| has(stack, |o| matches!(o, Overlay::WsFramer(_))),
        "WebSocket",
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

fn is_bound(endpoint: &Endpoint) -> bool {
    matches!(endpoint, Endpoint::UdpSocket(UdpSocket::Bound(_)))
}

fn is_web_socket(overlay: &Overlay) -> bool {
    // Time limits of handshakes hold for TLS, too.
    shakes_hands(overlay) || matches!(overlay, Overlay::WsFramer(_) | Overlay::Tls(_))
}

/// The HTTP part of a WebSocket.
fn shakes_hands(overlay: &Overlay) -> bool {
    matches!(overlay, Overlay::WsRequest(_) | Overlay::WsAccept(_))
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
    use crate::{
        cli::{CommandLine, Tree},
        endpoints::{EndpointArgs, tcp_connect::TcpConnectArgs, tcp_listen::ListenArgs, udp::UdpArgs},
        overlays::{
            HandshakeArgs, OverlayArgs,
            ws_accept::AcceptArgs,
            ws_framer::{CompressArgs, FramerArgs},
            ws_request::RequestArgs,
        },
        plan::lint::UNUSED_OPTION,
    };
    use clap::{Args as _, CommandFactory as _};

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

    type Options = fn(clap::Command) -> clap::Command;

    /// Among these are values for all options.
    const VALUES: &[&str] =
        &["1", "1k", "12", "127.0.0.1", "127.0.0.1:1", "a: b", "ws://h/", "/x", "true", "1000", "drop-oldest", "fail"];

    /// Options that others need, which have to be told all the same.
    const NEEDED_BY: &[(&str, &str)] =
        &[("--tee-backlog", "--tee-slow=drop-oldest"), ("--close-reason", "--close-status-code=1000")];

    /// How messages call several options at once.
    const TOGETHER: &[&str] = &["separator options", "compression options", "options of tee:"];

    /// What is told or refused in another way, asks for something by itself, or asks for what is so anyway.
    const NOT_UNUSED: &[&str] = &["--accept-from-fd", "--exec-dup2", "--write-splitoff", "--tee", "--no-compress"];

    /// Whether somebody is told that an option has no effect; None: no value fits it.
    fn is_told(name: &str, option: &clap::Arg, line: &[&str]) -> Option<bool> {
        let given: Vec<String> = match option.get_action().takes_values() {
            true => VALUES.iter().map(|value| format!("{name}={value}")).collect(),
            false => vec![name.to_owned()],
        };
        let needed = NEEDED_BY.iter().filter(|(by, _)| *by == name).map(|(_, needed)| *needed);
        let others: Vec<&str> = needed.chain(line.iter().copied()).collect();
        given.iter().find_map(|given| {
            let words = ["websocat", "-b", given].iter().chain(&others).map(Into::into).collect();
            let mut plan = crate::plan::parse(&crate::cli::Args::parse_words(words).ok()?.into()).ok()?;
            crate::plan::rewrite(&mut plan).ok()?;
            let mut unused = plan.findings.list().iter().filter(|finding| *finding.lint == UNUSED_OPTION);
            let told = |text: &str| text.contains(name) || TOGETHER.iter().any(|options| text.starts_with(options));
            Some(unused.any(|finding| told(&finding.text)))
        })
    }

    /// Those of these options of which nobody is told that they have no effect on a command line.
    fn untold(options: Options, line: &[&str]) -> Vec<String> {
        let command = options(clap::Command::new("options"));
        let named = command.get_arguments().filter_map(|option| Some((format!("--{}", option.get_long()?), option)));
        let named: Vec<_> = named.filter(|(name, _)| !NOT_UNUSED.contains(&&**name)).collect();
        assert!(!named.is_empty());
        named
            .iter()
            .filter_map(|(name, option)| match is_told(name, option, line) {
                Some(true) => None,
                Some(false) => Some(format!("{name} {line:?}")),
                None => Some(format!("{name}: no value fits it")),
            })
            .collect()
    }

    #[test]
    fn every_option_of_an_endpoint_or_overlay_is_told_where_it_has_no_effect() {
        const FRAMES: &[&str] = &["ws-ll-client:tcp:h:1", "readfile:x"];
        const CLIENT: &[&str] = &["ws-ll-client:ws-request:tcp:h:1", "readfile:x"];
        let lines: &[(Options, &[&str])] = &[
            // None of what they belong to is there.
            (EndpointArgs::augment_args, &["literal:x", "readfile:x"]),
            (OverlayArgs::augment_args, &["literal:x", "readfile:x"]),
            // Something is there that shares their heading.
            (TcpConnectArgs::augment_args, &["tcp-l:1", "readfile:x"]),
            (ListenArgs::augment_args, &["tcp:h:1", "readfile:x"]),
            (RequestArgs::augment_args, &["ws-l:1", "readfile:x"]),
            (RequestArgs::augment_args, FRAMES),
            (AcceptArgs::augment_args, CLIENT),
            (AcceptArgs::augment_args, FRAMES),
            (FramerArgs::augment_args, &["tls:tcp:h:1", "readfile:x"]),
            (HandshakeArgs::augment_args, FRAMES),
            (CompressArgs::augment_args, CLIENT),
        ];
        let mut found: Vec<String> = lines.iter().flat_map(|(options, line)| untold(*options, line)).collect();
        // The one option that all UDP endpoints have.
        let udp = untold(UdpArgs::augment_args, &["udp:h:1", "readfile:x"]);
        found.extend(udp.into_iter().filter(|text| !text.starts_with("--udp-max-send-datagram-size")));
        assert_eq!(found, Vec::<String>::new());
    }

    #[test]
    fn headings_are_those_of_the_options() {
        let command = crate::cli::Args::command();
        for (heading, ..) in super::NEEDS {
            assert!(command.get_arguments().any(|option| option.get_help_heading() == Some(heading)), "{heading}");
        }
    }
}
