//! Costs that must not creep up: no allocation per message once everything is warm.

mod counting;
mod tcp;

use sockets::{
    copy::ExchangeBytes,
    endpoint::{mirror_datagram::mirror_datagram, mirror_stream::mirror_stream},
    exchange::ExchangePackets,
    stop::Stop,
};
use std::{
    future::Future,
    io::{Read, Write},
    net::TcpStream,
};

/// A blocking client that writes `batch` times `size` bytes and reads as many, again and again.
fn client(to: &mut TcpStream, from: &mut TcpStream, size: usize, batch: usize, rounds: usize) -> usize {
    let out = vec![7; size * batch];
    let mut back = vec![0; size * batch];
    let before = counting::in_process();
    for _ in 0..rounds {
        to.write_all(&out).unwrap();
        from.read_exact(&mut back).unwrap();
    }
    let after = counting::in_process();
    assert!(back == out);
    after - before
}

fn blocking_pair() -> (TcpStream, TcpStream) {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let ours = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    ours.set_read_timeout(Some(tcp::PATIENCE)).unwrap();
    let theirs = listener.accept().unwrap().0;
    theirs.set_nonblocking(true).unwrap();
    (ours, theirs)
}

fn tokio_stream(tcp: TcpStream) -> tokio::net::TcpStream {
    tokio::net::TcpStream::from_std(tcp).unwrap()
}

fn measure<F: Future<Output = ()>>(what: &str, mut to: TcpStream, mut from: TcpStream, exchange: impl FnOnce() -> F) {
    let name = what.to_owned();
    let load = std::thread::spawn(move || {
        for (size, batch) in [(32, 1), (32, 64), (5000, 8), (65536, 4)] {
            client(&mut to, &mut from, size, batch, 50); // warm-up
            // How many bytes arrive together depends on timing, so that a pool may still grow once: one of the runs must
            // do without.
            let allocations = (0..5).map(|_| client(&mut to, &mut from, size, batch, 200)).find(|n| *n == 0);
            assert_eq!(allocations, Some(0), "{name}: {size} bytes x {batch}");
        }
    });
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let exchange = exchange();
        tokio::time::timeout(3 * tcp::PATIENCE, exchange).await.expect(what);
    });
    load.join().unwrap();
}

/// One test, because the counter counts the whole process.
#[test]
fn no_allocation_per_message() {
    let (ours, theirs) = blocking_pair();
    measure("mirrored", ours.try_clone().unwrap(), ours, || async {
        let socket = tcp::datagram_socket(tokio_stream(theirs));
        ExchangePackets::mirrored(socket, Default::default(), Stop::new()).await.unwrap();
    });

    let (ours, theirs) = blocking_pair();
    measure("queue mirror", ours.try_clone().unwrap(), ours, || async {
        let socket = tcp::datagram_socket(tokio_stream(theirs));
        ExchangePackets::new(socket, mirror_datagram(Default::default()), Default::default(), Stop::new())
            .await
            .unwrap();
    });

    let ((ours, left), (there, right)) = (blocking_pair(), blocking_pair());
    measure("messages", ours.try_clone().unwrap(), there.try_clone().unwrap(), || async {
        drop((ours, there));
        let (left, right) = (tcp::datagram_socket(tokio_stream(left)), tcp::datagram_socket(tokio_stream(right)));
        ExchangePackets::new(left, right, Default::default(), Stop::new()).await.unwrap();
    });

    for splices in [false, true] {
        let ((ours, left), (there, right)) = (blocking_pair(), blocking_pair());
        measure("bytes", ours.try_clone().unwrap(), there.try_clone().unwrap(), || async {
            drop((ours, there));
            let left = tcp::stream_socket(tokio_stream(left), splices);
            let right = tcp::stream_socket(tokio_stream(right), splices);
            ExchangeBytes::new(left, right, Default::default(), Stop::new()).await.unwrap();
        });
    }

    let (ours, theirs) = blocking_pair();
    measure("byte mirror", ours.try_clone().unwrap(), ours, || async {
        let socket = tcp::stream_socket(tokio_stream(theirs), true);
        ExchangeBytes::new(socket, mirror_stream(Default::default()), Default::default(), Stop::new()).await.unwrap();
    });
}
