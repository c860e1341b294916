//! Command lines that make one socket of several: filters, write-splitoff:, tee:, reuse-raw:, the registry. In-process,
//! with scripted sockets as peers and tokio's paused clock.

use crate::commands::{fails, fails_after, ok, play, takes};

#[test]
fn bytes_pass_the_filters_in_their_order() {
    play(&[
        ok(&["-b", "--filter", "mss:W abc|D|R xyz|X", "mss:R abc|X|W back|D", "mss:W xyz|D|R back|X"]),
        ok(&["-b", "--filter-reverse", "mss:W abc|D|R xyz|X", "mss:W xyz|D|R there|X", "mss:R abc|X|W there|D"]),
        ok(&[
            "-b",
            "--filter",
            "mss:W one|D|R two|X",
            "--filter",
            "mss:W two|D|R three|X",
            "--filter-reverse",
            "mss:W 1|D|R 2|X",
            "--filter-reverse",
            "mss:W 2|D|R 3|X",
            "mss:R one|X|W 3|D",
            "mss:W three|D|R 1|X",
        ]),
        ok(&["-b", "--filter", "mirror:", "--filter", "mirror:", "mss:ZR 300000|X|D", "mss:ZW 300000|X|D"]),
    ]);
}

#[test]
fn messages_pass_the_filters_whole() {
    play(&[
        // A filter of messages makes the session one of messages, a filter of bytes is cut as the sides are.
        ok(&[
            "-t",
            "--filter",
            r"mss:W hi\n|D|R ho\n|X",
            r"ws-ll-s:mss:R \x81\x82\0\0\0\0hi|X|W \x88\0",
            r"mss:W ho\n|D|X",
        ]),
        ok(&[
            "-t",
            "--filter",
            r"ws-ll-s:mss:W \x81\x02hi|R \x82\x82\0\0\0\0ho|W \x88\0|X",
            r"mss:R hi\n|X|D",
            r"mss:X|W ho\n|D",
        ]),
        ok(&[
            "-b",
            "--filter-reverse",
            "mirror:",
            "--filter",
            "mirror:",
            r"ws-ll-s:mss:R \x81\x82\0\0\0\0hi\x82\x80\0\0\0\0|W \x81\x02hi\x82\0|X|W \x88\0",
            "mirror:",
        ]),
        // Pieces are those of -B.
        ok(&["-b", "-B", "2", "--filter", "mirror:", "mss:R abc|X|D", r"ws-ll-s:mss:X|W \x82\x02ab\x82\x01c\x88\0"]),
    ]);
}

#[test]
fn filters_and_the_end() {
    play(&[
        // What a filter makes of its end is waited for; with -E two seconds are enough.
        takes(5000, &["-b", "--filter", "mss:W abc|D|T 5000|R late|X", "mss:R abc|X|D", "mss:X|W late|D"]),
        takes(2000, &["-bE", "--filter", "mss:W abc|D|T 5000|X", "mss:R abc|X", "mss:T 9000|X"]),
        // What is moved in one direction only does not wait for the other one.
        ok(&["-b", "-u", "--filter-reverse", "mirror:", "mss:D|R abc|X", "mss:W abc|D|T 9000|X"]),
        ok(&["-b", "-U", "--filter", "mss:D|T 9000|X", "mss:W abc|D|T 9000|X", "mss:D|R abc|X"]),
        ok(&["-b", "-u", "-U", "--filter", "mirror:", "--filter-reverse", "mirror:", "mss:D", "mss:D"]),
        // A filter that cannot be opened, one that fails.
        fails(25, &["-b", "--filter", "readfile:/nonexistent/x", "mss:", "mss:"]),
        fails(27, &["-b", "--filter", "mss:W abc|D|ER", "mss:R abc|X|D", "mss:X"]),
        fails(1, &["-b", "--filter", "no-such-thing:", "mss:", "mss:"]),
        fails(1, &["-b", "--filter-reverse", "no-such-thing:", "mss:", "mss:"]),
        fails(27, &["-b", "--filter", "mirror:", "mss:R abc|X|D", "mss:X|EW"]),
        // A filter that is a WebSocket, and is closed for a reason.
        fails_after(
            9000,
            31,
            &[
                "-b",
                "--filter",
                r"ws-ll-s:mss:T 1000|R \x88\x82\0\0\0\0\x03\xf3|W \x88\0|X",
                "mss:T 9000|X|D",
                "mss:D|X",
            ],
        ),
        // One that is shared would end with none of its sessions.
        fails(2, &["-b", "--filter", "reuse-raw:mirror:", "mss:R abc|X|D", "mss:X|W abc|D"]),
        fails(2, &["-b", "--filter-reverse", "reuse-raw:mirror:", "mss:", "mss:"]),
        // Both would read the same input.
        fails(2, &["-b", "--filter", "-", "mss:", "-"]),
        fails(2, &["-b", "--filter", "lines:-", "--filter-reverse", "-", "mss:", "mss:"]),
    ]);
}

#[test]
fn writes_go_elsewhere() {
    play(&[
        // The half that nobody uses is shut down at once, or not.
        ok(&["-b", "--write-splitoff", "mss:W abc|D", "mss:R abc|X|W xyz|D", "mss:D|R xyz|X"]),
        ok(&[
            "-b",
            "--write-splitoff",
            "mss:W abc|D",
            "--write-splitoff-omit-shutdown",
            "mss:R abc|X|W xyz|D",
            "mss:R xyz|X",
        ]),
        ok(&["-b", "--write-splitoff", "mss:W xyz|D", "write-splitoff:mss:D|R abc|X", "mss:W abc|D|R xyz|X"]),
        // Messages beside bytes.
        ok(&[
            "-t",
            "--write-splitoff",
            r"mss:W abc\n|D",
            r"mss:R abc\n|X|W xyz\n|D",
            r"ws-ll-s:mss:R \x81\x83\0\0\0\0xyz|X",
        ]),
        ok(&["-b", "--write-splitoff", r"ws-ll-s:mss:W \x82\x03abc|W \x88\0", "mss:R abc|X|W xyz|D", "mss:D|R xyz|X"]),
        ok(&["-b", "--write-splitoff", "mirror:", "mss:R abc|X|D", "wrdvrt:mss:D|X"]),
        fails(2, &["-b", "write-splitoff:mirror:", "mirror:"]),
        fails(2, &["-b", "--write-splitoff", "mirror:", "write-splitoff:mirror:", "write-splitoff:mirror:"]),
        fails(2, &["-b", "--write-splitoff", "write-splitoff:mirror:", "mirror:", "mirror:"]),
    ]);
}

#[test]
fn all_joined_sockets_get_and_give() {
    play(&[
        ok(&["-b", "--tee", "mss:W abc|D|X", "--tee", "mss:W abc|D|X", "mss:R abc|X|D", "mss:W abc|D|X"]),
        takes(2000, &["-b", "--tee", "mss:T 2000|R two|X", "mss:X|W one|W two|D", "tee:mss:T 1000|R one|X"]),
        // Each gets the bytes, although the first one masks where they lie.
        ok(&[
            "-t",
            "--random-seed",
            "2",
            "--tee",
            r"ws-ll-s:mss:W \x81\x02hi|W \x88\0|X",
            "--tee",
            r"mss:W hi\n|D|X",
            r"mss:R hi\n|X|D",
            r"ws-ll-c:mss:W \x81\x82\x1d\xfb\x9f\x97\x75\x92|W \x88\x80\xc5\xca\xbf\x62|X",
        ]),
        ok(&["-b", "--tee", "mirror:", "mss:R abc|W abc|X|D", "mss:W abc|D|X"]),
        // On the left, or alone.
        ok(&["-b", "--tee", "mss:R two|X|W abc|D", "tee:mss:R one|X|W abc|D", "mss:W one|W two|D|R abc|X"]),
        ok(&["-b", "tee:mss:R one|X|W abc|D", "mss:W one|D|R abc|X"]),
        fails(2, &["-b", "--tee", "mss:", "tee:tee:mss:", "mss:"]),
        fails(2, &["-b", "--tee", "tee:mss:", "mss:", "mss:"]),
        fails(2, &["-b", "--tee", "mss:", "tee:mss:", "tee:mss:"]),
        fails(1, &["-b", "--tee", "no-such-thing:", "mss:", "mss:"]),
        fails(25, &["-b", "--tee", "readfile:/nonexistent/x", "mss:", "mss:"]),
    ]);
}

#[test]
fn options_of_joined_sockets() {
    play(&[
        // The end of the first one that ends.
        takes(5000, &["-b", "--tee", "mss:T 5000|R late|X", "mss:X|W late|D", "mss:X"]),
        ok(&["-b", "--tee-propagate-eof", "--tee", "mss:T 5000|X", "mss:X|D", "mss:X"]),
        // The failure of one: of reading, of writing.
        takes(1000, &["-b", "--tee", "mss:T 1000|R late|X", "mss:X|W late|D", "mss:ER"]),
        fails(27, &["-b", "--tee-propagate-failures", "--tee", "mss:T 1000|X", "mss:X", "mss:ER"]),
        ok(&["-b", "--tee", "mss:EW", "mss:R abc|X|D", "mss:W abc|D|X"]),
        fails(27, &["-b", "--tee-propagate-failures", "--tee", "mss:EW", "mss:R abc|X|D", "mss:W abc|X"]),
        // A message that breaks off.
        fails(
            27,
            &["-b", "--tee", "mss:X", r"ws-ll-s:mss:X|W \x02\x01a", r"ws-ll-s:mss:R \x02\x81\0\0\0\0a|X|W \x88\0"],
        ),
        // The main one ended without a Close.
        fails(
            30,
            &[
                "-b",
                "--tee-tolerate-torn-msgs",
                "--tee",
                "mss:X",
                r"ws-ll-s:mss:X|W \x02\x01a|W \x80\0|W \x88\0",
                r"ws-ll-s:mss:R \x02\x81\0\0\0\0a|X|W \x88\0",
            ],
        ),
        // Hangups: nobody's, anybody's, only that of the main one.
        takes(5000, &["-b", "--dummy-hangup", "--tee", "empty:", "mss:T 5000|X", "mss:T 5000|X"]),
        ok(&["-b", "--dummy-hangup", "--tee-use-hangups", "--tee", "empty:", "mss:T 5000|X", "mss:T 5000|X"]),
        ok(&["-b", "--dummy-hangup", "--tee-use-first-hangup", "--tee", "mss:T 5000|X", "mss:T 5000|X", "empty:"]),
        takes(
            5000,
            &["-b", "--dummy-hangup", "--tee-use-first-hangup", "--tee", "empty:", "mss:T 5000|X", "mss:T 5000|X"],
        ),
    ]);
    assert!(crate::commands::refused(&["--tee-use-hangups", "--tee-use-first-hangup", "--tee", "empty:", "a:", "b:"]));
}

/// Eight messages that each go out by themselves, and a joined socket that takes none of them for five seconds.
macro_rules! slow {
    ($main:literal, $slow:literal $(, $option:literal)*) => {
        &[
            "-b", $($option,)* "--tee", $slow,
            "mss:ZR 5000|ZR 5000|ZR 5000|ZR 5000|ZR 5000|ZR 5000|ZR 5000|ZR 5000|X|D", $main,
        ]
    };
}

#[test]
fn joined_sockets_that_do_not_keep_up() {
    play(&[
        // All wait: nothing but the first message has come to the main one by then.
        takes(5000, slow!("mss:ZW 5000|T 4999|ZW 35000|D|X", "mss:T 5000|ZW 40000|D|X")),
        takes(5000, slow!("mss:ZW 40000|T 4999|D|X", "mss:T 5000|ZW 40000|D|X", "--tee-slow", "drop-oldest")),
        // What was under way and the last one.
        takes(
            5000,
            slow!("mss:ZW 40000|D|X", "mss:T 5000|ZW 10000|D|X", "--tee-slow", "drop-oldest", "--tee-backlog", "5000"),
        ),
        ok(slow!("mss:ZW 40000|D|X", "mss:T 5000|X", "--tee-slow", "disconnect", "--tee-backlog", "5000")),
        takes(5000, slow!("mss:ZW 40000|D|X", "mss:T 5000|ZW 40000|D|X", "--tee-slow", "disconnect")),
        // At the end one that takes nothing does not keep the others for ever.
        takes(10_000, slow!("mss:ZW 40000|D|X", "mss:T 90000|X", "--tee-slow", "drop-oldest", "--tee-backlog", "5000")),
        takes(10_000, slow!("mss:ZW 40000|D|X", "mss:T 90000|X", "--tee-slow", "disconnect")),
    ]);
}

#[test]
fn parts_of_one_program_find_each_other() {
    play(&[
        ok(&[
            "--compose",
            "-b",
            "--oneshot",
            "regstr-l:x",
            "mss:W abc|D|R xyz|X",
            "&",
            "-b",
            "mss:R abc|X|W xyz|D",
            "regstr-c:x",
        ]),
        // Whoever comes first waits. The name may be empty.
        takes(
            3000,
            &[
                "--compose",
                "-b",
                "mss:R abc|X|D",
                "regstr-c:",
                "&",
                "--sleep-ms-before-start",
                "3000",
                "-b",
                "--oneshot",
                "regstr-l:",
                "mss:W abc|D|X",
            ],
        ),
        // Messages keep their kind and their borders.
        ok(&[
            "--compose",
            "-b",
            "--oneshot",
            "regdg-l:x",
            r"ws-ll-s:mss:W \x81\x02hi\x82\0\x88\0|R \x81\x82\0\0\0\0yo|X",
            "&",
            "-b",
            r"ws-ll-s:mss:R \x81\x82\0\0\0\0hi\x82\x80\0\0\0\0|X|W \x81\x02yo|W \x88\0",
            "regdg-c:x",
        ]),
        // The socket itself.
        ok(&[
            "--compose",
            "-b",
            "--oneshot",
            "regstr-l:x",
            "mss:W abc|D|R xyz|X",
            "&",
            "-b",
            "mss:R abc|X|W xyz|D",
            "regsend:x",
        ]),
        ok(&[
            "--compose",
            "-t",
            "--oneshot",
            "regdg-l:x",
            r"mss:W hi\n|D|X",
            "&",
            "-b",
            r"ws-ll-s:mss:R \x81\x82\0\0\0\0hi|X|W \x88\0",
            "regsend:x",
        ]),
        // Several clients.
        takes(
            1000,
            &[
                "--compose",
                "-b",
                "--global-timeout-ms",
                "1000",
                "regstr-l:x",
                "mirror:",
                "&",
                "-b",
                "mss:R abc|W abc|X|D",
                "regstr-c:x",
                "&",
                "-b",
                "mss:R xyz|W xyz|X|D",
                "regstr-c:x",
            ],
        ),
    ]);
}

/// Somebody listens to a name for another kind of socket than the one that comes.
macro_rules! mismatch {
    ($listens:literal, $comes:literal) => {
        fails_after(
            1000,
            14,
            &["--compose", "-b", "--global-timeout-ms", "1000", $listens, "mss:", "&", "-b", "mss:T 9000|X", $comes],
        )
    };
}

#[test]
fn names_that_lead_nowhere() {
    play(&[
        takes(1000, &["-b", "--global-timeout-ms", "1000", "mss:T 9000|X", "regstr-c:nobody"]),
        takes(1000, &["-b", "--global-timeout-ms", "1000", "regdg-l:nobody", "mss:T 9000|X"]),
        // Who listens takes something else, and goes on listening.
        mismatch!("regdg-l:x", "regstr-c:x"),
        mismatch!("regstr-l:x", "regdg-c:x"),
        mismatch!("regdg-l:x", "regsend:x"),
        ok(&["--compose", "-b", "--oneshot", "regstr-l:x", "mss:W abc|D|X", "&", "-b", "mss:R abc|X|D", "regstr-c:x"]),
        fails(2, &["-b", "regsend:x", "mss:"]),
        fails(2, &["-b", "mss:", "log:regsend:x"]),
        fails(2, &["-b", "--filter", "mirror:", "mss:", "regsend:x"]),
        fails(2, &["-b", "--tee", "regsend:x", "mss:", "mss:"]),
    ]);
}

/// A client that is cut off after half a second, and a server that takes nothing before: what was on the way by then.
#[test]
fn bytes_on_the_way_to_a_part_of_the_program() {
    play(&[
        takes(
            1000,
            &[
                "--compose",
                "-b",
                "--oneshot",
                "regstr-l:x",
                "mss:T 1000|ZW 2048|D|X",
                "&",
                "-b",
                "--global-timeout-ms",
                "500",
                "mss:ZR 5000|T 9000|X",
                "regstr-c:x",
            ],
        ),
        takes(
            1000,
            &[
                "--compose",
                "-b",
                "--oneshot",
                "regstr-l:x",
                "mss:T 1000|ZW 5000|D|X",
                "&",
                "-b",
                "--global-timeout-ms",
                "500",
                "--registry-connect-bufsize",
                "64k",
                "mss:ZR 5000|T 9000|X",
                "regstr-c:x",
            ],
        ),
    ]);
}

#[test]
fn buffers_between_parts_are_bounded() {
    for (size, bad) in [("256k", false), ("262145", true), ("1m", true), ("0", true)] {
        let line = ["-b", "--registry-connect-bufsize", size, "mss:", "regstr-c:x"];
        assert_eq!(crate::commands::refused(&line), bad, "{size}");
    }
}

/// Two clients one after the other, of which the first leaves inside a message.
macro_rules! torn {
    ($inner:literal $(, $option:literal)*) => {
        &["--compose", "-b", $($option,)* "regdg-l:x", concat!("reuse-raw:ws-ll-s:", $inner),
            "&", "-b", "--global-timeout-ms", "10", r"ws-ll-s:mss:R \x02\x82\0\0\0\0ha|T 9000|X", "regdg-c:x",
            "&", "-b", "--sleep-ms-before-start", "500", "--global-timeout-ms", "500",
            r"ws-ll-s:mss:R \x82\x83\0\0\0\0own|T 9000|X", "regdg-c:x",
        ]
    };
}

#[test]
fn clients_of_a_shared_socket_that_leave() {
    play(&[
        // The listener goes on; the whole is cut after two seconds.
        takes(
            2000,
            torn!(
                r"mss:W \x02\x02ha|W \x88\x28\x03\xf3client left in the middle of a message|T 9000|X",
                "--global-timeout-ms",
                "2000"
            ),
        ),
        takes(
            2000,
            torn!(
                r"mss:W \x02\x02ha|W \x80\0|W \x82\x03own|T 9000|X",
                "--global-timeout-ms",
                "2000",
                "--reuser-tolerate-torn-msgs"
            ),
        ),
    ]);
}
