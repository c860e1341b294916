//! Options and prefixes that users of Websocat 1, curl and other clients know by heart and that are not here: what to write
//! instead, or that there is nothing yet.
//!
//! A similar name that happens to exist would send them astray. What exists here under the same name is not listed.

/// Names, and what is said about them.
type Row = (&'static [&'static str], &'static str);

const OPTIONS: &[Row] = &[
    (&["--basic-auth", "--user", "--auth"], "write USER:PASSWORD@ in front of the host in the URL"),
    (&["--cacert", "--ca", "--tls-ca-file"], "let the environment variable SSL_CERT_FILE name a file of trusted roots"),
    (
        &["--cert", "--key", "--client-pkcs12-der", "--client-pkcs12-passwd", "--passphrase"],
        "there are no client certificates yet",
    ),
    (
        &["--pkcs12-der", "--pkcs12-passwd", "--tls-cert", "--tls-key"],
        "there is no TLS server yet; put one, such as nginx or socat, in front of ws-l:",
    ),
    (&["--cookie"], "write -H 'Cookie: NAME=VALUE'"),
    (&["--user-agent", "-A"], "write --ua TEXT"),
    (&["--connect", "--listen", "-c", "-l"], "give the URL alone to connect, or -s PORT to listen"),
    (&["--resolve", "--connect-to"], "write ws-c:tcp:IP:PORT, with --ws-c-uri URL"),
    (&["--unix-socket"], "write ws-c:unix:PATH, with --ws-c-uri URL"),
    (&["--location", "-L"], "redirections are not followed; the error names the place"),
    (
        &["--proxy", "--http-proxy", "--socks5", "--socks5-destination", "--socks5-user-pass", "--socks5-bind-script"],
        "there are no proxies yet",
    ),
    (
        &["--one-message", "-1"],
        "there is no limit of messages yet; one answer comes by `printf 'TEXT\\n' | websocat URL`",
    ),
    (&["--max-messages", "--max-messages-rev"], "there is no limit of messages yet"),
    (&["--autoreconnect-delay-millis", "--reconnect"], "there is no reconnecting yet"),
    (
        &["--jsonrpc", "--jsonrpc-omit-jsonrpc"],
        "there is no JSON-RPC yet; type the whole request, or make it with --filter",
    ),
    (
        &["--base64", "--base64-text", "--text-prefix", "--binary-prefix"],
        "lines cannot say yet which are binary; lengthprefixed: keeps every byte and the type",
    ),
    (
        &["--compress-deflate", "--compress-gzip", "--compress-zlib"],
        "there is --compress, which every WebSocket peer may know, and --filter cmd:gzip for a whole stream",
    ),
    (
        &["--uncompress-deflate", "--uncompress-gzip", "--uncompress-zlib"],
        "there is --compress, which every WebSocket peer may know, and --filter-reverse for a whole stream",
    ),
    (&["--crypto-key", "--crypto-reverse"], "there is no encryption of messages yet; wss:// is encrypted"),
    (&["--prometheus"], "there are no metrics yet"),
    (
        &["--timestamp-monotonic"],
        "there is no timestamp: yet; --log-traffic --log-timestamps writes times to standard error",
    ),
    (
        &["--static-file", "-F"],
        "there are no static files yet; scripts can answer with http_reply (doc/src/browsers.md)",
    ),
    (
        &["--set-environment", "-e", "--header-to-env"],
        "children do not get the request as environment yet; scripts can hand it on with `child.env`",
    ),
    (&["-S"], "nothing is split or dropped here: messages of any length pass whole"),
    (
        &["--no-exit-on-zeromsg", "--exit-on-zeromsg", "--websocket-ignore-zeromsg"],
        "an empty message is a message as any other and ends nothing",
    ),
    (&["--queue-len"], "rooms have limits of their own: examples/chat_with_rooms.rhai"),
    (&["--foreachmsg-wait-read"], "there is nothing that opens one connection per message yet"),
    (&["--byte-to-exit-on"], "there is no byte that ends a session yet; Ctrl-D ends the input, Ctrl-C the program"),
    (
        &["--exec-exit-on-disconnect", "--exec-kill-on-disconnect", "--exec-sighup-on-stdin-close"],
        "no option needed: a child is ended with its session (--exec-grace)",
    ),
    (&["--request-method", "-X"], "there are no plain HTTP requests here; curl does them"),
    (&["--udp-oneshot"], "there is --udp-bind-redirect-to-last-seen-address, and udp-server: for many clients"),
    (&["--udp-broadcast"], "write --socket-broadcast"),
    (&["--udp-multicast"], "write --socket-multicast GROUP"),
    (&["--udp-multicast-loop"], "write --socket-multicast-loop true"),
    (&["--udp-multicast-iface-v4"], "write --socket-multicast-interface-addr IPV4"),
    (&["--udp-multicast-iface-v6"], "write --socket-multicast-interface-index N"),
    (&["--udp-ttl"], "write --socket-ttl HOPS, or --socket-multicast-ttl"),
    (&["--udp-reuseaddr"], "write --reuseaddr true"),
    (&["--history", "--readline"], "there is no line editor yet; run it under rlwrap"),
    (&["--close-status"], "write --close-status-code CODE"),
    (&["--subprotocol"], "write --protocol LIST"),
    (&["--no-async-stdio", "--async-stdio"], "standard input and output need no option"),
    (&["--async-fd"], "write async-fd:NUMBER as a specifier"),
    (
        &["--basic-auth-file"],
        "there is no checking of passwords in the server yet; a proxy in front of ws-l: can do it",
    ),
    (&["--no-check"], "write -k"),
    (&["--request-header"], "write -H 'NAME: VALUE'"),
    (&["--request-uri"], "give a URL, or --ws-c-uri URL with ws-c:"),
    (&["--preamble", "-p"], "there is no preamble yet; `(printf 'TEXT\\n'; cat) | websocat URL`"),
    (&["--preamble-reverse", "-P"], "there is no preamble yet"),
    (&["--execute", "--data", "-d"], "write `printf 'TEXT\\n' | websocat URL`"),
    (&["--wait"], "write --linger DURATION"),
    (&["--max-time", "-m"], "write --global-timeout-ms MILLISECONDS"),
    (&["--timeout"], "write --connect-timeout, --handshake-timeout or --idle-timeout DURATION"),
    (&["--include", "-i", "--no-color"], "leave it out"),
    (&["--silent"], "write -q"),
    (&["--linemode-strip-newlines"], "leave it out: the end of a line is no part of a message"),
    (&["--no-line"], "write -b, or chunks: in front of the specifier"),
    (&["--strict"], "there are no limits of lines and messages that drop what is longer"),
];

const PREFIXES: &[Row] = &[
    (&["autoreconnect:"], "there is no reconnecting yet"),
    (
        &["broadcast:", "reuse:", "reuse-broadcast:", "broadcast-reuse:"],
        "a server that gives all clients all messages is examples/chat_with_rooms.rhai",
    ),
    (&["foreachmsg:"], "there is nothing that opens one connection per message yet"),
    (
        &[
            "wss-listen:",
            "wss-l:",
            "l-wss:",
            "listen-wss:",
            "ssl-listen:",
            "ssl-l:",
            "tls-listen:",
            "tls-l:",
            "l-ssl:",
            "listen-ssl:",
            "listen-tls:",
            "ssl-a:",
            "tls-a:",
            "a-ssl:",
            "accept-ssl:",
            "accept-tls:",
            "ssl-accept:",
            "tls-accept:",
        ],
        "there is no TLS server yet; put one, such as nginx or socat, in front of ws-l:",
    ),
    (&["socks5-connect:", "socks5-bind:", "socks5:", "http-proxy:"], "there are no proxies yet"),
    (
        &["unix-dgram:", "abstract-dgram:"],
        "there are no UNIX datagram sockets yet; seqpacket: keeps messages apart, too",
    ),
    (&["waitfordata:", "wait-for-data:"], "there is nothing that waits for data before it connects yet"),
    (&["drop_on_backpressure:"], "messages are dropped for slow ones in rooms and by tee: only"),
    (&["jsonrpc:"], "there is no JSON-RPC yet; type the whole request, or make it with --filter"),
    (&["timestamp:"], "there is none yet; --log-traffic --log-timestamps writes times to standard error"),
    (
        &["exit_on_specific_byte:"],
        "there is no byte that ends a session yet; Ctrl-D ends the input, Ctrl-C the program",
    ),
    (
        &["base64:", "typeprefix:"],
        "lines cannot say yet which are binary; lengthprefixed: keeps every byte and the type",
    ),
    (
        &["compress:"],
        "there is --compress, which every WebSocket peer may know, and --filter cmd:gzip for a whole stream",
    ),
    (&["crypto:"], "there is no encryption of messages yet; wss:// is encrypted"),
    (&["prometheus:", "metrics:"], "there are no metrics yet"),
    (&["clogged:"], "there is none yet; cmd:'sleep 1d' neither reads nor writes"),
    (&["literalreply:"], "there is none yet; a script or cmd: can answer messages"),
    (&["assert:", "assert2:"], "write mock_stream_socket:'W TEXT'"),
    (&["msg2line:", "line2msg:"], "write lines:, which is both"),
    (&["l-ws-unix:"], "write ws-u:unix-l:PATH"),
    (&["l-ws-abstract:"], "write ws-u:abstract-l:NAME"),
    (&["asyncstdio:", "threadedstdio:"], "write `-`: it is standard input and output"),
    (&["open-async:"], "write async-fd:NUMBER, and have the shell open the file: 3<>FILE"),
    (&["inetd-ws:", "ws-inetd:"], "write ws-u:stdio:"),
    (&["http-request:", "http-post-sse:"], "there is no plain HTTP here; curl does it"),
    (&["readline:"], "there is no line editor yet; run it under rlwrap"),
    (&["inetd:"], "write `-`: it is standard input and output"),
];

fn find(rows: &[Row], name: &str) -> Option<&'static str> {
    rows.iter().find(|(names, _)| names.contains(&name)).map(|(_, says)| *says)
}

/// About an option, with its dashes.
pub fn option(name: &str) -> Option<&'static str> {
    find(OPTIONS, name)
}

/// About a prefix, with its colon.
pub fn prefix(name: &str) -> Option<&'static str> {
    find(PREFIXES, name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{cli::Args, endpoints, overlays};
    use clap::CommandFactory as _;

    #[test]
    fn what_exists_is_not_called_missing() {
        let command = Args::command();
        let options: Vec<String> = command
            .get_arguments()
            .flat_map(|arg| {
                let short = arg.get_short().map(|c| format!("-{c}"));
                arg.get_long().map(|name| format!("--{name}")).into_iter().chain(short)
            })
            .collect();
        let forms = endpoints::TABLE.iter().flat_map(|(forms, _)| *forms);
        let forms = forms.chain(overlays::TABLE.iter().flat_map(|(forms, _)| *forms));
        let prefixes: Vec<&str> = forms.flat_map(|form| form.prefixes).copied().collect();
        for name in OPTIONS.iter().flat_map(|(names, _)| *names) {
            assert!(!options.iter().any(|option| option == name), "{name}");
        }
        for name in PREFIXES.iter().flat_map(|(names, _)| *names) {
            assert!(!prefixes.contains(name), "{name}");
        }
        // What is named as the way out is there.
        for option in ["--ua", "--ws-c-uri", "--close-status-code", "--protocol", "-k", "-b", "-q", "-H"] {
            assert!(options.iter().any(|name| name == option), "{option}");
        }
        let advice = OPTIONS.iter().chain(PREFIXES).flat_map(|(_, says)| says.split([' ', ',', ';', '`']));
        for option in advice.filter(|word| word.starts_with("--")) {
            assert!(options.iter().any(|name| name == option), "{option}");
        }
        for prefix in ["async-fd:", "seqpacket:", "ws-c:", "unix:", "tcp:"] {
            assert!(prefixes.contains(&prefix), "{prefix}");
        }
    }

    #[test]
    fn names_are_found_as_typed() {
        assert!(option("--socks5").is_some_and(|says| says.contains("no proxies yet")));
        assert!(prefix("wss-l:").is_some_and(|says| says.contains("no TLS server yet")));
        assert!(option("--tls-key").is_some_and(|says| says.contains("no TLS server yet")));
        assert!(prefix("ssl-a:").is_some_and(|says| says.contains("no TLS server yet")));
        assert_eq!((option("--nothing"), prefix("tcp:")), (None, None));
    }
}
