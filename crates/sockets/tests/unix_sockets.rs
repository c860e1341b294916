//! UNIX stream sockets of the kernel: both ends by path and by abstract name, socket files, byte exchanges between them.
#![cfg(unix)]

#[cfg(target_os = "linux")]
#[path = "unix_sockets/linux.rs"]
mod linux;

use sockets::{
    copy::ExchangeBytes,
    exchange::ExchangeBytesOptions,
    info::SocketInfo,
    net::{
        kernel_stream::kernel_socket,
        unix::{
            UnixAddress, UnixConnectOptions, UnixError, UnixKind, UnixListenOptions, UnixListener, UnixPlace, connect,
            remove_socket_files,
        },
    },
    socket::StreamSocket,
    stop::Stop,
};
use std::{
    fs, io,
    os::unix::{
        fs::{FileTypeExt as _, PermissionsExt as _},
        net::UnixStream as StdStream,
    },
    path::Path,
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::UnixStream,
    time::timeout,
};

/// With a name that is short enough for a socket file, whatever TMPDIR is.
fn directory() -> tempfile::TempDir {
    tempfile::Builder::new().prefix("ws").tempdir_in("/tmp").unwrap()
}

/// Catches hangs; nothing is measured with it.
const PATIENCE: Duration = Duration::from_secs(20);

fn at(path: impl AsRef<Path>) -> UnixAddress {
    UnixAddress { kind: UnixKind::Stream, place: UnixPlace::Path(path.as_ref().to_owned()) }
}

fn listen(address: UnixAddress) -> Result<UnixListener, UnixError> {
    UnixListener::bind(address, &UnixListenOptions::default())
}

fn unlinking(address: UnixAddress) -> Result<UnixListener, UnixError> {
    UnixListener::bind(address, &UnixListenOptions { unlink: true, ..Default::default() })
}

fn error<T>(result: Result<T, UnixError>) -> String {
    result.err().expect("it fails").to_string()
}

/// Our end as a socket, and the peer's.
fn pair() -> (UnixStream, StreamSocket) {
    let (ours, theirs) = UnixStream::pair().unwrap();
    (theirs, kernel_socket(ours.into(), SocketInfo::default()))
}

async fn bounded<T>(future: impl Future<Output = T>) -> T {
    timeout(PATIENCE, future).await.expect("it hangs")
}

async fn rest(peer: &mut UnixStream) -> io::Result<String> {
    let mut all = String::new();
    bounded(peer.read_to_string(&mut all)).await.map(|_| all)
}

#[tokio::test]
async fn both_ends_meet_by_path_and_by_abstract_name() {
    let directory = directory();
    let mut places = vec![UnixPlace::Path(directory.path().join("s"))];
    if cfg!(target_os = "linux") {
        // Unique as the directory is; any bytes may be in it.
        places.push(UnixPlace::Abstract(directory.path().join("a\n\0b").into()));
    }
    for place in places {
        let address = UnixAddress { kind: UnixKind::Stream, place };
        let mut listener = listen(address.clone()).unwrap();
        let options = UnixConnectOptions::default();
        let connected = async { connect(&address, &options).await.map_err(io::Error::from) };
        let (client, (server, info)) = bounded(async { tokio::try_join!(connected, listener.accept()) }).await.unwrap();
        assert_eq!(info.specifier.as_deref(), Some(listener.name()));
        let (mut client, mut server) = (kernel_socket(client, SocketInfo::default()), kernel_socket(server, info));
        let mut got = String::new();
        client.write.as_mut().unwrap().write_all(b"question").await.unwrap();
        client.write.as_mut().unwrap().shutdown().await.unwrap();
        bounded(server.read.as_mut().unwrap().read_to_string(&mut got)).await.unwrap();
        server.write.as_mut().unwrap().write_all(b"answer").await.unwrap();
        drop(server);
        bounded(client.read.as_mut().unwrap().read_to_string(&mut got)).await.unwrap();
        assert_eq!(got, "questionanswer");
        let e = error(listen(address));
        assert!(e.contains("cannot listen on ") && e.contains("in use"), "{e}");
    }
}

#[tokio::test]
async fn errors_say_what_to_do() {
    let directory = directory();
    let options = UnixConnectOptions::default();
    let path = directory.path().join("s");
    let e = error(connect(&at(&path), &options).await);
    assert!(e.starts_with(&format!("cannot connect to unix:{}: No such file", path.display())), "{e}");
    drop(listen(at(&path)).unwrap());
    assert!(path.exists(), "the file stays unless it is to be removed");
    let e = error(connect(&at(&path), &options).await);
    assert!(e.contains("nobody listens there"), "{e}");
    let e = error(listen(at(&path)));
    assert!(e.contains("--unlink removes a socket file"), "{e}");
    #[cfg(target_os = "linux")]
    {
        let seqpacket = UnixAddress { kind: UnixKind::Seqpacket, ..at(directory.path().join("q")) };
        let _listener = listen(seqpacket.clone()).unwrap();
        let e = error(connect(&UnixAddress { kind: UnixKind::Stream, ..seqpacket }, &options).await);
        assert!(e.contains("a socket of another kind"), "{e}");
    }
    for (len, fits) in [(100, true), (107, cfg!(target_os = "linux")), (108, false), (5000, false)] {
        let long = at("x".repeat(len));
        let e = error(connect(&long, &options).await);
        assert_eq!(e.contains("the path of a socket may have at most 10"), !fits, "{e}");
        assert_eq!(e.contains("a shorter path, or use a symbolic link"), !fits, "{e}");
    }
    let shown = at("a\u{1b}[31m\nb").to_string();
    assert_eq!(shown, "unix:a\\u{1b}[31m\\nb");
}

#[tokio::test]
async fn unlink_removes_only_sockets_that_nobody_serves() {
    let directory = directory();
    let path = directory.path().join("s");
    fs::write(&path, "precious").unwrap();
    let e = error(unlinking(at(&path)));
    assert!(e.contains("not a socket"), "{e}");
    assert_eq!(fs::read_to_string(&path).unwrap(), "precious");
    let link = directory.path().join("link");
    std::os::unix::fs::symlink(&path, &link).unwrap();
    assert!(error(unlinking(at(&link))).contains("not a socket"));
    fs::remove_file(&path).unwrap();

    let mut first = unlinking(at(&path)).unwrap();
    assert!(fs::metadata(&path).unwrap().file_type().is_socket());
    assert!(error(unlinking(at(&path))).ends_with("somebody serves it already"));
    assert!(StdStream::connect(&path).is_ok(), "it still serves");
    bounded(first.accept()).await.unwrap();
    drop(first);
    assert!(!path.exists(), "its own file is removed at the end");

    drop(listen(at(&path)).unwrap());
    let second = unlinking(at(&path)).unwrap();
    StdStream::connect(&path).unwrap();
    // Somebody else's file in the same place is not removed.
    fs::remove_file(&path).unwrap();
    let third = listen(at(&path)).unwrap();
    drop(second);
    assert!(path.exists());
    drop(third);
    // A process that ends at once.
    let _fourth = unlinking(at(&path)).unwrap();
    remove_socket_files();
    assert!(!path.exists());
}

/// Each round leaves a dead file, and everybody starts at once.
#[tokio::test]
async fn of_many_that_start_at_once_exactly_one_serves() {
    const MANY: usize = 12;
    let directory = tempfile::tempdir().unwrap();
    let runtime = tokio::runtime::Handle::current();
    for round in 0..8 {
        let path = directory.path().join(round.to_string());
        drop(listen(at(&path)).unwrap());
        let start = std::sync::Barrier::new(MANY);
        let results: Vec<_> = std::thread::scope(|scope| {
            let contender = || {
                let _runtime = runtime.enter();
                start.wait();
                unlinking(at(&path))
            };
            let threads: Vec<_> = (0..MANY).map(|_| scope.spawn(contender)).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        let (mut winners, mut others) = (vec![], vec![]);
        for result in results {
            match result {
                Ok(listener) => winners.push(listener),
                Err(e) => others.push(e.to_string()),
            }
        }
        assert_eq!(winners.len(), 1, "round {round}: {others:?}");
        assert!(others.iter().all(|e| e.ends_with("somebody serves it already")), "{others:?}");
        let _client = StdStream::connect(&path).unwrap();
        bounded(winners[0].accept()).await.unwrap();
        drop(winners);
        assert!(!path.exists());
    }
}

/// As one does that is about to serve while another one starts.
#[tokio::test]
async fn whoever_is_about_to_serve_is_waited_for() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("s");
    drop(listen(at(&path)).unwrap());
    let lock = fs::File::open(directory.path()).unwrap();
    rustix::fs::flock(&lock, rustix::fs::FlockOperation::LockExclusive).unwrap();
    let runtime = tokio::runtime::Handle::current();
    let waiting = {
        let path = path.clone();
        std::thread::spawn(move || {
            let _runtime = runtime.enter();
            unlinking(at(&path))
        })
    };
    fs::remove_file(&path).unwrap();
    let _winner = listen(at(&path)).unwrap();
    drop(lock);
    assert!(error(waiting.join().unwrap()).ends_with("somebody serves it already"));
    assert!(StdStream::connect(&path).is_ok());
}

#[tokio::test]
async fn a_lock_that_is_kept_keeps_nobody_from_starting() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("s");
    let lock = fs::File::open(directory.path()).unwrap();
    rustix::fs::flock(&lock, rustix::fs::FlockOperation::LockExclusive).unwrap();
    drop(listen(at(&path)).unwrap());
    let mut listener = unlinking(at(&path)).unwrap();
    let _client = StdStream::connect(&path).unwrap();
    bounded(listener.accept()).await.unwrap();
    // What is served stays so.
    assert!(error(unlinking(at(&path))).ends_with("somebody serves it already"));
}

#[tokio::test]
async fn permissions_are_right_whatever_the_umask() {
    let directory = directory();
    for mode in [0o600, 0o660, 0o666, 0o777, 0] {
        let path = directory.path().join(mode.to_string());
        let _listener =
            UnixListener::bind(at(&path), &UnixListenOptions { mode: Some(mode), ..Default::default() }).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o7777, mode);
    }
}

#[tokio::test]
async fn an_exchange_keeps_half_closes_and_every_byte() {
    let ((mut a, left), (mut b, right)) = (pair(), pair());
    let session = tokio::spawn(ExchangeBytes::new(left, right, ExchangeBytesOptions::default(), Stop::new()));
    let data: Vec<u8> = (0..5_000_000u32).map(|n| (n >> 3) as u8).collect();
    let sent = data.clone();
    let (mut a_read, mut a_write) = a.split();
    let send = async {
        a_write.write_all(&sent).await.unwrap();
        a_write.shutdown().await.unwrap();
    };
    let receive = async {
        let mut got = vec![];
        b.read_to_end(&mut got).await.unwrap();
        got
    };
    let ((), got) = bounded(async { tokio::join!(send, receive) }).await;
    assert!(got == data);
    b.write_all(b"answer after the end").await.unwrap();
    drop(b);
    let mut answer = String::new();
    bounded(a_read.read_to_string(&mut answer)).await.unwrap();
    assert_eq!(answer, "answer after the end");
    bounded(session).await.unwrap().unwrap();
}

/// A peer that is gone with unread data is what a reset is here; the other side gets one too, if it has unread data.
#[tokio::test]
async fn a_reset_goes_on_as_far_as_there_are_such() {
    let ((mut a, left), (mut b, right)) = (pair(), pair());
    let session = tokio::spawn(ExchangeBytes::new(left, right, ExchangeBytesOptions::default(), Stop::new()));
    a.write_all(b"before").await.unwrap();
    let mut before = [0; 6];
    bounded(b.read_exact(&mut before)).await.unwrap();
    b.write_all(b"never read").await.unwrap();
    bounded(a.readable()).await.unwrap();
    a.write_all(b"last words").await.unwrap();
    drop(a);
    let error = bounded(session).await.unwrap().unwrap_err();
    assert_eq!(error.error.kind(), io::ErrorKind::ConnectionReset);
    // What came before it is there.
    let mut got = [0; 10];
    bounded(b.read_exact(&mut got)).await.unwrap();
    assert_eq!(&got, b"last words");
    assert!(bounded(b.read(&mut got)).await.is_ok_and(|n| n == 0) || cfg!(not(target_os = "linux")));
}

#[tokio::test]
async fn rest_of_a_peer_that_only_closed_is_no_error() {
    let ((a, left), (mut b, right)) = (pair(), pair());
    let session = tokio::spawn(ExchangeBytes::new(left, right, ExchangeBytesOptions::default(), Stop::new()));
    drop(a);
    assert_eq!(rest(&mut b).await.unwrap(), "");
    drop(b);
    bounded(session).await.unwrap().unwrap();
}
