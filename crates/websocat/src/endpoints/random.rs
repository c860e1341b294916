//! `random:` and `random_socket`: endless random bytes.

use crate::{
    error::Result,
    spec::{EndpointSpec, Form, OptionMap, Script, SocketKind, Then},
};
use rhai::Engine;
use serde::{Deserialize, Serialize};
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

    fn emit(&self, script: &mut Script, then: &mut Then<'_>) -> Result<()> {
        let map = OptionMap::of(&script.args.endpoints.random)?;
        let random = script.assign("random", &format!("random_socket({map})"));
        then(script, random)
    }
}

pub(super) fn register(_: &mut Engine) {}
