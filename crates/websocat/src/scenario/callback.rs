//! Callbacks: script functions that tasks call later, once per connection or once in all.

use super::{RhResult, Scenario, TaskHandle};
use crate::{
    error::{Error, Kind},
    scenario::{Take, Task},
};
use rhai::{EvalAltResult, FnPtr, FuncArgs, NativeCallContext};
use std::sync::{Arc, Weak};

/// A script function together with the scenario it belongs to.
#[derive(Clone)]
pub struct Callback {
    function: Arc<FnPtr>,
    scenario: Weak<Scenario>,
}

impl Callback {
    pub fn new(ctx: &NativeCallContext<'_>, function: FnPtr) -> RhResult<Self> {
        Ok(Self { function: Arc::new(function), scenario: Arc::downgrade(&Scenario::of(ctx)?) })
    }

    /// Calls the function, which must give a task.
    pub fn task(&self, args: impl FuncArgs) -> Result<Task, Error> {
        let handle: TaskHandle = self.call(args)?;
        handle.take("task").map_err(script_error)
    }

    /// Calls the function for any other value.
    pub fn call<T: Clone + Send + Sync + 'static>(&self, args: impl FuncArgs) -> Result<T, Error> {
        let scenario = self.scenario.upgrade().ok_or_else(|| Error::new(Kind::Start, "the scenario is over"))?;
        self.function.call(&scenario.engine, &scenario.ast, args).map_err(script_error)
    }
}

/// The error that a native function threw, if the script error is about one; else one about the script, with the position.
pub fn script_error(error: Box<EvalAltResult>) -> Error {
    let position = error.position();
    let mut inner = *error;
    loop {
        match inner {
            EvalAltResult::ErrorInFunctionCall(_, _, next, _) | EvalAltResult::ErrorInModule(_, next, _) => {
                inner = *next
            }
            EvalAltResult::ErrorSystem(text, source) => {
                return match source.downcast::<Error>() {
                    Ok(error) => *error,
                    Err(source) => Error::new(Kind::Start, format!("{text}{source}")),
                };
            }
            other => {
                // Rhai's own text has the innermost position.
                let at = if position.is_none() || other.to_string().contains("line ") {
                    String::new()
                } else {
                    format!(" ({position})")
                };
                return Error::new(Kind::Start, format!("script: {other}{at}"));
            }
        }
    }
}
