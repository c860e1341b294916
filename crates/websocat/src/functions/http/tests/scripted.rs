//! What scripts may ask about requests, and answers of their own.

use super::{server::GOOD, *};

/// What the server answers to these requests, with this body of the function that `http1_serve` calls.
async fn answer(body: &str, requests: &str) -> (String, Result<Option<StreamSocket>>) {
    let (a, b, _) = pair(ROOM);
    let (mut read, mut write) = halves(a);
    write.write_all(requests.as_bytes()).await.unwrap();
    write.shutdown().await.unwrap();
    let result = play(format!("http1_serve(#{{}}, socket(), |rq, hup, fd| {{ {body} }})"), b, Stop::new()).await;
    let text = if matches!(result, Ok(Some(_))) { read_head(&mut read).await } else { read_all(&mut read).await };
    (text, result)
}

const ASKED: &str = "POST /a?b=c HTTP/1.1\r\nHost: h\r\nX-One: 1\r\nx-two: 2\r\nX-Two: \u{ff}3\r\n\r\n";

#[tokio::test]
async fn requests_can_be_looked_at() {
    for (question, expected) in [
        ("request_method(rq)", "POST"),
        ("request_uri(rq)", "/a?b=c"),
        ("request_header(rq, \"x-ONE\")", "1"),
        ("request_header(rq, \"X-Two\")", "2, \u{ff}3"),
        ("str(request_header(rq, \"absent\"))", "()"),
        ("request_headers(rq)[\"x-one\"]", "1"),
        ("str(request_headers(rq).keys().len())", "3"),
        ("str(peer_addr(rq))", "()"),
        ("str(local_addr(rq))", "()"),
    ] {
        let (text, result) = answer(&format!("http_reply(200, #{{}}, {question})"), ASKED).await;
        assert!(result.unwrap().is_none());
        assert!(text.starts_with("HTTP/1.1 200 OK\r\n"), "{text}");
        assert!(text.ends_with(&format!("\r\n\r\n{expected}")), "{question}: {text}");
    }
}

#[tokio::test]
async fn the_request_stays_known_after_the_handshake() {
    let body = r#"ws_accept(#{}, #{}, rq, hup, fd, |raw| {
        let ws = ws_wrap(#{client: false}, raw);
        let said = `${request_method(ws)} ${request_uri(ws)} ${request_header(ws, "HOST")}`;
        if said != "GET /chat h" || request_headers(ws).host != "h" { throw said; }
        keep(null_stream_socket())
    })"#;
    assert!(answer(body, GOOD).await.1.unwrap().is_some());
}

#[tokio::test]
async fn answers_of_the_script() {
    let (text, result) =
        answer(r#"http_reply(401, #{"WWW-Authenticate": "Basic realm=\"x\""}, "go away\n")"#, ASKED).await;
    assert!(text.starts_with("HTTP/1.1 401 Unauthorized\r\n"), "{text}");
    for part in ["\r\nwww-authenticate: Basic realm=\"x\"\r\n", "content-type: text/plain", "content-length: 8\r\n"] {
        assert!(text.contains(part), "{part}: {text}");
    }
    assert!(text.ends_with("\r\n\r\ngo away\n"), "{text}");
    let e = error(result);
    assert_eq!((e.exit_code(), e.to_string().contains("refused with 401 Unauthorized")), (6, true), "{e}");

    let blob = r#"http_reply(200, #{"content-type": "image/png"}, blob(2, 0x41))"#;
    let (text, _) = answer(blob, &ASKED.repeat(2)).await;
    assert_eq!(
        (text.matches("image/png").count(), text.matches("\r\n\r\nAA").count()),
        (2, 2),
        "both are answered: {text}"
    );
    let (text, _) = answer("http_reply(204, #{}, \"\")", ASKED).await;
    assert!(text.starts_with("HTTP/1.1 204") && !text.contains("content-type"), "{text}");
}

#[tokio::test]
async fn wrong_use() {
    for (body, part) in [
        ("http_reply(101, #{}, \"\")", "status 101 is not between"),
        ("http_reply(1000, #{}, \"\")", "status 1000 is not between"),
        ("http_reply(204, #{}, \"x\")", "has no body"),
        ("http_reply(200, #{\"Content-Length\": \"5\"}, \"\")", "header `content-length` is made by itself"),
        ("http_reply(200, #{a: 5}, \"\")", "header `a`: its value must be"),
        ("http_reply(200, #{}, 5)", "the body must be a string or a blob, not i64"),
        ("request_method(5)", "request_method takes a request or a socket, not i64"),
        ("request_uri(socket())", "request_uri: this socket was used up"),
        ("request_headers(null_stream_socket())", "request_headers: this socket is not one that"),
        ("request_header(rq, 5)", "request_header (IncomingRequest, i64)"),
        ("ws_accept(#{}, #{}, rq, hup, fd, |raw| keep(raw)); request_uri(rq)", "request_uri: this request was used up"),
        ("let a = http_reply(200, #{}, \"\"); [a, a]", "a function gave array, but OutgoingResponse is needed"),
    ] {
        let (text, result) = answer(body, ASKED).await;
        let e = error(result).to_string();
        assert!(text.starts_with("HTTP/1.1 500"), "{body}: {text}");
        assert!(e.contains(part) && e.contains("line 1"), "{body}: {e}");
    }
}
