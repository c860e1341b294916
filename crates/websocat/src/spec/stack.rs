//! A specifier as parsed: an endpoint below, overlays on top of it.

use super::{Script, SocketKind, Then, Var};
use crate::{endpoints::Endpoint, error::Result, overlays::Overlay};

#[derive(Clone, Debug)]
pub struct Stack {
    pub endpoint: Endpoint,
    /// Innermost first.
    pub overlays: Vec<Overlay>,
}

impl Stack {
    /// Kind of the outermost socket; None while a `mirror:` below has not been decided.
    pub fn kind(&self) -> Option<SocketKind> {
        let mut kind = self.endpoint.kind();
        for overlay in &self.overlays {
            kind = kind.or(overlay.takes()).map(|inner| overlay.gives(inner));
        }
        kind
    }

    /// A WebSocket in it was expanded with the right-by-default options.
    pub fn is_complete(&self) -> bool {
        self.overlays.iter().any(|o| matches!(o, Overlay::WsFramer(framer) if framer.complete))
    }

    /// A WebSocket in it offers or accepts compression.
    pub fn compresses(&self) -> bool {
        let inner = if let Endpoint::Reuser(reuser) = &self.endpoint { reuser.inner.compresses() } else { false };
        inner || self.overlays.iter().any(|o| matches!(o, Overlay::WsFramer(framer) if framer.compress))
    }

    /// The server's half of a handshake is in it, shared or not.
    pub fn accepts_websockets(&self) -> bool {
        let inner =
            if let Endpoint::Reuser(reuser) = &self.endpoint { reuser.inner.accepts_websockets() } else { false };
        inner || self.overlays.iter().any(|o| matches!(o, Overlay::WsAccept(_)))
    }

    /// A connection of its endpoint begins with an HTTP request; a traffic log changes nothing of that.
    pub fn begins_with_http(&self) -> bool {
        if let Endpoint::Reuser(reuser) = &self.endpoint {
            return reuser.inner.begins_with_http();
        }
        let first = self.overlays.iter().find(|o| !matches!(o, Overlay::Log(_)));
        matches!(first, Some(Overlay::WsAccept(_)))
    }

    /// Standard input and output are at its bottom, shared or not.
    pub fn reaches_stdio(&self) -> bool {
        match &self.endpoint {
            Endpoint::Reuser(reuser) => reuser.inner.reaches_stdio(),
            other => other.is_stdio(),
        }
    }

    /// Making the socket can go wrong for reasons outside of the program.
    pub fn may_fail_to_open(&self) -> bool {
        match &self.endpoint {
            Endpoint::Reuser(reuser) => reuser.inner.may_fail_to_open(),
            other => other.is_external() || matches!(other, Endpoint::File(_)),
        }
    }

    /// Writes the calls that make the whole socket, inside out; `then` writes what is done with it.
    pub fn emit(&self, script: &mut Script, then: &mut Then<'_>) -> Result<()> {
        self.endpoint.emit(script, &mut |script, socket| wrap(&self.overlays, script, socket, then))
    }
}

fn wrap(overlays: &[Overlay], script: &mut Script, socket: Var, then: &mut Then<'_>) -> Result<()> {
    match overlays.split_first() {
        None => then(script, socket),
        Some((first, rest)) => first.emit(script, socket, &mut |script, socket| wrap(rest, script, socket, then)),
    }
}

#[cfg(test)]
mod tests {
    use crate::{cli::Args, plan};
    use clap::Parser as _;
    use std::{ffi::OsString, sync::Arc};

    #[test]
    fn a_server_that_is_shared_is_a_server() {
        for (left, accepts, begins) in [
            ("ws-l:1", true, true),
            ("reuse-raw:ws-l:1", true, true),
            ("reuse-raw:log:ws-ll-server:ws-accept:tcp-l:1", true, true),
            ("reuse-raw:ws-ll-server:tcp-l:1", false, false),
            ("reuse-raw:ws-c:tcp-l:1", false, false),
        ] {
            let line = ["websocat", "-b", left, "mirror:"].map(OsString::from);
            let args = Arc::new(Args::try_parse_from(plan::arguments(line.into_iter())).unwrap());
            let mut plan = plan::parse(&args).unwrap();
            plan::rewrite(&mut plan).unwrap();
            let left_side = &plan.left;
            assert_eq!((left_side.accepts_websockets(), left_side.begins_with_http()), (accepts, begins), "{left}");
        }
    }
}
