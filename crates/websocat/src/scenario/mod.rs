//! What native functions see: the running scenario, handles, options, callbacks, tasks.

mod callback;
mod drain;
mod handle;
mod kind;
pub mod limits;
mod native;
pub mod nesting;
mod options;
mod registry;
mod session;
mod task;

pub use callback::{Callback, script_error};
pub use drain::{Finisher, Finishers};
pub use handle::{Handle, Take, fresh, handle, missing, moved};
pub use kind::kind_of;
pub use native::{Native, RegisterNative};
pub use options::{OptsReader, RhFn, RhOpts, fields_of};
pub use registry::{Queue, Registry, Wanted, WrongKind};
pub use session::{stop_for, under};
pub use task::{Flow, Run, Task, TaskHandle, run, task};

use crate::error::{Error, Kind};
use rhai::{AST, Engine, EvalAltResult, NativeCallContext};
use sockets::{random::Randomness, stop::Stop};
use std::sync::{
    Arc, Mutex, MutexGuard, PoisonError, Weak,
    atomic::{AtomicBool, Ordering::Relaxed},
};

/// Result of a native function.
pub type RhResult<T> = Result<T, Box<EvalAltResult>>;

/// Makes an [`Error`] a script error that keeps it, so that its exit status survives the way through the script.
pub fn throw(error: Error) -> Box<EvalAltResult> {
    Box::new(EvalAltResult::ErrorSystem(String::new(), Box::new(error)))
}

/// A loaded script and what its tasks share. Native functions reach it through [`Scenario::of`].
pub struct Scenario {
    pub engine: Engine,
    pub ast: AST,
    /// Parent of all stop tokens.
    pub stop: Stop,
    random: Mutex<Randomness>,
    /// Something listens for more than one connection: a server, which ends well when it was asked to.
    serves: AtomicBool,
    /// Tasks that finish by themselves when `stop` drains.
    pub finishers: Finishers,
    /// Names under which its parts find each other.
    pub registry: Registry,
}

impl Scenario {
    /// `engine` has all functions registered, `ast` was compiled by it. With a seed all randomness of the scenario is
    /// repeatable; without one this fails only where the system has no random numbers.
    pub fn new(mut engine: Engine, ast: AST, stop: Stop, seed: Option<u64>) -> Result<Arc<Self>, Error> {
        let random = Randomness::new(seed).map_err(|e| Error::with_source(Kind::Start, "cannot start", e))?;
        Ok(Arc::new_cyclic(|this: &Weak<Self>| {
            engine.set_default_tag(rhai::Dynamic::from(Current(this.clone())));
            Self {
                engine,
                ast,
                stop,
                random: Mutex::new(random),
                serves: AtomicBool::new(false),
                finishers: Finishers::default(),
                registry: Registry::default(),
            }
        }))
    }

    /// The parent of all random generators.
    pub fn random(&self) -> MutexGuard<'_, Randomness> {
        self.random.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Listeners for many connections say so when they start.
    pub fn mark_server(&self) {
        self.serves.store(true, Relaxed);
    }

    pub fn is_server(&self) -> bool {
        self.serves.load(Relaxed)
    }

    /// The scenario that a native function was called by.
    pub fn of(ctx: &NativeCallContext<'_>) -> RhResult<Arc<Self>> {
        let current = ctx.tag().and_then(|tag| tag.clone().try_cast::<Current>());
        current.and_then(|c| c.0.upgrade()).ok_or_else(|| "the scenario is over".into())
    }
}

/// The scenario as the engine's tag.
#[derive(Clone)]
struct Current(Weak<Scenario>);

/// Registers native functions under their own Rust names.
#[macro_export]
macro_rules! register {
    ($engine:ident, $($function:ident),+ $(,)?) => {
        $( $crate::scenario::RegisterNative::register_native($engine, stringify!($function), $function); )+
    };
}
