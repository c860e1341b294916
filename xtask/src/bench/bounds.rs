//! What must hold: our figure against the best of some peers, or against a number.

use super::{
    report::Results,
    subjects::{
        FASTWEBSOCKETS, NGINX, NODE_WS, RELAY, SOCAT, TUNGSTENITE, UPSTREAM_1, UPSTREAM_4, WEBSOCAT, WEBSOCAT_COPY,
    },
    workloads::Workload,
};
use std::fmt::Write;

struct Bound {
    workload: &'static str,
    key: &'static str,
    /// Ours may be at worst this times the reference.
    factor: f64,
    /// The reference is the peer among these that the workload's first figure ranks best; the number 1 if there is
    /// none.
    peers: &'static [&'static str],
}

const fn bound(workload: &'static str, key: &'static str, factor: f64, peers: &'static [&'static str]) -> Bound {
    Bound { workload, key, factor, peers }
}

const BOUNDS: [Bound; 29] = [
    bound("echo-8x64", "rate", 20.0, &[FASTWEBSOCKETS]),
    // The kernel's time rules: nobody can be much faster.
    bound("echo-64x1", "rate", 0.97, &[FASTWEBSOCKETS, TUNGSTENITE, UPSTREAM_4]),
    bound("echo-64k", "rate", 0.97, &[FASTWEBSOCKETS, TUNGSTENITE]),
    bound("echo-64k", "server_cpu_per_gib", 1.0, &[FASTWEBSOCKETS, TUNGSTENITE]),
    bound("deflate-1k", "rate", 1.3, &[NODE_WS]),
    bound("connect", "rate", 1.0, &[UPSTREAM_4]),
    bound("connect", "rate", 0.9, &[FASTWEBSOCKETS]),
    bound("idle", "bytes_per_client", 2.5 * 1024.0, &[]),
    bound("tcp-tcp", "gb_per_second", 1.0, &[SOCAT, NGINX, UPSTREAM_4, UPSTREAM_1]),
    bound("tcp-tcp", "server_cpu_per_gib", 0.55, &[SOCAT]),
    bound("tcp-tcp", "server_cpu_per_gib", 1.15, &[RELAY]),
    bound("unix-unix", "gb_per_second", 1.0, &[SOCAT, NGINX, UPSTREAM_4, UPSTREAM_1]),
    bound("unix-unix", "server_cpu_per_gib", 1.15, &[RELAY]),
    bound("pairs", "bytes_per_pair", 4.0 * 1024.0, &[]),
    // A page here and there may be touched for the first time.
    bound("sequence", "memory_left", 256.0 * 1024.0, &[]),
    bound("sequence", "descriptors_left", 0.0, &[]),
    bound("ws-tcp-64k", "gb_per_second", 1.0, &[UPSTREAM_4]),
    bound("ws-tcp-64k", "server_cpu_per_gib", 0.7, &[UPSTREAM_4]),
    bound("ws-tcp-1k", "gb_per_second", 2.5, &[UPSTREAM_4]),
    bound("ws-tcp-1k", "server_cpu_per_gib", 1.0 / 3.0, &[UPSTREAM_4]),
    bound("tcp-ws-64k", "gb_per_second", 1.0, &[UPSTREAM_4]),
    bound("tcp-ws-64k", "server_cpu_per_gib", 0.7, &[UPSTREAM_4]),
    bound("tcp-ws-1k", "gb_per_second", 2.5, &[UPSTREAM_4]),
    bound("tcp-ws-1k", "server_cpu_per_gib", 1.0 / 3.0, &[UPSTREAM_4]),
    bound("prefixed-64k", "gb_per_second", 0.6, &[WEBSOCAT_COPY]),
    bound("lines-64k", "gb_per_second", 0.6, &[WEBSOCAT_COPY]),
    bound("prefixed-memory", "of_copy", 0.3, &[]),
    bound("udp-relay", "rate", 1.5, &[SOCAT]),
    bound("start", "median_us", 1.0, &[UPSTREAM_4]),
];

/// One line for each bound of these workloads, and whether all hold. What was not measured does not hold.
pub(super) fn judge(workloads: &[&Workload], results: &Results) -> (String, bool) {
    let (mut text, mut all) = (String::new(), true);
    for (workload, bound) in workloads.iter().flat_map(|w| BOUNDS.iter().map(move |b| (w, b))) {
        let figure = workload.figures.iter().find(|figure| figure.key == bound.key);
        let (Some(figure), true) = (figure, workload.name == bound.workload) else { continue };
        let best = results.best(workload, bound.peers);
        let reference = match best {
            None if bound.peers.is_empty() => Some(1.0),
            None => None,
            Some(peer) => results.median(workload, peer, bound.key),
        };
        let verdict = match (results.median(workload, WEBSOCAT, bound.key), reference) {
            (Some(ours), Some(reference)) => {
                let (limit, digits) = (reference * bound.factor, figure.decimals);
                let holds = if figure.higher_is_better { ours >= limit } else { ours <= limit };
                all &= holds;
                format!("{} {ours:.digits$}, limit {limit:.digits$}", if holds { "holds:" } else { "DOES NOT HOLD:" })
            }
            _ => {
                all = false;
                "NOT MEASURED".into()
            }
        };
        let relation = if figure.higher_is_better { "at least" } else { "at most" };
        let to = best.or(bound.peers.first().copied()).unwrap_or("1");
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{} {}: {relation} {:.4} × {to}: {verdict}", bound.workload, figure.title, bound.factor);
    }
    (text, all)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::{subjects::SUBJECTS, workloads::WORKLOADS};

    #[test]
    fn every_bound_names_what_exists() {
        for bound in &BOUNDS {
            let workload = WORKLOADS.iter().find(|workload| workload.name == bound.workload);
            let workload = workload.unwrap_or_else(|| panic!("{}", bound.workload));
            assert!(workload.figures.iter().any(|figure| figure.key == bound.key), "{} {}", bound.workload, bound.key);
            for peer in bound.peers {
                let subject = SUBJECTS.iter().find(|subject| subject.name == *peer);
                assert!(subject.is_some_and(|subject| subject.takes_part(workload)), "{} {peer}", bound.workload);
            }
        }
    }

    #[test]
    fn bounds_hold_or_not() {
        let echo = WORKLOADS.iter().find(|workload| workload.name == "echo-8x64").expect("it is in the table");
        let find = |name| SUBJECTS.iter().find(|subject| subject.name == name).expect("it is in the table");
        let mut results = Results::default();
        assert!(!judge(&[echo], &results).1, "nothing was measured");
        results.add(echo, find(FASTWEBSOCKETS), "rate 100.0\n");
        results.add(echo, find(WEBSOCAT), "rate 1999.0\n");
        assert!(!judge(&[echo], &results).1);
        results.add(echo, find(WEBSOCAT), "rate 2100.0\n");
        results.add(echo, find(WEBSOCAT), "rate 2000.0\n");
        assert!(judge(&[echo], &results).1, "{}", judge(&[echo], &results).0);
    }
}
