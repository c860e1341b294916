//! From script text to a task: compiles, evaluates, hands back what the script's last expression gave.
//!
//! The only way from text to something that runs, for planned scripts and `-x` alike. Errors of a script name their
//! position.

use crate::{
    error::{Error, Kind, Result},
    scenario::{Scenario, Take, Task, TaskHandle, limits, script_error},
};
use rhai::{Engine, packages::Package as _};
use sockets::stop::Stop;
use std::sync::Arc;

/// An engine with the whole vocabulary of scenarios.
pub fn engine() -> Engine {
    let mut engine = Engine::new_raw();
    engine.register_global_module(rhai::packages::StandardPackage::new().as_shared_module());
    engine.set_max_expr_depths(1000, 1000);
    limits::install(&mut engine);
    crate::endpoints::register(&mut engine);
    crate::overlays::register(&mut engine);
    crate::functions::register(&mut engine);
    engine
}

/// Compiles and evaluates a script, inside a tokio runtime. The scenario must outlive the task.
pub fn load(text: &str, stop: Stop) -> Result<(Arc<Scenario>, Task)> {
    load_seeded(text, stop, None)
}

/// The same with a seed for all randomness of the scenario (`--random-seed`).
pub fn load_seeded(text: &str, stop: Stop, seed: Option<u64>) -> Result<(Arc<Scenario>, Task)> {
    let engine = engine();
    let ast = engine.compile(text).map_err(|e| Error::new(Kind::Start, format!("script: {e}")))?;
    let scenario = Scenario::new(engine, ast, stop, seed)?;
    let value: rhai::Dynamic = limits::limited(|| scenario.engine.eval_ast(&scenario.ast)).map_err(script_error)?;
    let kind = scenario.engine.map_type_name(value.type_name()).to_owned();
    let handle = value
        .try_cast::<TaskHandle>()
        .ok_or_else(|| Error::new(Kind::Start, format!("script: its value must be a task, not {kind}")))?;
    let task = handle.take("task").map_err(script_error)?;
    Ok((scenario, task))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_loop_without_end_is_an_error() {
        let e = load("let n = 0; while true { n += 1; }", Stop::new()).err().unwrap();
        assert!(e.to_string().contains("line 1"), "{e}");
    }

    #[test]
    fn the_value_must_be_a_task() {
        assert!(load("dummy_task()", Stop::new()).is_ok());
        let e = load("42", Stop::new()).err().unwrap();
        assert!(e.to_string().contains("must be a task"), "{e}");
        let e = load("let t = dummy_task(); spawn(t)", Stop::new()).err().unwrap();
        assert!(e.to_string().contains("line 1"), "{e}");
    }
}
