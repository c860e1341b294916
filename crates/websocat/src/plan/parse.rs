//! Specifiers: overlays are peeled from the left until an endpoint takes all that is left.
//!
//! Prefixes are matched exactly, and none in the tables hides another. Nothing is opened or looked up; an unknown
//! prefix is answered with the nearest one.

use super::{Names, Plan, lint::Findings};
use crate::{
    cli::{Args, familiar},
    endpoints,
    error::{Error, Result, shown},
    overlays, platform_string,
    spec::Stack,
};
use std::{
    ffi::{OsStr, OsString},
    sync::Arc,
};

/// Both sides as typed. Nothing is opened or looked up.
pub fn parse(args: &Arc<Args>) -> Result<Plan> {
    let session = &args.session;
    let Some(spec1) = &args.spec1 else {
        return Err(Error::usage(match session.server {
            true => "-s wants the port to listen on: `websocat -s PORT` or `websocat -s IP:PORT`",
            false => "no specifier given; try `websocat ws://…`, `websocat -s PORT`, or --help",
        }));
    };
    let left = if session.server { server(spec1)? } else { spec1.clone() };
    let right = args.spec2.as_deref().unwrap_or(OsStr::new("stdio:"));
    let one = args.spec2.is_none();
    if !one && !session.text && !session.binary {
        tracing::info!("using --binary mode by default");
    }
    // Errors of the other specifiers say which option they belong to.
    let named = |option: &str, text: &OsStr| specifier(text).map_err(|e| e.context(option));
    let all = |option: &str, texts: &[OsString]| {
        if texts.len() > MANY {
            return Err(Error::usage(format!("{option} can be given {MANY} times at most")));
        }
        texts.iter().map(|text| named(option, text)).collect::<Result<_>>()
    };
    let plan = Plan {
        args: args.clone(),
        left: specifier(&left)?,
        right: specifier(right)?,
        write_splitoff: args
            .overlays
            .write_splitoff
            .write_splitoff
            .as_deref()
            .map(|text| named("--write-splitoff", text))
            .transpose()?,
        filters: all("--filter", &session.filter)?,
        reverse_filters: all("--filter-reverse", &session.filter_reverse)?,
        tees: all("--tee", &args.overlays.tee.tee)?,
        // With both flags -b decides how streams are cut.
        text: !session.binary && (session.text || one),
        shares_stdio: false,
        prelude: vec![],
        names: Names::default(),
        findings: Findings::default(),
    };
    check_stdio(&plan, one)?;
    Ok(plan)
}

/// The specifier that `-s` stands for: a port is one of this machine only.
fn server(place: &OsStr) -> Result<OsString> {
    let has_colon = place.as_encoded_bytes().contains(&b':');
    if !has_colon && place.to_str().is_none_or(|text| text.parse::<u16>().is_err()) {
        let text = shown(place.as_encoded_bytes());
        return Err(Error::usage(format!("-s {text}: write PORT (0 to 65535), IP:PORT or HOST:PORT")));
    }
    let mut specifier = OsString::from(if has_colon { "ws-l:" } else { "ws-l:127.0.0.1:" });
    specifier.push(place);
    Ok(specifier)
}

/// Standard input and output are used once; `one`: the right side is them because none was named.
fn check_stdio(plan: &Plan, one: bool) -> Result<()> {
    if plan.left.endpoint.is_stdio() && plan.right.endpoint.is_stdio() {
        return Err(Error::usage(if one {
            "both sides would be stdio: (standard input and output); give another specifier"
        } else {
            "only one side can be stdio: (standard input and output)"
        }));
    }
    let uses = plan.stacks().filter(|stack| stack.endpoint.is_stdio()).count();
    if uses > 1 && plan.all_filters().any(|filter| filter.endpoint.is_stdio()) {
        return Err(Error::usage(
            "a filter cannot be stdio: where standard input and output have another use, as for a side that is not named",
        ));
    }
    Ok(())
}

/// Overlays of one specifier, and stacks that an option may name for one session: each can be a bracket in the script and a
/// socket inside of another one, and those cannot go on without end. People need a handful.
const MANY: usize = 32;

/// One specifier as a stack.
pub fn specifier(text: &OsStr) -> Result<Stack> {
    let mut overlays = vec![];
    let mut rest = text;
    loop {
        if rest == "-" {
            rest = OsStr::new("stdio:");
        }
        if let Some((form, value, parse)) = endpoint(rest) {
            let endpoint = parse(form, value).map_err(|e| e.context(format!("`{}`", text.display())))?;
            overlays.reverse();
            return Ok(Stack { endpoint, overlays });
        }
        let Some((form, inner, parse)) = overlay(rest) else { return Err(unknown(text, rest)) };
        if overlays.len() == MANY {
            return Err(Error::usage(format!("a specifier has {MANY} overlays at most")));
        }
        overlays.push(parse(form).map_err(|e| e.context(format!("`{}`", text.display())))?);
        rest = inner;
    }
}

type Found<'a, P> = Option<(&'static crate::spec::Form, &'a OsStr, P)>;

fn endpoint(text: &OsStr) -> Found<'_, impl Fn(&'static crate::spec::Form, &OsStr) -> Result<endpoints::Endpoint>> {
    endpoints::TABLE.iter().find_map(|(forms, parse)| {
        forms
            .iter()
            .find_map(|form| form.prefixes.iter().find_map(|prefix| Some((form, strip_prefix(text, prefix)?, *parse))))
    })
}

fn overlay(text: &OsStr) -> Found<'_, impl Fn(&'static crate::spec::Form) -> Result<overlays::Overlay>> {
    overlays::TABLE.iter().find_map(|(forms, parse)| {
        forms
            .iter()
            .find_map(|form| form.prefixes.iter().find_map(|prefix| Some((form, strip_prefix(text, prefix)?, *parse))))
    })
}

/// What follows the prefix.
fn strip_prefix<'a>(text: &'a OsStr, prefix: &str) -> Option<&'a OsStr> {
    let rest = text.as_encoded_bytes().strip_prefix(prefix.as_bytes())?;
    Some(platform_string::suffix(text, rest.len()))
}

/// Names the nearest prefix, so that a typo is found at once.
fn unknown(text: &OsStr, rest: &OsStr) -> Error {
    /// Longer specifiers say no more in an error message.
    const LIMIT: usize = 200;
    let lossy = rest.to_string_lossy();
    let cut = lossy.char_indices().nth(LIMIT).map_or(lossy.len(), |(at, _)| at);
    let shown = &lossy[..cut];
    let dots = if cut < lossy.len() { "…" } else { "" };
    if rest.is_empty() && !text.is_empty() {
        let what = format!("`{0}`: nothing stands behind the overlay; write {0}ENDPOINT", text.display());
        return Error::new(crate::error::Kind::Start, what);
    }
    let start = shown.find(':').map_or(shown, |colon| {
        let slashes = if shown[colon..].starts_with("://") { 3 } else { 1 };
        &shown[..colon + slashes]
    });
    let known = endpoints::TABLE
        .iter()
        .flat_map(|(forms, _)| *forms)
        .chain(overlays::TABLE.iter().flat_map(|(forms, _)| *forms))
        .flat_map(|form| form.prefixes);
    let nearest = known.map(|prefix| (distance(&start.to_lowercase(), prefix), prefix.len(), prefix)).min();
    let inside = if text == rest || !dots.is_empty() { String::new() } else { format!(" in `{}`", text.display()) };
    let hint = match nearest {
        _ if familiar::prefix(start).is_some() => format!("; {}", familiar::prefix(start).unwrap_or_default()),
        _ if !shown.contains(':') && start.bytes().all(|b| b.is_ascii_digit()) && !start.is_empty() => {
            format!("; to listen for WebSockets there, write `-s {shown}`")
        }
        _ if ["ws", "ws:", "wss", "wss:"].contains(&start) => {
            format!("; did you mean `{}://`?", start.trim_end_matches(':'))
        }
        Some((d, _, prefix)) if start.len() > 2 && d <= start.len() / 3 => format!("; did you mean `{prefix}`?"),
        _ if shown.starts_with("http") => "; WebSocket URLs begin with ws:// or wss://".to_owned(),
        _ if is_host_and_port(shown) => format!("; for the WebSocket server there write ws://{shown}"),
        _ => "; `websocat --help` shows how specifiers look".to_owned(),
    };
    Error::new(crate::error::Kind::Start, format!("unknown specifier `{shown}{dots}`{inside}{hint}"))
}

/// `example.org:80/chat`, where a scheme was left out.
fn is_host_and_port(text: &str) -> bool {
    let Some((host, rest)) = text.split_once(':') else { return false };
    let port = rest.split(['/', '?']).next().unwrap_or_default();
    let is_host = !host.is_empty() && host.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'.' || b == b'-');
    is_host && port.parse::<u16>().is_ok()
}

/// Edits from one to the other: insertions, deletions, substitutions, and swaps of neighbours, the commonest typo.
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let mut rows = vec![(0..=b.len()).collect::<Vec<usize>>()];
    for (i, x) in a.iter().enumerate() {
        let mut row = vec![i + 1];
        for (j, y) in b.iter().enumerate() {
            let mut best = (rows[i][j] + usize::from(x != y)).min(rows[i][j + 1] + 1).min(row[j] + 1);
            if i > 0 && j > 0 && *x == b[j - 1] && a[i - 1] == *y {
                best = best.min(rows[i - 1][j - 1] + 1);
            }
            row.push(best);
        }
        rows.push(row);
    }
    rows[a.len()][b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn typos_are_answered_with_what_was_meant() {
        for (typed, meant) in
            [("tpc:1", "`tcp:`"), ("STDIO:", "`stdio:`"), ("wss:/x", "wss"), ("lines:mirorr:", "`mirror:`")]
        {
            let e = specifier(typed.as_ref()).unwrap_err().to_string();
            assert!(e.contains(meant), "{typed}: {e}");
        }
        let e = specifier("1234".as_ref()).unwrap_err().to_string();
        assert!(e.contains("-s 1234"), "{e}");
        for (typed, says) in [("ws:h", "`ws://`"), ("wss:h", "`wss://`"), ("lines:", "write lines:ENDPOINT")] {
            let e = specifier(typed.as_ref()).unwrap_err().to_string();
            assert!(e.contains(says), "{typed}: {e}");
        }
        for (typed, says) in [
            ("localhost:8080", "write ws://localhost:8080"),
            ("example.org:80/chat?x", "write ws://example.org:80/chat?x"),
            ("wss-listen:1", "no TLS server yet"),
            ("autoreconnect:ws://h", "no reconnecting yet"),
            ("h:1:2", "--help"),
        ] {
            let e = specifier(typed.as_ref()).unwrap_err().to_string();
            assert!(e.contains(says) && !e.contains("did you mean"), "{typed}: {e}");
        }
        let e = specifier("foo:".as_ref()).unwrap_err().to_string();
        assert!(!e.contains("did you mean"), "{e}");
        let many = |n: usize| specifier(format!("{}mirror:", "log:".repeat(n)).as_ref());
        assert!(many(MANY).is_ok());
        let e = many(100_000).unwrap_err();
        assert!(e.kind == crate::error::Kind::Usage && e.to_string().contains("32 overlays at most"), "{e}");
        // A whole document by mistake, say.
        let e = specifier("ä".repeat(1_000_000).as_ref()).unwrap_err().to_string();
        assert!(e.len() < 1000, "{} bytes", e.len());
    }
}
