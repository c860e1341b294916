//! Forwarded connections in numbers: idle pairs own no buffers, and what comes and goes leaves nothing, however it ends.
//!
//! `cargo xtask bench pairs sequence` does the same with 9,500 pairs and 100,000 connections, each against its bound.

use super::program::{PATIENCE, Program, connect, reset, server, until};
use std::{
    fs,
    io::{Read as _, Write as _},
    net::{TcpListener, TcpStream},
    thread,
};

/// Pairs that are idle together.
const PAIRS: usize = 300;
/// Connections one after another, for each way to end.
const SEQUENCE: usize = 300;

/// Descriptors of a kind: `socket`, `pipe`.
fn descriptors(pid: u32, kind: &str) -> usize {
    let all = fs::read_dir(format!("/proc/{pid}/fd")).unwrap();
    let links = all.filter_map(|fd| fs::read_link(fd.ok()?.path()).ok());
    links.filter(|link| link.to_string_lossy().starts_with(&format!("{kind}:"))).count()
}

/// A pipe has two. Those in the workers' pools stay; how many depends on how many sessions were busy at the same time.
const MOST_PIPES: usize = 100;

/// Bytes that only this process has written.
fn memory(pid: u32) -> usize {
    let text = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix("Private_Dirty:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<usize>().unwrap() * 1024
}

/// A client and the connection to the back end that belongs to it, which have carried this much both ways.
fn pair(port: u16, backend: &TcpListener, size: usize) -> (TcpStream, TcpStream) {
    let mut client = connect(port);
    let (mut server, _) = backend.accept().unwrap();
    server.set_read_timeout(Some(PATIENCE)).unwrap();
    carry(&mut client, &mut server, size);
    carry(&mut server, &mut client, size);
    (client, server)
}

fn carry(from: &mut TcpStream, to: &mut TcpStream, size: usize) {
    let bytes: Vec<u8> = (0..size).map(|n| ((n * n) >> 7) as u8).collect();
    let mut got = vec![0; size];
    thread::scope(|scope| {
        scope.spawn(|| from.write_all(&bytes).unwrap());
        to.read_exact(&mut got).unwrap();
    });
    assert!(got == bytes);
}

#[test]
fn idle_pairs_own_no_buffer() {
    let (backend, specifier) = server();
    let (program, port) = Program::listen(&["-q", "-b", "--threads", "2", "tcp-l:127.0.0.1:0", &specifier]);
    let pid = program.id();
    let mut pairs: Vec<_> = (0..20).map(|_| pair(port, &backend, 64 << 10)).collect();
    let base = memory(pid);
    pairs.extend((0..PAIRS).map(|_| pair(port, &backend, 64 << 10)));
    // Pipes and buffers go back when the last bytes have been handed on, which the peers see first.
    let mut grown = 0;
    until("what idle pairs need is little", || {
        grown = memory(pid).saturating_sub(base) / PAIRS;
        // Less than any buffer.
        (grown <= 4 << 10).then_some(())
    });
    assert!(descriptors(pid, "pipe") < MOST_PIPES, "idle pairs keep pipes");
    println!("{grown} bytes for each pair");
    for (client, server) in &mut pairs {
        carry(client, server, 10);
    }
}

#[test]
fn connections_that_come_and_go_leave_nothing() {
    let (backend, specifier) = server();
    let (program, port) = Program::listen(&["-q", "-b", "--threads", "2", "tcp-l:127.0.0.1:0", &specifier]);
    let pid = program.id();
    let sequence = || {
        for n in 0..4 * SEQUENCE {
            let (client, mut server) = pair(port, &backend, 100);
            match n % 4 {
                0 => {
                    drop(client);
                    assert_eq!(server.read(&mut [0]).unwrap(), 0);
                }
                1 => reset(client),
                2 => reset(server),
                // In the middle of a transfer that nobody reads.
                _ => {
                    server.set_nonblocking(true).unwrap();
                    while server.write(&[0; 64 << 10]).is_ok() {}
                    reset(client);
                }
            }
        }
    };
    // What the first ones need may stay.
    sequence();
    // The listener's, and what the runtime and signals need.
    let few = until("the first connections are over", || {
        let now = descriptors(pid, "socket");
        (now < 10).then_some(now)
    });
    let base = memory(pid);
    sequence();
    until("no descriptor is left", || (descriptors(pid, "socket") <= few).then_some(()));
    assert!(descriptors(pid, "pipe") < MOST_PIPES, "pipes are left");
    let grown = memory(pid).saturating_sub(base);
    assert!(grown <= 512 << 10, "{grown} bytes are left of {} connections", 4 * SEQUENCE);
}
