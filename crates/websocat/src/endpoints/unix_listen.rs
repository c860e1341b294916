//! `unix-listen:`, `abstract-listen:`, `seqpacket-listen:`: servers on UNIX sockets, and the script text that makes them.

mod listener;
mod socket_file;

pub use socket_file::SocketFileArgs;

use super::{
    client_limits::ClientLimitOpts,
    inherited_fd::{self, is_inherited},
    socket_args::{OptionGroup, Sockets},
    unix_place::{BufferOpts, SCRIPT_MAX_SEND, address, is_text, parts, socket_kind},
};
use crate::{
    error::{Error, Result},
    spec::{About, EndpointSpec, Form, Listening, OptionMap, Script, SocketKind, Then, os_literal},
};
use rhai::Engine;
use sockets::net::{
    inherited_socket::Which,
    unix::{UnixAddress, UnixKind, UnixPlace},
};
use std::ffi::OsStr;

/// A server on a UNIX socket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnixListen {
    pub kind: UnixKind,
    pub on: ListenOn,
}

/// What it listens on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ListenOn {
    Place(UnixPlace),
    /// Somebody else has made it.
    Inherited(Which),
}

impl UnixListen {
    /// Unless it is inherited.
    pub fn address(&self) -> Option<UnixAddress> {
        match &self.on {
            ListenOn::Place(place) => Some(UnixAddress { kind: self.kind, place: place.clone() }),
            ListenOn::Inherited(_) => None,
        }
    }

    /// It makes a file.
    pub fn has_file(&self) -> bool {
        matches!(self.on, ListenOn::Place(UnixPlace::Path(_)))
    }

    /// What is announced of it behind `proto=`.
    fn announced(&self) -> String {
        let hex = |text: &OsStr| text.as_encoded_bytes().iter().map(|b| format!("{b:02x}")).collect::<String>();
        let suffix = if self.kind == UnixKind::Seqpacket { "_seqpacket" } else { "" };
        match &self.on {
            ListenOn::Inherited(which) => format!("unix{suffix},{}", inherited_fd::announced(which)),
            ListenOn::Place(UnixPlace::Abstract(name)) => format!("abstract{suffix},path_hex={}", hex(name)),
            ListenOn::Place(UnixPlace::Path(path)) => match path.to_str() {
                Some(text) => format!("unix{suffix},path={text:?}"),
                None => format!("unix{suffix},path_hex={}", hex(path.as_os_str())),
            },
        }
    }
}

impl EndpointSpec for UnixListen {
    const FORMS: &'static [Form] = &[
        Form {
            name: "unix-listen",
            prefixes: &["unix-listen:", "listen-unix:", "unix-l:", "l-unix:"],
            value: "PATH",
            doc: "Accepts connections on a UNIX stream socket, whose file is made. See `--unlink` and `--chmod-owner`.",
        },
        Form {
            name: "abstract-listen",
            prefixes: &["abstract-listen:", "listen-abstract:", "abstract-l:", "l-abstract:", "l-abs:", "abs-l:"],
            value: "NAME",
            doc: "Accepts connections on a UNIX stream socket with an abstract name, which is no file (Linux).",
        },
        Form {
            name: "seqpacket-listen",
            prefixes: &["seqpacket-listen:", "listen-seqpacket:", "seqpacket-l:", "l-seqpacket:", "l-seqp:", "seqp-l:"],
            value: "PATH",
            doc: "Accepts connections on a UNIX SEQPACKET socket, whose file is made; see `seqpacket:`.",
        },
        Form {
            name: "abstract-seqpacket-listen",
            prefixes: &[
                "abstract-seqpacket-listen:",
                "abstract-seqpacket-l:",
                "seqpacket-abstract-listen:",
                "seqpacket-abstract-l:",
                "abs-seqp-l:",
                "seqp-abs-l:",
                "l-abs-seqp:",
                "l-seqp-abs:",
            ],
            value: "NAME",
            doc: "Accepts connections on a UNIX SEQPACKET socket with an abstract name (Linux).",
        },
        Form {
            name: "unix-listen-fd",
            prefixes: &["unix-listen-fd:", "listen-unix-fd:", "unix-l-fd:", "l-unix-fd:"],
            value: "FD",
            doc: "Accepts connections on a listening UNIX stream socket that this program was started with.",
        },
        Form {
            name: "unix-listen-fdname",
            prefixes: &["unix-listen-fdname:", "listen-unix-fdname:", "unix-l-fdname:", "l-unix-fdname:"],
            value: "FDNAME",
            doc: "The same by the name that a service manager gave it (LISTEN_FDNAMES).",
        },
        Form {
            name: "seqpacket-listen-fd",
            prefixes: &[
                "seqpacket-listen-fd:",
                "listen-seqpacket-fd:",
                "seqpacket-l-fd:",
                "l-seqpacket-fd:",
                "l-seqp-fd:",
                "seqp-l-fd:",
            ],
            value: "FD",
            doc: "Accepts connections on a listening UNIX SEQPACKET socket that this program was started with.",
        },
        Form {
            name: "seqpacket-listen-fdname",
            prefixes: &[
                "seqpacket-listen-fdname:",
                "listen-seqpacket-fdname:",
                "seqpacket-l-fdname:",
                "l-seqpacket-fdname:",
                "l-seqp-fdname:",
                "seqp-l-fdname:",
            ],
            value: "FDNAME",
            doc: "The same by the name that a service manager gave it (LISTEN_FDNAMES).",
        },
    ];

    fn parse(form: &'static Form, value: &OsStr) -> Result<Self> {
        if is_inherited(form) {
            let kind = if form.name.starts_with("seqpacket") { UnixKind::Seqpacket } else { UnixKind::Stream };
            return Ok(Self { kind, on: ListenOn::Inherited(inherited_fd::parse(form, value)?) });
        }
        let UnixAddress { kind, place } = address(form, value)?;
        Ok(Self { kind, on: ListenOn::Place(place) })
    }

    fn kind(&self) -> Option<SocketKind> {
        Some(socket_kind(self.kind))
    }

    fn is_listener(&self) -> bool {
        true
    }

    fn sockets(&self) -> Sockets {
        let groups: &[OptionGroup] = match self.on {
            ListenOn::Place(_) => &[OptionGroup::Backlog, OptionGroup::Buffers],
            ListenOn::Inherited(_) => &[OptionGroup::Buffers],
        };
        Sockets { groups, v6: None }
    }

    fn explain(&self, about: &About<'_>) -> String {
        let place = match (&self.on, self.address()) {
            (ListenOn::Inherited(which), _) => format!("{which}, which was inherited"),
            (_, Some(address)) => format!("the {}", super::unix_place::explain(&address)),
            (_, None) => "a UNIX socket".to_owned(),
        };
        let mut ready = about.args.endpoints.listen.explain();
        if self.has_file() {
            ready.insert_str(0, &about.args.endpoints.socket_file.explain());
        }
        if about.one_connection {
            return format!("Waits for one connection on {place}.{ready}");
        }
        let limits = about.args.endpoints.client_limits.explain();
        format!("Accepts connections on {place}{limits}.{ready}")
    }

    fn emit(&self, script: &mut Script, then: &mut Then<'_>) -> Result<()> {
        let Listening { autospawn, oneshot } = script.listening;
        let endpoints = &script.args.endpoints;
        let files = endpoints.socket_file;
        if let (true, ListenOn::Place(place)) = (endpoints.listen.accept_from_fd, &self.on) {
            let (prefix, place) = (if self.kind == UnixKind::Seqpacket { "seqpacket" } else { "unix" }, parts(place).0);
            return Err(Error::usage(format!(
                "--accept-from-fd is part of the prefix now: write {prefix}-listen-fd:{}, or {prefix}-listen-fdname:NAME",
                place.display()
            )));
        }
        let (mut map, path) = match &self.on {
            ListenOn::Inherited(which) => (inherited_fd::option_map(which), OsStr::new("")),
            ListenOn::Place(place) => {
                let (path, is_abstract) = parts(place);
                (OptionMap::new().flag("abstract", is_abstract), path)
            }
        };
        if self.has_file() {
            map = map.flag("unlink", files.unlink).number("chmod", files.mode());
        }
        map = map.flag("autospawn", autospawn).flag("oneshot", oneshot);
        let limits = endpoints.client_limits;
        if limits.is_limited() && !oneshot {
            map.extend(&ClientLimitOpts { refuse_by_http: script.http_first, ..limits })?;
        }
        let sockets = script.socket_options();
        if matches!(self.on, ListenOn::Place(_)) {
            map.extend(&sockets.backlog.unless_usual(oneshot))?;
        }
        map.extend(&BufferOpts::of(&sockets.packet))?;
        let (function, stem) = match self.kind {
            UnixKind::Stream => ("listen_unix", "unix"),
            UnixKind::Seqpacket => {
                let max = endpoints.seqpacket.seqpacket_max_send_datagram_size;
                map = map.flag("text", is_text(&script.args)).number_unless(
                    "max_send_datagram_size",
                    Some(max),
                    SCRIPT_MAX_SEND,
                );
                ("listen_seqpacket", "seqpacket")
            }
        };
        let tasks = script.args.endpoints.listen.tasks(&self.announced(), None);
        let socket = script.var(stem);
        let open = format!("{function}({map}, {}, || {{", os_literal(path));
        script.nest(&open, &format!("}}, |{socket}| {{"), &mut |script| script.in_sequence(&tasks))?;
        script.indent(&mut |script| then(script, socket.clone()))?;
        script.line("})");
        Ok(())
    }
}

pub(super) fn register(engine: &mut Engine) {
    listener::register(engine);
}
