//! The list of endpoints. Everything about one endpoint lives in its own file; this file only lists them.

use crate::{
    error::{Error, Kind, Result},
    spec::{About, EndpointSpec, Form, Script, SocketKind, Stack, Then},
};
use sockets::{
    info::SocketInfo,
    net::unix::{UnixAddress, UnixPlace},
    socket::StreamSocket,
};
use std::{ffi::OsStr, sync::Arc};

pub mod async_fd;
pub mod client_limits;
pub mod datagram_sockopts;
pub mod devnull;
pub mod empty;
pub mod file;
pub mod inherited_fd;
pub mod listen_address;
mod listen_places;
pub mod literal;
pub mod literal_base64;
pub mod mirror;
pub mod mock_stream_socket;
pub mod process;
pub mod random;
pub mod registry_datagram;
pub mod registry_send;
pub mod registry_stream;
pub mod reuser;
pub mod socket_args;
pub mod sockopts;
pub mod stdio;
pub mod tcp_connect;
pub mod tcp_listen;
pub mod tee;
pub mod udp;
pub mod udp_server;
pub mod udp_socket;
pub mod unix_connect;
pub mod unix_listen;
pub mod unix_place;
pub mod write_splitoff;
pub mod ws_listen;
pub mod ws_url;
pub mod zero;

endpoints! {
    async_fd::AsyncFd,
    devnull::DummyStream,
    empty::DummyDatagrams,
    file::File,
    literal::Literal,
    literal_base64::LiteralBase64,
    mirror::Mirror,
    mock_stream_socket::MockStreamSocket,
    process::Process,
    random::Random,
    registry_datagram::RegistryDatagram,
    registry_send::RegistrySend,
    registry_stream::RegistryStream,
    reuser::Reuser,
    stdio::Stdio,
    tcp_connect::TcpConnect,
    tcp_listen::TcpListen,
    tee::Tee,
    udp_server::UdpServer,
    udp_socket::UdpSocket,
    unix_connect::UnixConnect,
    unix_listen::UnixListen,
    write_splitoff::WriteSplitoff,
    ws_listen::WsListen,
    ws_url::WsUrl,
    zero::Zero,
}

/// Command line options that belong to one endpoint each, or to the sockets of several.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct EndpointArgs {
    #[command(flatten, next_help_heading = "Connections and listeners")]
    pub tcp_connect: tcp_connect::TcpConnectArgs,
    #[command(flatten)]
    pub listen: tcp_listen::ListenArgs,
    #[command(flatten)]
    pub client_limits: client_limits::ClientLimitOpts,
    #[command(flatten, next_help_heading = socket_args::HEADING)]
    pub sockets: socket_args::SocketArgs,
    #[command(flatten, next_help_heading = "UDP")]
    pub udp: udp::UdpArgs,
    #[command(flatten, next_help_heading = "UNIX socket files")]
    pub socket_file: unix_listen::SocketFileArgs,
    #[command(flatten, next_help_heading = "SEQPACKET sockets")]
    pub seqpacket: unix_place::SeqpacketArgs,
    #[command(flatten, next_help_heading = "Processes")]
    pub process: process::ProcessArgs,
    #[command(flatten, next_help_heading = "Files")]
    pub file: file::FileOpts,
    #[command(flatten, next_help_heading = "Connections within the program")]
    pub registry: registry_stream::RegistryArgs,
    #[command(flatten, next_help_heading = "Inherited descriptors")]
    pub async_fd: async_fd::AsyncFdArgs,
    #[command(flatten, next_help_heading = "Other endpoints")]
    pub dummy: empty::DummyArgs,
    #[command(flatten)]
    pub mirror: mirror::MirrorArgs,
    #[command(flatten)]
    pub random: random::RandomOpts,
}

/// For endpoints that take no value.
fn no_value(form: &Form, value: &OsStr) -> Result<()> {
    if value.is_empty() {
        return Ok(());
    }
    let prefix = form.prefixes[0];
    Err(Error::usage(format!("nothing may follow {prefix}; it takes no value, `{}` is too much", value.display())))
}

/// Says in the socket's info what it is, for messages.
fn named(socket: StreamSocket, specifier: &str) -> StreamSocket {
    let info = SocketInfo { specifier: Some(specifier.into()), ..SocketInfo::default() };
    StreamSocket { info: Arc::new(info), ..socket }
}

/// For endpoints that a planner pass replaces before printing.
fn not_expanded(what: &str) -> Error {
    Error::new(Kind::Start, format!("{what} was not expanded into its parts; this is a bug of the planner"))
}

/// Builds the enum, the prefix table, the dispatch and the registration from the list above.
macro_rules! endpoints {
    ($($(#[$cfg:meta])* $module:ident :: $Variant:ident,)*) => {
        /// The innermost part of a specifier stack.
        #[derive(Clone, Debug)]
        pub enum Endpoint {
            $( $(#[$cfg])* $Variant($module::$Variant), )*
        }

        type Parse = fn(&'static Form, &OsStr) -> Result<Endpoint>;

        /// All forms of all endpoints with their parsers.
        pub const TABLE: &[(&[Form], Parse)] = &[
            $( $(#[$cfg])* ($module::$Variant::FORMS, |form, value| {
                Ok(Endpoint::$Variant($module::$Variant::parse(form, value)?))
            }), )*
        ];

        impl Endpoint {
            pub fn kind(&self) -> Option<SocketKind> {
                match self { $( $(#[$cfg])* Self::$Variant(x) => x.kind(), )* }
            }
            pub fn is_listener(&self) -> bool {
                match self { $( $(#[$cfg])* Self::$Variant(x) => x.is_listener(), )* }
            }
            pub fn is_single(&self) -> bool {
                match self { $( $(#[$cfg])* Self::$Variant(x) => x.is_single(), )* }
            }
            pub fn explain(&self, about: &About<'_>) -> String {
                match self { $( $(#[$cfg])* Self::$Variant(x) => x.explain(about), )* }
            }
            pub fn sockets(&self) -> socket_args::Sockets {
                match self { $( $(#[$cfg])* Self::$Variant(x) => x.sockets(), )* }
            }
            pub fn emit(&self, script: &mut Script, then: &mut Then<'_>) -> Result<()> {
                match self { $( $(#[$cfg])* Self::$Variant(x) => x.emit(script, then), )* }
            }
        }

        /// Makes the native functions of all endpoints known to a script engine.
        pub fn register(engine: &mut rhai::Engine) {
            $( $(#[$cfg])* $module::register(engine); )*
        }
    };
}
use endpoints;

impl Endpoint {
    /// Standard input and output.
    pub fn is_stdio(&self) -> bool {
        matches!(self, Self::Stdio(_))
    }

    /// A network connection or a process: where a traffic log shows something.
    pub fn is_external(&self) -> bool {
        let network = matches!(self, Self::TcpConnect(_) | Self::TcpListen(_) | Self::Process(_));
        network || matches!(self, Self::UnixConnect(_) | Self::UnixListen(_))
    }

    /// UDP of either form.
    pub fn is_udp(&self) -> bool {
        matches!(self, Self::UdpSocket(_) | Self::UdpServer(_))
    }

    /// A process, a file, the terminal, an inherited descriptor, a UNIX socket, or another part of the program, which may lead
    /// to one.
    pub fn is_private(&self) -> bool {
        let own = matches!(self, Self::UnixConnect(_) | Self::UnixListen(_));
        let own = own || matches!(self, Self::Process(_) | Self::File(_) | Self::Stdio(_) | Self::AsyncFd(_));
        own || self.is_registered()
    }

    /// It gives what it has and ends, whatever it is told.
    pub fn ends_by_itself(&self) -> bool {
        let read = matches!(self, Self::File(file) if file.mode == file::Mode::Read);
        read || matches!(self, Self::Literal(_) | Self::LiteralBase64(_))
    }

    /// It takes what it is told and gives no reply, ever.
    pub fn says_nothing(&self) -> bool {
        let written = matches!(self, Self::File(file) if file.mode != file::Mode::Read);
        written || matches!(self, Self::DummyStream(_) | Self::DummyDatagrams(_))
    }

    /// Another part of the program is behind it.
    pub fn is_registered(&self) -> bool {
        matches!(self, Self::RegistryStream(_) | Self::RegistryDatagram(_) | Self::RegistrySend(_))
    }

    /// A UNIX socket whose path others would take for an abstract name.
    pub fn path_like_abstract_name(&self) -> Option<UnixAddress> {
        let address = match self {
            Self::UnixConnect(unix) => unix.address.clone(),
            Self::UnixListen(unix) => unix.address()?,
            _ => return None,
        };
        let looks =
            matches!(&address.place, UnixPlace::Path(path) if path.as_os_str().as_encoded_bytes().starts_with(b"@"));
        looks.then_some(address)
    }

    /// The stacks that it is made of, if passes made it of some.
    pub fn parts(&self) -> Vec<&Stack> {
        match self {
            Self::Reuser(reuser) => vec![&reuser.inner],
            Self::Tee(tee) => tee.nodes.iter().collect(),
            Self::WriteSplitoff(split) => vec![&split.read, &split.write],
            _ => vec![],
        }
    }

    /// The same, to be changed.
    pub fn parts_mut(&mut self) -> Vec<&mut Stack> {
        match self {
            Self::Reuser(reuser) => vec![&mut reuser.inner],
            Self::Tee(tee) => tee.nodes.iter_mut().collect(),
            Self::WriteSplitoff(split) => vec![&mut split.read, &mut split.write],
            _ => vec![],
        }
    }

    /// Connections that come later must share it: there is only one, or a second one would harm the first.
    pub fn exists_once(&self, args: &EndpointArgs) -> bool {
        match self {
            // Each of them gets a file of its own, or an error.
            Self::File(file) if file.mode == file::Mode::Write => !args.file.no_overwrite && !args.file.auto_rename,
            Self::Reuser(_) => false,
            _ => self.is_single() || self.parts().into_iter().any(|part| part.endpoint.exists_once(args)),
        }
    }

    /// Something to leave in a place for the moment.
    pub fn placeholder() -> Self {
        Self::Zero(zero::Zero)
    }
}
#[cfg(test)]
mod tests;
