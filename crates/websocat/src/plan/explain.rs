//! `--explain`: what a command line would do, in plain words.
//!
//! Reads the plan after all rewriting, as [`print`](super::print) does, so that both tell of the same thing. What an
//! endpoint or overlay does it says itself (`explain` in its own file); here are the sides and what is between them.

use super::{Plan, compose::plans};
use crate::{
    cli::{CommandLine, Join, Part, Tree},
    endpoints::{
        Endpoint,
        socket_args::{self, OptionGroup, only_version},
    },
    error::Result,
    spec::{About, SocketKind, Stack, bytes_in_words, duration_in_words, time_in_words},
};

/// What the command line would do, ready to be printed.
pub fn explain(line: &CommandLine) -> Result<String> {
    let mut text = tree(&line.sessions, &mut plans(line)?.iter(), "");
    if let Some(n) = line.program.threads.filter(|n| *n > 1) {
        text.push_str(&format!("\nThe work is shared by {n} threads.\n"));
    }
    Ok(text)
}

/// `plans` has those of the sessions, from left to right.
fn tree<'a>(sessions: &Tree<Part>, plans: &mut impl Iterator<Item = &'a Plan>, indent: &str) -> String {
    let (join, trees) = match sessions {
        Tree::Part(_) => return plans.next().map(|plan| indented(&session(plan), indent)).unwrap_or_default(),
        Tree::Joined(join, trees) => (join, trees),
    };
    let how = match join {
        Join::Parallel => "All of these run at the same time:",
        Join::Sequential => "These run one after another:",
        Join::Race => "These run at the same time until the first of them ends:",
    };
    let mut text = format!("{indent}{how}\n");
    for (i, below) in trees.iter().enumerate() {
        text.push_str(&format!("\n{indent}{}.\n", i + 1));
        text.push_str(&tree(below, plans, &format!("{indent}   ")));
    }
    text
}

fn session(plan: &Plan) -> String {
    let mut text = String::new();
    let session = &plan.args.session;
    let console = plan.left.reaches_stdio() || plan.right.reaches_stdio();
    let about = About { args: &plan.args, one_connection: session.oneshot || !plan.left.is_multi(), console };
    text.push_str("Left:\n");
    text.push_str(&stack(&plan.left, &about, "  "));
    let about = About { one_connection: true, ..about };
    text.push_str("Right:\n");
    text.push_str(&stack(&plan.right, &about, "  "));
    for (name, filters) in [("left to right", &plan.filters), ("right to left", &plan.reverse_filters)] {
        for filter in filters {
            text.push_str(&format!("On the way from {name}:\n"));
            text.push_str(&stack(filter, &about, "  "));
        }
    }
    text.push_str("Between:\n");
    for sentence in between(plan) {
        text.push_str(&format!("  {sentence}\n"));
    }
    text
}

/// The layers of one side, from the outside world inwards.
fn stack(stack: &Stack, about: &About<'_>, indent: &str) -> String {
    let mut text = format!("{indent}{}\n", stack.endpoint.explain(about));
    for part in stack.endpoint.parts() {
        text.push_str(&format!("{indent}- {}", self::stack(part, about, &format!("{indent}  ")).trim_start()));
    }
    let options = socket_options(stack, about);
    if !options.is_empty() {
        text.push_str(&format!("{indent}Its socket has these options: {}.\n", options.join(", ")));
    }
    for overlay in &stack.overlays {
        text.push_str(&format!("{indent}{}\n", overlay.explain(about)));
    }
    text
}

/// The socket options of the command line that the stack's own endpoint takes, by name: what they do is for the kernel.
/// Where clients connect from is said by them.
fn socket_options<'a>(stack: &Stack, about: &About<'a>) -> Vec<&'a str> {
    if about.args.endpoints.sockets.exclude_ws_from_sockopts && stack.is_framed() {
        return vec![];
    }
    let sockets = stack.endpoint.sockets();
    let takes = |name: &str| {
        let version = only_version(name);
        let fits = version.is_none() || sockets.v6.is_none() || sockets.v6 == version;
        fits && sockets.groups.iter().any(|group| *group != OptionGroup::Local && group.has(name))
    };
    let mut names: Vec<&str> = vec![];
    for typed in about.args.typed.iter().filter(|typed| typed.heading == socket_args::HEADING && takes(&typed.name)) {
        if !names.contains(&&*typed.name) {
            names.push(&typed.name);
        }
    }
    names
}

/// What is done with both sides, and when it ends.
fn between(plan: &Plan) -> Vec<String> {
    let session = &plan.args.session;
    let mut text = Vec::new();
    if let Some(ms) = session.sleep_ms_before_start {
        text.push(format!("Nothing is opened for the first {}.", time_in_words(ms)));
    }
    let many = plan.left.is_multi() && !session.oneshot;
    if many {
        let drain = plan.args.program.drain;
        let shared = matches!(plan.right.endpoint, Endpoint::Reuser(_));
        let right = if shared { "shares the right side with the others" } else { "gets a right side of its own" };
        text.push(format!("Each connection on the left {right}, all at the same time."));
        text.push(match drain.finite() {
            Some(_) => {
                let time = duration_in_words(drain);
                format!("SIGINT or SIGTERM ends it: sessions under way have {time} to finish.")
            }
            None => "SIGINT or SIGTERM ends it when the sessions under way have finished.".to_owned(),
        });
    }
    if plan.hands_over() {
        return text;
    }
    let what = match plan.kind() {
        SocketKind::Stream => "Bytes",
        SocketKind::Datagram => "Messages",
    };
    text.push(match (session.unidirectional, session.unidirectional_reverse) {
        (false, false) => format!("{what} go in both directions."),
        (true, false) => format!("{what} go from left to right only."),
        (false, true) => format!("{what} go from right to left only."),
        (true, true) => "Nothing goes in either direction.".to_owned(),
    });
    if let Some(size) = session.buffer_size {
        text.push(format!("At most {} are moved at a time.", bytes_in_words(size.0)));
    }
    text.extend(ends(plan));
    text
}

/// What ends a session.
fn ends(plan: &Plan) -> Vec<String> {
    let session = &plan.args.session;
    let mut text = Vec::new();
    let one_way = session.unidirectional || session.unidirectional_reverse;
    if session.exit_on_eof {
        text.push("The end of one side ends the session.".to_owned());
    } else if one_way {
        text.push("The session ends when there is nothing more to move.".to_owned());
    } else if plan.kind() == SocketKind::Datagram && plan.is_complete() {
        text.push(match session.linger.limit_millis() {
            Some(ms) => format!(
                "When one side has nothing more to say, the other has {} for its replies, counted anew from each.",
                time_in_words(ms)
            ),
            None if session.linger.finite().is_some() => "The end of one side ends the session.".to_owned(),
            None => "When one side has nothing more to say, the other may reply for as long as it likes.".to_owned(),
        });
    } else {
        text.push("When one side has nothing more to say, the other is told so and may go on.".to_owned());
    }
    if let Some(ms) = session.idle_timeout.and_then(|time| time.limit_millis()) {
        text.push(format!("A session ends when nothing came from either side for {}.", time_in_words(ms)));
    }
    if session.exit_on_hangup {
        text.push("The program ends when either side hangs up.".to_owned());
    }
    if session.exit_after_one_session {
        text.push("The program ends with the first session.".to_owned());
    }
    if let Some(ms) = session.global_timeout_ms {
        let how = if session.global_timeout_force_exit { ", with status 1" } else { "" };
        text.push(format!("All of it ends after {} at the latest{how}.", time_in_words(ms)));
    }
    text
}

fn indented(text: &str, by: &str) -> String {
    text.lines().map(|line| format!("{by}{line}\n")).collect()
}
