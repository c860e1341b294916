//! Costs of the WebSocket overlay that must not creep up: allocations per message, in both roles.

mod counting;

use sockets::{
    datagram::{BoxDatagramRead, BoxDatagramWrite, Flags},
    info::SocketInfo,
    overlay::ws::{Role, TextInvalid, WsOptions, deflate::Agreed, ws_wrap},
    random::{MaskKeys, Randomness},
    socket::StreamSocket,
    stream::{StreamRead, StreamWrite},
};
use std::{
    collections::VecDeque,
    io,
    pin::Pin,
    sync::{Arc, Mutex},
    task::{Context, Poll, Waker},
};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// A pipe in memory that has its memory from the beginning and takes at most `CAPACITY` bytes.
#[derive(Clone)]
struct Pipe(Arc<Mutex<VecDeque<u8>>>);

const CAPACITY: usize = 300_000;

impl Pipe {
    fn new() -> Self {
        Self(Arc::new(Mutex::new(VecDeque::with_capacity(CAPACITY))))
    }
}

impl AsyncRead for Pipe {
    fn poll_read(self: Pin<&mut Self>, _: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let mut bytes = self.0.lock().unwrap();
        if bytes.is_empty() {
            return Poll::Pending;
        }
        let front = bytes.as_slices().0;
        let n = front.len().min(buf.remaining());
        buf.put_slice(&front[..n]);
        bytes.drain(..n);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Pipe {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let mut bytes = self.0.lock().unwrap();
        let n = buf.len().min(CAPACITY - bytes.len());
        bytes.extend(&buf[..n]);
        if n == 0 { Poll::Pending } else { Poll::Ready(Ok(n)) }
    }
    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

impl StreamRead for Pipe {
    fn poll_readable(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.0.lock().unwrap().is_empty() { Poll::Pending } else { Poll::Ready(Ok(())) }
    }
}
impl StreamWrite for Pipe {}

fn socket(
    role: Role,
    keys: MaskKeys,
    read: &Pipe,
    write: &Pipe,
    deflate: Option<Agreed>,
) -> (BoxDatagramRead, BoxDatagramWrite) {
    let stream = StreamSocket {
        info: Arc::new(SocketInfo { deflate, ..SocketInfo::default() }),
        read: Some(Box::new(read.clone())),
        write: Some(Box::new(write.clone())),
        ..StreamSocket::default()
    };
    let options = WsOptions { role, keys, answer_close: true, text_invalid: TextInvalid::Fail, ..WsOptions::default() };
    let socket = ws_wrap(options, stream);
    (socket.read.unwrap(), socket.write.unwrap())
}

/// Moves what is ready from a reader to a writer, as an exchange does; returns messages moved.
fn echo(cx: &mut Context<'_>, read: &mut BoxDatagramRead, write: &mut BoxDatagramWrite) -> usize {
    let mut messages = 0;
    while let Poll::Ready(flags) = read.poll_chunk(cx, usize::MAX) {
        let flags = flags.unwrap();
        if write.poll_write(cx, read.chunk_mut(), flags).is_pending() {
            break;
        }
        read.consume();
        messages += usize::from(flags.ends_message());
    }
    let _ = write.poll_flush(cx);
    messages
}

fn agreed(context_takeover: bool) -> Agreed {
    Agreed {
        server_no_context_takeover: !context_takeover,
        client_no_context_takeover: !context_takeover,
        server_max_window_bits: 15,
        client_max_window_bits: 15,
    }
}

#[test]
fn messages_and_pings_cost_no_allocation_in_either_role() {
    messages_cost_no_allocation(None);
}

#[test]
fn compressed_messages_cost_no_allocation_in_either_role() {
    messages_cost_no_allocation(Some(agreed(false)));
    messages_cost_no_allocation(Some(agreed(true)));
}

fn messages_cost_no_allocation(deflate: Option<Agreed>) {
    let seeded = || Randomness::new(Some(1)).unwrap().mask_keys();
    let kinds = [seeded(), Randomness::new(None).unwrap().mask_keys(), MaskKeys::default()];
    // Where keys come from matters to no compressor.
    let kinds = kinds.into_iter().take(if deflate.is_some() { 1 } else { 3 });
    for keys in kinds {
        let (there, back) = (Pipe::new(), Pipe::new());
        let (mut client_read, mut client_write) = socket(Role::Client, keys, &back, &there, deflate);
        let (mut server_read, mut server_write) = socket(Role::Server, MaskKeys::default(), &there, &back, deflate);
        let mut cx = Context::from_waker(Waker::noop());
        let mut payload = vec![0; 200_000];
        let mut round = |size: usize, batch: usize, text: Flags| {
            let mut put = 0;
            let mut echoed = 0;
            while echoed < batch {
                if put < batch {
                    let more = if put + 1 < batch { Flags::MORE } else { Flags::NONE };
                    payload.fill(b'x'); // masked in place the last time
                    let chunk = &mut payload[..size];
                    if client_write.poll_write(&mut cx, chunk, text | more).is_ready() {
                        put += 1;
                    } else {
                        panic!("the pipe is too small for this test");
                    }
                }
                let flags = text | Flags::PING;
                assert!(client_write.poll_write(&mut cx, &mut b"alive".clone(), flags - Flags::TEXT).is_ready());
                let _ = client_write.poll_flush(&mut cx);
                echo(&mut cx, &mut server_read, &mut server_write);
                while let Poll::Ready(flags) = client_read.poll_chunk(&mut cx, usize::MAX) {
                    let flags = flags.unwrap();
                    let chunk = client_read.chunk_mut();
                    if flags.any(Flags::PONG) {
                        assert_eq!(chunk, b"alive");
                    } else {
                        assert!(chunk.iter().all(|b| *b == b'x'));
                        echoed += usize::from(flags.ends_message());
                    }
                    client_read.consume();
                }
            }
        };
        for (size, batch) in [(0, 1), (32, 1), (32, 64), (5000, 8), (65_536, 2), (200_000, 1)] {
            for text in [Flags::NONE, Flags::TEXT] {
                (0..10).for_each(|_| round(size, batch, text)); // warm-up
                let before = counting::on_this_thread();
                (0..50).for_each(|_| round(size, batch, text));
                assert_eq!(counting::on_this_thread() - before, 0, "{size} bytes x {batch}");
            }
        }
    }
}

#[test]
fn an_idle_websocket_keeps_little() {
    // Two halves in boxes and what they share; pools and buffers are not among it while nothing is said.
    let (there, back) = (Pipe::new(), Pipe::new());
    let mut cx = Context::from_waker(Waker::noop());
    for (deflate, most) in [(None, 7), (Some(agreed(false)), 9)] {
        let before = counting::on_this_thread();
        let (mut read, mut write) = socket(Role::Server, MaskKeys::default(), &there, &back, deflate);
        let made = counting::on_this_thread() - before;
        assert!(made <= most, "{made}"); // stream halves, info, control, ws halves; what compresses and what inflates
        assert!(read.poll_chunk(&mut cx, usize::MAX).is_pending());
        assert!(write.poll_flush(&mut cx).is_ready());
        assert_eq!(counting::on_this_thread() - before, made);
    }
}
