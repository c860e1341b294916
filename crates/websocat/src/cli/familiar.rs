//! Options and prefixes that users of Websocat 1, curl and other clients know by heart and that are not here: what to write
//! instead, or that there is nothing yet.
//!
//! A similar name that happens to exist would send them astray. What exists here under the same name is not listed.

/// Names, and what is said about them.
type Row = (&'static [&'static str], &'static str);

const OPTIONS: &[Row] = &[
    (&["--basic-auth", "--user", "--auth"], "write USER:PASSWORD@ in front of the host in the URL"),
    (&["--cacert", "--ca"], "let the environment variable SSL_CERT_FILE name a file of trusted roots"),
    (
        &["--cert", "--key", "--client-pkcs12-der", "--client-pkcs12-passwd", "--passphrase"],
        "there are no client certificates yet",
    ),
    (
        &["--pkcs12-der", "--pkcs12-passwd"],
        "there is no TLS server yet; put one, such as nginx or socat, in front of ws-l:",
    ),
    (
        &["--basic-auth-file"],
        "there is no checking of passwords in the server yet; a proxy in front of ws-l: can do it",
    ),
    (&["--no-check"], "write -k"),
    (&["--cookie"], "write -H 'Cookie: NAME=VALUE'"),
    (&["--request-header"], "write -H 'NAME: VALUE'"),
    (&["--request-uri"], "give a URL, or --ws-c-uri URL with ws-c:"),
    (&["--user-agent", "-A"], "write --ua TEXT"),
    (&["--connect", "--listen", "-c", "-l"], "give the URL alone to connect, or -s PORT to listen"),
    (&["--resolve", "--connect-to"], "write ws-c:tcp:IP:PORT, with --ws-c-uri URL"),
    (&["--unix-socket"], "write ws-c:unix:PATH, with --ws-c-uri URL"),
    (&["--location", "-L"], "redirections are not followed; the error names the place"),
    (&["--proxy", "--socks5", "--socks5-destination"], "there are no proxies yet"),
    (
        &["--one-message", "-1"],
        "there is no limit of messages yet; one answer comes by `printf 'TEXT\\n' | websocat URL`",
    ),
    (&["--max-messages", "--max-messages-rev"], "there is no limit of messages yet"),
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
    (&["--set-environment", "-e", "--header-to-env"], "a script can give children what a request says: request_header"),
    (&["--exec-sighup-on-stdin-close", "--exec-exit-on-disconnect"], "write --exec-grace DURATION"),
    (&["--udp-multicast"], "write --socket-multicast IP"),
    (&["--udp-multicast-loop"], "write --socket-multicast-loop true"),
    (&["--udp-broadcast"], "write --socket-broadcast"),
    (&["--udp-reuseaddr"], "write --reuseaddr true"),
    (&["--udp-ttl"], "write --socket-ttl HOPS, or --socket-multicast-ttl HOPS"),
    (&["--udp-oneshot"], "there is none that answers once; udp-server: keeps clients apart"),
    (
        &["--base64", "--base64-text", "--binary-prefix", "--text-prefix"],
        "there are no marks for kinds of messages yet",
    ),
    (
        &["--compress-deflate", "--compress-gzip", "--compress-zlib"],
        "contents are not compressed; --compress-level is about WebSocket compression, which is on anyway",
    ),
    (&["--uncompress-deflate", "--uncompress-gzip", "--uncompress-zlib"], "contents are not uncompressed"),
    (&["--byte-to-exit-on", "--queue-len", "--jsonrpc", "--static-file", "--prometheus"], "there is no such thing yet"),
    (&["--crypto-key", "--crypto-reverse"], "there is no such thing yet; wss:// encrypts"),
    (&["--autoreconnect-delay-millis", "--reconnect"], "there is no reconnecting yet"),
    (&["--close-status"], "write --close-status-code CODE"),
    (&["--subprotocol"], "write --protocol LIST"),
    (&["--no-async-stdio", "--async-stdio"], "standard input and output need no option"),
    (&["--async-fd"], "write async-fd:NUMBER as a specifier"),
];

const PREFIXES: &[Row] = &[
    (&["autoreconnect:"], "there is no reconnecting yet"),
    (
        &["broadcast:", "reuse:", "reuse-broadcast:"],
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
            "ssl-accept:",
            "tls-accept:",
        ],
        "there is no TLS server yet; put one, such as nginx or socat, in front of ws-l:",
    ),
    (&["socks5-connect:", "socks5-bind:"], "there are no proxies yet"),
    (
        &["unix-dgram:", "abstract-dgram:"],
        "there are no UNIX datagram sockets yet; seqpacket: keeps messages apart, too",
    ),
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
        assert_eq!((option("--nothing"), prefix("tcp:")), (None, None));
    }
}
