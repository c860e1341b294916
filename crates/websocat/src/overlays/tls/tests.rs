//! The TLS client against rustls servers in this process, with certificates from `tests/certificates`.

use super::*;
use crate::{exec, scenario::Scenario, scenario::run, scenario::script_error};
use rustls::{
    ServerConfig,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
    version::{TLS12, TLS13},
};
use sockets::{stop::Stop, testing::pair};
use std::{io, sync::Mutex};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio_rustls::{LazyConfigAcceptor, TlsAcceptor, server::TlsStream};

const CA: &str = include_str!("../../../tests/certificates/ca.pem");
const SERVER: &str = include_str!("../../../tests/certificates/server.pem");
const EXPIRED: &str = include_str!("../../../tests/certificates/expired.pem");
const KEY: &str = include_str!("../../../tests/certificates/server.key");

/// Trusts the test CA alone.
fn trusting() -> String {
    format!("disable_built_in_roots: true, root_certificates_pem: [`{CA}`]")
}

/// Runs `tls_client` over this socket with a connector with these options.
async fn client(connector: &str, domain: &str, socket: StreamSocket) -> Result<StreamSocket> {
    let kept = Arc::new(Mutex::new(None));
    let mut engine = exec::engine();
    let (socket, keep) = (handle(socket), kept.clone());
    engine.register_fn("socket", move || socket.clone());
    engine.register_fn("keep", move |socket: Handle<StreamSocket>| -> TaskHandle {
        *keep.lock().unwrap() = socket.lock().unwrap().take();
        task(async { Ok(Flow::Done) })
    });
    let script = format!(
        "tls_client(#{{domain: \"{domain}\", timeout_ms: 5000}}, tls_client_connector(#{{{connector}}}), socket(), |tls| {{ keep(tls) }})"
    );
    let ast = engine.compile(script).unwrap();
    let scenario = Scenario::new(engine, ast, Stop::new(), None)?;
    let made: TaskHandle = scenario.engine.eval_ast(&scenario.ast).map_err(script_error)?;
    run(made.take("task").map_err(script_error)?).await?;
    Ok(kept.lock().unwrap().take().unwrap())
}

fn server_config(certificate: &str, versions: &[&'static rustls::SupportedProtocolVersion]) -> ServerConfig {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let certificate = CertificateDer::from_pem_slice(certificate.as_bytes()).unwrap();
    let key = PrivateKeyDer::from_pem_slice(KEY.as_bytes()).unwrap();
    let builder = ServerConfig::builder_with_provider(provider).with_protocol_versions(versions).unwrap();
    let mut config = builder.with_no_client_auth().with_single_cert(vec![certificate], key).unwrap();
    config.alpn_protocols = vec![b"x-test".to_vec()];
    config
}

async fn server(config: ServerConfig, socket: StreamSocket) -> io::Result<TlsStream<Joined>> {
    let joined = Joined::new(socket.read.unwrap(), socket.write.unwrap());
    TlsAcceptor::from(Arc::new(config)).accept(joined).await
}

/// Both ends of a handshake.
async fn connect(
    connector: &str,
    domain: &str,
    config: ServerConfig,
) -> (Result<StreamSocket>, io::Result<TlsStream<Joined>>) {
    let (a, b, _) = pair(1 << 16);
    tokio::join!(client(connector, domain, a), server(config, b))
}

fn default_config(certificate: &str) -> ServerConfig {
    server_config(certificate, &[&TLS12, &TLS13])
}

//= 6455-4.1-13 test
//= 6455-4.1-14 test
//= 6455-10.6-1 test
#[tokio::test]
async fn bytes_go_both_ways_and_ends_are_told() {
    for version in [&TLS12, &TLS13] {
        let (ours, theirs) = connect(&trusting(), "example.test", server_config(SERVER, &[version])).await;
        let (ours, mut theirs) = (ours.unwrap(), theirs.unwrap());
        assert_eq!(theirs.get_ref().1.server_name(), Some("example.test"));
        assert_eq!(ours.info.tls_server_name.as_deref(), Some("example.test"));
        let (mut read, mut write) = (ours.read.unwrap(), ours.write.unwrap());
        let long = vec![7; 300_000];
        let sent = async {
            write.write_all(&long).await.unwrap();
            write.shutdown().await.unwrap();
        };
        let mut got = Vec::new();
        // Without close_notify rustls would make this an error.
        let received = theirs.read_to_end(&mut got);
        let (_, n) = tokio::join!(sent, received);
        assert_eq!(n.unwrap(), long.len());
        // Our own end is a half-close.
        theirs.write_all(b"reply").await.unwrap();
        theirs.shutdown().await.unwrap();
        got.clear();
        read.read_to_end(&mut got).await.unwrap();
        assert_eq!(got, b"reply");
    }
}

#[tokio::test]
async fn an_end_without_close_notify_is_an_end() {
    let (ours, theirs) = connect(&trusting(), "example.test", default_config(SERVER)).await;
    let mut theirs = theirs.unwrap();
    theirs.write_all(b"last words").await.unwrap();
    theirs.flush().await.unwrap();
    drop(theirs);
    let mut got = Vec::new();
    ours.unwrap().read.unwrap().read_to_end(&mut got).await.unwrap();
    assert_eq!(got, b"last words");
}

//= 6455-4.1-12 test
#[tokio::test]
async fn certificates_are_checked() {
    let alone = "disable_built_in_roots: true, root_certificates_pem: [`".to_owned() + OTHER_CA + "`]";
    let cases = [
        (trusting(), "wrong.test", SERVER, "is for example.test, 127.0.0.1, not wrong.test"),
        (trusting(), "wrong.test", SERVER, "--tls-domain"),
        (trusting(), "example.test", EXPIRED, "has expired"),
        (alone, "example.test", SERVER, "unknown issuer"),
        (trusting(), "127.0.0.2", SERVER, "not 127.0.0.2"),
    ];
    for (connector, domain, certificate, says) in cases {
        let (ours, theirs) = connect(&connector, domain, default_config(certificate)).await;
        let e = ours.err().expect(says);
        assert_eq!(e.kind, Kind::Tls);
        let text = e.to_string();
        assert!(text.starts_with("TLS with ") && text.contains(says) && text.contains("-k turns"), "{text}");
        // Over TLS 1.3 the server learns of it only when it reads.
        if let Ok(mut theirs) = theirs {
            assert!(theirs.read_u8().await.is_err());
        }
    }
}

/// A root that signed nothing here: any certificate will do.
const OTHER_CA: &str = EXPIRED;

#[tokio::test]
async fn checks_can_be_turned_off() {
    for (options, domain, certificate, works) in [
        ("danger_accept_invalid_certs: true, danger_accept_invalid_hostnames: true", "wrong.test", EXPIRED, true),
        ("danger_accept_invalid_certs: true", "wrong.test", SERVER, true),
        (&*format!("{}, danger_accept_invalid_hostnames: true", trusting()), "wrong.test", SERVER, true),
        (&*format!("{}, danger_accept_invalid_hostnames: true", trusting()), "example.test", EXPIRED, false),
    ] {
        for version in [&TLS12, &TLS13] {
            let (ours, _theirs) = connect(options, domain, server_config(certificate, &[version])).await;
            assert_eq!(ours.is_ok(), works, "{options}: {:?}", ours.err().map(|e| e.to_string()));
        }
    }
}

#[tokio::test]
async fn addresses_names_and_alpn() {
    for domain in ["127.0.0.1", "[127.0.0.1]"] {
        let (ours, theirs) = connect(&trusting(), domain, default_config(SERVER)).await;
        assert!(ours.is_ok(), "{}", ours.err().unwrap());
        assert_eq!(theirs.unwrap().get_ref().1.server_name(), None);
    }
    let options = format!("{}, no_sni: true, request_alpns: [\"x-test\"]", trusting());
    let (ours, theirs) = connect(&options, "example.test", default_config(SERVER)).await;
    assert!(ours.is_ok());
    let theirs = theirs.unwrap();
    assert_eq!(theirs.get_ref().1.server_name(), None);
    assert_eq!(theirs.get_ref().1.alpn_protocol(), Some(&b"x-test"[..]));
}

//= 6455-10.6-3 test
#[tokio::test]
async fn versions_that_do_not_meet() {
    let options = format!("{}, min_protocol_version: \"tls13\"", trusting());
    let (ours, _) = connect(&options, "example.test", server_config(SERVER, &[&TLS12])).await;
    let e = ours.err().unwrap();
    assert!(e.kind == Kind::Tls && e.to_string().contains("no TLS version"), "{e}");
}

//= 6455-10.6-3 test
#[tokio::test]
async fn only_strong_algorithms_are_offered() {
    let (a, b, _) = pair(1 << 16);
    let peer = async move {
        let joined = Joined::new(b.read.unwrap(), b.write.unwrap());
        let start = LazyConfigAcceptor::new(rustls::server::Acceptor::default(), joined).await.unwrap();
        let hello = start.client_hello();
        hello.cipher_suites().to_vec()
    };
    let options = trusting();
    let (_, suites) = tokio::join!(client(&options, "example.test", a), peer);
    let authenticated = ["AES_128_GCM", "AES_256_GCM", "CHACHA20_POLY1305"];
    let names: Vec<_> = suites.iter().map(|suite| format!("{suite:?}")).collect();
    for name in names.iter().filter(|name| !name.contains("SCSV")) {
        assert!(authenticated.iter().any(|good| name.contains(good)), "{name}");
        assert!(name.starts_with("TLS13_") || name.starts_with("TLS_ECDHE_"), "{name}");
    }
    assert!(names.len() >= 3, "{names:?}");
    // Neither can older versions be had.
    for old in ["ssl3", "tls10", "tls11"] {
        let (a, _b, _) = pair(1);
        let options = format!("{}, max_protocol_version: \"{old}\"", trusting());
        let e = client(&options, "example.test", a).await.err().unwrap();
        assert!(e.to_string().contains("1.2 and 1.3 only"), "{e}");
    }
}

//= 6455-4.1-11 test
#[tokio::test]
async fn what_is_no_tls_server() {
    for (answer, says) in [("HTTP/1.1 400 Bad Request\r\n\r\n", "does not speak TLS"), ("", "closed the connection")] {
        let (a, b, _) = pair(1 << 16);
        let peer = async move {
            let mut b = b;
            b.write.as_mut().unwrap().write_all(answer.as_bytes()).await.unwrap();
            let mut hello = [0; 5];
            b.read.as_mut().unwrap().read_exact(&mut hello).await.unwrap();
            // A handshake record comes first.
            assert_eq!(hello[0], 22);
        };
        let (ours, ()) = tokio::join!(client("danger_accept_invalid_certs: true", "example.test", a), peer);
        let e = ours.err().unwrap();
        assert!(e.kind == Kind::Tls && e.to_string().contains(says), "{e}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_handshake_has_limited_time() {
    let (a, _b, _) = pair(1 << 16);
    let start = tokio::time::Instant::now();
    let e = client("danger_accept_invalid_certs: true", "example.test", a).await.err().unwrap();
    assert!(e.kind == Kind::HandshakeTimeout && e.to_string().contains("5s"), "{e}");
    assert_eq!(start.elapsed(), Duration::from_secs(5));
}

#[tokio::test]
async fn names_that_are_none() {
    for domain in ["", "a b", "x/y", "[::1"] {
        let (a, _b, _) = pair(1);
        let e = client("danger_accept_invalid_certs: true", domain, a).await.err().unwrap();
        assert!(e.kind == Kind::Tls && e.to_string().contains("not a host name"), "{domain}: {e}");
    }
}
