//! URLs of WebSockets as people type them: `ws://user:password@host:port/path?query#fragment`.
//!
//! What a URL may not contain literally is percent-encoded instead of refused, in path and query. Authority and request
//! target leave this file in the form in which they go out on the wire (RFC 3986, RFC 6455 section 3).

use crate::error::{Error, Result};
use base64::Engine as _;
use percent_encoding::{AsciiSet, CONTROLS, percent_decode_str, percent_encode};
use std::net::{IpAddr, Ipv6Addr, SocketAddr};

/// A parsed `ws://` or `wss://` URL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WsAddress {
    /// Scheme `wss`.
    pub tls: bool,
    pub authority: Authority,
    /// Path and query, percent-encoded, never empty.
    pub target: String,
}

/// Who to connect to, and as whom.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Authority {
    /// Address or name, without brackets.
    pub host: String,
    pub port: Option<u16>,
    /// As written, without user info: the `Host` header.
    pub host_header: String,
    /// Value of the `Authorization` header, from user info.
    pub authorization: Option<String>,
}

/// What may not stand in a path or query. `%` is looked at apart, square brackets are common in queries and harmless.
const ENCODED: &AsciiSet =
    &CONTROLS.add(b' ').add(b'"').add(b'<').add(b'>').add(b'\\').add(b'^').add(b'`').add(b'{').add(b'|').add(b'}');

impl WsAddress {
    /// `rest` is what follows `ws://` or `wss://`.
    //= 6455-3-3
    //= 6455-4.1-3
    pub fn parse(tls: bool, rest: &[u8]) -> Result<Self> {
        refuse_controls(rest)?;
        let end = rest.iter().position(|b| matches!(b, b'/' | b'?' | b'#' | b'\\')).unwrap_or(rest.len());
        let (authority, target) = rest.split_at(end);
        if authority.is_empty() {
            return Err(Error::usage("the host is missing; write HOST, HOST:PORT or HOST/PATH"));
        }
        Ok(Self { tls, authority: Authority::parse(authority)?, target: target_from(target)? })
    }

    /// 80 or 443 where no port was written.
    pub fn port(&self) -> u16 {
        self.authority.port.unwrap_or(if self.tls { 443 } else { 80 })
    }

    /// What is odd about the port: that of the other scheme.
    pub fn scheme_hint(&self) -> Option<&'static str> {
        match (self.tls, self.port()) {
            (false, 443) => Some("ws:// does not encrypt, but port 443 is for TLS; write wss:// for that"),
            (true, 80) => Some("wss:// encrypts, but port 80 is for plain HTTP; write ws:// for that"),
            _ => None,
        }
    }

    /// The address to connect to, where the host is one.
    pub fn socket_addr(&self) -> Option<SocketAddr> {
        Some(SocketAddr::new(self.authority.host.parse::<IpAddr>().ok()?, self.port()))
    }

    /// `HOST:PORT` for the resolver.
    pub fn host_and_port(&self) -> String {
        let host = &self.authority.host;
        if host.contains(':') { format!("[{host}]:{}", self.port()) } else { format!("{host}:{}", self.port()) }
    }
}

/// Nobody else is on the way to this host: loopback addresses, and the names that stand for them (RFC 6761 section 6.3).
pub fn is_local(host: &str) -> bool {
    match host.parse::<IpAddr>() {
        Ok(ip) => ip.to_canonical().is_loopback(),
        Err(_) => {
            let name = host.strip_suffix('.').unwrap_or(host);
            name.rsplit('.').next().is_some_and(|last| last.eq_ignore_ascii_case("localhost"))
        }
    }
}

/// What a handshake asks for: the part of a URI that goes into the request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestUri {
    /// Path and query, percent-encoded, never empty.
    pub path_and_query: String,
    /// Value of the `Host` header, if the URI says it.
    pub host: Option<String>,
    /// Value of the `Authorization` header, from user info.
    pub authorization: Option<String>,
}

impl Default for RequestUri {
    fn default() -> Self {
        Self { path_and_query: "/".to_owned(), host: None, authorization: None }
    }
}

impl From<WsAddress> for RequestUri {
    fn from(url: WsAddress) -> Self {
        let Authority { host_header, authorization, .. } = url.authority;
        Self { path_and_query: url.target, host: Some(host_header), authorization }
    }
}

impl std::str::FromStr for RequestUri {
    type Err = Error;

    /// A path with query, or a whole URI, whose scheme does not matter.
    fn from_str(text: &str) -> Result<Self> {
        if let Some((_, rest)) = text.split_once("://").filter(|(scheme, _)| !scheme.contains(['/', '?'])) {
            return WsAddress::parse(false, rest.as_bytes()).map(Self::from);
        }
        if text.starts_with(['/', '?']) {
            return Ok(Self { path_and_query: target_from(text.as_bytes())?, ..Self::default() });
        }
        Err(Error::usage("write a path such as /chat or a URI such as ws://example.org/chat"))
    }
}

impl Authority {
    pub fn parse(text: &[u8]) -> Result<Self> {
        let text = std::str::from_utf8(text).map_err(|_| Error::usage("the host is not UTF-8; write it in ASCII"))?;
        let (user_info, host_header) = match text.rsplit_once('@') {
            Some((user_info, host)) => (Some(user_info), host),
            None => (None, text),
        };
        let (host, port) = split_port(host_header)?;
        let authorization = user_info.map(basic_authorization).transpose()?;
        Ok(Self { host: checked_host(host)?, port, host_header: host_header.to_owned(), authorization })
    }
}

/// Path and query in the form of a request line, from anything that follows an authority: `?query` gets `/` in front, a
/// fragment is dropped, bytes that are not allowed are percent-encoded.
//= 6455-3-1
//= 6455-3-2
//= 6455-11.1.1-1
//= 6455-11.1.2-1
pub fn target_from(rest: &[u8]) -> Result<String> {
    refuse_controls(rest)?;
    let rest = rest.split(|b| *b == b'#').next().unwrap_or_default();
    let mut target = String::with_capacity(rest.len() + 1);
    if rest.first() != Some(&b'/') {
        target.push('/');
    }
    for (i, part) in rest.split(|b| *b == b'%').enumerate() {
        if i > 0 {
            let escape = matches!(part, [a, b, ..] if a.is_ascii_hexdigit() && b.is_ascii_hexdigit());
            target.push_str(if escape { "%" } else { "%25" });
        }
        target.extend(percent_encode(part, ENCODED));
    }
    Ok(target)
}

fn refuse_controls(bytes: &[u8]) -> Result<()> {
    match bytes.iter().find(|b| b.is_ascii_control()) {
        None => Ok(()),
        Some(b) => Err(Error::usage(format!("control character {b:#04x} in the URL; write it as %{b:02X}"))),
    }
}

fn split_port(authority: &str) -> Result<(&str, Option<u16>)> {
    let (host, port) = if let Some(inner) = authority.strip_prefix('[') {
        let (host, rest) = inner
            .split_once(']')
            .ok_or_else(|| Error::usage("`[` without `]`; an IPv6 address with a port is written as [ADDRESS]:PORT"))?;
        if host.parse::<Ipv6Addr>().is_err() {
            return Err(Error::usage(format!("`{host}` is not an IPv6 address; only those stand in brackets")));
        }
        match rest.strip_prefix(':') {
            Some(port) => (host, Some(port)),
            None if rest.is_empty() => (host, None),
            None => return Err(Error::usage(format!("`{rest}` after `]`; write [ADDRESS]:PORT"))),
        }
    } else {
        match authority.split_once(':') {
            Some((_, port)) if port.contains(':') => {
                return Err(Error::usage("more than one colon in the host; write an IPv6 address in brackets"));
            }
            Some((host, port)) => (host, Some(port)),
            None => (authority, None),
        }
    };
    // An empty port means the default one (RFC 3986 section 3.2.3).
    Ok((host, port.filter(|p| !p.is_empty()).map(parse_port).transpose()?))
}

/// A port from 1 to 65535 as people write it: digits only.
fn parse_port(text: &str) -> Result<u16> {
    let digits = text.bytes().all(|b| b.is_ascii_digit());
    text.parse()
        .ok()
        .filter(|port| digits && *port > 0)
        .ok_or_else(|| Error::usage(format!("`{text}` is not a port; write a number from 1 to 65535")))
}

fn checked_host(host: &str) -> Result<String> {
    if host.is_empty() {
        return Err(Error::usage("the host is missing; write HOST, HOST:PORT or HOST/PATH"));
    }
    if !host.is_ascii() {
        return Err(Error::usage(format!("the host name `{host}` is not ASCII; write its xn-- form (IDNA)")));
    }
    match host.chars().find(|c| !c.is_ascii_alphanumeric() && !matches!(c, '.' | '-' | '_' | ':')) {
        None => Ok(host.to_owned()),
        Some(c) => Err(Error::usage(format!("`{c}` cannot be in a host name: `{host}`"))),
    }
}

/// RFC 7617: user info `user:password`, percent-decoded, as a header value.
fn basic_authorization(user_info: &str) -> Result<String> {
    let (user, password) = user_info.split_once(':').unwrap_or((user_info, ""));
    let (user, password): (Vec<u8>, Vec<u8>) =
        (percent_decode_str(user).collect(), percent_decode_str(password).collect());
    if user.contains(&b':') {
        return Err(Error::usage("the user name in the URL has a colon, which Basic authorization cannot express"));
    }
    if user.iter().chain(&password).any(u8::is_ascii_control) {
        return Err(Error::usage("control character in user name or password of the URL"));
    }
    let plain = [&user[..], b":", &password].concat();
    Ok(format!("Basic {}", base64::prelude::BASE64_STANDARD.encode(plain)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(rest: &str) -> WsAddress {
        WsAddress::parse(false, rest.as_bytes()).unwrap()
    }

    //= 6455-3-3 test
    #[test]
    fn hosts_and_ports() {
        for (text, host, port, header) in [
            ("h", "h", 80, "h"),
            ("h:", "h", 80, "h:"),
            ("H.example:8080/x", "H.example", 8080, "H.example:8080"),
            ("127.0.0.1:1", "127.0.0.1", 1, "127.0.0.1:1"),
            ("[::1]", "::1", 80, "[::1]"),
            ("[::1]:9/", "::1", 9, "[::1]:9"),
            ("u:p@h:5?q", "h", 5, "h:5"),
            ("a_b-c.d", "a_b-c.d", 80, "a_b-c.d"),
        ] {
            let url = parse(text);
            assert_eq!((&*url.authority.host, url.port(), &*url.authority.host_header), (host, port, header), "{text}");
        }
        assert_eq!(WsAddress::parse(true, b"h").unwrap().port(), 443);
        assert_eq!(parse("[::1]:9").socket_addr(), Some("[::1]:9".parse().unwrap()));
        assert_eq!(parse("[::1]:9").host_and_port(), "[::1]:9");
        assert_eq!(parse("h").socket_addr(), None);
        assert_eq!(parse("h").host_and_port(), "h:80");
    }

    #[test]
    fn local_hosts() {
        for (host, local) in [
            ("localhost:8080", true),
            ("LOCALHOST.", true),
            ("app.localhost", true),
            ("127.9.8.7", true),
            ("[::1]", true),
            ("[::ffff:127.0.0.1]", true),
            ("[::ffff:10.0.0.1]", false),
            ("192.168.1.5", false),
            ("localhost.example", false),
            ("notlocalhost", false),
            ("0.0.0.1", false),
        ] {
            assert_eq!(is_local(&parse(host).authority.host), local, "{host}");
        }
    }

    //= 6455-3-1 test
    //= 6455-3-2 test
    //= 6455-11.1.1-1 test
    //= 6455-11.1.2-1 test
    #[test]
    fn targets_are_encoded_instead_of_refused() {
        for (text, target) in [
            ("h", "/"),
            ("h/", "/"),
            ("h?a=b", "/?a=b"),
            ("h#f", "/"),
            ("h/a?b#c/d", "/a?b"),
            ("h/a b", "/a%20b"),
            ("h/ä", "/%C3%A4"),
            ("h/a%23b#c", "/a%23b"),
            ("h/%41%zz%", "/%41%25zz%25"),
            ("h/a:@!$&'()*+,;=-._~[1]?x?/", "/a:@!$&'()*+,;=-._~[1]?x?/"),
            ("h/\"<>\\^`{|}", "/%22%3C%3E%5C%5E%60%7B%7C%7D"),
        ] {
            assert_eq!(parse(text).target, target, "{text}");
        }
        assert_eq!(WsAddress::parse(false, b"h/\xff").unwrap().target, "/%FF");
    }

    #[test]
    fn user_info_becomes_basic_authorization() {
        let basic = |text: &str| parse(text).authority.authorization;
        assert_eq!(basic("Aladdin:open%20sesame@h").as_deref(), Some("Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="));
        assert_eq!(basic("me@h").as_deref(), Some("Basic bWU6"));
        assert_eq!(basic("a:b@c@h").as_deref(), Some("Basic YTpiQGM="));
        assert_eq!(basic("h"), None);
    }

    //= 6455-4.1-3 test
    #[test]
    fn errors_say_what_to_write() {
        for (text, part) in [
            ("", "host is missing"),
            ("/x", "host is missing"),
            (":80", "host is missing"),
            ("u@/x", "host is missing"),
            ("h:0", "from 1 to 65535"),
            ("h:99999", "from 1 to 65535"),
            ("h:+5", "from 1 to 65535"),
            ("::1", "in brackets"),
            ("[::1", "without `]`"),
            ("[::1]x", "after `]`"),
            ("[h]", "not an IPv6"),
            ("bücher.example", "xn--"),
            ("a b", "cannot be in a host name"),
            ("h/\n", "%0A"),
            ("h/\r\nX: y", "%0D"),
            ("a%3Ab:c@h", "colon"),
            ("a%0d:c@h", "control character"),
        ] {
            let e = WsAddress::parse(false, text.as_bytes()).unwrap_err();
            assert!(e.to_string().contains(part), "{text}: {e}");
            assert_eq!(e.kind, crate::error::Kind::Usage);
        }
    }

    #[test]
    fn request_uris() {
        let parse = |text: &str| text.parse::<RequestUri>().map(|uri| (uri.path_and_query, uri.host));
        assert_eq!(parse("/a b?c").unwrap(), ("/a%20b?c".into(), None));
        assert_eq!(parse("?c").unwrap(), ("/?c".into(), None));
        assert_eq!(parse("http://h:81/x#y").unwrap(), ("/x".into(), Some("h:81".into())));
        assert_eq!(parse("/to?u=http://h").unwrap(), ("/to?u=http://h".into(), None));
        for bad in ["", "h/x", "ws://", "ws:///x", "/a\r\nb"] {
            assert!(parse(bad).is_err(), "{bad:?}");
        }
        let with_user: RequestUri = "ws://u:p@h/".parse().unwrap();
        assert_eq!(with_user.authorization.as_deref(), Some("Basic dTpw"));
    }
}
