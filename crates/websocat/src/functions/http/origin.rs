//! Which web pages may use a server: the Origin that a browser sends, against what is allowed (RFC 6455 4.2.2, 10.2).
//!
//! Without I/O. Only browsers send Origin, and only they obey: a request without it passes, and whoever is no browser can
//! write there what he likes. What this stops is a page that makes the visitor's own browser connect.

use super::{
    headers,
    request::{Refusal, bad},
};
use crate::error::shown;
use hyper::{
    StatusCode,
    header::{self, HeaderName},
    http::request,
};

/// What `--allow-origin` can name.
#[derive(Debug, PartialEq, Eq)]
enum Allowed {
    Any,
    /// Pages that came from the very host and port that the request goes to, by its own word.
    Same,
    /// Pages without an origin of their own: files, sandboxed frames.
    Opaque,
    Origin(Origin),
}

/// The parts of an origin in small letters, its port written out where the scheme has a usual one.
#[derive(Debug, PartialEq, Eq)]
struct Origin {
    scheme: String,
    host: String,
    port: Option<u16>,
}

fn usual_port(scheme: &str) -> Option<u16> {
    match scheme {
        "http" | "ws" => Some(80),
        "https" | "wss" => Some(443),
        _ => None,
    }
}

/// Host and port of an authority without user: `h`, `h:80`, `[::1]:80`.
fn host_and_port(text: &str) -> Option<(String, Option<u16>)> {
    let end = if text.starts_with('[') { text.find(']')? + 1 } else { text.find(':').unwrap_or(text.len()) };
    let (host, port) = text.split_at_checked(end)?;
    let port = match port.strip_prefix(':') {
        None if port.is_empty() => None,
        // Digits only: `parse` alone would take a sign.
        Some(digits) if digits.bytes().all(|b| b.is_ascii_digit()) => Some(digits.parse().ok()?),
        _ => return None,
    };
    let plain = |b: u8| b.is_ascii_graphic() && !b"/?#@\\,\"<>*".contains(&b);
    host.bytes().all(plain).then(|| (host.to_ascii_lowercase(), port))
}

impl Origin {
    /// `scheme://host` or `scheme://host:port`, as browsers write it (RFC 6454 6.2).
    fn parse(text: &str) -> Option<Self> {
        let (scheme, rest) = text.split_once("://")?;
        let letters = |b: u8| b.is_ascii_alphanumeric() || b"+-.".contains(&b);
        if !scheme.starts_with(|c: char| c.is_ascii_alphabetic()) || !scheme.bytes().all(letters) {
            return None;
        }
        let scheme = scheme.to_ascii_lowercase();
        let (host, port) = host_and_port(rest)?;
        if host.is_empty() && scheme != "file" {
            return None;
        }
        Some(Self { port: port.or(usual_port(&scheme)), scheme, host })
    }

    /// A page of the host and port that the request goes to. A server behind TLS of others cannot know its own scheme: a
    /// Host without port has the usual one of the page's.
    fn is_of(&self, host: &str) -> bool {
        let of_the_web = usual_port(&self.scheme).is_some();
        of_the_web
            && host_and_port(host)
                .is_some_and(|(name, port)| name == self.host && port.or(usual_port(&self.scheme)) == self.port)
    }
}

impl Allowed {
    fn parse(text: &str) -> Result<Self, String> {
        match text {
            "*" => return Ok(Self::Any),
            "same" => return Ok(Self::Same),
            "null" => return Ok(Self::Opaque),
            _ => {}
        }
        // Or with the slash that address bars show. `file://` is whole as it is.
        let origin = Origin::parse(text).or_else(|| Origin::parse(text.strip_suffix('/')?));
        origin.map(Self::Origin).ok_or_else(|| {
            format!(
                "`{}` is not an origin; write it as in https://example.org or http://localhost:8000, or same, null or *",
                shown(text.as_bytes())
            )
        })
    }
}

/// A value of `--allow-origin`, or why it is none.
pub fn check_origin(text: &str) -> Result<(), String> {
    Allowed::parse(text).map(|_| ())
}

/// The values of the option `allow_origins`.
pub(super) struct AllowedOrigins(Vec<Allowed>);

impl AllowedOrigins {
    pub fn parse(texts: &[String]) -> Result<Self, String> {
        texts.iter().map(|text| Allowed::parse(text)).collect::<Result<_, _>>().map(Self)
    }

    fn lets_in(&self, origin: &[u8], host: &[u8]) -> bool {
        if self.0.contains(&Allowed::Any) {
            return true;
        }
        if origin == b"null" {
            return self.0.contains(&Allowed::Opaque);
        }
        let text = |bytes| str::from_utf8(bytes).unwrap_or_default();
        Origin::parse(text(origin)).is_some_and(|origin| {
            self.0.iter().any(|allowed| match allowed {
                Allowed::Same => origin.is_of(text(host)),
                Allowed::Origin(allowed) => *allowed == origin,
                Allowed::Any | Allowed::Opaque => false,
            })
        })
    }
}

/// Judges the Origin of a request.
//= 6455-4.2.1-8
//= 6455-4.2.2-5
//= 6455-10.2-1
pub(super) fn check(head: &request::Parts, allowed: &AllowedOrigins) -> Result<(), Refusal> {
    let fields = &head.headers;
    let one = |name: &HeaderName, why| headers::single(fields, name).map_err(|()| bad(why));
    let Some(origin) = one(&header::ORIGIN, "more than one Origin")? else { return Ok(()) };
    // The authority of an absolute target takes the place of Host (RFC 9112 3.2.2).
    let host = match head.uri.authority() {
        Some(authority) => authority.as_str().as_bytes(),
        None => one(&header::HOST, "more than one Host")?.unwrap_or_default(),
    };
    if allowed.lets_in(origin, host) { Ok(()) } else { Err(foreign(origin, host)) }
}

//= 6455-4.2.2-6
//= 6455-10.2-2
fn foreign(origin: &[u8], host: &[u8]) -> Refusal {
    let (origin, host) = (shown(origin), shown(host));
    Refusal {
        status: StatusCode::FORBIDDEN,
        why: "pages of this origin may not use this server; its option --allow-origin ORIGIN lets them in",
        detail: Some(format!("origin `{origin}`, Host `{host}`")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hyper::Request;

    fn list(texts: &[&str]) -> AllowedOrigins {
        let texts: Vec<_> = texts.iter().map(|text| (*text).to_owned()).collect();
        AllowedOrigins::parse(&texts).unwrap()
    }

    fn passes(origin: &str, host: &str, allowed: &[&str]) -> bool {
        let allowed = list(allowed);
        let head = Request::builder().uri("/x").header("Origin", origin).header("Host", host).body(()).unwrap();
        match check(&head.into_parts().0, &allowed) {
            Ok(()) => true,
            Err(refusal) => {
                assert_eq!(refusal.status, StatusCode::FORBIDDEN);
                assert!(refusal.why.contains("--allow-origin") && !refusal.why.contains('\n'));
                assert!(refusal.text().contains(&format!("origin `{}`", shown(origin.as_bytes()))));
                false
            }
        }
    }

    #[test]
    fn same_means_host_and_port() {
        for (origin, host) in [
            ("http://h:8080", "h:8080"),
            ("HTTP://H:8080", "h:8080"),
            ("http://h", "H"),
            ("http://h", "h:80"),
            ("http://h:80", "h"),
            // TLS ends in front of us.
            ("https://h", "h"),
            ("https://h", "h:443"),
            ("http://[::1]:1", "[::1]:1"),
            ("http://[::1]", "[::1]"),
        ] {
            assert!(passes(origin, host, &["same"]), "{origin} {host}");
        }
        for (origin, host) in [
            ("http://h:8081", "h:8080"),
            ("http://g:8080", "h:8080"),
            ("http://h", "h:8080"),
            ("https://h", "h:80"),
            ("http://h.evil.example", "h"),
            ("http://evil.example", "evil.example.h"),
            ("null", "null"),
            ("null", ""),
            ("h", "h"),
            ("http://", ""),
            ("file://", ""),
            ("chrome-extension://h", "h"),
            ("http://user@h", "h"),
            ("http://h/", "h"),
            ("http://h http://g", "h"),
            ("http://h:+80", "h"),
            ("http://h:", "h:"),
            ("http://h:99999", "h:99999"),
            ("http://[::1", "[::1"),
        ] {
            assert!(!passes(origin, host, &["same"]), "{origin} {host}");
        }
    }

    #[test]
    fn a_list_is_all_that_passes() {
        let list = ["https://a.example", "http://b.example:8000/", "moz-extension://0-1"];
        for origin in ["https://A.example:443", "http://b.example:8000", "moz-extension://0-1"] {
            assert!(passes(origin, "h", &list), "{origin}");
        }
        // The server's own pages are no exception unless the list says `same`.
        for origin in ["http://a.example", "https://a.example:444", "https://x.a.example", "http://h", "null"] {
            assert!(!passes(origin, "h", &list), "{origin}");
            assert!(!passes(origin, "h", &[]), "{origin}");
            assert!(passes(origin, "h", &["https://a.example", "*"]), "{origin}");
        }
        assert!(passes("http://h", "h", &["https://a.example", "same"]));
        assert!(passes("null", "h", &["null"]) && !passes("http://null", "h", &["null"]));
        // What is no origin at all passes only where everything does.
        assert!(passes("nonsense", "h", &["*"]) && !passes("nonsense", "h", &["null", "same"]));
    }

    #[test]
    fn pages_from_files_can_be_allowed() {
        // What programs with a browser built in send instead of `null`.
        for allowed in ["file://", "file:///"] {
            assert!(passes("file://", "h", &[allowed]), "{allowed}");
            assert!(!passes("null", "h", &[allowed]) && !passes("http://h", "h", &[allowed]), "{allowed}");
        }
    }

    #[test]
    fn an_absolute_target_takes_the_place_of_host() {
        let head = |uri: &str| {
            let request = Request::builder().uri(uri).header("Origin", "http://a").header("Host", "a");
            request.body(()).unwrap().into_parts().0
        };
        assert!(check(&head("http://a/"), &list(&["same"])).is_ok());
        assert!(check(&head("http://b/"), &list(&["same"])).is_err());
    }

    //= 6455-4.2.1-8 test
    #[test]
    fn no_origin_is_no_browser() {
        let head = Request::builder().uri("/").header("Host", "h").body(()).unwrap().into_parts().0;
        assert!(check(&head, &list(&[])).is_ok());
        let twice = Request::builder().uri("/").header("Origin", "http://h").header("Origin", "http://h");
        let refusal = check(&twice.body(()).unwrap().into_parts().0, &list(&["same"])).unwrap_err();
        assert_eq!(refusal.status, StatusCode::BAD_REQUEST);
    }

    #[test]
    fn what_is_no_origin_cannot_be_allowed() {
        // A star inside a name would look as if it did something.
        for bad in ["", "example.org", "http://", "https://a/path", "https://*.a", "a b://c", "http://a:x", "Same"] {
            assert!(check_origin(bad).is_err(), "{bad}");
        }
    }
}
