//! How many connections a listener serves at a time, in all and from one address, and what happens to those that are too many.
//!
//! Every connection gets a [`Seat`], which is given back when it is dropped with the session. Where there is none left the
//! connection is closed at once, or, where a session begins with HTTP, handed on to be told so: of these a fixed number at
//! a time, so that the limit stays one.

use serde::{Deserialize, Serialize};
use sockets::info::SocketInfo;
use std::{
    collections::HashMap,
    net::{IpAddr, Ipv6Addr},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// Connections over a limit that wait for their answer at a time. They leave as soon as they have it, at the latest when
/// the time for a handshake is over.
const MOST_TOLD: u32 = 64;
/// Bits of an IPv6 address that a provider gives out as one: what follows is the customer's own choice.
const V6_PREFIX: u32 = 64;

/// Most connections at a time; for all listeners.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::Args, Serialize, Deserialize)]
#[serde(default)]
pub struct ClientLimitOpts {
    /// Most connections that a listener serves at a time; further ones get status 503 (ws-l:) or are closed
    #[arg(long = "conncap", value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_clients: Option<u32>,
    /// Most connections at a time from one IP address, or from one IPv6 network (/64)
    #[arg(long = "max-conns-per-ip", value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_clients_per_ip: Option<u32>,
    /// Hand connections over a limit on, for `http1_serve` to answer them with 503, instead of closing them: up to 64 at a
    /// time. Only where `http1_serve` is what comes first.
    #[arg(skip)]
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub refuse_by_http: bool,
}

impl ClientLimitOpts {
    pub fn is_limited(self) -> bool {
        self.max_clients.is_some() || self.max_clients_per_ip.is_some()
    }
}

/// The limits of one listener, and who is there.
pub struct ClientLimits {
    opts: ClientLimitOpts,
    present: Arc<Mutex<Present>>,
}

#[derive(Default)]
struct Present {
    all: u32,
    /// Only those of which there are some.
    by_network: HashMap<IpAddr, u32>,
    told: u32,
    /// Somebody was refused since the last one left.
    full: bool,
}

/// What becomes of a new connection.
pub enum Admission {
    /// It is served; the seat is kept as long as it lives.
    Welcome(Seat),
    /// It is handed on to be refused. The seat is one of the few for that.
    Told(Seat, Full),
    Closed(Full),
}

/// Which limit is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Full {
    pub limit: u32,
    pub per_address: bool,
    /// Nobody has left since this was said last.
    pub again: bool,
}

/// A place that is given back on drop. None where nothing is limited: that costs nothing.
pub struct Seat {
    _place: Option<Box<Place>>,
}

struct Place {
    present: Arc<Mutex<Present>>,
    /// None: a place among those that are told.
    network: Option<IpAddr>,
}

fn lock(present: &Mutex<Present>) -> MutexGuard<'_, Present> {
    present.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Whom an address belongs to.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => Ipv6Addr::from_bits(v6.to_bits() & !(u128::MAX >> V6_PREFIX)).into(),
        v4 => v4,
    }
}

impl ClientLimits {
    pub fn new(opts: ClientLimitOpts) -> Self {
        Self { opts, present: Arc::default() }
    }

    /// A seat for a new connection from this address, or None: it is to be closed, there are too many. One that has a seat
    /// only to be told so is marked.
    pub fn seat(&self, from: Option<IpAddr>, info: &mut SocketInfo) -> Option<Seat> {
        let (full, seat) = match self.admit(from) {
            Admission::Welcome(seat) => return Some(seat),
            Admission::Told(seat, full) => (full, Some(seat)),
            Admission::Closed(full) => (full, None),
        };
        // Once for each time that it becomes full: a crowd outside shall not fill the log.
        if full.again {
            tracing::debug!("{}: refused: {full}", info.describe());
        } else {
            tracing::warn!("{}: refused: {full}", info.describe());
        }
        info.busy = seat.is_some();
        seat
    }

    /// Finds a seat for a connection from this address; None: not an IP address, then only the limit of all counts.
    pub fn admit(&self, from: Option<IpAddr>) -> Admission {
        if !self.opts.is_limited() {
            return Admission::Welcome(Seat { _place: None });
        }
        let network = network(from.unwrap_or(Ipv6Addr::UNSPECIFIED.into()));
        let mut present = lock(&self.present);
        let there = present.by_network.get(&network).copied().unwrap_or(0);
        let reached = match self.opts {
            ClientLimitOpts { max_clients: Some(limit), .. } if present.all >= limit => Some((limit, false)),
            ClientLimitOpts { max_clients_per_ip: Some(limit), .. } if from.is_some() && there >= limit => {
                Some((limit, true))
            }
            _ => None,
        };
        let seat = |network| Seat { _place: Some(Box::new(Place { present: self.present.clone(), network })) };
        let Some((limit, per_address)) = reached else {
            present.all += 1;
            present.by_network.insert(network, there + 1);
            return Admission::Welcome(seat(Some(network)));
        };
        let full = Full { limit, per_address, again: std::mem::replace(&mut present.full, true) };
        if self.opts.refuse_by_http && present.told < MOST_TOLD {
            present.told += 1;
            return Admission::Told(seat(None), full);
        }
        Admission::Closed(full)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut present = lock(&self.present);
        let Some(network) = self.network else {
            present.told -= 1;
            return;
        };
        present.all -= 1;
        present.full = false;
        match present.by_network.get_mut(&network) {
            Some(there) if *there > 1 => *there -= 1,
            _ => {
                present.by_network.remove(&network);
            }
        }
    }
}

impl std::fmt::Display for Full {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (limit, word) = (self.limit, if self.limit == 1 { "connection" } else { "connections" });
        if self.per_address {
            write!(f, "{limit} {word} from this address already, the most that --max-conns-per-ip allows")
        } else {
            write!(f, "{limit} {word} already, the most that --conncap allows")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits(max_clients: Option<u32>, max_clients_per_ip: Option<u32>, refuse_by_http: bool) -> ClientLimits {
        ClientLimits::new(ClientLimitOpts { max_clients, max_clients_per_ip, refuse_by_http })
    }

    fn welcome(limits: &ClientLimits, from: &str) -> Option<Seat> {
        match limits.admit(Some(from.parse().unwrap())) {
            Admission::Welcome(seat) => Some(seat),
            Admission::Told(..) | Admission::Closed(_) => None,
        }
    }

    #[test]
    fn a_seat_is_free_again_when_somebody_leaves() {
        let limits = limits(Some(2), None, false);
        let first = welcome(&limits, "10.0.0.1").unwrap();
        let _second = welcome(&limits, "10.0.0.1").unwrap();
        for again in [false, true] {
            let Admission::Closed(full) = limits.admit(None) else { panic!("a third one") };
            assert_eq!(full, Full { limit: 2, per_address: false, again });
        }
        drop(first);
        let third = welcome(&limits, "10.0.0.2").unwrap();
        // It was noticed that there was room.
        assert!(matches!(limits.admit(None), Admission::Closed(Full { again: false, .. })));
        drop((third, _second));
        assert!(lock(&limits.present).by_network.is_empty());
        assert_eq!(lock(&limits.present).all, 0);
    }

    #[test]
    fn addresses_count_by_what_they_belong_to() {
        for (same, other) in [
            (["10.0.0.1", "::ffff:10.0.0.1"], "10.0.0.2"),
            (["2001:db8::1", "2001:db8:0:0:ffff::1"], "2001:db8:0:1::1"),
            (["::1", "::1"], "127.0.0.1"),
        ] {
            let limits = limits(None, Some(1), false);
            let seat = welcome(&limits, same[0]).unwrap();
            assert!(welcome(&limits, same[1]).is_none(), "{same:?}");
            let _other = welcome(&limits, other).unwrap();
            drop(seat);
            assert!(welcome(&limits, same[1]).is_some(), "{same:?}");
        }
    }

    #[test]
    fn few_are_told_and_the_others_closed() {
        let limits = limits(Some(1), Some(1), true);
        let _seat = welcome(&limits, "10.0.0.1").unwrap();
        let mut told = Vec::new();
        for _ in 0..MOST_TOLD {
            let Admission::Told(seat, _) = limits.admit(None) else { panic!("one more to be told") };
            told.push(seat);
        }
        assert!(matches!(limits.admit(None), Admission::Closed(_)));
        told.pop();
        assert!(matches!(limits.admit(None), Admission::Told(..)));
        assert_eq!(lock(&limits.present).all, 1);
    }

    #[test]
    fn nothing_is_kept_without_limits() {
        let limits = limits(None, None, true);
        let Admission::Welcome(seat) = limits.admit(None) else { panic!("nothing is limited") };
        assert!(seat._place.is_none() && lock(&limits.present).by_network.is_empty());
        assert_eq!(size_of::<Seat>(), size_of::<usize>());
    }
}
