//! What the system sees of the program: children, signals, descriptors, files, terminals. The built program runs as a child;
//! real time is only ever an upper bound.

#[cfg(target_os = "linux")]
mod child_ends;
#[cfg(target_os = "linux")]
mod child_options;
#[cfg(target_os = "linux")]
mod descriptors;
#[cfg(target_os = "linux")]
mod files;
#[cfg(target_os = "linux")]
mod pairs;
#[cfg(target_os = "linux")]
mod program;
#[cfg(target_os = "linux")]
mod sessions;
#[cfg(target_os = "linux")]
mod terminal;
#[cfg(target_os = "linux")]
mod unix_sockets;
