//! UNIX sockets and inherited listeners of the built program, with sockets of the standard library as peers.

use super::program::{PATIENCE, Program, run, until, websocat};
use rustix::process::Signal;
use socket2::{Domain, SockAddr, Socket, Type};
use std::{
    fs,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    os::{
        fd::OwnedFd,
        linux::net::SocketAddrExt as _,
        unix::{
            fs::{FileTypeExt as _, PermissionsExt as _},
            net::{UnixListener, UnixStream},
        },
    },
    path::Path,
    process::{Command, Stdio},
};

/// Started, and listening: with what it announced.
struct Listening {
    program: Program,
    announced: String,
}

fn start(command: &mut Command) -> Listening {
    let mut program = Program::spawn(command);
    let mut announced = String::new();
    BufReader::new(program.child().stdout.take().unwrap()).read_line(&mut announced).unwrap();
    if announced.is_empty() {
        panic!("it does not listen: {:?}", program.over());
    }
    Listening { program, announced }
}

fn serve(args: &[&str]) -> Listening {
    start(&mut websocat(&[args, &["--stdout-announce-listening-ports"]].concat()))
}

impl Listening {
    fn stop(self) -> String {
        self.program.signal(Signal::TERM);
        let over = self.program.over();
        assert_eq!(over.code(), Some(0), "{over:?}");
        over.stderr
    }
}

fn connect(path: &Path) -> UnixStream {
    let socket = UnixStream::connect(path).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket
}

/// Sends, half-closes, and gives all that comes back.
fn ask(mut socket: UnixStream, question: &str) -> String {
    socket.write_all(question.as_bytes()).unwrap();
    socket.shutdown(Shutdown::Write).unwrap();
    let mut answer = String::new();
    socket.read_to_string(&mut answer).unwrap();
    answer
}

fn seqpacket(address: &SockAddr) -> Socket {
    let socket = Socket::new(Domain::UNIX, Type::SEQPACKET, None).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket.connect(address).unwrap();
    socket
}

fn receive(mut socket: &Socket) -> Vec<u8> {
    let mut bytes = vec![0; 1 << 20];
    let n = socket.read(&mut bytes).unwrap();
    bytes.truncate(n);
    bytes
}

fn listener(domain: Domain, kind: Type, address: &SockAddr) -> OwnedFd {
    let socket = Socket::new(domain, kind, None).unwrap();
    socket.bind(address).unwrap();
    socket.listen(9).unwrap();
    socket.into()
}

/// A directory whose name is short enough for a socket file, and a path in it.
fn place() -> (tempfile::TempDir, String) {
    let directory = tempfile::Builder::new().prefix("ws").tempdir_in("/tmp").unwrap();
    let path = directory.path().join("s").to_str().unwrap().to_owned();
    (directory, path)
}

#[test]
fn streams_by_path_and_by_abstract_name() {
    let (_directory, path) = place();
    let listening = serve(&["-b", &format!("unix-l:{path}"), "mirror:"]);
    assert_eq!(listening.announced, format!("LISTEN proto=unix,path=\"{path}\"\n"));
    for _ in 0..3 {
        assert_eq!(ask(connect(Path::new(&path)), "words"), "words");
    }
    // The program as its own client.
    let (over, said) = run(&["-b", &format!("unix:{path}"), "-"], b"more words");
    assert_eq!((over.code(), said.as_slice()), (Some(0), &b"more words"[..]), "{}", over.stderr);
    listening.stop();
    assert!(Path::new(&path).exists(), "as it was made, so it stays");

    let listening = serve(&["-b", &format!("l-abs:{path}"), "mirror:"]);
    let hex: String = path.bytes().map(|b| format!("{b:02x}")).collect();
    assert_eq!(listening.announced, format!("LISTEN proto=abstract,path_hex={hex}\n"));
    let address = std::os::unix::net::SocketAddr::from_abstract_name(&path).unwrap();
    assert_eq!(ask(UnixStream::connect_addr(&address).unwrap(), "words"), "words");
    let (over, said) = run(&["-b", &format!("abs:{path}"), "-"], b"more words");
    assert_eq!((over.code(), said.as_slice()), (Some(0), &b"more words"[..]), "{}", over.stderr);
}

#[test]
fn failures_have_their_status_and_say_what_to_do() {
    let (_directory, path) = place();
    for (line, status, part) in [
        (&["-b", "unix:/nonexistent/s", "-"][..], 14, "unix:/nonexistent/s: No such file"),
        (&["-b", "abs:nobody has this name", "-"], 14, "nobody listens there"),
        (&["-b", "unix-l:/nonexistent/s", "-"], 24, "unix:/nonexistent/s: No such file"),
        (&["-b", "seqpacket-l:/nonexistent/s", "-"], 24, "seqpacket:/nonexistent/s: No such file"),
        (&["-b", "unix:", "-"], 2, "the path is missing"),
        (&["-b", "abs-seqp:", "-"], 2, "the name is missing"),
        (&["-b", &format!("unix:{path}{}", "x".repeat(100)), "-"], 14, "symbolic link"),
        (&["-b", &format!("unix-l:{path}{}", "x".repeat(100)), "-"], 24, "symbolic link"),
        (&["-b", &format!("abs-l:{}", "x".repeat(108)), "-"], 24, "the abstract name of a socket may have at most 107"),
    ] {
        let (over, _) = run(line, b"");
        assert_eq!(over.code(), Some(status), "{line:?}: {over:?}");
        assert!(over.stderr.contains(part), "{line:?}: {over:?}");
    }
    let (over, _) = run(&["-b", "-u", "seqpacket:@name", "devnull:"], b"");
    assert!(over.stderr.contains("a file whose name begins with @"), "{over:?}");
}

#[test]
fn unlink_makes_way_and_cleans_up() {
    let (_directory, path) = place();
    drop(UnixListener::bind(&path).unwrap());
    let specifier = format!("unix-l:{path}");
    let (over, _) = run(&["-b", &specifier, "mirror:"], b"");
    assert!(over.code() == Some(24) && over.stderr.contains("--unlink"), "{over:?}");

    let listening = serve(&["-b", &specifier, "mirror:", "--unlink"]);
    assert_eq!(ask(connect(Path::new(&path)), "words"), "words");
    // Whoever is served is left alone.
    let (over, _) = run(&["-b", &specifier, "mirror:", "--unlink"], b"");
    assert!(over.code() == Some(24) && over.stderr.contains("somebody serves it already"), "{over:?}");
    assert_eq!(ask(connect(Path::new(&path)), "words"), "words");
    listening.stop();
    assert!(!Path::new(&path).exists());

    // Also where the end is a sudden one.
    let args = ["-b", &specifier, "mirror:", "--unlink", "--exit-after-one-session"];
    let listening = serve(&args);
    assert_eq!(ask(connect(Path::new(&path)), "words"), "words");
    assert_eq!(listening.program.over().code(), Some(0));
    assert!(!Path::new(&path).exists());

    fs::write(&path, "precious").unwrap();
    let (over, _) = run(&args, b"");
    assert!(over.code() == Some(24) && over.stderr.contains("not a socket"), "{over:?}");
    assert_eq!(fs::read_to_string(&path).unwrap(), "precious");
}

/// Permissions of the file of a listener with this option, under an umask that would have it otherwise.
fn permissions(option: &str) -> u32 {
    let (_directory, path) = place();
    let mut shell = Command::new("sh");
    shell.args(["-c", "umask 027; exec \"$0\" \"$@\"", env!("CARGO_BIN_EXE_websocat")]);
    shell.args(["-b", &format!("seqpacket-l:{path}"), "mirror:", option, "--stdout-announce-listening-ports"]);
    let _listening = start(shell.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()));
    let found = fs::metadata(&path).unwrap();
    assert!(found.file_type().is_socket());
    found.permissions().mode() & 0o7777
}

#[test]
fn chmod_owner_lets_the_owner_in() {
    assert_eq!(permissions("--chmod-owner"), 0o600);
}

#[test]
fn chmod_group_lets_the_group_in() {
    assert_eq!(permissions("--chmod-group"), 0o660);
}

#[test]
fn chmod_everyone_lets_everybody_in() {
    assert_eq!(permissions("--chmod-everyone"), 0o666);
}

#[test]
fn the_narrowest_permissions_win_with_a_warning() {
    let (_directory, path) = place();
    let listening =
        serve(&["-b", &format!("unix-l:{path}"), "mirror:", "--chmod-everyone", "--chmod-group", "--chmod-owner"]);
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o7777, 0o600);
    let said = listening.stop();
    assert!(said.contains("several --chmod options"), "{said}");
}

#[test]
fn messages_of_seqpacket_keep_their_borders() {
    let (_directory, path) = place();
    for (prefix, client, proto, address) in [
        ("seqp-l", "seqp", "unix_seqpacket", SockAddr::unix(&path).unwrap()),
        ("l-abs-seqp", "abs-seqp", "abstract_seqpacket", SockAddr::unix(format!("\0{path}")).unwrap()),
    ] {
        let listening = serve(&["-b", &format!("{prefix}:{path}"), "mirror:"]);
        assert!(listening.announced.starts_with(&format!("LISTEN proto={proto},path")), "{}", listening.announced);
        let socket = seqpacket(&address);
        let long: Vec<u8> = (0..100_000).map(|i| (i / 7) as u8).collect();
        for message in [&b"one"[..], b"", b"three", &long] {
            socket.send(message).unwrap();
            assert!(receive(&socket) == message);
        }
        socket.shutdown(Shutdown::Write).unwrap();
        assert_eq!(receive(&socket), b"", "the end");
        let (over, said) = run(&["-t", &format!("{client}:{path}"), "-"], b"a line\nanother\n");
        assert_eq!((over.code(), said.as_slice()), (Some(0), &b"a line\nanother\n"[..]), "{over:?}");
    }
}

#[test]
fn seqpacket_max_send_datagram_size_is_the_longest_message() {
    let (_directory, path) = place();
    let server = listener(Domain::UNIX, Type::SEQPACKET, &SockAddr::unix(&path).unwrap());
    let server = Socket::from(server);
    let args = ["-t", "-u", "-", &format!("seqpacket:{path}"), "--seqpacket-max-send-datagram-size", "8"];
    let (over, _) = run(&args, b"8 bytes.\nnine byte\n");
    assert_ne!(over.code(), Some(0), "{over:?}");
    assert!(over.stderr.contains("--seqpacket-max-send-datagram-size"), "{over:?}");
    assert_eq!(receive(&server.accept().unwrap().0), b"8 bytes.");
}

/// What an accepted WebSocket reads from a SEQPACKET peer is text with `-t`.
#[test]
fn seqpacket_messages_are_text_if_asked_for() {
    for (flag, first) in [("-t", 0x81), ("-b", 0x82)] {
        let (_directory, path) = place();
        let server = Socket::from(listener(Domain::UNIX, Type::SEQPACKET, &SockAddr::unix(&path).unwrap()));
        let (_program, port) = Program::listen(&[flag, "ws-l:127.0.0.1:0", &format!("seqpacket:{path}")]);
        let mut ws = super::program::connect_ws(port);
        let (peer, _) = server.accept().unwrap();
        peer.send(b"word").unwrap();
        assert_eq!(super::program::frame(&mut ws), (first, b"word".to_vec()));
        super::program::write_frame(&mut ws, 0x82, b"answer");
        assert_eq!(receive(&peer), b"answer");
    }
}

#[test]
fn websockets_over_unix_sockets() {
    let (_directory, path) = place();
    for (server, client) in [("unix", "unix"), ("abstract", "abs")] {
        let _listening = serve(&["-t", &format!("ws-u:{server}-l:{path}"), "mirror:"]);
        let (over, said) = run(&["-t", &format!("ws-c:{client}:{path}"), "-"], b"over a WebSocket\n");
        assert_eq!((over.code(), said.as_slice()), (Some(0), &b"over a WebSocket\n"[..]), "{over:?}");
    }
}

#[test]
fn hooks_and_limits_are_those_of_every_listener() {
    let (directory, path) = place();
    let (specifier, mark) = (format!("unix-l:{path}"), directory.path().join("mark"));
    let hook = format!("test -S {path} && echo ready > {}", mark.display());
    // The hook is over before the first connection is served, and a single one ends it all.
    let args = ["-b", "--oneshot", &specifier, "mirror:", "--exec-after-listen", &hook, "--unlink"];
    let listening = serve(&args);
    assert_eq!(ask(connect(Path::new(&path)), "words"), "words");
    assert_eq!(listening.program.over().code(), Some(0));
    assert_eq!(fs::read_to_string(&mark).unwrap(), "ready\n");

    let listening = serve(&["-b", &specifier, "mirror:", "--conncap", "1", "--unlink"]);
    let mut first = connect(Path::new(&path));
    first.write_all(b"x").unwrap();
    first.read_exact(&mut [0]).unwrap();
    assert_eq!(ask_or_nothing(connect(Path::new(&path))), "", "one is served already");
    first.write_all(b"y").unwrap();
    first.read_exact(&mut [0]).unwrap();
    drop(first);
    until("there is room again", || (ask_or_nothing(connect(Path::new(&path))) == "words").then_some(()));
    let said = listening.stop();
    assert!(said.contains("--conncap"), "{said}");
}

/// As [`ask`] of somebody who may close at once.
fn ask_or_nothing(mut socket: UnixStream) -> String {
    let mut answer = String::new();
    let asked = socket.write_all(b"words").and_then(|()| socket.shutdown(Shutdown::Write));
    let heard = asked.and_then(|()| socket.read_to_string(&mut answer));
    if heard.is_ok() { answer } else { String::new() }
}

#[test]
fn joined_with_everything_else() {
    let (directory, path) = place();
    let at = |name: &str| directory.path().join(name).to_str().unwrap().to_owned();
    // Filters, a split writer, and messages for many who share one connection.
    let filter = serve(&["-b", &format!("unix-l:{}", at("filter")), "mirror:"]);
    let listening = serve(&["-b", &format!("unix-l:{path}"), "mirror:", "--filter", &format!("unix:{}", at("filter"))]);
    assert_eq!(ask(connect(Path::new(&path)), "through a filter"), "through a filter");
    drop((listening, filter));

    let written = UnixListener::bind(at("written")).unwrap();
    let read = UnixListener::bind(at("read")).unwrap();
    let specifier = format!("write-splitoff:unix:{}", at("read"));
    let splitoff = format!("unix:{}", at("written"));
    let mut program =
        Program::spawn(websocat(&["-b", "-", &specifier, "--write-splitoff", &splitoff]).stdin(Stdio::piped()));
    program.child().stdin.take().unwrap().write_all(b"written here").unwrap();
    let mut got = String::new();
    written.accept().unwrap().0.read_to_string(&mut got).unwrap();
    assert_eq!(got, "written here");
    read.accept().unwrap().0.write_all(b"read there").unwrap();
    got.clear();
    program.child().stdout.take().unwrap().read_to_string(&mut got).unwrap();
    assert_eq!(got, "read there");
    assert_eq!(program.over().code(), Some(0));

    let shared = at("shared");
    let server = Socket::from(listener(Domain::UNIX, Type::SEQPACKET, &SockAddr::unix(&shared).unwrap()));
    let _listening = serve(&["-b", &format!("seqpacket-l:{}", at("many")), &format!("reuse-raw:seqpacket:{shared}")]);
    let clients = [(); 2].map(|()| seqpacket(&SockAddr::unix(at("many")).unwrap()));
    let mut peer = None;
    for client in &clients {
        client.send(b"from one of several").unwrap();
        let peer: &mut Socket = peer.get_or_insert_with(|| server.accept().unwrap().0);
        assert_eq!(receive(peer), b"from one of several");
    }
}

/// The program with `fd` as its descriptor 3, and these variables; `$$` is its process number.
fn with_listener(fd: OwnedFd, variables: &str, args: &[&str]) -> Command {
    let mut shell = Command::new("sh");
    let line = format!("{variables} exec \"$0\" \"$@\" 3<&0 </dev/null");
    shell.args(["-c", &line, env!("CARGO_BIN_EXE_websocat")]).args(args);
    shell.env_remove("LISTEN_FDS").env_remove("LISTEN_FDNAMES").env_remove("LISTEN_PID");
    shell.stdin(Stdio::from(fd)).stdout(Stdio::piped()).stderr(Stdio::piped());
    shell
}

const ANNOUNCED: &str = "--stdout-announce-listening-ports";

#[test]
fn listeners_are_inherited_by_number_and_by_name() {
    const NAMED: &str = "export LISTEN_FDS=1 LISTEN_FDNAMES=web LISTEN_PID=$$;";
    for (suffix, variables, announced) in [("fd:3", "", "fd=3"), ("fdname:web", NAMED, "fdname=\"web\"")] {
        let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = tcp.local_addr().unwrap();
        let line = ["-b", &format!("tcp-l-{suffix}"), "mirror:", ANNOUNCED];
        let listening = start(&mut with_listener(tcp.into(), variables, &line));
        assert_eq!(listening.announced, format!("LISTEN proto=tcp,ip=127.0.0.1,port={}\n", address.port()));
        for _ in 0..2 {
            let mut client = TcpStream::connect(address).unwrap();
            client.set_read_timeout(Some(PATIENCE)).unwrap();
            client.write_all(b"x").unwrap();
            client.read_exact(&mut [0]).unwrap();
        }
        listening.stop();

        let (_directory, path) = place();
        let unix = UnixListener::bind(&path).unwrap();
        let line = ["-b", &format!("unix-l-{suffix}"), "mirror:", ANNOUNCED];
        let listening = start(&mut with_listener(unix.into(), variables, &line));
        assert_eq!(listening.announced, format!("LISTEN proto=unix,{announced}\n"));
        assert_eq!(ask(connect(Path::new(&path)), "words"), "words");
        listening.stop();
        assert!(Path::new(&path).exists(), "it is somebody else's");

        let (_directory, path) = place();
        let address = SockAddr::unix(&path).unwrap();
        let line = ["-b", &format!("seqp-l-{suffix}"), "mirror:", ANNOUNCED];
        let fd = listener(Domain::UNIX, Type::SEQPACKET, &address);
        let listening = start(&mut with_listener(fd, variables, &line));
        assert_eq!(listening.announced, format!("LISTEN proto=unix_seqpacket,{announced}\n"));
        let client = seqpacket(&address);
        client.send(b"message").unwrap();
        assert_eq!(receive(&client), b"message");
        listening.stop();
    }
}

#[test]
fn what_cannot_be_inherited_is_refused_by_name() {
    let any: SocketAddr = "127.0.0.1:0".parse().unwrap();
    let tcp = || listener(Domain::IPV4, Type::STREAM, &any.into());
    let deaf = || OwnedFd::from(Socket::new(Domain::IPV4, Type::STREAM, None).unwrap());
    type Make<'a> = &'a dyn Fn() -> OwnedFd;
    let table: [(Make<'_>, &str, &str, &str); 9] = [
        (&tcp, "", "unix-l-fd:3", "descriptor 3 is not a listening UNIX stream socket: it is a TCP socket"),
        (&tcp, "", "seqp-l-fd:3", "is not a listening UNIX SEQPACKET socket: it is a TCP socket"),
        (&deaf, "", "tcp-l-fd:3", "is not a listening TCP socket: it does not listen"),
        (&tcp, "", "tcp-l-fd:77", "descriptor 77 is not open"),
        (&tcp, "", "tcp-l-fdname:x", "LISTEN_FDS is not set"),
        (&tcp, "export LISTEN_FDS=1 LISTEN_FDNAMES=a LISTEN_PID=1;", "tcp-l-fdname:a", "LISTEN_PID is 1, but"),
        (&tcp, "export LISTEN_FDS=1 LISTEN_FDNAMES=a;", "unix-l-fdname:b", "LISTEN_FDNAMES has `a`"),
        (&tcp, "export LISTEN_FDS=2 LISTEN_FDNAMES=a:a;", "tcp-l-fdname:a", "several descriptors are called `a`: 3, 4"),
        (&tcp, "export LISTEN_FDS=x LISTEN_FDNAMES=a;", "tcp-l-fdname:a", "LISTEN_FDS is `x`"),
    ];
    for (make, variables, specifier, part) in table {
        let over = Program::spawn(&mut with_listener(make(), variables, &["-b", specifier, "mirror:"])).over();
        assert!(over.code() == Some(24) && over.stderr.contains(part), "{specifier}: {over:?}");
    }
}

#[test]
fn accept_from_fd_says_how_it_is_written_now() {
    // Where the option is not known, the path cannot be listened on.
    for (prefix, instead) in [("unix-l", "unix-listen-fd:/nonexistent/3"), ("seqp-l", "seqpacket-listen-fd:/nonex")] {
        let (over, _) = run(&["-b", &format!("{prefix}:/nonexistent/3"), "mirror:", "--accept-from-fd"], b"");
        assert!(over.code() == Some(2) && over.stderr.contains(instead), "{over:?}");
    }
    let (over, _) = run(&["-b", "literal:x", "devnull:", "--accept-from-fd"], b"");
    assert!(over.code() == Some(0) && over.stderr.contains("unix-listen-fd:3"), "{over:?}");
}
