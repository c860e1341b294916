//! permessage-deflate on whole command lines: who offers, who accepts, what leaves compressed.
//!
//! The sockets are scripted, as in `commands`, so that handshakes and frames are compared byte by byte.

use super::commands::{fails, ok, play};

/// The command line of such a server; hyper's own date would be another one each time.
macro_rules! serve {
    ($($more:expr),* $(,)?) => {
        &["-b", "--server-header", "Date: now", $($more),*]
    };
}

/// A server on a scripted socket: the request with these extensions, the answer with these, then the rest.
macro_rules! server {
    ($asked:expr, $answered:expr, $($then:expr),*) => {
        concat!(
            r"ws-u:mss:R GET / HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n",
            r"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n", $asked, r"\r\n|",
            r"W HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: Upgrade\r\n",
            r"sec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n", $answered, r"date: now\r\n\r\n|",
            $($then),*
        )
    };
}

macro_rules! offer {
    ($parameters:expr) => {
        concat!("Sec-WebSocket-Extensions: permessage-deflate", $parameters, r"\r\n")
    };
}

macro_rules! answer {
    ($parameters:expr) => {
        concat!("sec-websocket-extensions: permessage-deflate", $parameters, r"\r\n")
    };
}

/// `Hello` compressed and `Hello` plain, from a client.
macro_rules! hello {
    () => {
        r"R \xc2\x87\0\0\0\0\xf2H\xcd\xc9\xc9\x07\0|R \x82\x85\0\0\0\0Hello|"
    };
}

/// Both again as a server sends them, then the end.
macro_rules! hello_back {
    () => {
        r"W \x82\x05Hello\x82\x05Hello|R \x88\x82\0\0\0\0\x03\xe8|W \x88\x02\x03\xe8|X"
    };
}

/// What a server insists on unless it may spend memory.
macro_rules! alone {
    () => {
        answer!("; server_no_context_takeover; client_no_context_takeover")
    };
}

//= 7692-5-2 test
//= 6455-4.2.2-22 test
//= 6455-9-2 test
//= 6455-9-4 test
#[test]
fn servers_accept_what_is_offered_unless_told_otherwise() {
    play(&[
        ok(serve!(server!(offer!(""), alone!(), hello!(), hello_back!()), "mirror:")),
        ok(serve!(
            "--compress",
            server!(offer!("; client_max_window_bits"), alone!(), hello!(), hello_back!()),
            "mirror:",
        )),
        ok(serve!(
            "--compress-context",
            server!(offer!("; client_max_window_bits"), answer!(""), hello!(), hello_back!()),
            "mirror:",
        )),
        ok(serve!(
            "--compress-context",
            "--compress-window-bits",
            "10",
            server!(
                offer!("; client_max_window_bits"),
                answer!("; server_max_window_bits=10; client_max_window_bits=10"),
                hello!(),
                hello_back!()
            ),
            "mirror:",
        )),
        // The first offer that can be kept.
        ok(serve!(
            server!(offer!("; server_max_window_bits=8, permessage-deflate"), alone!(), hello!(), hello_back!()),
            "mirror:",
        )),
        // Nothing was agreed on: such a frame is a breach.
        fails(
            3,
            serve!("--no-compress", server!(offer!(""), "", r"R \xc2\x80\0\0\0\0|W \x88\x02\x03\xea|X"), "mirror:"),
        ),
        fails(3, serve!(server!("", "", r"R \xc2\x80\0\0\0\0|W \x88\x02\x03\xea|X"), "mirror:")),
        fails(3, serve!(server!(offer!("; x=1"), "", r"R \xc2\x80\0\0\0\0|W \x88\x02\x03\xea|X"), "mirror:")),
    ]);
}

#[test]
fn what_is_not_deflate_data_ends_the_connection() {
    play(&[
        // Cut off within a block, and text that is not UTF-8 once inflated.
        fails(
            3,
            serve!(server!(offer!(""), alone!(), r"R \xc2\x84\0\0\0\0\xf2H\xcd\xc9|W \x88\x02\x03\xef|X"), "mirror:"),
        ),
    ]);
}

/// 300 times `a`, as a client may send it.
macro_rules! aaa {
    () => {
        r"R \xc1\x88\0\0\0\0JL\x1c\x05\xc4\x02\0\0|"
    };
}

#[test]
fn messages_from_the_threshold_on_are_compressed() {
    play(&[
        ok(serve!(
            server!(
                offer!(""),
                alone!(),
                aaa!(),
                r"W \xc1\x09JL\x1c\x05\x89D\x02\0\0|R \x88\x82\0\0\0\0\x03\xe8|W \x88\x02\x03\xe8|X"
            ),
            "mirror:",
        )),
        ok(serve!(
            "--compress-threshold",
            "40",
            server!(
                offer!(""),
                alone!(),
                r"R \x82\xa8\0\0\0\0aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa|W \xc2\x06JL$\x0e\0\0|",
                r"R \x88\x82\0\0\0\0\x03\xe8|W \x88\x02\x03\xe8|X"
            ),
            "mirror:",
        )),
        ok(serve!(
            "--compress-threshold",
            "300",
            "--compress-level",
            "9",
            server!(
                offer!(""),
                alone!(),
                aaa!(),
                r"W \xc1\x08JL\x1c\x05\xc4\x02\0\0|R \x88\x82\0\0\0\0\x03\xe8|W \x88\x02\x03\xe8|X"
            ),
            "mirror:",
        )),
    ]);
}

/// A client with a known key that asks for compression, and the server's answer with this line more.
macro_rules! client {
    ($asked:expr, $answered:expr, $($then:expr),*) => {
        client!($asked; "", $answered, $($then),*)
    };
    ($asked:expr; $custom:expr, $answered:expr, $($then:expr),*) => {
        concat!(
            r"ws-c:mss:W GET /chat HTTP/1.1\r\nconnection: Upgrade\r\nupgrade: websocket\r\n",
            r"sec-websocket-version: 13\r\nsec-websocket-key: J9988AI2rIrAyJ7HDshMRw==\r\n", $asked,
            r"host: example.org\r\n", $custom, r"\r\n|",
            r"R HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n",
            r"Sec-WebSocket-Accept: drEidzQh868P7ZKQ+U65vvNVFKw=\r\n", $answered, r"\r\n|",
            $($then),*
        )
    };
}

macro_rules! words {
    ($($more:expr),*) => {
        &["-b", "--random-seed", "3", "--ws-c-uri", "ws://example.org/chat", $($more),*]
    };
}

macro_rules! wanted {
    () => {
        answer!("; server_no_context_takeover; client_no_context_takeover; client_max_window_bits")
    };
}

//= 6455-4.1-33 test
//= 6455-9.1-6 test
//= 6455-9-1 test
#[test]
fn clients_ask_when_told_and_take_what_they_asked_for() {
    play(&[
        ok(words!(
            "--compress",
            client!(
                wanted!(),
                offer!("; server_no_context_takeover"),
                r"R \x82\x05Hello|R \xc2\x07\xf2H\xcd\xc9\xc9\x07\0|R \x88\x02\x03\xe8|W \x88\x82\x7c\xf5\x15\x1b\x7f\x1d|X"
            ),
            "mss:W HelloHello|D|X"
        )),
        // The server has other things to do.
        fails(
            3,
            words!(
                "--compress",
                client!(wanted!(), "", r"R \xc2\x07\xf2H\xcd\xc9\xc9\x07\0|W \x88\x82\x7c\xf5\x15\x1b\x7f\x1f|X"),
                "mss:D|X"
            ),
        ),
        // Not what was asked for.
        fails(6, words!("--compress", client!(wanted!(), offer!(""), "X"), "mss:D|X")),
        fails(6, words!("--compress", client!(wanted!(), offer!("; server_no_context_takeover; x"), "X"), "mss:D|X")),
        fails(6, words!(client!("", offer!(""), "X"), "mss:D|X")),
        fails(6, words!("--no-compress", client!("", offer!(""), "X"), "mss:D|X")),
        // By hand it works as well.
        ok(words!(
            "-H",
            "Sec-WebSocket-Extensions: permessage-deflate",
            client!(
                ""; answer!(""),
                offer!(""),
                r"R \xc2\x07\xf2H\xcd\xc9\xc9\x07\0|R \xc2\x05\xf2\0\x11\0\0|R \x88\x02\x03\xe8|W \x88\x82\x7c\xf5\x15\x1b\x7f\x1d|X"
            ),
            "mss:W HelloHello|D|X"
        )),
    ]);
}
