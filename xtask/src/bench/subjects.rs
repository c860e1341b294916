//! The servers: one row each says how it comes to be here and which command line serves a workload.
//!
//! All are started as their users would, with the larger buffer where that is faster. A command must keep its process
//! id (exec, no daemon, no worker processes): CPU time and memory are read from it.

use super::{
    peers::Cache,
    workloads::{Join, Kind, Workload},
};
use std::{
    env, fs,
    path::{Path, PathBuf},
};

/// What to serve, and where.
#[derive(Clone, Copy)]
pub(super) struct Session {
    pub kind: Kind,
    /// The server listens here.
    pub port: u16,
    /// The server connects here.
    pub backend: u16,
}

type Words = Result<Option<Vec<String>>, String>;

pub(super) struct Subject {
    pub name: &'static str,
    /// Makes the program available, returns its path.
    pub install: fn(&Cache) -> Result<PathBuf, String>,
    /// The command line: None if it cannot do this, empty if there is no process to start.
    pub command: fn(&Path, &Cache, Session) -> Words,
    /// The kinds of workload that `command` knows.
    kinds: fn(Kind) -> bool,
}

impl Subject {
    pub(super) fn takes_part(&self, workload: &Workload) -> bool {
        (self.kinds)(workload.kind) && !(self.name == NULL && workload.name == "idle")
    }
}

pub(super) const WEBSOCAT: &str = "websocat";
/// The same program, told not to splice.
pub(super) const WEBSOCAT_COPY: &str = "websocat-no-splice";
pub(super) const UPSTREAM_4: &str = "websocat-4.0.0-alpha3";
pub(super) const UPSTREAM_1: &str = "websocat-1.14.1";
pub(super) const FASTWEBSOCKETS: &str = "fastwebsockets";
pub(super) const TUNGSTENITE: &str = "tungstenite";
pub(super) const NODE_WS: &str = "node-ws";
pub(super) const SOCAT: &str = "socat";
pub(super) const NGINX: &str = "nginx";
/// What a relay costs that does nothing but splice.
pub(super) const RELAY: &str = "two-splices";
/// The generator against as good as nothing.
pub(super) const NULL: &str = "null";

pub(super) const SUBJECTS: [Subject; 11] = [
    Subject { name: WEBSOCAT, install: Cache::websocat, command: websocat_5, kinds: |_| true },
    Subject { name: WEBSOCAT_COPY, install: Cache::websocat, command: websocat_copy, kinds: is_framed },
    Subject {
        name: UPSTREAM_4,
        install: |cache| cache.registry("websocat", "4.0.0-alpha3"),
        command: websocat_4,
        kinds: |kind| !matches!(kind, Kind::Deflate | Kind::Framing),
    },
    Subject {
        name: UPSTREAM_1,
        install: |cache| cache.registry("websocat", "1.14.1"),
        command: websocat_1,
        kinds: |kind| !matches!(kind, Kind::Deflate | Kind::Framing | Kind::Datagrams) && !is_framed(kind),
    },
    Subject {
        name: FASTWEBSOCKETS,
        install: |cache| cache.peer("fastwebsockets", "echo-fastwebsockets"),
        command: echo_only,
        kinds: |kind| kind == Kind::Echo,
    },
    Subject {
        name: TUNGSTENITE,
        install: |cache| cache.peer("tungstenite", "echo-tungstenite"),
        command: echo_only,
        kinds: |kind| kind == Kind::Echo,
    },
    Subject {
        name: NODE_WS,
        install: |cache| cache.node("node-ws", "echo.js"),
        command: node,
        kinds: |kind| kind == Kind::Deflate,
    },
    Subject {
        name: SOCAT,
        install: Cache::socat,
        command: socat,
        kinds: |kind| is_bare(kind) || kind == Kind::Datagrams,
    },
    Subject { name: NGINX, install: Cache::nginx, command: nginx, kinds: |kind| is_bare(kind) || kind == Kind::Pairs },
    Subject { name: RELAY, install: Cache::load_generator, command: relay, kinds: is_bare },
    Subject {
        name: NULL,
        install: Cache::load_generator,
        command: null,
        kinds: |kind| !matches!(kind, Kind::Deflate | Kind::Framing | Kind::Pairs | Kind::Datagrams),
    },
];

/// Bytes from socket to socket, with nothing between.
fn is_bare(kind: Kind) -> bool {
    matches!(kind, Kind::Transfer(Join::TcpTcp | Join::UnixUnix, _))
}

/// TCP to TCP with messages between.
fn is_framed(kind: Kind) -> bool {
    matches!(kind, Kind::Transfer(Join::LengthPrefixed | Join::Lines, _))
}

fn words<const N: usize>(program: &Path, rest: [&str; N]) -> Words {
    let program = program.display().to_string();
    Ok(Some([program].into_iter().chain(rest.map(String::from)).collect()))
}

/// The socket that stands for a port where there are none.
pub(super) fn path(port: u16) -> PathBuf {
    env::temp_dir().join(format!("websocat-bench-{port}.sock"))
}

/// The specifiers of a session, alike in all versions of websocat.
fn specifiers(session: Session) -> [String; 2] {
    let Session { kind, port, backend } = session;
    match kind {
        Kind::Echo | Kind::Deflate => [format!("ws-l:127.0.0.1:{port}"), "mirror:".into()],
        Kind::Transfer(Join::UnixUnix, _) => {
            [format!("unix-l:{}", path(port).display()), format!("unix:{}", path(backend).display())]
        }
        Kind::Transfer(Join::TcpTcp, _) | Kind::Pairs => {
            [format!("tcp-l:127.0.0.1:{port}"), format!("tcp:127.0.0.1:{backend}")]
        }
        Kind::Transfer(Join::WsTcp, _) => [format!("ws-l:127.0.0.1:{port}"), format!("tcp:127.0.0.1:{backend}")],
        Kind::Transfer(Join::TcpWs, _) => [format!("tcp-l:127.0.0.1:{port}"), format!("ws://127.0.0.1:{backend}/")],
        Kind::Transfer(Join::LengthPrefixed, _) => {
            [format!("lengthprefixed:tcp-l:127.0.0.1:{port}"), format!("lengthprefixed:tcp:127.0.0.1:{backend}")]
        }
        Kind::Transfer(Join::Lines, _) => {
            [format!("lines:tcp-l:127.0.0.1:{port}"), format!("lines:tcp:127.0.0.1:{backend}")]
        }
        Kind::Datagrams => [format!("udp-l:127.0.0.1:{port}"), format!("udp:127.0.0.1:{backend}")],
        // Never asked for.
        Kind::Framing => [String::new(), String::new()],
        Kind::Start => ["literal:abc".into(), "writefile:/dev/null".into()],
    }
}

fn websocat_5(program: &Path, _: &Cache, session: Session) -> Words {
    let [left, right] = specifiers(session);
    match session.kind {
        // The generator does it all.
        Kind::Framing => Ok(Some(Vec::new())),
        // -B is the size of messages made from a stream.
        Kind::Transfer(Join::TcpWs, size) => words(program, ["-b", "-B", &size.to_string(), &left, &right]),
        _ => words(program, ["-b", &left, &right]),
    }
}

/// Bytes through the same two sockets and a buffer: reads that are limited to more than a buffer holds are whole, but they do
/// not come from a socket that could be spliced.
fn websocat_copy(program: &Path, _: &Cache, session: Session) -> Words {
    if !is_framed(session.kind) {
        return Ok(None);
    }
    let left = format!("read_chunk_limiter:tcp-l:127.0.0.1:{}", session.port);
    let right = format!("tcp:127.0.0.1:{}", session.backend);
    words(program, ["-b", "--read-buffer-limit", "1073741824", &left, &right])
}

fn websocat_4(program: &Path, _: &Cache, session: Session) -> Words {
    if matches!(session.kind, Kind::Deflate | Kind::Framing) {
        return Ok(None);
    }
    let [left, right] = specifiers(session);
    match session.kind {
        Kind::Transfer(Join::TcpWs, size) => words(program, ["-b", "-B", &size.to_string(), &left, &right]),
        // Its own default, 8 or 32 KiB, is slower.
        Kind::Transfer(..) => words(program, ["-b", "-B", "65536", &left, &right]),
        _ => words(program, ["-b", &left, &right]),
    }
}

fn websocat_1(program: &Path, _: &Cache, session: Session) -> Words {
    if matches!(session.kind, Kind::Deflate | Kind::Framing | Kind::Datagrams) || is_framed(session.kind) {
        return Ok(None);
    }
    let [left, right] = specifiers(session);
    match session.kind {
        Kind::Transfer(Join::TcpWs, size) => words(program, ["-b", "-B", &size.to_string(), &left, &right]),
        _ => words(program, ["-b", &left, &right]),
    }
}

fn echo_only(program: &Path, _: &Cache, session: Session) -> Words {
    if session.kind == Kind::Echo { words(program, [&session.port.to_string()]) } else { Ok(None) }
}

fn node(script: &Path, _: &Cache, session: Session) -> Words {
    match session.kind {
        Kind::Deflate => words(
            Path::new("node"),
            [script.display().to_string(), session.port.to_string()].each_ref().map(String::as_str),
        ),
        _ => Ok(None),
    }
}

/// One connection without `fork`: its CPU time would be in a child otherwise.
fn socat(program: &Path, cache: &Cache, session: Session) -> Words {
    let [listen, connect] = match session.kind {
        Kind::Transfer(Join::TcpTcp, _) => [
            format!("TCP-LISTEN:{},bind=127.0.0.1,reuseaddr", session.port),
            format!("TCP:127.0.0.1:{}", session.backend),
        ],
        Kind::Transfer(Join::UnixUnix, _) => [
            format!("UNIX-LISTEN:{},unlink-early", path(session.port).display()),
            format!("UNIX-CONNECT:{}", path(session.backend).display()),
        ],
        Kind::Datagrams => [
            format!("UDP4-LISTEN:{},bind=127.0.0.1,reuseaddr", session.port),
            format!("UDP4:127.0.0.1:{}", session.backend),
        ],
        _ => return Ok(None),
    };
    let program = program.display().to_string();
    words(Path::new("env"), [&cache.library_path(), &program, "-b", "65536", &listen, &connect])
}

fn nginx(program: &Path, cache: &Cache, session: Session) -> Words {
    let [listen, connect] = match session.kind {
        Kind::Transfer(Join::TcpTcp, _) | Kind::Pairs => {
            [format!("127.0.0.1:{}", session.port), format!("127.0.0.1:{}", session.backend)]
        }
        Kind::Transfer(Join::UnixUnix, _) => {
            [session.port, session.backend].map(|port| format!("unix:{}", path(port).display()))
        }
        _ => return Ok(None),
    };
    let (folder, module) = (cache.folder.display(), cache.nginx_module());
    let config = cache.folder.join("nginx.conf");
    let text = format!(
        "load_module {};\ndaemon off;\nmaster_process off;\nerror_log stderr;\npid {folder}/nginx.pid;\n\
         events {{ worker_connections 19900; }}\n\
         stream {{ server {{ listen {listen}; proxy_pass {connect}; proxy_buffer_size 64k; }} }}\n",
        module.display(),
    );
    fs::write(&config, text).map_err(|e| format!("{}: {e}", config.display()))?;
    words(program, ["-p", &folder.to_string(), "-e", "stderr", "-c", &config.display().to_string()])
}

fn relay(program: &Path, _: &Cache, session: Session) -> Words {
    let Session { kind, port, backend } = session;
    match kind {
        Kind::Transfer(Join::TcpTcp, _) => {
            words(program, ["relay", "--port", &port.to_string(), "--backend", &backend.to_string()])
        }
        Kind::Transfer(Join::UnixUnix, _) => {
            let [path, backend] = [port, backend].map(|port| path(port).display().to_string());
            words(program, ["relay", "--path", &path, "--backend-path", &backend])
        }
        _ => Ok(None),
    }
}

fn null(program: &Path, _: &Cache, session: Session) -> Words {
    match session.kind {
        Kind::Echo => words(program, ["null", "--port", &session.port.to_string()]),
        Kind::Transfer(..) => Ok(Some(Vec::new())),
        Kind::Deflate | Kind::Framing | Kind::Pairs | Kind::Datagrams => Ok(None),
        Kind::Start => words(Path::new("true"), []),
    }
}
