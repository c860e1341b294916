//! `lengthprefixed:`, `defragment:`, `chunks:` and a byte mirror in command lines: each option shows in bytes or in the status.

use super::commands::{fails, ok, play};

/// A message to a WebSocket server, unmasked in effect.
macro_rules! frame {
    ($first:literal, $len:literal, $body:literal) => {
        concat!(r"\x", $first, r"\x", $len, r"\0\0\0\0", $body)
    };
}

#[test]
fn messages_behind_their_lengths() {
    play(&[
        ok(&["-b", r"lengthprefixed:mss:R \0\0\0\x02hi\0\0\0\0|X|D", r"ws-ll-s:mss:W \x82\x02hi\x82\0\x88\0|X"]),
        ok(&[
            "-b",
            concat!("ws-ll-s:mss:R ", frame!("81", "82", "hi"), frame!("82", "80", ""), r"|X|W \x88\0"),
            r"lengthprefixed:mss:W \0\0\0\x02hi\0\0\0\0|D|X",
        ]),
        // Parts of a message are joined, what comes between them is left out.
        ok(&[
            "-b",
            concat!(
                "ws-ll-s:mss:R ",
                frame!("02", "81", "a"),
                frame!("8a", "81", "p"),
                frame!("80", "81", "b"),
                r"|X|W \x88\0"
            ),
            r"lengthprefixed:mss:W \0\0\0\x02ab|D|X",
        ]),
        // A half-close is kept in both directions, without a wait.
        ok(&["-b", r"lengthprefixed:mss:R \0\0\0\x01a|X|W \0\0\0\x01b|D", r"lines:mss:W a\n|D|R b\n|X"]),
        ok(&[
            "-b",
            "--lengthprefixed-nbytes",
            "1",
            r"lengthprefixed:mss:R \x02hi|X|W \x01b|D",
            r"lines:mss:W hi\n|D|R b\n|X",
        ]),
        ok(&[
            "-b",
            "--lengthprefixed-nbytes=8",
            r"lengthprefixed:mss:R \0\0\0\0\0\0\0\x02hi|X|W \0\0\0\0\0\0\0\x01b|D",
            r"lines:mss:W hi\n|D|R b\n|X",
        ]),
        ok(&[
            "-b",
            "--lengthprefixed-little-endian",
            r"lengthprefixed:mss:R \x02\0\0\0hi|X|W \x01\0\0\0b|D",
            r"lines:mss:W hi\n|D|R b\n|X",
        ]),
    ]);
}

#[test]
fn flags_of_length_prefixes() {
    play(&[
        ok(&[
            "-b",
            "--lengthprefixed-continuations",
            r"lengthprefixed:mss:R \x80\0\0\x01a|R \0\0\0\x01b|X|D",
            r"ws-ll-s:mss:W \x02\x01a\x80\x01b\x88\0|X",
        ]),
        ok(&[
            "-b",
            "--lengthprefixed-continuations",
            concat!("ws-ll-s:mss:R ", frame!("02", "81", "a"), frame!("80", "81", "b"), r"|X|W \x88\0"),
            r"lengthprefixed:mss:W \x80\0\0\x01a\0\0\0\x01b|D|X",
        ]),
        ok(&[
            "-b",
            "--lengthprefixed-tag-text",
            r"lengthprefixed:mss:R \x80\0\0\x02hi\0\0\0\x01b|X|D",
            r"ws-ll-s:mss:W \x81\x02hi\x82\x01b\x88\0|X",
        ]),
        ok(&[
            "-b",
            "--lengthprefixed-tag-text",
            concat!("ws-ll-s:mss:R ", frame!("81", "82", "hi"), frame!("82", "81", "b"), r"|X|W \x88\0"),
            r"lengthprefixed:mss:W \x80\0\0\x02hi\0\0\0\x01b|D|X",
        ]),
        // Pong, Close with a body: as messages. The end of our own input as well.
        ok(&[
            "-b",
            "--lengthprefixed-include-control",
            concat!("ws-ll-s:mss:R ", frame!("8a", "82", "pp"), frame!("88", "82", r"\x03\xe8"), r"|W \x88\0"),
            r"lengthprefixed:mss:W \x80\0\0\x03\x0app\x80\0\0\x03\x08\x03\xe8|D|X",
        ]),
        ok(&[
            "-b",
            "--lengthprefixed-include-control",
            r"lengthprefixed:mss:R \x80\0\0\x03\x0app\x80\0\0\x03\x08\x03\xe8|W \x80\0\0\x01\x08|D",
            r"ws-ll-s:mss:W \x8a\x02pp\x88\x02\x03\xe8|X",
        ]),
        // All three, from the top bit down.
        ok(&[
            "-b",
            "--lengthprefixed-nbytes=2",
            "--lengthprefixed-continuations",
            "--lengthprefixed-include-control",
            "--lengthprefixed-tag-text",
            r"lengthprefixed:mss:R \xa0\x01a\x40\x02\x0ap\x20\x01b\x40\x01\x08|W \x40\x01\x08|D",
            r"ws-ll-s:mss:W \x01\x01a\x8a\x01p\x80\x01b\x88\0|X",
        ]),
    ]);
}

#[test]
fn directions_without_length_prefixes() {
    play(&[
        ok(&[
            "-b",
            "--lengthprefixed-skip-read-direction",
            r"lengthprefixed:mss:R hi|X|W \0\0\0\x01b|D",
            r"ws-ll-s:mss:W \x82\x02hi\x88\0|R \x82\x81\0\0\0\0b|X",
        ]),
        ok(&[
            "-b",
            "--lengthprefixed-skip-write-direction",
            r"lengthprefixed:mss:R \0\0\0\x02hi|X|W b|D",
            r"ws-ll-s:mss:W \x82\x02hi\x88\0|R \x82\x81\0\0\0\0b|X",
        ]),
    ]);
}

/// Both sides are told, in order, whatever the options of the session are.
#[test]
fn limits_of_length_prefixes() {
    const LIMITED: &str = "--lengthprefixed-max-message-size=3";
    play(&[
        ok(&["-b", LIMITED, r"lengthprefixed:mss:R \0\0\0\x03abc|X|D", r"ws-ll-s:mss:W \x82\x03abc\x88\0|X"]),
        // Read: refused at its header, when nothing of it has come.
        fails(3, &["-b", LIMITED, r"lengthprefixed:mss:R \0\0\0\x01a\0\0\0\x04|D", r"chunks:mss:W a|D|X"]),
        fails(3, &["-b", LIMITED, r"lengthprefixed:mss:R \0\0\0\x04|D", r"ws-ll-s:mss:W \x88\x02\x03\xf3|X"]),
        // Written: whole or in parts.
        fails(27, &["-b", LIMITED, r"chunks:mss:R abcd|D", "lengthprefixed:mss:D|X"]),
        fails(
            27,
            &[
                "-b",
                LIMITED,
                concat!("ws-ll-s:mss:R ", frame!("02", "82", "ab"), frame!("80", "82", "cd"), r"|W \x88\x02\x03\xf1"),
                "lengthprefixed:mss:D|X",
            ],
        ),
        // With continuations nothing is held, and nothing limits what is written.
        ok(&[
            "-b",
            LIMITED,
            "--lengthprefixed-continuations",
            "chunks:mss:R abcd|X|D",
            r"lengthprefixed:mss:W \0\0\0\x04abcd|D|X",
        ]),
        // The other side has to hold the message: it is refused where its length is read.
        fails(
            3,
            &["-b", "--defragment-max-size=3", r"lengthprefixed:mss:R \0\0\0\x04|D", r"defragment:chunks:mss:D|X"],
        ),
        fails(3, &["-b", r"lengthprefixed:mss:R \0\x10\0\x01|D", r"lengthprefixed:mss:D|X"]),
        ok(&[
            "-b",
            "--lengthprefixed-continuations",
            r"lengthprefixed:mss:R \0\x10\0\x01|ZR 1048577|X|D",
            r"chunks:mss:ZW 1048577|D|X",
        ]),
    ]);
}

#[test]
fn broken_length_prefixes() {
    play(&[
        fails(3, &["-b", r"lengthprefixed:mss:R \0\0|X|D", r"chunks:mss:D|X"]),
        fails(3, &["-b", r"lengthprefixed:mss:R \0\0\0\x02x|X|D", r"chunks:mss:Wx|D|X"]),
        fails(
            3,
            &[
                "-b",
                "--lengthprefixed-include-control",
                r"lengthprefixed:mss:R \x80\0\0\0|W \x80\0\0\x01\x08|D",
                "chunks:mss:D|X",
            ],
        ),
        fails(
            3,
            &[
                "-b",
                "--lengthprefixed-include-control",
                r"lengthprefixed:mss:R \x80\0\0\x01\x07|W \x80\0\0\x01\x08|D",
                "chunks:mss:D|X",
            ],
        ),
        // A wrong stack says what is missing.
        fails(1, &["-b", "lengthprefixed:lines:mss:X", "mirror:"]),
        fails(1, &["-b", "lengthprefixed:ws://127.0.0.1:1/", "mirror:"]),
    ]);
}

#[test]
fn joined_messages() {
    play(&[
        // The end is handed on, to a WebSocket and to a byte stream.
        ok(&[
            "-b",
            concat!("ws-ll-s:mss:R ", frame!("02", "82", "ab"), frame!("80", "81", "c"), r"|X|W \x88\0"),
            "--defragment-max-size=3",
            r"defragment:ws-ll-s:mss:W \x82\x03abc\x88\0|X",
        ]),
        ok(&["-b", "chunks:mss:R ab|X|D", "defragment:chunks:mss:W ab|D|X"]),
        fails(
            27,
            &[
                "-b",
                concat!("ws-ll-s:mss:R ", frame!("02", "82", "ab"), frame!("80", "82", "cd"), r"|W \x88\0"),
                "--defragment-max-size=3",
                "defragment:ws-ll-s:mss:X",
            ],
        ),
    ]);
}

#[test]
fn a_mirror_of_bytes_holds_as_much_as_it_may() {
    play(&[
        ok(&[
            "-b",
            "--mirror-bufsize=3",
            concat!("ws-ll-s:mss:R ", frame!("82", "86", "abcdef"), r"|W \x82\x03abc\x82\x03def|X|W \x88\0"),
            "chunks:mirror:",
        ]),
        ok(&[
            "-b",
            concat!("ws-ll-s:mss:R ", frame!("82", "86", "abcdef"), r"|W \x82\x06abcdef|X|W \x88\0"),
            "chunks:mirror:",
        ]),
    ]);
}

#[test]
fn values_that_cannot_be_meant_are_usage_errors() {
    use clap::Parser as _;
    for option in [
        "--lengthprefixed-nbytes=0",
        "--lengthprefixed-nbytes=9",
        "--lengthprefixed-max-message-size=0",
        "--lengthprefixed-max-message-size=-1",
        "--defragment-max-size=0",
        "--mirror-bufsize=0",
    ] {
        let error = websocat::cli::Args::try_parse_from(["websocat", option, "a:", "b:"]).unwrap_err();
        assert_eq!((error.kind(), error.exit_code()), (clap::error::ErrorKind::ValueValidation, 2), "{option}");
    }
}
