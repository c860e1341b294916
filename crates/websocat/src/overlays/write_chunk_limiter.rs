//! `write_chunk_limiter:` and its native function: writes take only a few bytes at a time.

use crate::{
    error::Result,
    register,
    scenario::{Handle, RhResult, Take, handle},
    spec::{About, Form, OverlaySpec, Script, Then, Var, Wraps, bytes_in_words},
};
use rhai::Engine;
use sockets::{overlay::write_limiter::WriteLimiter, stream::BoxStreamWrite};
use std::num::NonZeroU32;

/// The overlay.
#[derive(Clone, Debug, Default)]
pub struct WriteChunkLimiter;

#[derive(Clone, Debug, Default, clap::Args)]
pub struct WriteLimiterArgs {
    /// Most bytes that one write through write_chunk_limiter: takes; 1 when absent
    #[arg(long, value_name = "BYTES")]
    pub write_buffer_limit: Option<NonZeroU32>,
}

impl OverlaySpec for WriteChunkLimiter {
    const FORMS: &'static [Form] = &[Form {
        name: "write_chunk_limiter",
        prefixes: &["write_chunk_limiter:"],
        value: "",
        doc: "Makes writes short, for tests.",
    }];
    const WRAPS: Wraps = Wraps::Stream;

    fn explain(&self, about: &About<'_>) -> String {
        let limit = about.args.overlays.write_limiter.write_buffer_limit.map_or(1, std::num::NonZero::get);
        format!("Writes at most {} at a time.", bytes_in_words(limit.into()))
    }

    fn emit(&self, script: &mut Script, inner: Var, then: &mut Then<'_>) -> Result<()> {
        let limit = script.args.overlays.write_limiter.write_buffer_limit.map_or(1, NonZeroU32::get);
        script.line(&format!("put_write_part({inner}, write_chunk_limiter(take_write_part({inner}), {limit}));"));
        then(script, inner)
    }
}

/// Caps the size of each write, in bytes.
fn write_chunk_limiter(x: Handle<BoxStreamWrite>, limit: i64) -> RhResult<Handle<BoxStreamWrite>> {
    let limit = usize::try_from(limit).ok().filter(|n| *n > 0).ok_or("the limit must be at least 1")?;
    Ok(handle(Box::new(WriteLimiter::new(x.take("writer")?, limit))))
}

pub(super) fn register(engine: &mut Engine) {
    register!(engine, write_chunk_limiter);
}
