//! Words for what is no WebSocket: answers with another status than 101, and peers that speak another protocol.
//!
//! Without I/O. What the peer sent appears only through [`shown`]. A message says what came and what can be done about it.

use super::headers;
use crate::error::shown;
use hyper::{
    StatusCode,
    header::{self, HeaderName},
    http::response,
};

/// A reply with another status than 101. `body` is its beginning.
//= 6455-4.1-36
pub(super) fn refusal(reply: &response::Parts, body: &[u8]) -> String {
    let status = reply.status;
    let mut text = format!("the server answered {}", status.as_u16());
    let reason = reply.extensions.get::<hyper::ext::ReasonPhrase>().map(|r| shown(r.as_bytes()));
    if let Some(reason) = reason.or_else(|| status.canonical_reason().map(str::to_owned)).filter(|r| !r.is_empty()) {
        text.push(' ');
        text.push_str(&reason);
    }
    text.push_str(" instead of switching to WebSocket");
    if let Some(line) = first_line(body) {
        text.push_str(&format!("; it says: {line}"));
    }
    if let Some(advice) = advice(reply) {
        text.push_str("; ");
        text.push_str(&advice);
    }
    text
}

/// What can be done about it, as far as the status tells.
fn advice(reply: &response::Parts) -> Option<String> {
    let field = |name: &HeaderName| headers::joined(&reply.headers, name).map(|value| shown(value.as_bytes()));
    Some(match reply.status {
        status if status.is_redirection() => match field(&header::LOCATION)? {
            to if ["http://", "https://", "ws://", "wss://"].iter().any(|scheme| to.starts_with(scheme)) => {
                format!(
                    "redirections are not followed, try {}",
                    to.strip_prefix("http").map_or(to.clone(), |rest| format!("ws{rest}"))
                )
            }
            to => format!("redirections are not followed, this one goes to {to}"),
        },
        StatusCode::UNAUTHORIZED => {
            let wanted = field(&header::WWW_AUTHENTICATE).map(|wanted| format!(" ({wanted})")).unwrap_or_default();
            format!("it wants credentials{wanted}: USER:PASSWORD@ in the URL, or -H 'Authorization: ...'")
        }
        StatusCode::PROXY_AUTHENTICATION_REQUIRED => {
            "a proxy in between wants credentials: -H 'Proxy-Authorization: ...'".into()
        }
        StatusCode::FORBIDDEN => "it may want another --origin, or credentials by -H".into(),
        StatusCode::NOT_FOUND => "there may be another path".into(),
        //= 6455-11.3.5-1
        StatusCode::UPGRADE_REQUIRED => match (field(&header::SEC_WEBSOCKET_VERSION), field(&header::UPGRADE)) {
            (Some(versions), _) => {
                format!("it speaks WebSocket version {versions}; --websocket-version asks for another than 13")
            }
            (None, Some(upgrade)) => format!("it wants to switch to {upgrade}"),
            (None, None) => return None,
        },
        StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE => {
            format!("it asks to come again (Retry-After: {})", field(&header::RETRY_AFTER)?)
        }
        StatusCode::BAD_GATEWAY | StatusCode::GATEWAY_TIMEOUT => "it is a proxy that does not reach its server".into(),
        status if status.is_success() => "it is a web server that has no WebSocket at this path".into(),
        _ => return None,
    })
}

/// The first line of a body that has something in it; of HTML the first text between tags.
fn first_line(body: &[u8]) -> Option<String> {
    let body = body.trim_ascii_start();
    let end_of_tag = if body.starts_with(b"<") { b'>' } else { b'\n' };
    let parts = body.split(|b| *b == b'\n' || *b == end_of_tag);
    let before_tag = |part: &[u8]| match end_of_tag {
        b'>' => part.split(|b| *b == b'<').next().unwrap_or_default().trim_ascii().to_owned(),
        _ => part.trim_ascii().to_owned(),
    };
    parts.map(before_tag).find(|text| !text.is_empty()).map(|text| shown(&text))
}

/// How the wait for an answer ended without one.
pub(super) struct Ended {
    /// Something came before the request was sent.
    pub early: bool,
    /// The connection ended first.
    pub unanswered: bool,
    /// The request went through TLS.
    pub encrypted: bool,
}

/// Words for what came instead of an answer, by its first bytes; None if that is for the reader of HTTP to say.
pub(super) fn no_answer(start: &[u8], ended: &Ended) -> Option<String> {
    const HTTP: &[u8] = b"HTTP/";
    if start.is_empty() {
        let advice = if ended.encrypted { "" } else { " (if it wants TLS, try wss://)" };
        return ended.unanswered.then(|| format!("the server closed the connection without an answer{advice}"));
    }
    let line = start.split(|b| *b == b'\r' || *b == b'\n').next().unwrap_or_default();
    if !start.starts_with(HTTP) && !HTTP.starts_with(start) {
        let text = "the server's answer is not HTTP/1";
        return Some(match other_protocol(start) {
            Some(what) => format!("{what}: {text}"),
            None => format!("{text}: it begins with `{}`", shown(line)),
        });
    }
    if ended.early {
        return Some(format!("the server answered before it was asked: `{}`", shown(line)));
    }
    ended.unanswered.then(|| "the server closed the connection in the middle of its answer".into())
}

/// What the peer speaks instead of HTTP/1, by the first bytes that it sent.
pub(super) fn other_protocol(start: &[u8]) -> Option<&'static str> {
    match start {
        // A handshake message, and an alert because of what we sent.
        [0x16, 3, ..] => Some("this is TLS"),
        [0x15, 3, ..] => Some("this is TLS; try wss://"),
        [0, 0, _, 4, ..] => Some("this is HTTP/2, which is not spoken here"),
        [b'P', b'R', b'I', b' ', ..] => Some("this is HTTP/2, which is not spoken here"),
        [b'S', b'S', b'H', b'-', ..] => Some("this is SSH"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hyper::Response;

    fn reply(status: u16, fields: &[(&str, &str)]) -> response::Parts {
        let mut builder = Response::builder().status(status);
        for (name, value) in fields {
            builder = builder.header(*name, *value);
        }
        builder.body(()).unwrap().into_parts().0
    }

    //= 6455-4.1-36 test
    //= 6455-11.3.5-1 test
    #[test]
    fn refusals_say_what_came_and_what_to_do() {
        assert_eq!(
            refusal(&reply(302, &[("Location", "https://x/y")]), b"\r\n moved\x07\r\nmore"),
            "the server answered 302 Found instead of switching to WebSocket; it says: moved\\u{7}; \
             redirections are not followed, try wss://x/y"
        );
        for (status, fields, says) in [
            (307, &[("Location", "/login")][..], "this one goes to /login"),
            (308, &[("Location", "http://x/http://y")], "try ws://x/http://y"),
            (301, &[("Location", "wss://x/?http://")], "try wss://x/?http://"),
            (300, &[], "300 Multiple Choices"),
            (401, &[("WWW-Authenticate", "Basic realm=\"x\""), ("WWW-Authenticate", "Bearer")], "realm=\"x\", Bearer)"),
            (401, &[], "wants credentials: USER:PASSWORD@"),
            (403, &[], "--origin"),
            (404, &[], "another path"),
            (407, &[], "Proxy-Authorization"),
            (426, &[("Sec-WebSocket-Version", "8"), ("Sec-WebSocket-Version", "7, 6")], "version 8, 7, 6"),
            (426, &[("Sec-WebSocket-Version", "8")], "--websocket-version"),
            (426, &[("Upgrade", "h2c")], "switch to h2c"),
            (429, &[("Retry-After", "120")], "Retry-After: 120"),
            (503, &[("Retry-After", "5")], "Retry-After: 5"),
            (502, &[], "does not reach its server"),
            (200, &[], "no WebSocket at this path"),
            (204, &[], "no WebSocket at this path"),
            (418, &[], "418 I'm a teapot instead of switching to WebSocket"),
        ] {
            let text = refusal(&reply(status, fields), b"");
            assert!(text.contains(says) && !text.contains("it says"), "{status}: {text}");
        }
    }

    #[test]
    fn bodies_are_told_by_their_first_words() {
        for (body, line) in [
            ("", None),
            (" \r\n\n", None),
            ("\n  pay first\nmore", Some("pay first")),
            ("a <b> c", Some("a <b> c")),
            ("<!doctype html>\n<html><head><title>403 Forbidden</title></head>", Some("403 Forbidden")),
            ("<html>\n<h1 class=\"x\">\n  Not here\n</h1>", Some("Not here")),
            ("<html><unfinished", None),
            ("{\"error\": 1}", Some("{\"error\": 1}")),
        ] {
            assert_eq!(first_line(body.as_bytes()).as_deref(), line, "{body:?}");
        }
    }

    #[test]
    fn what_comes_instead_of_an_answer() {
        let told = |start: &str, [early, unanswered, encrypted]: [bool; 3]| {
            no_answer(start.as_bytes(), &Ended { early, unanswered, encrypted })
        };
        for (start, ended, says) in [
            ("", [false, true, false], "without an answer (if it wants TLS, try wss://)"),
            ("", [false, true, true], "without an answer"),
            ("220 mail\r\nmore", [true, true, false], "is not HTTP/1: it begins with `220 mail`"),
            ("\x1b[2J", [false, false, false], "`\\u{1b}[2J`"),
            ("SSH-2.0-x\r\n", [true, true, false], "this is SSH: the server's answer is not HTTP/1"),
            ("HTTP/1.1 503 Busy\r\n", [true, true, false], "before it was asked: `HTTP/1.1 503 Busy`"),
            ("HTT", [false, true, false], "in the middle of its answer"),
        ] {
            assert!(told(start, ended).is_some_and(|text| text.ends_with(says)), "{start:?}");
        }
        // A reset, or headers that are no headers.
        assert_eq!(told("", [false; 3]), None);
        assert_eq!(told("HTTP/1.1 101 x", [false; 3]), None);
    }

    #[test]
    fn other_protocols_are_known_by_their_first_bytes() {
        assert!(other_protocol(b"\x15\x03\x01\x00").unwrap().contains("wss://"));
        assert!(other_protocol(b"PRI * HTTP/2.0").unwrap().contains("HTTP/2"));
        assert!(other_protocol(b"SSH-2.0").unwrap().contains("SSH"));
        for nothing in [&b""[..], b"H", b"HTTP/1.1", b"\x15", b"220 mail"] {
            assert_eq!(other_protocol(nothing), None);
        }
    }
}
