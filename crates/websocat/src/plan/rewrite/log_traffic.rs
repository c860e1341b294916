//! `--log-traffic` puts a `log:` where it shows most: just above TLS, else right above the network or process.

use super::super::{Plan, lint};
use crate::{
    endpoints::Endpoint,
    error::Result,
    overlays::{Overlay, log::Log},
    spec::Stack,
};

/// With `--log-traffic`, puts `log:` where it shows most.
pub fn pass(plan: &mut Plan) -> Result<()> {
    if !plan.args.overlays.log.log_traffic {
        return Ok(());
    }
    if !place(&mut plan.right) && !place(&mut plan.left) {
        plan.found(
            &lint::UNUSED_OPTION,
            "--log-traffic has no effect: no side is a network connection or a process; put log: where you want it",
        );
    }
    Ok(())
}

fn place(stack: &mut Stack) -> bool {
    if stack.overlays.iter().any(|o| matches!(o, Overlay::Log(_))) {
        return true;
    }
    let at = match stack.overlays.iter().position(|o| matches!(o, Overlay::Tls(_))) {
        Some(tls) => tls + 1,
        None if stack.endpoint.is_external()
            || stack.endpoint.is_udp()
            || matches!(stack.endpoint, Endpoint::AsyncFd(_)) =>
        {
            0
        }
        None => return false,
    };
    stack.overlays.insert(at, Overlay::Log(Log { kind: None }));
    true
}
