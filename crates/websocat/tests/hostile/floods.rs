//! More than anybody asked for: of headers, pings, fragments, lengths, and of data that its sender never reads back.

use super::{
    client::{BINARY, CLOSE, CONTINUATION, Client, FIN, PING, assert_serves, frame, header, tcp},
    server::Server,
};
use std::io::Write as _;

const ECHO: &[&str] = &["-b", "ws-l:127.0.0.1:0", "mirror:"];

/// KiB that a server may keep of work well done: buffer pools of its threads, and what the allocator holds back.
const POOLS: u64 = 4 << 10;

#[test]
fn headers_without_end() {
    let mut server = Server::start(ECHO);
    assert_serves(&server);
    for line in ["X-Filler: 0123456789012345678901234567890123456789\r\n", "X: \r\n", "0123456789", "\r\n"] {
        let mut client = Client::raw(tcp(&server));
        client.send(b"GET / HTTP/1.1\r\n");
        let flood = line.repeat((32 << 20) / line.len());
        let sent = client.stuff(flood.as_bytes());
        assert!(sent < flood.len(), "it took {sent} bytes of `{line}`");
        client.ended();
    }
    server.assert_growth(POOLS);
    assert_serves(&server);
}

#[test]
fn more_pings_than_anybody_needs() {
    let mut server = Server::start(ECHO);
    let mut client = Client::connect(&server);
    // Not more than a server that has had enough still reads past, so that its Close arrives.
    client.send(&frame(FIN | PING, &[b'p'; 125]).repeat(2000));
    loop {
        let (first, payload) = client.next().unwrap();
        if first & 0x0f == CLOSE {
            assert_eq!(payload[..2], 1008u16.to_be_bytes());
            break;
        }
    }
    client.ended();
    server.assert_growth(POOLS);
    assert_serves(&server);
}

#[test]
fn pings_whose_pongs_are_never_read() {
    let mut server = Server::start(&[ECHO, &["--max-control-rate", "1000000"]].concat());
    assert_serves(&server);
    let mut client = Client::connect(&server);
    let pings = frame(FIN | PING, &[b'p'; 125]).repeat(200_000);
    client.stuff(&pings);
    server.assert_growth(POOLS);
    assert_serves(&server);
}

#[test]
fn lengths_beyond_all_memory() {
    let mut server = Server::start(ECHO);
    assert_serves(&server);
    // The top bit must be 0: a breach of the protocol.
    for length in [1 << 63, u64::MAX] {
        let mut client = Client::connect(&server);
        client.send(&header(FIN | BINARY, length));
        assert_eq!(client.closed(), 1002, "{length:x}");
        server.wait_for_log(&client.tcp.local_addr().unwrap().to_string(), 1);
    }
    // The longest there is: a message that is passed on while it comes.
    let mut client = Client::connect(&server);
    client.send(&header(FIN | BINARY, (1 << 63) - 1));
    let part = [b'd'; 1000];
    for _ in 0..10 {
        client.send(&part);
        client.data(1000);
    }
    drop(client);
    server.assert_growth(POOLS);
    assert_serves(&server);
}

#[test]
fn a_client_that_never_reads() {
    let mut server = Server::start(ECHO);
    assert_serves(&server);
    let mut client = Client::connect(&server);
    let message: Vec<u8> = (0..50_000).map(|i| (i % 251) as u8).collect();
    let frames = frame(FIN | BINARY, &message).repeat(1300); // 65 MB
    let sent = client.stuff(&frames);
    assert!(sent < frames.len(), "all of it went somewhere");
    server.assert_growth(POOLS);
    assert_serves(&server);
    // Nothing is lost either.
    let whole = sent / (frames.len() / 1300);
    for _ in 0..whole {
        assert!(client.data(message.len()) == message);
    }
}

#[test]
fn a_source_without_end_and_a_client_that_never_reads() {
    let mut server = Server::start(&["-b", "ws-l:127.0.0.1:0", "zero:"]);
    let clients: Vec<_> = (0..20).map(|_| Client::connect(&server)).collect();
    server.wait_until_it_rests(); // all of them are stuck
    server.assert_growth(POOLS + 20 * 512);
    drop(clients);
}

#[test]
fn a_million_fragments_of_one_byte() {
    const COUNT: usize = 1_000_000;
    for line in [ECHO, &["-b", "ws-l:127.0.0.1:0", "defragment:mirror:"]] {
        let mut server = Server::start(line);
        assert_serves(&server);
        let mut client = Client::connect(&server);
        let mut flood = frame(BINARY, b"0");
        for i in 1..COUNT - 1 {
            flood.extend(frame(CONTINUATION, &[b'0' + (i % 10) as u8]));
        }
        flood.extend(frame(FIN | CONTINUATION, b"9"));
        let mut to = client.tcp.try_clone().unwrap();
        let writer = std::thread::spawn(move || to.write_all(&flood).unwrap());
        let data = client.data(COUNT);
        assert!(data.iter().enumerate().all(|(i, byte)| *byte == b'0' + (i % 10) as u8));
        writer.join().unwrap();
        client.echo();
        server.assert_growth(POOLS + 4 * COUNT as u64 / 1024);
    }
}

/// One message of zeros that inflates to 1032 times its size, the most that DEFLATE can say: a literal, then copies of the
/// byte before that are 258 long and take two bits each, of which all are 0.
fn bomb(size: usize) -> Vec<u8> {
    // Not final, codes of its own (of 286, 1 and 18 symbols) and their lengths: 18 with one bit, 2 and 1 with two.
    let fields = [(0, 1), (2, 2), (29, 5), (0, 5), (14, 4)];
    let lengths_of_lengths = [0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 0, 2].map(|length| (length, 3));
    // Symbol 0 has two bits, 1 to 255 none (138 and 117), 256 has two, 257 to 284 none, 285 has one, distance 1 has one.
    // Codes go highest bit first: 18 is 0, 1 is 10, 2 is 11.
    let lengths = [(3, 2), (0, 1), (127, 7), (0, 1), (106, 7), (3, 2), (0, 1), (17, 7), (1, 2), (1, 2)];
    // The literal 0 is 10, and so many copies that the first byte of them ends here.
    let mut bits = vec![];
    for (value, count) in [&fields[..], &lengths_of_lengths, &lengths, &[(1, 2)]].concat() {
        bits.extend((0..count).map(|bit| value >> bit & 1 == 1));
    }
    let bytes = |bits: &[bool]| -> Vec<u8> {
        bits.chunks(8).map(|byte| byte.iter().rev().fold(0, |sum, bit| sum << 1 | u8::from(*bit))).collect()
    };
    let mut bomb = bytes(&bits);
    bomb.resize(size, 0);
    // An even number of zero bits, then 11 for the end of the block; the empty block behind it has lost its last bytes.
    bomb.push(3 << (bits.len() % 2));
    bomb
}

#[test]
fn compressed_bombs() {
    let mut server = Server::start(ECHO);
    assert_serves(&server);
    let bomb = bomb(1 << 20);
    for fragment in [bomb.len(), 10_000] {
        let mut client = Client::open(&server, "Sec-WebSocket-Extensions: permessage-deflate\r\n");
        let mut parts = bomb.chunks(fragment).peekable();
        let last = if parts.len() == 1 { FIN } else { 0 };
        let mut flood = frame(last | BINARY | 0x40, parts.next().unwrap());
        while let Some(part) = parts.next() {
            flood.extend(frame(if parts.peek().is_none() { FIN | CONTINUATION } else { CONTINUATION }, part));
        }
        client.stuff(&flood);
        let code = loop {
            let (first, payload) = client.next().unwrap();
            if first & 0x0f == CLOSE {
                break u16::from_be_bytes([payload[0], payload[1]]);
            }
        };
        assert_eq!(code, 1009);
    }
    server.assert_growth(POOLS);
    assert_serves(&server);
}
