//! Listening on a UNIX socket, of a path, an abstract name, or inherited.

use super::{
    BufferOptions, UnixAddress, UnixError, UnixKind, UnixListenOptions, UnixPlace,
    socket_file::{RemovedAtEnd, SocketFile, remove_stale},
    turn::Turn,
};
use crate::{
    info::{Address, SocketInfo},
    net::{
        accept::{Accept, Accepting},
        inherited_socket::InheritedSocket,
        kernel_stream::KernelStream,
        listen::BACKLOG,
    },
};
use socket2::SockRef;
use std::{
    io,
    os::fd::OwnedFd,
    task::{Context, Poll},
};

impl Accept for tokio::net::UnixListener {
    type Connection = KernelStream;

    fn poll_accept(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<KernelStream>> {
        Self::poll_accept(self, cx).map_ok(|(stream, _)| stream.into())
    }
}

/// Accepts connections for ever.
pub struct UnixListener {
    /// First, since it has to go before the socket is closed.
    _file: Option<RemovedAtEnd>,
    source: Accepting<tokio::net::UnixListener>,
    name: Box<str>,
    local: Option<Address>,
    buffers: BufferOptions,
}

impl UnixListener {
    /// Listens, inside a runtime. The permissions of the socket file are right before anybody can connect.
    pub fn bind(address: UnixAddress, options: &UnixListenOptions) -> Result<Self, UnixError> {
        const ACTION: &str = "listen on";
        let failed = || address.failed(ACTION, "");
        // Until we listen: the next one then finds out that somebody serves here.
        let _turn = match &address.place {
            UnixPlace::Path(path) if options.unlink => Some(Turn::take(path, &address)),
            _ => None,
        };
        if options.unlink {
            remove_stale(&address)?;
        }
        let socket = address.socket(ACTION)?;
        // What is refused is known at once.
        let refused = |source| UnixError::Option { address: Box::new(address.clone()), source };
        options.buffers.apply(&socket).map_err(refused)?;
        let file = SocketFile::bind(&socket, &address, options.mode)?;
        let backlog = i32::try_from(options.backlog.unwrap_or(BACKLOG)).unwrap_or(i32::MAX);
        let source = socket.listen(backlog).and_then(|()| registered(socket)).map_err(|e| {
            if let Some(file) = &file {
                file.remove();
            }
            failed()(e)
        })?;
        let file = file.filter(|_| options.unlink).map(SocketFile::remove_at_end);
        let local = match &address.place {
            UnixPlace::Path(path) => path.display().to_string(),
            UnixPlace::Abstract(name) => format!("@{}", name.display()),
        };
        let name = match (&address.place, address.kind) {
            (UnixPlace::Path(_), UnixKind::Stream) => "unix-l:",
            (UnixPlace::Path(_), UnixKind::Seqpacket) => "seqpacket-l:",
            (UnixPlace::Abstract(_), UnixKind::Stream) => "abstract-l:",
            (UnixPlace::Abstract(_), UnixKind::Seqpacket) => "abstract-seqpacket-l:",
        };
        let shown = address.to_string();
        let name = format!("{name}{}", shown.split_once(':').map_or("", |(_, place)| place));
        Ok(Self {
            _file: file,
            source: Accepting::new(source),
            name: name.into(),
            local: Some(Address::Named(local.into())),
            buffers: options.buffers,
        })
    }

    /// Accepts on a socket that listens already, inside a runtime.
    pub fn adopt(inherited: InheritedSocket, buffers: BufferOptions) -> io::Result<Self> {
        let name = format!("descriptor {}", inherited.number).into();
        let source = registered(inherited.socket)?;
        Ok(Self { _file: None, source: Accepting::new(source), name, local: None, buffers })
    }

    /// Where it listens, for messages.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Next connection with what is known of it. Dropping the future loses no connection. Errors are only those that will
    /// not go away by waiting.
    pub async fn accept(&mut self) -> io::Result<(KernelStream, SocketInfo)> {
        loop {
            let stream = self.source.next().await?;
            if let Err(e) = self.buffers.apply(&SockRef::from(&stream)) {
                tracing::warn!("closing a connection to {}: {e}", self.name);
                continue;
            }
            let specifier = Some(self.name.clone());
            return Ok((stream, SocketInfo { specifier, local: self.local.clone(), ..SocketInfo::default() }));
        }
    }
}

/// Gives the socket to the runtime.
fn registered(socket: socket2::Socket) -> io::Result<tokio::net::UnixListener> {
    tokio::net::UnixListener::from_std(OwnedFd::from(socket).into())
}
