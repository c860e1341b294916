//! Sharing: when many connections of messages meet a right side that exists once, they share it through a `reuse-raw:`.

use super::super::{Names, Plan, Prelude};
use crate::{
    endpoints::{Endpoint, reuser::Reuser},
    error::Result,
    overlays::{Overlay, reuse::ReuseRaw},
    spec::{SocketKind, Stack},
};

/// Puts `reuse-raw:` on a right side that exists once and has many clients.
pub fn put(plan: &mut Plan) -> Result<()> {
    let many = plan.left.is_multi() && !plan.args.session.oneshot;
    let shared = plan.right.overlays.iter().any(|o| matches!(o, Overlay::ReuseRaw(_)));
    if plan.kind() == SocketKind::Datagram && many && !shared && plan.right.endpoint.exists_once(&plan.args.endpoints) {
        plan.right.overlays.push(Overlay::ReuseRaw(ReuseRaw));
    }
    Ok(())
}

/// Makes a shared endpoint of what each `reuse-raw:` stands on.
pub fn pass(plan: &mut Plan) -> Result<()> {
    let (stacks, prelude, names) = plan.stacks_and_prelude();
    stacks.into_iter().try_for_each(|stack| stack.each(&mut |stack| share(stack, prelude, names)))
}

fn share(stack: &mut Stack, prelude: &mut Vec<Prelude>, names: &mut Names) -> Result<()> {
    while let Some(at) = stack.overlays.iter().position(|o| matches!(o, Overlay::ReuseRaw(_))) {
        let reuser = names.fresh("reuser");
        prelude.push(Prelude::Reuser { reuser: reuser.clone() });
        let above = stack.overlays.split_off(at + 1);
        stack.overlays.pop();
        let inner = Box::new(stack.take());
        *stack = Stack { endpoint: Endpoint::Reuser(Reuser { inner, reuser }), overlays: above };
    }
    Ok(())
}
