//! Tests over the whole list: prefixes, documentation, values, printed scripts.

use super::*;
use crate::{cli::Args, spec::Stack};
use clap::Parser as _;
use std::{collections::HashSet, sync::Arc};

fn forms() -> impl Iterator<Item = &'static Form> {
    TABLE.iter().flat_map(|(forms, _)| *forms)
}

fn parse(text: &str) -> Result<Endpoint> {
    for (forms, parse) in TABLE {
        for form in *forms {
            if let Some(value) = form.prefixes.iter().find_map(|p| text.strip_prefix(p)) {
                return parse(form, value.as_ref());
            }
        }
    }
    panic!("no prefix fits {text}");
}

/// The script of an endpoint alone, with the socket as its last line.
fn script(text: &str, args: &[&str]) -> Result<String> {
    let args = Args::try_parse_from([&["websocat"], args].concat()).unwrap();
    let mut script = Script::new(Arc::new(args), crate::plan::Names::default());
    let stack = Stack { endpoint: parse(text)?, overlays: Vec::new() };
    stack.emit(&mut script, &mut |script, socket| {
        script.line(&socket);
        Ok(())
    })?;
    Ok(script.finish())
}

#[test]
fn prefixes_are_unique_and_none_hides_another() {
    let all: Vec<&str> = forms().flat_map(|f| f.prefixes).copied().collect();
    for (i, a) in all.iter().enumerate() {
        assert!(a.ends_with(':') || a.ends_with("://"), "{a}");
        for (j, b) in all.iter().enumerate() {
            assert!(i == j || !b.starts_with(a), "{a} hides {b}");
        }
    }
}

#[test]
fn forms_are_documented() {
    let mut names = HashSet::new();
    for form in forms() {
        assert!(names.insert(form.name), "two forms are called {}", form.name);
        assert!(form.doc.ends_with('.') && form.doc.len() > 15, "{}", form.name);
        assert!(!form.prefixes.is_empty(), "{}", form.name);
    }
}

#[test]
fn what_takes_no_value_says_so() {
    for form in forms().filter(|f| f.value.is_empty()) {
        for prefix in form.prefixes {
            assert!(parse(prefix).is_ok(), "{prefix}");
            let e = parse(&format!("{prefix}x")).unwrap_err().to_string();
            assert!(e.contains(form.prefixes[0]) && e.contains("`x` is too much"), "{e}");
        }
    }
}

#[test]
fn a_missing_value_is_an_error_that_says_what_to_write() {
    for text in
        ["tcp:", "tcp-l:", "ws-l:", "ws://", "wss://", "readfile:", "writefile:", "appendfile:", "exec:", "cmd:"]
    {
        let e = parse(text).unwrap_err();
        assert!(e.to_string().contains("write "), "{text}: {e}");
        assert_eq!(e.kind, Kind::Usage);
    }
    assert!(parse("literal:").is_ok());
    assert!(parse("mock_stream_socket:").is_ok());
}

#[test]
fn bad_addresses_to_connect_to() {
    for (text, part) in [
        ("tcp:h", "port is missing"),
        ("tcp::80", "host is missing"),
        ("tcp:h:", "is not a port"),
        ("tcp:h:x", "is not a port"),
        ("tcp:h:+1", "is not a port"),
        ("tcp:h:0", "port 0"),
        ("tcp:127.0.0.1:0", "port 0"),
        ("tcp:::1:80", "not an address"),
        ("tcp:[::1]", "not an address"),
        ("tcp:ä:1", "xn--"),
        ("tcp:a b:1", "cannot be in a host name"),
        ("literal-base64:*", "not base64"),
    ] {
        let e = parse(text).unwrap_err().to_string();
        assert!(e.contains(part), "{text}: {e}");
    }
}

#[cfg(unix)]
#[test]
fn bytes_that_are_not_text() {
    use std::os::unix::ffi::OsStrExt as _;
    let path = OsStr::from_bytes(b"f\xff");
    let file = <file::File as EndpointSpec>::parse(&file::File::FORMS[0], path).unwrap();
    assert_eq!(file.path, path);
    let e = <literal::Literal as EndpointSpec>::parse(&literal::Literal::FORMS[0], path).unwrap_err();
    assert!(e.to_string().contains("literal-base64:"), "{e}");
}

#[test]
fn kinds_and_roles() {
    for (text, kind, listener, single) in [
        ("tcp:h:1", Some(SocketKind::Stream), false, false),
        ("tcp-l:1", Some(SocketKind::Stream), true, false),
        ("ws-l:1", Some(SocketKind::Datagram), true, false),
        ("ws://h", Some(SocketKind::Datagram), false, false),
        ("stdio:", Some(SocketKind::Stream), false, true),
        ("mirror:", None, false, false),
        ("empty:", Some(SocketKind::Datagram), false, false),
        ("devnull:", Some(SocketKind::Stream), false, false),
        ("readfile:f", Some(SocketKind::Stream), false, false),
        ("writefile:f", Some(SocketKind::Stream), false, true),
        ("appendfile:f", Some(SocketKind::Stream), false, true),
    ] {
        let endpoint = parse(text).unwrap();
        assert_eq!((endpoint.kind(), endpoint.is_listener(), endpoint.is_single()), (kind, listener, single), "{text}");
    }
}

#[test]
fn scripts_of_simple_endpoints() {
    for (text, args, expected) in [
        ("literal:a\"b", &[][..], "let lit1 = literal_socket(\"a\\\"b\");\nlit1\n"),
        ("literal-base64:b2sK", &[], "let lit1 = literal_socket_base64(\"b2sK\");\nlit1\n"),
        ("zero:", &[], "let zero1 = zero_socket();\nzero1\n"),
        ("random:", &[], "let random1 = random_socket(#{});\nrandom1\n"),
        ("random:", &["--random-fast"], "let random1 = random_socket(#{fast: true});\nrandom1\n"),
        ("empty:", &[], "let dummy1 = dummy_datagram_socket();\ndummy1\n"),
        (
            "devnull:",
            &["--dummy-hangup"],
            "let dummy1 = dummy_stream_socket();\nput_hangup_part(dummy1, pre_triggered_hangup_handle());\ndummy1\n",
        ),
        ("stdio:", &[], "let stdio1 = stdio_socket();\nstdio1\n"),
        ("mss:R x", &[], "let mock1 = mock_stream_socket(\"R x\");\nmock1\n"),
        ("readfile:f", &["--write-file-auto-rename"], "file_socket(#{}, osstr_str(\"f\"), |file1| {\n  file1\n})\n"),
        (
            "writefile:f",
            &["--write-file-no-overwrite"],
            "file_socket(#{no_overwrite: true, write: true}, osstr_str(\"f\"), |file1| {\n  file1\n})\n",
        ),
        ("appendfile:f", &[], "file_socket(#{append: true}, osstr_str(\"f\"), |file1| {\n  file1\n})\n"),
    ] {
        assert_eq!(script(text, args).unwrap(), expected);
    }
    assert!(script("mirror:", &[]).unwrap_err().to_string().contains("bytes or messages"));
    assert!(script("ws://h", &[]).unwrap_err().to_string().contains("bug of the planner"));
}

#[test]
fn scripts_of_connections() {
    assert_eq!(
        script("tcp:127.0.0.1:1", &[]).unwrap(),
        "connect_tcp(#{addr: \"127.0.0.1:1\", timeout_ms: 30000}, |tcp1| {\n  tcp1\n})\n"
    );
    assert_eq!(
        script("tcp:h:1", &["--connect-timeout", "inf", "--tcp-race-interval-ms", "7"]).unwrap(),
        "lookup_host(\"h:1\", |addrs1| {\n  connect_tcp_race(#{race_interval_ms: 7}, addrs1, |tcp1| {\n    tcp1\n  })\n})\n"
    );
}

#[test]
fn scripts_of_listeners() {
    let plain = script("tcp-l:127.0.0.1:0", &[]).unwrap();
    assert_eq!(
        plain,
        "listen_tcp(#{addr: \"127.0.0.1:0\", autospawn: true}, |addr1| {\n  dummy_task()\n\
         }, |tcp1, from1| {\n  tcp1\n})\n"
    );
    let announced = script(
        "tcp-l:0",
        &["--stdout-announce-listening-ports", "--exec-after-listen", "x \"y\"", "--exec-after-listen-append-port"],
    )
    .unwrap();
    assert!(announced.contains("\"LISTEN proto=tcp,ip=\" + addr1.get_ip()"), "{announced}");
    assert!(announced.contains(r#"hangup2task(system("x \"y\"" + " " + str(addr1.get_port())))"#), "{announced}");
}

#[cfg(unix)]
#[test]
fn scripts_of_processes() {
    let tail = "cmd1.configure_fds(2, 2, 1);\ncmd1.supervise(#{grace_ms: 10000});\nlet chld1 = cmd1.execute();\nlet pstdio1 = chld1.socket();\npstdio1\n";
    assert_eq!(
        script("exec:p", &["--exec-args", "a", "--b", "-c", "--"]).unwrap(),
        format!(
            "let cmd1 = subprocess_new(\"p\");\ncmd1.arg(\"a\");\ncmd1.arg(\"--b\");\ncmd1.arg(\"-c\");\ncmd1.arg(\"--\");\n{tail}"
        )
    );
    assert_eq!(script("exec:p", &["--exec-args"]).unwrap(), format!("let cmd1 = subprocess_new(\"p\");\n{tail}"));
    assert_eq!(
        script("sh-c:a | b", &[]).unwrap(),
        format!("let cmd1 = subprocess_new(\"sh\");\ncmd1.arg(\"-c\");\ncmd1.arg(\"a | b\");\n{tail}")
    );
}

mod functions {
    //! The native functions of endpoints, through scripts.

    use crate::functions::testing::{eval_error, run_script, run_under};
    use sockets::stop::Stop;
    use std::time::Duration;

    /// What a hanging test shall not exceed.
    const LONG: Duration = Duration::from_secs(20);

    /// Copies what a socket gives into a scripted peer that expects it.
    async fn gives(socket: &str, expected: &str) {
        let script = format!(
            "copy_bytes(100, take_read_part({socket}), take_write_part(mock_stream_socket(\"W {expected}|D\")))"
        );
        assert!(run_script(&script).await.is_ok(), "{script}");
    }

    #[tokio::test]
    async fn fixed_content() {
        gives("literal_socket(\"ok\\n\")", "ok\\\\n").await;
        gives("literal_socket_base64(\"b2sK\")", "ok\\\\n").await;
        assert!(eval_error("literal_socket_base64(\"*\")").contains("not base64"));
        let script = "exchange_bytes(#{}, dummy_stream_socket(), dummy_stream_socket())";
        assert!(run_script(script).await.is_ok());
        let script = "exchange_packets(#{}, dummy_datagram_socket(), dummy_datagram_socket())";
        assert!(run_script(script).await.is_ok());
    }

    /// In real time: endless sources keep a paused clock from moving on.
    #[tokio::test]
    async fn endless_content() {
        for call in ["zero_socket()", "random_socket(#{})", "random_socket(#{fast: true})"] {
            let script = format!("race([exchange_bytes(#{{}}, {call}, zero_socket()), sleep_ms(20)])");
            tokio::time::timeout(LONG, run_script(&script)).await.unwrap().unwrap();
        }
        let e = eval_error("random_socket(#{fast: 5})");
        assert!(e.contains("`fast`"), "{e}");
        let e = eval_error("random_socket(#{fest: true})");
        assert!(e.contains("unknown option `fest`"), "{e}");
    }

    #[tokio::test]
    async fn mirrors() {
        let script =
            r#"exchange_bytes(#{}, mock_stream_socket("R hello|W hello|X|D"), bytemirror_socket(#{max_buf_size: 3}))"#;
        assert!(run_script(script).await.is_ok());
        for mirror in ["packetmirror_socket(#{})", "datagram_logger(#{}, packetmirror_socket(#{}))"] {
            for (left, right) in [("ours", mirror), (mirror, "ours")] {
                let script = format!(
                    "let ours = stream_chunks(mock_stream_socket(\"R hello|W hello|X|D\")); exchange_packets(#{{}}, {left}, {right})"
                );
                assert!(run_script(&script).await.is_ok(), "{script}");
            }
        }
        let hangup = r#"let m = packetmirror_socket(#{}); put_hangup_part(m, pre_triggered_hangup_handle());
            exchange_packets(#{}, stream_chunks(mock_stream_socket("")), m)"#;
        assert!(run_script(hangup).await.is_ok());
        for (script, part) in [
            ("bytemirror_socket(#{})", "option `max_buf_size` is missing"),
            ("bytemirror_socket(#{max_buf_size: 0})", "at least one byte"),
            ("bytemirror_socket(#{max_buf_size: \"x\"})", "`max_buf_size`"),
            ("packetmirror_socket(#{max_buf_size: 1})", "unknown option"),
            ("mock_stream_socket(\"?\")", "?"),
        ] {
            let e = eval_error(script);
            assert!(e.contains(part), "{script}: {e}");
        }
    }

    #[tokio::test]
    async fn files() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("f");
        let text = path.to_str().unwrap();
        let file = |opts: &str, content: &str| {
            let write = format!("copy_bytes(9, take_read_part(literal_socket(\"{content}\")), take_write_part(f))");
            format!("file_socket(#{{{opts}}}, osstr_str(\"{text}\"), |f| {write})")
        };
        for (opts, content, expected) in [
            ("write: true", "one ", "one "),
            ("append: true", "two", "one two"),
            ("write: true, auto_rename: true", "no", "one two"),
        ] {
            assert!(run_script(&file(opts, content)).await.is_ok());
            assert_eq!(std::fs::read_to_string(&path).unwrap(), expected);
        }
        let read = "copy_bytes(9, take_read_part(f), take_write_part(mock_stream_socket(\"W one two|D\")))";
        assert!(run_script(&format!("file_socket(#{{}}, osstr_str(\"{text}\"), |f| {read})")).await.is_ok());
        let (e, _) = run_script(&file("write: true, no_overwrite: true", "x")).await.unwrap_err();
        assert!(e.exit_code() == 25 && e.to_string().contains(text), "{e}");
        let missing = "file_socket(#{}, osstr_str(\"/no/such/file\"), |f| dummy_task())";
        let (e, _) = run_script(missing).await.unwrap_err();
        assert!(e.exit_code() == 25 && e.to_string().contains("/no/such/file"), "{e}");
        let e = eval_error("file_socket(#{write: 5}, osstr_str(\"f\"), |f| dummy_task())");
        assert!(e.contains("`write`"), "{e}");
        let e = eval_error("file_socket(#{}, \"f\", |f| dummy_task())");
        assert!(e.contains("file_socket (map, &str"), "{e}");
    }

    #[tokio::test]
    async fn tcp_from_end_to_end() {
        let script = r#"listen_tcp(#{addr: "127.0.0.1:0", oneshot: true, reuseaddr: true, backlog: 2}, |at| {
            spawn_task(connect_tcp(#{addr: "127.0.0.1:" + str(at.get_port()), bind: "127.0.0.1:0", nodelay: true, linger_s: 1, timeout_ms: 5000}, |c| {
                exchange_bytes(#{}, mock_stream_socket("R hello|X|W world|D"), c)
            }));
            dummy_task()
        }, |s, from| { note(from.get_ip()); exchange_bytes(#{}, s, mock_stream_socket("W hello|D|R world|X")) })"#;
        let out = tokio::time::timeout(LONG, run_script(script)).await.unwrap();
        assert_eq!(out.unwrap(), "127.0.0.1");
    }

    #[tokio::test]
    async fn races_over_addresses_and_several_addresses_to_listen_on() {
        for place in [r#"addrs: ["127.0.0.1:0", "[::1]:0"]"#, r#"host: "localhost:0""#] {
            let script = format!(
                r#"listen_tcp(#{{{place}, oneshot: true}}, |at| {{
                spawn_task(lookup_host("localhost:" + str(at.get_port()), |addrs| {{
                    connect_tcp_race(#{{race_interval_ms: 5}}, addrs, |c| {{ dummy_task() }})
                }}));
                dummy_task()
            }}, |s, from| {{ note("ok"); dummy_task() }})"#
            );
            let out = tokio::time::timeout(LONG, run_script(&script)).await.unwrap();
            assert_eq!(out.unwrap(), "ok", "{place}");
        }
    }

    #[tokio::test]
    async fn a_broken_connection_ends_alone_and_draining_ends_the_listener() {
        // The first session fails, the second notes; then the listener is told to finish.
        let script = r#"
            let n = 0;
            listen_tcp(#{addr: "127.0.0.1:0", autospawn: true}, |at| {
                let addr = "127.0.0.1:" + str(at.get_port());
                let client = |s| copy_bytes(10, take_read_part(s), take_write_part(mock_stream_socket("D")));
                spawn_task(sequential([
                    connect_tcp(#{addr: addr}, client),
                    connect_tcp(#{addr: addr}, client),
                    task_wrap(|| { drain(); dummy_task() }),
                ]));
                dummy_task()
            }, |s, from| { n += 1; if n == 1 { fail(25) } else { note("second"); shutdown_and_drop(s); dummy_task() } })"#;
        let out = tokio::time::timeout(LONG, run_under(script, Stop::new())).await.unwrap();
        assert_eq!(out.unwrap(), "second");
    }

    #[tokio::test]
    async fn sessions_one_after_another() {
        let script = r#"listen_tcp(#{addr: "127.0.0.1:0"}, |at| {
                let addr = "127.0.0.1:" + str(at.get_port());
                let wait = |s| copy_bytes(10, take_read_part(s), take_write_part(mock_stream_socket("D")));
                spawn_task(sequential([connect_tcp(#{addr: addr}, wait), connect_tcp(#{addr: addr}, wait), task_wrap(|| { drain(); dummy_task() })]));
                dummy_task()
            }, |s, from| { note("("); sequential([sleep_ms(5), task_wrap(|| { note(")"); drop(s); dummy_task() })]) })"#;
        let out = tokio::time::timeout(LONG, run_script(script)).await.unwrap();
        assert_eq!(out.unwrap(), "()()");
    }

    //= 6455-4.1-10 test
    #[tokio::test]
    async fn failures_to_connect_and_to_listen_have_their_status() {
        let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let addr = taken.local_addr().unwrap();
        let listen = format!("listen_tcp(#{{addr: \"{addr}\"}}, |a| dummy_task(), |s, from| dummy_task())");
        let (e, _) = run_script(&listen).await.unwrap_err();
        assert_eq!(e.exit_code(), 24, "{e}");
        assert!(e.to_string().contains(&addr.to_string()), "{e}");
        drop(taken);
        let connect = format!("connect_tcp(#{{addr: \"{addr}\"}}, |s| dummy_task())");
        let (e, _) = run_script(&connect).await.unwrap_err();
        assert_eq!(e.exit_code(), 14, "{e}");
        assert!(e.to_string().contains(&addr.to_string()), "{e}");
    }

    #[tokio::test]
    async fn wrong_options_are_named() {
        let listen = |opts: &str| format!("listen_tcp(#{{{opts}}}, |a| dummy_task(), |s, from| dummy_task())");
        let connect = |opts: &str| format!("connect_tcp(#{{{opts}}}, |s| dummy_task())");
        for (script, part) in [
            (listen(""), "where to listen?"),
            (listen("addr: \"127.0.0.1:0\", host: \"x:1\""), "where to listen?"),
            (listen("addr: \"nonsense\""), "`addr`"),
            (listen("addr: \"127.0.0.1:0\", autospawn: 5"), "`autospawn`"),
            (listen("addr: \"127.0.0.1:0\", keepalive_retries: \"x\""), "`keepalive_retries`"),
            (listen("fd: 3, host: \"x:1\""), "where to listen?"),
            (listen("fd: 3, named_fd: \"x\""), "not both"),
            (listen("addr: \"127.0.0.1:0\", fd_force: true"), "`fd_force` needs"),
            (connect(""), "option `addr` is missing"),
            (connect("addr: \"127.0.0.1:1\", nodelay: 5"), "`nodelay`"),
            (connect("addr: \"127.0.0.1:1\", timeout_ms: -5"), "`timeout_ms`"),
            (connect("addr: \"127.0.0.1:1\", no_such: 5"), "unknown option `no_such`"),
        ] {
            let e = eval_error(&script);
            assert!(e.contains(part), "{script}: {e}");
        }
    }
}
