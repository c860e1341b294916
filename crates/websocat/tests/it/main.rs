//! Tests of the whole: command lines in-process and as a program, golden scripts, tidiness of the tree.

mod client_limits;
mod commands;
mod compression;
mod golden;
mod joined;
#[cfg(unix)]
mod rerun;
mod send;
mod tables;
mod tidy;
