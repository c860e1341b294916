//! Native functions that belong to no endpoint or overlay, one family per file.

mod tasks;

/// Makes the functions of all families known to a script engine.
pub fn register(engine: &mut rhai::Engine) {
    tasks::register(engine);
}
