//! `ws-request:`: the client's half of a WebSocket handshake over a byte stream (RFC 6455 4.1); no framing.
//!
//! Its functions, `http1_client` and `ws_upgrade`, are in [`crate::functions::http`].

use crate::{
    cli::Args,
    error::Result,
    functions::http::{CompressOpts, UpgradeOpts, check_header, check_subprotocols},
    spec::{
        About, Form, OptionMap, OverlaySpec, Script, Then, Var, Wraps, string_literal, time_in_words, url::RequestUri,
    },
};
use rhai::Engine;

/// The overlay.
#[derive(Clone, Debug)]
pub struct WsRequest {
    /// Path and query, as on the wire.
    pub uri: String,
    /// Value of Host.
    pub host: Option<String>,
    /// Value of Authorization, from a URL with user name.
    pub authorization: Option<String>,
    /// Part of a whole WebSocket that a pass expanded: limited in time, asks to keep half-closes.
    pub complete: bool,
    /// Comes from a ws:// or wss:// URL.
    pub by_url: bool,
    /// Offer permessage-deflate like this.
    pub compress: Option<CompressOpts>,
}

impl Default for WsRequest {
    fn default() -> Self {
        Self { uri: "/".into(), host: None, authorization: None, complete: false, by_url: false, compress: None }
    }
}

/// One header as typed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    pub name: String,
    pub value: String,
}

/// `NAME: VALUE`, cut at the first colon, blanks around both do not count.
pub(super) fn header(text: &str) -> Result<Header, String> {
    let (name, value) = text.split_once(':').ok_or("a header is NAME: VALUE, and this has no colon")?;
    let [name, value] = [name, value].map(|part| part.trim_matches([' ', '\t']));
    check_header(name, value)?;
    Ok(Header { name: name.into(), value: value.into() })
}

/// Text for one header field.
fn field(text: &str) -> Result<String, String> {
    check_header("x", text).map(|()| text.to_owned())
}

fn subprotocols(list: &str) -> Result<String, String> {
    check_subprotocols(list).map(|()| list.to_owned())
}

/// Options of the client handshake as typed.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct RequestArgs {
    /// URI (and Host) to ask for in ws-c: and ws-request:; path / when absent
    #[arg(long, value_name = "URI")]
    pub ws_c_uri: Option<RequestUri>,
    /// Extra request header for the client handshake; can be given several times
    #[arg(long, short = 'H', value_name = "NAME: VALUE", value_parser = header, action = clap::ArgAction::Append)]
    pub header: Vec<Header>,
    /// Origin header of the client handshake
    #[arg(long, value_name = "URI", value_parser = field)]
    pub origin: Option<String>,
    /// User-Agent header of the client handshake
    #[arg(long, value_name = "TEXT", value_parser = field)]
    pub ua: Option<String>,
    /// Subprotocols to ask for, best first, with commas between
    #[arg(long, value_name = "LIST", value_parser = subprotocols)]
    pub protocol: Option<String>,
    /// Version of WebSocket to ask for instead of 13, to test servers
    #[arg(long, value_name = "VERSION", value_parser = field)]
    pub websocket_version: Option<String>,
}

impl RequestArgs {
    /// What `--ws-c-uri` says.
    pub fn uri(&self) -> Option<&RequestUri> {
        self.ws_c_uri.as_ref()
    }
}

/// Host of a request when nobody said which: the header has to be there, empty (RFC 9112 3.2).
const NO_HOST: &str = "";

impl WsRequest {
    /// Nothing says which Host is asked for, and it is not part of a WebSocket that sends an empty one then.
    pub fn lacks_host(&self, args: &Args) -> bool {
        let typed = args.overlays.ws_request.header.iter().any(|header| header.name.eq_ignore_ascii_case("Host"));
        !self.complete && self.host.is_none() && !typed
    }

    /// All custom headers, in the order in which they are sent.
    //= 6455-4.1-27
    //= 6455-4.1-30
    //= 6455-4.1-34
    fn headers(&self, args: &RequestArgs) -> Vec<Header> {
        let own = [
            ("Origin", &args.origin),
            ("User-Agent", &args.ua),
            ("Sec-WebSocket-Protocol", &args.protocol),
            ("Sec-WebSocket-Version", &args.websocket_version),
            ("Authorization", &self.authorization),
        ];
        let typed = |name: &str| args.header.iter().any(|h| h.name.eq_ignore_ascii_case(name));
        let own = own.into_iter().filter_map(|(name, value)| Some((name, value.as_ref()?)));
        // The user's own -H of that name wins over what the URL says, and where two would break the rules.
        let single = ["Authorization", "Sec-WebSocket-Version"];
        let own = own.filter(|(name, _)| !single.contains(name) || !typed(name));
        own.map(|(name, value)| Header { name: name.into(), value: value.clone() }).chain(args.header.clone()).collect()
    }
}

/// Names of headers in words; their values may be secrets.
pub(super) fn names_in_words(headers: &[Header]) -> String {
    let mut names: Vec<&str> = vec![];
    for header in headers {
        if !names.contains(&&*header.name) {
            names.push(&header.name);
        }
    }
    match names[..] {
        [name] => format!("the header {name}"),
        _ => format!("the headers {}", names.join(", ")),
    }
}

/// Script text of a map of headers; a name that comes several times gets an array.
pub(super) fn header_map(headers: &[Header]) -> OptionMap {
    let mut map = OptionMap::new();
    for (i, header) in headers.iter().enumerate() {
        if headers.iter().take(i).any(|earlier| earlier.name == header.name) {
            continue;
        }
        let values = headers.iter().filter(|h| h.name == header.name).map(|h| string_literal(&h.value));
        let values: Vec<_> = values.collect();
        let list = values.join(", ");
        map.push(&header.name, if values.len() == 1 { list } else { format!("[{list}]") });
    }
    map
}

impl OverlaySpec for WsRequest {
    const FORMS: &'static [Form] = &[Form {
        name: "ws_request",
        prefixes: &["ws-request:", "ws-r:"],
        value: "",
        doc: "Sends an HTTP/1 request for a WebSocket and checks the answer; what follows are raw bytes without framing. \
              --ws-c-uri gives the URI.",
    }];
    const WRAPS: Wraps = Wraps::Stream;

    fn explain(&self, about: &About<'_>) -> String {
        let overlays = &about.args.overlays;
        let mut text = format!("Asks for a WebSocket at {}", self.uri);
        if let Some(host) = self.host.as_deref().filter(|host| !host.is_empty()) {
            text.push_str(&format!(" on host {host}"));
        }
        if let Some(protocol) = &overlays.ws_request.protocol {
            let list: Vec<_> = protocol.split(',').map(str::trim).collect();
            text.push_str(&format!(", subprotocol {}", list.join(" or ")));
        }
        let mut headers = self.headers(&overlays.ws_request);
        headers.retain(|header| header.name != "Sec-WebSocket-Protocol");
        if !headers.is_empty() {
            text.push_str(&format!(", with {}", names_in_words(&headers)));
        }
        let limited = self.complete || overlays.handshake.handshake_timeout.is_some();
        if let Some(ms) = overlays.handshake.timeout_ms().filter(|_| limited) {
            text.push_str(&format!(". The answer must come within {}", time_in_words(ms)));
        }
        if self.compress.is_some() {
            text.push_str(". Offers compression");
        }
        if overlays.handshake.ws_dont_check_headers {
            text.push_str(". Takes any answer");
        }
        text + "."
    }

    fn emit(&self, script: &mut Script, inner: Var, then: &mut Then<'_>) -> Result<()> {
        let overlays = &script.args.overlays;
        let limited = self.complete || overlays.handshake.handshake_timeout.is_some();
        let options = UpgradeOpts {
            url: self.uri.clone(),
            host: self.host.clone().or_else(|| self.complete.then(|| NO_HOST.to_owned())),
            half_close: self.complete && script.half_close,
            timeout_ms: overlays.handshake.timeout_ms().filter(|_| limited),
            lax: overlays.handshake.ws_dont_check_headers,
            omit_headers: overlays.handshake.ws_omit_headers,
        };
        let mut options = OptionMap::of(&options)?;
        options.extend(&self.compress.clone().unwrap_or_default())?;
        let headers = header_map(&self.headers(&overlays.ws_request));
        let heads = OptionMap::of(&overlays.handshake.heads())?;
        let http = script.assign("http", &format!("http1_client({heads}, {inner})"));
        script.callback(&format!("ws_upgrade({options}, {headers}, {http},"), "raw", then)
    }
}

/// Its functions are a family of their own.
pub(super) fn register(_: &mut Engine) {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_as_typed() {
        let parsed = header(" X-A :  b: c\t").unwrap();
        assert_eq!(parsed, Header { name: "X-A".into(), value: "b: c".into() });
        assert_eq!(header("x:").unwrap().value, "");
        assert!(header("X-Ä: ü").is_err());
        assert!(header("X: ü").is_ok());
        for (bad, says) in [
            ("X-A", "no colon"),
            (": x", "not a header name"),
            ("a b: x", "not a header name"),
            ("X: a\r\nY: b", "line break"),
            ("X: a\n", "line break"),
            ("X: a\0", "control character"),
            ("X\n: a", "not a header name"),
        ] {
            let error = header(bad).unwrap_err();
            assert!(error.contains(says), "{bad:?}: {error}");
        }
    }

    #[test]
    fn repeated_headers_become_arrays() {
        let headers: Vec<_> = ["A: 1", "B: x\"y", "A: 2", "a: 3"].map(|text| header(text).unwrap()).into();
        assert_eq!(header_map(&headers).to_string(), r#"#{A: ["1", "2"], B: "x\"y", a: "3"}"#);
    }
}
