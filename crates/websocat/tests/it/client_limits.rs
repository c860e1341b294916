//! `--conncap` and `--max-conns-per-ip` at a real listener: at the limit, one over it, and after somebody has left.

use clap::Parser as _;
use rhai::Dynamic;
use sockets::stop::Stop;
use std::{ffi::OsString, future::Future, net::SocketAddr, sync::Arc, time::Duration};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    sync::mpsc,
};
use websocat::{
    cli::Args,
    exec, plan,
    scenario::{Flow, Scenario, Take as _, TaskHandle, run, task},
};

/// Bounds a hang, not a duration.
const PATIENCE: Duration = Duration::from_secs(20);

/// A request for this path, with these lines more.
fn request(path: &str, fields: &str) -> String {
    format!(
        "GET {path} HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n{fields}\r\n"
    )
}

/// Runs a command line whose left side listens on a free port, and clients against it, which get the address.
pub(super) fn serve<F: Future<Output = ()>>(line: &[&str], clients: impl FnOnce(SocketAddr) -> F) {
    let line = [&["websocat"], line].concat().into_iter().map(OsString::from);
    let args = Arc::new(Args::try_parse_from(plan::arguments(line)).unwrap());
    let mut planned = plan::parse(&args).unwrap();
    plan::rewrite(&mut planned).unwrap();
    let script = plan::print(&planned).unwrap();
    // The port goes to the test where the script would do nothing, or as soon as there is a socket.
    let told = match script.strip_prefix("let udp1 = ") {
        None if !script.contains("|addr1|") => script.replacen("dummy_task()", "tell_listening()", 1),
        None => script.replacen("dummy_task()", "tell_address(addr1)", 1),
        Some(_) => script.replacen(");\n", ");\nlet told = tell_address(local_addr(udp1));\n", 1),
    };
    run_script(&told, clients);
}

/// Runs a script that calls `tell_address`, and clients, which get the address.
fn run_script<F: Future<Output = ()>>(script: &str, clients: impl FnOnce(SocketAddr) -> F) {
    let (tell, mut address) = mpsc::unbounded_channel();
    let tell_ready = tell.clone();
    let mut engine = exec::engine();
    engine.register_fn("tell_address", move |addr: SocketAddr| -> TaskHandle {
        tell.send(addr).unwrap();
        task(async { Ok(Flow::Done) })
    });
    // Sockets without a port: their listener is ready.
    engine.register_fn("tell_listening", move || -> TaskHandle {
        tell_ready.send((std::net::Ipv4Addr::UNSPECIFIED, 0).into()).unwrap();
        task(async { Ok(Flow::Done) })
    });
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let stop = Stop::new();
        let ast = engine.compile(script).unwrap();
        let scenario = Scenario::new(engine, ast, stop.clone(), Some(1)).unwrap();
        let value: Dynamic = scenario.engine.eval_ast(&scenario.ast).unwrap();
        let task = value.cast::<TaskHandle>().take("task").unwrap();
        let clients = async {
            clients(address.recv().await.unwrap()).await;
            stop.drain();
        };
        let both = async { tokio::join!(run(task), clients) };
        tokio::time::timeout(PATIENCE, both).await.expect("all of it hangs").0.unwrap();
    });
}

/// A client that asked for a WebSocket, with the head of the answer.
async fn ask(addr: SocketAddr) -> (TcpStream, String) {
    ask_with(addr, "/", "").await
}

/// The same for this path, with these lines more in the request.
pub(super) async fn ask_with(addr: SocketAddr, path: &str, fields: &str) -> (TcpStream, String) {
    let mut tcp = TcpStream::connect(addr).await.unwrap();
    tcp.write_all(request(path, fields).as_bytes()).await.unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(tcp.read_u8().await.unwrap());
    }
    (tcp, String::from_utf8(head).unwrap())
}

async fn is_accepted(addr: SocketAddr) -> Option<TcpStream> {
    let (tcp, head) = ask(addr).await;
    head.starts_with("HTTP/1.1 101 ").then_some(tcp)
}

/// Who left is noticed soon, but not at once.
async fn is_accepted_soon(addr: SocketAddr) -> TcpStream {
    loop {
        if let Some(tcp) = is_accepted(addr).await {
            return tcp;
        }
    }
}

#[test]
fn web_sockets_over_the_limit_get_503() {
    for option in ["--conncap", "--max-conns-per-ip"] {
        serve(&["-b", "ws-l:127.0.0.1:0", "mirror:", option, "2"], |addr| async move {
            let first = is_accepted(addr).await.expect("the first");
            let _second = is_accepted(addr).await.expect("the second");
            let (mut third, head) = ask(addr).await;
            assert!(head.starts_with("HTTP/1.1 503 "), "{head}");
            assert!(head.to_ascii_lowercase().contains("retry-after: "), "{head}");
            let mut body = String::new();
            third.read_to_string(&mut body).await.unwrap();
            assert!(body.ends_with('\n') && body.contains("as many connections as it may"), "{body}");
            drop(first);
            let _fourth = is_accepted_soon(addr).await;
            assert!(is_accepted(addr).await.is_none());
        });
    }
}

#[test]
fn a_connection_counts_before_it_asks() {
    serve(&["-b", "ws-l:127.0.0.1:0", "mirror:", "--conncap", "1"], |addr| async move {
        let silent = TcpStream::connect(addr).await.unwrap();
        assert!(is_accepted(addr).await.is_none());
        drop(silent);
        let _client = is_accepted_soon(addr).await;
    });
}

#[test]
fn byte_streams_over_the_limit_are_closed() {
    serve(&["-b", "tcp-l:127.0.0.1:0", "mirror:", "--conncap", "1"], |addr| async move {
        let echoes = async || {
            let mut tcp = TcpStream::connect(addr).await.unwrap();
            let sent = tcp.write_all(b"x").await.is_ok();
            // An end or, where the byte came after it, a reset.
            (sent && matches!(tcp.read_u8().await, Ok(b'x'))).then_some(tcp)
        };
        let first = echoes().await.expect("the first");
        assert!(echoes().await.is_none());
        drop(first);
        while echoes().await.is_none() {}
    });
}

#[test]
fn a_crowd_outside_does_not_keep_those_inside_from_anything() {
    serve(&["-b", "ws-l:127.0.0.1:0", "mirror:", "--conncap", "1"], |addr| async move {
        let mut inside = is_accepted(addr).await.unwrap();
        // More than are told, all at the same time. They are accepted in their order.
        let mut crowd = Vec::new();
        for _ in 0..100 {
            crowd.push(TcpStream::connect(addr).await.unwrap());
        }
        let mut answer = Vec::new();
        for tcp in &mut crowd[64..] {
            tcp.read_to_end(&mut answer).await.unwrap();
            assert!(answer.is_empty(), "closed at once");
        }
        for tcp in &mut crowd[..64] {
            tcp.write_all(request("/", "").as_bytes()).await.unwrap();
            tcp.read_to_end(&mut answer).await.unwrap();
            assert!(answer.starts_with(b"HTTP/1.1 503 "));
            answer.clear();
        }
        inside.write_all(&[0x82, 0x81, 0, 0, 0, 0, b'x']).await.unwrap();
        let mut echo = [0; 3];
        inside.read_exact(&mut echo).await.unwrap();
        assert_eq!(echo, [0x82, 1, b'x']);
    });
}
