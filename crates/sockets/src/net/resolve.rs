//! Name resolution behind one trait, so that tests and later caches need no system resolver.
//!
//! A target is `host:port`, also `127.0.0.1:80` and `[::1]:80`. The system's resolver blocks a thread of the runtime's
//! pool, never the caller. A failed lookup (the name does not exist, no server answers) and a name without addresses are
//! different errors, since they have different exit codes.

use std::{collections::HashMap, future::Future, io, net::SocketAddr, pin::Pin, time::Duration};

/// Why there are no addresses.
#[derive(Debug, thiserror::Error)]
pub enum LookupError {
    #[error("`{target}` is not of the form HOST:PORT")]
    Malformed { target: Box<str> },
    #[error("cannot look up `{target}`: {source}")]
    Failed { target: Box<str>, source: io::Error },
    #[error("`{target}` has no addresses")]
    NoAddresses { target: Box<str> },
    #[error("looking up `{target}` took longer than {limit:?}")]
    TimedOut { target: Box<str>, limit: Duration },
}

impl From<LookupError> for io::Error {
    fn from(e: LookupError) -> Self {
        let kind = match &e {
            LookupError::Malformed { .. } => io::ErrorKind::InvalidInput,
            LookupError::Failed { source, .. } => source.kind(),
            LookupError::NoAddresses { .. } => io::ErrorKind::NotFound,
            LookupError::TimedOut { .. } => io::ErrorKind::TimedOut,
        };
        Self::new(kind, e)
    }
}

/// A lookup under way: all addresses of a name, or why there are none.
pub type Lookup<'a> = Pin<Box<dyn Future<Output = Result<Vec<SocketAddr>, LookupError>> + Send + 'a>>;

/// Turns `host:port` into at least one address, in the order in which they shall be tried. Dropping the future gives up.
pub trait Resolver: Send + Sync {
    fn lookup<'a>(&'a self, target: &'a str) -> Lookup<'a>;
}

/// Bounds a lookup; `None` waits as long as the resolver does.
pub async fn lookup_within(
    resolver: &dyn Resolver,
    target: &str,
    limit: Option<Duration>,
) -> Result<Vec<SocketAddr>, LookupError> {
    let Some(limit) = limit else {
        return resolver.lookup(target).await;
    };
    match tokio::time::timeout(limit, resolver.lookup(target)).await {
        Ok(result) => result,
        Err(_) => Err(LookupError::TimedOut { target: target.into(), limit }),
    }
}

/// Host without brackets, and port: `a:1`, `[::1]:1`, `[fe80::1%eth0]:1`. A bare IPv6 address is ambiguous and refused.
fn parse(target: &str) -> Option<(&str, u16)> {
    let (host, port) = target.rsplit_once(':')?;
    let bracketed = host.strip_prefix('[').and_then(|h| h.strip_suffix(']'));
    let host = bracketed.or_else(|| (!host.contains([':', '[', ']'])).then_some(host))?;
    if host.is_empty() { None } else { Some((host, port.parse().ok()?)) }
}

/// Without what the standard library says in front, which is what our own message says.
fn said_once(error: io::Error) -> io::Error {
    match error.to_string().strip_prefix("failed to lookup address information: ") {
        Some(reason) => io::Error::new(error.kind(), reason),
        None => error,
    }
}

/// The resolver of the operating system (hosts file, DNS, whatever it is told to use).
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemResolver;

impl Resolver for SystemResolver {
    fn lookup<'a>(&'a self, target: &'a str) -> Lookup<'a> {
        Box::pin(async move {
            let (host, port) = parse(target).ok_or_else(|| LookupError::Malformed { target: target.into() })?;
            match tokio::net::lookup_host((host, port)).await {
                Err(e) => Err(LookupError::Failed { target: target.into(), source: said_once(e) }),
                Ok(found) => distinct(target, found),
            }
        })
    }
}

/// A table, for tests. Unknown names fail, names with an empty list have no addresses.
#[derive(Clone, Debug, Default)]
pub struct FixedResolver(HashMap<Box<str>, Vec<SocketAddr>>);

impl FixedResolver {
    pub fn new<'a>(table: impl IntoIterator<Item = (&'a str, Vec<SocketAddr>)>) -> Self {
        Self(table.into_iter().map(|(name, addrs)| (name.into(), addrs)).collect())
    }
}

impl Resolver for FixedResolver {
    fn lookup<'a>(&'a self, target: &'a str) -> Lookup<'a> {
        Box::pin(std::future::ready(match self.0.get(target) {
            Some(addrs) => distinct(target, addrs.iter().copied()),
            None => {
                let source = io::Error::new(io::ErrorKind::NotFound, "not in the table");
                Err(LookupError::Failed { target: target.into(), source })
            }
        }))
    }
}

/// Resolvers may repeat an address (once for each socket type or hosts entry); trying it twice helps nobody.
fn distinct(target: &str, found: impl Iterator<Item = SocketAddr>) -> Result<Vec<SocketAddr>, LookupError> {
    let mut addrs = Vec::new();
    for addr in found {
        if !addrs.contains(&addr) {
            addrs.push(addr);
        }
    }
    if addrs.is_empty() { Err(LookupError::NoAddresses { target: target.into() }) } else { Ok(addrs) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_lookup_is_told_once() {
        let e = said_once(io::Error::other("failed to lookup address information: Name or service not known"));
        assert_eq!((e.kind(), e.to_string()), (io::ErrorKind::Other, "Name or service not known".into()));
        assert_eq!(said_once(io::ErrorKind::TimedOut.into()).kind(), io::ErrorKind::TimedOut);
    }

    #[tokio::test]
    async fn the_system_knows_literals_and_refuses_what_is_no_host_and_port() {
        for (target, addr) in [("127.0.0.1:80", "127.0.0.1:80"), ("[::1]:443", "[::1]:443")] {
            assert_eq!(SystemResolver.lookup(target).await.unwrap(), [addr.parse().unwrap()]);
        }
        for target in ["localhost", "localhost:", ":80", "localhost:70000", "::1:80", "[]:80", "[::1:80", ""] {
            let e = SystemResolver.lookup(target).await.unwrap_err();
            assert!(matches!(e, LookupError::Malformed { .. }), "{target}: {e}");
        }
    }

    #[tokio::test]
    async fn the_fixed_one_tells_failure_from_emptiness() {
        let addr: SocketAddr = "192.0.2.1:7".parse().unwrap();
        let fixed = FixedResolver::new([("a:7", vec![addr, addr]), ("empty:7", vec![])]);
        assert_eq!(fixed.lookup("a:7").await.unwrap(), [addr]);
        assert!(matches!(fixed.lookup("empty:7").await, Err(LookupError::NoAddresses { .. })));
        let e = fixed.lookup("b:7").await.unwrap_err();
        assert_eq!(e.to_string(), "cannot look up `b:7`: not in the table");
        assert!(std::error::Error::source(&io::Error::from(e)).is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn a_lookup_can_be_bounded() {
        struct Never;
        impl Resolver for Never {
            fn lookup<'a>(&'a self, _: &'a str) -> Lookup<'a> {
                Box::pin(std::future::pending())
            }
        }
        let e = lookup_within(&Never, "a:1", Some(Duration::from_secs(5))).await.unwrap_err();
        assert!(matches!(e, LookupError::TimedOut { .. }), "{e}");
    }
}
