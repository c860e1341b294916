//! The server against raw clients.

use super::*;
use crate::error::Kind;
use std::time::Duration;

pub(super) const GOOD: &str = "GET /chat HTTP/1.1\r\nHost: h\r\nUpgrade: WebSocket\r\nConnection: keep-alive, upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n";

/// A good request in which this line (found by its beginning) is replaced; an empty replacement leaves it out.
fn with(line: &str, replacement: &str) -> String {
    let lines = GOOD.split_inclusive("\r\n").map(|l| if l.starts_with(line) { replacement } else { l });
    lines.collect()
}

/// A line of a good request, by its beginning.
fn line(start: &str) -> &'static str {
    GOOD.split_inclusive("\r\n").find(|l| l.starts_with(start)).unwrap()
}

/// What a server answers to these bytes, after which the client ends its direction; and what became of it.
async fn answer(script: impl AsRef<str>, request: &str) -> (String, Result<Option<StreamSocket>>) {
    let (a, b, _) = pair(ROOM);
    let (mut read, mut write) = halves(a);
    write.write_all(request.as_bytes()).await.unwrap();
    write.shutdown().await.unwrap();
    let result = play(script, b, Stop::new()).await;
    match result {
        Ok(Some(socket)) => (read_head(&mut read).await, Ok(Some(socket))),
        other => (read_all(&mut read).await, other),
    }
}

//= 6455-4.2.2-1 test
//= 6455-4.2.2-16 test
//= 6455-4.2.2-17 test
//= 6455-4.2.2-18 test
//= 6455-4.2.2-19 test
//= 6455-4.2.2-20 test
//= 6455-4.2.2-12 test
//= 6455-4.2.2-15 test
//= 6455-4.2.2-7 test
#[tokio::test]
async fn a_good_request_is_accepted() {
    let (head, socket) = answer(server("", "", r#"#{"X-Y": ["1", "2"]}"#), GOOD).await;
    assert!(head.starts_with("HTTP/1.1 101 Switching Protocols\r\n"), "{head}");
    assert_eq!(field(&head, "upgrade"), Some("websocket"));
    assert_eq!(field(&head, "connection"), Some("Upgrade"));
    assert_eq!(field(&head, "sec-websocket-accept"), Some("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="));
    assert!(head.contains("x-y: 1\r\nx-y: 2\r\n"));
    for absent in [
        "content-length",
        "transfer-encoding",
        "sec-websocket-protocol",
        "sec-websocket-extensions",
        "websocat-half-close",
    ] {
        assert_eq!(field(&head, absent), None, "{head}");
    }
    let info = socket.unwrap().unwrap().info.clone();
    assert_eq!(info.request.as_ref().unwrap().uri(), "/chat");
}

//= 6455-4.2.1-1 test
//= 6455-4.2.1-2 test
//= 6455-4.2.1-3 test
//= 6455-4.2.1-4 test
//= 6455-4.2.1-5 test
//= 6455-4.2.1-6 test
//= 6455-4.2.1-7 test
//= 6455-4.2.2-8 test
//= 6455-4.2.2-9 test
//= 6455-4.3-1 test
//= 6455-4.3-2 test
//= 6455-4.4-2 test
//= 6455-10.7-4 test
//= 6455-11.3.1-1 test
//= 6455-11.3.5-2 test
#[tokio::test]
async fn each_bad_request_is_refused() {
    let cases: Vec<(String, &str, &str)> = vec![
        (with("GET", "POST /chat HTTP/1.1\r\n"), "405", "GET"),
        (with("GET", "GET /chat HTTP/1.0\r\n"), "400", "HTTP/1.1"),
        (with("Host", ""), "400", "no Host"),
        (with("Host", "Host: h\r\nContent-Length: 3\r\n") + "abc", "400", "no body"),
        (with("Host", "Host: h\r\nTransfer-Encoding: chunked\r\n") + "0\r\n\r\n", "400", "no body"),
        (with("Host", "Host: a\r\nHost: b\r\n"), "400", "more than one Host"),
        (with("GET", "GET * HTTP/1.1\r\n"), "400", "neither a path nor"),
        (with("GET", "GET ftp://h/chat HTTP/1.1\r\n"), "400", "neither a path nor"),
        (with("Host", "Host: a b\r\n"), "400", "Host is neither"),
        (with("Host", "Host: user@h\r\n"), "400", "Host is neither"),
        (with("Host", "Host: h/x\r\n"), "400", "Host is neither"),
        // What a browser's address bar asks for: the right answer to plain HTTP.
        (with("Upgrade", ""), "426", "no Upgrade"),
        (with("Upgrade", "Upgrade: h2c\r\n"), "426", "no Upgrade"),
        (with("Connection", ""), "400", "Connection"),
        (with("Connection", "Connection: close\r\n"), "400", "Connection"),
        (with("Sec-WebSocket-Key", ""), "400", "no Sec-WebSocket-Key"),
        (with("Sec-WebSocket-Key", "Sec-WebSocket-Key: short\r\n"), "400", "16 bytes"),
        (with("Sec-WebSocket-Key", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZTE=\r\n"), "400", "16 bytes"),
        (with("Sec-WebSocket-Version", ""), "400", "no Sec-WebSocket-Version"),
        (
            with("Sec-WebSocket-Key", &format!("{}{}", line("Sec-WebSocket-Key"), line("Sec-WebSocket-Key"))),
            "400",
            "more",
        ),
        (with("Host", "Host: h\r\nSec-WebSocket-Protocol: a b\r\n"), "400", "Sec-WebSocket-Protocol"),
        (with("Host", "Host: h\r\nSec-WebSocket-Protocol: a;\r\n"), "400", "Sec-WebSocket-Protocol"),
        (
            with("Sec-WebSocket-Version", "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Version: 13\r\n"),
            "400",
            "more than one",
        ),
        (with("Sec-WebSocket-Version", "Sec-WebSocket-Version: 8\r\n"), "426", "version 13"),
        (with("Sec-WebSocket-Version", "Sec-WebSocket-Version: 013\r\n"), "426", "version 13"),
        (with("Sec-WebSocket-Version", "Sec-WebSocket-Version: 300\r\n"), "426", "version 13"),
        (with("Sec-WebSocket-Version", "Sec-WebSocket-Version: 12, 13\r\n"), "426", "version 13"),
        (with("Sec-WebSocket-Version", "Sec-WebSocket-Version: x\r\n"), "426", "version 13"),
    ];
    for (request, status, says) in cases {
        let (text, result) = answer(server("", "", "#{}"), &request).await;
        assert!(text.split(' ').nth(1) == Some(status) && text.contains(says), "{request}\n{text}");
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        assert_eq!(body.lines().count(), 1, "one line says why: {body:?}");
        assert_eq!(field(head, "sec-websocket-version"), (status == "426").then_some("13"));
        assert_eq!(field(head, "allow"), (status == "405").then_some("GET"));
        let e = error(result);
        assert_eq!(e.kind, Kind::BrokenUpgrade);
        assert!(e.to_string().contains(&format!("refused with {status} ")), "{e}");

        if status != "405" {
            let (text, _) = answer(server("", "lax: true", "#{}"), &request).await;
            assert!(text.starts_with("HTTP/1.1 101") || text.starts_with("HTTP/1.0 101"), "{request}\n{text}");
        }
    }
}

//= 6455-4.2.2-11 test
//= 6455-4.2.2-12 test
//= 6455-11.3.4-1 test
//= 6455-4.2.2-21 test
#[tokio::test]
async fn subprotocols_follow_the_table() {
    let cases = [
        // options, offered, answer: a name, "" for none, "400"
        ("", "a, b", ""),
        ("choose_protocol: \"b\", require_protocol: true", "a, b", "b"),
        ("choose_protocol: \"b\", require_protocol: true", "a, B", "400"),
        ("choose_protocol: \"b\", require_protocol: true", "", "400"),
        ("choose_protocol: \"b\"", "a", ""),
        ("choose_protocol: \"b\"", "", ""),
        ("choose_protocol: \"b\"", " b ,", "b"),
        ("protocol_choose_first: true", "a,b", "a"),
        ("protocol_choose_first: true", "", ""),
        // What is no token is no choice, since an answer could not repeat it.
        ("protocol_choose_first: true, lax: true", "ä, a b, c", "c"),
        ("protocol_choose_first: true", "ä, a b, c", "400"),
        ("choose_protocol: \"b\", require_protocol: true, protocol_choose_first: true", "a,b", "b"),
        ("choose_protocol: \"b\", require_protocol: true, protocol_choose_first: true", "c,a", "c"),
        ("choose_protocol: \"b\", require_protocol: true, protocol_choose_first: true", "", "400"),
    ];
    for (options, offered, expected) in cases {
        // Several headers are one list.
        let lines: String = offered.split(',').map(|p| format!("Sec-WebSocket-Protocol: {p}\r\n")).collect();
        let lines = if offered.is_empty() { String::new() } else { lines };
        let (text, result) = answer(server("", options, "#{}"), &with("Host", &format!("Host: h\r\n{lines}"))).await;
        if expected == "400" {
            assert!(text.starts_with("HTTP/1.1 400"), "{options} {offered}: {text}");
        } else {
            assert_eq!(field(&text, "sec-websocket-protocol").unwrap_or(""), expected, "{options} {offered}");
            assert_eq!(result.unwrap().unwrap().info.subprotocol.as_deref().unwrap_or(""), expected);
        }
    }
    let (_, result) = answer(server("", "require_protocol: true", "#{}"), GOOD).await;
    assert!(error(result).to_string().contains("choose_protocol"));
}

#[tokio::test]
async fn a_refused_connection_can_try_again_and_early_bytes_are_kept() {
    let all = [
        with("Upgrade", ""),
        with("Sec-WebSocket-Version", "Sec-WebSocket-Version: 7\r\n"),
        GOOD.into(),
        "early".into(),
    ]
    .concat();
    let (text, result) = answer(server("", "", "#{}"), &all).await;
    assert!(text.starts_with("HTTP/1.1 426"), "{text}");
    let mut read = result.unwrap().unwrap().read.unwrap();
    assert_eq!(read_all(&mut read).await, "early");
}

#[tokio::test]
async fn what_is_no_request() {
    for (text, status, says) in [
        ("", "", "before it sent a request"),
        ("GET / HTTP/1.1\r\nHo", "", "in the middle"),
        ("hello\r\n\r\n", "400", "not HTTP/1"),
        ("GET /\x01 HTTP/1.1\r\n\r\n", "400", "not HTTP/1"),
        ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "", "this is HTTP/2"),
        ("\x16\x03\x01\x02\x00\x01", "", "this is TLS"),
        ("\x16\x03\x01\x02\x00\x01\r\n\r\n", "400", "this is TLS"),
    ] {
        let (answered, result) = answer(server("", "", "#{}"), text).await;
        assert!(answered.split(' ').nth(1).unwrap_or("").starts_with(status), "{text:?}: {answered}");
        let e = error(result);
        assert_eq!(e.kind, Kind::BrokenUpgrade);
        assert!(e.to_string().starts_with("HTTP request from pair:") && e.to_string().contains(says), "{text:?}: {e}");
        // Without what a library has to say of it.
        assert!(!says.starts_with("this is") || std::error::Error::source(&e).is_none(), "{text:?}: {e}");
    }
}

//= 6455-7.2.2-1 test
#[tokio::test(start_paused = true)]
async fn the_client_has_limited_time() {
    // Nothing, half a head, and a second request that never comes after a refused one.
    for (sent, says) in [
        ("", "none within 3s"),
        ("GET / HTTP/1.1\r\nHost: h\r\n", "none within 3s"),
        ("GET / HTTP/1.1\r\nHost: h\r\n\r\n", "refused"),
    ] {
        let (a, b, _) = pair(ROOM);
        let (_read, mut write) = halves(a);
        write.write_all(sent.as_bytes()).await.unwrap();
        let start = tokio::time::Instant::now();
        let e = error(play(server("timeout_ms: 3000", "", "#{}"), b, Stop::new()).await);
        assert!(e.to_string().contains(says), "{e}");
        assert_eq!(e.kind == Kind::HandshakeTimeout, says != "refused");
        assert_eq!(start.elapsed(), Duration::from_secs(3));
    }
}

#[tokio::test(start_paused = true)]
async fn asking_again_gives_no_more_time() {
    let (a, b, _) = pair(ROOM);
    let (_read, mut write) = halves(a);
    let start = tokio::time::Instant::now();
    let client = async {
        for _ in 0..2 {
            tokio::time::sleep(Duration::from_secs(1)).await;
            write.write_all(with("Upgrade", "").as_bytes()).await.unwrap();
        }
        // The head that comes byte by byte.
        for byte in GOOD.as_bytes() {
            tokio::time::sleep(Duration::from_millis(100)).await;
            if write.write_all(&[*byte]).await.is_err() {
                break;
            }
        }
    };
    let serving = async {
        let result = play(server("timeout_ms: 3000", "", "#{}"), b, Stop::new()).await;
        (result, start.elapsed())
    };
    let ((result, elapsed), ()) = tokio::join!(serving, client);
    assert!(error(result).to_string().contains("refused with 426"));
    assert_eq!(elapsed, Duration::from_secs(3));
}

//= 6455-7.2.2-1 test
#[tokio::test]
async fn ten_refusals_are_enough() {
    for (bad, accepted) in [(9, true), (10, false)] {
        let requests = with("Upgrade", "").repeat(bad) + GOOD;
        let (text, result) = answer(server("", "", "#{}"), &requests).await;
        assert_eq!(result.is_ok(), accepted, "{bad}");
        if !accepted {
            assert_eq!(text.matches("HTTP/1.1 426 ").count(), bad);
            assert_eq!(text.matches("connection: upgrade, close\r\n").count(), 1, "{text}");
            assert_eq!(text.matches("upgrade: websocket\r\n").count(), bad, "{text}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_that_does_not_read_is_dropped() {
    let (a, b, _) = pair(16);
    let (_read, mut write) = halves(a);
    let script = server("timeout_ms: 3000", "", "#{}");
    let server = play(script, b, Stop::new());
    let client = async { write.write_all(with("Upgrade", "").as_bytes()).await };
    let (result, sent) = tokio::join!(server, client);
    sent.unwrap();
    assert!(error(result).to_string().contains("refused"));
}

#[tokio::test]
async fn a_script_that_fails_is_a_500() {
    // The client may ask again; the session's end tells what was wrong.
    for (script, says) in [("throw \"no\"", "no"), ("42", "OutgoingResponse")] {
        let (a, b, _) = pair(ROOM);
        let (mut read, mut write) = halves(a);
        write.write_all(GOOD.as_bytes()).await.unwrap();
        write.write_all(GOOD.as_bytes()).await.unwrap();
        write.shutdown().await.unwrap();
        let script = format!("http1_serve(#{{}}, socket(), |rq, hup, fd| {{ {script} }})");
        let e = error(play(&script, b, Stop::new()).await);
        assert!(e.kind == Kind::Start && e.is_logged() && e.to_string().contains(says), "{e}");
        let text = read_all(&mut read).await;
        assert_eq!(text.matches("HTTP/1.1 500 Internal Server Error\r\n").count(), 2, "{text}");
        // Not for ever: each failure is told.
        let (text, _) = answer(&script, &GOOD.repeat(20)).await;
        assert_eq!(text.matches("HTTP/1.1 500 ").count(), 10, "{text}");
    }
}

#[tokio::test]
async fn a_process_that_drains_waits_for_no_request() {
    let (a, b, _) = pair(ROOM);
    let (_read, _write) = halves(a);
    let stop = Stop::new();
    let script = server("", "", "#{}");
    let serving = play(script, b, stop.clone());
    let drain = async {
        tokio::task::yield_now().await;
        stop.drain();
    };
    let (result, ()) = tokio::join!(serving, drain);
    assert!(result.unwrap().is_none());
}

#[tokio::test]
async fn who_asks_while_it_drains_is_told() {
    let (a, b, _) = pair(ROOM);
    let (mut read, mut write) = halves(a);
    let (first, rest) = GOOD.split_at(20);
    write.write_all(first.as_bytes()).await.unwrap();
    let stop = Stop::new();
    let script = server("", "", "#{}");
    let serving = tokio::spawn(play(script, b, stop.clone()));
    // The server reads what is there before it waits.
    for _ in 0..10 {
        tokio::task::yield_now().await;
    }
    stop.drain();
    write.write_all(rest.as_bytes()).await.unwrap();
    let text = read_all(&mut read).await;
    assert!(text.starts_with("HTTP/1.1 503 ") && text.contains("being stopped"), "{text}");
    assert_eq!(field(&text, "connection"), Some("close"));
    assert!(field(&text, "retry-after").is_some());
    assert!(error(serving.await.unwrap()).to_string().contains("refused with 503"));
}

//= 6455-4.2.2-10 test
#[tokio::test]
async fn one_path_only() {
    for (path, target, status) in [
        ("/chat", "/chat", "101"),
        ("/chat", "/chat?x=1", "101"),
        ("/chat", "http://h/chat", "101"),
        ("/chat", "/", "404"),
        ("/chat", "/chat/", "404"),
        ("/chat", "/Chat", "404"),
        ("/chat", "/chat%20", "404"),
        ("/chat?x=1", "/chat?x=1", "101"),
        ("/chat?x=1", "/chat", "404"),
        ("/chat?x=1", "/chat?x=12", "404"),
    ] {
        for lax in ["", ", lax: true"] {
            let options = format!("restrict_uri: \"{path}\"{lax}");
            let request = with("GET", &format!("GET {target} HTTP/1.1\r\n"));
            let (text, _) = answer(server("", &options, "#{}"), &request).await;
            assert_eq!(text.split(' ').nth(1), Some(status), "{path} {target}");
        }
    }
    // Nor is there anything else at other paths, for nobody.
    for (target, status) in [("/", "404"), ("/chat", "426")] {
        let plain = format!("GET {target} HTTP/1.1\r\nHost: h\r\n\r\n");
        let (text, _) = answer(server("", "restrict_uri: \"/chat\"", "#{}"), &plain).await;
        assert_eq!(text.split(' ').nth(1), Some(status), "{target}");
    }
}

//= 6455-4.2.2-6 test
//= 6455-10.2-1 test
//= 6455-10.2-2 test
//= 6455-4.2.2-5 test
#[tokio::test]
async fn pages_of_other_origins_are_refused() {
    for (allowed, origin, status) in [
        ("", "https://evil.example", "101"),
        ("allow_origins: []", "http://h", "403"),
        ("allow_origins: [\"same\"]", "http://h", "101"),
        ("allow_origins: [\"same\"]", "https://evil.example", "403"),
        ("allow_origins: [\"same\"]", "null", "403"),
        ("allow_origins: [\"same\"], lax: true", "https://evil.example", "403"),
        ("allow_origins: [\"https://a\", \"https://b\"]", "https://b", "101"),
        ("allow_origins: [\"https://a\", \"https://b\"]", "http://h", "403"),
        ("allow_origins: [\"*\"]", "https://evil.example", "101"),
    ] {
        let request = with("Host", &format!("Host: h\r\nOrigin: {origin}\r\n"));
        let (text, result) = answer(server("", allowed, "#{}"), &request).await;
        assert_eq!(text.split(' ').nth(1), Some(status), "{allowed} {origin}");
        // Who is no browser is not asked.
        let (text, _) = answer(server("", allowed, "#{}"), GOOD).await;
        assert!(text.starts_with("HTTP/1.1 101"), "{allowed}");
        if status == "403" {
            let e = error(result).to_string();
            assert!(e.contains("refused with 403") && e.contains(origin) && e.contains("--allow-origin"), "{e}");
        }
    }
    let (_, result) = answer(server("", "allow_origins: [\"b\"]", "#{}"), GOOD).await;
    assert!(error(result).to_string().contains("`allow_origins`: `b` is not an origin"));
}

//= 6455-11.3.2-2 test
//= 6455-11.3.3-1 test
//= 6455-11.3.4-2 test
#[tokio::test]
async fn own_headers_do_not_repeat_what_comes_once() {
    let (text, _) =
        answer(server("", "protocol_choose_first: true", r#"#{"sec-websocket-protocol": "own"}"#), GOOD).await;
    assert_eq!(text.matches("sec-websocket-protocol: ").count(), 1, "{text}");
    for name in ["Sec-WebSocket-Protocol", "sec-websocket-accept", "SEC-WEBSOCKET-EXTENSIONS"] {
        let (_, result) = answer(server("", "", &format!(r#"#{{"{name}": ["a", "b"]}}"#)), GOOD).await;
        assert!(error(result).to_string().contains("once at most"), "{name}");
    }
}
