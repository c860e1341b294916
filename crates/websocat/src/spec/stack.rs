//! A specifier as parsed: an endpoint below, overlays on top of it.
//!
//! Passes make endpoints that are made of stacks themselves (shared, joined): questions about a stack look into those, too.

use super::{Listening, Script, SocketKind, Then, Var};
use crate::{
    endpoints::Endpoint,
    error::Result,
    overlays::{Overlay, chunks::StreamChunks, lines::LineChunks, ws_framer::FramerArgs},
};

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
            kind = kind.or(overlay.wraps().takes()).map(|inner| overlay.wraps().gives(inner));
        }
        kind
    }

    /// Whether it holds for this stack or one that it is made of.
    pub fn any(&self, holds: &dyn Fn(&Self) -> bool) -> bool {
        holds(self) || self.endpoint.parts().into_iter().any(|part| part.any(holds))
    }

    /// Works on the stacks that it is made of, then on itself.
    pub fn each(&mut self, work: &mut dyn FnMut(&mut Self) -> Result<()>) -> Result<()> {
        self.endpoint.parts_mut().into_iter().try_for_each(|part| part.each(work))?;
        work(self)
    }

    /// What it is, leaving something else in its place, to be replaced at once.
    pub fn take(&mut self) -> Self {
        std::mem::replace(self, Self { endpoint: Endpoint::placeholder(), overlays: vec![] })
    }

    /// Decides what an undecided `mirror:` below is.
    pub fn settle(&mut self, kind: SocketKind) {
        if let Endpoint::Mirror(mirror) = &mut self.endpoint
            && mirror.kind.is_none()
        {
            mirror.kind = Some(self.overlays.iter().find_map(|overlay| overlay.wraps().takes()).unwrap_or(kind));
        }
    }

    /// Cuts a byte stream into messages: lines or chunks as they come.
    pub fn cut(&mut self, text: bool) {
        if self.kind() == Some(SocketKind::Stream) {
            self.overlays.push(if text {
                Overlay::LineChunks(LineChunks { console: false })
            } else {
                Overlay::StreamChunks(StreamChunks)
            });
        }
    }

    /// It gives a socket for each of many connections. What is shared or joined with others gives one.
    pub fn is_multi(&self) -> bool {
        let is_one = |o: &Overlay| matches!(o, Overlay::ReuseRaw(_) | Overlay::WriteSplitoff(_) | Overlay::Tee(_));
        self.endpoint.is_listener() && !self.overlays.iter().any(is_one)
    }

    /// A WebSocket in it was expanded with the right-by-default options.
    pub fn is_complete(&self) -> bool {
        self.any(&|s| s.overlays.iter().any(|o| matches!(o, Overlay::WsFramer(framer) if framer.complete)))
    }

    /// A WebSocket in it offers or accepts compression.
    pub fn compresses(&self) -> bool {
        self.any(&|s| s.overlays.iter().any(|o| matches!(o, Overlay::WsFramer(framer) if framer.compress)))
    }

    /// The server's half of a handshake is in it, shared or not.
    pub fn accepts_websockets(&self) -> bool {
        self.any(&|s| s.overlays.iter().any(|o| matches!(o, Overlay::WsAccept(_))))
    }

    /// A connection of its endpoint begins with an HTTP request; a traffic log changes nothing of that.
    pub fn begins_with_http(&self) -> bool {
        if let Endpoint::Reuser(reuser) = &self.endpoint {
            return reuser.inner.begins_with_http();
        }
        let first = self.overlays.iter().find(|o| !matches!(o, Overlay::Log(_)));
        matches!(first, Some(Overlay::WsAccept(_)))
    }

    /// Standard input and output are in it, shared or not.
    pub fn reaches_stdio(&self) -> bool {
        self.any(&|s| s.endpoint.is_stdio())
    }

    /// A WebSocket in it sends pings.
    pub fn sends_pings(&self, args: &FramerArgs) -> bool {
        let sends = |o: &Overlay| matches!(o, Overlay::WsFramer(framer) if args.sends_pings(framer.complete));
        self.any(&|s| s.overlays.iter().any(sends))
    }

    /// A socket or a process that can say "no more from me" and go on listening, for itself and not for many who share it.
    pub fn can_half_close(&self) -> bool {
        match &self.endpoint {
            Endpoint::Reuser(_) => false,
            other => other.is_external() || other.parts().into_iter().any(Self::can_half_close),
        }
    }

    /// Making the socket waits for another part of the program, for each connection anew.
    pub fn waits_for_a_part(&self) -> bool {
        let parts = self.endpoint.parts();
        let waits = self.endpoint.is_registered() && !self.endpoint.is_listener();
        waits || !matches!(self.endpoint, Endpoint::Reuser(_)) && parts.into_iter().any(Self::waits_for_a_part)
    }

    /// Making the socket can go wrong for reasons outside of the program.
    pub fn may_fail_to_open(&self) -> bool {
        self.any(&|s| {
            let opened = matches!(s.endpoint, Endpoint::File(_) | Endpoint::AsyncFd(_));
            opened || s.endpoint.is_external() || s.endpoint.is_udp() || s.endpoint.is_registered()
        })
    }

    /// A process, a file or the terminal is in it: what the user can reach, but pages that his browser shows should not.
    pub fn is_private(&self) -> bool {
        self.any(&|s| s.endpoint.is_private())
    }

    /// Writes the calls that make the whole socket, inside out; `then` writes what is done with it.
    pub fn emit(&self, script: &mut Script, then: &mut Then<'_>) -> Result<()> {
        let outside = script.carries_websocket;
        script.carries_websocket |= self.is_framed();
        self.endpoint.emit(script, &mut |script, socket| {
            script.carries_websocket = outside;
            wrap(&self.overlays, script, socket, then)
        })
    }

    /// A WebSocket stands on its endpoint.
    pub fn is_framed(&self) -> bool {
        self.overlays.iter().any(|o| matches!(o, Overlay::WsFramer(_)))
    }

    /// Its endpoint, or those of the stacks that it is made of, each with whether a WebSocket stands on it.
    pub fn endpoints(&self) -> Vec<(&Endpoint, bool)> {
        let parts = self.endpoint.parts();
        if parts.is_empty() {
            return vec![(&self.endpoint, self.is_framed())];
        }
        let below = parts.into_iter().flat_map(Self::endpoints);
        below.map(|(endpoint, framed)| (endpoint, framed || self.is_framed())).collect()
    }
}

/// Writes what opens several stacks at once; `then` is given expressions for their sockets, in the same order.
pub fn emit_together(
    stacks: &[&Stack],
    script: &mut Script,
    then: &mut dyn FnMut(&mut Script, &[Var]) -> Result<()>,
) -> Result<()> {
    // There is one place for a socket of each.
    script.listening = Listening { autospawn: false, oneshot: true };
    let mut open = "init_in_parallel([";
    for stack in stacks {
        let slot = script.var("slot");
        script.line(&format!("{open}|{slot}| {{"));
        script.indent(&mut |script| {
            stack.emit(script, &mut |script, socket| {
                script.line(&format!("{slot}.send({socket})"));
                Ok(())
            })
        })?;
        open = "}, ";
    }
    let opened = script.var("opened");
    let sockets: Vec<Var> = (0..stacks.len()).map(|i| format!("{opened}[{i}]")).collect();
    script.nest(&format!("}}], |{opened}| {{"), "})", &mut |script| then(script, &sockets))
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
            ("defragment:reuse-raw:reuse-raw:ws-l:1", true, true),
        ] {
            let line = ["websocat", "-b", left, "mirror:"].map(OsString::from);
            let args = Arc::new(Args::try_parse_from(plan::arguments(line.into_iter())).unwrap());
            let mut plan = plan::parse(&args).unwrap();
            plan::rewrite(&mut plan).unwrap();
            let left_side = &plan.left;
            assert_eq!((left_side.accepts_websockets(), left_side.begins_with_http()), (accepts, begins), "{left}");
            let whole = left.contains("ws-l:") || left.contains("ws-c:");
            assert_eq!((left_side.is_complete(), left_side.is_multi()), (whole, left == "ws-l:1"), "{left}");
        }
    }
}
