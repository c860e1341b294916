//! Every rule of message exchanges, between toy peers and on a paused clock.

mod ends;
mod errors;
mod filters;
mod keepalive;
mod moving;
mod peer;
mod unanswered;
mod websockets;

use super::{CopyPackets, Direction, ExchangeError, ExchangeOptions, ExchangePackets, Part};
use crate::stop::Stop;
use peer::Peer;
use std::{io, time::Duration};
use tokio::{
    task::JoinHandle,
    time::{Instant, sleep, timeout},
};

/// A running exchange.
struct Running {
    stop: Stop,
    start: Instant,
    task: JoinHandle<Result<(), ExchangeError>>,
}

fn run(left: &Peer, right: &Peer, options: ExchangeOptions) -> Running {
    let stop = Stop::new();
    run_this(ExchangePackets::new(left.socket(), right.socket(), options, stop.clone()), stop)
}

fn run_this(exchange: ExchangePackets, stop: Stop) -> Running {
    Running { stop, start: Instant::now(), task: tokio::spawn(exchange) }
}

impl Running {
    /// Result and the virtual milliseconds it took.
    async fn ended(&mut self) -> (Result<(), ExchangeError>, u64) {
        let result = timeout(Duration::from_secs(100_000), &mut self.task).await.expect("goes on for ever").unwrap();
        (result, self.start.elapsed().as_millis() as u64)
    }

    async fn ended_well_at(&mut self) -> u64 {
        let (result, at) = self.ended().await;
        result.unwrap();
        at
    }

    async fn is_running(&mut self) -> bool {
        timeout(Duration::from_secs(100_000), &mut self.task).await.is_err()
    }
}

/// Until everything that needs no time has happened.
async fn quiet() {
    sleep(Duration::from_millis(1)).await;
}

async fn at(ms: u64, start: Instant) {
    tokio::time::sleep_until(start + Duration::from_millis(ms)).await;
}

fn linger(ms: u64) -> ExchangeOptions {
    ExchangeOptions { linger: Some(Duration::from_millis(ms)), ..ExchangeOptions::default() }
}

fn on_error() -> ExchangeOptions {
    ExchangeOptions { end_on_error: true, ..ExchangeOptions::default() }
}

fn list(heard: &[&str]) -> Vec<String> {
    heard.iter().map(|s| (*s).to_owned()).collect()
}

fn what(result: &Result<(), ExchangeError>) -> (Direction, Part, io::ErrorKind) {
    let e = result.as_ref().expect_err("no error");
    (e.direction, e.part, e.error.kind())
}

#[test]
fn the_exchange_is_small() {
    // Two directions and a pointer to what is rare: every connection of a busy server has one.
    assert!(size_of::<ExchangePackets>() <= 160, "{}", size_of::<ExchangePackets>());
    assert!(size_of::<super::session::Session>() <= 360, "{}", size_of::<super::session::Session>());
    fn is_send<T: Send>() {}
    is_send::<ExchangePackets>();
    is_send::<super::CopyPackets>();
}
