//! Options that decide whom a WebSocket server lets in, at a real listener.

use super::client_limits::{ask_with, serve};

/// The status of the answer to a request for this path with these lines more, from a server with these options.
fn status(options: &[&str], right: &str, path: &str, fields: &str) -> String {
    let mut status = String::new();
    let line = [&["-b", "ws-l:127.0.0.1:0", right], options].concat();
    serve(&line, async |addr| {
        let (_, head) = ask_with(addr, path, fields).await;
        status = head.split_whitespace().nth(1).unwrap().to_owned();
    });
    status
}

#[test]
fn allow_origin_names_the_pages_that_may_use_a_server() {
    let foreign = "Origin: http://a.example\r\n";
    // Files are kept from foreign pages unless those are named; others are free for all unless some are named.
    assert_eq!(status(&[], "appendfile:/dev/null", "/", foreign), "403");
    assert_eq!(status(&["--allow-origin", "http://a.example"], "appendfile:/dev/null", "/", foreign), "101");
    assert_eq!(status(&[], "mirror:", "/", foreign), "101");
    assert_eq!(status(&["--allow-origin", "http://b.example"], "mirror:", "/", foreign), "403");
}

#[test]
fn restrict_uri_names_the_only_path() {
    assert_eq!(status(&["--restrict-uri", "/here"], "mirror:", "/here", ""), "101");
    assert_eq!(status(&["--restrict-uri", "/here"], "mirror:", "/", ""), "404");
}

#[test]
fn heads_of_requests_may_be_limited() {
    // There are five fields without this one, in 140 bytes.
    for (option, at_most) in [("--max-headers", "5"), ("--max-header-bytes", "150")] {
        assert_eq!(status(&[option, at_most], "mirror:", "/", ""), "101", "{option}");
        assert_eq!(status(&[option, at_most], "mirror:", "/", "X-Long: 0123456789\r\n"), "431", "{option}");
    }
}
