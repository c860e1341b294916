//! `ws-accept:`: the server's half of a WebSocket handshake over a byte stream (RFC 6455 4.2); no framing.
//!
//! Its functions, `http1_serve` and `ws_accept`, are in [`crate::functions::http`].

use super::ws_request::{Header, header, header_map};
use crate::{
    error::Result,
    functions::http::{AcceptOpts, ServeOpts, check_subprotocols},
    spec::{Form, OptionMap, OverlaySpec, Script, SocketKind, Then, Var},
};
use rhai::Engine;

/// The overlay.
#[derive(Clone, Debug, Default)]
pub struct WsAccept {
    /// Part of a whole WebSocket that a pass expanded: limited in time, agrees to keep half-closes.
    pub complete: bool,
}

fn subprotocol(name: &str) -> Result<String, String> {
    if name.contains(',') {
        return Err("must be the name of one subprotocol".into());
    }
    check_subprotocols(name).map(|()| name.trim().to_owned())
}

/// Options of the server handshake as typed.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct AcceptArgs {
    /// Extra response header for the server handshake; can be given several times
    #[arg(long, value_name = "NAME: VALUE", value_parser = header, action = clap::ArgAction::Append)]
    pub server_header: Vec<Header>,
    /// Subprotocol to answer with; clients that do not offer it are refused
    #[arg(long, value_name = "NAME", value_parser = subprotocol)]
    pub server_protocol: Option<String>,
    /// Do not refuse clients without the wanted subprotocol, just leave the header out
    #[arg(long)]
    pub server_protocol_lax: bool,
    /// Answer with the first subprotocol that the client offers
    #[arg(long)]
    pub server_protocol_choose_first: bool,
}

impl OverlaySpec for WsAccept {
    const FORMS: &'static [Form] = &[Form {
        name: "ws_accept",
        prefixes: &["ws-accept:"],
        value: "",
        doc: "Waits for an HTTP/1 request for a WebSocket and answers it; what follows are raw bytes without framing.",
    }];

    fn parse(_: &'static Form) -> Result<Self> {
        Ok(Self::default())
    }

    fn takes(&self) -> Option<SocketKind> {
        Some(SocketKind::Stream)
    }

    fn gives(&self, _: SocketKind) -> SocketKind {
        SocketKind::Stream
    }

    fn emit(&self, script: &mut Script, inner: Var, then: &mut Then<'_>) -> Result<()> {
        let overlays = &script.args.overlays;
        let args = &overlays.ws_accept;
        let limited = self.complete || overlays.handshake.handshake_timeout.is_some();
        let serve = OptionMap::of(&ServeOpts { timeout_ms: overlays.handshake.timeout_ms().filter(|_| limited) })?;
        let accept = OptionMap::of(&AcceptOpts {
            choose_protocol: args.server_protocol.clone(),
            require_protocol: args.server_protocol.is_some() && !args.server_protocol_lax,
            protocol_choose_first: args.server_protocol_choose_first,
            half_close: self.complete && script.half_close,
            ..AcceptOpts::default()
        })?;
        let headers = header_map(&args.server_header);
        let (rq, hup, fd) = (script.var("rq"), script.var("hup"), script.var("fd"));
        script.nest(&format!("http1_serve({serve}, {inner}, |{rq}, {hup}, {fd}| {{"), "})", &mut |script| {
            script.callback(&format!("ws_accept({accept}, {headers}, {rq}, {hup}, {fd},"), "raw", then)
        })
    }
}

/// Its functions are a family of their own.
pub(super) fn register(_: &mut Engine) {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_subprotocol() {
        // 6455-4.2.2-13
        assert_eq!(subprotocol("chat").unwrap(), "chat");
        for bad in ["", "a,b", "a b", "a\n"] {
            assert!(subprotocol(bad).is_err(), "{bad:?}");
        }
    }
}
