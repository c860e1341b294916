//! Callbacks: script functions that tasks call later, once per connection or once in all.
//!
//! What a callback makes belongs to the session in which it was handed over and stops with it. Errors that native
//! functions threw come out of the script unchanged, so that their exit status survives.

use super::{RhResult, Scenario, TaskHandle, limits, stop_for, under};
use crate::{
    error::{Error, Kind},
    scenario::{Flow, Take, Task},
};
use rhai::{Dynamic, EvalAltResult, FnPtr, FuncArgs, NativeCallContext, Position};
use sockets::stop::Stop;
use std::sync::{Arc, Weak};

/// A script function together with the scenario it belongs to, and the session for which it was handed over: what it
/// builds is stopped with that session.
#[derive(Clone)]
pub struct Callback {
    function: Arc<FnPtr>,
    scenario: Weak<Scenario>,
    stop: Stop,
    /// Of the call that it was handed over in, for messages.
    at: Position,
}

impl Callback {
    pub fn new(ctx: &NativeCallContext<'_>, function: FnPtr) -> RhResult<Self> {
        let scenario = Scenario::of(ctx)?;
        let at = ctx.call_position();
        Ok(Self { function: Arc::new(function), stop: stop_for(&scenario), scenario: Arc::downgrade(&scenario), at })
    }

    /// The same function for a session of a listener, one level below its stop token.
    pub fn for_session(&self) -> Self {
        self.stopped_by(self.stop.session())
    }

    /// A session of a listener, from the function to its end. Calling it is a stage of its own: what it needed is gone while
    /// the connection lives.
    pub fn session(&self, args: impl FuncArgs + Send + 'static) -> Task {
        let function = self.for_session();
        Task::new(async move { Ok(Flow::Then(function.task(args)?)) })
    }

    /// The same function for a session that this stops.
    pub fn stopped_by(&self, stop: Stop) -> Self {
        Self { function: self.function.clone(), scenario: self.scenario.clone(), stop, at: self.at }
    }

    /// What stops the session that the function was handed over in.
    pub fn stop(&self) -> &Stop {
        &self.stop
    }

    /// Calls the function, which must give a task.
    pub fn task(&self, args: impl FuncArgs) -> Result<Task, Error> {
        let handle: TaskHandle = self.call(args)?;
        let used_up = || format!("script: a function gave a task that was used up or taken away before ({})", self.at);
        handle.take("task").map_err(|_| Error::new(Kind::Start, used_up()))
    }

    /// Calls the function for any other value.
    pub fn call<T: Clone + Send + Sync + 'static>(&self, args: impl FuncArgs) -> Result<T, Error> {
        let scenario = self.scenario.upgrade().ok_or_else(|| Error::new(Kind::Start, "the scenario is over"))?;
        let call = || self.function.call(&scenario.engine, &scenario.ast, args);
        let value: Dynamic = limits::limited(|| under(&self.stop, call)).map_err(|mut error| {
            if error.position().is_none() {
                error.set_position(self.at);
            }
            script_error(error)
        })?;
        let value = value.flatten();
        let kind = value.type_name();
        value.try_cast().ok_or_else(|| {
            let [kind, wanted] = [kind, std::any::type_name::<T>()].map(|name| scenario.engine.map_type_name(name));
            self.wrong_value(kind, wanted)
        })
    }

    /// The function gave a value of another kind than is needed.
    pub fn wrong_value(&self, kind: &str, wanted: &str) -> Error {
        Error::new(Kind::Start, format!("script: a function gave {kind}, but {wanted} is needed ({})", self.at))
    }
}

/// The error that a native function threw, if the script error is about one; else one about the script, with the position.
#[allow(clippy::boxed_local)] // Rhai hands its errors out boxed; this is for `map_err`
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
                    Ok(error) => error.at(position.line(), position.position()),
                    Err(source) => Error::new(Kind::Start, format!("{text}{source}")),
                };
            }
            EvalAltResult::ErrorTerminated(why, at) => {
                return Error::new(Kind::Start, format!("script: stopped: {why} ({at})"));
            }
            // Closures have names that nobody gave them.
            EvalAltResult::ErrorFunctionNotFound(call, at) if call.starts_with("anon$") => {
                let arguments = call.split_once(' ').map_or("()", |(_, arguments)| arguments);
                let text = format!("script: a closure does not take what it is called with: {arguments} ({at})");
                return Error::new(Kind::Start, text);
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
