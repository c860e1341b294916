//! Heads at the level of bytes: what is no HTTP, how large heads may be, and where they are cut.
//!
//! Most of it is hyper's doing. It is tested here, so that another version that does less is noticed.

use super::{server::GOOD, *};
use crate::error::Kind;

/// Sends these bytes to a server and then ends; gives the answers and how it ended.
async fn serve(options: &str, request: &[u8]) -> (String, Result<Option<StreamSocket>>) {
    let (a, b, _) = pair(ROOM);
    let (mut read, mut write) = halves(a);
    write.write_all(request).await.unwrap();
    write.shutdown().await.unwrap();
    let result = play(server(options, "", "#{}"), b, Stop::new()).await;
    match result {
        Ok(Some(socket)) => (read_head(&mut read).await, Ok(Some(socket))),
        other => (read_all(&mut read).await, other),
    }
}

/// A good request with one more line.
fn with_line(line: &str) -> String {
    GOOD.replacen("\r\n", &format!("\r\n{line}\r\n"), 1)
}

//= 6455-4.2.1-1 test
#[tokio::test]
async fn what_is_no_http_is_refused() {
    let lines = [
        "X : blank before the colon",
        "X\t: tab before the colon",
        " X: folded",
        "X: bare\rcarriage return",
        "X: NUL\0",
        "X: escape\x1b",
        "X\0: y",
        "no colon",
        ": no name",
        "X\u{e4}: y",
        "Content-Length: x",
        "Content-Length: -0",
        "Content-Length: +0",
        "Content-Length: 0, 0",
        "Content-Length: 0\r\nContent-Length: 1",
        "Content-Length: 18446744073709551616",
        "Content-Length:",
        "Transfer-Encoding: gzip",
        "Transfer-Encoding: chunked\r\nContent-Length: 1",
    ];
    for line in lines {
        let (text, result) = serve("", with_line(line).as_bytes()).await;
        assert!(text.starts_with("HTTP/1.1 400 "), "{line:?}: {text}");
        assert_eq!(error(result).kind, Kind::BrokenUpgrade, "{line:?}");
    }
    for first in
        ["GET  /chat HTTP/1.1", "GET /chat", "GET /chat HTTP/1.2", "GET /ch\0at HTTP/1.1", "G\u{e4}T / HTTP/1.1"]
    {
        let (text, result) = serve("", GOOD.replace("GET /chat HTTP/1.1", first).as_bytes()).await;
        assert!(text.is_empty() || text.starts_with("HTTP/1.1 400 "), "{first:?}: {text}");
        assert_eq!(error(result).kind, Kind::BrokenUpgrade, "{first:?}");
    }
}

//= 6455-4.2.1-9 test
//= 6455-4.2.1-10 test
//= 6455-4.2.1-11 test
//= 6455-4.1-43 test
#[tokio::test]
async fn what_is_odd_but_right_passes() {
    for line in [
        "Content-Length: 0",
        "X:",
        "X:\tblanks \t",
        "X: \u{e4}",
        "Cookie: a=b; c=\"d\"",
        "Origin: null",
        "Sec-WebSocket-Protocol: a",
        "Sec-WebSocket-Extensions: x-unknown; a=1, x-other",
        "HOST:",
    ] {
        let request = with_line(line);
        let request = if line == "HOST:" { request.replacen("Host: h\r\n", "", 1) } else { request };
        let (text, result) = serve("", request.as_bytes()).await;
        assert!(text.starts_with("HTTP/1.1 101 "), "{line:?}: {text}");
        result.unwrap();
    }
    for (from, to) in [
        ("Sec-WebSocket-Key", "SEC-WEBSOCKET-KEY"),
        ("Upgrade: WebSocket", "upgrade: WEBSOCKET"),
        ("Upgrade: WebSocket", "Upgrade: h2c, websocket"),
        ("Host: h", "Host: h:80"),
        ("Host: h", "Host: h:"),
        ("Host: h", "Host: [::1]:8080"),
        ("Host: h", "Host: a_b.example"),
        ("GET /chat", "GET http://h/chat"),
        ("GET /chat", "GET https://h:443/chat?a=b"),
        ("Connection: keep-alive, upgrade", "Connection: keep-alive\r\nConnection: UPGRADE"),
        // Empty lines in front are to be skipped (RFC 9112 2.2).
        ("GET", "\r\nGET"),
    ] {
        let (text, result) = serve("", GOOD.replacen(from, to, 1).as_bytes()).await;
        assert!(text.starts_with("HTTP/1.1 101 "), "{to:?}: {text}");
        result.unwrap();
    }
}

#[tokio::test]
async fn each_cut_of_a_request_is_the_same() {
    let all = format!("{GOOD}early");
    for cut in 0..=all.len() {
        let (a, b, _) = pair(ROOM);
        let (mut read, mut write) = halves(a);
        let (first, rest) = all.split_at(cut);
        let client = async {
            write.write_all(first.as_bytes()).await.unwrap();
            tokio::task::yield_now().await;
            write.write_all(rest.as_bytes()).await.unwrap();
            write.shutdown().await.unwrap();
        };
        let (result, ()) = tokio::join!(play(server("", "", "#{}"), b, Stop::new()), client);
        let mut socket = result.unwrap().unwrap();
        assert_eq!(read_all(socket.read.as_mut().unwrap()).await, "early", "{cut}");
        assert!(read_head(&mut read).await.starts_with("HTTP/1.1 101 "));
    }
}

/// A line that makes the head so long.
fn padded(head: &str, length: usize) -> String {
    let line = "X-Pad: \r\n";
    let pad = "x".repeat(length - head.len() - line.len());
    head.replacen("\r\n", &format!("\r\nX-Pad: {pad}\r\n"), 1)
}

//= 6455-10.4-2 test
#[tokio::test]
async fn requests_are_bounded_exactly() {
    // More than the limit behind the head is no part of it.
    let behind = "f".repeat(100_000);
    for (options, limit) in [("", 65536), ("max_header_bytes: 300", 300), ("max_header_bytes: 100000", 100_000)] {
        for (length, status) in [(limit, "101"), (limit + 1, "431"), (limit + 5000, "431")] {
            let head = padded(GOOD, length);
            assert_eq!(head.len(), length);
            let (text, result) = serve(options, (head + behind.as_str()).as_bytes()).await;
            assert_eq!(text.split(' ').nth(1), Some(status), "{options} {length}");
            match result {
                Ok(socket) => assert_eq!(read_all(&mut socket.unwrap().read.unwrap()).await.len(), behind.len()),
                Err(e) => assert!(e.to_string().contains("too many or too long headers"), "{e}"),
            }
        }
    }
    let fields = GOOD.lines().count() - 2;
    for (options, limit) in [("", 100), ("max_headers: 100", 100), ("max_headers: 7", 7), ("max_headers: 200", 200)] {
        for (count, status) in [(limit, "101"), (limit + 1, "431")] {
            let (text, result) = serve(options, with_line(&vec!["X: y"; count - fields].join("\r\n")).as_bytes()).await;
            assert_eq!(text.split(' ').nth(1), Some(status), "{options} {count}");
            assert_eq!(result.is_ok(), status == "101");
        }
    }
    let (_, result) = serve("max_headers: 10001", GOOD.as_bytes()).await;
    assert!(error(result).to_string().contains("`max_headers`"));
}

#[tokio::test]
async fn an_endless_head_is_cut_when_it_is_too_long() {
    let (a, b, _) = pair(1024);
    let (mut read, mut write) = halves(a);
    let client = async {
        write.write_all(b"GET / HTTP/1.1\r\n").await.unwrap();
        let mut sent = 0;
        while write.write_all(b"X: yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy\r\n").await.is_ok() {
            sent += 1;
        }
        sent
    };
    let reading = async { read_all(&mut read).await };
    let (result, sent, text) = tokio::join!(play(server("", "", "#{}"), b, Stop::new()), client, reading);
    assert!(error(result).to_string().contains("too many or too long headers"));
    assert!(text.starts_with("HTTP/1.1 431 "), "{text}");
    // The head up to its limit, and what is read past so that the answer arrives: a mebibyte.
    assert!(sent * 64 < (1 << 20) + 80_000, "{sent}");
}
