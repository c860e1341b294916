//! Options that no other test sees at work: what each changes for a peer or on a disk.
//!
//! `tests/options.tsv` says where every option has such a test; `cargo xtask options` finds out whether it fails without it.

use super::commands::{fails, ok, play};
use clap::Parser as _;
use rhai::{Engine, FnPtr, Map, NativeCallContext};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _};
use sockets::{socket::StreamSocket, split::Joined, stop::Stop, testing::pair};
use std::{
    ffi::OsString,
    fs,
    future::Future,
    io::Read as _,
    net::{SocketAddr, TcpListener},
    path::Path,
    process::Command,
    sync::Arc,
    thread,
    time::Duration,
};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use websocat::{
    cli::Args,
    error::{Error, Kind, Result},
    exec, plan,
    scenario::{Callback, Flow, RhResult, Scenario, Take as _, TaskHandle, handle, run, task},
};

/// Bounds a hang, not a duration.
const PATIENCE: Duration = Duration::from_secs(20);

/// Runs a command line with functions of its own.
fn run_with(line: &[&str], functions: impl FnOnce(&mut Engine)) -> impl Future<Output = Result<()>> {
    let line = [&["websocat"], line].concat().into_iter().map(OsString::from);
    let args = Arc::new(Args::try_parse_from(plan::arguments(line)).unwrap());
    let mut planned = plan::parse(&args).unwrap();
    plan::rewrite(&mut planned).unwrap();
    let script = plan::print(&planned).unwrap().replace("mock_stream_socket(\"\")", "connection()");
    let mut engine = exec::engine();
    functions(&mut engine);
    async move {
        let ast = engine.compile(&script).unwrap();
        let scenario = Scenario::new(engine, ast, Stop::new(), Some(1)).unwrap();
        let task = scenario.engine.eval_ast::<TaskHandle>(&scenario.ast).unwrap().take("task").unwrap();
        tokio::time::timeout(PATIENCE, run(task)).await.expect("it hangs")
    }
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

/// Runs a command line whose `mss:` is connected to a peer that says `x`, hears no end for 5 s, says that it has no more to
/// say, and then hears one.
fn stays_open_until_the_other_direction_ends(line: &[&str]) {
    let (ours, theirs, _) = pair(1 << 10);
    let peer = async {
        let StreamSocket { read: Some(mut read), write: Some(mut write), .. } = theirs else { panic!() };
        write.write_all(b"x").await.unwrap();
        let silence = tokio::time::timeout(Duration::from_secs(5), read.read_u8()).await;
        assert!(silence.is_err(), "an end before that of the other direction");
        write.shutdown().await.unwrap();
        assert!(read.read_u8().await.is_err(), "no end");
    };
    let ours = handle(ours);
    let program = run_with(line, |engine| {
        engine.register_fn("connection", move || ours.clone());
    });
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
    runtime.block_on(async { tokio::join!(program, peer) }).0.unwrap();
}

#[test]
fn idle_directions_that_are_dropped_late() {
    stays_open_until_the_other_direction_ends(&["-b", "-u", "--unidirectional-late-drop", "mss:", "mss:W x|D"]);
    let options = ["-b", "--write-splitoff", "devnull:", "--write-splitoff-omit-shutdown"];
    stays_open_until_the_other_direction_ends(&[&options[..], &["mss:X|W x|D", "mss:"]].concat());
}

/// A client with seed 3 whose request has these lines between the usual ones and the end.
macro_rules! request {
    ($target:expr, $more:expr, $($then:expr),*) => {
        concat!(
            "ws-c:mss:W GET ", $target, r" HTTP/1.1\r\nconnection: Upgrade\r\nupgrade: websocket\r\n",
            r"sec-websocket-version: 13\r\nsec-websocket-key: J9988AI2rIrAyJ7HDshMRw==\r\n", $more, r"\r\n|", $($then),*
        )
    };
}

/// A refusal: nothing more is of interest.
macro_rules! refused {
    () => {
        r"R HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n|X"
    };
}

#[test]
fn headers_of_a_request() {
    let request = |options: &'static [&'static str], left: &'static str| {
        let line = [&["-b", "--random-seed", "3"], options, &[left, "mss:T 99000|X"]].concat();
        play(&[fails(5, line.leak())]);
    };
    request(
        &["-H", "X-One: 1", "--header", "X-Two: 2"],
        request!("/", r"host: \r\nx-one: 1\r\nx-two: 2\r\n", refused!()),
    );
    request(&["--origin", "http://a.example"], request!("/", r"host: \r\norigin: http://a.example\r\n", refused!()));
    request(&["--ua", "robot/1"], request!("/", r"host: \r\nuser-agent: robot/1\r\n", refused!()));
    request(&["--protocol", "one, two"], request!("/", r"host: \r\nsec-websocket-protocol: one, two\r\n", refused!()));
    request(&["--ws-c-uri", "ws://h:1/x?y"], request!("/x?y", r"host: h:1\r\n", refused!()));
}

#[test]
fn handshakes_without_what_is_usual() {
    play(&[ok(&[
        "-b",
        "--ws-omit-headers",
        "--ws-dont-check-headers",
        "-H",
        "X: 1",
        "-E",
        r"ws-c:mss:W GET / HTTP/1.1\r\nhost: \r\nx: 1\r\n\r\n|R HTTP/1.1 101 Go on\r\nUpgrade: no\r\n\r\n|R \x82\x02hi\x88\x02\x03\xe8|I 8",
        "mss:W hi|D|X",
    ])]);
}

/// A server on a scripted socket: a request for these subprotocols, then the beginning of the answer.
macro_rules! asked {
    ($protocols:expr, $($then:expr),*) => {
        concat!(
            r"ws-u:mss:R GET / HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n",
            r"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n", $protocols, r"\r\n|",
            $($then),*
        )
    };
}

/// Acceptance with these lines, and an end in order.
macro_rules! accepted {
    ($protocol:expr, $more:expr) => {
        concat!(
            r"W HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: Upgrade\r\n",
            r"sec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n",
            $protocol,
            r"date: now\r\n",
            $more,
            r"\r\n|",
            r"R \x88\x82\0\0\0\0\x03\xe8|W \x88\x02\x03\xe8|X"
        )
    };
}

#[test]
fn answers_of_a_server() {
    let answer = |options: &'static [&'static str], left: &'static str| {
        let line = [&["-b", "--server-header", "Date: now"], options, &[left, "mirror:"]].concat();
        play(&[ok(line.leak())]);
    };
    answer(&["--server-header", "X-One: 1"], asked!("", accepted!("", r"x-one: 1\r\n")));
    answer(
        &["--server-protocol", "two"],
        asked!(r"Sec-WebSocket-Protocol: one, two\r\n", accepted!(r"sec-websocket-protocol: two\r\n", "")),
    );
    answer(&["--server-protocol", "two", "--server-protocol-lax"], asked!("", accepted!("", "")));
    answer(
        &["--server-protocol-choose-first"],
        asked!(r"Sec-WebSocket-Protocol: one, two\r\n", accepted!(r"sec-websocket-protocol: one\r\n", "")),
    );
}

#[test]
fn framing() {
    play(&[
        // The second ping is nobody's to answer: it is handed on, and what hands everything back sends it as one.
        ok(&[
            "-b",
            "--inhibit-pongs",
            "1",
            r"ws-ll-s:mss:R \x89\x81\0\0\0\0a|W \x8a\x01a|R \x89\x81\0\0\0\0b|W \x89\x01b|X|W \x88\0",
            "mirror:",
        ]),
        ok(&["-b", "--ws-ignore-invalid-masks", r"ws-ll-s:mss:R \x82\x01x|X|W \x88\0", "mss:W x|D|X"]),
        ok(&["-b", "--ws-shutdown-socket-on-eof", r"ws-ll-s:mss:W \x82\x01x\x88\0|D|X", "literal:x"]),
    ]);
}

#[test]
fn random_bytes() {
    play(&[
        fails(27, &["-b", "-B", "8", "--random-seed", "1", "random:", r"mss:W \x08\x10\x8b\xd15?\xfe\xef|EW"]),
        fails(
            27,
            &["-b", "-B", "8", "--random-seed", "1", "--random-fast", "random:", r"mss:W e\xea\x9e\xf3\xefp\x16F|EW"],
        ),
    ]);
}

#[test]
fn files_that_exist() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("name.txt");
    let specifier = format!("writefile:{}", path.display());
    let write = |option: &str| {
        fs::write(&path, "before").unwrap();
        block_on(run_with(&["-b", option, "literal:new", &specifier], |_| {}))
    };
    let e = write("--write-file-no-overwrite").unwrap_err();
    assert_eq!((e.exit_code(), &*fs::read_to_string(&path).unwrap()), (25, "before"));
    write("--write-file-auto-rename").unwrap();
    assert_eq!(fs::read_to_string(&path).unwrap(), "before");
    let other = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).find(|other| *other != path).unwrap();
    assert_eq!(fs::read_to_string(&other).unwrap(), "new", "{}", other.display());
    assert_eq!(other.extension().unwrap(), "txt");
}

/// What `lookup_host` does in a test: the lookup gives these addresses, or fails.
fn resolver(addresses: Vec<SocketAddr>) -> impl FnOnce(&mut Engine) {
    move |engine| {
        let lookup = move |ctx: NativeCallContext<'_>, _: &str, _: Map, then: FnPtr| -> RhResult<TaskHandle> {
            let (then, addresses) = (Callback::new(&ctx, then)?, addresses.clone());
            Ok(task(async move {
                if addresses.is_empty() {
                    return Err(Error::new(Kind::Lookup, "no such name"));
                }
                Ok(Flow::Then(then.task((addresses,))?))
            }))
        };
        engine.register_fn("lookup_host", lookup);
    }
}

#[test]
fn late_resolution_comes_after_the_left_side() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("left");
    let left = format!("writefile:{}", path.display());
    let e = block_on(run_with(&["-b", "--late-resolve", &left, "tcp:two.example:80"], resolver(vec![]))).unwrap_err();
    assert_eq!(e.exit_code(), 21, "{e}");
    assert!(path.exists(), "the left side was never opened");
}

#[test]
fn races_without_an_interval_try_all_addresses() {
    let servers = [(); 2].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
    let addresses = servers.iter().map(|server| server.local_addr().unwrap()).collect();
    let line = ["-b", "-u", "--tcp-race-interval-ms", "0", "literal:x", "tcp:two.example:80"];
    block_on(run_with(&line, resolver(addresses))).unwrap();
    for server in servers {
        // The kernel has accepted it already, or never will.
        server.set_nonblocking(true).unwrap();
        server.accept().unwrap();
    }
}

/// A TLS server with our test certificate.
fn tls_server() -> rustls::ServerConfig {
    let [certificate, key] = ["server.pem", "server.key"]
        .map(|name| fs::read(format!("{}/tests/certificates/{name}", env!("CARGO_MANIFEST_DIR"))).unwrap());
    let certificate = CertificateDer::from_pem_slice(&certificate).unwrap();
    let key = PrivateKeyDer::from_pem_slice(&key).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    config.with_no_client_auth().with_single_cert(vec![certificate], key).unwrap()
}

#[test]
fn secrets_of_tls_are_logged_when_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("secrets");
    let client = |options: &[&str], log: Option<&Path>| {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_websocat"));
        command.args(["-b", "-k"]).args(options).arg("literal:hello");
        command.arg(format!("tls:tcp:{}", listener.local_addr().unwrap()));
        match log {
            Some(log) => command.env("SSLKEYLOGFILE", log),
            None => command.env_remove("SSLKEYLOGFILE"),
        };
        let server = thread::spawn(move || {
            let (mut tcp, _) = listener.accept().unwrap();
            let mut connection = rustls::ServerConnection::new(Arc::new(tls_server())).unwrap();
            let mut heard = vec![];
            rustls::Stream::new(&mut connection, &mut tcp).read_to_end(&mut heard)?;
            connection.send_close_notify();
            connection.complete_io(&mut tcp).map(|_| heard)
        });
        (command.output().unwrap(), server)
    };
    let (ended, server) = client(&["--enable-sslkeylog"], Some(&log));
    assert!(ended.status.success(), "{ended:?}");
    assert_eq!(&server.join().unwrap().unwrap(), b"hello");
    let secrets = fs::read_to_string(&log).unwrap();
    assert!(secrets.contains("CLIENT_TRAFFIC_SECRET_0 "), "{secrets}");

    fs::remove_file(&log).unwrap();
    let (ended, _) = client(&[], Some(&log));
    assert!(ended.status.success() && !log.exists(), "{ended:?}");
    // Nothing is connected then, and nobody joins the server's thread.
    for wrong in [None, Some(folder.path())] {
        let (ended, _) = client(&["--enable-sslkeylog"], wrong);
        let said = String::from_utf8_lossy(&ended.stderr);
        assert!(ended.status.code() == Some(8) && said.contains("SSLKEYLOGFILE"), "{ended:?}");
    }
}

#[test]
fn tls_names_and_trust() {
    let config = tls_server();
    let line = ["-b", "-k", "--tls-domain", "example.test", "literal:hello", "tls:mss:"];
    let (ours, theirs, _) = pair(64 << 10);
    let server = async {
        let StreamSocket { read: Some(read), write: Some(write), .. } = theirs else { panic!() };
        let accepting = tokio_rustls::TlsAcceptor::from(Arc::new(config)).accept(Joined::new(read, write));
        let mut tls = accepting.await.unwrap();
        assert_eq!(tls.get_ref().1.server_name(), Some("example.test"));
        let mut heard = [0; 5];
        tls.read_exact(&mut heard).await.unwrap();
        assert_eq!(&heard, b"hello");
    };
    let ours = handle(ours);
    let client = run_with(&line, |engine| {
        engine.register_fn("connection", move || ours.clone());
    });
    let (client, ()) = block_on(async { tokio::join!(client, server) });
    client.unwrap();
}
