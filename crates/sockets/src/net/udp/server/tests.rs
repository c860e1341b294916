//! The whole server against sockets in memory: exact times, and a model that says which client gets what.

use super::*;
use crate::{
    datagram::Flags,
    testing::{Dice, drive},
};
use std::{
    collections::{HashMap, VecDeque},
    future::poll_fn,
    sync::{Mutex, MutexGuard},
};

/// Sockets in memory: what is put in `incoming` was received, what is sent is in `sent`.
#[derive(Clone, Default)]
struct Memory(Arc<Mutex<Wire>>);

#[derive(Default)]
struct Wire {
    incoming: VecDeque<io::Result<(SocketAddr, Vec<u8>)>>,
    sent: Vec<(SocketAddr, Vec<u8>)>,
    server: Option<std::task::Waker>,
}

impl Memory {
    fn wire(&self) -> MutexGuard<'_, Wire> {
        self.0.lock().unwrap()
    }

    fn send(&self, from: SocketAddr, datagram: &[u8]) {
        let mut wire = self.wire();
        wire.incoming.push_back(Ok((from, datagram.to_vec())));
        wire.server.take().into_iter().for_each(std::task::Waker::wake);
    }
}

impl Packets for Memory {
    fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut wire = self.wire();
        if wire.incoming.is_empty() {
            wire.server = Some(cx.waker().clone());
            return Poll::Pending;
        }
        Poll::Ready(Ok(()))
    }

    fn try_receive(&self, buf: &mut [u8]) -> io::Result<(usize, Received)> {
        let (from, datagram) = self.wire().incoming.pop_front().unwrap_or(Err(io::ErrorKind::WouldBlock.into()))?;
        let len = datagram.len().min(buf.len());
        buf[..len].copy_from_slice(&datagram[..len]);
        Ok((0, Received { len, from: Some(from), cut: len < datagram.len() }))
    }

    fn poll_send(
        &self,
        _: &mut Context<'_>,
        run: &[u8],
        size: usize,
        to: &(usize, SocketAddr),
    ) -> Poll<io::Result<()>> {
        self.wire().sent.extend(run.chunks(size).map(|datagram| (to.1, datagram.to_vec())));
        Poll::Ready(Ok(()))
    }

    fn local(&self, _: usize) -> Option<SocketAddr> {
        Some(at(1))
    }
}

fn at(port: usize) -> SocketAddr {
    ([127, 0, 0, 1], port as u16).into()
}

fn server(options: ServerOptions) -> (Memory, Server<Memory>) {
    let memory = Memory::default();
    (memory.clone(), Server::with(memory, options))
}

/// Polls once; the waker does nothing.
fn poll_next(server: &mut Server<Memory>) -> Option<(DatagramSocket, SocketAddr)> {
    match server.poll_next(&mut Context::from_waker(std::task::Waker::noop())) {
        Poll::Ready(new) => Some(new),
        Poll::Pending => None,
    }
}

/// One message that waits, without waiting for it. `Err`: the end.
fn read(socket: &mut DatagramSocket) -> Option<Result<Vec<u8>, ()>> {
    let reader = socket.read.as_mut().unwrap();
    let mut message = Vec::new();
    loop {
        match reader.poll_chunk(&mut Context::from_waker(std::task::Waker::noop()), 7) {
            Poll::Pending => return None,
            Poll::Ready(Ok(flags)) if flags.any(Flags::EOF) => return Some(Err(())),
            Poll::Ready(flags) => {
                message.extend_from_slice(reader.chunk_mut());
                reader.consume();
                if flags.unwrap().ends_message() {
                    return Some(Ok(message));
                }
            }
        }
    }
}

fn write(socket: &mut DatagramSocket, message: &[u8]) -> io::Result<()> {
    let mut message = message.to_vec();
    drive(poll_fn(|cx| socket.write.as_mut().unwrap().poll_write(cx, &mut message, Flags::NONE)))
}

fn has_hung_up(socket: &mut DatagramSocket) -> bool {
    let hangup = Pin::new(socket.hangup.as_mut().unwrap());
    hangup.poll(&mut Context::from_waker(std::task::Waker::noop())).is_ready()
}

#[tokio::test(start_paused = true)]
async fn each_address_is_a_client() {
    let (memory, mut server) = server(ServerOptions::default());
    for (from, datagram) in [(5, "a"), (6, "b"), (5, "c"), (5, ""), (6, "longer than seven")] {
        memory.send(at(from), datagram.as_bytes());
    }
    let (mut five, from) = poll_next(&mut server).unwrap();
    assert_eq!((from, five.info.describe()), (at(5), "udp-server:127.0.0.1:1 (127.0.0.1:5)".to_owned()));
    let (mut six, _) = poll_next(&mut server).unwrap();
    assert!(poll_next(&mut server).is_none());
    for expected in ["a", "c", ""] {
        assert_eq!(read(&mut five), Some(Ok(expected.into())));
    }
    assert_eq!([read(&mut six), read(&mut six)], [Some(Ok("b".into())), Some(Ok("longer than seven".into()))]);
    assert!(read(&mut five).is_none() && read(&mut six).is_none());
    write(&mut six, b"to six").unwrap();
    write(&mut five, b"to five").unwrap();
    assert_eq!(memory.wire().sent, [(at(6), b"to six".to_vec()), (at(5), b"to five".to_vec())]);
    // A client that has left is a new one when it comes again.
    assert_eq!(server.clients(), 2);
    drop(five);
    memory.send(at(5), b"again");
    let (mut again, _) = poll_next(&mut server).unwrap();
    assert_eq!((read(&mut again), server.clients()), (Some(Ok("again".into())), 2));
}

#[tokio::test(start_paused = true)]
async fn silence_is_measured_to_the_millisecond_and_sending_is_not_silent() {
    let timeout = Duration::from_millis(1000);
    let (memory, server) = server(ServerOptions { timeout: Some(timeout), ..ServerOptions::default() });
    let (to_test, mut sockets) = tokio::sync::mpsc::unbounded_channel();
    let mut server = server;
    let serving = tokio::spawn(async move {
        loop {
            to_test.send(poll_fn(|cx| server.poll_next(cx)).await.0).ok().unwrap();
        }
    });
    let start = Instant::now();
    memory.send(at(5), b"");
    let mut quiet = sockets.recv().await.unwrap();
    memory.send(at(6), b"");
    let mut heard = sockets.recv().await.unwrap();
    memory.send(at(7), b"");
    let mut told = sockets.recv().await.unwrap();
    sleep(Duration::from_millis(600)).await;
    memory.send(at(6), b"");
    write(&mut told, b"news").unwrap();
    let hangup = quiet.hangup.take().unwrap();
    hangup.await;
    assert_eq!(start.elapsed(), timeout);
    assert!(!has_hung_up(&mut heard) && !has_hung_up(&mut told));
    let waiting = [heard.hangup.take().unwrap(), told.hangup.take().unwrap()];
    for hangup in waiting {
        hangup.await;
        assert_eq!(start.elapsed(), Duration::from_millis(1600));
    }
    assert_eq!(write(&mut told, b"late").unwrap_err().kind(), io::ErrorKind::NotConnected);
    assert_eq!(read(&mut quiet), Some(Ok(vec![])), "what came before is not lost");
    assert_eq!(read(&mut quiet), Some(Err(())));
    serving.abort();
}

#[tokio::test(start_paused = true)]
async fn a_full_queue_drops_or_waits() {
    for backpressure in [false, true] {
        let (memory, mut server) = server(ServerOptions { queue: 3, backpressure, ..ServerOptions::default() });
        for n in 0..6u8 {
            memory.send(at(5), &[n]);
        }
        let (mut socket, _) = poll_next(&mut server).unwrap();
        memory.send(at(6), b"other");
        let other = poll_next(&mut server);
        assert_eq!(other.is_none(), backpressure, "with backpressure everybody waits");
        let mut got = Vec::new();
        while let Some(message) = read(&mut socket) {
            got.push(message.unwrap()[0]);
            let _ = poll_next(&mut server);
        }
        assert_eq!(got, if backpressure { &[0, 1, 2, 3, 4, 5][..] } else { &[0, 1, 2] });
        assert_eq!(server.clients(), if backpressure { 1 } else { 2 });
    }
}

/// Sends to one client whose session does not read yet; how many of the datagrams reach it, and of another client's.
fn kept(options: ServerOptions, lens: &[usize], others: &[usize]) -> (usize, usize) {
    let (memory, mut server) = server(options);
    let mut sockets = vec![];
    for (from, len) in lens.iter().map(|len| (5, len)).chain(others.iter().map(|len| (6, len))) {
        memory.send(at(from), &vec![from as u8; *len]);
        sockets.extend(poll_next(&mut server).map(|new| new.0));
    }
    let mut counts = sockets.iter_mut().map(|socket| std::iter::from_fn(|| read(socket)).count());
    (counts.next().unwrap(), counts.next().unwrap_or(0))
}

#[tokio::test(start_paused = true)]
async fn bytes_that_wait_for_one_client_are_bounded() {
    let options = |queue_bytes| ServerOptions { queue_bytes, ..ServerOptions::default() };
    let record = 4;
    // At the limit, and one byte over it.
    assert_eq!(kept(options(3 * (10 + record)), &[10, 10, 10], &[]).0, 3);
    assert_eq!(kept(options(3 * (10 + record)), &[10, 10, 11], &[]).0, 2);
    assert_eq!(kept(options(3 * (10 + record)), &[10, 10, 10, 0], &[]).0, 3);
    // What is smaller still fits behind what did not.
    assert_eq!(kept(options(3 * (10 + record)), &[10, 10, 11, 9], &[]).0, 3);
    // One always may wait, and others have their own.
    assert_eq!(kept(options(1), &[60_000, 0], &[9000, 1]), (1, 1));
    // As it is: 64 of the longest that there are.
    let longest = [65_527; 65];
    assert_eq!(kept(ServerOptions::default(), &longest[..64], &[]).0, 64);
    assert_eq!(kept(ServerOptions::default(), &longest, &[]).0, 64);
}

#[tokio::test(start_paused = true)]
async fn bytes_that_wait_for_all_clients_are_bounded() {
    let options = |total_bytes| ServerOptions { total_bytes, ..ServerOptions::default() };
    let record = 4;
    assert_eq!(kept(options(2 * (5000 + record)), &[5000], &[5000]), (1, 1));
    assert_eq!(kept(options(2 * (5000 + record)), &[5000], &[5001]), (1, 0));
    assert_eq!(kept(options(2 * (5000 + record)), &[5000, 5000], &[2000, 0]), (2, 1), "a small one always may");
    assert_eq!(kept(options(1), &[65_527], &[5000]), (1, 0), "the first one always may");
}

#[tokio::test(start_paused = true)]
async fn room_is_given_back_by_those_who_read_and_those_who_leave() {
    let options = ServerOptions { queue_bytes: 10_008, total_bytes: 15_012, ..ServerOptions::default() };
    let (memory, mut server) = server(options);
    let send = |server: &mut Server<Memory>, from| {
        memory.send(at(from), &[7; 5000]);
        let new = poll_next(server).map(|new| new.0);
        (new, server.room.used())
    };
    let (five, six) = (send(&mut server, 5).0, send(&mut server, 6).0);
    let (mut five, mut six) = (five.unwrap(), six.unwrap());
    assert_eq!(send(&mut server, 5).1, 15_012);
    assert_eq!(send(&mut server, 6).1, 15_012, "no room");
    // A batch counts until all of it was taken.
    assert_eq!((read(&mut five).unwrap().unwrap().len(), server.room.used()), (5000, 15_012));
    assert_eq!((read(&mut five).unwrap().unwrap().len(), server.room.used()), (5000, 5004));
    assert_eq!((read(&mut six).unwrap().unwrap().len(), server.room.used()), (5000, 0));
    // Half a batch taken over, and something behind it.
    send(&mut server, 5);
    send(&mut server, 5);
    read(&mut five).unwrap().unwrap();
    assert_eq!(send(&mut server, 6).1, 15_012);
    drop(five);
    assert_eq!(server.room.used(), 5004);
    drop(six);
    assert_eq!(server.room.used(), 0);
}

/// Whatever the limit is, with backpressure nothing is lost and nobody waits forever.
#[tokio::test(start_paused = true)]
async fn backpressure_by_bytes_loses_nothing() {
    for (queue_bytes, total_bytes) in [(1, usize::MAX), (2000, usize::MAX), (usize::MAX, 1), (usize::MAX, 9000), (1, 1)]
    {
        let options = ServerOptions { queue_bytes, total_bytes, backpressure: true, ..ServerOptions::default() };
        let (memory, mut server) = server(options);
        for n in 0..30_u8 {
            memory.send(at(5 + usize::from(n % 3)), &vec![n; 100 * usize::from(n) + 1]);
        }
        let reading = async {
            let mut readers = tokio::task::JoinSet::new();
            for _ in 0..3 {
                let (mut socket, from) = poll_fn(|cx| server.poll_next(cx)).await;
                readers.spawn(async move {
                    let reader = socket.read.as_mut().unwrap();
                    for n in (0..30).filter(|n| 5 + n % 3 == usize::from(from.port())) {
                        let flags = poll_fn(|cx| reader.poll_chunk(cx, usize::MAX)).await.unwrap();
                        assert!(flags.ends_message());
                        assert_eq!(reader.chunk_mut(), vec![n as u8; 100 * n + 1]);
                        reader.consume();
                    }
                    socket
                });
            }
            let all = async {
                while let Some(done) = readers.join_next().await {
                    done.unwrap();
                }
            };
            tokio::select! {
                () = all => {}
                _ = poll_fn(|cx| server.poll_next(cx)) => panic!("a fourth client"),
            }
        };
        let patience = Duration::from_secs(3600);
        let done = tokio::time::timeout(patience, reading).await;
        done.unwrap_or_else(|_| panic!("{queue_bytes} bytes each, {total_bytes} in all: it hangs"));
    }
}

#[tokio::test(start_paused = true)]
async fn waiting_for_a_client_ends_when_it_leaves() {
    let (memory, mut server) = server(ServerOptions { queue: 1, backpressure: true, ..ServerOptions::default() });
    for n in 0..3u8 {
        memory.send(at(5), &[n]);
    }
    memory.send(at(6), b"other");
    let (socket, _) = poll_next(&mut server).unwrap();
    let serving = tokio::spawn(async move { poll_fn(|cx| server.poll_next(cx)).await.1 });
    tokio::task::yield_now().await;
    assert!(!serving.is_finished());
    drop(socket);
    // What came for it meanwhile makes a new client of the same address.
    assert_eq!(serving.await.unwrap(), at(5));
}

#[tokio::test(start_paused = true)]
async fn errors_of_receiving_end_nothing_and_do_not_spin() {
    let (memory, mut server) = server(ServerOptions::default());
    for _ in 0..100 {
        memory.wire().incoming.push_back(Err(io::ErrorKind::ConnectionRefused.into()));
    }
    memory.send(at(5), b"after");
    let start = Instant::now();
    let (mut socket, _) = poll_fn(|cx| server.poll_next(cx)).await;
    assert_eq!(read(&mut socket), Some(Ok("after".into())));
    assert!(start.elapsed() >= PAUSE * 12, "{:?}", start.elapsed());
}

#[tokio::test(start_paused = true)]
async fn what_does_not_fit_into_a_smaller_buffer_is_cut() {
    let (memory, mut server) = server(ServerOptions { buffer_size: 10, ..ServerOptions::default() });
    memory.send(at(5), b"0123456789");
    memory.send(at(5), b"0123456789abc");
    let (mut socket, _) = poll_next(&mut server).unwrap();
    assert!(poll_next(&mut server).is_none());
    assert_eq!(
        [read(&mut socket), read(&mut socket)],
        [Some(Ok(b"0123456789".into())), Some(Ok(b"0123456789".into()))]
    );
    assert_eq!(server.cut.rest(), None, "it was told");
}

#[tokio::test(start_paused = true)]
async fn a_burst_of_64_large_datagrams_waits_for_a_session_that_is_slow_to_begin() {
    let (memory, mut server) = server(ServerOptions::default());
    let datagram = |n: u8| vec![n; 60_000 + usize::from(n)];
    for n in 0..64 {
        memory.send(at(5), &datagram(n));
    }
    let (mut socket, _) = poll_next(&mut server).unwrap();
    assert!(poll_next(&mut server).is_none());
    for n in 0..64 {
        assert!(read(&mut socket) == Some(Ok(datagram(n))), "{n}");
    }
    assert!(read(&mut socket).is_none());
}

#[tokio::test(start_paused = true)]
async fn only_the_first_gets_in_when_the_door_is_closed() {
    let (memory, mut server) = server(ServerOptions::default());
    memory.send(at(5), b"a");
    let (mut socket, _) = poll_next(&mut server).unwrap();
    server.close_door();
    memory.send(at(6), b"b");
    memory.send(at(5), b"c");
    assert!(poll_next(&mut server).is_none());
    assert_eq!([read(&mut socket), read(&mut socket)], [Some(Ok("a".into())), Some(Ok("c".into()))]);
}

/// Clients with their queues in the order of their last datagram.
struct Model {
    options: ServerOptions,
    clients: Vec<(usize, VecDeque<Vec<u8>>)>,
    hung_up: Vec<usize>,
}

impl Model {
    /// Whether it makes a new client.
    fn datagram(&mut self, from: usize, datagram: Vec<u8>) -> bool {
        if let Some(i) = self.clients.iter().position(|c| c.0 == from) {
            let mut client = self.clients.remove(i);
            if client.1.len() < self.options.queue {
                client.1.push_back(datagram);
            }
            self.clients.push(client);
            return false;
        }
        while self.clients.len() >= self.options.max_clients {
            self.hung_up.push(self.clients.remove(0).0);
        }
        self.clients.push((from, [datagram].into()));
        true
    }
}

#[tokio::test(start_paused = true)]
async fn clients_get_what_the_model_says() {
    for seed in 0..300 {
        let mut dice = Dice::new(seed);
        let options =
            ServerOptions { queue: 1 + dice.below(4), max_clients: 1 + dice.below(5), ..ServerOptions::default() };
        let (memory, mut server) = server(options.clone());
        let mut model = Model { options, clients: vec![], hung_up: vec![] };
        let mut sockets: HashMap<usize, DatagramSocket> = HashMap::new();
        for step in 0..300 {
            let who = dice.below(8);
            match dice.below(6) {
                0..3 => {
                    let datagram = format!("{step}").repeat(dice.below(5)).into_bytes();
                    memory.send(at(who), &datagram);
                    let is_new = model.datagram(who, datagram);
                    let new = poll_next(&mut server);
                    assert_eq!(new.is_some(), is_new, "seed {seed} step {step}");
                    for gone in model.hung_up.drain(..) {
                        let mut socket = sockets.remove(&gone).unwrap();
                        assert!(has_hung_up(&mut socket), "seed {seed} step {step}: {gone} is the stalest");
                    }
                    if let Some((socket, from)) = new {
                        assert_eq!(from, at(who));
                        sockets.insert(who, socket);
                    }
                }
                3..5 => {
                    if let Some(socket) = sockets.get_mut(&who) {
                        let client = model.clients.iter_mut().find(|c| c.0 == who).unwrap();
                        assert_eq!(read(socket), client.1.pop_front().map(Ok), "seed {seed} step {step}");
                    }
                }
                _ => {
                    if sockets.remove(&who).is_some() {
                        model.clients.retain(|c| c.0 != who);
                    }
                }
            }
            assert!(sockets.values_mut().all(|socket| !has_hung_up(socket)), "seed {seed} step {step}");
        }
    }
}
