//! Stop tokens: how a process tells its listeners and sessions to end.
//!
//! They form a tree (process, listener, session). `drain` asks to accept nothing new, say good-bye and finish; `abort` is
//! done by dropping the task, which closes its descriptors at once. Timeouts, races and signals use nothing else.

use std::time::Duration;
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

/// Handle to one node of the tree; clones name the same node.
#[derive(Clone, Debug, Default)]
pub struct Stop {
    drain: CancellationToken,
    abort: CancellationToken,
    depth: u8,
    patience: Patience,
}

/// How long a session may wait for good-byes when it drains.
#[derive(Clone, Copy, Debug)]
struct Patience(Duration);

impl Default for Patience {
    fn default() -> Self {
        Self(Duration::from_secs(10))
    }
}

impl Stop {
    /// The root, for the process.
    pub fn new() -> Self {
        Self::default()
    }

    /// The root with another limit for good-byes than 10 s. Whoever drains has to end what takes longer.
    pub fn with_patience(patience: Duration) -> Self {
        Self { patience: Patience(patience), ..Self::default() }
    }

    /// How long sessions may wait for their peers after [`Stop::drain`].
    pub fn patience(&self) -> Duration {
        self.patience.0
    }

    /// A node that is stopped with this one.
    pub fn child(&self) -> Self {
        Self {
            drain: self.drain.child_token(),
            abort: self.abort.child_token(),
            depth: self.depth.saturating_add(1),
            patience: self.patience,
        }
    }

    /// The same node for a session of a listener, which is never stopped alone: costs no memory.
    pub fn session(&self) -> Self {
        Self { depth: self.depth.saturating_add(1), ..self.clone() }
    }

    /// Asks this node and all below to finish in order.
    pub fn drain(&self) {
        self.drain.cancel();
    }

    /// Ends this node and all below at once.
    pub fn abort(&self) {
        self.drain.cancel();
        self.abort.cancel();
    }

    /// Nothing new shall be begun; what is under way may finish.
    pub fn is_draining(&self) -> bool {
        self.drain.is_cancelled()
    }

    /// Resolves when this node shall finish in order.
    pub fn drained(&self) -> WaitForCancellationFutureOwned {
        self.drain.clone().cancelled_owned()
    }

    /// Resolves when this node shall end at once.
    pub fn aborted(&self) -> WaitForCancellationFutureOwned {
        self.abort.clone().cancelled_owned()
    }

    /// Session of the command line itself, not one that a listener accepted.
    pub fn is_top_level(&self) -> bool {
        self.depth == 0
    }
}
