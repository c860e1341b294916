//! Tests of the whole: command lines in-process and as a program, golden scripts, options, tidiness of the tree.

mod admission;
mod client_limits;
mod commands;
mod compose;
mod compression;
mod dumped;
mod examples;
mod explain;
mod failures;
mod fixups;
mod framing;
mod golden;
mod joined;
mod messages;
#[cfg(target_os = "linux")]
mod multicast;
mod options;
mod program;
#[cfg(unix)]
mod rehearsal;
#[cfg(unix)]
mod rerun;
mod send;
mod sensible;
#[cfg(target_os = "linux")]
mod socket_options;
#[cfg(target_os = "linux")]
mod socket_table;
mod tables;
mod tidy;
mod times;
#[cfg(target_os = "linux")]
mod udp;
#[cfg(target_os = "linux")]
mod unanswered;
mod web_sockets;
mod wrong_types;
