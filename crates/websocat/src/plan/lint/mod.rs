//! Lints: command lines that probably do not mean what they say. A warning each, with the way out and an id that stays.
//!
//! [`checks`] finds them on the plan, and so do rewriting passes that come across one. `--no-lints` looks away, `--lint deny`
//! makes errors of them.

mod checks;
#[cfg(test)]
mod tests;

pub use checks::{after, before, together};

use super::Plan;
use crate::{
    cli::{LintLevel, ProgramArgs},
    error::{Error, Result},
};

/// One kind of likely mistake.
#[derive(Debug, PartialEq, Eq)]
pub struct Lint {
    /// Stays what it is, for those who look for it in logs.
    pub id: &'static str,
    /// What it finds, for the documentation.
    pub doc: &'static str,
}

/// Declares the lints and the list of all of them.
macro_rules! lints {
    ($($name:ident: $id:literal, $doc:literal;)*) => {
        $( #[doc = $doc] pub const $name: Lint = Lint { id: $id, doc: $doc }; )*
        /// All lints.
        pub const ALL: &[&Lint] = &[$( &$name, )*];
    };
}

lints! {
    UNUSED_OPTION: "unused-option", "An option has no effect on what the command line makes.";
    LISTENER_ON_THE_RIGHT: "listener-on-the-right", "A listener on the right side serves one connection only.";
    MIXED_BYTES: "mixed-bytes", "Connections, or parts of `--compose`, use one thing at the same time without any order.";
    FIRST_TAKES_ALL: "first-takes-all", "The first client keeps what there is only one of; others find it in use.";
    BARE_HANDOVER: "bare-handover", "`--exec-dup2` hands the bare connection over, without the overlays.";
    JOINS_NOTHING: "joins-nothing", "`tee:` without anything to be joined.";
    ODD_ADDRESS: "odd-address", "An address that looks like one of another kind.";
    CONTRADICTION: "contradiction", "Of several options only one counts.";
    OLD_SPELLING: "old-spelling", "Something is written in another way now.";
    PREDICTABLE_KEYS: "predictable-keys", "`--random-seed` makes WebSocket keys and masks predictable.";
    EXPOSED_PROCESS: "exposed-process", "Everybody who reaches the machine can use a process.";
    SECRET_IN_THE_CLEAR: "secret-in-the-clear", "A password or token goes over the network without TLS.";
    EXPOSED_TO_PAGES: "exposed-to-pages", "Web pages of any origin reach a process, a file or the terminal.";
    ENDS_BEFORE_REPLIES: "ends-before-replies", "With `-E` a text or file that is sent ends the session before any reply.";
    TEXT_OF_BYTES: "text-of-bytes", "Text mode for a source that gives anything but text.";
    CUT_DATAGRAMS: "cut-datagrams", "A buffer that datagrams of usual sizes do not fit into.";
    NO_HOST: "no-host", "`ws-request:` without the Host header, which servers insist on.";
    PLAIN_ON_TLS_PORT: "plain-on-tls-port", "`ws://` to the port of HTTPS, or `wss://` to that of HTTP.";
}

/// One that was found, in words.
#[derive(Clone, Debug)]
pub struct Finding {
    pub lint: &'static Lint,
    pub text: String,
}

/// What was found so far; nothing is, where nobody wants to know.
#[derive(Clone, Debug, Default)]
pub struct Findings {
    list: Vec<Finding>,
    off: bool,
}

impl Findings {
    fn for_plan(plan: &Plan) -> Self {
        Self { list: vec![], off: plan.args.program.no_lints }
    }

    fn add(&mut self, lint: &'static Lint, text: impl Into<String>) {
        if !self.off {
            self.list.push(Finding { lint, text: text.into() });
        }
    }

    fn extend(&mut self, others: Self) {
        self.list.extend(others.list);
    }

    pub fn list(&self) -> &[Finding] {
        &self.list
    }
}

impl Plan {
    /// Notes that something is probably a mistake.
    pub fn found(&mut self, lint: &'static Lint, text: &str) {
        let mut found = Findings::for_plan(self);
        found.add(lint, text);
        self.findings.extend(found);
    }
}

/// Tells what was found: warnings, or an error where they are denied.
pub fn tell(findings: &[Finding], program: &ProgramArgs) -> Result<()> {
    let deny = program.lint == LintLevel::Deny;
    for (i, Finding { lint, text }) in findings.iter().enumerate() {
        if deny && i + 1 == findings.len() {
            return Err(Error::usage(format!("{text} [{}]; --lint deny makes this an error", lint.id)));
        }
        tracing::warn!("{text} [{}]", lint.id);
    }
    Ok(())
}
