//! Options that bound or shift time, to the millisecond: sockets in memory and tokio's paused clock.
//!
//! Times of handshakes and of ends are in `commands`, those of pings and slow peers in `tests/hostile/clock.rs`, that of
//! signals in `cli/program.rs`.

use super::commands::{fails, fails_after, ok, play, takes};

#[test]
fn the_global_timeout_bounds_everything() {
    play(&[
        takes(300, &["-b", "--global-timeout-ms", "300", "--sleep-ms-before-start", "500", "mss:", "mss:"]),
        takes(300, &["-b", "--global-timeout-ms", "300", "ws-c:mss:I 139|T 5000|X", "mirror:"]),
        takes(300, &["-b", "--global-timeout-ms", "300", "ws-ll-s:mss:T 9000|X", "mirror:"]),
        takes(300, &["-b", "--global-timeout-ms", "300", "--filter", "mss:T 9000|X", "mss:X", "mss:X"]),
        // An end before it is an end; so is an error.
        takes(200, &["-b", "--global-timeout-ms", "300", "mss:T 200|X", "mss:X"]),
        fails_after(200, 27, &["-b", "--global-timeout-ms", "300", "mss:T 200|ER", "mss:"]),
        // At once.
        ok(&["-b", "--global-timeout-ms", "0", "mss:T 200|X", "mss:"]),
    ]);
}

#[test]
fn the_pause_comes_before_everything_else() {
    play(&[
        takes(750, &["-b", "--sleep-ms-before-start", "500", "mss:T 250|X", "mss:X"]),
        ok(&["-b", "--sleep-ms-before-start", "0", "mss:X", "mss:X"]),
        fails_after(500, 25, &["-b", "--sleep-ms-before-start", "500", "readfile:/nonexistent/x", "mss:"]),
    ]);
}

#[test]
fn silence_of_both_sides_ends_a_session_of_messages() {
    play(&[
        // Looked at four times: a message in the first quarter is forgotten four quarters after it. Pings are no data.
        takes(
            6250,
            &[
                "-b",
                "--idle-timeout",
                "5s",
                r"ws-ll-s:mss:T 300|R \x82\x80\0\0\0\0|W \x82\0|T 2000|R \x89\x80\0\0\0\0|W \x8a\0|W \x88\x02\x03\xe9",
                "mirror:",
            ],
        ),
        takes(20_000, &["-b", "--idle-timeout", "0", r"ws-ll-s:mss:T 20000|X|W \x88\0", "mirror:"]),
        takes(20_000, &["-b", "--idle-timeout", "inf", r"ws-ll-s:mss:T 20000|X|W \x88\0", "mirror:"]),
        fails(2, &["-b", "--idle-timeout", "1s", "mss:X", "mss:X"]),
    ]);
}
