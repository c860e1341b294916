//! Who a bound UDP socket talks to: the rules of `udp-bind:`, without I/O.
//!
//! There is a target, or none yet. Depending on the rules each sender becomes the target, the first one does for good, or
//! only the target is listened to.

use std::net::SocketAddr;

/// What senders mean for the target.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PeerRules {
    /// Others than the target are heard, too.
    pub allow_others: bool,
    /// Whoever sent last is the target.
    pub redirect: bool,
    /// The first sender is the target for good.
    pub lock_to_first: bool,
}

/// The state of one socket.
#[derive(Debug)]
pub(super) struct Peers {
    rules: PeerRules,
    target: Option<SocketAddr>,
    locked: bool,
    connected: bool,
}

/// Where a message goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Destination {
    /// To whom the system has connected the socket.
    Connected,
    To(SocketAddr),
    /// Nobody is known yet.
    Nobody,
}

/// What becomes of a datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Deliver,
    /// Deliver, and nobody else is listened to from now on.
    DeliverAndLock,
    Drop,
}

impl Peers {
    pub fn new(target: Option<SocketAddr>, rules: PeerRules) -> Self {
        Self { rules, target, locked: false, connected: false }
    }

    /// Where messages go.
    pub fn destination(&self) -> Destination {
        match self.target {
            _ if self.connected => Destination::Connected,
            Some(target) => Destination::To(target),
            None => Destination::Nobody,
        }
    }

    /// The next datagram may change where messages go: answers to the one before it should leave first.
    pub fn may_turn(&self) -> bool {
        !self.locked && (self.rules.redirect || self.rules.lock_to_first || self.target.is_none())
    }

    /// The system knows the target for good.
    pub fn handle_connected(&mut self) {
        self.connected = true;
    }

    /// A datagram came; a sender that the system does not name is nobody's target.
    pub fn handle_datagram(&mut self, from: Option<SocketAddr>) -> Verdict {
        let Some(from) = from else {
            return if self.locked { Verdict::Drop } else { Verdict::Deliver };
        };
        let is_target = self.target.is_some_and(|target| same(target, from));
        if self.locked {
            return if is_target { Verdict::Deliver } else { Verdict::Drop };
        }
        if self.rules.lock_to_first {
            (self.target, self.locked) = (Some(from), true);
            return Verdict::DeliverAndLock;
        }
        if self.target.is_none() || self.rules.redirect {
            if !is_target {
                tracing::debug!("datagrams go to {from} from now on");
            }
            self.target = Some(from);
            return Verdict::Deliver;
        }
        if is_target || self.rules.allow_others { Verdict::Deliver } else { Verdict::Drop }
    }
}

/// The same host and port: flow labels of IPv6 are no part of an address, and scopes only where both have one.
fn same(a: SocketAddr, b: SocketAddr) -> bool {
    match (a, b) {
        (SocketAddr::V6(x), SocketAddr::V6(y)) => {
            let scopes = (x.scope_id(), y.scope_id());
            x.ip() == y.ip() && x.port() == y.port() && (scopes.0 == scopes.1 || scopes.0 == 0 || scopes.1 == 0)
        }
        _ => a == b,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(port: u16) -> SocketAddr {
        ([127, 0, 0, 1], port).into()
    }

    /// Verdicts and targets for datagrams from these ports.
    fn run(target: Option<u16>, rules: PeerRules, from: &[u16]) -> Vec<(Verdict, Option<u16>)> {
        let mut peers = Peers::new(target.map(at), rules);
        let step = |port: &u16| (peers.handle_datagram(Some(at(*port))), peers.target.map(|t| t.port()));
        from.iter().map(step).collect()
    }

    #[test]
    fn all_states_of_the_rules() {
        use Verdict::{Deliver, DeliverAndLock, Drop};
        let others = PeerRules { allow_others: true, ..PeerRules::default() };
        let redirect = PeerRules { redirect: true, ..PeerRules::default() };
        let first = PeerRules { lock_to_first: true, redirect: true, allow_others: true };
        for (target, rules, expected) in [
            // Only the target, which the first sender becomes where there is none.
            (Some(1), PeerRules::default(), [(Deliver, Some(1)), (Drop, Some(1)), (Deliver, Some(1))]),
            (Some(2), PeerRules::default(), [(Drop, Some(2)), (Deliver, Some(2)), (Drop, Some(2))]),
            (None, PeerRules::default(), [(Deliver, Some(1)), (Drop, Some(1)), (Deliver, Some(1))]),
            (Some(9), others, [(Deliver, Some(9)), (Deliver, Some(9)), (Deliver, Some(9))]),
            (None, others, [(Deliver, Some(1)), (Deliver, Some(1)), (Deliver, Some(1))]),
            (Some(9), redirect, [(Deliver, Some(1)), (Deliver, Some(2)), (Deliver, Some(1))]),
            (None, redirect, [(Deliver, Some(1)), (Deliver, Some(2)), (Deliver, Some(1))]),
            (None, first, [(DeliverAndLock, Some(1)), (Drop, Some(1)), (Deliver, Some(1))]),
            (Some(9), first, [(DeliverAndLock, Some(1)), (Drop, Some(1)), (Deliver, Some(1))]),
        ] {
            assert_eq!(run(target, rules, &[1, 2, 1]), expected, "{target:?} {rules:?}");
        }
    }

    #[test]
    fn scopes_count_where_both_have_one() {
        let with = |scope| SocketAddr::V6(std::net::SocketAddrV6::new("fe80::1".parse().unwrap(), 1, 7, scope));
        assert!(same(with(0), with(3)) && same(with(3), with(3)) && !same(with(2), with(3)));
    }
}
