//! Overlays as scripts and command lines use them; what their machines do is tested where those are.

use super::Overlay;
use crate::{
    cli::Args,
    functions::testing::{eval_error, run_script},
};
use clap::{Parser as _, error::ErrorKind};
use std::time::Duration;

/// Moves what a scripted socket gives through `wrap` and back; the socket checks what it gets.
async fn play(mock: &str, script: &str) {
    let script = format!("let m = mock_stream_socket(`{mock}`); {script}");
    let run = tokio::time::timeout(Duration::from_secs(10), run_script(&script)).await;
    run.unwrap_or_else(|_| panic!("{script}: hangs")).unwrap_or_else(|(e, _)| panic!("{script}: {e}"));
}

const ECHO: &str = "copy_packets(100000, take_source_part(x), take_sink_part(x))";
const ECHO_BYTES: &str = "copy_bytes(100000, take_read_part(x), take_write_part(x))";

#[tokio::test]
async fn lines() {
    let cases = [
        ("#{}", "R a\\nb\\n\\n|X|W a\\nb\\n\\n|D"),
        ("#{}", "R last without separator|X|W last without separator\\n|D"),
        ("#{separator: 0, substitute: 32}", "R a\\0b\\nc\\0|X|W a\\0b\\nc\\0|D"),
        ("#{inline: true}", "R a\\n|X|W a\\n\\n|D"),
        ("#{inline: true, substitute: 32}", "R a\\n|X|W a \\n|D"),
        ("#{separator: 120, separator_n: 2}", "R axbxxc|X|W axbxxcxx|D"),
        ("#{trim_cr: true}", "R a\\r\\nb\\r|X|W a\\nb\\r\\n|D"),
        ("#{binary: \"raw\"}", "R a\\n|X|W a\\n|D"),
    ];
    for (options, mock) in cases {
        play(mock, &format!("let x = line_chunks({options}, m); {ECHO}")).await;
    }
    // A binary message with its own newlines, at a real stdio.
    for (binary, written) in [("raw", "a\\nb\\n"), ("escape", "a\\\\x0ab\\n")] {
        let script = format!(
            "let w = line_chunks(#{{substitute: 32, binary: \"{binary}\"}}, m); copy_packets(100, read_stream_chunks(take_read_part(mock_stream_socket(\"R a\\\\nb|X\"))), take_sink_part(w))"
        );
        play(&format!("W {written}|D"), &script).await;
    }
    for (options, says) in
        [("separator_n: 0", "`separator_n`"), ("binary: \"x\"", "`binary`"), ("separator: 256", "`separator`")]
    {
        let e = eval_error(&format!("line_chunks(#{{{options}}}, mock_stream_socket(\"\"))"));
        assert!(e.contains(says), "{e}");
    }
}

#[tokio::test]
async fn chunks() {
    play("R ab|W ab|R c|W c|X|D", &format!("let x = stream_chunks(m); {ECHO}")).await;
    let halves = "copy_packets(9, read_stream_chunks(take_read_part(m)), write_stream_chunks(take_write_part(m)))";
    play("R ab|W ab|X|D", halves).await;
}

#[tokio::test]
async fn length_prefixes() {
    let all = "continuations: 0x8000, controls: 0x4000, tag_text: 0x2000, length_mask: 0x1fff";
    let cases = [
        ("nbytes: 4, length_mask: 0xffffffff, max_message_size: 9", r"R \0\0\0\x01a\0\0\0\0|X|W \0\0\0\x01a\0\0\0\0|D"),
        (
            "nbytes: 8, length_mask: -1, max_message_size: 9, little_endian: true",
            r"R \x01\0\0\0\0\0\0\0a|X|W \x01\0\0\0\0\0\0\0a|D",
        ),
        (
            "nbytes: 8, length_mask: 255, continuations: 0x8000000000000000, max_message_size: 0",
            r"R \x80\0\0\0\0\0\0\x01a\0\0\0\0\0\0\0\0|X|W \x80\0\0\0\0\0\0\x01a\0\0\0\0\0\0\0\0|D",
        ),
        (
            &format!("nbytes: 2, max_message_size: 9, {all}"),
            r"R \x20\x01a\x40\x02\x09p\x40\x03\x08\x03\xe8|W \x20\x01a\x40\x02\x09p\x40\x03\x08\x03\xe8|D",
        ),
        ("nbytes: 1, length_mask: 255, max_message_size: 9, skip_read_direction: true", r"R ab|X|W \x02ab|D"),
        ("nbytes: 1, length_mask: 255, max_message_size: 9, skip_write_direction: true", r"R \x02ab|X|W ab|D"),
        ("nbytes: 1, length_mask: 255, max_message_size: 9, max_read_size: 2", r"R \x02ab|X|W \x02ab|D"),
    ];
    for (options, mock) in cases {
        play(mock, &format!("let x = length_prefixed_chunks(#{{{options}}}, m); {ECHO}")).await;
    }
    for (options, says) in [
        ("nbytes: 9, length_mask: 255, max_message_size: 9", "`nbytes`"),
        ("nbytes: 1, length_mask: 256, max_message_size: 9", "`length_mask`"),
        ("nbytes: 1, length_mask: 127, max_message_size: 9, controls: 64", "`controls`"),
        ("nbytes: 1, length_mask: 63, max_message_size: 9, controls: 64, tag_text: 64", "`tag_text`"),
        ("nbytes: 1, length_mask: 63, max_message_size: 9, continuations: 192", "`continuations`"),
        ("nbytes: 1, length_mask: 63, max_message_size: -1", "`max_message_size`"),
        ("nbytes: 1, length_mask: 63", "max_message_size"),
        ("nbytes: 1, length_mask: 63, max_message_size: 9, endian: 1", "`endian`"),
    ] {
        let e = eval_error(&format!("length_prefixed_chunks(#{{{options}}}, mock_stream_socket(\"\"))"));
        assert!(e.contains(says), "{options}: {e}");
    }
}

#[tokio::test]
async fn limiters_and_buffer() {
    // A socket of its own for each direction: a scripted one keeps reads and writes in order.
    let through =
        |read: &str, write: &str| format!("let from = mock_stream_socket(`R abc|X`); copy_bytes(100, {read}, {write})");
    let (read, write) = ("take_read_part(from)", "take_write_part(m)");
    play("W abc|D", &through(&format!("read_chunk_limiter({read}, 1)"), write)).await;
    play("W abc|D", &through(read, &format!("write_chunk_limiter({write}, 2)"))).await;
    play("W abc|D", &through(read, &format!("write_buffer({write}, 8)"))).await;
    for call in [
        "read_chunk_limiter(take_read_part(m), 0)",
        "write_chunk_limiter(take_write_part(m), -1)",
        "write_buffer(take_write_part(m), 0)",
        "write_buffer(take_write_part(m), 1000000000)",
    ] {
        let e = eval_error(&format!("let m = mock_stream_socket(\"\"); {call}"));
        assert!(e.contains("must be "), "{call}: {e}");
    }
}

#[tokio::test]
async fn loggers_change_nothing() {
    play("R ab|W ab|X|D", &format!("let x = stream_logger(#{{omit_content: true}}, m); {ECHO_BYTES}")).await;
    play(
        "R ab\\n|X|W ab\\n|D",
        &format!("let x = datagram_logger(#{{hex: true, read_prefix: \"test\"}}, line_chunks(#{{}}, m)); {ECHO}"),
    )
    .await;
    assert!(eval_error("stream_logger(#{verbos: true}, mock_stream_socket(\"\"))").contains("`verbos`"));
}

#[tokio::test]
async fn fragments_become_one_frame() {
    // Two frames of one message, then Close; the server end writes one frame and its own Close.
    let frames = "\\x01\\x80\\0\\0\\0\\0\\x00\\x81\\0\\0\\0\\0a\\x80\\x81\\0\\0\\0\\0b\\x88\\x80\\0\\0\\0\\0";
    let script =
        format!("let x = defragment_writes(#{{max_send_datagram_size: 10}}, ws_wrap(#{{client: false}}, m)); {ECHO}");
    play(&format!("R {frames}|W \\x81\\x02ab\\x88\\0"), &script).await;
}

#[tokio::test]
async fn frames_in_both_roles() {
    // Seed 1 is what these tests run with; what is masked with is checked by the masking itself.
    let echo = format!("let x = ws_wrap(#{{client: false}}, m); {ECHO}");
    play("R \\x81\\x82\\0\\0\\0\\0ok\\x88\\x80\\0\\0\\0\\0|W \\x81\\x02ok\\x88\\0", &echo).await;
    let decode = "copy_packets(9, ws_decoder(#{require_unmasked: true}, take_read_part(m)), write_stream_chunks(take_write_part(m)))";
    play("R \\x82\\x02ok|X|W ok|D", decode).await;
    let encode = "copy_packets(9, read_stream_chunks(take_read_part(m)), ws_encoder(#{masked: false, no_close_frame: true, shutdown_socket_on_eof: true}, take_write_part(m)))";
    play("R ok|X|W \\x82\\x02ok|D", encode).await;
    assert!(eval_error("ws_wrap(#{}, mock_stream_socket(\"\"))").contains("client"));
    assert!(eval_error("ws_encoder(#{}, take_write_part(mock_stream_socket(\"\")))").contains("masked"));
    let both = "ws_decoder(#{require_masked: true, require_unmasked: true}, take_read_part(mock_stream_socket(\"\")))";
    assert!(eval_error(both).contains("no frame that is right"));
}

fn args(line: &[&str]) -> Result<Args, clap::Error> {
    Args::try_parse_from([&["websocat"], line, &["a:", "b:"]].concat())
}

#[test]
fn options_that_cannot_be_meant_are_refused() {
    for line in [
        &["-0", "--separator", "10"][..],
        &["--separator-inline", "--separator-trim-cr"],
        &["--separator", "256"],
        &["--separator-n", "0"],
        &["--read-buffer-limit", "0"],
        &["-H", "no colon"],
        &["-H", "a: b\r\nc: d"],
        &["-H", "a: b\n"],
        &["-H", "ä: b"],
        &["--server-header", "a: \0"],
        &["--origin", "a\nb"],
        &["--ua", "a\rb"],
        &["--protocol", "a b"],
        &["--protocol", "a,a"],
        &["--protocol", ""],
        &["--server-protocol", ""],
        &["--server-protocol", "a,b"],
        &["--tls-domain", "a b"],
        &["--ws-c-uri", "example.org"],
        &["--handshake-timeout=-1"],
        &["--handshake-timeout", "NaN"],
    ] {
        let e = args(line).err().unwrap_or_else(|| panic!("{line:?} was accepted"));
        assert!(matches!(e.kind(), ErrorKind::ValueValidation | ErrorKind::ArgumentConflict), "{line:?}: {e}");
        assert_eq!(e.exit_code(), 2);
    }
}

#[test]
fn options_as_people_write_them() {
    let parsed =
        args(&["-H", "X: 1", "-HX: 2", "--header=Y:", "-kn0", "--protocol", "a, b", "--ws-c-uri", "/x"]).unwrap();
    let overlays = parsed.overlays;
    let headers: Vec<_> = overlays.ws_request.header.iter().map(|h| (&*h.name, &*h.value)).collect();
    assert_eq!(headers, [("X", "1"), ("X", "2"), ("Y", "")]);
    assert!(overlays.tls.insecure && overlays.ws_framer.no_close && overlays.lines.null_terminated);
    assert_eq!(overlays.ws_request.uri().unwrap().path_and_query, "/x");
    assert_eq!(overlays.handshake.timeout_ms(), Some(10_000));
    for (text, ms) in [("0", None), ("inf", None), ("1ms", Some(1)), ("2", Some(2000))] {
        assert_eq!(args(&["--handshake-timeout", text]).unwrap().overlays.handshake.timeout_ms(), ms, "{text}");
    }
}

#[test]
fn prefixes_belong_to_one_overlay_each() {
    let mut all: Vec<_> = super::TABLE.iter().flat_map(|(forms, _)| *forms).flat_map(|form| form.prefixes).collect();
    assert!(all.iter().all(|prefix| prefix.ends_with(':') && !prefix[..prefix.len() - 1].contains(':')));
    let n = all.len();
    all.sort();
    all.dedup();
    assert_eq!(all.len(), n);
    for (forms, parse) in super::TABLE {
        for form in *forms {
            assert_eq!(parse(form).unwrap().prefix(), form.prefixes[0]);
        }
    }
    assert!(matches!((super::TABLE[0].1)(&super::TABLE[0].0[0]), Ok(Overlay::StreamChunks(_))));
}
