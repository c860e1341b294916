//! Sharing: when many connections of messages meet a right side that exists once, they share it through a `reuse-raw:`.

use super::super::{Plan, Prelude};
use crate::{
    endpoints::{Endpoint, reuser::Reuser},
    error::Result,
    overlays::{Overlay, reuse::ReuseRaw},
    spec::{SocketKind, Stack},
};

/// Puts `reuse-raw:` on a right side that exists once and has many clients; makes a shared endpoint of what it stands on.
pub fn pass(plan: &mut Plan) -> Result<()> {
    let many = plan.left.endpoint.is_listener() && !plan.args.session.oneshot;
    let shared = |stack: &Stack| stack.overlays.iter().any(|o| matches!(o, Overlay::ReuseRaw(_)));
    if plan.kind() == SocketKind::Datagram && many && plan.right.endpoint.exists_once(&plan.args.endpoints) && !shared(&plan.right) {
        plan.right.overlays.push(Overlay::ReuseRaw(ReuseRaw));
    }
    let Plan { left, right, prelude, names, .. } = plan;
    for stack in [left, right] {
        while let Some(at) = stack.overlays.iter().position(|o| matches!(o, Overlay::ReuseRaw(_))) {
            let reuser = names.fresh("reuser");
            prelude.push(Prelude::Reuser { reuser: reuser.clone() });
            let above = stack.overlays.split_off(at + 1);
            stack.overlays.pop();
            let overlays = std::mem::replace(&mut stack.overlays, above);
            // The placeholder is replaced at once.
            let endpoint = std::mem::replace(&mut stack.endpoint, Endpoint::placeholder());
            let inner = Box::new(Stack { endpoint, overlays });
            stack.endpoint = Endpoint::Reuser(Reuser { inner, reuser });
        }
    }
    Ok(())
}
