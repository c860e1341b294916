//! Checks that hold for any input; fuzz targets and the tests below pass it in. A broken promise is a failed assertion.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)] // test code: here a panic is the result

mod http_head;

pub use http_head::http_head;

use crate::{
    cli::Args,
    plan, platform_string,
    spec::{os_literal, string_literal},
};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use clap::Parser as _;
use std::{ffi::OsStr, sync::Arc};

/// A specifier is read or refused with a message.
pub fn specifier(data: &[u8]) {
    if let Some(text) = platform_string::from_bytes(data.to_vec())
        && let Err(e) = plan::specifier(&text)
    {
        assert!(!e.to_string().is_empty());
    }
}

/// What two specifiers are planned to is a script that compiles. The first byte chooses options, a line feed parts the
/// specifiers.
pub fn command(data: &[u8]) {
    thread_local! {
        static ENGINE: rhai::Engine = {
            let mut engine = rhai::Engine::new_raw();
            crate::scenario::limits::install(&mut engine);
            engine
        };
        static ARGS: [Args; 3] =
            [&["websocat"][..], &["websocat", "-b"], &["websocat", "-t", "--log-traffic"]].map(Args::parse_from);
    }
    let Some((option, rest)) = data.split_first() else { return };
    let mut sides = rest.splitn(2, |byte| *byte == b'\n').map(|side| platform_string::from_bytes(side.to_vec()));
    let mut args = ARGS.with(|args| args[usize::from(*option) % args.len()].clone());
    args.spec1 = sides.next().flatten();
    args.spec2 = sides.next().flatten();
    let args = Arc::new(args);
    let script = plan::parse(&args).and_then(|mut planned| {
        plan::rewrite(&mut planned)?;
        plan::print(&planned)
    });
    match script {
        Ok(script) => {
            if let Err(e) = ENGINE.with(|engine| engine.compile(&script)) {
                panic!("{e}\n{script}");
            }
        }
        Err(e) => assert!(!e.to_string().is_empty()),
    }
}

/// A literal means the text that it was made from, wherever it stands.
pub fn script_literal(data: &[u8]) {
    thread_local! {
        static ENGINE: rhai::Engine = {
            let mut engine = rhai::Engine::new_raw();
            engine.register_fn("osstr_str", |text: &str| text.as_bytes().to_vec());
            engine.register_fn("osstr_base64_unix_bytes", |text: &str| BASE64_STANDARD.decode(text).unwrap());
            engine
        };
    }
    let evaluate = |expression: &str| {
        let script = format!("let before = \"\"; let x = #{{a: {expression}, b: 1}}; x.a");
        ENGINE.with(|engine| engine.eval::<rhai::Dynamic>(&script)).unwrap_or_else(|e| panic!("{e}\n{script}"))
    };
    if let Ok(text) = str::from_utf8(data) {
        assert_eq!(evaluate(&string_literal(text)).into_string().unwrap(), text);
        assert_eq!(evaluate(&os_literal(OsStr::new(text))).cast::<Vec<u8>>(), data);
    } else if cfg!(unix)
        && let Some(text) = platform_string::from_bytes(data.to_vec())
    {
        assert_eq!(evaluate(&os_literal(&text)).cast::<Vec<u8>>(), data);
    }
}

#[cfg(test)]
mod tests {
    const WORDS: [&str; 24] = [
        "ws://",
        "ws-l:",
        "wss://",
        "tcp:",
        "tcp-l:",
        "127.0.0.1:80",
        "[::1]:1",
        "example.org",
        "lines:",
        "chunks:",
        "log:",
        "literal:",
        "mirror:",
        "-",
        "reuse-raw:",
        "tls:",
        "mock_stream_socket:",
        "R a|W b",
        "\n",
        "\"",
        "\\",
        "\u{0}",
        "é",
        "/",
    ];

    fn inputs(count: usize, check: fn(&[u8])) {
        let mut state = 1_u64;
        for _ in 0..count {
            let mut next = || {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                (state >> 33) as usize
            };
            let mut data = vec![next() as u8];
            for _ in 0..next() % 6 {
                data.extend_from_slice(WORDS[next() % WORDS.len()].as_bytes());
            }
            if next() % 5 == 0 {
                data.push(next() as u8);
            }
            check(&data);
        }
    }

    #[test]
    fn specifier() {
        inputs(2000, |data| super::specifier(&data[1..]));
    }

    #[test]
    fn command() {
        inputs(2000, super::command);
    }

    #[test]
    fn script_literal() {
        inputs(2000, super::script_literal);
    }

    /// Pieces of handshakes, put together at random: most have a good start.
    #[test]
    fn http_head() {
        const PIECES: [&str; 20] = [
            "GET /chat HTTP/1.1\r\nHost: h\r\n",
            "HTTP/1.1 101 x\r\n",
            "HTTP/1.1 404 Not\r\n",
            "Upgrade: websocket\r\nConnection: upgrade\r\n",
            "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n",
            "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n",
            "Sec-WebSocket-Protocol: b\r\n",
            "Content-Length: 4\r\n",
            "Transfer-Encoding: chunked\r\n",
            "\r\n",
            "\r\n\r\n",
            "\n",
            "x: \u{e9}\r\n",
            "0",
            "body",
            ":",
            "\r",
            "\u{0}",
            "HTTP/1.0 ",
            "Sec-WebSocket-Key: ",
        ];
        let mut state = 1_u64;
        for _ in 0..300 {
            let mut next = || {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                (state >> 33) as usize
            };
            let mut data = vec![next() as u8, next() as u8, next() as u8];
            let start: &[usize] = if data[0] & 1 == 0 { &[0, 3, 4] } else { &[1, 3, 5] };
            start.iter().for_each(|piece| data.extend_from_slice(PIECES[*piece].as_bytes()));
            for _ in 0..next() % 8 {
                data.extend_from_slice(PIECES[next() % PIECES.len()].as_bytes());
            }
            super::http_head(&data);
        }
    }
}
