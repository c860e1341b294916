//! The command line: arguments as typed, and the program around plan and execution.

pub mod value;

use std::{ffi::OsString, process::ExitCode};

/// The command line as typed; nothing is interpreted here.
#[derive(Clone, Debug, Default, clap::Parser)]
#[command(name = "websocat", version)]
pub struct Args {
    /// Left specifier, or the only one
    pub spec1: Option<OsString>,
    /// Right specifier; stdio: when absent
    pub spec2: Option<OsString>,
    #[command(flatten)]
    pub endpoints: crate::endpoints::EndpointArgs,
    #[command(flatten)]
    pub overlays: crate::overlays::OverlayArgs,
}

/// Runs the program and gives its exit status.
pub fn main() -> ExitCode {
    ExitCode::SUCCESS
}
