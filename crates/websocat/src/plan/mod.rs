//! From arguments to script text: [`parse`] reads specifiers, [`rewrite`] completes them, [`print`] writes the script.
//!
//! The script says everything that will happen. What is right by default but not what plain functions do is decided by the
//! passes in `rewrite/` and shows in the script as options.

mod arguments;
mod lint;
mod parse;
mod rewrite;
mod session;

use crate::{
    cli::Args,
    error::Result,
    spec::{SocketKind, Stack, Var},
};
use std::{collections::HashMap, sync::Arc};

pub use arguments::arguments;
pub use parse::{parse, specifier};
pub use session::print;

/// A command line with both sides as stacks.
#[derive(Clone, Debug)]
pub struct Plan {
    pub args: Arc<Args>,
    pub left: Stack,
    pub right: Stack,
    /// Byte streams are cut into lines (text messages) rather than chunks.
    pub text: bool,
    /// What the script makes once, before anything else, in this order.
    pub prelude: Vec<Prelude>,
    pub names: Names,
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
    /// Kind of the session: messages as soon as either side has them. An undecided mirror follows the other side.
    pub fn kind(&self) -> SocketKind {
        let datagram = |stack: &Stack| stack.kind() == Some(SocketKind::Datagram);
        if datagram(&self.left) || datagram(&self.right) { SocketKind::Datagram } else { SocketKind::Stream }
    }

    /// Some side has a WebSocket with what is right by default.
    pub fn is_complete(&self) -> bool {
        self.left.is_complete() || self.right.is_complete()
    }

    /// The left connection itself is given to the child on the right: nothing is exchanged.
    pub fn hands_over(&self) -> bool {
        self.args.endpoints.process.exec_dup2.is_some()
    }

    /// Both sides, left first.
    pub fn stacks_mut(&mut self) -> [&mut Stack; 2] {
        [&mut self.left, &mut self.right]
    }
}

/// Runs all passes in their order, with the lints before and after.
pub fn rewrite(plan: &mut Plan) -> Result<()> {
    lint::before(plan);
    rewrite::all(plan)?;
    lint::after(plan);
    Ok(())
}
