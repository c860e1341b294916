//! `write_buffer:` and its native function: small writes are gathered until a flush.

use crate::{
    error::Result,
    register,
    scenario::{Handle, RhResult, Take, handle},
    spec::{About, Form, OverlaySpec, Script, Then, Var, Wraps, bytes_in_words},
};
use rhai::Engine;
use sockets::{
    overlay::write_buffer::{self, MAX_CAPACITY},
    stream::BoxStreamWrite,
};

/// The overlay.
#[derive(Clone, Debug, Default)]
pub struct WriteBuffer;

/// Bytes that are gathered at most, as upstream.
const CAPACITY: usize = 8192;

impl OverlaySpec for WriteBuffer {
    const FORMS: &'static [Form] = &[Form {
        name: "write_buffer",
        prefixes: &["write_buffer:"],
        value: "",
        doc: "Gathers small writes and passes them on together when told to flush.",
    }];
    const WRAPS: Wraps = Wraps::Stream;

    fn explain(&self, _: &About<'_>) -> String {
        format!("Gathers small writes, up to {}.", bytes_in_words(CAPACITY as u64))
    }

    fn emit(&self, script: &mut Script, inner: Var, then: &mut Then<'_>) -> Result<()> {
        script.line(&format!("put_write_part({inner}, write_buffer(take_write_part({inner}), {CAPACITY}));"));
        then(script, inner)
    }
}

/// Gathers small writes up to a size in bytes, until flush.
fn write_buffer(inner: Handle<BoxStreamWrite>, capacity: i64) -> RhResult<Handle<BoxStreamWrite>> {
    let fitting = usize::try_from(capacity).ok().filter(|n| (1..=MAX_CAPACITY).contains(n));
    let capacity = fitting.ok_or_else(|| format!("the capacity must be from 1 to {MAX_CAPACITY}"))?;
    Ok(handle(Box::new(write_buffer::WriteBuffer::new(inner.take("writer")?, capacity))))
}

pub(super) fn register(engine: &mut Engine) {
    register!(engine, write_buffer);
}
