//! From arguments to script text: [`parse`] reads specifiers, [`rewrite`] completes them, [`print`] writes the script.
//!
//! The script says everything that will happen. What is right by default but not what plain functions do is decided by the
//! passes in `rewrite/` and shows in the script as options.

mod arguments;
mod compose;
mod explain;
mod filters;
pub mod lint;
mod parse;
mod rewrite;
mod session;
mod unused;
#[cfg(feature = "without-option")]
mod without_option;

use crate::{
    cli::Args,
    error::Result,
    spec::{SocketKind, Stack, Var},
};
use std::{collections::HashMap, sync::Arc};

pub use arguments::arguments;
pub use compose::script;
pub use explain::explain;
pub use parse::{parse, specifier};
pub use session::print;
#[cfg(feature = "without-option")]
pub use without_option::remove_compose;

/// A command line with both sides as stacks.
#[derive(Clone, Debug)]
pub struct Plan {
    pub args: Arc<Args>,
    pub left: Stack,
    pub right: Stack,
    /// Where `write-splitoff:` writes to, until a pass joins both.
    pub write_splitoff: Option<Stack>,
    /// What data from left to right passes first, in this order.
    pub filters: Vec<Stack>,
    /// The same from right to left.
    pub reverse_filters: Vec<Stack>,
    /// What `tee:` joins with the stack below it, until a pass does.
    pub tees: Vec<Stack>,
    /// Byte streams are cut into lines (text messages) rather than chunks.
    pub text: bool,
    /// Other sessions, or others of this one, use standard input and output, too.
    pub shares_stdio: bool,
    /// What the script makes once, before anything else, in this order.
    pub prelude: Vec<Prelude>,
    pub names: Names,
    /// What is probably a mistake.
    pub findings: lint::Findings,
}

/// A thing made at the top of the script that stacks refer to by its variable.
#[derive(Clone, Debug)]
pub enum Prelude {
    /// `lookup_host(name, |addrs| { everything else })`
    Lookup { name: String, addrs: Var },
    /// `let tlsctx = tls_client_connector(#{…});`
    TlsConnector { connector: Var },
    /// `let reuser = simple_reuser_listener();`
    Reuser { reuser: Var },
}

/// Variable names handed out so far, by kind.
#[derive(Clone, Debug, Default)]
pub struct Names(HashMap<&'static str, usize>);

impl Names {
    /// A fresh name: `tcp1`, `tcp2`, …
    pub fn fresh(&mut self, stem: &'static str) -> Var {
        let n = self.0.entry(stem).or_insert(0);
        *n += 1;
        format!("{stem}{n}")
    }
}

impl Plan {
    /// Kind of the session: messages as soon as a side or a filter has them. An undecided mirror follows the others.
    pub fn kind(&self) -> SocketKind {
        let datagram = |stack: &Stack| stack.kind() == Some(SocketKind::Datagram);
        let on_the_way = [&self.left, &self.right].into_iter().chain(self.all_filters());
        if on_the_way.into_iter().any(datagram) { SocketKind::Datagram } else { SocketKind::Stream }
    }

    /// Those of both directions.
    pub fn all_filters(&self) -> impl Iterator<Item = &Stack> {
        self.filters.iter().chain(&self.reverse_filters)
    }

    /// Some side has a WebSocket with what is right by default.
    pub fn is_complete(&self) -> bool {
        self.left.is_complete() || self.right.is_complete()
    }

    /// The left connection itself is given to the child on the right: nothing is exchanged.
    pub fn hands_over(&self) -> bool {
        self.args.endpoints.process.exec_dup2.is_some()
    }

    /// An error ends the session. One of bytes does so anyway; messages over low-level parts keep the plain behaviour.
    pub fn ends_on_error(&self) -> bool {
        let console = self.left.reaches_stdio() || self.right.reaches_stdio();
        self.kind() == SocketKind::Datagram && (self.is_complete() || console)
    }

    /// All stacks, left and right first.
    pub fn stacks(&self) -> impl Iterator<Item = &Stack> {
        [&self.left, &self.right].into_iter().chain(&self.write_splitoff).chain(self.all_filters()).chain(&self.tees)
    }

    /// All stacks, left and right first.
    pub fn stacks_mut(&mut self) -> Vec<&mut Stack> {
        self.stacks_and_prelude().0
    }

    /// All stacks, left and right first, with what can be put at the top of the script for them.
    pub fn stacks_and_prelude(&mut self) -> (Vec<&mut Stack>, &mut Vec<Prelude>, &mut Names) {
        let stacks = [&mut self.left, &mut self.right].into_iter();
        let stacks = stacks.chain(&mut self.write_splitoff).chain(&mut self.filters).chain(&mut self.reverse_filters);
        (stacks.chain(&mut self.tees).collect(), &mut self.prelude, &mut self.names)
    }

    /// Works on every stack, on those that others are made of first.
    pub fn each_stack(&mut self, mut work: impl FnMut(&mut Stack) -> Result<()>) -> Result<()> {
        self.stacks_mut().into_iter().try_for_each(|stack| stack.each(&mut work))
    }
}

/// Runs all passes in their order, with the lints before and after.
pub fn rewrite(plan: &mut Plan) -> Result<()> {
    lint::before(plan);
    rewrite::all(plan)?;
    lint::after(plan);
    Ok(())
}
