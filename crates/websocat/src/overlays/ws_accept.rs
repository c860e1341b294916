//! `ws-accept:`: the server's half of a WebSocket handshake over a byte stream (RFC 6455 4.2); no framing.
//!
//! Its functions, `http1_serve` and `ws_accept`, are in [`crate::functions::http`].

use super::ws_request::{Header, header, header_map, names_in_words};
use crate::{
    error::Result,
    functions::http::{AcceptOpts, CompressOpts, ServeOpts, check_origin, check_subprotocols},
    spec::{About, Form, OptionMap, OverlaySpec, Script, Then, Var, Wraps, time_in_words},
};
use rhai::Engine;

/// The overlay.
#[derive(Clone, Debug, Default)]
pub struct WsAccept {
    /// Part of a whole WebSocket that a pass expanded: limited in time, agrees to keep half-closes.
    pub complete: bool,
    /// The other side is something that a web page must not reach unasked: only pages of the same origin pass.
    pub guarded: bool,
    /// Accept permessage-deflate like this.
    pub compress: Option<CompressOpts>,
}

//= 6455-4.2.2-13
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
    /// Subprotocol to answer with; clients that do not offer it are refused, unless one of the next two options is given
    #[arg(long, value_name = "NAME", value_parser = subprotocol)]
    pub server_protocol: Option<String>,
    /// Do not refuse clients without the wanted subprotocol, just leave the header out
    #[arg(long)]
    pub server_protocol_lax: bool,
    /// Answer with the first subprotocol that the client offers
    #[arg(long)]
    pub server_protocol_choose_first: bool,
    /// Let web pages of this origin use the WebSocket server: https://example.org, same, null or *; others get 403
    ///
    /// Can be given several times. Then no other page passes, not even one of the server's own host, unless `same` is
    /// among them. Clients that are no browsers send no Origin and always pass. Without this option everybody passes, but
    /// only pages of the same host and port reach a process, a file or standard input and output.
    #[arg(long, value_name = "ORIGIN", value_parser = origin, action = clap::ArgAction::Append)]
    pub allow_origin: Vec<String>,
    /// Serve WebSockets at this path only, others get 404; give it with a query to compare that, too
    #[arg(long, value_name = "PATH", value_parser = path)]
    pub restrict_uri: Option<String>,
}

fn origin(text: &str) -> Result<String, String> {
    check_origin(text).map(|()| text.to_owned())
}

fn path(text: &str) -> Result<String, String> {
    if !text.starts_with('/') {
        return Err("must begin with /".into());
    }
    match text.bytes().find(|b| !b.is_ascii_graphic() || *b == b'#') {
        Some(_) => Err("must look as it does in a request: blanks, # and what is not ASCII percent-encoded".into()),
        None => Ok(text.to_owned()),
    }
}

impl AcceptArgs {
    /// Options were typed that keep somebody out.
    pub fn restricts(&self) -> bool {
        !self.allow_origin.is_empty() || self.restrict_uri.is_some()
    }

    /// Whose pages may come in; None: all.
    fn origins(&self, guarded: bool) -> Option<Vec<String>> {
        if self.allow_origin.is_empty() {
            return guarded.then(|| vec!["same".to_owned()]);
        }
        Some(self.allow_origin.clone())
    }
}

impl OverlaySpec for WsAccept {
    const FORMS: &'static [Form] = &[Form {
        name: "ws_accept",
        prefixes: &["ws-accept:"],
        value: "",
        doc: "Waits for an HTTP/1 request for a WebSocket and answers it; what follows are raw bytes without framing.",
    }];
    const WRAPS: Wraps = Wraps::Stream;

    fn explain(&self, about: &About<'_>) -> String {
        let overlays = &about.args.overlays;
        let args = &overlays.ws_accept;
        let place = args.restrict_uri.as_ref().map_or("at any path".to_owned(), |path| format!("at {path} only"));
        let mut text = format!("Takes requests for WebSockets {place}");
        text.push_str(&match args.origins(self.guarded) {
            None => ", from web pages of any origin".to_owned(),
            Some(origins) if origins.iter().any(|origin| origin == "*") => ", from web pages of any origin".to_owned(),
            Some(origins) if origins == ["same"] => ", from web pages of the same host and port only".to_owned(),
            Some(origins) => {
                let own = |origin: &String| if origin == "same" { "the same host and port" } else { origin }.to_owned();
                format!(", from web pages of {} only", origins.iter().map(own).collect::<Vec<_>>().join(", "))
            }
        });
        if !args.server_header.is_empty() {
            text.push_str(&format!(". Answers with {}", names_in_words(&args.server_header)));
        }
        if let Some(protocol) = &args.server_protocol {
            text.push_str(&format!(", with subprotocol {protocol}"));
        }
        let limited = self.complete || overlays.handshake.handshake_timeout.is_some();
        if let Some(ms) = overlays.handshake.timeout_ms().filter(|_| limited) {
            text.push_str(&format!(". A request must come within {}", time_in_words(ms)));
        }
        text.push_str(&overlays.handshake.heads_in_words());
        if self.compress.is_some() {
            text.push_str(". Compresses with who offers it");
        }
        text + "."
    }

    fn emit(&self, script: &mut Script, inner: Var, then: &mut Then<'_>) -> Result<()> {
        let overlays = &script.args.overlays;
        let args = &overlays.ws_accept;
        let limited = self.complete || overlays.handshake.handshake_timeout.is_some();
        let mut serve = OptionMap::of(&ServeOpts { timeout_ms: overlays.handshake.timeout_ms().filter(|_| limited) })?;
        serve.extend(&overlays.handshake.heads())?;
        let mut accept = OptionMap::of(&AcceptOpts {
            choose_protocol: args.server_protocol.clone(),
            require_protocol: args.server_protocol.is_some() && !args.server_protocol_lax,
            protocol_choose_first: args.server_protocol_choose_first,
            half_close: self.complete && script.half_close,
            allow_origins: args.origins(self.guarded),
            restrict_uri: args.restrict_uri.clone(),
            lax: overlays.handshake.ws_dont_check_headers,
            omit_headers: overlays.handshake.ws_omit_headers,
        })?;
        accept.extend(&self.compress.clone().unwrap_or_default())?;
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

    //= 6455-4.2.2-13 test
    #[test]
    fn one_subprotocol() {
        assert_eq!(subprotocol("chat").unwrap(), "chat");
        for bad in ["", "a,b", "a b", "a\n"] {
            assert!(subprotocol(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn paths_are_as_in_a_request() {
        assert_eq!(path("/a/b?c=%20").unwrap(), "/a/b?c=%20");
        for bad in ["", "a", "/a b", "/ä", "/a#b", "/a\n"] {
            assert!(path(bad).is_err(), "{bad:?}");
        }
    }
}
