//! The rewriting passes, in their order. Each completes or decides one thing; one file each.

use super::Plan;
use crate::error::Result;

mod chunkers;
mod compression;
mod console;
mod early_resolve;
mod expand;
mod handover;
mod idle_filters;
mod kinds;
mod log_traffic;
mod origins;
mod read_limits;
mod reuse;
mod senders;
mod tee;
mod tls_connector;
mod write_splitoff;

type Pass = fn(&mut Plan) -> Result<()>;

/// Which command lines a pass is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum When {
    /// It decides what a script cannot do without, or checks, and puts nothing in.
    Always,
    /// Not with `--no-fixups`.
    Usually,
    /// Not with `--less-fixups` either: it puts in what the user could have written.
    Unasked,
}

/// Later passes rely on what earlier ones did: URLs are expanded before names are resolved, kinds are known before
/// chunkers are put in, chunkers before anything is shared.
const PASSES: &[(&str, When, Pass)] = &[
    ("registry-send:", When::Always, senders::pass),
    ("filters of an idle direction", When::Always, idle_filters::pass),
    ("request URIs", When::Always, expand::request_uris),
    ("URLs and compound overlays", When::Usually, expand::compounds),
    ("what was not expanded", When::Always, expand::check),
    ("handing descriptors over", When::Always, handover::pass),
    ("origins", When::Usually, origins::pass),
    ("compression", When::Usually, compression::pass),
    ("early resolution", When::Usually, early_resolve::pass),
    ("TLS connector", When::Always, tls_connector::pass),
    ("traffic log", When::Usually, log_traffic::pass),
    ("write-splitoff: for its option", When::Unasked, write_splitoff::put),
    ("write-splitoff:", When::Always, write_splitoff::pass),
    ("tee: for its option", When::Unasked, tee::put),
    ("tee:", When::Always, tee::pass),
    ("mirror kinds", When::Always, kinds::mirrors),
    ("chunkers", When::Usually, chunkers::pass),
    ("console", When::Usually, console::pass),
    ("kinds", When::Always, kinds::check),
    ("reuse-raw: for what exists once", When::Unasked, reuse::put),
    ("reuse-raw:", When::Always, reuse::pass),
    ("limits of length prefixes", When::Usually, read_limits::pass),
    ("shared standard streams", When::Always, console::share),
    ("log kinds", When::Always, kinds::logs),
];

/// Runs the passes that the command line wants.
pub fn all(plan: &mut Plan) -> Result<()> {
    let session = &plan.args.session;
    let (none, less) = (session.no_fixups, session.less_fixups);
    for (name, when, pass) in PASSES {
        let wanted = match when {
            When::Always => true,
            When::Usually => !none,
            When::Unasked => !none && !less,
        };
        if wanted {
            tracing::trace!("rewriting pass: {name}");
            pass(plan)?;
        }
    }
    Ok(())
}
