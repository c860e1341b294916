//! Native functions that belong to no endpoint or overlay, one family per file.

mod addresses;
mod chance;
mod clock;
mod closing;
mod demo_packets;
mod departures;
mod descriptors;
mod ends;
mod events;
mod exchange;
mod failures;
mod files;
mod filters;
mod hangups;
pub mod http;
mod hub;
mod initialisers;
mod process;
mod rate_limit;
mod registry;
mod reuse;
pub mod serve;
mod sockets;
mod strings;
mod tasks;
#[cfg(test)]
pub(crate) mod testing;

pub use addresses::{Addresses, lookup_error};
pub use registry::offer;
pub use strings::decode_base64;
pub use tasks::outcome;

/// Makes the functions of all families known to a script engine.
pub fn register(engine: &mut rhai::Engine) {
    addresses::register(engine);
    chance::register(engine);
    clock::register(engine);
    closing::register(engine);
    demo_packets::register(engine);
    departures::register(engine);
    descriptors::register(engine);
    ends::register(engine);
    events::register(engine);
    exchange::register(engine);
    failures::register(engine);
    files::register(engine);
    filters::register(engine);
    hangups::register(engine);
    http::register(engine);
    hub::register(engine);
    initialisers::register(engine);
    process::register(engine);
    rate_limit::register(engine);
    registry::register(engine);
    reuse::register(engine);
    sockets::register(engine);
    strings::register(engine);
    tasks::register(engine);
}
