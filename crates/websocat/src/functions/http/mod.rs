//! HTTP/1.1 on byte streams, as far as WebSockets need it: the opening handshake in both roles (RFC 6455 4).
//!
//! hyper parses and writes heads; everything that makes a handshake a WebSocket's is checked here. A handshake is a stage of
//! its own: when it is over the halves of the socket below come back as they were, and nothing of HTTP stays in memory.
//!
//! - [`client`]: `http1_client`, `ws_upgrade`; [`reply`] judges what the server answered, [`refused`] has words for it.
//! - [`server`]: `http1_serve`; [`accept`]: `ws_accept`; [`request`] and [`origin`] judge what the client asked for.
//! - [`request_facts`]: what scripts may ask about a request; [`plain_reply`]: `http_reply`, answers without an upgrade.
//! - [`carrier`] connects our sockets to hyper, [`headers`] has what both roles need of header fields, [`limits`] how large
//!   heads may be, [`compression`] what is said about permessage-deflate.

mod accept;
mod carrier;
mod client;
mod compression;
mod headers;
mod limits;
mod origin;
mod plain_reply;
mod refused;
mod reply;
mod request;
mod request_facts;
mod server;
#[cfg(test)]
mod tests;

pub use accept::AcceptOpts;
pub use client::{Http1Client, UpgradeOpts};
pub use compression::{CompressOpts, WINDOW_BITS};
pub use headers::{accept_value, check_header, check_subprotocols, fresh_key, is_key};
pub use limits::{HEAD_LIMIT, HEADERS_LIMIT, HeadOpts, MOST_HEADERS};
pub use origin::check_origin;
pub use server::{IncomingRequest, ServeOpts};

/// Private header by which two of our own ends agree to keep half-closes; others never see it answered.
const HALF_CLOSE: &str = "websocat-half-close";
/// Name for [`HALF_CLOSE`] being asked for or agreed to.
const HALF_CLOSE_YES: &str = "1";

/// Makes the functions known to a script engine.
pub(super) fn register(engine: &mut rhai::Engine) {
    client::register(engine);
    server::register(engine);
    accept::register(engine);
    plain_reply::register(engine);
    request_facts::register(engine);
}
