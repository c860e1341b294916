//! Warnings about command lines that probably do not mean what they say.

use super::{Plan, unused::unused};
use crate::{
    cli::{Join, Part, Tree},
    endpoints::Endpoint,
    overlays::Overlay,
    spec::{SocketKind, Stack},
};

/// On both sides as typed.
pub fn before(plan: &Plan) {
    if plan.args.program.no_lints {
        return;
    }
    if plan.right.is_multi() && !plan.left.is_multi() {
        tracing::warn!("a listener on the right side serves one connection only; it belongs on the left");
    }
    let session = &plan.args.session;
    if session.global_timeout_ms.is_none() && session.global_timeout_force_exit {
        tracing::warn!("--global-timeout-force-exit does nothing without --global-timeout-ms");
    }
    if session.unidirectional && !plan.reverse_filters.is_empty() {
        tracing::warn!("--filter-reverse has no effect: with -u nothing is moved from right to left");
    }
    if session.unidirectional_reverse && !plan.filters.is_empty() {
        tracing::warn!("--filter has no effect: with -U nothing is moved from left to right");
    }
    if plan.args.endpoints.client_limits.is_limited() && (!plan.left.is_multi() || session.oneshot) {
        tracing::warn!("--conncap and --max-conns-per-ip have no effect: nothing here takes more than one connection");
    }
    let splits = &plan.args.overlays.write_splitoff;
    if splits.write_splitoff_omit_shutdown && splits.write_splitoff.is_none() {
        tracing::warn!("--write-splitoff-omit-shutdown has no effect without --write-splitoff");
    }
    let joins = plan.stacks().flat_map(|stack| &stack.overlays).any(|overlay| matches!(overlay, Overlay::Tee(_)));
    if joins && plan.tees.is_empty() {
        tracing::warn!("tee: joins nothing; name with --tee SPEC what is to be joined");
    }
    if !joins && plan.tees.is_empty() && plan.args.overlays.tee.is_used() {
        tracing::warn!("options of tee: have no effect: there is neither tee: nor --tee");
    }
    let process = &plan.args.endpoints.process;
    if process.modifies_dup2() && process.exec_dup2.is_none() {
        tracing::warn!("--exec-dup2-keep-nonblocking and --exec-dup2-execve have no effect without --exec-dup2");
    }
    let listen = &plan.args.endpoints.listen;
    if listen.accept_from_fd {
        tracing::warn!(
            "--accept-from-fd only explains: inherited sockets are unix-listen-fd:3, seqpacket-listen-fd:3, …"
        );
    }
    if listen.exec_after_listen_append_port && matches!(plan.left.endpoint, Endpoint::UnixListen(_)) {
        tracing::warn!("--exec-after-listen-append-port has no effect: a UNIX socket has no port");
    }
    if plan.args.endpoints.socket_file.contradicts_itself() {
        tracing::warn!("of several --chmod options only the one for the fewest people counts");
    }
    if let Some(address) = plan.stacks().find_map(|stack| stack.endpoint.path_like_abstract_name()) {
        tracing::warn!("{address} is a file whose name begins with @; abstract names have prefixes that say so");
    }
    if plan.args.program.random_seed.is_some() {
        tracing::info!("--random-seed makes WebSocket keys and masks predictable");
    }
}

/// On what will be run.
pub fn after(plan: &Plan) {
    if plan.args.program.no_lints {
        return;
    }
    let accepts = plan.left.accepts_websockets() || plan.right.accepts_websockets();
    if !accepts && plan.args.overlays.ws_accept.restricts() {
        tracing::warn!("--allow-origin and --restrict-uri have no effect: no side is a WebSocket server");
    }
    for (options, what) in unused(plan) {
        tracing::warn!("without effect, since there is no {what} here: {options}");
    }
    let framer = &plan.args.overlays.ws_framer;
    if framer.print_ping_rtts && !plan.stacks().any(|stack| stack.sends_pings(framer)) {
        tracing::warn!("--print-ping-rtts has no effect: no pings are sent here without --ping-interval");
    }
    let many = plan.left.is_multi() && !plan.args.session.oneshot;
    if plan.kind() == SocketKind::Stream && many && plan.right.endpoint.exists_once(&plan.args.endpoints) {
        tracing::warn!(
            "connections share the right side without any order: --oneshot takes one only, lines: or chunks: makes messages"
        );
    }
    if plan.kind() == SocketKind::Stream && plan.args.overlays.has_separator_options() {
        tracing::warn!("separator options have no effect: both sides are byte streams");
    }
    let joins = |s: &Stack| s.overlays.iter().any(|o| matches!(o, Overlay::Defragment(_)));
    if plan.args.overlays.defragment.defragment_max_size.is_some() && !plan.stacks().any(|stack| stack.any(&joins)) {
        tracing::warn!("--defragment-max-size has no effect: defragment: stands nowhere");
    }
    let byte_mirror = |s: &Stack| matches!(&s.endpoint, Endpoint::Mirror(m) if m.kind == Some(SocketKind::Stream));
    if plan.args.endpoints.mirror.mirror_bufsize.is_some() && !plan.stacks().any(|stack| stack.any(&byte_mirror)) {
        tracing::warn!("--mirror-bufsize has no effect: no mirror: of bytes is here");
    }
    if plan.args.overlays.compress.is_wanted() && !plan.left.compresses() && !plan.right.compresses() {
        tracing::warn!("compression options have no effect: only ws://, wss://, ws-l:, ws-c: and ws-u: compress");
    }
}

/// On the parts of a composed line; `plans` are those of its parts from left to right.
pub fn together(sessions: &Tree<Part>, plans: &[Plan]) {
    if plans.iter().any(|plan| plan.args.program.no_lints) {
        return;
    }
    let mut plans = plans.iter();
    let uses_stdio = &mut |_: &Part| plans.next().is_some_and(|plan| plan.stacks().any(|stack| stack.reaches_stdio()));
    if shares_stdio(sessions, uses_stdio).1 {
        tracing::warn!(
            "parts of --compose that run at the same time share standard input and output without any order"
        );
    }
}

/// Whether some part uses standard input and output, and whether several do so at the same time.
fn shares_stdio(sessions: &Tree<Part>, uses_stdio: &mut impl FnMut(&Part) -> bool) -> (bool, bool) {
    match sessions {
        Tree::Part(part) => (uses_stdio(part), false),
        Tree::Joined(join, trees) => {
            let below: Vec<_> = trees.iter().map(|tree| shares_stdio(tree, uses_stdio)).collect();
            let users = below.iter().filter(|(uses, _)| *uses).count();
            (users > 0, below.iter().any(|(_, shares)| *shares) || users > 1 && *join != Join::Sequential)
        }
    }
}
