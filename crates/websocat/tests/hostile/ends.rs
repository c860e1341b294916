//! Ends that are no ends: Close without an end of TCP, resets in numbers, a program that is stopped under load.

use super::{
    client::{BINARY, CLOSE, Client, FIN, assert_serves, frame},
    server::{Server, eventually},
};
use rustix::process::Signal;
use std::{io::Write as _, net::TcpListener};

const ECHO: &[&str] = &["-b", "ws-l:127.0.0.1:0", "mirror:"];

#[test]
fn close_without_an_end_of_tcp() {
    // Behind one server is a mirror, behind the other somebody who neither says nor ends anything.
    let idle = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("tcp:{}", idle.local_addr().unwrap());
    let backends = std::thread::spawn(move || {
        let backends: Vec<_> = idle.incoming().take(20).collect();
        std::thread::park();
        drop(backends);
    });
    for right in ["mirror:", &address] {
        let server = Server::start(&["-b", "ws-l:127.0.0.1:0", right]);
        let before = server.descriptors();
        let mut clients: Vec<_> = (0..20).map(|_| Client::connect(&server)).collect();
        for client in &mut clients {
            client.send(&frame(FIN | CLOSE, &1000u16.to_be_bytes()));
        }
        // They keep their side open, and the server is rid of them.
        server.wait_for_descriptors(before);
        for client in &mut clients {
            assert_eq!(client.closed(), 1000);
        }
    }
    backends.thread().unpark();
}

#[test]
fn two_hundred_resets_at_once() {
    const MANY: usize = 200;
    for right in ["mirror:", "zero:", "cmd:cat"] {
        let mut server = Server::start(&["-b", "ws-l:127.0.0.1:0", right]);
        let idle = server.descriptors();
        let mut clients: Vec<_> = (0..MANY).map(|_| Client::connect(&server)).collect();
        for client in &mut clients {
            // Something is under way in both directions.
            client.send(&frame(FIN | BINARY, &[b'x'; 5000]));
        }
        let mut unheard: Vec<_> = (0..MANY).map(|_| Client::asked(&server)).collect();
        unheard.extend(clients);
        for client in unheard {
            client.reset();
        }
        server.wait_for_descriptors(idle);
        let mut next = Client::connect(&server);
        next.send(&frame(FIN | BINARY, b"next"));
        assert!(next.next().is_ok());
        server.assert_growth(64 << 10);
    }
}

#[test]
fn stopped_and_continued_under_load() {
    const ROUNDS: usize = 5;
    let server = Server::start(ECHO);
    let mut client = Client::connect(&server);
    let message: Vec<u8> = (0..100_000).map(|i| (i % 251) as u8).collect();
    let frames = frame(FIN | BINARY, &message);
    let mut to = client.tcp.try_clone().unwrap();
    let (stop, stopped) = std::sync::mpsc::channel::<()>();
    // Sends for as long as the test goes on.
    let load = std::thread::spawn(move || {
        let mut sent = 0;
        while stopped.try_recv().is_err() {
            to.write_all(&frames).unwrap();
            sent += 1;
        }
        sent
    });
    let mut received = 0;
    for _ in 0..ROUNDS {
        for _ in 0..50 {
            assert!(client.data(message.len()) == message);
            received += 1;
        }
        server.signal(Signal::STOP);
        eventually("it is stopped", || server.state().0 == 'T');
        server.signal(Signal::CONT);
    }
    stop.send(()).unwrap();
    // What was under way is read while the sender comes to its end.
    let last = std::thread::scope(|scope| {
        let reader = scope.spawn(|| {
            while !load.is_finished() {
                assert!(client.data(message.len()) == message);
                received += 1;
            }
            received
        });
        reader.join().unwrap()
    });
    let sent = load.join().unwrap();
    for _ in last..sent {
        assert!(client.data(message.len()) == message);
    }
    client.echo();
    assert_serves(&server);
}
