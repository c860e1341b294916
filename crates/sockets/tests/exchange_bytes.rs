//! Byte exchanges: spliced and copied over loopback TCP, ends and errors in memory.

mod tcp;

use sockets::{
    copy::{CopyBytes, ExchangeBytes},
    endpoint::mirror_stream::{MirrorStreamOptions, mirror_stream},
    exchange::{Direction, ExchangeBytesOptions, ExchangeError, Part},
    hangup::Hangup,
    socket::StreamSocket,
    stop::Stop,
    stream::{StreamRead, StreamWrite},
};
use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};
use tcp::{PATIENCE, pair, stream_socket};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream, Interest, ReadBuf, duplex, split},
    net::TcpStream,
    time::{sleep, timeout},
};

struct Read<T>(T);
struct Write<T>(T);

impl<T: AsyncRead + Unpin> AsyncRead for Read<T> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buf)
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Write<T> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, buf)
    }
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }
    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}

impl<T: AsyncRead + Send + Unpin> StreamRead for Read<T> {}
impl<T: AsyncWrite + Send + Unpin> StreamWrite for Write<T> {}

/// A socket in memory and the peer's end of it.
fn memory() -> (DuplexStream, StreamSocket) {
    let (peer, ours) = duplex(1000);
    let (read, write) = split(ours);
    let (read, write) = (Box::new(Read(read)), Box::new(Write(write)));
    (peer, StreamSocket { read: Some(read), write: Some(write), ..StreamSocket::default() })
}

fn run(
    left: StreamSocket,
    right: StreamSocket,
    options: ExchangeBytesOptions,
) -> tokio::task::JoinHandle<Result<(), ExchangeError>> {
    tokio::spawn(ExchangeBytes::new(left, right, options, Stop::new()))
}

/// Is anything to be read within this time of a paused clock?
async fn is_silent(peer: &mut DuplexStream) -> bool {
    timeout(Duration::from_secs(1000), peer.read_u8()).await.is_err()
}

async fn rest(peer: &mut (impl AsyncRead + Unpin)) -> String {
    let mut all = String::new();
    timeout(PATIENCE, peer.read_to_string(&mut all)).await.expect("no end").unwrap();
    all
}

/// MiB that differ everywhere.
fn content(seed: u64, len: usize) -> Vec<u8> {
    let mut x = seed;
    (0..len)
        .map(|_| {
            x = x.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            (x >> 56) as u8
        })
        .collect()
}

#[tokio::test]
async fn mebibytes_pass_unchanged_and_half_close_is_kept() {
    for splices in [true, false] {
        for size in [None, Some(5000)] {
            let ((mut a, left), (mut b, right)) = (pair().await, pair().await);
            let options =
                ExchangeBytesOptions { buffer_size_forward: size, buffer_size_reverse: size, ..Default::default() };
            let session = run(stream_socket(left, splices), stream_socket(right, splices), options);
            let (there, back) = (content(1, 9 << 20), content(2, 5 << 20));
            // The answer begins only after the end of the question, so that it needs half-close.
            let asks = async {
                a.write_all(&there).await.unwrap();
                a.shutdown().await.unwrap();
                let mut got = Vec::new();
                a.read_to_end(&mut got).await.unwrap();
                got
            };
            let answers = async {
                let mut got = Vec::new();
                b.read_to_end(&mut got).await.unwrap();
                b.write_all(&back).await.unwrap();
                b.shutdown().await.unwrap();
                got
            };
            let (got_back, got_there) = timeout(PATIENCE, async { tokio::join!(asks, answers) }).await.expect("hangs");
            assert!(got_there == there && got_back == back, "splices {splices} size {size:?}");
            timeout(PATIENCE, session).await.expect("hangs").unwrap().unwrap();
        }
    }
}

#[tokio::test]
async fn a_stalled_peer_bounds_what_is_read() {
    for splices in [true, false] {
        let ((a, left), (mut b, right)) = (pair().await, pair().await);
        for socket in [&a, &left, &b, &right] {
            let socket = socket2::SockRef::from(socket);
            socket.set_send_buffer_size(16 << 10).unwrap();
            socket.set_recv_buffer_size(16 << 10).unwrap();
        }
        let session = run(stream_socket(left, splices), stream_socket(right, splices), Default::default());
        let sent = content(3, 64 << 10);
        let mut total = 0;
        // Nobody reads: sooner or later the socket takes no more.
        while timeout(Duration::from_millis(300), a.writable()).await.is_ok() {
            match a.try_write(&sent) {
                Ok(n) => total += n,
                Err(e) => assert_eq!(e.kind(), io::ErrorKind::WouldBlock),
            }
            assert!(total < 16 << 20, "no bound");
        }
        drop(a);
        let mut got = Vec::new();
        timeout(PATIENCE, b.read_to_end(&mut got)).await.expect("hangs").unwrap();
        assert_eq!(got.len(), total);
        drop(b);
        timeout(PATIENCE, session).await.expect("hangs").unwrap().unwrap();
    }
}

async fn is_reset(peer: &mut TcpStream) -> bool {
    let mut all = Vec::new();
    match timeout(PATIENCE, peer.read_to_end(&mut all)).await.expect("hangs") {
        Ok(_) => false,
        Err(e) => e.kind() == io::ErrorKind::ConnectionReset,
    }
}

#[tokio::test]
async fn a_reset_of_one_side_is_a_reset_of_the_other() {
    for splices in [true, false] {
        for from_left in [true, false] {
            let ((a, left), (b, right)) = (pair().await, pair().await);
            let session = run(stream_socket(left, splices), stream_socket(right, splices), Default::default());
            let (dies, mut lives) = if from_left { (a, b) } else { (b, a) };
            lives.write_all(b"unread data does not hide it").await.unwrap();
            tcp::reset(dies);
            let error = timeout(PATIENCE, session).await.expect("hangs").unwrap().unwrap_err();
            assert_eq!(error.error.kind(), io::ErrorKind::ConnectionReset);
            assert!(is_reset(&mut lives).await);
        }
    }
}

/// Splicing alone stops at the mark for ever.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn urgent_data_does_not_stop_a_spliced_session() {
    for inline in [true, false] {
        let ((mut a, left), (mut b, right)) = (pair().await, pair().await);
        socket2::SockRef::from(&left).set_out_of_band_inline(inline).unwrap();
        let session = run(stream_socket(left, true), stream_socket(right, true), ExchangeBytesOptions::default());
        a.write_all(b"before").await.unwrap();
        assert_eq!(socket2::SockRef::from(&a).send_out_of_band(b"!").unwrap(), 1);
        a.write_all(b"behind").await.unwrap();
        let expected: &[u8] = if inline { b"before!behind" } else { b"beforebehind" };
        let mut got = vec![0; expected.len()];
        timeout(PATIENCE, b.read_exact(&mut got)).await.expect("hangs").unwrap();
        assert_eq!(got, expected);
        // And goes on as before.
        let much = content(9, 3 << 20);
        let mut got = vec![0; much.len()];
        let both = async { tokio::join!(a.write_all(&much), b.read_exact(&mut got)) };
        let (sent, read) = timeout(PATIENCE, both).await.expect("hangs");
        sent.unwrap();
        read.unwrap();
        assert!(got == much);
        drop((a, b));
        timeout(PATIENCE, session).await.expect("hangs").unwrap().unwrap();
    }
}

/// The sink takes a thousand bytes at a time, so that all of it can only arrive if the session waits.
#[tokio::test]
async fn last_words_before_a_reset_arrive_before_the_reset() {
    for splices in [true, false] {
        for from_left in [true, false] {
            let ((a, left), (b, right)) = (pair().await, pair().await);
            let (mut dies, mut lives) = if from_left { (a, b) } else { (b, a) };
            let words = content(3, 20_000);
            dies.write_all(&words).await.unwrap();
            tcp::reset(dies);
            // All of it and the reset are there before the exchange looks for the first time.
            let reset = if from_left { &left } else { &right }.ready(Interest::ERROR);
            timeout(PATIENCE, reset).await.expect("hangs").unwrap();
            let session =
                run(stream_socket(left, splices), stream_socket(right, splices), ExchangeBytesOptions::default());
            let error = timeout(PATIENCE, session).await.expect("hangs").unwrap().unwrap_err();
            assert_eq!(error.error.kind(), io::ErrorKind::ConnectionReset);
            let mut got = Vec::new();
            let end = timeout(PATIENCE, lives.read_to_end(&mut got)).await.expect("hangs");
            assert_eq!(end.unwrap_err().kind(), io::ErrorKind::ConnectionReset);
            assert!(got == words, "splices {splices}: {} of {} bytes", got.len(), words.len());
        }
    }
}

#[tokio::test]
async fn what_came_before_a_reset_reaches_a_sink_that_cannot_be_reset() {
    for splices in [true, false] {
        let (mut a, left) = pair().await;
        let (mut peer, right) = memory();
        let sent = content(7, 50_000);
        a.write_all(&sent).await.unwrap();
        tcp::reset(a);
        let session = run(stream_socket(left, splices), right, Default::default());
        let mut got = Vec::new();
        timeout(PATIENCE, peer.read_to_end(&mut got)).await.expect("no end").unwrap();
        assert!(got == sent, "{} of {} bytes", got.len(), sent.len());
        let error = timeout(PATIENCE, session).await.expect("hangs").unwrap().unwrap_err();
        assert_eq!(error.error.kind(), io::ErrorKind::ConnectionReset);
    }
}

#[tokio::test(start_paused = true)]
async fn an_end_goes_on_and_the_other_direction_too() {
    let ((mut a, left), (mut b, right)) = (memory(), memory());
    let session = run(left, right, Default::default());
    a.write_all(b"question").await.unwrap();
    a.shutdown().await.unwrap();
    assert_eq!(rest(&mut b).await, "question");
    sleep(Duration::from_secs(10_000)).await;
    b.write_all(b"answer").await.unwrap();
    drop(b);
    assert_eq!(rest(&mut a).await, "answer");
    session.await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn exit_on_eof_drops_the_other_sink() {
    let ((mut a, left), (mut b, right)) = (memory(), memory());
    let session = run(left, right, ExchangeBytesOptions { exit_on_eof: true, ..Default::default() });
    a.write_all(b"all of it").await.unwrap();
    a.shutdown().await.unwrap();
    session.await.unwrap().unwrap();
    assert_eq!((rest(&mut b).await, rest(&mut a).await), ("all of it".to_owned(), String::new()));
}

#[tokio::test(start_paused = true)]
async fn unidirectional_shuts_the_other_writer_down_at_once_or_late() {
    for reverse in [false, true] {
        for late_drop in [false, true] {
            let ((mut a, left), (mut b, right)) = (memory(), memory());
            let options = ExchangeBytesOptions {
                unidirectional: !reverse,
                unidirectional_reverse: reverse,
                late_drop,
                ..Default::default()
            };
            let session = run(left, right, options);
            let (from, to) = if reverse { (&mut b, &mut a) } else { (&mut a, &mut b) };
            to.write_all(b"never read").await.unwrap();
            if late_drop {
                assert!(is_silent(from).await);
            } else {
                assert_eq!(rest(from).await, "");
            }
            from.write_all(b"data").await.unwrap();
            from.shutdown().await.unwrap();
            assert_eq!((rest(to).await, rest(from).await), ("data".to_owned(), String::new()));
            session.await.unwrap().unwrap();
        }
    }
}

#[tokio::test(start_paused = true)]
async fn nothing_is_copied_when_both_directions_are_off_or_missing() {
    let ((mut a, left), (mut b, right)) = (memory(), memory());
    a.write_all(b"x").await.unwrap();
    let options = ExchangeBytesOptions {
        unidirectional: true,
        unidirectional_reverse: true,
        late_drop: true,
        ..Default::default()
    };
    run(left, right, options).await.unwrap().unwrap();
    assert_eq!((rest(&mut a).await, rest(&mut b).await), (String::new(), String::new()));
    run(StreamSocket::default(), StreamSocket::default(), Default::default()).await.unwrap().unwrap();
    let ((mut a, left), (mut b, right)) = (memory(), memory());
    let session = run(StreamSocket { read: None, ..left }, right, Default::default());
    b.write_all(b"one way").await.unwrap();
    b.shutdown().await.unwrap();
    assert_eq!((rest(&mut a).await, rest(&mut b).await), ("one way".to_owned(), String::new()));
    session.await.unwrap().unwrap();
}

/// Fails when read.
struct Broken;

impl AsyncRead for Broken {
    fn poll_read(self: Pin<&mut Self>, _: &mut Context<'_>, _: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Err(io::ErrorKind::InvalidData.into()))
    }
}

impl StreamRead for Broken {}

#[tokio::test(start_paused = true)]
async fn an_error_ends_both_directions() {
    let ((mut a, left), (mut b, mut right)) = (memory(), memory());
    right.read = Some(Box::new(Broken));
    let error = run(left, right, Default::default()).await.unwrap();
    let error = error.unwrap_err();
    let kind = io::ErrorKind::InvalidData;
    assert_eq!((error.direction, error.part, error.error.kind()), (Direction::Reverse, Part::Source, kind));
    assert_eq!((rest(&mut a).await, rest(&mut b).await), (String::new(), String::new()));
    // A sink whose peer is gone.
    let ((mut a, left), (b, right)) = (memory(), memory());
    drop(b);
    a.write_all(b"x").await.unwrap();
    let error = CopyBytes::new(left.read.unwrap(), right.write.unwrap(), None).await.unwrap_err();
    assert_eq!((error.part, error.error.kind()), (Part::Sink, io::ErrorKind::BrokenPipe));
}

#[tokio::test(start_paused = true)]
async fn a_hangup_ends_the_session_at_once() {
    let ((_a, left), (_b, right)) = (memory(), memory());
    let hangup = Some(Hangup::new(sleep(Duration::from_secs(5))));
    let start = tokio::time::Instant::now();
    run(left, StreamSocket { hangup, ..right }, Default::default()).await.unwrap().unwrap();
    assert_eq!(start.elapsed().as_secs(), 5);
}

#[tokio::test(start_paused = true)]
async fn drain_ends_top_level_sessions_only() {
    for top in [true, false] {
        let ((mut a, left), (mut b, right)) = (memory(), memory());
        let root = Stop::new();
        let stop = if top { root.clone() } else { root.child() };
        let session = tokio::spawn(ExchangeBytes::new(left, right, Default::default(), stop));
        a.write_all(b"x").await.unwrap();
        assert_eq!(b.read_u8().await.unwrap(), b'x');
        root.drain();
        if top {
            session.await.unwrap().unwrap();
        } else {
            assert!(is_silent(&mut b).await);
            a.write_all(b"y").await.unwrap();
            assert_eq!(b.read_u8().await.unwrap(), b'y');
            session.abort();
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_mirror_returns_everything() {
    let (mut a, left) = memory();
    let mirror = mirror_stream(MirrorStreamOptions { max_buf_size: Some(1024) });
    let session = run(left, mirror, Default::default());
    let sent = content(4, 300_000);
    let (mut from, mut to) = split(a);
    let (_, got) = tokio::join!(
        async {
            to.write_all(&sent).await.unwrap();
            to.shutdown().await.unwrap();
        },
        async {
            let mut got = Vec::new();
            from.read_to_end(&mut got).await.unwrap();
            got
        }
    );
    assert!(got == sent);
    session.await.unwrap().unwrap();
    a = from.unsplit(to);
    drop(a);
}

#[test]
fn the_exchange_is_small() {
    // Two directions with a window each and a pointer to what is rare.
    assert!(size_of::<ExchangeBytes>() <= 192, "{}", size_of::<ExchangeBytes>());
    fn is_send<T: Send>() {}
    is_send::<ExchangeBytes>();
    is_send::<CopyBytes>();
}
