//! The client against raw servers.

use super::*;
use crate::{error::Kind, functions::http::headers::accept_value};
use sockets::testing::Reset;
use std::time::Duration;

/// Starts a client and gives what it sent, and the other end to answer with.
async fn request(
    options: &str,
    headers: &str,
) -> (tokio::task::JoinHandle<Result<Option<StreamSocket>>>, String, BoxStreamRead, BoxStreamWrite, Reset) {
    let (a, b, reset) = pair(ROOM);
    let script = client(options, headers);
    let client = tokio::spawn(async move { play(script, a, Stop::new()).await });
    let (mut read, write) = halves(b);
    let head = read_head(&mut read).await;
    (client, head, read, write, reset)
}

/// A good answer to this request, with more lines.
fn answer(request: &str, more: &str) -> String {
    let accept = accept_value(field(request, "sec-websocket-key").unwrap_or_default().as_bytes());
    format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: {accept}\r\n{more}\r\n"
    )
}

//= 6455-4.1-2 test
//= 6455-4.1-15 test
//= 6455-4.1-16 test
//= 6455-4.1-17 test
//= 6455-4.1-18 test
//= 6455-4.1-19 test
//= 6455-4.1-20 test
//= 6455-4.1-21 test
//= 6455-4.1-22 test
//= 6455-4.1-23 test
//= 6455-4.1-24 test
//= 6455-4.1-25 test
//= 6455-4.1-28 test
//= 6455-4.1-29 test
//= 6455-4.1-34 test
//= 6455-4.1-27 test
#[tokio::test]
async fn the_request_has_each_header_once_in_a_stable_order() {
    let (_client, head, ..) = request("half_close: true", r#"#{"X-B": ["2", "1"], "Origin": "http://o"}"#).await;
    let mut lines: Vec<_> = head.lines().collect();
    assert_eq!(lines.remove(0), "GET /chat?x=1 HTTP/1.1");
    assert_eq!(lines.pop(), Some(""));
    let names: Vec<_> = lines.iter().map(|line| line.split(':').next().unwrap()).collect();
    let expected = [
        "connection",
        "upgrade",
        "sec-websocket-version",
        "sec-websocket-key",
        "host",
        "websocat-half-close",
        "origin",
        "x-b",
        "x-b",
    ];
    assert_eq!(names, expected);
    assert_eq!(field(&head, "host"), Some("h"));
    assert_eq!(field(&head, "sec-websocket-version"), Some("13"));
    assert_eq!(field(&head, "sec-websocket-key").unwrap().len(), 24);
    assert!(head.ends_with("x-b: 2\r\nx-b: 1\r\n\r\n"), "{head}");

    let (_client, second, ..) = request("", "#{}").await;
    assert!(!second.contains("half-close"), "{second}");
    assert_ne!(field(&head, "sec-websocket-key"), field(&second, "sec-websocket-key"));
}

#[tokio::test]
async fn own_headers_replace_automatic_ones() {
    let key = "dGhlIHNhbXBsZSBub25jZQ==";
    let headers =
        format!(r#"#{{"host": "other:1", "Sec-Websocket-Key": "{key}", "Connection": "keep-alive, Upgrade"}}"#);
    let (client, head, _read, mut write, _) = request("", &headers).await;
    for (name, value) in [("host", "other:1"), ("sec-websocket-key", key), ("connection", "keep-alive, Upgrade")] {
        assert_eq!(field(&head, name), Some(value));
        assert_eq!(head.matches(&format!("\n{name}: ")).count(), 1, "{head}");
    }
    // The answer is measured by the key that was sent.
    write.write_all(answer(&head, "").as_bytes()).await.unwrap();
    assert!(client.await.unwrap().unwrap().is_some());
}

//= 6455-4.2.2-23 test
#[tokio::test]
async fn bytes_behind_the_head_are_kept() {
    for cut in [0, 1, 40, usize::MAX] {
        let (client, head, _read, mut write, _) = request("", "#{}").await;
        let all = format!("{}early", answer(&head, ""));
        let (first, rest) = all.split_at(cut.min(all.len()));
        write.write_all(first.as_bytes()).await.unwrap();
        tokio::task::yield_now().await;
        write.write_all(rest.as_bytes()).await.unwrap();
        write.write_all(b" late").await.unwrap();
        write.shutdown().await.unwrap();
        let mut read = client.await.unwrap().unwrap().unwrap().read.unwrap();
        assert_eq!(read_all(&mut read).await, "early late");
    }
}

//= 6455-4.1-36 test
#[tokio::test]
async fn interim_answers_are_skipped() {
    let (client, head, _read, mut write, _) = request("", "#{}").await;
    write.write_all(b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n").await.unwrap();
    write.write_all(answer(&head, "").as_bytes()).await.unwrap();
    assert!(client.await.unwrap().unwrap().is_some());
}

//= 6455-7.2.1-1 test
#[tokio::test]
async fn a_broken_upgrade_is_not_a_status() {
    // The checks have a table of their own in reply.rs.
    for (more, says) in [
        ("Sec-WebSocket-Protocol: x\r\n", "the subprotocol `x`"),
        ("Sec-WebSocket-Extensions: permessage-deflate\r\n", "the extension `permessage-deflate`"),
        ("Upgrade: x\r\n", "more than one upgrade"),
        ("Upgrade: websocket\r\n", "more than one upgrade"),
        ("Sec-WebSocket-Accept: AAAA\r\n", "more than one sec-websocket-accept"),
    ] {
        let (client, head, _read, mut write, _) = request("", "#{}").await;
        write.write_all(answer(&head, more).as_bytes()).await.unwrap();
        let e = error(client.await.unwrap());
        assert_eq!(e.kind, Kind::BrokenUpgrade);
        assert!(e.to_string().starts_with("WebSocket handshake with pair:") && e.to_string().contains(says), "{e}");
    }
}

#[tokio::test]
async fn other_statuses_are_told_with_the_beginning_of_the_body() {
    let cases = [
        (
            "402 Payment Required\r\nContent-Length: 15\r\n\r\npay first\nmore\n",
            "402 Payment Required",
            "it says: pay first",
        ),
        ("301 Moved\r\nLocation: wss://x/\r\nContent-Length: 0\r\n\r\n", "301 Moved", "try wss://x/"),
        // A body whose end does not come, and one that is longer than it says.
        ("404 Nope\r\n\r\nnot here\n", "404 Nope", "it says: not here"),
        ("500 x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n1000\r\n\n", "500 x", "it says: abc"),
        ("426 Upgrade Required\r\nSec-WebSocket-Version: 8\r\nContent-Length: 0\r\n\r\n", "426", "version 8"),
    ];
    for lax in ["", "lax: true"] {
        for (text, status, says) in &cases {
            let (client, _, _read, mut write, _) = request(lax, "#{}").await;
            write.write_all(format!("HTTP/1.1 {text}").as_bytes()).await.unwrap();
            let e = error(client.await.unwrap());
            assert_eq!(e.kind, Kind::HttpStatus);
            assert!(e.to_string().contains(status) && e.to_string().contains(says), "{e}");
            assert!(!e.to_string().contains('\n'));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_body_that_stalls_does_not_hold_the_status_back() {
    let (client, _, _read, mut write, _) = request("timeout_ms: 10000", "#{}").await;
    write.write_all(b"HTTP/1.1 403 No\r\nContent-Length: 100\r\n\r\nbeca").await.unwrap();
    let start = tokio::time::Instant::now();
    let e = error(client.await.unwrap());
    assert!(e.to_string().contains("403 No") && e.to_string().contains("beca"), "{e}");
    assert_eq!(start.elapsed(), Duration::from_secs(1));
}

#[tokio::test]
async fn endless_bodies_and_heads_are_bounded() {
    let (client, _, _read, mut write, _) = request("", "#{}").await;
    write.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.unwrap();
    write.write_all(&[b'x'; 100_000]).await.unwrap();
    let e = error(client.await.unwrap());
    assert!(e.to_string().len() < 500, "{e}");

    for more in [format!("X: {}\r\n", "x".repeat(70_000)), "X: y\r\n".repeat(101)] {
        let (client, head, _read, mut write, _) = request("", "#{}").await;
        write.write_all(answer(&head, &more).as_bytes()).await.unwrap();
        let e = error(client.await.unwrap());
        assert_eq!(e.kind, Kind::BrokenUpgrade);
        assert!(e.to_string().contains("too many or too long headers"), "{e}");
    }
}

//= 6455-7.2.1-1 test
//= 6455-7.1.7-6 test
#[tokio::test]
async fn what_is_no_answer_at_all() {
    for (text, says) in [
        ("", "closed the connection without an answer"),
        ("HTTP/1.1 101 Sw", "closed the connection in the middle of its answer"),
        ("SSH-2.0-OpenSSH_9.9\r\n\r\n", "this is SSH: the server's answer is not HTTP/1"),
        ("\x15\x03\x01\x00\x02\x02\x46\r\n\r\n", "this is TLS; try wss://"),
        // What answers to a request that it takes for the beginning of TLS often says no more.
        ("\x15\x03\x01\x00\x02", "this is TLS; try wss://"),
        ("220 mail.example ESMTP\r\n", "not HTTP/1: it begins with `220 mail.example ESMTP`"),
    ] {
        let (client, _, read, mut write, _) = request("", "#{}").await;
        write.write_all(text.as_bytes()).await.unwrap();
        drop((read, write));
        let e = error(client.await.unwrap());
        assert_eq!(e.kind, Kind::BrokenUpgrade);
        assert!(e.to_string().contains(says), "{text:?}: {e}");
    }
    let (client, _, _read, _write, reset) = request("", "#{}").await;
    reset.fire();
    let e = error(client.await.unwrap());
    assert!(e.kind == Kind::BrokenUpgrade && e.to_string().contains("reset"), "{e}");
}

#[tokio::test(start_paused = true)]
async fn the_server_has_limited_time() {
    let start = tokio::time::Instant::now();
    let (client, _, _read, mut write, _) = request("timeout_ms: 3000", "#{}").await;
    write.write_all(b"HTTP/1.1 101 x\r\n").await.unwrap();
    let e = error(client.await.unwrap());
    assert_eq!(e.kind, Kind::HandshakeTimeout);
    assert!(e.to_string().contains("3s"), "{e}");
    assert_eq!(start.elapsed(), Duration::from_secs(3));
}

#[tokio::test]
async fn what_cannot_be_sent_is_refused_at_once() {
    for (script, says) in [
        ("ws_upgrade(#{url: \"/a b\"}, #{}, http1_client(#{}, socket()), |raw| keep(raw))", "the URL `/a b`"),
        (
            "ws_upgrade(#{url: \"/\", host: \"a\\r\\nb\"}, #{}, http1_client(#{}, socket()), |raw| keep(raw))",
            "the host",
        ),
        ("ws_upgrade(#{url: \"/\"}, #{\"a\": \"b\\n\"}, http1_client(#{}, socket()), |raw| keep(raw))", "header `a`"),
        ("ws_upgrade(#{}, #{}, http1_client(#{}, socket()), |raw| keep(raw))", "url"),
        ("ws_upgrade(#{url: \"/\", hots: \"x\"}, #{}, http1_client(#{}, socket()), |raw| keep(raw))", "`hots`"),
        ("http1_client(#{x: 1}, socket())", "`x`"),
    ] {
        let (a, _b, _) = pair(ROOM);
        let e = error(play(script, a, Stop::new()).await);
        assert!(e.to_string().contains(says), "{script}: {e}");
    }
    let (mut a, _b, _) = pair(ROOM);
    a.write = None;
    let e = error(play(client("", "#{}"), a, Stop::new()).await);
    assert!(e.to_string().contains("both directions"), "{e}");
}

//= 6455-4.1-35 test
#[tokio::test]
async fn nothing_is_sent_before_the_answer() {
    let (client, head, mut read, mut write, _) = request("", "#{}").await;
    write.write_all(answer(&head, "").as_bytes()).await.unwrap();
    drop(client.await.unwrap().unwrap());
    assert_eq!(read_all(&mut read).await, "");
}

#[tokio::test]
async fn interim_answers_are_bounded() {
    for name in ["100 Continue", "102 Processing", "103 Early Hints\r\nLink: </x>"] {
        let (client, _, _read, mut write, _) = request("", "#{}").await;
        let flood = async { while write.write_all(format!("HTTP/1.1 {name}\r\n\r\n").as_bytes()).await.is_ok() {} };
        let ((), result) = tokio::join!(flood, client);
        let e = error(result.unwrap());
        assert_eq!(e.kind, Kind::BrokenUpgrade);
        assert!(e.to_string().contains("interim answers without end"), "{name}: {e}");
    }
}

#[tokio::test]
async fn answers_are_bounded_exactly() {
    // What comes behind the head is no part of it.
    let behind = "f".repeat(600_000);
    for (options, limit) in [("", 65536), ("max_header_bytes: 300", 300), ("max_header_bytes: 100000", 100_000)] {
        for (length, good) in [(limit, true), (limit + 1, false)] {
            let (a, b, _) = pair(ROOM);
            let script = client("", "#{}").replace("http1_client(#{}", &format!("http1_client(#{{{options}}}"));
            let client = tokio::spawn(async move { play(script, a, Stop::new()).await });
            let (mut read, mut write) = halves(b);
            let plain = answer(&read_head(&mut read).await, "X: \r\n");
            let head = plain.replace("X: ", &format!("X: {}", "x".repeat(length - plain.len())));
            assert_eq!(head.len(), length);
            write.write_all(head.as_bytes()).await.unwrap();
            write.write_all(behind.as_bytes()).await.unwrap();
            write.shutdown().await.unwrap();
            match client.await.unwrap() {
                Ok(socket) => {
                    assert!(good, "{options} {length}");
                    assert_eq!(read_all(&mut socket.unwrap().read.unwrap()).await.len(), behind.len());
                }
                Err(e) => assert!(!good && e.to_string().contains("too many or too long headers"), "{length}: {e}"),
            }
        }
    }
    for (count, good) in [(100, true), (101, false)] {
        let (client, head, _read, mut write, _) = request("", "#{}").await;
        write.write_all(answer(&head, &"X: y\r\n".repeat(count - 3)).as_bytes()).await.unwrap();
        assert_eq!(client.await.unwrap().is_ok(), good, "{count}");
    }
}

#[tokio::test]
async fn a_body_after_the_switch_is_not_http() {
    // Lengths mean nothing there: what follows are frames.
    for more in ["Content-Length: 3\r\n", "Transfer-Encoding: chunked\r\n"] {
        let (client, head, _read, mut write, _) = request("", "#{}").await;
        write.write_all(format!("{}early", answer(&head, more)).as_bytes()).await.unwrap();
        write.shutdown().await.unwrap();
        let mut socket = client.await.unwrap().unwrap().unwrap();
        assert_eq!(read_all(socket.read.as_mut().unwrap()).await, "early");
    }
}
