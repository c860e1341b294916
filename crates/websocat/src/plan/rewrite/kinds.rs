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
    let (bytes, messages) = match (plan.left.kind(), plan.right.kind()) {
        _ if plan.hands_over() => return Ok(()),
        (Some(SocketKind::Stream), Some(SocketKind::Datagram)) => ("left", "right"),
        (Some(SocketKind::Datagram), Some(SocketKind::Stream)) => ("right", "left"),
        _ => return Ok(()),
    };
    let what = format!("the {bytes} side is a byte stream and the {messages} side has messages");
    Err(Error::new(
        Kind::Start,
        format!("{what}; write `lines:…` or `chunks:…` for the {bytes} side to make messages of it"),
    ))
}

fn check_stack(stack: &Stack) -> Result<()> {
    let mut kind = stack.endpoint.kind();
    let mut maker = None;
    for overlay in &stack.overlays {
        let name = overlay.prefix();
        if let (Some(wanted), Some(is)) = (overlay.wraps().takes(), kind)
            && wanted != is
        {
            let how = match (is, maker) {
                (SocketKind::Stream, _) => format!("write `{name}lines:…` or `{name}chunks:…` to make messages of it"),
                (SocketKind::Datagram, Some(maker)) => format!("write `{maker}{name}…`, where it still has bytes"),
                (SocketKind::Datagram, None) => "nothing makes bytes of messages: leave it out".to_owned(),
            };
            let what = format!("{name} wraps a {wanted} socket, but what is below it is a {is} one; {how}");
            return Err(Error::new(Kind::Start, what));
        }
        let outer = kind.map(|inner| overlay.wraps().gives(inner));
        if outer == Some(SocketKind::Datagram) && kind == Some(SocketKind::Stream) {
            maker = Some(match overlay {
                // As it was typed, or could have been.
                Overlay::WsFramer(framer) if framer.complete => {
                    if framer.client {
                        "ws-c:"
                    } else {
                        "ws-u:"
                    }
                }
                other => other.prefix(),
            });
        }
        kind = outer;
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
            kind = kind.map(|inner| overlay.wraps().gives(inner));
        }
        Ok(())
    })
}
