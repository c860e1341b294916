//! What a session has handed to the kernel arrives, even if its peer talked to somebody who did not listen.

mod tcp;

use sockets::{
    copy::ExchangeBytes,
    exchange::{ExchangeBytesOptions, ExchangeOptions, ExchangePackets},
    stop::Stop,
};
use tcp::{PATIENCE, datagram_socket, pair, stream_socket};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpSocket, TcpStream},
    time::timeout,
};

/// Much more than the receiver's buffer takes, less than the sender's.
const LEN: usize = 200 << 10;

/// The peer's end, which has a small receive buffer, and ours.
async fn slow_pair() -> (TcpStream, TcpStream) {
    let listener = TcpSocket::new_v4().unwrap();
    listener.set_recv_buffer_size(4 << 10).unwrap();
    listener.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let listener = listener.listen(1).unwrap();
    let ours = TcpSocket::new_v4().unwrap();
    ours.set_send_buffer_size(4 * LEN as u32).unwrap();
    let (ours, theirs) = tokio::join!(ours.connect(listener.local_addr().unwrap()), listener.accept());
    (theirs.unwrap().0, ours.unwrap())
}

//= 6455-7.1.1-1 test
#[tokio::test]
async fn unread_answers_do_not_cost_the_end_of_what_was_sent() {
    for case in ["splice", "copy", "messages"] {
        let ((mut a, left), (mut b, right)) = (pair().await, slow_pair().await);
        // Nobody reads this: the reverse direction is off.
        b.write_all(b"answer").await.unwrap();
        let stop = Stop::new();
        let session = if case == "messages" {
            let options = ExchangeOptions { unidirectional: true, ..ExchangeOptions::default() };
            let (left, right) = (datagram_socket(left), datagram_socket(right));
            tokio::spawn(ExchangePackets::new(left, right, options, stop))
        } else {
            let options = ExchangeBytesOptions { unidirectional: true, ..ExchangeBytesOptions::default() };
            let splices = case == "splice";
            let (left, right) = (stream_socket(left, splices), stream_socket(right, splices));
            tokio::spawn(ExchangeBytes::new(left, right, options, stop))
        };
        a.write_all(&vec![7; LEN]).await.unwrap();
        a.shutdown().await.unwrap();
        timeout(PATIENCE, session).await.expect("hangs").unwrap().unwrap();
        let mut got = Vec::new();
        timeout(PATIENCE, b.read_to_end(&mut got)).await.expect("hangs").unwrap_or_else(|e| panic!("{case}: {e}"));
        assert_eq!(got.len(), LEN, "{case}");
    }
}
