//! Warnings about command lines that probably do not mean what they say.

use super::Plan;
use crate::{
    endpoints::Endpoint,
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
    let listens = plan.left.is_multi() || plan.right.is_multi();
    if plan.args.endpoints.client_limits.is_limited() && (!listens || session.oneshot) {
        tracing::warn!("--conncap and --max-conns-per-ip have no effect: nothing here takes more than one connection");
    }
    let process = &plan.args.endpoints.process;
    let is_process = |stack: &Stack| matches!(stack.endpoint, Endpoint::Process(_));
    if process.is_used() && !plan.stacks().any(is_process) {
        tracing::warn!("--exec-… options have no effect: no side is cmd: or exec:");
    } else if process.modifies_dup2() && process.exec_dup2.is_none() {
        tracing::warn!("--exec-dup2-keep-nonblocking and --exec-dup2-execve have no effect without --exec-dup2");
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
    let many = plan.left.is_multi() && !plan.args.session.oneshot;
    if plan.kind() == SocketKind::Stream && many && plan.right.endpoint.exists_once(&plan.args.endpoints) {
        tracing::warn!(
            "connections share the right side without any order: --oneshot takes one only, lines: or chunks: makes messages"
        );
    }
    if plan.kind() == SocketKind::Stream && plan.args.overlays.has_separator_options() {
        tracing::warn!("separator options have no effect: both sides are byte streams");
    }
    if plan.args.overlays.compress.is_wanted() && !plan.left.compresses() && !plan.right.compresses() {
        tracing::warn!("compression options have no effect: only ws://, wss://, ws-l:, ws-c: and ws-u: compress");
    }
}
