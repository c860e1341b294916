//! `--compose`: who runs when, what ends what, and what is said about lines that cannot be meant.

use super::commands::{fails, fails_after, ok, play, takes};
use std::ffi::OsString;
use websocat::{cli::CommandLine, plan};

#[test]
fn parts_run_at_once_in_turn_or_against_each_other() {
    let part = |n: u32| ["-b".to_owned(), format!("mss:R {n}|T {n}00|X"), format!("mss:W {n}|X")];
    let line = |operator: &str| -> &'static [&'static str] {
        let words = [&["--compose".to_owned()], &part(3)[..], &[operator.to_owned()], &part(5)].concat();
        let words: Vec<&'static str> = words.into_iter().map(|word| &*word.leak()).collect();
        words.leak()
    };
    play(&[takes(500, line("&")), takes(800, line(";")), takes(300, line("^"))]);
}

#[test]
fn groups_inside_of_groups() {
    const WAIT: [&str; 3] = ["-b", "mss:T 100|X", "mss:X"];
    let play_groups = |ms: u64, groups: &str| {
        let words = groups.split_whitespace();
        let words = words.flat_map(|word| if word == "100" { WAIT.to_vec() } else { vec![word] });
        let words: Vec<&'static str> =
            std::iter::once("--compose").chain(words).map(|w| &*w.to_owned().leak()).collect();
        play(&[takes(ms, words.leak())]);
    };
    play_groups(100, "100");
    play_groups(100, "( ( 100 ) )");
    play_groups(200, "100 ; ( 100 & 100 & 100 )");
    play_groups(200, "( 100 ; 100 ) & 100");
    play_groups(100, "( 100 ; 100 ; 100 ) ^ 100");
    play_groups(300, "( 100 ^ ( 100 ; 100 ) ) ; ( 100 & ( 100 ; ( 100 ^ 100 ) ) )");
    let deep = format!("{} 100 {}", "( 100 ; ".repeat(30), ") ".repeat(30));
    play_groups(3100, &deep);
}

#[test]
fn the_gravest_status_counts_and_what_follows_runs_all_the_same() {
    play(&[
        fails(27, &["--compose", "-b", "mss:ER", "mss:", ";", "-b", "mss:R x|X", "mss:W x|D|X"]),
        fails(27, &["--compose", "-b", "mss:ER", "mss:", "&", "-b", "readfile:/nonexistent/x", "mss:"]),
        fails(25, &["--compose", "-b", "readfile:/nonexistent/x", "mss:", ";", "-b", "mss:R x|X", "mss:W x|D|X"]),
        // Of a race the winner's.
        takes(100, &["--compose", "-b", "mss:T 100|X", "mss:X", "^", "-b", "mss:T 200|ER", "mss:"]),
        fails_after(100, 27, &["--compose", "-b", "mss:T 200|X", "mss:X", "^", "-b", "mss:T 100|ER", "mss:"]),
    ]);
}

#[test]
fn options_of_a_session_are_those_of_its_part() {
    play(&[
        takes(
            1000,
            &[
                "--compose",
                "-b",
                "--global-timeout-ms",
                "300",
                "mss:T 9000|X",
                "mss:T 9000|X",
                "&",
                "-b",
                "mss:T 1000|X",
                "mss:X",
            ],
        ),
        takes(
            700,
            &["--compose", "-b", "--sleep-ms-before-start", "500", "mss:X", "mss:X", ";", "-b", "mss:T 200|X", "mss:X"],
        ),
        ok(&[
            "--compose",
            "-t",
            r"mss:R a\nb\n|X",
            r"ws-ll-s:mss:W \x81\x01a\x81\x01b\x88\0|X",
            "&",
            "-b",
            r"mss:R a\nb\n|X",
            r"ws-ll-s:mss:W \x82\x04a\nb\n\x88\0|X",
        ]),
        // The seed is one for all: the documented mask of seed 2, then the first one of the next connection.
        ok(&[
            "--compose",
            "-b",
            "-n",
            r"ws-ll-c:mss:W \x82\x80\x1d\xfb\x9f\x97|X",
            "ws-ll-s:mss:R \\x82\\x80\\0\\0\\0\\0|X",
            ";",
            "--random-seed",
            "2",
            "-b",
            "-n",
            r"ws-ll-c:mss:W \x82\x80\x70\x45\xd4\xb6|X",
            "ws-ll-s:mss:R \\x82\\x80\\0\\0\\0\\0|X",
        ]),
    ]);
}

#[test]
fn errors_of_a_part_say_where_it_stands() {
    for (line, status, expected) in [
        ("-b mirror: devnull: & -b no-such: devnull:", 1, "--compose, arguments 6 to 8: unknown specifier `no-such:`"),
        ("-b mirror: devnull: ; -b", 2, "--compose, argument 6: no specifier given"),
        (
            "-b mirror: devnull: ; ( -t tcp:h devnull: ^ - - )",
            2,
            "--compose, arguments 7 to 9: `tcp:h`: the port is missing",
        ),
        ("-b literal:x devnull: & -b --no-fixups ws://h/ devnull:", 2, "--compose, arguments 6 to 9: ws:// stands for"),
    ] {
        let words = ["websocat", "--compose"].into_iter().chain(line.split_whitespace()).map(OsString::from);
        let e = plan::script(&CommandLine::read(words).unwrap()).unwrap_err();
        assert_eq!(e.exit_code(), status, "{line}: {e}");
        assert!(e.to_string().starts_with(expected), "{line}: {e}");
    }
}
