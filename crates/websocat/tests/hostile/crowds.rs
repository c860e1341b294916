//! Many at once: silent connections, and more connections than there are descriptors.

use super::{
    client::{Client, assert_serves, tcp},
    server::{Server, allow_descriptors, eventually},
};
use std::{thread, time::Duration};

#[test]
fn two_thousand_silent_connections() {
    const HALF: usize = 1000;
    allow_descriptors(2 * HALF as u64 + 500);
    // Without pings: a slow machine needs more than the minute after which those who do not answer are given up.
    let options = ["--handshake-timeout", "2s", "--ping-interval", "0", "--ping-timeout", "0"];
    let mut server = Server::start(&[&["-b", "ws-l:127.0.0.1:0", "mirror:"], &options[..]].concat());
    let idle = server.descriptors();
    let mut open: Vec<_> = (0..HALF).map(|_| Client::connect(&server)).collect();
    let mut mute: Vec<_> = (0..HALF).map(|_| tcp(&server)).collect();
    assert_serves(&server);
    // Those that never ask are sent away, those that are served stay.
    server.wait_for_descriptors(idle + HALF);
    for client in &mut mute {
        assert_eq!(std::io::Read::read(client, &mut [0]).unwrap_or(0), 0);
    }
    assert!(server.descriptors() > HALF);
    for client in open.iter_mut().step_by(100) {
        client.echo();
    }
    // Less than any buffer that each could have; a debug build's tasks alone need 7 KiB.
    server.assert_growth(2 * HALF as u64 * 12);
    drop((open, mute));
    server.wait_for_descriptors(idle);
}

#[test]
fn more_connections_than_descriptors() {
    const LIMIT: u32 = 48;
    const MANY: usize = 100;
    let server = Server::with_descriptors(LIMIT, &["-b", "ws-l:127.0.0.1:0", "mirror:"]);
    let mut clients: Vec<_> = (0..MANY).map(|_| Client::asked(&server)).collect();
    server.wait_for_log("cannot accept", 1);
    // Nothing can be done now, and nothing is: neither work nor lines in the log.
    let (cpu, lines) = (server.cpu(), server.logged("cannot accept"));
    thread::sleep(Duration::from_secs(2));
    let (cpu, lines) = (server.cpu() - cpu, server.logged("cannot accept") - lines);
    println!("{cpu:?} of processor time and {lines} lines in 2 s");
    assert!(cpu < Duration::from_millis(300), "{cpu:?} of 2 s");
    assert!(lines < 20, "{lines} lines in 2 s");
    // Each that leaves makes room for another, till all had their turn.
    while let Some(mut client) = (!clients.is_empty()).then(|| clients.remove(0)) {
        let head = client.head().unwrap();
        assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
        client.echo();
    }
    eventually("descriptors are free", || server.descriptors() < 20);
    assert_serves(&server);
}
