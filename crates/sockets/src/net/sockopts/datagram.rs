//! Options that only datagram sockets have, set after bind and before connect: broadcast, and multicast groups.
//!
//! A membership follows the IP version of the group, everything else that of the socket.

use super::{OptionError, on, os, set};
use socket2::{InterfaceIndexOrAddress, Socket};
use std::net::{IpAddr, Ipv4Addr};

/// After bind.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DatagramOptions {
    /// SO_BROADCAST
    pub broadcast: bool,
    /// Group to join; with `source` only what that sender says there is received.
    pub group: Option<IpAddr>,
    /// Interface of the membership; the system chooses one when it is absent.
    pub interface: Option<Interface>,
    /// IP_ADD_SOURCE_MEMBERSHIP
    pub source: Option<Ipv4Addr>,
    /// IP_MULTICAST_ALL, IPV6_MULTICAST_ALL
    pub multicast_all: Option<bool>,
    /// IP_MULTICAST_LOOP, IPV6_MULTICAST_LOOP
    pub multicast_loop: Option<bool>,
    /// IP_MULTICAST_TTL, IPV6_MULTICAST_HOPS
    pub multicast_ttl: Option<u32>,
}

/// A network interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Interface {
    /// One of its addresses; IPv4 groups only.
    Address(Ipv4Addr),
    Index(u32),
}

/// Multicast options that do not fit together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MulticastError {
    #[error("an interface or source of multicast needs a group to join")]
    NoGroup,
    #[error("{0} is not a multicast address")]
    NotMulticast(IpAddr),
    #[error("the interface of an IPv6 group is given by its index, not by an IPv4 address")]
    AddressForV6,
    #[error("one source only is for IPv4 groups")]
    SourceForV6,
    #[error("the interface of a group with one source is given by its address, not by its index")]
    IndexWithSource,
}

impl DatagramOptions {
    /// Whether they fit together, before any socket exists.
    pub fn check(&self) -> Result<(), MulticastError> {
        match (self.group, self.interface, self.source) {
            (None, None, None) => Ok(()),
            (None, ..) => Err(MulticastError::NoGroup),
            (Some(group), ..) if !group.is_multicast() => Err(MulticastError::NotMulticast(group)),
            (Some(IpAddr::V6(_)), Some(Interface::Address(_)), _) => Err(MulticastError::AddressForV6),
            (Some(IpAddr::V6(_)), _, Some(_)) => Err(MulticastError::SourceForV6),
            (Some(_), Some(Interface::Index(_)), Some(_)) => Err(MulticastError::IndexWithSource),
            _ => Ok(()),
        }
    }

    /// Sets the options that were given, one after another; the first failure ends it.
    pub fn apply(&self, socket: &Socket, v6: bool) -> Result<(), OptionError> {
        set("broadcast", on(self.broadcast), |on| socket.set_broadcast(on))?;
        set("multicast_all", self.multicast_all, |all| os::multicast_all(socket, v6, all))?;
        set("multicast_loop", self.multicast_loop, |on| {
            if v6 { socket.set_multicast_loop_v6(on) } else { socket.set_multicast_loop_v4(on) }
        })?;
        set("multicast_ttl", self.multicast_ttl, |n| {
            if v6 { socket.set_multicast_hops_v6(n) } else { socket.set_multicast_ttl_v4(n) }
        })?;
        set("multicast", self.group, |group| match (group, self.interface, self.source) {
            (IpAddr::V6(group), Some(Interface::Index(index)), _) => socket.join_multicast_v6(&group, index),
            (IpAddr::V6(group), ..) => socket.join_multicast_v6(&group, 0),
            (IpAddr::V4(group), interface, Some(source)) => {
                let address = match interface {
                    Some(Interface::Address(address)) => address,
                    _ => Ipv4Addr::UNSPECIFIED,
                };
                os::join_source(socket, &source, &group, &address)
            }
            (IpAddr::V4(group), Some(Interface::Address(address)), None) => socket.join_multicast_v4(&group, &address),
            (IpAddr::V4(group), Some(Interface::Index(index)), None) => {
                os::join_by_index(socket, &group, &InterfaceIndexOrAddress::Index(index))
            }
            (IpAddr::V4(group), None, None) => socket.join_multicast_v4(&group, &Ipv4Addr::UNSPECIFIED),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use socket2::{Domain, Type};

    /// Not bound: a machine may know IPv6 and have no address of it.
    fn udp(domain: Domain) -> Socket {
        Socket::new(domain, Type::DGRAM, None).unwrap()
    }

    #[test]
    fn numbers_and_flags_reach_the_kernel() {
        let options = DatagramOptions {
            broadcast: true,
            multicast_loop: Some(false),
            multicast_ttl: Some(7),
            ..DatagramOptions::default()
        };
        let v4 = udp(Domain::IPV4);
        options.apply(&v4, false).unwrap();
        assert!(v4.broadcast().unwrap() && !v4.multicast_loop_v4().unwrap());
        assert_eq!(v4.multicast_ttl_v4().unwrap(), 7);
        let v6 = udp(Domain::IPV6);
        options.apply(&v6, true).unwrap();
        assert!(v6.broadcast().unwrap() && !v6.multicast_loop_v6().unwrap());
        assert_eq!(v6.multicast_hops_v6().unwrap(), 7);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn not_all_groups_of_the_machine() {
        let options = DatagramOptions { multicast_all: Some(false), ..DatagramOptions::default() };
        let v4 = udp(Domain::IPV4);
        assert!(v4.multicast_all_v4().unwrap());
        options.apply(&v4, false).unwrap();
        assert!(!v4.multicast_all_v4().unwrap());
        let v6 = udp(Domain::IPV6);
        options.apply(&v6, true).unwrap();
        assert!(!v6.multicast_all_v6().unwrap());
    }

    #[test]
    fn what_does_not_fit_together_is_refused() {
        let group = Some("224.0.0.251".parse().unwrap());
        let group_v6 = Some("ff02::fb".parse().unwrap());
        let address = Some(Interface::Address(Ipv4Addr::LOCALHOST));
        let (index, source) = (Some(Interface::Index(1)), Some(Ipv4Addr::LOCALHOST));
        for (group, interface, source, expected) in [
            (group, None, None, Ok(())),
            (group, address, source, Ok(())),
            (group, index, None, Ok(())),
            (group_v6, index, None, Ok(())),
            (None, address, None, Err(MulticastError::NoGroup)),
            (None, None, source, Err(MulticastError::NoGroup)),
            (Some(Ipv4Addr::LOCALHOST.into()), None, None, Err(MulticastError::NotMulticast([127, 0, 0, 1].into()))),
            (group_v6, address, None, Err(MulticastError::AddressForV6)),
            (group_v6, None, source, Err(MulticastError::SourceForV6)),
            (group, index, source, Err(MulticastError::IndexWithSource)),
        ] {
            let options = DatagramOptions { group, interface, source, ..DatagramOptions::default() };
            assert_eq!(options.check(), expected, "{options:?}");
        }
    }
}
