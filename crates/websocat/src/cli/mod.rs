//! The command line: arguments as typed, values with units, logging, signals, and the program around plan and execution.

mod args;
mod command_line;
mod compose;
pub mod familiar;
mod features;
mod generate;
mod logging;
mod program;
mod shell_words;
mod signals;
pub mod value;

pub use args::{Args, LintLevel, ProgramArgs};
pub use command_line::{CommandLine, Part, ReadError};
pub use compose::{Join, Tree};
pub use program::main;
