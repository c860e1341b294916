//! Command lines that make one socket of several: filters, write-splitoff:, tee:, reuse-raw:, the registry. In-process,
//! with scripted sockets as peers and tokio's paused clock.

use crate::commands::{fails, ok, play, takes};

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
