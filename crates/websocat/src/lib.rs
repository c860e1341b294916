//! Control plane of Websocat: command line to script, script to tasks.
//!
//! Two vocabularies never meet here: [`cli`], [`spec`] and [`plan`] write script text; [`scenario`], [`exec`] and
//! [`functions`] read it. Only [`endpoints`] and [`overlays`] see both, one file per thing.

pub mod cli;
pub mod endpoints;
pub mod error;
pub mod exec;
pub mod functions;
#[cfg(any(test, feature = "fuzz"))]
#[doc(hidden)]
pub mod fuzz;
pub mod overlays;
pub mod plan;
mod platform_string;
pub mod scenario;
pub mod spec;
