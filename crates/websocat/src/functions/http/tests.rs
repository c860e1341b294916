//! Handshakes as scripts make them, over sockets in memory: against raw peers, and our two ends against each other.

mod client;
mod scripted;
mod server;
mod wire;

use crate::{
    error::{Error, Result},
    exec,
    scenario::{Flow, Handle, Scenario, Take, TaskHandle, handle, run, script_error, task},
};
use sockets::{
    socket::StreamSocket,
    stop::Stop,
    stream::{BoxStreamRead, BoxStreamWrite},
    testing::pair,
};
use std::sync::{Arc, Mutex};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

/// Room in a pair for everything that a test writes before somebody reads.
const ROOM: usize = 1 << 20;

/// Runs a script in which `socket()` is this socket; gives the socket that the script passed to `keep`, if it came so far.
async fn play(script: impl AsRef<str>, socket: StreamSocket, stop: Stop) -> Result<Option<StreamSocket>> {
    let kept = Arc::new(Mutex::new(None));
    let mut engine = exec::engine();
    let socket = handle(socket);
    engine.register_fn("socket", move || socket.clone());
    let keep = kept.clone();
    engine.register_fn("keep", move |socket: Handle<StreamSocket>| -> TaskHandle {
        *keep.lock().unwrap() = socket.lock().unwrap().take();
        task(async { Ok(Flow::Done) })
    });
    let ast = engine.compile(script.as_ref()).unwrap();
    let scenario = Scenario::new(engine, ast, stop, None)?;
    let made: TaskHandle = scenario.engine.eval_ast(&scenario.ast).map_err(script_error)?;
    let made = made.take("task").map_err(script_error)?;
    run(made).await?;
    Ok(kept.lock().unwrap().take())
}

/// A client script with these options and custom headers.
fn client(options: &str, headers: &str) -> String {
    format!(
        "ws_upgrade(#{{url: \"/chat?x=1\", host: \"h\", {options}}}, {headers}, http1_client(#{{}}, socket()), |raw| {{ keep(raw) }})"
    )
}

/// A server script with these options of `http1_serve` and `ws_accept`, and custom headers.
fn server(serve: &str, accept: &str, headers: &str) -> String {
    format!(
        "http1_serve(#{{{serve}}}, socket(), |rq, hup, fd| {{ ws_accept(#{{{accept}}}, {headers}, rq, hup, fd, |raw| {{ keep(raw) }}) }})"
    )
}

/// The raw halves of the other end.
fn halves(socket: StreamSocket) -> (BoxStreamRead, BoxStreamWrite) {
    (socket.read.unwrap(), socket.write.unwrap())
}

/// Reads a head, to the empty line and not further.
async fn read_head(read: &mut BoxStreamRead) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(read.read_u8().await.unwrap());
    }
    String::from_utf8(head).unwrap()
}

async fn read_all(read: &mut BoxStreamRead) -> String {
    let mut all = Vec::new();
    read.read_to_end(&mut all).await.unwrap();
    String::from_utf8(all).unwrap()
}

fn error(result: Result<Option<StreamSocket>>) -> Error {
    result.err().expect("the handshake must fail")
}

/// The value of a header line, if it is there; names without regard to case.
fn field<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    let mut lines = head.lines().filter_map(|line| line.split_once(": "));
    lines.find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, value)| value)
}

//= 6455-4.1-30 test
#[tokio::test]
async fn our_two_ends_agree() {
    let (a, b, _) = pair(ROOM);
    let (client, server) = tokio::join!(
        play(client("half_close: true", r#"#{"Sec-WebSocket-Protocol": "a, b", "X-Y": ["1", "2"]}"#), a, Stop::new()),
        play(server("", "half_close: true, choose_protocol: \"b\", require_protocol: true", "#{}"), b, Stop::new()),
    );
    let (client, server) = (client.unwrap().unwrap(), server.unwrap().unwrap());
    for end in [&client, &server] {
        assert!(end.info.half_close);
        assert_eq!(end.info.subprotocol.as_deref(), Some("b"));
        assert_eq!(end.info.specifier.as_deref(), Some("pair:"));
    }
    let request = server.info.request.as_ref().unwrap();
    assert_eq!((request.method(), request.uri()), ("GET", "/chat?x=1"));
    let values: Vec<_> = request.headers().filter(|(n, _)| *n == "x-y").map(|(_, v)| v).collect();
    assert_eq!(values, [b"1", b"2"]);

    let (mut read, mut write) = halves(client);
    let (mut server_read, mut server_write) = halves(server);
    write.write_all(b"there").await.unwrap();
    write.shutdown().await.unwrap();
    assert_eq!(read_all(&mut server_read).await, "there");
    server_write.write_all(b"back").await.unwrap();
    server_write.shutdown().await.unwrap();
    assert_eq!(read_all(&mut read).await, "back");
}

//= 7692-5-2 test
//= 7692-5-9 test
//= 6455-4.2.2-14 test
//= 6455-4.2.2-15 test
//= 6455-9-2 test
//= 6455-9-3 test
//= 6455-11.3.2-1 test
#[tokio::test]
async fn compression_needs_both_ends() {
    let cases = [
        ("", "compress: true", "#{}", "#{}", None),
        ("compress: true", "", "#{}", "#{}", None),
        ("compress: true", "compress: true", "#{}", "#{}", Some((true, 15))),
        (
            "compress: true, compress_context: true",
            "compress: true, compress_context: true",
            "#{}",
            "#{}",
            Some((false, 15)),
        ),
        ("compress: true, compress_context: true", "compress: true", "#{}", "#{}", Some((true, 15))),
        ("compress: true, compress_window_bits: 11", "compress: true", "#{}", "#{}", Some((true, 11))),
        ("compress: true", "compress: true, compress_window_bits: 11", "#{}", "#{}", Some((true, 11))),
        // Custom headers are the user's: the client's are offers, the server's are no promise.
        ("", "compress: true", r#"#{"Sec-WebSocket-Extensions": "x, permessage-deflate"}"#, "#{}", Some((true, 15))),
        (
            "",
            "compress: true",
            r#"#{"Sec-WebSocket-Extensions": ["x", "permessage-deflate"]}"#,
            "#{}",
            Some((true, 15)),
        ),
        ("compress: true, lax: true", "compress: true", "#{}", r#"#{"Sec-WebSocket-Extensions": "x;"}"#, None),
        (
            "compress: true, lax: true",
            "compress: true, lax: true",
            r#"#{"Sec-WebSocket-Extensions": "x;"}"#,
            "#{}",
            None,
        ),
        ("compress: true, omit_headers: true, lax: true", "compress: true, lax: true", "#{}", "#{}", None),
        ("compress: true, lax: true", "compress: true, omit_headers: true", "#{}", "#{}", None),
    ];
    for (ours, theirs, asked, answered, agreed) in cases {
        let (a, b, _) = pair(ROOM);
        let (client, server) =
            tokio::join!(play(client(ours, asked), a, Stop::new()), play(server("", theirs, answered), b, Stop::new()));
        for end in [client, server] {
            let deflate = end.unwrap().unwrap().info.deflate;
            let found = deflate.map(|agreed| (agreed.client_no_context_takeover, agreed.client_max_window_bits));
            assert_eq!(found, agreed, "{ours} / {theirs} / {asked} / {answered}");
        }
    }
    for bad in ["compress_window_bits: 8", "compress_window_bits: 16"] {
        let (a, b, _) = pair(ROOM);
        let e = error(play(client(bad, "#{}"), a, Stop::new()).await);
        assert!(e.to_string().contains("9 to 15"), "{e}");
        drop(b);
    }
}

#[tokio::test]
async fn half_close_needs_both_ends() {
    for (ours, theirs) in [("half_close: true", ""), ("", "half_close: true")] {
        let (a, b, _) = pair(ROOM);
        let (client, server) =
            tokio::join!(play(client(ours, "#{}"), a, Stop::new()), play(server("", theirs, "#{}"), b, Stop::new()),);
        assert!(!client.unwrap().unwrap().info.half_close);
        assert!(!server.unwrap().unwrap().info.half_close);
    }
}

#[tokio::test]
async fn lax_ends_with_custom_headers_only() {
    let (a, b, _) = pair(ROOM);
    let (client, server) = tokio::join!(
        play(client("lax: true, omit_headers: true", r#"#{"X-Own": "1"}"#), a, Stop::new()),
        play(server("", "lax: true, omit_headers: true", "#{}"), b, Stop::new()),
    );
    let request = server.unwrap().unwrap().info.request.clone().unwrap();
    let names: Vec<_> = request.headers().map(|(name, _)| name).collect();
    assert_eq!(names, ["host", "x-own"]);
    assert!(client.unwrap().is_some());
}

/// Addresses of what the halves' boxes point to.
fn places(socket: &StreamSocket) -> [*const (); 2] {
    let read = socket.read.as_deref().map_or(std::ptr::null(), |half| std::ptr::from_ref(half).cast());
    let write = socket.write.as_deref().map_or(std::ptr::null(), |half| std::ptr::from_ref(half).cast());
    [read, write]
}

#[tokio::test]
async fn nothing_of_http_remains() {
    let (a, b, _) = pair(ROOM);
    let before = [places(&a), places(&b)];
    let (client, server) =
        tokio::join!(play(client("", "#{}"), a, Stop::new()), play(server("", "", "#{}"), b, Stop::new()),);
    let (client, server) = (client.unwrap().unwrap(), server.unwrap().unwrap());
    // The halves came back as they were: no wrapper, so no buffer and no connection state behind them.
    assert_eq!([places(&client), places(&server)], before);
    assert!(client.info.request.is_none());
    let request = server.info.request.as_ref().unwrap();
    let remembered: usize = request.headers().map(|(n, v)| n.len() + v.len() + 3).sum();
    assert!(remembered + request.uri().len() < 1024, "{remembered} bytes of headers");
    assert!(size_of::<StreamSocket>() <= 96, "{}", size_of::<StreamSocket>());
}
