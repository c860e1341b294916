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
    assert!(script("ws://h", &[]).unwrap_err().to_string().contains("--no-fixups"));
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
        "listen_tcp(#{addr: \"127.0.0.1:0\", autospawn: true, oneshot: false}, |addr1| {\n  dummy_task()\n\
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
    let tail = "cmd1.configure_fds(2, 2, 1);\nlet chld1 = cmd1.execute();\nlet pstdio1 = chld1.socket();\npstdio1\n";
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
