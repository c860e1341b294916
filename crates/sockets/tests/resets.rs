//! Resets of message sockets over real TCP.

mod tcp;

use sockets::{
    endpoint::mirror_datagram::mirror_datagram,
    exchange::{ExchangeOptions, ExchangePackets},
    stop::Stop,
};
use std::{io, time::Duration};
use tcp::{PATIENCE, datagram_socket, pair};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    time::timeout,
};

fn options() -> ExchangeOptions {
    ExchangeOptions { end_on_error: true, linger: Some(Duration::from_secs(1)), ..ExchangeOptions::default() }
}

#[tokio::test]
async fn a_reset_of_one_side_is_a_reset_of_the_other() {
    for options in [ExchangeOptions::default(), options()] {
        for from_left in [true, false] {
            let ((a, left), (b, right)) = (pair().await, pair().await);
            let exchange =
                ExchangePackets::new(datagram_socket(left), datagram_socket(right), options.clone(), Stop::new());
            let session = tokio::spawn(exchange);
            let (mut dies, mut lives) = if from_left { (a, b) } else { (b, a) };
            dies.write_all(b"before").await.unwrap();
            let mut before = [0; 6];
            timeout(PATIENCE, lives.read_exact(&mut before)).await.expect("hangs").unwrap();
            lives.write_all(b"unread data does not hide it").await.unwrap();
            tcp::reset(dies);
            let error = timeout(PATIENCE, session).await.expect("hangs").unwrap().unwrap_err();
            assert_eq!(error.error.kind(), io::ErrorKind::ConnectionReset);
            let rest = timeout(PATIENCE, lives.read_u8()).await.expect("hangs");
            assert_eq!(rest.unwrap_err().kind(), io::ErrorKind::ConnectionReset);
        }
    }
}

#[tokio::test]
async fn a_reset_is_noticed_while_the_other_side_is_stalled() {
    let ((mut a, left), (b, right)) = (pair().await, pair().await);
    let exchange = ExchangePackets::new(datagram_socket(left), datagram_socket(right), options(), Stop::new());
    let session = tokio::spawn(exchange);
    // Fills everything on the way, because `b` never reads.
    let full = async {
        let chunk = vec![0; 256 << 10];
        while let Ok(Ok(())) = timeout(Duration::from_millis(300), a.write_all(&chunk)).await {}
    };
    timeout(PATIENCE, full).await.expect("no bound");
    tcp::reset(a);
    let error = timeout(PATIENCE, session).await.expect("hangs").unwrap().unwrap_err();
    assert_eq!(error.error.kind(), io::ErrorKind::ConnectionReset);
    drop(b);
}

#[tokio::test]
async fn an_orderly_end_stays_orderly() {
    let ((mut a, left), (mut b, right)) = (pair().await, pair().await);
    let exchange = ExchangePackets::new(datagram_socket(left), datagram_socket(right), options(), Stop::new());
    let session = tokio::spawn(exchange);
    a.write_all(b"question").await.unwrap();
    a.shutdown().await.unwrap();
    let mut got = String::new();
    timeout(PATIENCE, b.read_to_string(&mut got)).await.expect("hangs").unwrap();
    assert_eq!(got, "question");
    b.write_all(b"answer").await.unwrap();
    drop(b);
    got.clear();
    timeout(PATIENCE, a.read_to_string(&mut got)).await.expect("hangs").unwrap();
    assert_eq!(got, "answer");
    timeout(PATIENCE, session).await.expect("hangs").unwrap().unwrap();
}

#[tokio::test]
async fn a_reset_ends_a_session_whose_other_side_has_no_kernel_socket() {
    let (a, left) = pair().await;
    let mirror = mirror_datagram(Default::default());
    let session = tokio::spawn(ExchangePackets::new(datagram_socket(left), mirror, options(), Stop::new()));
    tcp::reset(a);
    let error = timeout(PATIENCE, session).await.expect("hangs").unwrap().unwrap_err();
    assert_eq!(error.error.kind(), io::ErrorKind::ConnectionReset);
    let (a, left) = pair().await;
    let session = tokio::spawn(ExchangePackets::mirrored(datagram_socket(left), options(), Stop::new()));
    tcp::reset(a);
    let error = timeout(PATIENCE, session).await.expect("hangs").unwrap().unwrap_err();
    assert_eq!(error.error.kind(), io::ErrorKind::ConnectionReset);
}

#[tokio::test]
async fn a_reset_after_close_is_an_orderly_end() {
    for close_first in [true, false] {
        let ((mut a, left), (mut b, right)) = (pair().await, pair().await);
        a.write_all(if close_first { tcp::CLOSE } else { b"no close" }).await.unwrap();
        // The peer does not read what is sent to it, so that closing resets the connection, as many do.
        tcp::reset(a);
        let exchange = ExchangePackets::new(datagram_socket(left), datagram_socket(right), options(), Stop::new());
        let result = timeout(PATIENCE, exchange).await.expect("hangs");
        let mut rest = Vec::new();
        let end = timeout(PATIENCE, b.read_to_end(&mut rest)).await.expect("hangs");
        if close_first {
            result.unwrap();
            end.unwrap();
        } else {
            assert_eq!(result.unwrap_err().error.kind(), io::ErrorKind::ConnectionReset);
            assert_eq!(end.unwrap_err().kind(), io::ErrorKind::ConnectionReset);
        }
    }
}
