//! `mirror:` with `bytemirror_socket` and `packetmirror_socket`: gives back what it is given.

use crate::{
    cli::value::Size,
    error::{Error, Kind, Result},
    register,
    scenario::{Handle, OptsReader, RhOpts, RhResult, handle},
    spec::{About, EndpointSpec, Form, OptionMap, Script, SocketKind, Then},
};
use rhai::Engine;
use serde::{Deserialize, Serialize};
use sockets::{
    endpoint::{
        mirror_datagram::{MirrorDatagramOptions, mirror_datagram},
        mirror_stream::{MirrorStreamOptions, mirror_stream},
    },
    socket::{DatagramSocket, StreamSocket},
};
use std::ffi::OsStr;

/// An echo. Bytes or messages: that follows from what it is connected with, and a planner pass fills it in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mirror {
    pub kind: Option<SocketKind>,
}

/// Options of a mirror as typed.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct MirrorArgs {
    /// Bytes that mirror: holds at most before it makes writers wait, up to 256k; 64k when absent
    #[arg(long, value_name = "SIZE", value_parser = Size::positive)]
    pub mirror_bufsize: Option<Size>,
}

/// Bytes on the way at most: one full read of the other side.
const BUFFER: u64 = 64 << 10;

/// Options of `bytemirror_socket`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ByteMirrorOpts {
    /// Bytes on the way at most
    max_buf_size: usize,
}

/// Options of `packetmirror_socket`: none so far.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct PacketMirrorOpts {}

impl EndpointSpec for Mirror {
    const FORMS: &'static [Form] = &[Form {
        name: "mirror",
        prefixes: &["mirror:"],
        value: "",
        doc: "Reads give what was written. Bytes or messages, as the other side and the overlays want it.",
    }];

    fn parse(form: &'static Form, value: &OsStr) -> Result<Self> {
        super::no_value(form, value)?;
        Ok(Self { kind: None })
    }

    fn kind(&self) -> Option<SocketKind> {
        self.kind
    }

    fn explain(&self, _: &About<'_>) -> String {
        "Sends everything back to where it came from.".to_owned()
    }

    fn emit(&self, script: &mut Script, then: &mut Then<'_>) -> Result<()> {
        let call = match self.kind {
            Some(SocketKind::Stream) => {
                let size = script.args.endpoints.mirror.mirror_bufsize.map_or(BUFFER, |size| size.0);
                let max_buf_size = usize::try_from(size).unwrap_or(usize::MAX);
                format!("bytemirror_socket({})", OptionMap::of(&ByteMirrorOpts { max_buf_size })?)
            }
            Some(SocketKind::Datagram) => "packetmirror_socket(#{})".to_owned(),
            None => {
                let text = "mirror: bytes or messages? Put an overlay such as chunks: or lines: on top to decide";
                return Err(Error::new(Kind::Start, text));
            }
        };
        let mirror = script.assign("mirror", &call);
        then(script, mirror)
    }
}

/// A byte stream that gives back what was written.
fn bytemirror_socket(opts: RhOpts<ByteMirrorOpts>) -> RhResult<Handle<StreamSocket>> {
    let opts: ByteMirrorOpts = OptsReader::read(opts)?;
    if opts.max_buf_size == 0 {
        return Err("option `max_buf_size`: a buffer has at least one byte".into());
    }
    Ok(handle(mirror_stream(MirrorStreamOptions { max_buf_size: Some(opts.max_buf_size) })))
}

/// A message socket that gives back what was written, with all its flags.
fn packetmirror_socket(opts: RhOpts<PacketMirrorOpts>) -> RhResult<Handle<DatagramSocket>> {
    let PacketMirrorOpts {} = OptsReader::read(opts)?;
    Ok(handle(mirror_datagram(MirrorDatagramOptions::default())))
}

pub(super) fn register(engine: &mut Engine) {
    register!(engine, bytemirror_socket, packetmirror_socket);
}
