//! `read_chunk_limiter:` and its native function: reads give only a few bytes at a time.

use crate::{
    error::Result,
    register,
    scenario::{Handle, RhResult, Take, handle},
    spec::{About, Form, OverlaySpec, Script, Then, Var, Wraps, bytes_in_words},
};
use rhai::Engine;
use sockets::{overlay::read_limiter::ReadLimiter, stream::BoxStreamRead};
use std::num::NonZeroU32;

/// The overlay.
#[derive(Clone, Debug, Default)]
pub struct ReadChunkLimiter;

#[derive(Clone, Debug, Default, clap::Args)]
pub struct ReadLimiterArgs {
    /// Most bytes that one read through read_chunk_limiter: gives; 1 when absent
    #[arg(long, value_name = "BYTES")]
    pub read_buffer_limit: Option<NonZeroU32>,
}

impl OverlaySpec for ReadChunkLimiter {
    const FORMS: &'static [Form] = &[Form {
        name: "read_chunk_limiter",
        prefixes: &["read_chunk_limiter:"],
        value: "",
        doc: "Makes reads short, for tests.",
    }];
    const WRAPS: Wraps = Wraps::Stream;

    fn explain(&self, about: &About<'_>) -> String {
        let limit = about.args.overlays.read_limiter.read_buffer_limit.map_or(1, std::num::NonZero::get);
        format!("Reads at most {} at a time.", bytes_in_words(limit.into()))
    }

    fn emit(&self, script: &mut Script, inner: Var, then: &mut Then<'_>) -> Result<()> {
        let limit = script.args.overlays.read_limiter.read_buffer_limit.map_or(1, NonZeroU32::get);
        script.line(&format!("put_read_part({inner}, read_chunk_limiter(take_read_part({inner}), {limit}));"));
        then(script, inner)
    }
}

/// Caps the size of each read, in bytes.
fn read_chunk_limiter(x: Handle<BoxStreamRead>, limit: i64) -> RhResult<Handle<BoxStreamRead>> {
    let limit = usize::try_from(limit).ok().filter(|n| *n > 0).ok_or("the limit must be at least 1")?;
    Ok(handle(Box::new(ReadLimiter::new(x.take("reader")?, limit))))
}

pub(super) fn register(engine: &mut Engine) {
    register!(engine, read_chunk_limiter);
}
