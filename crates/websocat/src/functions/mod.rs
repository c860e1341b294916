//! Native functions that belong to no endpoint or overlay, one family per file.

pub mod http;
mod tasks;

/// Makes the functions of all families known to a script engine.
pub fn register(engine: &mut rhai::Engine) {
    http::register(engine);
    tasks::register(engine);
}
