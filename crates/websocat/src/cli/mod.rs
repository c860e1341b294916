//! The command line: arguments as typed, values with units, logging, signals, and the program around plan and execution.

mod args;
mod generate;
mod logging;
mod program;
mod signals;
pub mod value;

pub use args::Args;
pub use program::main;
