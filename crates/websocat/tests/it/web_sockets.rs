//! Options of WebSockets: what each changes on the wire. Scripted sockets, as in `commands`.

use super::commands::{fails, fails_after, ok, play};

#[test]
fn our_own_close_says_what_it_is_told_to() {
    play(&[
        ok(&["-b", "--close-status-code", "3000", r"ws-ll-s:mss:W \x88\x02\x0b\xb8|X", "empty:"]),
        ok(&[
            "-b",
            "--close-status-code",
            "3000",
            "--close-reason",
            "bye",
            r"ws-ll-s:mss:W \x88\x05\x0b\xb8bye|X",
            "empty:",
        ]),
    ]);
}

#[test]
fn frames_and_messages_may_be_limited() {
    play(&[
        ok(&["-b", "--max-ws-frame-length", "2", r"ws-ll-s:mss:R \x82\x82\0\0\0\0ab|X|W \x88\0", "mss:W ab|D|X"]),
        fails(
            3,
            &["-b", "--max-ws-frame-length", "2", r"ws-ll-s:mss:R \x82\x83\0\0\0\0|W \x88\x02\x03\xf1|X", "mss:X"],
        ),
        fails(
            3,
            &[
                "-b",
                "--max-ws-message-length",
                "2",
                r"ws-ll-s:mss:R \x02\x82\0\0\0\0ab\x80\x81\0\0\0\0|W \x88\x02\x03\xf1|X",
                "mss:W ab|X",
            ],
        ),
    ]);
}

#[test]
fn text_that_is_none_may_be_repaired_or_refused() {
    play(&[
        ok(&["-t", r"ws-ll-s:mss:R \x81\x81\0\0\0\0\xff|X|W \x88\0", r"mss:W \xff\n|D|X"]),
        ok(&[
            "-t",
            "--text-invalid",
            "lossy",
            r"ws-ll-s:mss:R \x81\x81\0\0\0\0\xff|X|W \x88\0",
            r"mss:W \xef\xbf\xbd\n|D|X",
        ]),
        fails(
            3,
            &["-t", "--text-invalid", "fail", r"ws-ll-s:mss:R \x81\x81\0\0\0\0\xff|W \x88\x02\x03\xef|X", "mss:X"],
        ),
    ]);
}

#[test]
fn pings_may_be_limited() {
    play(&[fails_after(
        1,
        3,
        &[
            "-b",
            "--max-control-rate",
            "2",
            r"ws-ll-s:mss:R \x89\x80\0\0\0\0|W \x8a\0|R \x89\x80\0\0\0\0|W \x8a\0|R \x89\x80\0\0\0\0|W \x88\x1a\x03\xf0too many pings and pongs|X",
            "mss:T 1|X",
        ],
    )]);
}

#[test]
fn clients_ask_for_another_version() {
    play(&[fails(
        5,
        &[
            "-b",
            "--random-seed",
            "3",
            "--websocket-version",
            "8",
            concat!(
                r"ws-c:mss:W GET / HTTP/1.1\r\nconnection: Upgrade\r\nupgrade: websocket\r\n",
                r"sec-websocket-key: J9988AI2rIrAyJ7HDshMRw==\r\nhost: \r\nsec-websocket-version: 8\r\n\r\n|",
                r"R HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n|X"
            ),
            "mss:X",
        ],
    )]);
}
