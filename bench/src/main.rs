//! The load generator behind `cargo xtask bench`: one thread, readiness only, every payload compared.
//!
//! `load WORKLOAD --key value …` drives one server through one workload and prints lines of `name value`, which xtask
//! reads. `load null` is an echo server that does as little as an echo server can: what a workload reaches against it
//! is the generator's ceiling. `load relay` forwards with as little as that takes. A server that sends a wrong byte, stalls or loses something ends the run with an error.

mod arguments;
mod check;
mod connect;
mod cpu;
mod datagrams;
mod deflate;
mod echo;
mod framing;
mod handshake;
mod idle;
mod link;
mod null;
mod pairs;
mod relay;
mod ring;
mod start;
mod transfer;

use arguments::Arguments;
use std::{error::Error, process::ExitCode};

/// Errors are sentences for whoever runs the benchmark.
type Result<T> = std::result::Result<T, Box<dyn Error>>;

const USAGE: &str = "\
load echo     --port P [--pid PID] --connections N --inflight N --size BYTES [--seconds S]
load deflate  --port P [--pid PID] --connections N --inflight N --size BYTES [--seconds S]
load datagrams --port P --listen P [--pid PID] [--size BYTES]
load connect  --port P [--pid PID] [--parallel N] [--seconds S]
load idle     --port P --pid PID [--clients N] [--baseline N] [--size BYTES] [--silence S]
load transfer --kind tcp-tcp|ws-tcp|tcp-ws --port P --listen P [--pid PID] [--size BYTES] [--seconds S]
load transfer --kind … --direct true --listen P
load transfer --kind tcp-tcp --framing length-prefixed|lines …
load transfer --kind unix-unix --path P --listen-path P [--pid PID] …
load pairs    --port P --listen P --pid PID [--pairs N] [--baseline N] [--size BYTES] [--silence S]
load sequence --port P --listen P --pid PID [--count N]
load framing  [--size BYTES] [--messages N] [--seconds S]
load start    [--runs N] -- PROGRAM ARGUMENT…
load null     --port P
load relay    --port P --backend P
load relay    --path P --backend-path P";

fn run() -> Result<()> {
    let mut words = std::env::args_os().skip(1);
    let workload = words.next().unwrap_or_default();
    let arguments = Arguments::parse(words)?;
    match workload.to_str() {
        Some("echo") => echo::run(&arguments),
        Some("datagrams") => datagrams::run(&arguments),
        Some("deflate") => deflate::run(&arguments),
        Some("connect") => connect::run(&arguments),
        Some("framing") => framing::run(&arguments),
        Some("idle") => idle::run(&arguments),
        Some("transfer") => transfer::run(&arguments),
        Some("start") => start::run(&arguments),
        Some("pairs") => pairs::run(&arguments),
        Some("pairs-backend") => pairs::backend(&arguments),
        Some("sequence") => pairs::sequence(&arguments),
        Some("relay") => relay::run(&arguments),
        Some("null") => null::run(&arguments),
        _ => Err(USAGE.into()),
    }
}

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("load: {e}");
            ExitCode::FAILURE
        }
    }
}
