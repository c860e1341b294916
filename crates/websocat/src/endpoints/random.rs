//! `random:` and `random_socket`: endless random bytes.

use crate::{
    error::Result,
    register,
    scenario::{Handle, OptsReader, RhOpts, RhResult, Scenario, handle},
    spec::{About, EndpointSpec, Form, OptionMap, Script, SocketKind, Then},
};
use rand_core::{Rng as _, SeedableRng as _};
use rhai::{Engine, NativeCallContext};
use serde::{Deserialize, Serialize};
use sockets::{endpoint::random::random, socket::StreamSocket};
use std::ffi::OsStr;

/// An endless source of random bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Random;

/// Options of `random_socket`.
#[derive(Clone, Debug, Default, clap::Args, Serialize, Deserialize)]
#[serde(default)]
pub struct RandomOpts {
    /// random: trades unpredictable bytes for speed
    #[arg(long = "random-fast")]
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub fast: bool,
}

impl EndpointSpec for Random {
    const FORMS: &'static [Form] = &[Form {
        name: "random",
        prefixes: &["random:"],
        value: "",
        doc: "Reads give random bytes without end; `--random-seed` makes them repeatable. What is written is discarded.",
    }];

    fn parse(form: &'static Form, value: &OsStr) -> Result<Self> {
        super::no_value(form, value)?;
        Ok(Self)
    }

    fn kind(&self) -> Option<SocketKind> {
        Some(SocketKind::Stream)
    }

    fn explain(&self, _: &About<'_>) -> String {
        "Gives random bytes without end; what comes from the other side is discarded.".to_owned()
    }

    fn emit(&self, script: &mut Script, then: &mut Then<'_>) -> Result<()> {
        let map = OptionMap::of(&script.args.endpoints.random)?;
        let random = script.assign("random", &format!("random_socket({map})"));
        then(script, random)
    }
}

/// A stream socket that gives random bytes without end; what is written is discarded.
fn random_socket(ctx: NativeCallContext<'_>, opts: RhOpts<RandomOpts>) -> RhResult<Handle<StreamSocket>> {
    let RandomOpts { fast } = OptsReader::read(opts)?;
    let mut source = Scenario::of(&ctx)?.random().bytes_source();
    let socket = if fast {
        let mut seed = [0; 32];
        source.fill(&mut seed);
        let mut fast = rand_pcg::Pcg64::from_seed(seed);
        random(Box::new(move |to| fast.fill_bytes(to)))
    } else {
        random(Box::new(move |to| source.fill(to)))
    };
    Ok(handle(super::named(socket, "random:")))
}

pub(super) fn register(engine: &mut Engine) {
    register!(engine, random_socket);
}
