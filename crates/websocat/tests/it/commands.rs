//! Whole command lines in-process, with scripted sockets as peers: what goes over the wire, byte by byte, and how
//! long it takes.
//!
//! Each case goes the way of the program: parse, rewrite, print, load, run. Time is tokio's paused clock, so that
//! times are exact and nothing waits.

use sockets::{stop::Stop, testing::MockMismatch};
use std::{ffi::OsString, panic, time::Duration};
use websocat::{cli::CommandLine, error::Result, exec, plan, scenario};

/// A command line whose sockets play their scripts to the end, the exit status, and milliseconds until then.
pub(super) struct Case {
    line: &'static [&'static str],
    status: u8,
    ms: u64,
}

pub(super) const fn ok(line: &'static [&'static str]) -> Case {
    Case { line, status: 0, ms: 0 }
}

pub(super) const fn takes(ms: u64, line: &'static [&'static str]) -> Case {
    Case { line, status: 0, ms }
}

pub(super) const fn fails(status: u8, line: &'static [&'static str]) -> Case {
    Case { line, status, ms: 0 }
}

pub(super) const fn fails_after(ms: u64, status: u8, line: &'static [&'static str]) -> Case {
    Case { line, status, ms }
}

/// What is printed for a command line whose words the option parser takes.
pub(super) fn script_of(line: &[&str]) -> Result<String> {
    plan::script(&read(line))
}

fn read(line: &[&str]) -> CommandLine {
    CommandLine::read([&["websocat"], line].concat().into_iter().map(OsString::from)).unwrap()
}

async fn run(line: &[&str]) -> Result<()> {
    let line = read(line);
    let script = plan::script(&line)?;
    let (_scenario, task) = exec::load_seeded(&script, Stop::new(), line.program.random_seed)?;
    scenario::run(task).await
}

/// The arguments cannot be meant.
pub(super) fn refused(line: &[&str]) -> bool {
    CommandLine::read([&["websocat"], line].concat().into_iter().map(OsString::from)).is_err()
}

pub(super) fn play(cases: &[Case]) {
    for case in cases {
        let shown = case.line.join(" ");
        let played = panic::catch_unwind(|| {
            let runtime =
                tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
            runtime.block_on(async {
                let start = tokio::time::Instant::now();
                // Longer than any case: what hangs shall say which one it is.
                let result = tokio::time::timeout(Duration::from_secs(100_000), run(case.line)).await;
                (result, start.elapsed().as_millis() as u64)
            })
        });
        let (result, ms) = played.unwrap_or_else(|payload| match payload.downcast::<MockMismatch>() {
            Ok(mismatch) => panic!("{shown}\n  {mismatch}"),
            Err(payload) => panic::resume_unwind(payload),
        });
        let result = result.unwrap_or_else(|_| panic!("{shown}\n  does not end"));
        let status = result.as_ref().err().map_or(0, |e| e.exit_code());
        assert_eq!((status, ms), (case.status, case.ms), "status and milliseconds of {shown}\n  {result:?}");
    }
}

#[test]
fn byte_streams() {
    play(&[
        ok(&["-b", "mss:R hello|W hello|X|D", "mirror:"]),
        ok(&["-b", "mss:R abc|X|W xyz|D", "mss:W abc|D|R xyz|X"]),
        // Text mode changes nothing where no side has messages.
        ok(&["-t", r"mss:R a\nb|X", r"mss:W a\nb|D"]),
        ok(&["-b", "literal:abc", "mss:W abc|D"]),
        ok(&["-b", "literal-base64:YWJj", "mss:W abc|D"]),
        ok(&["-b", "devnull:", "mss:D|R forgotten|X"]),
        ok(&["-b", "mss:ZR 300000|X", "mss:ZW 300000|D"]),
        ok(&["-b", "-B", "7", "mss:ZR 300|X", "mss:ZW 300|D"]),
        ok(&["-b", "write_buffer:mss:W abc|D|X", "mss:R a|R b|R c|X"]),
        ok(&["-b", "log:mss:R abc|X|W xyz|D", "log:mss:W abc|D|R xyz|X"]),
        // A half-close is not the end.
        takes(3000, &["-b", "mss:R request|X|W reply|D", "mss:W request|D|T 3000|R reply|X"]),
        fails(27, &["-b", "mss:R abc|ER", "mss:W abc"]),
        fails(27, &["-b", "mss:R abc|X", "mss:EW|T 1000"]),
    ]);
}

#[test]
fn directions() {
    play(&[
        ok(&["-b", "-u", "mss:D|R abc|X", "mss:W abc|D"]),
        ok(&["-b", "-U", "mss:W xyz|D", "mss:D|R xyz|X"]),
        ok(&["-b", "-u", "-U", "mss:D", "mss:D"]),
        ok(&["-b", "-u", "--unidirectional-late-drop", "mss:R abc|X|D", "mss:W abc|D"]),
        ok(&["-b", "-U", "--unidirectional-late-drop", "mss:W abc|D", "mss:R abc|X|D"]),
        takes(1000, &["-b", "mss:R a|X", "mss:W a|T 1000|X"]),
        ok(&["-b", "-E", "mss:R a|X", "mss:W a|T 1000|X"]),
        takes(500, &["-b", "-E", "mss:W a|T 2000|X", "mss:R a|T 500|X"]),
        // Low-level framing: the idle direction is closed at once, and -n means that nothing closes it.
        ok(&["-b", "-u", r"ws-ll-s:mss:W \x88\0|R \x82\x81\0\0\0\0x|X", "mss:W x|D"]),
        ok(&["-b", "-u", "-n", r"ws-ll-s:mss:R \x82\x81\0\0\0\0x|X", "mss:W x|D"]),
        ok(&["-b", "-E", r"ws-ll-s:mss:R \x82\x81\0\0\0\0x|X|W \x88\0", "mss:W x|D|T 1000|X"]),
    ]);
}

#[test]
fn times() {
    play(&[
        takes(250, &["-b", "--sleep-ms-before-start", "250", "literal:x", "mss:W x|D"]),
        takes(300, &["-b", "--global-timeout-ms", "300", "mss:T 5000|X", "mss:T 9000|X"]),
        ok(&["-b", "--dummy-hangup", "devnull:", "mss:T 5000|X"]),
        ok(&["-b", "--global-timeout-ms", "300", "mss:R x|X", "mss:W x|D"]),
    ]);
}

#[test]
fn frames_of_a_server() {
    play(&[
        ok(&["-t", r"ws-ll-s:mss:R \x81\x82\0\0\0\0hi|X|W \x88\0", r"mss:W hi\n|D|X"]),
        ok(&["-t", r"mss:R one\ntwo\n|X", r"ws-ll-s:mss:W \x81\x03one\x81\x03two\x88\0|X"]),
        ok(&["-b", r"mss:R one|R two|X", r"ws-ll-s:mss:W \x82\x03one\x82\x03two\x88\0|X"]),
        // Text stays text through a binary session, an empty message is a message.
        ok(&["-b", r"ws-ll-s:mss:R \x81\x82\0\0\0\0hi\x82\x80\0\0\0\0|W \x81\x02hi\x82\0|X|W \x88\0", "mirror:"]),
        ok(&["-b", r"ws-ll-s:mss:R \x89\x82\0\0\0\0pp|W \x8a\x02pp|X|W \x88\0", "mss:D|X"]),
        // A pong is for the endpoint, not for the byte stream behind it.
        ok(&["-b", r"ws-ll-s:mss:R \x8a\x82\0\0\0\0pp|X|W \x88\0", "mss:D|X"]),
        ok(&["-b", "-n", r"ws-ll-s:mss:R \x82\x81\0\0\0\0x|X", "mss:W x|D"]),
        ok(&[
            "-b",
            r"ws-ll-s:mss:R \x88\x85\0\0\0\0\x03\xe8bye|W \x88\x05\x03\xe8bye",
            r"ws-ll-s:mss:W \x88\x05\x03\xe8bye|R \x88\x85\0\0\0\0\x03\xe8bye",
        ]),
        // Parts of a message stay parts unless something joins them.
        ok(&[
            "-b",
            r"ws-ll-s:mss:R \x02\x81\0\0\0\0a|R \x80\x81\0\0\0\0b|X|W \x88\0",
            r"ws-ll-s:mss:W \x02\x01a\x80\x01b\x88\0|X",
        ]),
        ok(&[
            "-b",
            r"ws-ll-s:mss:R \x02\x81\0\0\0\0a|R \x80\x81\0\0\0\0b|X|W \x88\0",
            r"defragment:ws-ll-s:mss:W \x82\x02ab\x88\0|X",
        ]),
    ]);
}

#[test]
fn frames_of_a_client() {
    play(&[
        // The documented masks of seed 2: 1dfb9f97, c5cabf62.
        ok(&[
            "-t",
            "--random-seed",
            "2",
            r"ws-ll-c:mss:W \x81\x82\x1d\xfb\x9f\x97\x75\x92|W \x88\x80\xc5\xca\xbf\x62|R \x81\x02yo|X",
            r"mss:R hi\n|X|W yo\n|D",
        ]),
        ok(&[
            "-t",
            "--random-seed",
            "2",
            "-n",
            r"ws-ll-c:mss:W \x81\x82\x1d\xfb\x9f\x97\x75\x92|R \x81\x02yo|X",
            r"mss:R hi\n|X|W yo\n|D",
        ]),
    ]);
}

/// A complete client with seed 3, whose key is documented, and what follows the request.
macro_rules! client {
    ($($then:expr),*) => {
        concat!(
            r"ws-c:mss:W GET /chat HTTP/1.1\r\nconnection: Upgrade\r\nupgrade: websocket\r\n",
            r"sec-websocket-version: 13\r\nsec-websocket-key: J9988AI2rIrAyJ7HDshMRw==\r\nhost: example.org\r\n\r\n|",
            $($then),*
        )
    };
}

/// The answer that fits.
macro_rules! accepted {
    ($($then:expr),*) => {
        client!(
            r"R HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n",
            r"Sec-WebSocket-Accept: drEidzQh868P7ZKQ+U65vvNVFKw=\r\n\r\n|",
            $($then),*
        )
    };
}

macro_rules! seeded {
    ($left:expr, $right:expr $(, $more:literal)*) => {
        &["-b", "--random-seed", "3", "--ws-c-uri", "ws://example.org/chat", $($more,)* $left, $right]
    };
}

/// `hi` with the mask that comes after the key.
macro_rules! hi {
    () => {
        r"W \x82\x82\x7c\xf5\x15\x1b\x14\x9c|"
    };
}

/// Close 1000 with the mask after that, and the answer.
macro_rules! closing {
    () => {
        r"W \x88\x82\x6b\xd1\xca\xb6\x68\x39|R \x88\x02\x03\xe8|X"
    };
}

#[test]
fn complete_clients_that_end() {
    play(&[
        // A second for answers, counted from the last one, then Close.
        takes(1000, seeded!("literal:hi", accepted!(hi!(), closing!()))),
        takes(1800, seeded!("literal:hi", accepted!(hi!(), r"T 800|R \x81\x02yo|", closing!()))),
        takes(5000, seeded!("literal:hi", accepted!(hi!(), closing!()), "--linger", "5s")),
        ok(seeded!("literal:hi", accepted!(hi!(), closing!()), "--linger", "0")),
        // Nothing says that it is over to a peer that shall not be told.
        ok(seeded!("literal:hi", accepted!(hi!(), "X"), "-n", "-E")),
    ]);
}

//= 6455-7.1.7-2 test
#[test]
fn complete_clients_whose_peer_ends() {
    // Answered and over at once, whatever our own input does.
    play(&[
        ok(seeded!("mss:T 99000|X", accepted!(r"R \x88\x02\x03\xe8|W \x88\x82\x7c\xf5\x15\x1b\x7f\x1d|X"))),
        fails(31, seeded!("mss:T 99000|X", accepted!(r"R \x88\x05\x03\xf3oh!|W \x88\x82\x7c\xf5\x15\x1b\x7f\x06|X"))),
        fails(30, seeded!("mss:T 99000|X", accepted!(r"X|W \x88\x82\x7c\xf5\x15\x1b\x7f\x1d"))),
    ]);
}

#[test]
fn handshakes_that_fail() {
    play(&[
        fails(
            5,
            seeded!(
                "mss:T 99000|X",
                client!(r"R HTTP/1.1 402 Payment Required\r\n", r"Content-Length: 5\r\n\r\npay!\n|X")
            ),
        ),
        fails(
            6,
            seeded!(
                "mss:T 99000|X",
                client!(
                    r"R HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n",
                    r"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n|X"
                )
            ),
        ),
        fails_after(10_000, 23, seeded!("mss:T 99000|X", client!("T 60000|X"))),
        fails_after(2000, 23, seeded!("mss:T 99000|X", client!("T 60000|X"), "--handshake-timeout", "2s")),
    ]);
}

//= 6455-7.1.7-2 test
#[test]
fn broken_frames() {
    play(&[
        // Reserved bit, unmasked frame from a client, masked frame from a server. The other direction goes on to its
        // end.
        fails_after(1, 3, &["-b", r"ws-ll-s:mss:R \xf2\x81\0\0\0\0x|W \x88\x02\x03\xea|X", "mss:T 1|X"]),
        fails_after(1, 3, &["-b", r"ws-ll-s:mss:R \x82\x01x|W \x88\x02\x03\xea|X", "mss:T 1|X"]),
        fails_after(
            1,
            3,
            &[
                "-b",
                "--random-seed",
                "2",
                r"ws-ll-c:mss:R \x82\x81\0\0\0\0x|W \x88\x82\x1d\xfb\x9f\x97\x1e\x11|X",
                "mss:T 1|X",
            ],
        ),
    ]);
}

#[test]
fn lines() {
    play(&[
        ok(&["-t", r"mss:R last line|X", r"ws-ll-s:mss:W \x81\x09last line\x88\0|X"]),
        ok(&["-t", r"mss:R a\n\nb\n|X", r"ws-ll-s:mss:W \x81\x01a\x81\0\x81\x01b\x88\0|X"]),
        ok(&["-t", "--separator", "44", r"mss:R a,b\n,|X", r"ws-ll-s:mss:W \x81\x01a\x81\x02b\n\x88\0|X"]),
        ok(&["-t", "-0", r"mss:R a\nb\0c\0|X", r"ws-ll-s:mss:W \x81\x03a\nb\x81\x01c\x88\0|X"]),
        ok(&["-t", "--separator-n", "2", r"mss:R a\nb\n\nc\n\n|X", r"ws-ll-s:mss:W \x81\x03a\nb\x81\x01c\x88\0|X"]),
        ok(&["-t", "--separator-inline", r"mss:R a\nb\n|X", r"ws-ll-s:mss:W \x81\x02a\n\x81\x02b\n\x88\0|X"]),
        ok(&["-t", "--separator-trim-cr", r"mss:R a\r\nb\r|X", r"ws-ll-s:mss:W \x81\x01a\x81\x02b\r\x88\0|X"]),
        ok(&["-t", r"ws-ll-s:mss:R \x81\x89\0\0\0\0hel\nlo\n\n!|X|W \x88\0", r"mss:W hel lo  !\n|D|X"]),
        ok(&[
            "-t",
            "--separator-inhibit-substitution",
            r"ws-ll-s:mss:R \x81\x87\0\0\0\0hel\nlo\n|X|W \x88\0",
            r"mss:W hel\nlo\n\n|D|X",
        ]),
        // Written out, the overlay is the one that text mode adds.
        ok(&["-b", r"lines:mss:R a\nb\n|X", r"ws-ll-s:mss:W \x81\x01a\x81\x01b\x88\0|X"]),
        ok(&["-t", r"chunks:mss:R a\nb\n|X", r"ws-ll-s:mss:W \x82\x04a\nb\n\x88\0|X"]),
    ]);
}

#[test]
fn limiters() {
    play(&[
        ok(&["-b", "read_chunk_limiter:mss:R abc|X", r"ws-ll-s:mss:W \x82\x01a\x82\x01b\x82\x01c\x88\0|X"]),
        ok(&[
            "-b",
            "--read-buffer-limit",
            "2",
            "read_chunk_limiter:mss:R abc|X",
            r"ws-ll-s:mss:W \x82\x02ab\x82\x01c\x88\0|X",
        ]),
        ok(&["-b", "mss:R abc|X", "write_chunk_limiter:mss:W abc|D|X"]),
        ok(&["-b", "mss:R abc|X", r"ws-ll-s:write_chunk_limiter:mss:W \x82\x03abc\x88\0|X"]),
        ok(&["-t", r"mss:R abc\n|X", r"ws-ll-s:read_chunk_limiter:write_buffer:mss:W \x81\x03abc\x88\0|X"]),
        ok(&["-b", "-B", "2", "mss:R abc|X", r"ws-ll-s:mss:W \x82\x02ab\x82\x01c\x88\0|X"]),
    ]);
}

#[test]
fn what_is_wrong_before_anything_happens() {
    play(&[
        fails(2, &["-", "-"]),
        fails(1, &["-b", "no-such-thing:", "mirror:"]),
        fails(2, &["-b", "mss:Y", "mirror:"]),
        fails(2, &["-b", "tcp:127.0.0.1", "mirror:"]),
        fails(2, &["-b", "empty:x", "mirror:"]),
    ]);
    for option in ["--filter", "--filter-reverse", "--tee"] {
        let line = |n: usize| [&["-b"], &[option, "mirror:"].repeat(n)[..], &["literal:x", "devnull:"]].concat();
        assert!(script_of(&line(32)).is_ok());
        assert!(script_of(&line(33)).unwrap_err().to_string().contains("can be given 32 times at most"), "{option}");
    }
}

/// Nothing comes from a file that is written, which must not look like the end of a session that fills it.
#[test]
fn files_are_filled_to_the_end() {
    let folder = tempfile::tempdir().unwrap();
    let [from, to] = ["from", "to"].map(|name| folder.path().join(name));
    let data: Vec<u8> = (0..3_000_000u32).map(|n| (n >> 3) as u8).collect();
    std::fs::write(&from, &data).unwrap();
    let specifiers = [format!("readfile:{}", from.display()), format!("writefile:{}", to.display())];
    for option in ["-b", "-bE", "-bu"] {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let line = [option, &specifiers[0], &specifiers[1]];
        runtime.block_on(async { tokio::time::timeout(Duration::from_secs(60), run(&line)).await }).unwrap().unwrap();
        assert!(std::fs::read(&to).unwrap() == data, "{option}");
        std::fs::remove_file(&to).unwrap();
    }
}

/// A case that goes wrong is reported as such: the other tests would be worth nothing otherwise.
#[test]
fn differences_are_found() {
    let found: Vec<bool> = [
        ok(&["-b", "mss:R abc|X", "mss:W abd|D"]),
        ok(&["-b", "mss:R abc|X", "mss:W abcd|D"]),
        takes(1, &["-b", "mss:R abc|X", "mss:W abc|D"]),
        fails(1, &["-b", "mss:R abc|X", "mss:W abc|D"]),
    ]
    .into_iter()
    .map(|case| panic::catch_unwind(|| play(&[case])).is_err())
    .collect();
    assert_eq!(found, [true; 4]);
}
