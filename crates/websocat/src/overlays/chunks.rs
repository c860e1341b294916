//! `chunks:` and its native functions: each read of a byte stream is one binary message, written messages lose their borders.

use crate::{
    error::Result,
    register,
    scenario::{Handle, RhResult, Take, handle},
    spec::{About, Form, OverlaySpec, Script, Then, Var, Wraps},
};
use rhai::Engine;
use sockets::{
    datagram::{BoxDatagramRead, BoxDatagramWrite},
    overlay::chunks,
    socket::{DatagramSocket, StreamSocket},
    stream::{BoxStreamRead, BoxStreamWrite},
};

/// The overlay; binary mode puts it on byte streams by itself.
#[derive(Clone, Debug, Default)]
pub struct StreamChunks;

impl OverlaySpec for StreamChunks {
    const FORMS: &'static [Form] = &[Form {
        name: "chunks",
        prefixes: &["chunks:"],
        value: "",
        doc: "Makes a message of each piece that is read from a byte stream. Borders of messages that are written get lost.",
    }];
    const WRAPS: Wraps = Wraps::StreamIntoDatagrams;

    fn explain(&self, _: &About<'_>) -> String {
        "Makes a binary message of the bytes of each read, and writes the bytes of messages as they are.".to_owned()
    }

    fn emit(&self, script: &mut Script, inner: Var, then: &mut Then<'_>) -> Result<()> {
        let chunks = script.assign("chunks", &format!("stream_chunks({inner})"));
        then(script, chunks)
    }
}

/// Makes a datagram socket of a stream socket: each read is a binary message, written messages lose their borders.
fn stream_chunks(x: Handle<StreamSocket>) -> RhResult<Handle<DatagramSocket>> {
    Ok(handle(chunks::stream_chunks(x.take("socket")?)))
}

/// Makes each read of a stream a binary message.
fn read_stream_chunks(x: Handle<BoxStreamRead>) -> RhResult<Handle<BoxDatagramRead>> {
    Ok(handle(Box::new(chunks::StreamChunks::new(x.take("reader")?))))
}

/// Writes messages to a stream; their borders get lost.
fn write_stream_chunks(x: Handle<BoxStreamWrite>) -> RhResult<Handle<BoxDatagramWrite>> {
    Ok(handle(Box::new(chunks::StreamSink::new(x.take("writer")?))))
}

pub(super) fn register(engine: &mut Engine) {
    register!(engine, stream_chunks, read_stream_chunks, write_stream_chunks);
}
