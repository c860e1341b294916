//! Options that decide what the program says on standard error, and what it prints instead of connecting anything.

use super::program::run;

/// One that warns of a separator without lines, and tells its end at more than usual verbosity.
const DOUBTFUL: [&str; 5] = ["-b", "--separator", "1", "literal:x", "devnull:"];

#[test]
fn quiet_programs_do_not_warn() {
    assert!(run(&DOUBTFUL).stderr.contains("separator options have no effect"));
    assert_eq!(run(&[&["-q"][..], &DOUBTFUL].concat()).stderr, "");
    // Errors are told all the same, but not to those who want none.
    let missing = ["-b", "readfile:/nonexistent/x", "devnull:"];
    assert!(run(&[&["-q"][..], &missing].concat()).stderr.contains("/nonexistent/x"));
    let ended = run(&[&["-qq"][..], &missing].concat());
    assert_eq!((ended.status, &*ended.stderr), (Some(25), ""));
}

#[test]
fn messages_may_be_json() {
    let said = run(&[&["--log-format", "json"][..], &DOUBTFUL].concat()).stderr;
    for line in said.lines() {
        let object: serde_json::Value = serde_json::from_str(line).unwrap_or_else(|e| panic!("{line}: {e}"));
        assert_eq!(object["level"], "WARN", "{line}");
    }
    assert_eq!(said.lines().count(), 1);
}

#[test]
fn keys_and_their_answers_are_printed() {
    let key = || {
        let ended = run(&["--just-generate-key"]);
        assert_eq!(ended.status, Some(0), "{ended:?}");
        ended.stdout
    };
    // Base64 of 16 bytes, never the same ones.
    let (one, other) = (key(), key());
    assert!(one.len() == 25 && one.ends_with("==\n") && one != other, "{one}{other}");
    // The example of RFC 6455 1.3.
    let answer = run(&["--just-generate-accept", "dGhlIHNhbXBsZSBub25jZQ=="]);
    assert_eq!((answer.status, &*answer.stdout), (Some(0), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\n"), "{answer:?}");
}

#[test]
fn documentation_is_printed() {
    let page = run(&["--generate", "endpoints"]);
    assert!(page.status == Some(0) && page.stdout.contains("ws://"), "{page:?}");
}
