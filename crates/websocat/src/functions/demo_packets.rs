//! Halves of message sockets for trying things out.

use crate::{
    register,
    scenario::{Handle, handle},
};
use rhai::Engine;
use sockets::{
    datagram::{BoxDatagramRead, BoxDatagramWrite},
    endpoint::demo_packets::{CountdownPackets, PrintedPackets},
    overlay::traffic_log::LogSink,
};

/// A source of three text messages, `3`, `2` and `1`, and the end.
fn trivial_pkts() -> Handle<BoxDatagramRead> {
    handle(Box::new(CountdownPackets::default()))
}

/// A sink that prints a line to standard error for each message, part of one, ping, pong and end.
fn display_pkts() -> Handle<BoxDatagramWrite> {
    handle(Box::new(PrintedPackets::new(LogSink::stderr())))
}

pub(super) fn register(engine: &mut Engine) {
    register!(engine, trivial_pkts, display_pkts);
}

#[cfg(test)]
mod tests {
    use crate::functions::testing::run_script;

    #[tokio::test]
    async fn they_can_be_copied_from_and_to() {
        let script = r#"sequential([
            copy_packets(100, trivial_pkts(), write_stream_chunks(take_write_part(mock_stream_socket("W 321|D")))),
            copy_packets(100, trivial_pkts(), display_pkts()),
        ])"#;
        assert!(run_script(script).await.is_ok());
    }
}
