//! Large buffers that somebody pins are a shortage for the whole process, so that this test has one of its own.

use sockets::{
    buffer::{LARGEST, Window, under_pressure},
    datagram::Flags,
    endpoint::literal::literal,
    overlay::ws::{WsOptions, ws_wrap},
};
use std::{io, task::Poll};

/// A frame of 200 kB, of which a half comes, up to the end: chunks until the error.
fn half_a_frame() -> (Vec<Flags>, usize) {
    let mut wire = vec![0x82, 127];
    wire.extend(200_000u64.to_be_bytes());
    wire.resize(wire.len() + 100_000, 7);
    let mut read = ws_wrap(WsOptions::default(), literal(wire)).read.unwrap();
    let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
    let (mut all, mut bytes) = (Vec::new(), 0);
    loop {
        match read.poll_chunk(&mut cx, usize::MAX) {
            Poll::Ready(Ok(flags)) => {
                all.push(flags - Flags::MORE);
                bytes += read.chunk_mut().len();
                read.consume();
            }
            Poll::Ready(Err(e)) => {
                assert_eq!(e.kind(), io::ErrorKind::UnexpectedEof);
                return (all, bytes);
            }
            Poll::Pending => panic!("literals never wait"),
        }
    }
}

#[test]
fn peers_that_stop_midway_pin_large_buffers_up_to_a_bound() {
    assert_eq!(half_a_frame(), (vec![], 0), "the frame is collected");
    let mut pinned = Vec::new();
    while !under_pressure() {
        let mut window = Window::new(3);
        window.reserve(LARGEST);
        pinned.push(window);
    }
    let (flags, bytes) = half_a_frame();
    assert_eq!(bytes, 100_000, "parts are handed on instead");
    assert!(flags.len() > 1 && flags.iter().all(|f| *f == Flags::PARTIAL), "{flags:?}");
    drop(pinned);
    assert_eq!(half_a_frame(), (vec![], 0));
}
