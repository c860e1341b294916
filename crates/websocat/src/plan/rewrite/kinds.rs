//! Socket kinds: what a `mirror:` or `log:` is, and whether each overlay gets the kind of socket that it wraps.

use super::super::Plan;
use crate::{
    error::{Error, Kind, Result},
    overlays::Overlay,
    spec::{SocketKind, Stack},
};

/// A mirror becomes what the nearest overlay above it takes, or, without one, what the session is.
pub fn mirrors(plan: &mut Plan) -> Result<()> {
    let session = plan.kind();
    plan.each_stack(|stack| {
        stack.settle(session);
        Ok(())
    })
}

pub fn check(plan: &mut Plan) -> Result<()> {
    plan.each_stack(|stack| check_stack(stack))?;
    let (left, right) = (plan.left.kind(), plan.right.kind());
    match (left, right) {
        (Some(a), Some(b)) if a != b && !plan.hands_over() => Err(Error::new(
            Kind::Start,
            format!(
                "the left side is a {a} socket and the right side a {b} one; put lines: or chunks: on the byte stream"
            ),
        )),
        _ => Ok(()),
    }
}

fn check_stack(stack: &Stack) -> Result<()> {
    let mut kind = stack.endpoint.kind();
    for overlay in &stack.overlays {
        match (overlay.takes(), kind) {
            (Some(wanted), Some(is)) if wanted != is => {
                let name = overlay.prefix();
                let how = match is {
                    SocketKind::Stream => {
                        format!("write `{name}lines:…` or `{name}chunks:…` to cut the stream into messages")
                    }
                    SocketKind::Datagram => "put it below what makes messages, or leave it out".to_owned(),
                };
                return Err(Error::new(
                    Kind::Start,
                    format!("{name} wraps a {wanted} socket, but what is below it is a {is} one; {how}"),
                ));
            }
            _ => kind = kind.map(|inner| overlay.gives(inner)),
        }
    }
    Ok(())
}

/// Each `log:` prints reads and writes of the kind that is below it.
pub fn logs(plan: &mut Plan) -> Result<()> {
    plan.each_stack(|stack| {
        let mut kind = stack.endpoint.kind();
        for overlay in &mut stack.overlays {
            if let Overlay::Log(log) = overlay {
                log.kind = kind;
            }
            kind = kind.map(|inner| overlay.gives(inner));
        }
        Ok(())
    })
}
