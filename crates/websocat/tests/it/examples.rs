//! The scripts in `examples/`, each run as it is, but for its addresses, with real clients and servers around it.

use rhai::Dynamic;
use rustls::{
    ServerConfig,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
};
use sockets::stop::Stop;
use std::{
    collections::BTreeSet, fs, future::Future, io::ErrorKind, net::SocketAddr, path::Path, sync::Arc, time::Duration,
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpSocket, TcpStream, UdpSocket},
    sync::mpsc,
    time::Instant,
};
use tokio_rustls::TlsAcceptor;
use websocat::{
    exec,
    scenario::{Flow, Scenario, Take as _, TaskHandle, run, task},
};

/// Bounds a hang, not a duration.
const PATIENCE: Duration = Duration::from_secs(60);

/// Scripts that a test below runs.
const RUN: [&str; 14] = [
    "chat_with_rooms",
    "exec_with_request",
    "header_auth",
    "mirror_traffic",
    "per_path_backends",
    "plaintext_fallback",
    "port_knocking",
    "race_of_servers",
    "rate_limited_relay",
    "record_connections",
    "round_robin",
    "status_page",
    "udp_far_end",
    "udp_over_websocket",
];

fn folder() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples")
}

#[test]
fn every_example_is_run_and_says_what_it_does() {
    let mut found = BTreeSet::new();
    for entry in fs::read_dir(folder()).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().strip_suffix(".rhai").unwrap().to_owned();
        let text = fs::read_to_string(&path).unwrap();
        let head: Vec<&str> = text.lines().take_while(|line| line.starts_with("//")).collect();
        assert!(head.len() > 3 && head.join("\n").contains(&format!("websocat -x examples/{name}.rhai")), "{name}");
        assert!(text.lines().all(|line| line.chars().count() <= 128), "{name} has long lines");
        // Strings in backquotes know no escapes.
        let quoted = |line: &str| line.split('`').skip(1).step_by(2).any(|part| part.contains('\\'));
        assert!(!text.lines().any(quoted), "{name} prints a backslash");
        found.insert(name);
    }
    assert_eq!(found, RUN.map(str::to_owned).into());
}

/// Runs an example in which these texts are replaced, and clients against it, which get the address where it listens.
async fn serve<F: Future<Output = ()>>(name: &str, replace: &[(&str, String)], clients: impl FnOnce(SocketAddr) -> F) {
    serve_at("127.0.0.1:8080", name, replace, clients).await;
}

/// The same for one that listens at another address.
async fn serve_at<F: Future<Output = ()>>(
    listens: &str,
    name: &str,
    replace: &[(&str, String)],
    clients: impl FnOnce(SocketAddr) -> F,
) {
    let mut script = fs::read_to_string(folder().join(name).with_extension("rhai")).unwrap();
    let own = [(listens, "127.0.0.1:0".to_owned()), ("|addr| dummy_task()", "|addr| tell_address(addr)".into())];
    for (old, new) in own.iter().chain(replace) {
        assert!(script.contains(old), "{name}: {old}");
        let (head, code) = script.split_once("\nlet ").unwrap();
        script = format!("{head}\nlet {}", code.replace(old, new));
    }

    let (tell, mut address) = mpsc::unbounded_channel();
    let mut engine = exec::engine();
    engine.register_fn("tell_address", move |addr: SocketAddr| -> TaskHandle {
        tell.send(addr).unwrap();
        task(async { Ok(Flow::Done) })
    });
    let stop = Stop::new();
    let ast = engine.compile(&script).unwrap_or_else(|e| panic!("{name}: {e}"));
    let scenario = Scenario::new(engine, ast, stop.clone(), Some(1)).unwrap();
    let value: Dynamic = scenario.engine.eval_ast(&scenario.ast).unwrap_or_else(|e| panic!("{name}: {e}"));
    let task = value.cast::<TaskHandle>().take("task").unwrap();
    let clients = async {
        clients(address.recv().await.unwrap()).await;
        stop.drain();
    };
    let both = async { tokio::join!(run(task), clients) };
    tokio::time::timeout(PATIENCE, both).await.expect("all of it hangs").0.unwrap();
}

/// A TCP server that greets each client with a name and gives back what it is sent.
async fn echo(greeting: &'static str) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut tcp, _)) = listener.accept().await {
            tokio::spawn(async move {
                tcp.write_all(greeting.as_bytes()).await.unwrap();
                let (mut read, mut write) = tcp.split();
                // A client that leaves in between is no matter.
                let _ = tokio::io::copy(&mut read, &mut write).await;
            });
        }
    });
    addr
}

/// An address where nobody listens, and nobody else will: it stays taken as long as this process runs.
fn nobody() -> SocketAddr {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
    let address = socket.local_addr().unwrap();
    std::mem::forget(socket);
    address
}

/// Says something on a new connection, ends its direction, gives all that came.
async fn tell(addr: SocketAddr, text: &str) -> String {
    let mut tcp = TcpStream::connect(addr).await.unwrap();
    tcp.write_all(text.as_bytes()).await.unwrap();
    tcp.shutdown().await.unwrap();
    let mut all = String::new();
    tcp.read_to_string(&mut all).await.unwrap();
    all
}

/// Asks for a WebSocket at this path; gives the connection and the head of the answer.
async fn ask(addr: SocketAddr, path: &str, headers: &str) -> (TcpStream, String) {
    let mut tcp = TcpStream::connect(addr).await.unwrap();
    let request = format!(
        "GET {path} HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n{headers}\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    );
    tcp.write_all(request.as_bytes()).await.unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(tcp.read_u8().await.unwrap());
    }
    (tcp, String::from_utf8(head).unwrap())
}

/// The payload of the next frame, which is short and not masked.
async fn frame(tcp: &mut TcpStream) -> String {
    let mut head = [0; 2];
    tcp.read_exact(&mut head).await.unwrap();
    assert!(head[1] < 126, "{head:?}");
    let mut payload = vec![0; head[1].into()];
    tcp.read_exact(&mut payload).await.unwrap();
    String::from_utf8_lossy(&payload).into_owned()
}

/// A client's frame, masked with zeros.
fn masked(first: u8, payload: &[u8]) -> Vec<u8> {
    [&[first, 0x80 | payload.len() as u8, 0, 0, 0, 0], payload].concat()
}

/// Hears a greeting, says something and hears it back.
async fn talk(tcp: &mut TcpStream, greeting: &str, said: &str) {
    assert_eq!(frame(tcp).await, greeting);
    tcp.write_all(&masked(0x81, said.as_bytes())).await.unwrap();
    assert_eq!(frame(tcp).await.trim_end(), said);
    tcp.write_all(&masked(0x88, &[3, 0xe8])).await.unwrap();
    assert!(frame(tcp).await.starts_with('\u{3}'), "its Close has code 1000");
}

#[tokio::test]
async fn chat_with_rooms() {
    serve("chat_with_rooms", &[("max_members: 50", "max_members: 2".to_owned())], |addr| async move {
        let say = |text: &str| masked(0x81, text.as_bytes());
        let (mut ada, head) = ask(addr, "/room/tea?nick=Ada", "").await;
        assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
        assert_eq!(frame(&mut ada).await, "* Ada is here, which makes 1");
        let (mut other, _) = ask(addr, "/room/coffee", "").await;
        assert_eq!(frame(&mut other).await, "* somebody is here, which makes 1");
        let (mut bob, _) = ask(addr, "/room/tea?nick=Bob", "").await;
        for tcp in [&mut ada, &mut bob] {
            assert_eq!(frame(tcp).await, "* Bob is here, which makes 2");
        }
        for (path, status) in [("/room/tea?nick=Eve", "503"), ("/room/", "404"), ("/", "404"), ("/room/a/b", "404")] {
            let (_, head) = ask(addr, path, "").await;
            assert!(head.starts_with(&format!("HTTP/1.1 {status} ")), "{path}: {head}");
        }
        // In pieces, with a ping between, and binary.
        ada.write_all(&[masked(0x01, b"hel"), masked(0x89, b"?"), masked(0x80, b"lo")].concat()).await.unwrap();
        assert_eq!(frame(&mut ada).await, "?");
        assert_eq!(frame(&mut bob).await, "Ada: hello");
        ada.write_all(&masked(0x82, b"\0\x01")).await.unwrap();
        assert_eq!(frame(&mut bob).await, "\0\x01");
        bob.write_all(&[say("hi"), say("and good-bye"), masked(0x88, &[3, 0xe8])].concat()).await.unwrap();
        for text in ["Bob: hi", "Bob: and good-bye", "* Bob has left"] {
            assert_eq!(frame(&mut ada).await, text);
        }
        assert!(frame(&mut bob).await.starts_with('\u{3}'), "its Close is answered");
        // One that is too long ends its member; the others go on.
        let (mut eve, _) = ask(addr, "/room/tea?nick=Eve", "").await;
        for tcp in [&mut ada, &mut eve] {
            assert_eq!(frame(tcp).await, "* Eve is here, which makes 2");
        }
        let mut long = vec![0x81, 0xfe, 0x10, 1, 0, 0, 0, 0];
        long.resize(8 + 4097, b'x');
        eve.write_all(&long).await.unwrap();
        let mut close = [0; 4];
        eve.read_exact(&mut close).await.unwrap();
        assert_eq!(close, [0x88, 2, 3, 0xf1], "Close 1009");
        eve.write_all(&masked(0x88, &[3, 0xf1])).await.unwrap();
        assert_eq!(frame(&mut ada).await, "* Eve has left");
        // Nobody was told what the people in the other room said.
        other.write_all(&say("?")).await.unwrap();
        ada.write_all(&masked(0x89, b"still there")).await.unwrap();
        assert_eq!(frame(&mut ada).await, "still there");
    })
    .await;
}

#[tokio::test]
async fn per_path_backends() {
    let (chat, news) = (echo("chat").await, nobody());
    let replace = [("127.0.0.1:9001", chat.to_string()), ("127.0.0.1:9002", news.to_string())];
    serve("per_path_backends", &replace, |addr| async move {
        let (mut tcp, head) = ask(addr, "/chat?x=1", "").await;
        assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
        talk(&mut tcp, "chat", "hello").await;
        let (_, head) = ask(addr, "/other", "").await;
        assert!(head.starts_with("HTTP/1.1 404 "), "{head}");
        // The service is not there: 1011 or 1014 instead of data.
        let (mut tcp, head) = ask(addr, "/news", "").await;
        assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
        assert_eq!(tcp.read_u8().await.unwrap(), 0x88);
    })
    .await;
}

#[tokio::test]
async fn round_robin() {
    let (one, two) = (echo("one").await, echo("two").await);
    let replace = [
        (", 9001", format!(", {}", one.port())),
        (", 9002", format!(", {}", two.port())),
        (", 9003", format!(", {}", nobody().port())),
    ];
    serve("round_robin", &replace, |addr| async move {
        for expected in ["one", "two", "one", "one", "two", "one"] {
            assert_eq!(tell(addr, "!").await, format!("{expected}!"));
        }
    })
    .await;
}

#[tokio::test]
async fn header_auth() {
    let replace = [("127.0.0.1:9001", echo("in").await.to_string())];
    serve("header_auth", &replace, |addr| async move {
        for wrong in ["", "Authorization: Bearer x\r\n", "Authorization: Bearer squeamish ossifrage, x\r\n"] {
            let (_, head) = ask(addr, "/", wrong).await;
            assert!(head.starts_with("HTTP/1.1 401 ") && head.contains("www-authenticate: Bearer"), "{head}");
        }
        let (mut tcp, head) = ask(addr, "/", "authorization: Bearer squeamish ossifrage\r\n").await;
        assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
        talk(&mut tcp, "in", "hello").await;
    })
    .await;
}

#[cfg(unix)]
#[tokio::test]
async fn exec_with_request() {
    serve("exec_with_request", &[], |addr| async move {
        let (mut tcp, head) = ask(addr, "/hello?name=x", "X-Name: me\r\nProxy: http://bad/\r\n").await;
        assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
        talk(&mut tcp, "127.0.0.1 asks for /hello?name=x, for me", "hello").await;
    })
    .await;
}

#[tokio::test]
async fn record_connections() {
    let records = tempfile::tempdir().unwrap();
    let folder = records.path().to_str().unwrap().replace('\\', "/");
    let replace = [("127.0.0.1:9001", echo("welcome ").await.to_string()), ("\"records\"", format!("\"{folder}\""))];
    serve("record_connections", &replace, |addr| async move {
        for text in ["first", "second"] {
            assert_eq!(tell(addr, text).await, format!("welcome {text}"));
        }
    })
    .await;
    let mut found: Vec<_> = fs::read_dir(records.path())
        .unwrap()
        .map(|entry| {
            let path = entry.unwrap().path();
            (path.extension().unwrap().to_str().unwrap().to_owned(), fs::read_to_string(&path).unwrap())
        })
        .collect();
    found.sort();
    let expected =
        [("client", "first"), ("client", "second"), ("server", "welcome first"), ("server", "welcome second")];
    assert_eq!(found, expected.map(|(side, text)| (side.to_owned(), text.to_owned())));
}

#[tokio::test]
async fn rate_limited_relay() {
    let replace = [("127.0.0.1:9001", echo("").await.to_string())];
    serve("rate_limited_relay", &replace, |addr| async move {
        let start = Instant::now();
        let text = "x".repeat(16384 + 32768);
        assert_eq!(tell(addr, &text).await.len(), text.len());
        // All but the first burst waits; how much longer it takes is a matter of the machine.
        assert!(start.elapsed() > Duration::from_millis(450), "{:?}", start.elapsed());
    })
    .await;
}

#[tokio::test]
async fn port_knocking() {
    let (heard, mut knocks) = mpsc::unbounded_channel();
    let mut replace = vec![("127.0.0.1:9001", echo("open ").await.to_string())];
    for (i, port) in ["127.0.0.1:7001", "127.0.0.1:7002", "127.0.0.1:7003"].into_iter().enumerate() {
        // The second one refuses.
        if i == 1 {
            replace.push((port, nobody().to_string()));
            continue;
        }
        let door = TcpListener::bind("127.0.0.1:0").await.unwrap();
        replace.push((port, door.local_addr().unwrap().to_string()));
        let heard = heard.clone();
        tokio::spawn(async move {
            while door.accept().await.is_ok() {
                heard.send(i).unwrap();
            }
        });
    }
    serve("port_knocking", &replace, |addr| async move {
        assert_eq!(tell(addr, "sesame").await, "open sesame");
        assert_eq!((knocks.recv().await, knocks.recv().await), (Some(0), Some(2)));
    })
    .await;
}

#[tokio::test]
async fn race_of_servers() {
    // Whoever does not answer loses.
    let replace = [(", 9001", format!(", {}", nobody().port())), (", 9002", format!(", {}", echo("two").await.port()))];
    serve("race_of_servers", &replace, |addr| async move {
        assert_eq!(tell(addr, "!").await, "two!");
    })
    .await;
}

#[tokio::test]
async fn mirror_traffic() {
    let copy = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let replace = [
        ("127.0.0.1:9001", echo("main ").await.to_string()),
        ("127.0.0.1:9002", copy.local_addr().unwrap().to_string()),
    ];
    serve("mirror_traffic", &replace, |addr| async move {
        let copied = async {
            let (mut tcp, _) = copy.accept().await.unwrap();
            tcp.write_all(b"nobody gets this").await.unwrap();
            let mut said = String::new();
            tcp.read_to_string(&mut said).await.unwrap();
            said
        };
        let (answer, said) = tokio::join!(tell(addr, "request"), copied);
        assert_eq!((answer.as_str(), said.as_str()), ("main request", "request"));
    })
    .await;
}

/// A TLS server for `example.test`, which greets each client and gives back what it is sent; counts whoever comes.
pub(super) async fn tls_echo(certificate: &str, came: mpsc::UnboundedSender<()>) -> SocketAddr {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/certificates");
    let pem = |name: &str| fs::read(folder.join(name)).unwrap();
    let certificate = CertificateDer::from_pem_slice(&pem(certificate)).unwrap();
    let key = PrivateKeyDer::from_pem_slice(&pem("server.key")).unwrap();
    let builder = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()));
    let builder = builder.with_safe_default_protocol_versions().unwrap().with_no_client_auth();
    let acceptor = TlsAcceptor::from(Arc::new(builder.with_single_cert(vec![certificate], key).unwrap()));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((tcp, _)) = listener.accept().await {
            came.send(()).unwrap();
            // Who does not trust it leaves.
            let Ok(mut tls) = acceptor.accept(tcp).await else { continue };
            tls.write_all(b"secret ").await.unwrap();
            let mut said = Vec::new();
            tls.read_to_end(&mut said).await.unwrap();
            tls.write_all(&said).await.unwrap();
            tls.shutdown().await.unwrap();
        }
    });
    addr
}

#[tokio::test]
async fn plaintext_fallback() {
    let ca = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/certificates/ca.pem")).unwrap();
    let (came, mut visits) = mpsc::unbounded_channel();
    let closes = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let closing = closes.local_addr().unwrap();
    let hangs_up = came.clone();
    tokio::spawn(async move {
        while let Ok((mut tcp, _)) = closes.accept().await {
            hangs_up.send(()).unwrap();
            let mut hello = [0; 5];
            tcp.read_exact(&mut hello).await.unwrap();
        }
    });
    let right = tls_echo("server.pem", came.clone()).await;
    let expired = tls_echo("expired.pem", came.clone()).await;
    for (server, domain, answer, connections) in [
        (echo("plain ").await, "example.test", "plain hello", 0),
        (right, "example.test", "secret hello", 1),
        // Each is asked once only: a second connection would be one in plaintext.
        (right, "wrong.test", "", 1),
        (expired, "example.test", "", 1),
        (closing, "example.test", "", 1),
    ] {
        let replace = [
            ("127.0.0.1:9001", server.to_string()),
            ("\"localhost\"", format!("\"{domain}\"")),
            (
                "connector(#{})",
                format!("connector(#{{disable_built_in_roots: true, root_certificates_pem: [`{ca}`]}})"),
            ),
        ];
        serve("plaintext_fallback", &replace, |addr| async move {
            assert_eq!(tell_or_lose(addr, "hello").await, answer, "{domain} at {server}");
        })
        .await;
        let mut visited = 0;
        while visits.try_recv().is_ok() {
            visited += 1;
        }
        assert_eq!(visited, connections, "{domain} at {server}");
    }
}

/// As `tell`, but the connection may be ended by a reset.
async fn tell_or_lose(addr: SocketAddr, text: &str) -> String {
    let mut tcp = TcpStream::connect(addr).await.unwrap();
    tcp.write_all(text.as_bytes()).await.unwrap();
    let mut all = Vec::new();
    // A reset comes instead of the end where nothing was relayed.
    let ended = async {
        tcp.shutdown().await?;
        tcp.read_to_end(&mut all).await
    };
    if let Err(e) = ended.await {
        assert!(e.kind() == ErrorKind::ConnectionReset || e.kind() == ErrorKind::NotConnected, "{e}");
    }
    String::from_utf8(all).unwrap()
}

/// A UDP server that gives back each datagram with a word in front and the port that it came from.
async fn udp_echo() -> SocketAddr {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let addr = socket.local_addr().unwrap();
    tokio::spawn(async move {
        let mut buffer = vec![0; 65536];
        while let Ok((len, from)) = socket.recv_from(&mut buffer).await {
            let reply = [from.port().to_be_bytes().as_slice(), &buffer[..len]].concat();
            socket.send_to(&reply, from).await.unwrap();
        }
    });
    addr
}

/// Sends a datagram and gives the reply, with the port in front of it. On the loopback nothing gets lost.
async fn datagram(socket: &UdpSocket, bytes: &[u8]) -> (u16, Vec<u8>) {
    socket.send(bytes).await.unwrap();
    let mut buffer = vec![0; 65536];
    let len = socket.recv(&mut buffer).await.unwrap();
    (u16::from_be_bytes([buffer[0], buffer[1]]), buffer[2..len].to_vec())
}

#[tokio::test]
async fn udp_over_websocket_and_its_far_end() {
    let service = udp_echo().await;
    serve("udp_far_end", &[("127.0.0.1:9001", service.to_string())], |far| async move {
        let (_, head) = ask(far, "/other", "").await;
        assert!(head.starts_with("HTTP/1.1 404 "), "{head}");
        let replace = [("127.0.0.1:8080", far.to_string())];
        serve_at("127.0.0.1:8053", "udp_over_websocket", &replace, |near| async move {
            let mut ports = BTreeSet::new();
            for _ in 0..3 {
                let client = UdpSocket::bind("127.0.0.1:0").await.unwrap();
                client.connect(near).await.unwrap();
                let (port, _) = datagram(&client, b"first").await;
                // Each client keeps its session, and each datagram its borders: one of a byte, a long one, an empty one.
                for text in [&b"x"[..], &[7; 9000], b"", &[b'y'; 1400]] {
                    assert_eq!(datagram(&client, text).await, (port, text.to_vec()));
                }
                // Several on the way at once stay several.
                for text in ["one", "two", "three"] {
                    client.send(text.as_bytes()).await.unwrap();
                }
                let mut buffer = [0; 100];
                for text in ["one", "two", "three"] {
                    let len = client.recv(&mut buffer).await.unwrap();
                    assert_eq!(&buffer[2..len], text.as_bytes());
                }
                ports.insert(port);
            }
            assert_eq!(ports.len(), 3, "the service sees three clients");
        })
        .await;
    })
    .await;
}

/// Asks for a page on a connection of its own.
async fn page(addr: SocketAddr, path: &str) -> String {
    tell(addr, &format!("GET {path} HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")).await
}

#[tokio::test]
async fn status_page() {
    for (service, health) in [(echo("hi").await, "HTTP/1.1 200 "), (nobody(), "HTTP/1.1 503 ")] {
        serve("status_page", &[("127.0.0.1:9001", service.to_string())], |addr| async move {
            // At first the service was not asked yet.
            while !page(addr, "/health").await.starts_with(health) {}
            assert!(page(addr, "/").await.starts_with("HTTP/1.1 404 "));
            let status = page(addr, "/status?x").await;
            assert!(status.contains("application/json") && status.contains("{\"open\": 0, \"total\": 0,"), "{status}");
            assert!(status.ends_with("true}\n") || status.ends_with("false}\n"), "{status:?}");
            let (mut tcp, head) = ask(addr, "/ws", "").await;
            assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
            if health.contains("503") {
                assert_eq!(tcp.read_u8().await.unwrap(), 0x88);
                return;
            }
            assert!(page(addr, "/status").await.contains("{\"open\": 1, \"total\": 1,"));
            talk(&mut tcp, "hi", "hello").await;
            drop(tcp);
            // It is counted down when the session is over, which we cannot see.
            while !page(addr, "/status").await.contains("{\"open\": 0, \"total\": 1,") {}
        })
        .await;
    }
}
