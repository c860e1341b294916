//! Socket options that only UDP sockets have: broadcast and multicast.

use serde::{Deserialize, Serialize};
use sockets::net::{
    interface::number_of,
    sockopts::{DatagramOptions, Interface},
};
use std::{
    net::{IpAddr, Ipv4Addr},
    num::NonZeroU32,
};

/// Of UDP sockets.
#[derive(Clone, Debug, Default, PartialEq, Eq, clap::Args, Serialize, Deserialize)]
#[serde(default)]
pub struct DatagramOpts {
    /// Allow sending to broadcast addresses (SO_BROADCAST)
    #[arg(long = "socket-broadcast")]
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub broadcast: bool,
    /// Multicast group that a UDP socket joins, of either IP version
    #[arg(long = "socket-multicast", value_name = "IP")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub multicast: Option<IpAddr>,
    /// Join an IPv4 group on the network interface with this address
    #[arg(long = "socket-multicast-interface-addr", value_name = "IP", conflicts_with = "multicast_interface_index")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub multicast_interface_addr: Option<Ipv4Addr>,
    /// Join a group on the network interface with this index; on a command line on Linux its name will do
    #[arg(long = "socket-multicast-interface-index", value_name = "N", value_parser = interface)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub multicast_interface_index: Option<u32>,
    /// Receive from an IPv4 group only what this sender says (IP_ADD_SOURCE_MEMBERSHIP)
    #[arg(long = "socket-multicast-specific-source", value_name = "IP")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub multicast_specific_source: Option<Ipv4Addr>,
    /// Also receive what comes to groups that other sockets of this machine have joined (IP_MULTICAST_ALL,
    /// IPV6_MULTICAST_ALL)
    #[arg(long = "socket-multicast-all", value_name = "BOOL")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub multicast_all: Option<bool>,
    /// Own multicasts come back to sockets of this machine (IP_MULTICAST_LOOP, IPV6_MULTICAST_LOOP)
    #[arg(long = "socket-multicast-loop", value_name = "BOOL")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub multicast_loop: Option<bool>,
    /// Routers that a multicast may pass (IP_MULTICAST_TTL, IPV6_MULTICAST_HOPS)
    #[arg(long = "socket-multicast-ttl", value_name = "HOPS")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub multicast_ttl: Option<u32>,
}

fn interface(text: &str) -> Result<u32, String> {
    number_of(text).map(NonZeroU32::get).map_err(|e| e.to_string())
}

impl DatagramOpts {
    /// They as `sockets` wants them; an error says what does not fit together.
    pub fn options(&self) -> Result<DatagramOptions, String> {
        let interface = match (self.multicast_interface_addr, self.multicast_interface_index) {
            (Some(_), Some(_)) => {
                return Err("a multicast interface is given by its address or by its index, not by both".to_owned());
            }
            (address, index) => address.map(Interface::Address).or(index.map(Interface::Index)),
        };
        let options = DatagramOptions {
            broadcast: self.broadcast,
            group: self.multicast,
            interface,
            source: self.multicast_specific_source,
            multicast_all: self.multicast_all,
            multicast_loop: self.multicast_loop,
            multicast_ttl: self.multicast_ttl,
        };
        options.check().map(|()| options).map_err(|e| e.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_option_reaches_the_data_plane() {
        let opts = DatagramOpts {
            broadcast: true,
            multicast: Some([224, 0, 0, 251].into()),
            multicast_interface_addr: Some(Ipv4Addr::LOCALHOST),
            multicast_interface_index: None,
            multicast_specific_source: Some(Ipv4Addr::LOCALHOST),
            multicast_all: Some(true),
            multicast_loop: Some(true),
            multicast_ttl: Some(7),
        };
        let shown = format!("{:?}", opts.options().unwrap());
        assert!(!shown.contains("None") && !shown.contains("false"), "{shown}");
        let both = DatagramOpts { multicast_interface_index: Some(1), ..opts };
        assert!(both.options().unwrap_err().contains("not by both"));
        let alone = DatagramOpts { multicast_interface_index: Some(1), ..DatagramOpts::default() };
        assert!(alone.options().unwrap_err().contains("needs a group"));
        assert_eq!(crate::spec::OptionMap::of(&DatagramOpts::default()).unwrap().to_string(), "#{}");
    }
}
