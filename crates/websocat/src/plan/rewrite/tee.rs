//! `tee:` and `--tee`: a stack and others become one socket.

use super::super::Plan;
use crate::{
    endpoints::{Endpoint, tee::Tee},
    error::{Error, Result},
    overlays::{Overlay, tee},
    spec::{SocketKind, Stack},
};

fn is_here(overlay: &Overlay) -> bool {
    matches!(overlay, Overlay::Tee(_))
}

/// How often it stands in all that is to be opened, parts of others included.
fn count(stack: &Stack) -> usize {
    stack.overlays.iter().filter(|o| is_here(o)).count() + stack.endpoint.parts().into_iter().map(count).sum::<usize>()
}

/// The option without the overlay means the right side.
pub fn put(plan: &mut Plan) -> Result<()> {
    if !plan.tees.is_empty() && plan.stacks().map(count).sum::<usize>() == 0 {
        plan.right.overlays.push(Overlay::Tee(tee::Tee));
    }
    Ok(())
}

/// Joins what the overlay stands on with what the options name.
pub fn pass(plan: &mut Plan) -> Result<()> {
    if plan.tees.iter().map(count).sum::<usize>() > 0 {
        return Err(Error::usage("tee: cannot stand in --tee; give --tee once for each socket"));
    }
    if plan.stacks().map(count).sum::<usize>() > 1 {
        return Err(Error::usage("tee: can be used once only; give --tee once for each socket"));
    }
    let (text, mut tees) = (plan.text, std::mem::take(&mut plan.tees));
    plan.each_stack(|stack| {
        let Some(at) = stack.overlays.iter().position(is_here) else { return Ok(()) };
        let above = stack.overlays.split_off(at + 1);
        stack.overlays.pop();
        let mut nodes = vec![stack.take()];
        nodes.append(&mut tees);
        for node in &mut nodes {
            node.settle(SocketKind::Datagram);
            node.cut(text);
        }
        *stack = Stack { endpoint: Endpoint::Tee(Tee { nodes }), overlays: above };
        Ok(())
    })
}
