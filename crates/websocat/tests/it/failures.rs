//! What `on_failure` tells scripts of real failures: the word, and the status that goes with it.

use super::examples::tls_echo;
use socket2::{Domain, Socket, Type};
use sockets::stop::Stop;
use std::{net::SocketAddr, path::Path, time::Duration};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
    sync::mpsc,
    time::timeout,
};
use websocat::{exec, scenario::run};

/// Bounds a hang, not a duration.
const PATIENCE: Duration = Duration::from_secs(60);

/// Reason and status that the script gets when this task fails.
async fn told(task: &str) -> String {
    let script = format!("on_failure(task_wrap(|| {{ {task} }}), |why| {{ throw why.reason + \" \" + why.status; }})");
    let (_scenario, task) = exec::load(&script, Stop::new()).unwrap_or_else(|e| panic!("{script}: {e}"));
    let text = timeout(PATIENCE, run(task)).await.expect("it hangs").unwrap_err().to_string();
    let said = text.split_once("Runtime error: ").unwrap_or_else(|| panic!("{script}: {text}")).1;
    said.split(" (line").next().unwrap().to_owned()
}

/// A server that answers its first client with these bytes, after its request, and then ends.
async fn answers(bytes: &'static str) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let (mut tcp, _) = listener.accept().await.unwrap();
        let mut request = Vec::new();
        while !request.ends_with(b"\r\n\r\n") {
            request.push(tcp.read_u8().await.unwrap());
        }
        tcp.write_all(bytes.as_bytes()).await.unwrap();
    });
    addr
}

fn upgrade(server: SocketAddr, options: &str) -> String {
    format!(
        "connect_tcp(#{{addr: \"{server}\"}}, |s| {{ let http = http1_client(#{{}}, s);
            ws_upgrade(#{{url: \"/\", host: \"h\"{options}}}, #{{}}, http, |s| dummy_task()) }})"
    )
}

fn tls(server: SocketAddr, domain: &str) -> String {
    let ca = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/certificates/ca.pem")).unwrap();
    format!(
        "connect_tcp(#{{addr: \"{server}\"}}, |s| {{
            let own = tls_client_connector(#{{disable_built_in_roots: true, root_certificates_pem: [`{ca}`]}});
            tls_client(#{{domain: \"{domain}\"}}, own, s, |s| dummy_task()) }})"
    )
}

#[tokio::test]
async fn connections_that_fail() {
    // Bound, so that nobody else gets the port, but nothing listens there.
    let refuses = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    refuses.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
    let closed = refuses.local_addr().unwrap().as_socket().unwrap();
    assert_eq!(told(&format!("connect_tcp(#{{addr: \"{closed}\"}}, |s| dummy_task())")).await, "connect 14");
    // No label of a name may be so long: nobody is asked for it.
    let name = format!("{}.invalid", "a".repeat(80));
    assert_eq!(told(&format!("lookup_host(\"{name}:1\", |all| dummy_task())")).await, "lookup 21");
    let taken = TcpListener::bind("127.0.0.1:0").await.unwrap().into_std().unwrap();
    let at = taken.local_addr().unwrap();
    let listen = format!("listen_tcp(#{{addr: \"{at}\"}}, |at| dummy_task(), |s, from| dummy_task())");
    assert_eq!(told(&listen).await, "listen 24");
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn connections_that_take_too_long() {
    let (address, _sockets) = super::unanswered::nobody_answers();
    let script = format!("connect_tcp(#{{addr: \"{address}\", timeout_ms: 50}}, |s| dummy_task())");
    assert_eq!(told(&script).await, "connect-timeout 22");
}

#[tokio::test]
async fn tls_that_fails() {
    let (came, _visits) = mpsc::unbounded_channel();
    let right = tls_echo("server.pem", came.clone()).await;
    assert_eq!(told(&tls(right, "wrong.test")).await, "certificate 8");
    let expired = tls_echo("expired.pem", came).await;
    assert_eq!(told(&tls(expired, "example.test")).await, "certificate 8");
}

#[tokio::test]
async fn requests_that_fail() {
    let forbids = answers("HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n").await;
    assert_eq!(told(&upgrade(forbids, "")).await, "http-status 5");
    let odd = answers("HTTP/1.1 101 Switching Protocols\r\nUpgrade: chat\r\nConnection: upgrade\r\n\r\n").await;
    assert_eq!(told(&upgrade(odd, "")).await, "broken-upgrade 6");
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = silent.local_addr().unwrap();
    assert_eq!(told(&upgrade(at, ", timeout_ms: 50")).await, "handshake-timeout 23");
}

#[tokio::test]
async fn programs_and_files_that_fail() {
    let start = r#"let c = subprocess_new("/there/is/no/such/program");
        exchange_bytes(#{}, c.execute().socket(), null_stream_socket())"#;
    assert_eq!(told(start).await, "process 26");
    let file = told("file_socket(#{}, osstr_str(\"/there/is/no/such/file\"), |s| dummy_task())").await;
    assert_eq!(file, "file 25");
}
