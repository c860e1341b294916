//! Where to listen, as people write it: `IP:PORT`, `HOST:PORT`, or a bare port for the loopback addresses.

use super::inherited_fd;
use crate::{
    error::{Error, Result},
    spec::{OptionMap, string_literal},
};
use sockets::net::{inherited_socket::Which, interface::number_of};
use std::{
    ffi::OsStr,
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6},
};

/// One place to listen on, maybe several addresses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ListenAddress {
    Address(SocketAddr),
    /// Loopback of both families: nobody outside the machine gets in by accident.
    Port(u16),
    /// `HOST:PORT`, resolved when the listener starts.
    Name(String),
    /// A socket that this program was started with; it has prefixes of its own.
    Inherited(Which),
}

/// What to write, for help and errors.
pub const FORMAT: &str = "IP:PORT, HOST:PORT, or PORT for this machine only";

impl ListenAddress {
    /// Reads `IP:PORT`, `HOST:PORT` or `PORT`; anything else is a usage error.
    pub fn parse(value: &OsStr) -> Result<Self> {
        let text = value.to_str().ok_or_else(|| Error::usage(format!("the address is not UTF-8; write {FORMAT}")))?;
        if let Ok(addr) = text.parse() {
            return Ok(Self::Address(addr));
        }
        if let Some(addr) = with_scope_by_name(text)? {
            return Ok(Self::Address(addr));
        }
        if text.is_empty() {
            return Err(Error::usage(format!("the address is missing; write {FORMAT}")));
        }
        if text.bytes().all(|b| b.is_ascii_digit()) {
            return Ok(Self::Port(port(text)?));
        }
        if text.trim_matches(['[', ']']).parse::<IpAddr>().is_ok() {
            let with_port = if text.contains(':') {
                format!("[{}]:PORT", text.trim_matches(['[', ']']))
            } else {
                format!("{text}:PORT")
            };
            return Err(Error::usage(format!("`{text}` has no port; write {with_port}")));
        }
        let Some((host, number)) = text.rsplit_once(':') else {
            return Err(Error::usage(format!("`{text}` has no port; write {FORMAT}")));
        };
        port(number)?;
        match host {
            "" | "*" => Err(Error::usage(format!(
                "`{text}` has no address; write {number} for this machine only, [::]:{number} or 0.0.0.0:{number} for all"
            ))),
            _ if !host.is_ascii() || host.contains([':', '[', ']', '/', ' ', '@', '?', '#', '%']) => {
                Err(Error::usage(format!("`{host}` is neither an IP address nor a host name; write {FORMAT}")))
            }
            _ => Ok(Self::Name(text.to_owned())),
        }
    }

    /// All addresses of the machine.
    pub fn is_everywhere(&self) -> bool {
        matches!(self, Self::Address(addr) if addr.ip().is_unspecified())
    }

    /// In words, for `--explain`.
    pub fn explain(&self) -> String {
        match self {
            Self::Address(addr) if addr.port() == 0 => format!("a free port of {}", addr.ip()),
            Self::Address(addr) if addr.ip().is_unspecified() => format!("port {} of every address", addr.port()),
            Self::Address(addr) => addr.to_string(),
            Self::Port(0) => "a free port of the loopback addresses".to_owned(),
            Self::Port(port) => format!("port {port} of the loopback addresses"),
            Self::Name(name) => format!("all addresses of {name}"),
            Self::Inherited(which) => format!("{which}, which was inherited"),
        }
    }

    /// The key of `listen_tcp` that says this.
    pub fn option_map(&self) -> OptionMap {
        match self {
            Self::Address(addr) => OptionMap::new().text("addr", &addr.to_string()),
            Self::Name(name) => OptionMap::new().text("host", name),
            Self::Inherited(which) => inherited_fd::option_map(which),
            Self::Port(port) => {
                let mut map = OptionMap::new();
                let addrs = loopbacks(*port).map(|addr| string_literal(&addr.to_string()));
                map.push("addrs", format!("[{}]", addrs.join(", ")));
                map
            }
        }
    }
}

/// The loopback addresses of both families.
pub fn loopbacks(port: u16) -> [SocketAddr; 2] {
    [(Ipv4Addr::LOCALHOST, port).into(), (Ipv6Addr::LOCALHOST, port).into()]
}

/// `[IPV6%INTERFACE]:PORT` with the name of an interface, whose number is looked up; None: it is something else.
pub fn with_scope_by_name(text: &str) -> Result<Option<SocketAddr>> {
    let parts = text.strip_prefix('[').and_then(|text| text.split_once('%')).and_then(|(ip, rest)| {
        let (name, port) = rest.rsplit_once("]:")?;
        Some((ip.parse::<Ipv6Addr>().ok()?, name, port))
    });
    let Some((ip, name, number)) = parts else { return Ok(None) };
    let scope = number_of(name).map_err(|e| Error::usage(e.to_string()))?;
    Ok(Some(SocketAddrV6::new(ip, port(number)?, 0, scope.get()).into()))
}

fn port(text: &str) -> Result<u16> {
    let digits = text.bytes().all(|b| b.is_ascii_digit());
    text.parse()
        .ok()
        .filter(|_| digits)
        .ok_or_else(|| Error::usage(format!("`{text}` is not a port; write a number from 0 (any free one) to 65535")))
}

impl fmt::Display for ListenAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(addr) => addr.fmt(f),
            Self::Port(port) => port.fmt(f),
            Self::Name(name) => f.write_str(name),
            Self::Inherited(which) => which.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_way_to_write_it() {
        let parse = |text: &str| ListenAddress::parse(text.as_ref()).unwrap();
        assert_eq!(parse("127.0.0.1:0"), ListenAddress::Address("127.0.0.1:0".parse().unwrap()));
        assert_eq!(parse("[::1]:80"), ListenAddress::Address("[::1]:80".parse().unwrap()));
        assert_eq!(parse("1234"), ListenAddress::Port(1234));
        assert_eq!(parse("localhost:1234"), ListenAddress::Name("localhost:1234".into()));
        assert_eq!(parse("1234").option_map().to_string(), r#"#{addrs: ["127.0.0.1:1234", "[::1]:1234"]}"#);
        assert_eq!(parse("localhost:1").option_map().to_string(), r#"#{host: "localhost:1"}"#);
        assert_eq!(parse("[fe80::1%7]:1").option_map().to_string(), r#"#{addr: "[fe80::1%7]:1"}"#);
        if cfg!(target_os = "linux") {
            assert_eq!(parse("[ff02::1%lo]:1"), parse("[ff02::1%1]:1"));
        }
        assert_eq!(parse("[::]:1").option_map().to_string(), r#"#{addr: "[::]:1"}"#);
    }

    #[test]
    fn errors_say_what_to_write() {
        for (text, part) in [
            ("", "is missing"),
            ("127.0.0.1", "127.0.0.1:PORT"),
            ("::1", "[::1]:PORT"),
            ("[::1]", "[::1]:PORT"),
            ("host", "no port"),
            ("host:x", "is not a port"),
            ("host:", "is not a port"),
            ("70000", "is not a port"),
            ("h:70000", "is not a port"),
            ("[fe80::1%no-such]:80", "no network interface `no-such`"),
            ("[fe80::1%]:80", "no network interface ``"),
            ("[fe80::1%1]:x", "is not a port"),
            (":80", "0.0.0.0:80"),
            ("*:80", "0.0.0.0:80"),
            ("a b:80", "neither"),
            ("ws://h:80", "neither"),
        ] {
            let e = ListenAddress::parse(text.as_ref()).unwrap_err().to_string();
            assert!(e.contains(part), "{text}: {e}");
        }
    }
}
