//! Where a server's function is told to be: one address, several, a name, or a descriptor that was inherited.
//!
//! TCP and UDP servers read it here, under the same keys but for that of a single address.

use crate::{error::Result, functions::lookup_error, scenario::RhResult};
use serde::Deserialize;
use sockets::net::{inherited_socket::Which, listen::loopback, resolve::Resolver};
use std::net::SocketAddr;

/// Options of functions that serve at an address, beside the key for a single one.
#[derive(Default, Deserialize)]
#[serde(default)]
pub struct PlaceOpts {
    /// Several addresses; with port 0 all get the same free port
    addrs: Option<Vec<SocketAddr>>,
    /// Name and port, for all addresses of the name
    host: Option<String>,
}

/// The only one of them that was given.
pub enum WantedPlace {
    Bound(Bound),
    Inherited(Which),
}

/// Somewhere to bind.
pub enum Bound {
    Addresses(Vec<SocketAddr>),
    Name(String),
}

impl PlaceOpts {
    /// What they say together with the `single` address, which has this key, and with an inherited descriptor. Exactly one of
    /// all must be given.
    pub fn wanted(self, single: (&str, Option<SocketAddr>), inherited: Option<Which>) -> RhResult<WantedPlace> {
        let (key, single) = single;
        Ok(match (single, self.addrs, self.host, inherited) {
            (Some(addr), None, None, None) => WantedPlace::Bound(Bound::Addresses(vec![addr])),
            (None, Some(addrs), None, None) => WantedPlace::Bound(Bound::Addresses(addrs)),
            (None, None, Some(name), None) => WantedPlace::Bound(Bound::Name(name)),
            (None, None, None, Some(which)) => WantedPlace::Inherited(which),
            _ => {
                let keys = format!("`{key}`, `addrs`, `host`, `fd`, `named_fd`");
                return Err(format!("where to listen? Give one of the options {keys}").into());
            }
        })
    }
}

impl Bound {
    /// All addresses; names are looked up.
    pub async fn addresses(self, resolver: &dyn Resolver) -> Result<Vec<SocketAddr>> {
        match self {
            Self::Addresses(addrs) => Ok(addrs),
            Self::Name(name) => match name.rsplit_once(':').map(|(host, port)| (host, port.parse())) {
                // Whatever the hosts file says of it: both loopback addresses (RFC 6761, 6.3).
                Some((host, Ok(port))) if host.eq_ignore_ascii_case("localhost") => Ok(loopback(port).to_vec()),
                _ => resolver.lookup(&name).await.map_err(lookup_error),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sockets::net::resolve::FixedResolver;

    fn addr(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    #[tokio::test]
    async fn a_name_means_all_its_addresses() {
        let both = vec![addr("192.0.2.7:80"), addr("[2001:db8::7]:80")];
        // A localhost that somebody else has.
        let resolver =
            FixedResolver::new([("h:80", both.clone()), ("localhost:80", both.clone()), ("none:80", vec![])]);
        let addresses = async |host: &str| Bound::Name(host.to_owned()).addresses(&resolver).await;
        assert_eq!(addresses("h:80").await.unwrap(), both);
        for local in ["localhost:80", "LocalHost:80"] {
            assert_eq!(addresses(local).await.unwrap(), [addr("127.0.0.1:80"), addr("[::1]:80")]);
        }
        assert_eq!(addresses("none:80").await.unwrap_err().exit_code(), 20);
        assert_eq!(addresses("unknown:80").await.unwrap_err().exit_code(), 21);
    }

    #[test]
    fn exactly_one_place_is_given() {
        let given = |mask: u8| {
            let is = |bit: u8| mask & bit != 0;
            let places =
                PlaceOpts { addrs: is(1).then(|| vec![addr("192.0.2.7:80")]), host: is(2).then(|| "h:80".to_owned()) };
            places.wanted(("bind", is(4).then(|| addr("192.0.2.8:80"))), is(8).then_some(Which::Number(3)))
        };
        for mask in 0..16_u8 {
            match given(mask) {
                Ok(_) => assert_eq!(mask.count_ones(), 1, "{mask}"),
                Err(e) => assert!(mask.count_ones() != 1 && e.to_string().contains("`bind`, `addrs`"), "{mask}: {e}"),
            }
        }
    }
}
