//! `write-splitoff:` and `--write-splitoff`: two stacks become one socket, of which one is read from and one is written to.

use super::super::Plan;
use crate::{
    endpoints::{Endpoint, write_splitoff::WriteSplitoff},
    error::{Error, Result},
    overlays::{Overlay, write_splitoff},
    spec::{SocketKind, Stack},
};

fn is_here(overlay: &Overlay) -> bool {
    matches!(overlay, Overlay::WriteSplitoff(_))
}

/// The option without the overlay means the right side.
pub fn put(plan: &mut Plan) -> Result<()> {
    let used = plan.stacks().flat_map(|stack| &stack.overlays).any(is_here);
    if plan.write_splitoff.is_some() && !used {
        plan.right.overlays.push(Overlay::WriteSplitoff(write_splitoff::WriteSplitoff));
    }
    Ok(())
}

/// Joins what the overlay stands on with what the option names.
pub fn pass(plan: &mut Plan) -> Result<()> {
    let used = plan.stacks().flat_map(|stack| &stack.overlays).filter(|o| is_here(o)).count();
    let write = match (used, plan.write_splitoff.take()) {
        (0, None) => return Ok(()),
        (0, Some(_)) => return Err(Error::usage("--write-splitoff has no write-splitoff: to work for")),
        (1, Some(write)) => write,
        (_, None) => {
            let text = "write-splitoff: reads only; name with --write-splitoff SPEC what shall be written to";
            return Err(Error::usage(text));
        }
        (2.., Some(_)) => return Err(Error::usage("write-splitoff: can be used once only")),
    };
    let text = plan.text;
    let Some((stack, at)) = plan.stacks_mut().into_iter().find_map(|stack| {
        let at = stack.overlays.iter().position(is_here)?;
        Some((stack, at))
    }) else {
        return Err(Error::usage("write-splitoff: cannot stand in --write-splitoff"));
    };
    let above = stack.overlays.split_off(at + 1);
    stack.overlays.pop();
    let (read, write) = alike(stack.take(), write, text);
    let endpoint = Endpoint::WriteSplitoff(WriteSplitoff { read: Box::new(read), write: Box::new(write) });
    *stack = Stack { endpoint, overlays: above };
    Ok(())
}

/// Both with one kind of data: a mirror takes that of the other part, a byte stream beside messages is cut.
fn alike(mut read: Stack, mut write: Stack, text: bool) -> (Stack, Stack) {
    if let Some(kind) = read.kind().or(write.kind()) {
        read.settle(kind);
        write.settle(kind);
    }
    if [&read, &write].into_iter().any(|part| part.kind() == Some(SocketKind::Datagram)) {
        read.cut(text);
        write.cut(text);
    }
    (read, write)
}
