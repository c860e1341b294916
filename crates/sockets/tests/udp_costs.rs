//! What UDP costs once everything is warm: no allocation per datagram, for the server and for single sockets, and little
//! memory for a client that says nothing.

mod counting;
mod tcp;

use sockets::{
    endpoint::mirror_datagram::{MirrorDatagramOptions, mirror_datagram},
    exchange::{ExchangeOptions, ExchangePackets},
    info::SocketInfo,
    net::udp::{
        LONGEST, UdpOptions, open,
        server::{Server, ServerOptions},
        socket::{UdpSocketOptions, udp_socket},
    },
    socket::DatagramSocket,
    stop::Stop,
};
use std::{
    future::poll_fn,
    net::{SocketAddr, UdpSocket},
};

const ANY: &str = "127.0.0.1:0";

/// Sends `batch` datagrams and waits for as many, `rounds` times. Returns the allocations meanwhile.
fn rounds(client: &UdpSocket, size: usize, batch: usize, rounds: usize) -> usize {
    let (out, mut back) = (vec![7; size], vec![0; LONGEST]);
    let before = counting::in_process();
    for _ in 0..rounds {
        for _ in 0..batch {
            client.send(&out).unwrap();
        }
        for _ in 0..batch {
            assert_eq!(client.recv(&mut back).unwrap(), size);
        }
    }
    counting::in_process() - before
}

fn load(what: &str, address: SocketAddr) {
    let client = UdpSocket::bind(ANY).unwrap();
    client.connect(address).unwrap();
    client.set_read_timeout(Some(tcp::PATIENCE)).unwrap();
    for (size, batch) in [(32, 1), (32, 60), (1400, 20), (60_000, 2)] {
        rounds(&client, size, batch, 50); // warm-up
        // How many arrive together depends on timing, so that a pool may still grow once.
        let allocations = (0..5).map(|_| rounds(&client, size, batch, 200)).find(|n| *n == 0);
        assert_eq!(allocations, Some(0), "{what}: {size} bytes x {batch}");
    }
}

fn echo(socket: DatagramSocket) -> ExchangePackets {
    ExchangePackets::new(
        socket,
        mirror_datagram(MirrorDatagramOptions::default()),
        ExchangeOptions::default(),
        Stop::new(),
    )
}

#[test]
fn nothing_per_datagram_and_little_per_client() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let _inside = runtime.enter();
    let local = || open(ANY.parse().unwrap(), None, &UdpOptions::default()).unwrap();
    let socket = local();
    let address = socket.local_addr().unwrap();
    let rules = sockets::net::udp::PeerRules { redirect: true, ..Default::default() };
    let options = UdpSocketOptions { peers: Some((None, rules)), max_send: LONGEST, ..Default::default() };
    let bound = echo(udp_socket(socket, options, SocketInfo::default()));
    run(&runtime, "a bound socket", address, async { bound.await.unwrap() });

    let server_socket = local();
    let address = server_socket.local_addr().unwrap();
    let options = ServerOptions { timeout: Some(tcp::PATIENCE), ..ServerOptions::default() };
    let mut server = Server::new(vec![server_socket], options);
    run(&runtime, "a server", address, async move {
        loop {
            let (socket, _) = poll_fn(|cx| server.poll_next(cx)).await;
            tokio::spawn(echo(socket));
        }
    });
    idle_clients_own_little(&runtime);
}

/// The client in a thread of its own; what serves it may go on for ever.
fn run(runtime: &tokio::runtime::Runtime, what: &'static str, address: SocketAddr, serving: impl Future<Output = ()>) {
    let (done, over) = tokio::sync::oneshot::channel();
    let client = std::thread::spawn(move || {
        load(what, address);
        let _ = done.send(());
    });
    runtime.block_on(async {
        tokio::select! {
            _ = over => {}
            () = serving => panic!("{what} ended"),
        }
    });
    client.join().unwrap();
}

/// Clients that were answered once, with sessions that wait for more.
fn idle_clients_own_little(runtime: &tokio::runtime::Runtime) {
    const CLIENTS: usize = 500;
    let socket = open(ANY.parse().unwrap(), None, &UdpOptions::default()).unwrap();
    let address = socket.local_addr().unwrap();
    let mut server = Server::new(vec![socket], ServerOptions::default());
    let clients: Vec<_> = (0..CLIENTS).map(|_| UdpSocket::bind(ANY).unwrap()).collect();
    let mut sessions = Vec::with_capacity(CLIENTS);
    runtime.block_on(async {
        let mut before = 0;
        for (i, client) in clients.iter().enumerate() {
            if i == CLIENTS / 2 {
                before = counting::live_on_this_thread();
            }
            client.send_to(b"hello", address).unwrap();
            let (socket, _) = poll_fn(|cx| server.poll_next(cx)).await;
            let mut session = echo(socket);
            poll_fn(|cx| std::task::Poll::Ready(std::pin::Pin::new(&mut session).poll(cx).is_pending())).await;
            sessions.push(session);
        }
        let each = (counting::live_on_this_thread() - before) / (CLIENTS - CLIENTS / 2) as isize;
        assert!(each < 1600, "{each} bytes per client and its session");
    });
}
