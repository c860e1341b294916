//! `rate_limit`: sockets that are not faster than they may be.

use crate::{
    register,
    scenario::{Handle, OptsReader, RegisterNative as _, RhOpts, RhResult, Take, handle},
};
use rhai::Engine;
use serde::Deserialize;
use sockets::{
    overlay::rate_limit::{RateLimit, RateLimitedRead, RateLimitedSink, RateLimitedSource, RateLimitedWrite},
    socket::{DatagramSocket, StreamSocket},
};
use std::num::NonZeroU64;

/// Options of `rate_limit` for byte streams.
#[derive(Deserialize)]
struct ByteRateOpts {
    /// Bytes per second in each direction
    bytes_per_second: NonZeroU64,
    /// Bytes that may pass at once after a pause; absent: a tenth of a second's worth
    #[serde(default)]
    burst_bytes: Option<NonZeroU64>,
    /// Do not limit reading
    #[serde(default)]
    skip_read_direction: bool,
    /// Do not limit writing
    #[serde(default)]
    skip_write_direction: bool,
}

/// Options of `rate_limit` for message sockets: one of both rates, or both.
#[derive(Deserialize)]
struct MessageRateOpts {
    /// Bytes of data per second in each direction
    #[serde(default)]
    bytes_per_second: Option<NonZeroU64>,
    /// Bytes that may pass at once after a pause; absent: a tenth of a second's worth. A larger message passes whole, and those
    /// behind it wait the longer
    #[serde(default)]
    burst_bytes: Option<NonZeroU64>,
    /// Messages per second in each direction
    #[serde(default)]
    messages_per_second: Option<NonZeroU64>,
    /// Messages that may pass at once after a pause; absent: a tenth of a second's worth, at least one
    #[serde(default)]
    burst_messages: Option<NonZeroU64>,
    /// Do not limit reading
    #[serde(default)]
    skip_read_direction: bool,
    /// Do not limit writing
    #[serde(default)]
    skip_write_direction: bool,
}

/// The same stream socket, but not faster than so many bytes a second. Whoever sends more has to wait; nothing is lost.
fn rate_limit(opts: RhOpts<ByteRateOpts>, inner: Handle<StreamSocket>) -> RhResult<Handle<StreamSocket>> {
    let opts: ByteRateOpts = OptsReader::read(opts)?;
    let limit = RateLimit { bytes: Some(opts.bytes_per_second), burst_bytes: opts.burst_bytes, ..RateLimit::default() };
    let mut socket = inner.take("socket")?;
    if !opts.skip_read_direction {
        socket.read = socket.read.map(|read| Box::new(RateLimitedRead::new(read, &limit)) as _);
    }
    if !opts.skip_write_direction {
        socket.write = socket.write.map(|write| Box::new(RateLimitedWrite::new(write, &limit)) as _);
    }
    Ok(handle(socket))
}

/// The same datagram socket, but not faster than so many messages, or bytes of data, a second. Whoever sends more has to
/// wait; nothing is lost. Pings, pongs and ends do not wait.
fn rate_limit_messages(
    opts: RhOpts<MessageRateOpts>,
    inner: Handle<DatagramSocket>,
) -> RhResult<Handle<DatagramSocket>> {
    let opts: MessageRateOpts = OptsReader::read(opts)?;
    let mut socket = inner.take("socket")?;
    if opts.bytes_per_second.is_none() && opts.messages_per_second.is_none() {
        return Err("rate_limit needs option `bytes_per_second` or `messages_per_second`".into());
    }
    let limit = RateLimit {
        bytes: opts.bytes_per_second,
        burst_bytes: opts.burst_bytes,
        messages: opts.messages_per_second,
        burst_messages: opts.burst_messages,
    };
    if !opts.skip_read_direction {
        socket.read = socket.read.map(|read| Box::new(RateLimitedSource::new(read, &limit)) as _);
    }
    if !opts.skip_write_direction {
        socket.write = socket.write.map(|write| Box::new(RateLimitedSink::new(write, &limit)) as _);
    }
    Ok(handle(socket))
}

pub(super) fn register(engine: &mut Engine) {
    register!(engine, rate_limit);
    engine.register_native("rate_limit", rate_limit_messages);
}

#[cfg(test)]
mod tests {
    use crate::functions::testing::{eval_error, run_script};
    use tokio::time::Instant;

    #[tokio::test(start_paused = true)]
    async fn transfers_take_their_time() {
        for (wrap, seconds) in [
            ("rate_limit(#{bytes_per_second: 100}, s)", 10),
            ("rate_limit(#{bytes_per_second: 100, skip_write_direction: true}, s)", 0),
            ("rate_limit(#{bytes_per_second: 200, burst_bytes: 200, skip_read_direction: true}, s)", 4),
            ("rate_limit(#{messages_per_second: 1}, stream_chunks(s))", 0),
            ("rate_limit(#{bytes_per_second: 100, messages_per_second: 50}, read_chunks(s))", 10),
        ] {
            let messages = wrap.contains("chunks(");
            let source = format!("literal_socket(\"{}\")", "x".repeat(1010));
            let wrap = wrap.replace("read_chunks(s)", "s");
            let script = if messages && wrap.contains("stream_chunks") {
                format!("let s = {source}; exchange_packets(#{{}}, {wrap}, dummy_datagram_socket())")
            } else if messages {
                // Reads of ten bytes are messages of ten bytes.
                format!(
                    "let m = {source}; put_read_part(m, read_chunk_limiter(take_read_part(m), 10)); let s = stream_chunks(m);
                    exchange_packets(#{{}}, {wrap}, dummy_datagram_socket())"
                )
            } else {
                format!("let s = dummy_stream_socket(); exchange_bytes(#{{}}, {source}, {wrap})")
            };
            let start = Instant::now();
            run_script(&script).await.map_err(|(e, _)| e.to_string()).unwrap();
            assert_eq!((start.elapsed().as_secs_f64() + 0.2) as u32, seconds, "{script} {:?}", start.elapsed());
        }
    }

    #[test]
    fn wrong_use() {
        for (script, part) in [
            ("rate_limit(#{}, dummy_stream_socket())", "bytes_per_second"),
            ("rate_limit(#{bytes_per_second: 0}, dummy_stream_socket())", "option `bytes_per_second`"),
            ("rate_limit(#{bytes_per_second: -1}, dummy_datagram_socket())", "option `bytes_per_second`"),
            ("rate_limit(#{}, dummy_datagram_socket())", "needs option `bytes_per_second` or `messages_per_second`"),
            (
                "rate_limit(#{bytes_per_second: 1, messages_per_second: 1}, dummy_stream_socket())",
                "unknown option `mess",
            ),
        ] {
            let e = eval_error(script);
            assert!(e.contains(part) && e.contains("line 1"), "{script}: {e}");
        }
    }
}
