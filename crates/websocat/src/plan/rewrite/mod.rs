//! The rewriting passes, in their order. Each completes or decides one thing; one file each.

use super::Plan;
use crate::error::Result;

mod chunkers;
mod compression;
mod console;
mod early_resolve;
mod expand;
mod handover;
mod kinds;
mod log_traffic;
mod origins;
mod reuse;
mod tls_connector;
mod write_splitoff;

type Pass = fn(&mut Plan) -> Result<()>;

/// Later passes rely on what earlier ones did: URLs are expanded before names are resolved, kinds are known before
/// chunkers are put in, chunkers before anything is shared.
const PASSES: &[(&str, Pass)] = &[
    ("request URIs", expand::request_uris),
    ("URLs and compound overlays", expand::compounds),
    ("handing descriptors over", handover::pass),
    ("origins", origins::pass),
    ("compression", compression::pass),
    ("early resolution", early_resolve::pass),
    ("TLS connector", tls_connector::pass),
    ("traffic log", log_traffic::pass),
    ("write-splitoff: for its option", write_splitoff::put),
    ("write-splitoff:", write_splitoff::pass),
    ("mirror kinds", kinds::mirrors),
    ("chunkers", chunkers::pass),
    ("console", console::pass),
    ("reuse-raw: for what exists once", reuse::put),
    ("reuse-raw:", reuse::pass),
    ("kinds", kinds::check),
    ("log kinds", kinds::logs),
];

pub fn all(plan: &mut Plan) -> Result<()> {
    for (name, pass) in PASSES {
        tracing::trace!("rewriting pass: {name}");
        pass(plan)?;
    }
    Ok(())
}
