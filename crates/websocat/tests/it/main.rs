//! Tests of the whole: command lines in-process and as a program, golden scripts, options, tidiness of the tree.

mod client_limits;
mod commands;
mod compose;
mod compression;
mod examples;
mod fixups;
mod framing;
mod golden;
mod joined;
mod options;
mod program;
#[cfg(unix)]
mod rerun;
mod send;
mod tables;
mod tidy;
mod times;
mod wrong_types;
